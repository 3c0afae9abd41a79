//! What the store keeps of trimmed journals, and of readers that hold none back any more. Called inside a savepoint, under the fence of the
//! task.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{damaged, has_table, journal_id, number, reading, writing};
use super::{StoreError, TaskChanges};
use crate::journal::{SegmentName, Trim};

/// Made where they are missing: a store of before journals were trimmed has none.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS journal_trimmed (
    task TEXT PRIMARY KEY, journal TEXT NOT NULL, segment TEXT NOT NULL, position INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS released_reader (task TEXT PRIMARY KEY) STRICT;
";

pub(super) fn trimmed(connection: &Connection, task: &str) -> Result<Option<Trim>, StoreError> {
    if !has_table(connection, "released_reader")? {
        return Ok(None);
    }
    let sql = "SELECT journal, segment, position FROM journal_trimmed WHERE task = ?1";
    let row = connection
        .query_row(sql, [task], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))
        .optional()
        .map_err(reading)?;
    let Some((journal, segment, offset)) = row else { return Ok(None) };
    let journal = journal_id(&journal)?;
    let first = SegmentName::parse(&segment).ok_or_else(|| damaged(&format!("{segment} is not a segment")))?;
    Ok(Some(Trim { journal, first, offset: offset.cast_unsigned() }))
}

pub(super) fn released(connection: &Connection, task: &str) -> Result<bool, StoreError> {
    if !has_table(connection, "released_reader")? {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM released_reader WHERE task = ?1";
    Ok(connection.query_row(sql, [task], |_| Ok(())).optional().map_err(reading)?.is_some())
}

pub(super) fn commit(connection: &Connection, task: &str, changes: &TaskChanges) -> Result<(), StoreError> {
    if let Some(Trim { journal, first, offset }) = &changes.trimmed {
        let sql = "INSERT OR REPLACE INTO journal_trimmed VALUES (?1, ?2, ?3, ?4)";
        let values = params![task, journal.to_string(), first.to_string(), number(*offset)?];
        connection.execute(sql, values).map_err(writing)?;
    }
    if let Some(released) = changes.released {
        let sql = match released {
            true => "INSERT OR IGNORE INTO released_reader VALUES (?1)",
            false => "DELETE FROM released_reader WHERE task = ?1",
        };
        connection.execute(sql, [task]).map_err(writing)?;
    }
    Ok(())
}
