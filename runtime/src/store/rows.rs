//! The tables of `state.db` and the statements over them. Called inside a savepoint; makes nothing durable by itself.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use longshore_failpoints::{Plant, is_planted};
use longshore_proto::name::StateKey;
use longshore_proto::state::State;

use super::record::generation_went_back;
use super::sqlite::failed;
use super::{
    Change, Checkpoint, Epoch, Extent, Pending, RememberedBinding, SpecVersion, StoreError, TaskChanges, TaskRecord,
};
use super::{letters, retention, skips};
use crate::journal::{DurableLength, JournalId, SegmentName};

/// Of the tables below.
const SCHEMA_VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE task (
    task TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    checkpoint_transaction INTEGER NOT NULL DEFAULT 0,
    checkpoint BLOB NOT NULL DEFAULT x'',
    state_task BLOB,
    extent_transaction INTEGER, extent_spec_version INTEGER, extent BLOB,
    spec_version INTEGER, spec_json BLOB,
    pending_transaction INTEGER, pending_plan BLOB
) STRICT;
CREATE TABLE state_part (
    task TEXT NOT NULL, state_key TEXT NOT NULL, json BLOB NOT NULL,
    PRIMARY KEY (task, state_key)
) STRICT;
CREATE TABLE journal_durable (
    task TEXT NOT NULL, journal TEXT NOT NULL, segment TEXT NOT NULL, length_bytes INTEGER NOT NULL, last_transaction INTEGER NOT NULL,
    PRIMARY KEY (task, journal)
) STRICT;
CREATE TABLE remembered_binding (
    task TEXT NOT NULL, resource_path TEXT NOT NULL, generation INTEGER NOT NULL, collection TEXT NOT NULL,
    key TEXT NOT NULL, delta_updates INTEGER NOT NULL, active INTEGER NOT NULL,
    PRIMARY KEY (task, resource_path)
) STRICT;
";

pub(super) fn prepare(connection: &Connection, file: &str) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Unreadable { file: file.to_owned(), reason: error.to_string() };
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let version = check_version(connection, file)?;
    // An index of what lies in journals: it may be missing, and is made anew then.
    connection.execute_batch(letters::TABLES).map_err(failed)?;
    connection.execute_batch(skips::TABLE).map_err(failed)?;
    connection.execute_batch(retention::TABLES).map_err(failed)?;
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))
        .map_err(failed)
}

/// The version of the tables, 0: there are none yet. A newer one is refused.
pub(super) fn check_version(connection: &Connection, file: &str) -> Result<i64, StoreError> {
    let unreadable = |reason: String| StoreError::Unreadable { file: file.to_owned(), reason };
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| unreadable(error.to_string()))?;
    match version {
        0 | SCHEMA_VERSION => Ok(version),
        other => Err(unreadable(format!(
            "its tables have version {other}, this version of longshore reads {SCHEMA_VERSION}: use the version that wrote it"
        ))),
    }
}

pub(super) fn take_epoch(connection: &Connection, task: &str, floor: Epoch) -> Result<Epoch, StoreError> {
    let taken = connection.query_row(
        "INSERT INTO task (task, epoch) VALUES (?1, ?2 + 1)
         ON CONFLICT (task) DO UPDATE SET epoch = max(epoch, ?2) + 1 RETURNING epoch",
        params![task, number(floor.0)?],
        |row| row.get::<_, i64>(0),
    );
    Ok(Epoch(taken.map_err(writing)?.cast_unsigned()))
}

pub(super) fn tasks(connection: &Connection) -> Result<Vec<String>, StoreError> {
    all(connection, "SELECT task FROM task ORDER BY task", None, |row| row.get(0))
}

pub(super) fn load(connection: &Connection, task: &str) -> Result<Option<TaskRecord>, StoreError> {
    let head = connection
        .query_row("SELECT * FROM task WHERE task = ?1", [task], |row| {
            let unsigned = |name: &str| row.get::<_, i64>(name).map(i64::cast_unsigned);
            let bytes = |name: &str| row.get::<_, Vec<u8>>(name).map(Bytes::from);
            let has = |name: &str| row.get::<_, Option<i64>>(name).map(|value| value.is_some());
            Ok((
                Epoch(unsigned("epoch")?),
                Checkpoint { transaction: unsigned("checkpoint_transaction")?, bytes: bytes("checkpoint")? },
                row.get::<_, Option<Vec<u8>>>("state_task")?.map(Bytes::from),
                match has("extent_transaction")? {
                    true => Some(Extent {
                        transaction: unsigned("extent_transaction")?,
                        spec_version: unsigned("extent_spec_version")?,
                        bytes: bytes("extent")?,
                    }),
                    false => None,
                },
                match has("spec_version")? {
                    true => Some(SpecVersion { version: unsigned("spec_version")?, spec_json: bytes("spec_json")? }),
                    false => None,
                },
                match has("pending_transaction")? {
                    true => {
                        Some(Pending { transaction: unsigned("pending_transaction")?, plan: bytes("pending_plan")? })
                    }
                    false => None,
                },
            ))
        })
        .optional()
        .map_err(reading)?;
    let Some((epoch, checkpoint, state_task, extent, spec, pending)) = head else { return Ok(None) };
    let parts: Vec<(String, Vec<u8>)> =
        all(connection, "SELECT state_key, json FROM state_part WHERE task = ?1", Some(task), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let parts = parts.into_iter().map(|(key, json)| Ok((state_key(&key)?, Bytes::from(json))));
    let state = State::from_parts(state_task, parts.collect::<Result<Vec<_>, StoreError>>()?)
        .map_err(|error| damaged(&format!("state of task {task}: {error}")))?;
    Ok(Some(TaskRecord {
        epoch,
        checkpoint,
        state,
        extent,
        spec,
        pending,
        durable: durable(connection, task)?,
        remembered: remembered(connection, task)?,
        trimmed: retention::trimmed(connection, task)?,
        released: retention::released(connection, task)?,
    }))
}

pub(super) fn commit(
    connection: &Connection,
    task: &str,
    epoch: Epoch,
    changes: &TaskChanges,
) -> Result<(), StoreError> {
    // The fence first, in the same transaction as what it guards.
    let mine = number(epoch.0)?;
    let guarded = connection
        .execute("UPDATE task SET epoch = epoch WHERE task = ?1 AND epoch = ?2", params![task, mine])
        .map_err(writing)?;
    if guarded == 0 && !is_planted(Plant::StoreNotFenced) {
        let newer = load(connection, task)?.map(|record| record.epoch).unwrap_or_default();
        return Err(StoreError::Fenced { task: task.to_owned(), mine: epoch, newer });
    }
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.execute(sql, values).map(drop).map_err(writing);
    if let Some(checkpoint) = &changes.checkpoint {
        run(
            "UPDATE task SET checkpoint_transaction = ?2, checkpoint = ?3 WHERE task = ?1",
            &[&task, &number(checkpoint.transaction)?, &checkpoint.bytes.as_ref()],
        )?;
    }
    if let Some(state) = &changes.state {
        run("UPDATE task SET state_task = ?2 WHERE task = ?1", &[&task, &state.task_json().map(Bytes::as_ref)])?;
        run("DELETE FROM state_part WHERE task = ?1", &[&task])?;
        for (key, json) in state.parts() {
            run(
                "INSERT INTO state_part (task, state_key, json) VALUES (?1, ?2, ?3)",
                &[&task, &key.as_str(), &json.as_ref()],
            )?;
        }
    }
    const EXTENT: &str =
        "UPDATE task SET extent_transaction = ?2, extent_spec_version = ?3, extent = ?4 WHERE task = ?1";
    match &changes.extent {
        Change::Keep => {}
        Change::Clear => run(EXTENT, &[&task, &None::<i64>, &None::<i64>, &None::<Vec<u8>>])?,
        Change::Set(extent) => {
            run(EXTENT, &[&task, &number(extent.transaction)?, &number(extent.spec_version)?, &extent.bytes.as_ref()])?;
        }
    }
    if let Some(spec) = &changes.spec {
        run(
            "UPDATE task SET spec_version = ?2, spec_json = ?3 WHERE task = ?1",
            &[&task, &number(spec.version)?, &spec.spec_json.as_ref()],
        )?;
    }
    const PENDING: &str = "UPDATE task SET pending_transaction = ?2, pending_plan = ?3 WHERE task = ?1";
    match &changes.pending {
        Change::Set(_) if is_planted(Plant::PlanNotKept) => {}
        Change::Keep => {}
        Change::Clear => run(PENDING, &[&task, &None::<i64>, &None::<Vec<u8>>])?,
        Change::Set(pending) => run(PENDING, &[&task, &number(pending.transaction)?, &pending.plan.as_ref()])?,
    }
    for length in &changes.durable {
        run(
            "INSERT OR REPLACE INTO journal_durable VALUES (?1, ?2, ?3, ?4, ?5)",
            &[
                &task,
                &length.journal.to_string(),
                &length.segment.to_string(),
                &number(length.length_bytes)?,
                &number(length.transaction)?,
            ],
        )?;
    }
    changes.remember.iter().try_for_each(|binding| remember(connection, task, binding))?;
    skips::commit(connection, task, changes)?;
    retention::commit(connection, task, changes)
}

fn remember(connection: &Connection, task: &str, binding: &RememberedBinding) -> Result<(), StoreError> {
    let json = |list: &[String]| serde_json::to_string(list).map_err(|error| damaged(&error.to_string()));
    let path = json(&binding.resource_path)?;
    let changed = connection
        .execute(
            "INSERT INTO remembered_binding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (task, resource_path) DO UPDATE SET generation = ?3, collection = ?4, key = ?5, delta_updates = ?6, active = ?7
             WHERE generation <= ?3",
            params![
                task,
                path,
                binding.generation,
                binding.collection,
                json(&binding.key)?,
                binding.delta_updates,
                binding.active
            ],
        )
        .map_err(writing)?;
    if changed == 0 {
        return Err(StoreError::Refused { task: task.to_owned(), reason: generation_went_back(binding) });
    }
    Ok(())
}

fn durable(connection: &Connection, task: &str) -> Result<Vec<DurableLength>, StoreError> {
    let sql =
        "SELECT journal, segment, length_bytes, last_transaction FROM journal_durable WHERE task = ?1 ORDER BY journal";
    let found: Vec<(String, String, i64, i64)> =
        all(connection, sql, Some(task), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let parse = |(journal, segment, length, transaction): (String, String, i64, i64)| {
        let name = SegmentName::parse(&segment).ok_or_else(|| damaged(&format!("{segment} is not a segment")))?;
        Ok(DurableLength {
            journal: journal_id(&journal)?,
            segment: name,
            length_bytes: length.cast_unsigned(),
            transaction: transaction.cast_unsigned(),
        })
    };
    found.into_iter().map(parse).collect()
}

fn remembered(connection: &Connection, task: &str) -> Result<Vec<RememberedBinding>, StoreError> {
    let sql = "SELECT resource_path, generation, collection, key, delta_updates, active FROM remembered_binding
               WHERE task = ?1 ORDER BY resource_path";
    let list = |row: &Row<'_>, column: usize| {
        let text: String = row.get(column)?;
        serde_json::from_str(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
        })
    };
    all(connection, sql, Some(task), |row| {
        Ok(RememberedBinding {
            resource_path: list(row, 0)?,
            generation: row.get(1)?,
            collection: row.get(2)?,
            key: list(row, 3)?,
            delta_updates: row.get(4)?,
            active: row.get(5)?,
        })
    })
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    task: Option<&str>,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut select = connection.prepare_cached(sql).map_err(reading)?;
    let rows = select.query_map(rusqlite::params_from_iter(task), |row| read(row)).map_err(reading)?;
    rows.collect::<rusqlite::Result<Vec<T>>>().map_err(reading)
}

pub(super) fn state_key(text: &str) -> Result<StateKey, StoreError> {
    StateKey::parse(text).ok_or_else(|| damaged(&format!("{text} is not a state key")))
}

pub(super) fn journal_id(text: &str) -> Result<JournalId, StoreError> {
    JournalId::parse(text).ok_or_else(|| damaged(&format!("{text} is not a journal id")))
}

/// A store that was made before a table was thought of does not have it until somebody runs it.
pub(super) fn has_table(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
    connection.query_row(sql, [name], |row| row.get::<_, i64>(0)).map(|count| count > 0).map_err(reading)
}

/// SQLite's integers are signed.
pub(super) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| damaged(&format!("{value} is more than the store can hold")))
}

pub(super) fn reading(error: rusqlite::Error) -> StoreError {
    damaged(&error.to_string())
}

pub(super) fn writing(error: rusqlite::Error) -> StoreError {
    failed("writing", &error)
}

pub(super) fn damaged(reason: &str) -> StoreError {
    StoreError::Unreadable { file: "state.db".into(), reason: reason.to_owned() }
}
