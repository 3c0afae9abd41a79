//! One binding of a session: its table as it is now, its triggers, and how rows of it are read.

use longshore_sdk::{Error, ErrorKind, Result};
use rusqlite::{Connection, params_from_iter};

use crate::config::Resource;
use crate::database::failed;
use crate::faults::Whose;
use crate::gather::Gather;
use crate::log::{self, About, Names};
use crate::plan::Plan;
use crate::row::RowWriter;
use crate::shape::Shape;
use crate::state::{Part, Stored};
use crate::table::Rows;
use crate::triggers::{self, Standing};

/// What the catalog says of a binding.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) index: usize,
    pub(crate) resource: Resource,
    pub(crate) collection: String,
    pub(crate) key: Vec<String>,
    pub(crate) schema_json: Vec<u8>,
    /// It was captured before, under an older generation: its walk is a full refresh.
    pub(crate) is_refresh: bool,
}

/// A table that is followed.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) bound: Bound,
    pub(crate) plan: Plan,
    pub(crate) writer: RowWriter,
    pub(crate) shape: Shape,
    pub(crate) part: Part,
    /// The part is not in the state yet as it is here.
    pub(crate) is_unsaved: bool,
    lookup: String,
}

/// What looking at a table came to.
pub(crate) enum Looked {
    /// It can be read.
    Fit(Box<Watched>),
    /// Its triggers have to be made again first, under the same number; nothing was missed so far.
    Late(Box<Plan>, i64),
}

impl Bound {
    pub(crate) fn of(index: usize, binding: &longshore_sdk::binding::Bound<Resource>) -> Bound {
        Bound {
            index,
            resource: binding.resource.clone(),
            collection: binding.collection.name.clone(),
            key: binding.collection.key.clone(),
            schema_json: binding.collection.schema_json.to_vec(),
            is_refresh: binding.state_key.generation() > 0,
        }
    }

    /// Looks at the table. `part`: what is remembered of it; none: nothing yet. `after`: entries of the log up to here are covered.
    pub(crate) fn look(
        &self,
        connection: &Connection,
        names: &Names,
        whose: &Whose,
        about: &About,
        part: Option<&Part>,
        after: i64,
    ) -> Result<Looked> {
        let doubt = |code: &str, what: &str| whose.table(code, &self.resource.table, &self.collection, what);
        let plan = self.plan(connection, whose, part.is_some())?;
        let watch = match triggers::standing(connection, names, &plan)? {
            Standing::Whole { watch } => watch,
            Standing::Late { watch } if !log::has_entries(connection, names, watch, after)? => {
                return Ok(Looked::Late(Box::new(plan), watch));
            }
            Standing::Late { .. } => return Err(doubt("sqlite.triggers.late", LATE)),
            Standing::Nothing | Standing::Broken => return Err(doubt("sqlite.triggers.missing", MISSING)),
        };
        let fingerprint = plan.fingerprint();
        let Some(part) = part else {
            let part = Part::beginning(watch, fingerprint, about.renumbered);
            return Ok(Looked::Fit(Box::new(self.watched(plan, part, true))));
        };
        if part.watch != watch {
            return Err(doubt("sqlite.triggers.other", OTHER));
        }
        let was_renumbered = part.renumbered != about.renumbered;
        if was_renumbered && plan.has_rowid_key() {
            return Err(doubt("sqlite.rowids.renumbered", RENUMBERED));
        }
        let is_by_rowid = matches!(plan.table.rows, Rows::Id { alias: None, .. });
        let lost_its_place = was_renumbered && is_by_rowid && !part.walked;
        let mut now = Part { renumbered: about.renumbered, ..part.clone() };
        if part.fingerprint != fingerprint || lost_its_place {
            tracing::info!(table = %self.resource.table, "its columns or row ids changed: reading all rows again");
            now = Part::beginning(watch, fingerprint, about.renumbered);
        }
        let is_unsaved = now != *part;
        Ok(Looked::Fit(Box::new(self.watched(plan, now, is_unsaved))))
    }

    /// What was right when it began and is not any more is no mistake of the catalog.
    fn plan(&self, connection: &Connection, whose: &Whose, has_begun: bool) -> Result<Plan> {
        let plan = Plan::of(connection, &self.resource, &self.key);
        plan.map_err(|error| match has_begun && error.kind == ErrorKind::Config {
            true => {
                let what = format!("it is not as it was ({})", error.message);
                whose.table(&error.code, &self.resource.table, &self.collection, &what)
            }
            false => error.at_binding(self.index),
        })
    }

    fn watched(&self, plan: Plan, part: Part, is_unsaved: bool) -> Watched {
        Watched {
            writer: RowWriter::new(&plan),
            shape: Shape::new(&plan, &self.schema_json),
            lookup: plan.lookup_sql(),
            bound: self.clone(),
            plan,
            part,
            is_unsaved,
        }
    }
}

const LATE: &str = "an index on it became UNIQUE and rows were written before the triggers knew of it";
const MISSING: &str = "expected the triggers that note its changes, got others or none";
const OTHER: &str = "its triggers were made anew by somebody else";
const RENUMBERED: &str = "its rows may have been numbered anew by VACUUM, and their numbers are the collection's key";

impl Watched {
    /// Reads the row of a key as it is now.
    pub(crate) fn read_again(&mut self, connection: &Connection, key: &[Stored], gather: &mut Gather) -> Result<()> {
        let table = self.plan.table.name.clone();
        let doing = |error| failed(&format!("reading a row of {table:?}"), error);
        let mut select = connection.prepare_cached(&self.lookup).map_err(doing)?;
        let mut rows = select.query(params_from_iter(key)).map_err(doing)?;
        let (writer, shape) = (&self.writer, &mut self.shape);
        let row = rows.next().map_err(doing)?;
        let written = match row {
            Some(row) => {
                gather.write(self.bound.index, shape, |shape, arena| writer.write(row, Some("u"), shape, arena))
            }
            None => gather.write(self.bound.index, shape, |shape, arena| writer.write_deleted(key, shape, arena)),
        };
        let is_there = row.is_some();
        written.map_err(|error| self.of_row(error, key))?;
        match is_there && rows.next().map_err(doing)?.is_some() {
            true => Err(writer.same_key(key)),
            false => Ok(()),
        }
    }

    /// Sees to it that no other row has this key, which holds a NULL.
    pub(crate) fn check_alone(&self, connection: &Connection, key: &[Stored]) -> Result<()> {
        let count = || -> rusqlite::Result<usize> {
            let mut select = connection.prepare_cached(&self.lookup)?;
            let mut rows = select.query(params_from_iter(key))?;
            let mut count = 0;
            while rows.next()?.is_some() {
                count += 1;
            }
            Ok(count)
        };
        match count().map_err(|error| failed("looking for rows of the same key", error))? {
            0 | 1 => Ok(()),
            _ => Err(self.writer.same_key(key)),
        }
    }

    /// Says which row an error is about.
    pub(crate) fn of_row(&self, error: Error, key: &[Stored]) -> Error {
        let mut shown = Vec::new();
        for value in key {
            shown.push(b' ');
            crate::value::write(value.value(), crate::kinds::Form::Text, &mut shown);
        }
        let shown: String = String::from_utf8_lossy(&shown).chars().take(120).collect();
        error
            .while_doing(format!("reading the row of table {:?} with key{shown}", self.plan.table.name))
            .at_binding(self.bound.index)
    }
}
