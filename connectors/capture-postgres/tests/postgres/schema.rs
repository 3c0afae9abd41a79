//! Columns that come, go and change while a table is captured: rows are read by what they were written with, and schemas are stated before
//! the documents that need them.

use longshore_sdk::testing::{CaptureTask, Transaction};
use serde_json::{Value, json};

use crate::base::{Base, Fold, Table, catch_up, documents, next, plain};

const T: [Table<'static>; 1] = [("t", &["/id"])];

/// A task whose collection has the schema that Discover gives.
async fn discovered(base: &Base) -> CaptureTask<capture_postgres::Postgres> {
    let found = base.task(&T).discover_bindings().await.unwrap();
    let schema: Value = serde_json::from_slice(&found[0].schema_json).unwrap();
    base.task(&T).schema(&schema)
}

fn schemas(transactions: &[Transaction]) -> Vec<Value> {
    transactions
        .iter()
        .flat_map(|transaction| &transaction.schemas)
        .map(|(_, schema)| schema["properties"].clone())
        .collect()
}

#[tokio::test]
async fn columns_change_in_the_middle_of_the_log() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, a int, b text); INSERT INTO t VALUES (1, 1, 'x')");
    let mut task = discovered(&base).await;
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let first = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(schemas(&first), Vec::<Value>::new(), "Discover has said it all");
    // All of it before anybody looks: the catalog of today is not that of then.
    base.run("INSERT INTO t VALUES (2, 2, 'as it was')");
    base.run("ALTER TABLE t ADD c boolean; INSERT INTO t VALUES (3, 3, 'with c', true)");
    base.run("ALTER TABLE t RENAME b TO bb; INSERT INTO t VALUES (4, 4, 'renamed', false)");
    base.run("ALTER TABLE t ALTER a TYPE text; INSERT INTO t VALUES (5, 'five', 'retyped', NULL)");
    base.run("ALTER TABLE t DROP c; INSERT INTO t VALUES (6, 'six', 'dropped')");
    let seen = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(
        plain(&seen),
        [
            json!({ "_meta": "c", "id": 2, "a": 2, "b": "as it was" }),
            json!({ "_meta": "c", "id": 3, "a": 3, "b": "with c", "c": true }),
            json!({ "_meta": "c", "id": 4, "a": 4, "bb": "renamed", "c": false }),
            json!({ "_meta": "c", "id": 5, "a": "five", "bb": "retyped", "c": null }),
            json!({ "_meta": "c", "id": 6, "a": "six", "bb": "dropped" }),
        ]
    );
    let stated = schemas(&seen);
    assert_eq!(stated[0]["c"], json!({ "type": ["boolean", "null"] }));
    assert_eq!(stated[1]["bb"], json!({ "type": ["string", "null"] }));
    assert_eq!(stated[2]["a"], json!({ "type": ["string", "null"] }), "the runtime joins it with the integers before");
    assert_eq!(stated.len(), 3, "{stated:?}");
}

#[tokio::test]
async fn a_number_that_is_none_widens_the_schema_before_its_document() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, n double precision); INSERT INTO t VALUES (1, 1.5), (2, 'NaN')",
    );
    let mut task = discovered(&base).await;
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let first = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(schemas(&first).len(), 1);
    assert_eq!(
        schemas(&first)[0]["n"],
        json!({ "type": ["number", "string", "null"], "format": "pg:double precision" })
    );
    assert_eq!(plain(&first)[1], json!({ "_meta": "c", "id": 2, "n": "NaN" }));
    // The next session is opened with what was stated.
    let state = task.state().clone();
    let properties = schemas(&first).remove(0);
    let schema =
        json!({ "type": "object", "properties": properties, "required": ["id"], "additionalProperties": false });
    let mut task = base.task(&T).schema(&schema).with_state(state);
    base.run("INSERT INTO t VALUES (3, '-Infinity'), (4, 4)");
    let more = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(schemas(&more), Vec::<Value>::new());
    assert_eq!(plain(&more)[0], json!({ "_meta": "c", "id": 3, "n": "-Infinity" }));
}

#[tokio::test]
async fn a_column_that_lost_its_not_null_is_stated_when_a_null_comes() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL)");
    let mut task = discovered(&base).await;
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("ALTER TABLE t ALTER v DROP NOT NULL; INSERT INTO t VALUES (1, NULL)");
    base.run("DELETE FROM t; ALTER TABLE t ALTER v SET NOT NULL");
    let seen = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(schemas(&seen), [json!({ "id": { "type": "integer" }, "v": { "type": ["string", "null"] } })]);
}

/// A walk holds a lock for a moment, and whoever alters the table waits for it on another thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_changes_in_the_middle_of_a_walk_is_walked_on_with() {
    let base = Base::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 20) i",
    );
    let mut task = discovered(&base).await;
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    let mut seen = vec![session.next().await.unwrap().unwrap()];
    base.run("ALTER TABLE t ADD w int DEFAULT 7; UPDATE t SET w = 8 WHERE id > 10; ALTER TABLE t ALTER id TYPE bigint; INSERT INTO t VALUES (99)");
    seen.extend(session.until_caught_up().await.unwrap());
    // The walk may have been through before.
    while !documents(&seen).iter().any(|document| document["id"] == 99) {
        seen.push(next(&mut session).await.unwrap());
    }
    session.acknowledge().await.unwrap();
    session.stop().await.unwrap();
    fold.take(&seen, &T);
    let rows = base.rows(T[0]);
    assert_eq!(fold.0[0].len(), rows.len());
    for (key, row) in rows.iter().filter(|(_, row)| row["w"] == json!(8)) {
        assert_eq!(fold.0[0].get(key), Some(row));
    }
}
