//! What the connector keeps in the database beside the rows, in the schema `_longshore`: for each task who may write and the runtime's
//! checkpoint, for each table whose it is, and for each column of which field ([`crate::columns`]). Always read and written in the transaction
//! of what it guards.

use longshore_postgres::{Client, failed};
use longshore_sdk::materialize::{Fence, InstallationId, Owner, Recorded, StateKey};
use longshore_sdk::{Error, Result};

use crate::table::TableName;

pub(crate) const SCHEMA: &str = "_longshore";
/// READ COMMITTED, whatever the database is set to: a lock that was waited for must show what its last holder wrote.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Version 1 always serves the full key range.
const RANGE: (i64, i64) = (0, u32::MAX as i64);
/// Held by who makes the connector's own tables, so that two do not.
const LOCK: i64 = 0x6c6f_6e67_7368_6f72;

const CREATE: &str = "
CREATE SCHEMA IF NOT EXISTS _longshore;
CREATE TABLE IF NOT EXISTS _longshore.tasks (
    task text COLLATE \"C\" NOT NULL,
    range_begin bigint NOT NULL,
    range_end bigint NOT NULL,
    installation text NOT NULL,
    epoch bigint NOT NULL,
    txn bigint NOT NULL,
    checkpoint bytea NOT NULL,
    PRIMARY KEY (task, range_begin, range_end)
);
CREATE TABLE IF NOT EXISTS _longshore.tables (
    schema_name text COLLATE \"C\" NOT NULL,
    table_name text COLLATE \"C\" NOT NULL,
    task text COLLATE \"C\" NOT NULL,
    state_key text NOT NULL,
    collection text NOT NULL,
    key text NOT NULL,
    delta boolean NOT NULL,
    PRIMARY KEY (schema_name, table_name)
);
CREATE TABLE IF NOT EXISTS _longshore.columns (
    schema_name text COLLATE \"C\" NOT NULL,
    table_name text COLLATE \"C\" NOT NULL,
    column_name text COLLATE \"C\" NOT NULL,
    pointer text NOT NULL,
    types text NOT NULL,
    PRIMARY KEY (schema_name, table_name, column_name)
)";

/// Makes what is not there, within a transaction. Whether the user may, is asked only then.
pub(crate) async fn create(client: &Client) -> Result<()> {
    let doing = "making the connector's own tables, in schema _longshore";
    if exists(client).await? {
        return Ok(());
    }
    client.run(doing, &format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // Another may have made them meanwhile.
    if exists(client).await? { Ok(()) } else { client.run(doing, CREATE).await }
}

/// The connector's own tables are there.
pub(crate) async fn exists(client: &Client) -> Result<bool> {
    let count = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                 WHERE nspname = '_longshore' AND relkind = 'r' AND relname IN ('tasks', 'tables', 'columns')";
    let row = client.query_one(count, &[]).await;
    Ok(row.map_err(|error| failed("looking for the connector's own tables", &error))?.get::<_, i64>(0) == 3)
}

/// What is remembered of a task; with `lock` nobody else writes it until the transaction ends.
pub(crate) async fn recorded(client: &Client, task: &str, lock: bool) -> Result<Option<Recorded>> {
    let doing = "reading the task's row in _longshore.tasks";
    let select = "SELECT installation, epoch, txn, checkpoint FROM _longshore.tasks \
                  WHERE task = $1 AND range_begin = $2 AND range_end = $3";
    let select = format!("{select}{}", if lock { " FOR UPDATE" } else { "" });
    let row = client.query_opt(&select, &[&task, &RANGE.0, &RANGE.1]).await.map_err(|error| failed(doing, &error))?;
    let Some(row) = row else { return Ok(None) };
    let broken = || {
        let message = format!("{doing}: expected it as this connector writes it for {task}, got another");
        Error::config("postgres.meta", message)
            .suggest("restore the table from a backup, or start over with `run --fresh`")
    };
    Ok(Some(Recorded {
        installation: InstallationId::parse(row.get(0)).ok_or_else(broken)?,
        epoch: u64::try_from(row.get::<_, i64>(1)).map_err(|_| broken())?,
        transaction: u64::try_from(row.get::<_, i64>(2)).map_err(|_| broken())?,
        checkpoint: row.get::<_, Vec<u8>>(3).into(),
    }))
}

/// Raises the fence to the owner's epoch, at Open. Returns what was there before; none: nothing of this task.
pub(crate) async fn raise(client: &Client, fence: &Fence) -> Result<Option<Recorded>> {
    let Owner { task, installation, epoch } = &fence.owner;
    // Whoever comes second waits here for the first.
    let begun = write(client, task, &beginning(installation.clone(), *epoch), "ON CONFLICT DO NOTHING").await?;
    if begun == 1 {
        return Ok(None);
    }
    let Some(before) = recorded(client, task, true).await? else { return Err(removed()) };
    fence.may_raise(&before)?;
    let raised = Recorded { epoch: *epoch, ..before.clone() };
    write_recorded(client, task, &raised).await?;
    Ok(Some(before))
}

/// The first statement of a transaction with rows: whoever is fenced off writes none, and nobody raises the fence until the end.
pub(crate) async fn hold(client: &Client, fence: &Fence) -> Result<()> {
    let Owner { task, installation, epoch } = &fence.owner;
    match recorded(client, task, true).await? {
        Some(recorded) if recorded.installation == *installation && recorded.epoch == *epoch => Ok(()),
        Some(recorded) => Err(fence.lost_to(recorded)),
        None => Err(removed()),
    }
}

/// The last statement before the commit.
pub(crate) async fn advance(client: &Client, fence: &Fence, transaction: u64, checkpoint: &[u8]) -> Result<()> {
    let Owner { task, installation, epoch } = &fence.owner;
    let advance = "UPDATE _longshore.tasks SET txn = $1, checkpoint = $2 \
                   WHERE task = $3 AND range_begin = $4 AND range_end = $5 AND installation = $6 AND epoch = $7";
    let (transaction, epoch) = (sql_number(transaction)?, sql_number(*epoch)?);
    let installation = installation.to_string();
    let advanced = client
        .execute(advance, &[&transaction, &checkpoint, task, &RANGE.0, &RANGE.1, &installation, &epoch])
        .await
        .map_err(|error| failed("writing the checkpoint", &error))?;
    match advanced {
        1 => Ok(()),
        _ => Err(recorded(client, task, false).await?.map_or_else(removed, |recorded| fence.lost_to(recorded))),
    }
}

fn removed() -> Error {
    Error::unavailable("postgres.fence", "the task's row in _longshore.tasks was removed while a session is open")
        .suggest("open the session again")
}

/// As before the first transaction.
pub(crate) fn beginning(installation: InstallationId, epoch: u64) -> Recorded {
    Recorded { installation, epoch, transaction: 0, checkpoint: Default::default() }
}

/// Writes the row as a whole: where the fence is raised, and where the user says who owns the destination.
pub(crate) async fn write_recorded(client: &Client, task: &str, recorded: &Recorded) -> Result<()> {
    let all = "ON CONFLICT (task, range_begin, range_end) DO UPDATE SET installation = excluded.installation, epoch = excluded.epoch, \
               txn = excluded.txn, checkpoint = excluded.checkpoint";
    write(client, task, recorded, all).await.map(drop)
}

async fn write(client: &Client, task: &str, recorded: &Recorded, otherwise: &str) -> Result<u64> {
    let insert = "INSERT INTO _longshore.tasks (task, range_begin, range_end, installation, epoch, txn, checkpoint) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let insert = format!("{insert} {otherwise}");
    let (epoch, transaction) = (sql_number(recorded.epoch)?, sql_number(recorded.transaction)?);
    let (installation, checkpoint) = (recorded.installation.to_string(), recorded.checkpoint.as_ref());
    client
        .execute(&insert, &[&task, &RANGE.0, &RANGE.1, &installation, &epoch, &transaction, &checkpoint])
        .await
        .map_err(|error| failed("writing the task's row in _longshore.tasks", &error))
}

/// The tables of a task.
pub(crate) async fn tables_of(client: &Client, task: &str) -> Result<Vec<TableName>> {
    let select = "SELECT schema_name, table_name FROM _longshore.tables WHERE task = $1 ORDER BY 1, 2";
    let rows = client.query(select, &[&task]).await.map_err(|error| failed("reading _longshore.tables", &error))?;
    Ok(rows.iter().map(|row| TableName { schema: row.get(0), table: row.get(1) }).collect())
}

/// The task has nothing here any more; its rows stay.
pub(crate) async fn remove_task(client: &Client, task: &str) -> Result<()> {
    let columns = "_longshore.columns WHERE (schema_name, table_name) IN (SELECT schema_name, table_name FROM _longshore.tables WHERE task = $1)";
    for rows in [columns, "_longshore.tasks WHERE task = $1", "_longshore.tables WHERE task = $1"] {
        let removed = client.execute(&format!("DELETE FROM {rows}"), &[&task]).await;
        removed.map_err(|error| failed("removing the task", &error))?;
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
pub(crate) async fn registered(client: &Client, name: &TableName) -> Result<Option<Registered>> {
    let select = "SELECT task, state_key, collection, key, delta FROM _longshore.tables WHERE schema_name = $1 AND table_name = $2";
    let row = client.query_opt(select, &[&name.schema, &name.table]).await;
    let Some(row) = row.map_err(|error| failed("reading _longshore.tables", &error))? else { return Ok(None) };
    let broken = || {
        let message =
            format!("reading _longshore.tables: expected a row as this connector writes it for {name}, got another");
        Error::config("postgres.meta", message)
    };
    Ok(Some(Registered {
        task: row.get(0),
        state_key: StateKey::parse(row.get(1)).ok_or_else(broken)?,
        collection: row.get(2),
        key: serde_json::from_str(row.get(3)).map_err(|_| broken())?,
        delta: row.get(4),
    }))
}

pub(crate) async fn register(client: &Client, name: &TableName, registered: &Registered) -> Result<()> {
    let insert = "INSERT INTO _longshore.tables (schema_name, table_name, task, state_key, collection, key, delta) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (schema_name, table_name) DO UPDATE SET task = excluded.task, \
                  state_key = excluded.state_key, collection = excluded.collection, key = excluded.key, delta = excluded.delta";
    let Registered { task, state_key, collection, key, delta } = registered;
    let (state_key, key) = (state_key.as_str(), serde_json::json!(key).to_string());
    client
        .execute(insert, &[&name.schema, &name.table, task, &state_key, collection, &key, delta])
        .await
        .map(drop)
        .map_err(|error| failed("writing _longshore.tables", &error))
}

fn sql_number(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::protocol("X-16", format!("expected a number below 2^63, got {number}")))
}
