//! The index of dead letters: what was read of them in the journals, so that they are found without reading those again. It is derived, it may
//! be behind, and it may be thrown away; so no epoch guards it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{has_table, journal_id, number, reading, writing};
use super::{SqliteStore, StoreError};
use crate::journal::{Mark, Position};
use crate::letters::{Listed, Page, ReadTo};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS letter (
    task TEXT NOT NULL, position INTEGER NOT NULL, binding TEXT NOT NULL, collection TEXT NOT NULL,
    code TEXT NOT NULL, message TEXT NOT NULL, bytes INTEGER NOT NULL, mark TEXT,
    PRIMARY KEY (task, position)
) STRICT;
CREATE TABLE IF NOT EXISTS letter_index (
    task TEXT PRIMARY KEY, journal TEXT NOT NULL, position INTEGER NOT NULL, chain_crc INTEGER NOT NULL
) STRICT;
";

/// The index in the task store. All calls block until what they did is durable.
#[derive(Debug, Clone)]
pub struct LetterIndex(Arc<SqliteStore>);

impl LetterIndex {
    pub(super) fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }

    /// How far the index of a capture goes; `None`: there is none.
    pub fn read_to(&self, task: &str) -> Result<Option<ReadTo>, StoreError> {
        let task = task.to_owned();
        self.0.ask(move |connection| read_to(connection, &task))
    }

    /// Adds what was read; the index goes as far as `read_to` then. `anew`: whatever it held before is forgotten first.
    pub fn add(&self, task: &str, (page, read_to): (Page, ReadTo), anew: bool) -> Result<(), StoreError> {
        let task = task.to_owned();
        self.0.ask(move |connection| add(connection, &task, &page, read_to, anew))
    }

    /// The position of the first letter that waits.
    pub fn first_waiting(&self, task: &str) -> Result<Option<u64>, StoreError> {
        let task = task.to_owned();
        self.0.ask(move |connection| {
            let sql = "SELECT min(position) FROM letter WHERE task = ?1 AND mark IS NULL";
            let first: Option<i64> = connection.query_row(sql, [&task], |row| row.get(0)).map_err(reading)?;
            Ok(first.map(i64::cast_unsigned))
        })
    }

    /// How many letters wait, by collection.
    pub fn waiting(&self, task: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let task = task.to_owned();
        self.0.ask(move |connection| waiting(connection, &task))
    }
}

/// A store that was made before there were letters has no tables for them until somebody runs it.
pub(super) fn has_tables(connection: &Connection) -> Result<bool, StoreError> {
    has_table(connection, "letter_index")
}

pub(super) fn read_to(connection: &Connection, task: &str) -> Result<Option<ReadTo>, StoreError> {
    let sql = "SELECT journal, position, chain_crc FROM letter_index WHERE task = ?1";
    let found = connection
        .query_row(sql, [task], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, u32>(2)?)))
        .optional()
        .map_err(reading)?;
    let Some((journal, offset, chain_crc)) = found else { return Ok(None) };
    Ok(Some(ReadTo {
        journal: journal_id(&journal)?,
        position: Position { offset: offset.cast_unsigned(), chain_crc },
    }))
}

/// All letters of a task, in the order of the journal.
pub(super) fn all(connection: &Connection, task: &str) -> Result<Vec<Listed>, StoreError> {
    let sql = "SELECT position, binding, collection, code, message, bytes, mark FROM letter WHERE task = ?1 ORDER BY position";
    let mut select = connection.prepare_cached(sql).map_err(reading)?;
    let rows = select.query_map([task], listed).map_err(reading)?;
    rows.collect::<rusqlite::Result<_>>().map_err(reading)
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let mark: Option<String> = row.get(6)?;
    Ok(Listed {
        offset: row.get::<_, i64>(0)?.cast_unsigned(),
        binding: row.get(1)?,
        collection: row.get(2)?,
        code: row.get(3)?,
        message: row.get(4)?,
        bytes: row.get::<_, i64>(5)?.cast_unsigned(),
        mark: mark.map(|word| if word == Mark::Replayed.word() { Mark::Replayed } else { Mark::Dropped }),
    })
}

fn add(connection: &Connection, task: &str, page: &Page, read_to: ReadTo, anew: bool) -> Result<(), StoreError> {
    if anew {
        connection.execute("DELETE FROM letter WHERE task = ?1", [task]).map_err(writing)?;
    }
    let mut insert = connection
        .prepare_cached("INSERT OR REPLACE INTO letter VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)")
        .map_err(writing)?;
    for letter in &page.letters {
        let (offset, bytes) = (number(letter.offset)?, number(letter.bytes)?);
        insert
            .execute(params![task, offset, letter.binding, letter.collection, letter.code, letter.message, bytes])
            .map_err(writing)?;
    }
    let mut mark =
        connection.prepare_cached("UPDATE letter SET mark = ?3 WHERE task = ?1 AND position = ?2").map_err(writing)?;
    for (offset, what) in &page.settled {
        mark.execute(params![task, number(*offset)?, what.word()]).map_err(writing)?;
    }
    let Position { offset, chain_crc } = read_to.position;
    connection
        .execute(
            "INSERT OR REPLACE INTO letter_index VALUES (?1, ?2, ?3, ?4)",
            params![task, read_to.journal.to_string(), number(offset)?, chain_crc],
        )
        .map_err(writing)?;
    Ok(())
}

fn waiting(connection: &Connection, task: &str) -> Result<BTreeMap<String, u64>, StoreError> {
    let sql = "SELECT collection, count(*) FROM letter WHERE task = ?1 AND mark IS NULL GROUP BY collection";
    let mut select = connection.prepare_cached(sql).map_err(reading)?;
    let rows =
        select.query_map([task], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))).map_err(reading)?;
    rows.collect::<rusqlite::Result<_>>().map_err(reading)
}
