//! The table of documents that destinations refused, and the statements over it. Called inside a savepoint, under the fence of the task.

use bytes::Bytes;
use rusqlite::{Connection, Row, params};

use super::rows::{has_table, journal_id, number, reading, state_key, writing};
use super::{Skip, SkipId, StoreError, TaskChanges};

/// Made where it is missing: a store of before there were skips has none.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS skip (
    task TEXT NOT NULL, journal TEXT NOT NULL, state_key TEXT NOT NULL, position INTEGER NOT NULL,
    collection TEXT NOT NULL, key BLOB NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, bytes INTEGER NOT NULL,
    replayed_at INTEGER, dropped INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, journal, state_key, position)
) STRICT, WITHOUT ROWID;
";

pub(super) fn of(connection: &Connection, task: &str) -> Result<Vec<Skip>, StoreError> {
    if !has_table(connection, "skip")? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT journal, state_key, position, collection, key, code, reason, bytes, replayed_at, dropped FROM skip
               WHERE task = ?1 ORDER BY journal, state_key, position";
    let mut select = connection.prepare_cached(sql).map_err(reading)?;
    let rows = select.query_map([task], |row| Ok(skip(row))).map_err(reading)?;
    rows.map(|row| row.map_err(reading)?).collect()
}

pub(super) fn commit(connection: &Connection, task: &str, changes: &TaskChanges) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO skip VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, 0) ON CONFLICT DO NOTHING")
        .map_err(writing)?;
    for Skip { at, collection, key_json, code, reason, bytes, .. } in &changes.skips {
        let (journal, binding) = (at.journal.to_string(), at.binding.as_str());
        let (offset, bytes) = (number(at.offset)?, number(*bytes)?);
        insert
            .execute(params![task, journal, binding, offset, collection, key_json.as_ref(), code, reason, bytes])
            .map_err(writing)?;
    }
    const OF: &str = "WHERE task = ?1 AND journal = ?2 AND state_key = ?3 AND position = ?4";
    let change = |set: &str, at: &SkipId, value: i64| {
        let mut update = connection.prepare_cached(&format!("UPDATE skip SET {set} = ?5 {OF}")).map_err(writing)?;
        let (journal, binding, offset) = (at.journal.to_string(), at.binding.as_str(), number(at.offset)?);
        update.execute(params![task, journal, binding, offset, value]).map(drop).map_err(writing)
    };
    for (at, again) in &changes.replayed {
        change("replayed_at", at, number(*again)?)?;
    }
    changes.dropped.iter().try_for_each(|at| change("dropped", at, 1))
}

fn skip(row: &Row<'_>) -> Result<Skip, StoreError> {
    let text = |column: &str| row.get::<_, String>(column).map_err(reading);
    let unsigned = |column: &str| row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(reading);
    Ok(Skip {
        at: SkipId {
            journal: journal_id(&text("journal")?)?,
            binding: state_key(&text("state_key")?)?,
            offset: unsigned("position")?,
        },
        collection: text("collection")?,
        key_json: Bytes::from(row.get::<_, Vec<u8>>("key").map_err(reading)?),
        code: text("code")?,
        reason: text("reason")?,
        bytes: unsigned("bytes")?,
        replayed_at: row.get::<_, Option<i64>>("replayed_at").map_err(reading)?.map(i64::cast_unsigned),
        dropped: row.get("dropped").map_err(reading)?,
    })
}
