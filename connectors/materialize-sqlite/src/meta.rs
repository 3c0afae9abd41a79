//! What the connector keeps in the database beside the rows: for each task who may write and the runtime's checkpoint, for each table
//! whose it is, and for each column of which field ([`crate::columns`]). Always read and written in the transaction of what it guards.

use longshore_sdk::materialize::{Fence, InstallationId, Owner, Recorded, StateKey};
use longshore_sdk::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::database::failed;

/// Version 1 always serves the full key range.
const RANGE: (u32, u32) = (0, u32::MAX);

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS _longshore_tasks (
    task TEXT NOT NULL,
    range_begin INTEGER NOT NULL,
    range_end INTEGER NOT NULL,
    installation TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    txn INTEGER NOT NULL,
    checkpoint BLOB NOT NULL,
    PRIMARY KEY (task, range_begin, range_end)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _longshore_tables (
    name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    task TEXT NOT NULL,
    state_key TEXT NOT NULL,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    delta INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _longshore_columns (
    table_name TEXT NOT NULL COLLATE NOCASE,
    column_name TEXT NOT NULL COLLATE NOCASE,
    pointer TEXT NOT NULL,
    types TEXT NOT NULL,
    PRIMARY KEY (table_name, column_name)
) STRICT, WITHOUT ROWID;
";

/// Makes what is not there.
pub(crate) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(CREATE).map_err(|error| failed("making the connector's own tables", error))
}

/// The connector's own tables are there.
pub(crate) fn exists(connection: &Connection) -> Result<bool> {
    let count = "SELECT count(*) FROM sqlite_schema WHERE name IN ('_longshore_tasks', '_longshore_tables')";
    let count: i64 = connection
        .query_row(count, [], |row| row.get(0))
        .map_err(|error| failed("looking for the connector's own tables", error))?;
    Ok(count == 2)
}

/// What is remembered of a task.
pub(crate) fn recorded(connection: &Connection, task: &str) -> Result<Option<Recorded>> {
    let doing = |error| failed("reading the task's checkpoint", error);
    let select = "SELECT installation, epoch, txn, checkpoint FROM _longshore_tasks WHERE task = ? AND range_begin = ? AND range_end = ?";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?))
    };
    let mut select = connection.prepare_cached(select).map_err(doing)?;
    let row = select.query_row(params![task, RANGE.0, RANGE.1], read).optional().map_err(doing)?;
    let Some((installation, epoch, transaction, checkpoint)) = row else { return Ok(None) };
    let broken = || {
        Error::config(
            "sqlite.meta",
            format!("reading _longshore_tasks: expected a row as this connector writes it for {task}, got another"),
        )
        .suggest("restore the table from a backup, or start over with `run --fresh`")
    };
    Ok(Some(Recorded {
        installation: InstallationId::parse(&installation).ok_or_else(broken)?,
        epoch: u64::try_from(epoch).map_err(|_| broken())?,
        transaction: u64::try_from(transaction).map_err(|_| broken())?,
        checkpoint: checkpoint.into(),
    }))
}

/// Raises the fence to the owner's epoch, at Open.
pub(crate) fn raise(connection: &Connection, fence: &Fence) -> Result<Option<Recorded>> {
    let Owner { task, installation, epoch } = &fence.owner;
    let before = recorded(connection, task)?;
    let doing = |error| failed("raising the fence", error);
    match &before {
        None => write_recorded(connection, task, &beginning(installation.clone(), *epoch))?,
        Some(recorded) => {
            fence.may_raise(recorded)?;
            let raise = "UPDATE _longshore_tasks SET epoch = ?1 \
                         WHERE task = ?2 AND range_begin = ?3 AND range_end = ?4 AND installation = ?5 AND epoch < ?1";
            let raised = connection
                .execute(raise, params![sql_number(*epoch)?, task, RANGE.0, RANGE.1, installation.as_str()])
                .map_err(doing)?;
            if raised == 0 {
                return Err(fence.lost_to(recorded.clone()));
            }
        }
    }
    Ok(before)
}

/// The first statement of a transaction with rows: whoever is fenced off writes none.
pub(crate) fn hold(connection: &Connection, fence: &Fence) -> Result<()> {
    let hold = "UPDATE _longshore_tasks SET epoch = epoch \
                WHERE task = ? AND range_begin = ? AND range_end = ? AND installation = ? AND epoch = ?";
    let Owner { task, installation, epoch } = &fence.owner;
    let held = connection
        .prepare_cached(hold)
        .and_then(|mut hold| {
            hold.execute(params![task, RANGE.0, RANGE.1, installation.as_str(), sql_number_or_max(*epoch)])
        })
        .map_err(|error| failed("taking the write lock", error))?;
    if held == 1 { Ok(()) } else { Err(lost(connection, fence)) }
}

/// The last statement before the commit.
pub(crate) fn advance(connection: &Connection, fence: &Fence, transaction: u64, checkpoint: &[u8]) -> Result<()> {
    let advance = "UPDATE _longshore_tasks SET txn = ?, checkpoint = ? \
                   WHERE task = ? AND range_begin = ? AND range_end = ? AND installation = ? AND epoch = ?";
    let Owner { task, installation, epoch } = &fence.owner;
    let transaction = sql_number(transaction)?;
    let advanced = connection
        .prepare_cached(advance)
        .and_then(|mut advance| {
            let epoch = sql_number_or_max(*epoch);
            advance.execute(params![transaction, checkpoint, task, RANGE.0, RANGE.1, installation.as_str(), epoch])
        })
        .map_err(|error| failed("writing the checkpoint", error))?;
    if advanced == 1 { Ok(()) } else { Err(lost(connection, fence)) }
}

fn lost(connection: &Connection, fence: &Fence) -> Error {
    match recorded(connection, &fence.owner.task) {
        Ok(Some(recorded)) => fence.lost_to(recorded),
        Ok(None) => {
            Error::unavailable("sqlite.fence", "the task's row in _longshore_tasks was removed while a session is open")
                .suggest("open the session again")
        }
        Err(error) => error,
    }
}

/// As before the first transaction.
pub(crate) fn beginning(installation: InstallationId, epoch: u64) -> Recorded {
    Recorded { installation, epoch, transaction: 0, checkpoint: Default::default() }
}

/// Writes the row as a whole: at the first Open, and where the user says who owns the destination.
pub(crate) fn write_recorded(connection: &Connection, task: &str, recorded: &Recorded) -> Result<()> {
    let insert = "INSERT OR REPLACE INTO _longshore_tasks (task, range_begin, range_end, installation, epoch, txn, checkpoint) \
                  VALUES (?, ?, ?, ?, ?, ?, ?)";
    let Recorded { installation, epoch, transaction, checkpoint } = recorded;
    let values = params![
        task,
        RANGE.0,
        RANGE.1,
        installation.as_str(),
        sql_number(*epoch)?,
        sql_number(*transaction)?,
        checkpoint.as_ref()
    ];
    connection.execute(insert, values).map(drop).map_err(|error| failed("writing the task's row", error))
}

/// The tables of a task.
pub(crate) fn tables_of(connection: &Connection, task: &str) -> Result<Vec<String>> {
    let doing = |error| failed("reading _longshore_tables", error);
    let mut select =
        connection.prepare("SELECT name FROM _longshore_tables WHERE task = ? ORDER BY 1").map_err(doing)?;
    let names = select.query_map([task], |row| row.get(0)).map_err(doing)?;
    names.collect::<rusqlite::Result<_>>().map_err(doing)
}

/// The task has nothing here any more; its rows stay.
pub(crate) fn remove_task(connection: &Connection, task: &str) -> Result<()> {
    let columns = "_longshore_columns WHERE table_name IN (SELECT name FROM _longshore_tables WHERE task = ?)";
    for rows in [columns, "_longshore_tasks WHERE task = ?", "_longshore_tables WHERE task = ?"] {
        let delete = format!("DELETE FROM {rows}");
        connection.execute(&delete, [task]).map_err(|error| failed("removing the task", error))?;
    }
    Ok(())
}

/// What a table was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) task: String,
    pub(crate) state_key: StateKey,
    pub(crate) collection: String,
    /// JSON pointers of the key.
    pub(crate) key: Vec<String>,
    pub(crate) delta: bool,
}

/// None: not a table of this connector.
pub(crate) fn registered(connection: &Connection, table: &str) -> Result<Option<Registered>> {
    let select = "SELECT task, state_key, collection, key, delta FROM _longshore_tables WHERE name = ?";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
            row.get(4)?,
        ))
    };
    let row = connection
        .query_row(select, [table], read)
        .optional()
        .map_err(|error| failed("reading _longshore_tables", error))?;
    let Some((task, state_key, collection, key, delta)) = row else { return Ok(None) };
    let broken = || {
        Error::config(
            "sqlite.meta",
            format!("reading _longshore_tables: expected a row as this connector writes it for {table}, got another"),
        )
    };
    Ok(Some(Registered {
        task,
        state_key: StateKey::parse(&state_key).ok_or_else(broken)?,
        collection,
        key: serde_json::from_str(&key).map_err(|_| broken())?,
        delta,
    }))
}

pub(crate) fn register(connection: &Connection, table: &str, registered: &Registered) -> Result<()> {
    let insert = "INSERT OR REPLACE INTO _longshore_tables (name, task, state_key, collection, key, delta) VALUES (?, ?, ?, ?, ?, ?)";
    let Registered { task, state_key, collection, key, delta } = registered;
    let key = serde_json::json!(key).to_string();
    connection
        .execute(insert, params![table, task, state_key.as_str(), collection, key, delta])
        .map(drop)
        .map_err(|error| failed("writing _longshore_tables", error))
}

fn sql_number(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::protocol("X-16", format!("expected a number below 2^63, got {number}")))
}

/// For comparisons: nothing is stored above it.
fn sql_number_or_max(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
