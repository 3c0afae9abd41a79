//! Our two tables in the database: the log of keys, and a row about it.
//!
//! The log's numbers have no gaps, and each entry has a random mark. A state remembers number and mark of the last entry it covers, and that
//! entry stays: where it is not found, or what follows has a gap, this is not the database that the state was made with.
//!
//! The row *about* the log lies under a row id that no `VACUUM` leaves alone: where it has moved, row ids of other tables may have too.

use longshore_sdk::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest, Sha256};

use crate::database::failed;
use crate::faults::Whose;
use crate::identifier::{OWN_PREFIX, quoted};
use crate::state::{Cursor, Stored, TaskState};

/// Where the row about the log lies: far from 1, where a VACUUM would put it.
const HOME: i64 = 1 << 40;
/// Columns of the log before those of the key.
const LEAD: usize = 3;

/// What our tables and triggers are called: a name for each task of each installation, however long theirs are.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) log: String,
    about: String,
    prefix: String,
}

impl Names {
    pub(crate) fn of(installation: &str, task: &str) -> Names {
        let hash = Sha256::digest(format!("{installation}\0{task}").as_bytes());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let about = format!("{OWN_PREFIX}{hash}");
        Names { log: format!("{about}_log"), prefix: format!("{about}_t"), about }
    }

    pub(crate) fn trigger(&self, watch: i64, kind: &str) -> String {
        format!("{}{watch}_{kind}", self.prefix)
    }

    pub(crate) fn watch_of(&self, trigger: &str) -> Option<i64> {
        trigger.strip_prefix(&self.prefix)?.split_once('_')?.0.parse().ok()
    }

    /// For GLOB, to which an underscore is an underscore.
    pub(crate) fn triggers_glob(&self) -> String {
        format!("{}*", self.prefix)
    }
}

/// What the row about the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Random: which log this is.
    pub(crate) id: String,
    /// How often row ids may have been given anew.
    pub(crate) renumbered: i64,
    /// They may have been since, and nobody has counted it yet.
    pub(crate) has_moved: bool,
}

/// What there is; none: no log, or not all of it.
pub(crate) fn about(connection: &Connection, names: &Names) -> Result<Option<About>> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN (?, ?)";
    let read = || -> rusqlite::Result<Option<About>> {
        let found: i64 = connection.prepare_cached(tables)?.query_row([&names.about, &names.log], |row| row.get(0))?;
        if found < 2 {
            return Ok(None);
        }
        let select = format!("SELECT rowid, id, renumbered FROM {}", quoted(&names.about));
        let about = |row: &Row<'_>| {
            Ok(About { has_moved: row.get::<_, i64>(0)? != HOME, id: row.get(1)?, renumbered: row.get(2)? })
        };
        connection.prepare_cached(&select)?.query_row([], about).optional()
    };
    read().map_err(|error| failed("looking at the log", error))
}

/// Makes the log, and what there was of an old one goes.
pub(crate) fn create(connection: &Connection, names: &Names, owner: (&str, &str)) -> Result<()> {
    let make = || -> rusqlite::Result<()> {
        drop_tables(connection, names)?;
        let (about, log) = (quoted(&names.about), quoted(&names.log));
        connection.execute_batch(&format!(
            "CREATE TABLE {about} (id TEXT NOT NULL, installation TEXT NOT NULL, task TEXT NOT NULL, \
             watches INTEGER NOT NULL, renumbered INTEGER NOT NULL);
             CREATE TABLE {log} (seq INTEGER PRIMARY KEY AUTOINCREMENT, mark INTEGER NOT NULL DEFAULT (random()), \
             watch INTEGER NOT NULL);
             INSERT INTO {log} (watch) VALUES (0);"
        ))?;
        let insert = format!(
            "INSERT INTO {about} (rowid, id, installation, task, watches, renumbered) \
             VALUES (?, lower(hex(randomblob(16))), ?, ?, 0, 0)"
        );
        connection.execute(&insert, params![HOME, owner.0, owner.1]).map(drop)
    };
    make().map_err(|error| failed("making the log", error))
}

/// Drops our tables, if they are there.
pub(crate) fn remove(connection: &Connection, names: &Names) -> Result<()> {
    drop_tables(connection, names).map_err(|error| failed("dropping the log", error))
}

fn drop_tables(connection: &Connection, names: &Names) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {};",
        quoted(&names.log),
        quoted(&names.about)
    ))
}

/// Gives the log room for keys of so many parts, of whatever type, which is why these columns have none.
pub(crate) fn fit_key(connection: &Connection, names: &Names, parts: usize) -> Result<()> {
    let fit = || -> rusqlite::Result<()> {
        let count = "SELECT count(*) FROM pragma_table_info(?)";
        let there: i64 = connection.query_row(count, [&names.log], |row| row.get(0))?;
        let there = usize::try_from(there).unwrap_or_default();
        for place in there.saturating_sub(LEAD) + 1..=parts {
            connection.execute_batch(&format!("ALTER TABLE {} ADD COLUMN k{place}", quoted(&names.log)))?;
        }
        Ok(())
    };
    fit().map_err(|error| failed("making room in the log", error))
}

/// A number for triggers that are made, never used before.
pub(crate) fn next_watch(connection: &Connection, names: &Names) -> Result<i64> {
    let next = format!("UPDATE {} SET watches = watches + 1 RETURNING watches", quoted(&names.about));
    connection.query_row(&next, [], |row| row.get(0)).map_err(|error| failed("numbering triggers", error))
}

/// Counts that row ids may have been given anew, and puts the row back that told of it.
pub(crate) fn count_renumbering(connection: &Connection, names: &Names) -> Result<()> {
    let count =
        format!("UPDATE {} SET renumbered = renumbered + 1, rowid = ?1 WHERE rowid <> ?1", quoted(&names.about));
    connection.execute(&count, [HOME]).map(drop).map_err(|error| failed("counting a VACUUM", error))
}

/// Where the log ends now.
pub(crate) fn end(connection: &Connection, names: &Names) -> Result<Option<Cursor>> {
    let select = format!("SELECT seq, mark FROM {} ORDER BY seq DESC LIMIT 1", quoted(&names.log));
    let cursor = |row: &Row<'_>| Ok(Cursor { seq: row.get(0)?, mark: row.get(1)? });
    let read = || connection.prepare_cached(&select)?.query_row([], cursor).optional();
    read().map_err(|error| failed("looking for the log's end", error))
}

/// The log must be the one the state remembers, with the entry it covers last.
pub(crate) fn check(connection: &Connection, names: &Names, whose: &Whose, state: &TaskState) -> Result<About> {
    let Some(about) = about(connection, names)? else {
        return Err(whose.log("sqlite.log.missing", &format!("the table {:?}", names.log), "none"));
    };
    if about.id != state.log {
        return Err(whose.log("sqlite.log.other", &format!("log {}", state.log), &format!("log {}", about.id)));
    }
    let select = format!("SELECT mark FROM {} WHERE seq = ?", quoted(&names.log));
    let mark = connection.query_row(&select, [state.cursor.seq], |row| row.get::<_, i64>(0)).optional();
    let mark = mark.map_err(|error| failed("looking for the entry that was read last", error))?;
    if mark == Some(state.cursor.mark) {
        return Ok(about);
    }
    let end = end(connection, names)?.map_or(0, |end| end.seq);
    Err(lost(whose, state.cursor, mark, end))
}

fn lost(whose: &Whose, cursor: Cursor, mark: Option<i64>, end: i64) -> Error {
    let got = match mark {
        Some(_) => "another entry there".to_owned(),
        None => format!("none there, and the last one is {end}"),
    };
    whose.log("sqlite.log.moved", &format!("entry {}, which was read last", cursor.seq), &got)
}

/// An entry: whose key it is, and the key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) at: Cursor,
    pub(crate) watch: i64,
    /// As wide as the log is.
    pub(crate) key: Vec<Stored>,
}

/// Hands over the entries behind a cursor up to a number, in order, until `take` says that it has enough.
pub(crate) fn entries(
    connection: &Connection,
    names: &Names,
    whose: &Whose,
    after: Cursor,
    to: i64,
    mut take: impl FnMut(Entry) -> Result<bool>,
) -> Result<()> {
    let doing = |error| failed("reading the log", error);
    let select = format!("SELECT * FROM {} WHERE seq >= ? AND seq <= ? ORDER BY seq", quoted(&names.log));
    let mut select = connection.prepare_cached(&select).map_err(doing)?;
    let width = select.column_count();
    let mut rows = select.query([after.seq, to]).map_err(doing)?;
    let mut expected = after.seq;
    while let Some(row) = rows.next().map_err(doing)? {
        let entry = entry(row, width).map_err(doing)?;
        let is_next = entry.at.seq == expected && (entry.at.seq > after.seq || entry.at.mark == after.mark);
        if !is_next {
            let got = format!("entry {}", entry.at.seq);
            return Err(whose.log("sqlite.log.gap", &format!("entry {expected} as it was written"), &got));
        }
        expected += 1;
        if entry.at.seq > after.seq && !take(entry)? {
            return Ok(());
        }
    }
    if expected <= to {
        return Err(whose.log("sqlite.log.gap", &format!("entries up to {to}"), &format!("none from {expected} on")));
    }
    Ok(())
}

fn entry(row: &Row<'_>, width: usize) -> rusqlite::Result<Entry> {
    let key = (LEAD..width).map(|place| row.get_ref(place).map(Stored::from)).collect::<rusqlite::Result<_>>()?;
    Ok(Entry { at: Cursor { seq: row.get(0)?, mark: row.get(1)? }, watch: row.get(2)?, key })
}

/// Whether triggers of this number wrote anything behind a cursor.
pub(crate) fn has_entries(connection: &Connection, names: &Names, watch: i64, after: i64) -> Result<bool> {
    let select = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE seq > ? AND watch = ?)", quoted(&names.log));
    let found = connection.query_row(&select, [after, watch], |row| row.get(0));
    found.map_err(|error| failed("looking into the log", error))
}

/// Removes what is before an entry that is durable elsewhere; the entry stays, to know the log by. At most `most` at a time; says how many.
pub(crate) fn forget(
    connection: &Connection,
    names: &Names,
    log: &str,
    before: i64,
    most: u32,
) -> rusqlite::Result<usize> {
    let delete = format!(
        "DELETE FROM {log} WHERE seq IN (SELECT seq FROM {log} WHERE seq < ? ORDER BY seq LIMIT ?) \
         AND EXISTS (SELECT 1 FROM {about} WHERE id = ?)",
        log = quoted(&names.log),
        about = quoted(&names.about)
    );
    connection.prepare_cached(&delete)?.execute(params![before, most, log])
}

/// A value of a row, to keep.
impl From<ValueRef<'_>> for Stored {
    fn from(value: ValueRef<'_>) -> Stored {
        match value {
            ValueRef::Null => Stored::Null,
            ValueRef::Integer(value) => Stored::Integer(value),
            ValueRef::Real(value) => Stored::Real(value.to_bits()),
            ValueRef::Text(value) => Stored::Text(value.to_vec()),
            ValueRef::Blob(value) => Stored::Blob(value.to_vec()),
        }
    }
}
