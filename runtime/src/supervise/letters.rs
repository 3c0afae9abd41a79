//! Replaying and dropping dead letters while nothing runs: the state directory is held, the journal is acquired with an epoch of its own.
//! Letters of captures are held against what the catalog says now; those of materializations go to their destination again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_proto::Error;
use longshore_proto::name::StateKey;
use longshore_proto::session::Collection;

use crate::capture::admission::Admission;
use crate::catalog::{CaptureTask, Catalog};
use crate::document::reduce::Reducer;
use crate::journal::{Filter, Journal, JournalId, LocalId, NewBinding, SchemaVersion, Writer, journal_dir};
use crate::letters::refused::{self, Keeps, Order, Receiver};
use crate::letters::scan::catch_up;
use crate::letters::settle::{self, Selection, Settled};
use crate::materialize::checkpoint::Checkpoint;
use crate::store::{Epoch, Skip, SkipId, StateDirectory, TaskChanges, TaskRecord};

use super::policy;
use super::problem::Problem;
use super::spec::{self, SpecBinding};

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

/// Sends letters that a materialization's destination refused to it again: those that wait and are meant. `told` hears of those that stay.
/// Blocks until it is durable.
///
/// # Errors
/// As [`replay`]; journals are done one after the other.
pub fn replay_refused(
    state: &StateDirectory,
    task: &str,
    selection: &Selection,
    force: bool,
    told: &mut dyn FnMut(&Skip, &Error),
) -> Result<Settled, Problem> {
    let record = state.store().load(task)?.unwrap_or_default();
    let receivers = receivers(&record)?;
    let mut sum = Settled::default();
    for (journal, Refused { skips, meant }) in refused_of(state, task, &record, selection)? {
        let (mut held, capture) = Held::acquire_of(state, journal)?;
        let order = Order { task, skips: &skips, meant: &meant, receivers: &receivers, force };
        let Settled { settled, kept } = refused::replay(&*held.journal, &mut *held.writer, &order, told)?;
        held.end(state, &capture)?;
        sum = Settled { settled: sum.settled + settled, kept: sum.kept + kept };
    }
    Ok(sum)
}

/// Marks letters of a materialization that wait and are meant as dropped. Blocks until it is durable.
///
/// # Errors
/// As [`replay_refused`].
pub fn drop_refused(state: &StateDirectory, task: &str, selection: &Selection) -> Result<Settled, Problem> {
    let store = state.store();
    let record = store.load(task)?.unwrap_or_default();
    let mut dropped = Vec::new();
    for (journal, Refused { meant, .. }) in refused_of(state, task, &record, selection)? {
        let (held, capture) = Held::acquire_of(state, journal)?;
        let again = refused::resent(&mut *held.journal.reader(Filter::Letters), task)?;
        held.end(state, &capture)?;
        dropped.extend(meant.into_iter().filter(|at| !again.contains(&(at.binding.clone(), at.offset))));
    }
    let settled = dropped.len() as u64;
    if settled > 0 {
        let epoch = store.take_epoch(task, Epoch(0))?;
        store.commit(task, epoch, TaskChanges { dropped, ..TaskChanges::default() })?;
    }
    Ok(Settled { settled, kept: 0 })
}

/// What a materialization passes over in one journal, and which of it waits and is meant.
struct Refused {
    skips: Vec<Skip>,
    meant: BTreeSet<SkipId>,
}

fn refused_of(
    state: &StateDirectory,
    task: &str,
    record: &TaskRecord,
    selection: &Selection,
) -> Result<BTreeMap<JournalId, Refused>, Problem> {
    let checkpoint = Checkpoint::of_record(record, state.installation())?;
    let wanted = |skip: &&Skip| selection.wants(skip.at.offset, &skip.at.binding, &skip.collection);
    let of_journal = |skips: Vec<Skip>| {
        let meant = skips
            .iter()
            .filter(|skip| refused::waits(skip, &checkpoint))
            .filter(wanted)
            .map(|skip| skip.at.clone())
            .collect();
        Refused { skips, meant }
    };
    let journals = refused::by_journal(state.store().skips(task)?).into_iter();
    let journals = journals.map(|(journal, skips)| (journal, of_journal(skips)));
    Ok(journals.filter(|(_, refused)| !refused.meant.is_empty()).collect())
}

/// The bindings of a task as it was last applied.
fn receivers(record: &TaskRecord) -> Result<BTreeMap<StateKey, Receiver>, Error> {
    let receiver = |SpecBinding { binding, .. }: SpecBinding| {
        let keeps = match binding.delta_updates {
            true => Keeps::Every,
            false if Reducer::compile(&binding.collection.schema_json)?.is_some() => Keeps::Reduced,
            false => Keeps::Last,
        };
        Ok((binding.state_key, Receiver { keeps, key: binding.collection.key }))
    };
    spec::of_materialization(record.spec.as_ref())?.into_iter().map(receiver).collect()
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
        let journal = state.journal(capture, super::Witnesses::of(&*store)?.evidence(capture))?;
        let epoch = store.take_epoch(capture, Epoch(0))?;
        let writer = journal.acquire(epoch)?;
        Ok(Self { journal, writer, epoch })
    }

    /// The one with this id, and whose it is.
    fn acquire_of(state: &StateDirectory, journal: JournalId) -> Result<(Self, String), Problem> {
        let store = state.store();
        for capture in state.journals()? {
            let record = store.load(&capture)?.unwrap_or_default();
            if record.durable.iter().any(|length| length.journal == journal) {
                let held = Self::acquire(state, &capture)?;
                if held.writer.journal() == journal {
                    return Ok((held, capture));
                }
            }
        }
        let message = format!("journal {journal}, in which the letters lie, is not there any more");
        Err(Error::config("state.journal", message).suggest("put the state directory back, or drop the letters").into())
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
