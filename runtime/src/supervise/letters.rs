//! Replaying and dropping dead letters while nothing runs: the state directory is held, the journal is acquired with an epoch of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_proto::Error;
use longshore_proto::session::Collection;

use crate::capture::admission::Admission;
use crate::catalog::{CaptureTask, Catalog};
use crate::journal::{Journal, LocalId, NewBinding, SchemaVersion, Writer, journal_dir};
use crate::letters::scan::catch_up;
use crate::letters::settle::{self, Selection, Settled};
use crate::store::{Epoch, StateDirectory, TaskChanges};

use super::policy;
use super::problem::Problem;

/// Whether a capture has a journal here.
#[must_use]
pub fn has_journal(state: &StateDirectory, capture: &str) -> bool {
    journal_dir(state.path(), capture).is_dir()
}

/// Replays the letters that wait and are meant, each of which is held against what the catalog says now. `told` hears of those that stay.
/// Blocks until it is durable.
///
/// # Errors
/// The journal's or the store's; then nothing was replayed, or all of it and only the index does not know it yet.
pub fn replay(
    catalog: &Catalog,
    state: &StateDirectory,
    capture: &str,
    selection: &Selection,
    told: &mut dyn FnMut(u64, &Error),
) -> Result<Settled, Problem> {
    let mut held = Held::acquire(state, capture)?;
    let mut doors = Doors::new(catalog, capture, &*held.writer)?;
    let settled = settle::replay(
        &*held.journal,
        &mut *held.writer,
        selection,
        &mut |local, document| doors.admit(local, document),
        told,
    )?;
    held.end(state, capture)?;
    Ok(settled)
}

/// Marks the letters that wait and are meant as dropped. Blocks until it is durable.
///
/// # Errors
/// As [`replay`].
pub fn drop_letters(state: &StateDirectory, capture: &str, selection: &Selection) -> Result<Settled, Problem> {
    let mut held = Held::acquire(state, capture)?;
    let settled = settle::drop_letters(&*held.journal, &mut *held.writer, selection)?;
    held.end(state, capture)?;
    Ok(settled)
}

/// A capture's journal that is written by us alone.
struct Held {
    journal: Arc<dyn Journal>,
    writer: Box<dyn Writer>,
    epoch: Epoch,
}

impl Held {
    fn acquire(state: &StateDirectory, capture: &str) -> Result<Self, Problem> {
        let store = state.store();
        let journal = state.journal(capture, super::evidence(&*store, capture)?)?;
        let epoch = store.take_epoch(capture, Epoch(0))?;
        let writer = journal.acquire(epoch)?;
        Ok(Self { journal, writer, epoch })
    }

    /// Notes what is durable, and brings the index up to it.
    fn end(self, state: &StateDirectory, capture: &str) -> Result<(), Problem> {
        let durable = self.journal.committed().borrow().map(|end| end.durable);
        let witness = TaskChanges { durable: durable.into_iter().collect(), ..TaskChanges::default() };
        state.store().commit(capture, self.epoch, witness)?;
        Ok(catch_up(&state.letters(), capture, &*self.journal)?)
    }
}

/// What each binding of the journal admits now.
struct Doors(BTreeMap<LocalId, Result<Door, Error>>);

struct Door {
    admission: Admission,
    /// What the catalog says now and the journal does not know yet.
    untold: Option<(u64, Vec<u8>)>,
}

impl Doors {
    fn new(catalog: &Catalog, capture: &str, writer: &dyn Writer) -> Result<Self, Error> {
        let doors = writer.bindings().iter().map(|(local, row)| {
            let newest = writer.schemas().get(&local);
            Ok((local, Door::new(catalog, capture, row, newest)?))
        });
        doors.collect::<Result<_, Error>>().map(Self)
    }

    fn admit(&mut self, local: LocalId, document: &[u8]) -> Result<Option<(u64, Vec<u8>)>, Error> {
        match self.0.get_mut(&local) {
            Some(Ok(door)) => {
                door.admission.check(document)?;
                Ok(door.admission.take_widened().inspect(|_| door.untold = None).or_else(|| door.untold.take()))
            }
            Some(Err(why)) => Err(why.clone()),
            None => Err(Error::internal("letters.binding", format!("no binding has the number {}", local.0))),
        }
    }
}

impl Door {
    /// `Err` inside: no letter of the binding can be replayed, and why.
    fn new(
        catalog: &Catalog,
        capture: &str,
        row: &NewBinding,
        newest: Option<&SchemaVersion>,
    ) -> Result<Result<Self, Error>, Error> {
        let name = &row.collection;
        let writes = |task: &CaptureTask| task.name == capture && task.bindings.iter().any(|b| b.collection == *name);
        let declared = catalog.collections.get(name);
        if declared.is_none() || !catalog.captures.iter().any(writes) {
            let message = format!("{capture} does not write the collection {name} any more");
            return Ok(Err(Error::data("letters.collection", message)
                .suggest("put the binding back into the catalog, or drop the letter")));
        }
        if declared.and_then(|declared| declared.key.as_ref()).is_some_and(|key| *key != row.key) {
            let message =
                format!("the key of {name} has changed since, and the letter belongs to the binding as it was");
            return Ok(Err(Error::data("letters.key", message).suggest("drop the letter, or put the key back")));
        }
        let schema_json = policy::schema(declared, newest.map(|newest| &newest.schema_json))?;
        let before = newest.map_or(0, |newest| newest.version);
        let now = match schema_json {
            Some(schema_json) if newest.is_none_or(|newest| newest.schema_json != schema_json) => {
                SchemaVersion { version: before + 1, schema_json }
            }
            Some(schema_json) => SchemaVersion { version: before, schema_json },
            None => SchemaVersion { version: 0, schema_json: "{}".into() },
        };
        let collection = Collection {
            name: name.clone(),
            key: row.key.clone(),
            schema_json: now.schema_json.clone(),
            schema_version: now.version,
        };
        let admission = Admission::new(&collection, policy::of(declared), Some(&now))?;
        let untold = (now.version > before).then(|| (now.version, now.schema_json.to_vec()));
        Ok(Ok(Self { admission, untold }))
    }
}
