//! Tables and views without a cursor: all rows each time, between a beginning and an end.

use longshore_sdk::testing::{Refresh, Transaction};
use serde_json::json;

use super::story::{T, bound, empty_task, ops, rest, run, step, task_of_t};
use crate::base::{Base, Fold, documents};

const TABLE: &str =
    "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 8) i;";

/// Beginnings and ends, each with the number of documents before it.
fn refreshes(transactions: &[Transaction]) -> Vec<(usize, bool, usize)> {
    let mut before = 0;
    let mut found = Vec::new();
    for transaction in transactions {
        let of = |Refresh { binding, complete, behind }: &Refresh| (*binding, *complete, before + behind);
        found.extend(transaction.refreshes.iter().map(of));
        before += transaction.documents.len();
    }
    found
}

#[tokio::test]
async fn all_rows_come_each_time_between_a_beginning_and_an_end() {
    let base = Base::new(TABLE);
    let mut task = task_of_t(&base, &json!({}));
    assert_eq!(task.validate().await.unwrap(), []);
    for _ in 0..2 {
        let seen = run(&mut task).await.unwrap();
        assert_eq!(refreshes(&seen), [(0, false, 0), (0, true, 8)]);
        assert_eq!(seen.len(), 4, "three, three, two, and caught up");
        let mut fold = Fold::default();
        fold.take(&seen, &T);
        fold.assert_is(&base, &T);
        assert_eq!(
            documents(&seen)[0]["_meta"],
            json!({ "op": "c", "source": { "schema": "public", "table": "t", "snapshot": true } })
        );
        base.run(
            "DELETE FROM t WHERE id = 2; UPDATE t SET v = 'new' WHERE id = 3; INSERT INTO t SELECT max(id) + 1 FROM t",
        );
    }
    base.run("DELETE FROM t");
    assert_eq!(refreshes(&run(&mut task).await.unwrap()), [(0, false, 0), (0, true, 0)], "none is left");
}

#[tokio::test]
async fn one_that_breaks_begins_again_from_its_beginning() {
    let base = Base::new(TABLE);
    for durable in 1..4 {
        let mut task = task_of_t(&base, &json!({}));
        let mut session = task.open().await.unwrap();
        let mut before = Vec::new();
        for _ in 0..durable {
            before.push(step(&mut session).await);
        }
        drop(session);
        let wanted: &[_] = if durable == 3 { &[(0, false, 0), (0, true, 8)] } else { &[(0, false, 0)] };
        assert_eq!(refreshes(&before), wanted);
        let again = run(&mut task).await.unwrap();
        assert_eq!(refreshes(&again), [(0, false, 0), (0, true, 8)]);
        assert_eq!(ops(&again).len(), 8);
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_leaves_it_without_an_end() {
    let base = Base::new(TABLE);
    let mut task = task_of_t(&base, &json!({}));
    let mut session = task.open().await.unwrap();
    let first = session.next().await.unwrap().unwrap();
    assert_eq!(refreshes(&[first]), [(0, false, 0)]);
    session.stop().await.unwrap();
    assert_eq!(refreshes(&run(&mut task).await.unwrap()), [(0, false, 0), (0, true, 8)]);
}

/// In chunks of snapshots of their own, a row whose key changes could be passed over, and would be let go of.
#[tokio::test]
async fn it_is_one_state_of_the_table_whatever_is_written_meanwhile() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text)");
    // Much more than what is on its way between server and test.
    base.run("INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(1, 20000) i");
    let mut task = bound(super::story::task_in_steps(&base, 1_000, 10), "t", &json!({}));
    let mut session = task.open().await.unwrap();
    let mut seen = vec![step(&mut session).await];
    base.run("UPDATE t SET id = -id WHERE id > 19000; DELETE FROM t WHERE id = 18999; INSERT INTO t VALUES (30000)");
    seen.extend(rest(&mut session).await.unwrap());
    let ids: Vec<i64> = documents(&seen).iter().map(|document| document["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=20_000).collect::<Vec<_>>(), "as it was at the beginning");
}

#[tokio::test]
async fn several_tables_have_a_beginning_and_an_end_each() {
    let base =
        Base::new(&format!("{TABLE} CREATE TABLE u (id int PRIMARY KEY, n int NOT NULL); INSERT INTO u VALUES (1, 1)"));
    let task = bound(empty_task(&base), "t", &json!({}));
    let mut task = bound(task, "u", &json!({ "cursor": "n" }));
    let seen = run(&mut task).await.unwrap();
    assert_eq!(refreshes(&seen), [(0, false, 0), (0, true, 8)], "a table with a cursor has none");
    assert_eq!(documents(&seen).len(), 9);
}

#[tokio::test]
async fn views_are_read_by_the_key_that_the_user_names() {
    let base = Base::new(&format!(
        "{TABLE} CREATE VIEW doubled AS SELECT id * 2 AS id, v FROM t; CREATE VIEW holes AS SELECT nullif(id, 3) AS id FROM t;
         CREATE MATERIALIZED VIEW kept AS SELECT * FROM t; CREATE VIEW of_kept AS SELECT * FROM kept; CREATE TABLE loose (id int);
         CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); CREATE TABLE by_index (id int NOT NULL, a int NOT NULL); CREATE UNIQUE INDEX ON by_index (id)"
    ));
    let task = |table: &str, more| bound(empty_task(&base), table, &more);
    let key = || json!({ "key": ["id"] });
    assert_eq!(ops(&run(&mut task("doubled", key())).await.unwrap()).last().unwrap(), "c 16");
    assert_eq!(ops(&run(&mut task("of_kept", key())).await.unwrap()).len(), 8);
    assert_eq!(ops(&run(&mut task("fast", json!({}))).await.unwrap()).len(), 0);
    assert_eq!(ops(&run(&mut task("by_index", json!({}))).await.unwrap()).len(), 0);
    for (table, more, code) in [
        ("doubled", json!({}), "postgres.key.missing"),
        ("doubled", json!({ "key": ["absent"] }), "postgres.key.missing"),
        ("kept", key(), "postgres.table.kind"),
        ("loose", key(), "postgres.key.missing"),
        ("by_index", json!({ "key": ["a"] }), "postgres.key.missing"),
        ("by_index", json!({ "key": ["id", "a"] }), "postgres.key.other"),
        ("holes", key(), "postgres.key.missing"),
    ] {
        let mut task = task(table, more.clone());
        let error = run(&mut task).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.binding), (code, Some(0)), "{table}: {error}");
        assert!(!error.suggestion.is_empty());
    }
    // With a cursor, a row without a key is no silence either.
    let mut task = task("holes", json!({ "key": ["id"], "cursor": "id" }));
    assert_eq!(run(&mut task).await.unwrap_err().code, "postgres.cursor.null");
}
