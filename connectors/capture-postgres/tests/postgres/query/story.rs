//! What these tests share: tasks, and sessions that end by themselves.

use std::collections::BTreeMap;

use capture_postgres::PostgresQuery;
use longshore_sdk::Result;
use longshore_sdk::testing::{CaptureSession, CaptureTask, Transaction};
use serde_json::{Value, json};

use crate::base::{Base, Fold, Table};

/// Enough for all rows of these tests.
const SEEN_ROWS: usize = 1_000;

/// A task without bindings that reads three rows at a time.
pub(super) fn empty_task(base: &Base) -> CaptureTask<PostgresQuery> {
    task_in_steps(base, 3, SEEN_ROWS)
}

pub(super) fn task_in_steps(base: &Base, rows: usize, seen_rows: usize) -> CaptureTask<PostgresQuery> {
    CaptureTask::new(PostgresQuery::in_steps(rows, seen_rows), json!({ "url": base.db.url() }))
}

/// Of table `t` with key `id`; `more` is what else the resource says.
pub(super) fn task_of_t(base: &Base, more: &Value) -> CaptureTask<PostgresQuery> {
    bound(empty_task(base), "t", more)
}

pub(super) fn bound(task: CaptureTask<PostgresQuery>, table: &str, more: &Value) -> CaptureTask<PostgresQuery> {
    let mut resource = json!({ "table": table });
    resource.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task.binding(resource, table, &["/id"])
}

/// Table `t` with key `id`.
pub(super) const T: [Table<'static>; 1] = [("t", &["/id"])];

/// What is left of a session, to the end that it makes by itself.
pub(super) async fn rest(session: &mut CaptureSession<'_>) -> Result<Vec<Transaction>> {
    let mut transactions = Vec::new();
    while let Some(transaction) = session.next().await? {
        transactions.push(transaction);
    }
    assert!(transactions.last().is_some_and(|last| last.caught_up), "it ends caught up");
    session.commit()?;
    Ok(transactions)
}

/// A session from its beginning to its end, all of it durable.
pub(super) async fn run(task: &mut CaptureTask<PostgresQuery>) -> Result<Vec<Transaction>> {
    rest(&mut task.open().await?).await
}

/// The next transaction, made durable.
pub(super) async fn step(session: &mut CaptureSession<'_>) -> Transaction {
    let transaction = session.next().await.unwrap().expect("there is more");
    session.commit().unwrap();
    transaction
}

/// The ids of the documents, with their operations.
pub(super) fn ops(transactions: &[Transaction]) -> Vec<String> {
    let documents = transactions.iter().flat_map(|transaction| &transaction.documents);
    documents.map(|(_, document)| format!("{} {}", document["_meta"]["op"].as_str().unwrap(), document["id"])).collect()
}

/// The rows captured are those of the table, but for those that were deleted there.
#[track_caller]
pub(super) fn assert_has_all(fold: &Fold, base: &Base, table: Table<'_>) {
    let rows: BTreeMap<String, Value> = base.rows(table);
    let differ: Vec<_> = rows.iter().filter(|(key, row)| fold.0[0].get(*key) != Some(*row)).collect();
    assert!(differ.is_empty(), "of the table, and not captured so: {differ:?}");
}
