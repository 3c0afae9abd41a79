//! Reads a table by its key, a chunk in each short transaction, with all values as the types' output functions write them: the simple query
//! protocol does, as the log does, where a cast to text would not (`inet`, `character(n)`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_postgres::tokio_postgres::SimpleQueryMessage;
use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::{Error, Result};

use crate::config::Resource;
use crate::layout::Key;
use crate::lsn::Lsn;
use crate::pgoutput::{Cell, Tuple};
use crate::table::Table;
use crate::types::Types;
use crate::window::{Chunk, Snapshot, Window};
use crate::writers;

/// A chunk is read until it has so many bytes of values, and a fetch more.
const CHUNK_BYTES: usize = 4 << 20;
/// Rows of the first fetch, and the most of any.
const FETCH_ROWS: usize = 50;
const FETCH_ROWS_MAX: usize = 5_000;
/// A transaction that is in the log is seen by others within this time, or we come again.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const SEEN_LOOK: Duration = Duration::from_millis(2);
/// Set for a chunk: every session of ours reads all rows or none, and by the index, however small a part is asked for.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off; SET LOCAL enable_sort = off; \
                    SET LOCAL cursor_tuple_fraction = 0.001";

/// Where the walk of a table stands.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) binding: usize,
    pub(crate) resource: &'a Resource,
    /// The columns of the key, typed, as `after` was read with them.
    pub(crate) typed_key: &'a [String],
    pub(crate) after: Option<&'a [String]>,
    pub(crate) rows_max: usize,
}

/// What reading came to.
pub(crate) enum Read {
    Chunk(Box<Chunk>, Table),
    /// The server does not show yet what the log has brought already: it is to be read again.
    Early,
}

/// Reads the next rows.
pub(crate) async fn read(client: &Client, types: &mut Types, window: &mut Window, stand: &Stand<'_>) -> Result<Read> {
    let resource = stand.resource;
    let name = longshore_postgres::qualified(&resource.schema, &resource.table);
    // The lock comes before the snapshot: from here on nobody changes the columns, and the snapshot shows those there are.
    let doing = format!("reading rows of {}.{}", resource.schema, resource.table);
    client.run(&doing, &format!("{READ}; LOCK TABLE {name} IN ACCESS SHARE MODE")).await?;
    let read = in_transaction(client, types, window, stand, &doing).await;
    let ended = client.run(&doing, "ROLLBACK").await;
    let Some((table, rows, is_end)) = read? else { return Ok(Read::Early) };
    ended?;
    let high = inserted(client).await?;
    Ok(Read::Chunk(Box::new(Chunk::new(stand.binding, Arc::new(table.layout()?), rows, is_end, high)), table))
}

async fn in_transaction(
    client: &Client,
    types: &mut Types,
    window: &mut Window,
    stand: &Stand<'_>,
    doing: &str,
) -> Result<Option<(Table, Vec<(Key, Tuple)>, bool)>> {
    if !window.judge(&writers::snapshot(client).await?) {
        return Ok(None);
    }
    let table = Table::find(client, types, stand.resource).await?;
    table.check()?;
    let is_same_key = table.typed_key() == stand.typed_key;
    let declare = format!(
        "DECLARE longshore NO SCROLL CURSOR FOR {}",
        select(&table, stand.after.filter(|_| is_same_key), stand.rows_max)
    );
    client.run(doing, &declare).await?;
    let layout = table.layout()?;
    let (mut rows, mut bytes, mut fetch) = (Vec::new(), 0, FETCH_ROWS);
    loop {
        let fetched = fetched(client, fetch, doing, &mut bytes).await?;
        let count = fetched.len();
        for row in fetched {
            rows.push((layout.key_of(&row)?, row));
        }
        if count < fetch {
            // The cursor ends; the table does where it ends before the most that was asked for.
            let is_end = rows.len() < stand.rows_max;
            return Ok(Some((table, rows, is_end)));
        }
        if bytes >= CHUNK_BYTES || rows.len() >= stand.rows_max {
            return Ok(Some((table, rows, false)));
        }
        let left = (CHUNK_BYTES - bytes) / (bytes / rows.len().max(1)).max(1);
        fetch = left.clamp(1, (fetch * 4).min(FETCH_ROWS_MAX));
    }
}

async fn fetched(client: &Client, rows: usize, doing: &str, bytes: &mut usize) -> Result<Vec<Tuple>> {
    let fetch = format!("FETCH {rows} FROM longshore");
    let messages = client.simple_query(&fetch).await.map_err(|error| failed(doing, &error))?;
    let mut fetched = Vec::with_capacity(rows.min(messages.len()));
    for message in messages {
        // The others tell of columns and of the command.
        let SimpleQueryMessage::Row(row) = message else { continue };
        let mut tuple = Vec::with_capacity(row.len());
        for place in 0..row.len() {
            tuple.push(match row.try_get(place).map_err(|error| failed(doing, &error))? {
                None => Cell::Null,
                Some(text) => {
                    *bytes += text.len();
                    Cell::Text(Bytes::copy_from_slice(text.as_bytes()))
                }
            });
        }
        fetched.push(tuple);
    }
    Ok(fetched)
}

/// Rows behind a key, in the order of its index.
fn select(table: &Table, after: Option<&[String]>, rows_max: usize) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
    let key = key.join(", ");
    let behind = match after {
        None => String::new(),
        Some(after) => format!(" WHERE ({key}) > ({})", literals(table, after).join(", ")),
    };
    format!("SELECT {} FROM {}{behind} ORDER BY {key} LIMIT {rows_max}", columns.join(", "), table.sql_from())
}

/// Values of the key as SQL.
fn literals(table: &Table, values: &[String]) -> Vec<String> {
    let typed = |(name, value): (&String, &String)| {
        let column = table.columns.iter().find(|column| column.name == *name);
        let literal = literal(value);
        column.map_or_else(|| literal.clone(), |column| format!("CAST({literal} AS {})", column.sql))
    };
    table.key.iter().zip(values).map(typed).collect()
}

/// A text as SQL has it, whatever the server is set to.
fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// The row of this key as it is now, but not before this transaction; none: it is gone, or the table has other columns by now.
///
/// A transaction is in the log before others see it, for long if it waits for a synchronous standby. Read too early, the row would be one that
/// the transaction has changed, or there would be none.
pub(crate) async fn read_again(
    client: &Client,
    table: &Table,
    key: &Key,
    columns: &[&str],
    xid: u32,
) -> Result<Option<Tuple>> {
    let values: Vec<String> = key.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let conditions: Vec<String> = (table.key.iter().zip(literals(table, &values)))
        .map(|(name, value)| format!("{} = {value}", quoted(name)))
        .collect();
    // One statement, so one snapshot.
    let select = format!(
        "SELECT pg_current_snapshot(), r.* FROM (SELECT) s LEFT JOIN LATERAL (SELECT true, {} FROM {} WHERE {}) r ON true",
        names.join(", "),
        table.sql_from(),
        conditions.join(" AND ")
    );
    let begun = Instant::now();
    loop {
        let messages = match client.simple_query(&select).await {
            Ok(messages) => messages,
            Err(error) if error.code().is_some_and(|state| state.code().starts_with("42")) => return Ok(None),
            Err(error) => return Err(failed("reading a row again", &error)),
        };
        let row = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(row) = row else { return Ok(None) };
        if row.get(0).and_then(Snapshot::parse).is_some_and(|snapshot| snapshot.shows(xid)) {
            let cell = |place| {
                row.get(place).map_or(Cell::Null, |text: &str| Cell::Text(Bytes::copy_from_slice(text.as_bytes())))
            };
            return Ok(row.get(1).map(|_| (2..row.len()).map(cell).collect()));
        }
        if begun.elapsed() > SEEN_WITHIN {
            let message = format!(
                "capture-postgres reads a row again: expected to see transaction {xid}, which is in the log, within {} s; it waits for \
                 something, such as a synchronous standby",
                SEEN_WITHIN.as_secs()
            );
            return Err(Error::unavailable("postgres.transaction.unseen", message));
        }
        tokio::time::sleep(SEEN_LOOK).await;
    }
}

/// Behind all that was inserted into the log by now, also what is not on disk yet: a transaction that does not wait for that is seen before.
pub(crate) async fn inserted(client: &Client) -> Result<Lsn> {
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await;
    let row = row.map_err(|error| failed("asking for the end of the log", &error))?;
    let text: String = row.get(0);
    let end: Lsn =
        text.parse().map_err(|fault| Error::internal("postgres.lsn", format!("the end of the log: {fault}")))?;
    Ok(end.without_page_header())
}

/// Makes the server write out what was inserted: a transaction of our own that changes nothing is committed behind it.
pub(crate) async fn nudge(client: &Client) {
    if let Err(error) = client.query_one("SELECT pg_current_xact_id()::text", &[]).await {
        tracing::debug!(%error, "the server writes its log in its own time");
    }
}
