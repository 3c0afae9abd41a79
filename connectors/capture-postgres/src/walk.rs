//! Walks over a table by its key, a chunk in each short transaction ([`crate::copy`] reads it).

#![allow(clippy::disallowed_methods, reason = "a transaction that is not seen is not waited for without end")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_postgres::tokio_postgres::SimpleQueryMessage;
use longshore_postgres::tokio_postgres::error::SqlState;
use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::{Error, Result};

use crate::config::{Resource, Settings};
use crate::copy::{self, BEGIN, BY_INDEX, Filled, Reading, Stride};
use crate::layout::{Key, Layout};
use crate::open;
use crate::rows::{Cell, Rows, Tuple};
use crate::server;
use crate::table::Table;
use crate::types::Types;
use crate::window::{Chunk, Snapshot, Window};
use crate::writers;

/// A transaction that is in the log is seen by others within this time, or we come again.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const SEEN_LOOK: Duration = Duration::from_millis(2);
/// The table, or its columns, are not those that the log tells of.
const OTHER_TABLE: [SqlState; 5] = [
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
    SqlState::UNDEFINED_FUNCTION,
    SqlState::DATATYPE_MISMATCH,
    SqlState::INVALID_SCHEMA_NAME,
];

/// Where the walk of a table stands.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) binding: usize,
    pub(crate) resource: &'a Resource,
    /// The columns of the key, typed, as `after` was read with them.
    pub(crate) typed_key: &'a [String],
    pub(crate) after: Option<&'a [String]>,
    /// What was read up to there is kept.
    pub(crate) is_ahead: bool,
    pub(crate) rows_max: usize,
}

/// What reading came to.
pub(crate) enum Read {
    Chunk(Box<Chunk>, Box<Table>),
    /// Not now: the server does not show yet what the log has brought already, or what is kept was read by another key.
    Early,
}

/// What was read in a transaction.
struct Taken {
    table: Table,
    layout: Layout,
    rows: Rows,
    is_end: bool,
    /// The last COPY was left in the middle.
    is_left: bool,
}

/// Reads the next rows.
pub(crate) async fn read(
    client: &mut Client,
    types: &mut Types,
    window: &mut Window,
    stand: &Stand<'_>,
    stride: &mut Stride,
) -> Result<Read> {
    let resource = stand.resource;
    let name = longshore_postgres::qualified(&resource.schema, &resource.table);
    // The lock comes before the snapshot: from here on nobody changes the columns, and the snapshot shows those there are.
    let doing = format!("reading rows of {}.{}", resource.schema, resource.table);
    client.run(&doing, &format!("{BEGIN}; {BY_INDEX}; LOCK TABLE {name} IN ACCESS SHARE MODE")).await?;
    let read = in_transaction(client, types, window, stand, stride, &doing).await;
    let ended = match &read {
        Ok(Some(taken)) if taken.is_left => {
            tracing::debug!(table = %name, rows = taken.rows.len(), "the rows are much larger than those before: the connection is made again");
            *client = open::connect(&stand.settings.endpoint).await?;
            Ok(())
        }
        Ok(_) | Err(_) => client.run(&doing, "ROLLBACK").await,
    };
    let Some(Taken { table, layout, rows, is_end, .. }) = read? else { return Ok(Read::Early) };
    ended?;
    let high = server::inserted(client).await?;
    let chunk = Chunk::new(stand.binding, Arc::new(layout), rows, is_end, high)?;
    Ok(Read::Chunk(Box::new(chunk), Box::new(table)))
}

async fn in_transaction(
    client: &Client,
    types: &mut Types,
    window: &mut Window,
    stand: &Stand<'_>,
    stride: &mut Stride,
    doing: &str,
) -> Result<Option<Taken>> {
    if !window.judge(&writers::snapshot(client).await?) {
        return Ok(None);
    }
    let table = Table::find(client, types, stand.resource).await?;
    table.check()?;
    let layout = table.layout()?;
    let is_same_key = table.typed_key() == stand.typed_key;
    if stand.is_ahead && !is_same_key {
        // It begins anew when nothing of it is kept any more.
        return Ok(None);
    }
    let after = stand.after.filter(|_| is_same_key).map(<[String]>::to_vec);
    let (width, wires) = (table.columns.len(), table.wires());
    let reading = Reading { client, doing, layout: &layout, width, wires, rows_max: stand.rows_max };
    let condition = stand.resource.condition.as_deref();
    let select = |after: Option<&[String]>, limit: usize| select(&table, condition, after, limit);
    let Filled { rows, is_end, is_left } =
        copy::fill(&reading, stride, after, select, |row| layout.key_of(row)).await?;
    Ok(Some(Taken { table, layout, rows, is_end, is_left }))
}

/// Rows behind a key for which a condition is true, in the order of its index.
fn select(table: &Table, condition: Option<&str>, after: Option<&[String]>, rows_max: usize) -> String {
    let key: Vec<String> = table.key.iter().map(|name| table.sql_column(name)).collect();
    let key = key.join(", ");
    let behind = after.map(|after| format!("({key}) > ({})", literals(table, after).join(", ")));
    let conditions: Vec<String> = behind.into_iter().chain(condition.map(whole)).collect();
    let of = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!("SELECT {} FROM {}{of} ORDER BY {key} LIMIT {rows_max}", table.sql_columns(), table.sql_from())
}

/// What a user wrote, as one operand; it may end in a comment.
fn whole(condition: &str) -> String {
    format!("({condition}\n)")
}

/// Whether the server takes a condition; looks at it alone, and at no row.
pub(crate) async fn check_condition(client: &Client, table: &Table, condition: &str) -> Result<()> {
    let select = format!("SELECT FROM {} WHERE {}", table.sql_from(), whole(condition));
    let got = match client.prepare(&select).await {
        Ok(statement) if statement.params().is_empty() => return Ok(()),
        Ok(_) => "one with a parameter".to_owned(),
        Err(error) => match error.as_db_error() {
            Some(refused) => refused.message().to_owned(),
            None => return Err(failed("looking at `where`", &error)),
        },
    };
    let expected = "a condition in SQL over its columns";
    Err(table.refused("postgres.where", expected, &got, "correct `where`".to_owned()).at_pointer("/where"))
}

/// Values of the key as SQL.
fn literals(table: &Table, values: &[String]) -> Vec<String> {
    let typed = |(name, value): (&String, &String)| {
        let column = table.columns.iter().find(|column| column.name == *name);
        column.map_or_else(|| copy::literal(value), |column| copy::typed(value, &column.sql))
    };
    table.key.iter().zip(values).map(typed).collect()
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
    let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let conditions: Vec<String> = (table.key.iter().zip(literals(table, key)))
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
            Err(error) if error.code().is_some_and(|state| OTHER_TABLE.contains(state)) => return Ok(None),
            Err(error) => return Err(failed("reading a row again", &error)),
        };
        let row = messages
            .into_iter()
            .find_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None });
        let Some(row) = row else { return Ok(None) };
        if row.get(0).and_then(Snapshot::parse).is_some_and(|snapshot| snapshot.shows(xid)) {
            let cell = |place| row.get(place).map_or(Cell::Null, Cell::Text);
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

/// Makes the server write out what was inserted: a transaction of our own that changes nothing is committed behind it.
pub(crate) async fn nudge(client: &Client) {
    if let Err(error) = client.query_one("SELECT pg_current_xact_id()::text", &[]).await {
        tracing::debug!(%error, "the server writes its log in its own time");
    }
}
