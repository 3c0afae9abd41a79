//! Tables that change while they are followed. A session that breaks lets go of its lock on another thread than the one that alters the table.

use longshore_sdk::ErrorKind;
use serde_json::{Value, json};

use super::story::{T, bound, ops, run, step, task_in_steps, task_of_t};
use crate::base::{Base, Fold, documents, plain};

const TABLE: &str = "CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL, v text); INSERT INTO t SELECT i, i, i FROM generate_series(1, 10) i;";

fn by_n() -> Value {
    json!({ "cursor": "n", "look_back": 0 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_come_and_go_are_stated_before_they_are_needed() {
    let base = Base::new(TABLE);
    let found = task_of_t(&base, &by_n()).discover_bindings().await.unwrap();
    let schema: Value = serde_json::from_slice(&found[0].schema_json).unwrap();
    let mut task = task_of_t(&base, &by_n()).schema(&schema);
    let mut session = task.open().await.unwrap();
    let first = step(&mut session).await;
    assert_eq!(first.schemas, [], "Discover has said it all");
    drop(session);
    base.run("ALTER TABLE t ADD w boolean; ALTER TABLE t DROP v");
    let second = step(&mut task.open().await.unwrap()).await;
    assert_eq!(second.schemas[0].1["properties"]["w"], json!({ "type": ["boolean", "null"] }));
    assert_eq!(plain(&[second])[0], json!({ "_meta": "c", "id": 4, "n": 4, "w": null }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_or_a_key_that_is_renamed_stops_with_its_columns() {
    let base = Base::new(TABLE);
    for (column, code) in [("n", "postgres.cursor.missing"), ("id", "postgres.key.other")] {
        let mut task = task_of_t(&base, &by_n());
        let mut session = task.open().await.unwrap();
        step(&mut session).await;
        drop(session);
        base.run(&format!("ALTER TABLE t RENAME {column} TO other"));
        let error = run(&mut task).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str(), error.binding), (ErrorKind::Config, code, Some(0)));
        assert!(!error.suggestion.is_empty());
        base.run(&format!("ALTER TABLE t RENAME other TO {column}"));
        assert_eq!(
            ops(&run(&mut task).await.unwrap()).last().map(String::as_str),
            Some("c 10"),
            "and on with the right name"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cursor_or_another_type_begins_again() {
    let base = Base::new(TABLE);
    let mut task = task_of_t(&base, &by_n());
    assert_eq!(ops(&run(&mut task).await.unwrap()).len(), 10);
    base.run("ALTER TABLE t ALTER n TYPE bigint");
    assert_eq!(ops(&run(&mut task).await.unwrap()).len(), 10);
    assert_eq!(ops(&run(&mut task).await.unwrap()).len(), 0);
    let mut task = task_of_t(&base, &json!({ "cursor": "id", "look_back": 0 })).with_state(task.state().clone());
    let again = run(&mut task).await.unwrap();
    assert_eq!((ops(&again).len(), ops(&again)[0].as_str()), (10, "c 1"));
    assert_eq!(ops(&run(&mut task).await.unwrap()).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_changes_in_the_middle_of_a_walk_is_come_back_for() {
    // Much more than what is on its way between server and test.
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL, v text); INSERT INTO t SELECT i, i, repeat('x', 4000) FROM generate_series(1, 10000) i; CREATE INDEX ON t (n, id)",
    );
    let mut task = bound(task_in_steps(&base, 100, 10), "t", &by_n());
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    fold.take(&[step(&mut session).await], &T);
    base.run("ALTER TABLE t ALTER n TYPE bigint");
    let mut next = session.next().await;
    while let Ok(Some(_)) = next {
        next = session.next().await;
    }
    let error = next.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.columns.changed"));
    drop(session);
    fold.take(&run(&mut task).await.unwrap(), &T);
    fold.assert_is(&base, &T);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_made_again_is_another_one() {
    let base = Base::new(TABLE);
    let mut task = task_of_t(&base, &by_n());
    run(&mut task).await.unwrap();
    base.run(&format!("DROP TABLE t; {TABLE}"));
    let error = run(&mut task).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.table.other"));
    assert!(error.suggestion.contains("longshore run --fresh test/t"), "{error}");
    base.run("DROP TABLE t");
    assert_eq!(run(&mut task).await.unwrap_err().code, "postgres.table.missing");
    // Without a cursor nothing was counted on.
    base.run(TABLE);
    let mut task = task_of_t(&base, &json!({})).with_state(task.state().clone());
    assert_eq!(documents(&run(&mut task).await.unwrap()).len(), 10);
}
