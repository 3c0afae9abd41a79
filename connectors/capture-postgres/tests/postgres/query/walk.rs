//! A table with a cursor: each row once, again when it changes, and on from where a session broke.

use longshore_sdk::testing::Transaction;
use serde_json::{Value, json};

use super::story::{T, assert_has_all, bound, empty_task, ops, rest, run, step, task_in_steps, task_of_t};
use crate::base::{Base, Fold, documents};

const TABLE: &str =
    "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v text); CREATE INDEX ON t (at, id);";

fn at() -> Value {
    json!({ "cursor": "at" })
}

#[tokio::test]
async fn rows_come_once_and_again_when_they_change() {
    let base = Base::new(TABLE);
    base.run(
        "INSERT INTO t VALUES (1, '2024-01-01 00:00:00.000001+00', 'a'), (2, '2024-01-01 00:00:00.000002+00', NULL)",
    );
    let mut task = task_of_t(&base, &at());
    assert_eq!(task.apply().await.unwrap(), Vec::<String>::new(), "nothing is made on the server");
    let first = run(&mut task).await.unwrap();
    let source = json!({ "schema": "public", "table": "t", "snapshot": true });
    assert_eq!(
        documents(&first),
        [
            json!({ "_meta": { "op": "c", "source": source }, "id": 1, "at": "2024-01-01T00:00:00.000001Z", "v": "a" }),
            json!({ "_meta": { "op": "c", "source": source }, "id": 2, "at": "2024-01-01T00:00:00.000002Z", "v": null }),
        ]
    );
    let again = run(&mut task).await.unwrap();
    assert_eq!(again.len(), 1, "nothing but caught up");
    assert_eq!(documents(&again).len(), 0);
    base.run("UPDATE t SET at = '2024-01-01 00:00:00.000003+00', v = 'b' WHERE id = 1; INSERT INTO t VALUES (3, '2024-01-01 00:00:00.000003+00')");
    let changed = run(&mut task).await.unwrap();
    let source = json!({ "schema": "public", "table": "t" });
    assert_eq!(
        documents(&changed)[0],
        json!({ "_meta": { "op": "u", "source": source }, "id": 1, "at": "2024-01-01T00:00:00.000003Z", "v": "b" })
    );
    assert_eq!(ops(&changed), ["u 1", "u 3"], "which of them is new nobody can tell");
    assert_eq!(ops(&run(&mut task).await.unwrap()), Vec::<String>::new());
}

/// One microsecond is the least there is; many rows can have the same value.
#[tokio::test]
async fn a_row_exactly_at_the_mark_is_seen_also_without_a_look_back() {
    let base = Base::new(TABLE);
    base.run("INSERT INTO t VALUES (5, '2024-01-01 00:00:00.000001+00', 'a')");
    let mut task = task_of_t(&base, &json!({ "cursor": "at", "look_back": "0s" }));
    run(&mut task).await.unwrap();
    base.run("INSERT INTO t VALUES (4, '2024-01-01 00:00:00.000001+00', 'beside it'), (6, '2024-01-01 00:00:00.000001+00', 'too')");
    assert_eq!(ops(&run(&mut task).await.unwrap()), ["u 4", "u 6"]);
    base.run("INSERT INTO t VALUES (7, '2024-01-01 00:00:00+00', 'below it')");
    assert_eq!(ops(&run(&mut task).await.unwrap()), Vec::<String>::new(), "it was not to be looked back for");
}

#[tokio::test]
async fn equal_values_of_the_cursor_go_over_the_borders_of_chunks() {
    let base = Base::new(TABLE);
    base.run("INSERT INTO t SELECT i, '2024-01-01'::timestamptz + (i / 20) * interval '1 s', i FROM generate_series(1, 100) i");
    for rows in [1, 2, 3, 7, 20, 100, 1_000] {
        let mut task = bound(task_in_steps(&base, rows, 1_000), "t", &at());
        let transactions = run(&mut task).await.unwrap();
        let ids: Vec<_> = documents(&transactions).iter().map(|document| document["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=100).collect::<Vec<_>>(), "{rows} at a time");
    }
}

#[tokio::test]
async fn keys_of_several_columns_and_of_texts_are_walked_too() {
    let base = Base::new(
        "CREATE TABLE t (a text COLLATE \"C\", \"B \"\"x\" int, n int NOT NULL, doubled int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (\"B \"\"x\", a));
         INSERT INTO t SELECT v, i % 3, i % 2 FROM generate_series(1, 12) i, unnest(ARRAY['', 'é' || i, E'\\\\' || i, 'it''s ' || i, E'tab\\t' || i]) v ON CONFLICT DO NOTHING",
    );
    let tables: [crate::base::Table<'_>; 1] = [("t", &["/a", "/B \"x"])];
    let resource = json!({ "table": "t", "cursor": "n", "look_back": 0 });
    let mut task = task_in_steps(&base, 2, 1_000).binding(resource, "t", tables[0].1);
    let mut fold = Fold::default();
    let transactions = run(&mut task).await.unwrap();
    fold.take(&transactions, &tables);
    fold.assert_is(&base, &tables);
    assert_eq!(documents(&transactions).len(), fold.0[0].len(), "each once");
    assert_eq!(documents(&transactions)[0]["doubled"], json!(0), "generated columns, too");
}

#[tokio::test]
async fn a_session_ends_also_when_rows_are_added_all_the_time() {
    let base = Base::new(TABLE);
    base.run("INSERT INTO t SELECT i, '2024-01-01', i FROM generate_series(1, 10) i");
    let mut task = task_of_t(&base, &at());
    let mut session = task.open().await.unwrap();
    let mut seen = Vec::new();
    let mut next_id = 100;
    while let Some(transaction) = session.next().await.unwrap() {
        seen.push(transaction);
        base.run(&format!("INSERT INTO t SELECT i, '2024-01-02', 'new' FROM generate_series({next_id}, {next_id} + 5) i; UPDATE t SET at = '2024-01-03' WHERE id = 1"));
        next_id += 10;
        assert!(seen.len() < 20, "it goes on and on");
    }
    session.commit().unwrap();
    drop(session);
    let mut fold = Fold::default();
    fold.take(&seen, &T);
    fold.take(&run(&mut task).await.unwrap(), &T);
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_walk_that_breaks_goes_on_where_it_was_durable() {
    let base = Base::new(TABLE);
    base.run("INSERT INTO t SELECT i, '2024-01-01'::timestamptz + (i / 4) * interval '1 min', i FROM generate_series(1, 30) i");
    for durable in 1..10 {
        let mut task = task_of_t(&base, &at());
        let mut fold = Fold::default();
        let mut count = 0;
        let mut session = task.open().await.unwrap();
        for _ in 0..durable {
            let transaction = step(&mut session).await;
            count += transaction.documents.len();
            fold.take(&[transaction], &T);
        }
        // Seen, and not durable: it comes again.
        session.next().await.unwrap();
        drop(session);
        let others = rest(&mut task.open().await.unwrap()).await.unwrap();
        count += documents(&others).len();
        fold.take(&others, &T);
        fold.assert_is(&base, &T);
        assert_eq!(count, 30, "each once, broken behind {durable}");
        assert_eq!(ops(&run(&mut task).await.unwrap()), Vec::<String>::new());
    }
}

/// A row that goes back to what it was is another one than the one in between.
#[tokio::test]
async fn a_row_that_changes_and_changes_back_is_said_each_time() {
    let base = Base::new(TABLE);
    base.run("INSERT INTO t VALUES (1, '2024-01-01 00:00:01+00', 'a'), (2, '2024-01-01 00:00:09+00', 'x')");
    let mut task = task_of_t(&base, &at());
    let mut fold = Fold::default();
    fold.take(&run(&mut task).await.unwrap(), &T);
    for (at, v) in [("01", "b"), ("01", "a"), ("05", "b"), ("01", "a")] {
        base.run(&format!("UPDATE t SET v = '{v}', at = '2024-01-01 00:00:{at}+00' WHERE id = 1"));
        let seen = run(&mut task).await.unwrap();
        assert_eq!(ops(&seen), ["u 1"]);
        fold.take(&seen, &T);
        fold.assert_is(&base, &T);
    }
    // Within one session: read as it was, then as it became, and back again before the next one.
    let mut session = task.open().await.unwrap();
    drop(session.next().await);
    drop(session);
    let mut task = bound(task_in_steps(&base, 1, 1_000), "t", &at()).with_state(task.state().clone());
    base.run("INSERT INTO t VALUES (3, '2024-01-01 00:00:02+00', 'new')");
    let mut session = task.open().await.unwrap();
    let mut seen: Vec<Transaction> = vec![step(&mut session).await];
    base.run("UPDATE t SET v = 'b', at = '2024-01-01 00:00:08+00' WHERE id = 1");
    seen.extend(rest(&mut session).await.unwrap());
    drop(session);
    base.run("UPDATE t SET v = 'a', at = '2024-01-01 00:00:01+00' WHERE id = 1");
    seen.extend(run(&mut task).await.unwrap());
    fold.take(&seen, &T);
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn rows_that_are_not_remembered_any_more_come_again_and_none_is_lost() {
    let base = Base::new(TABLE);
    base.run("INSERT INTO t SELECT i, '2024-01-01', i FROM generate_series(1, 10) i");
    let mut task = bound(task_in_steps(&base, 3, 4), "t", &at());
    let mut fold = Fold::default();
    fold.take(&run(&mut task).await.unwrap(), &T);
    assert_eq!(ops(&run(&mut task).await.unwrap()), Vec::<String>::new(), "nothing was written to");
    base.run("UPDATE t SET v = 'new' WHERE id IN (2, 9)");
    let again = run(&mut task).await.unwrap();
    assert_eq!(ops(&again), ["u 1", "u 2", "u 3", "u 4", "u 5", "u 6", "u 9"], "the last four are remembered");
    fold.take(&again, &T);
    fold.assert_is(&base, &T);
    assert_eq!(ops(&run(&mut task).await.unwrap()), Vec::<String>::new());
    let largest = again.iter().map(|transaction| transaction.state_patch.byte_len()).max();
    assert!(
        largest.is_some_and(|bytes| bytes < 700),
        "two times four rows of 22 bytes, and what else there is: {largest:?}"
    );
}

#[tokio::test]
async fn tables_follow_one_after_the_other_and_each_has_its_own_mark() {
    let base = Base::new(&format!(
        "{TABLE} CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u SELECT i, i FROM generate_series(1, 7) i; INSERT INTO t VALUES (1, '2024-01-01')"
    ));
    let tables = [T[0], ("u", T[0].1)];
    let task = |base: &Base| bound(bound(empty_task(base), "t", &at()), "u", &json!({ "cursor": "id" }));
    let mut task = task(&base);
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    for _ in 0..2 {
        fold.take(&[step(&mut session).await], &tables);
    }
    drop(session);
    base.run("INSERT INTO t VALUES (2, '2024-01-02'); INSERT INTO u VALUES (8, 'new')");
    fold.take(&run(&mut task).await.unwrap(), &tables);
    fold.assert_is(&base, &tables);
    assert_has_all(&fold, &base, T[0]);
}
