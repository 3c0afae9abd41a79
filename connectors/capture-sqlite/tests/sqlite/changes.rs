//! Changes: each is captured once it is committed, and the log is cleaned of what is durable, and of nothing else.

use longshore_sdk::testing::Transaction;
use serde_json::json;

use crate::base::{Base, Fold, Table, catch_up, follow};

const T: [Table<'static>; 1] = [("t", &["/id"])];

fn documents(transactions: &[Transaction]) -> Vec<serde_json::Value> {
    transactions.iter().flat_map(|transaction| &transaction.documents).map(|(_, document)| document.clone()).collect()
}

#[tokio::test]
async fn each_change_tells_the_row_as_it_is_and_a_deletion_tells_its_key() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b');");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let first = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(documents(&first), [json!({ "id": 1, "v": "a" }), json!({ "id": 2, "v": "b" })]);
    base.run("INSERT INTO t VALUES (3, 'c'); UPDATE t SET v = 'x' WHERE id = 1; UPDATE t SET v = 'y' WHERE id = 1; DELETE FROM t WHERE id = 2;");
    let mut task = base.task_in_pieces(&T, 100).with_state(task.state().clone());
    let changes = catch_up(&mut task, &mut fold, &T).await.unwrap();
    let wanted = [
        json!({ "_meta": { "op": "u" }, "id": 3, "v": "c" }),
        json!({ "_meta": { "op": "u" }, "id": 1, "v": "y" }),
        json!({ "_meta": { "op": "d" }, "id": 2 }),
    ];
    assert_eq!(documents(&changes), wanted, "each row once, as it is now");
    assert!(changes.iter().all(|transaction| !transaction.partial));
}

#[tokio::test]
async fn what_is_rolled_back_leaves_nothing_in_the_log() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let count = format!("SELECT count(*) FROM {}", base.log());
    let before = base.number(&count);
    base.run("BEGIN; UPDATE t SET v = 2; INSERT INTO t VALUES (5, 5); ROLLBACK;");
    base.run("BEGIN; SAVEPOINT s; UPDATE t SET v = 2; ROLLBACK TO s; RELEASE s; COMMIT;");
    base.db.execute_batch("INSERT INTO t VALUES (6, 6), (1, 1)").unwrap_err();
    assert_eq!(base.number(&count), before);
    // What a failing statement keeps is there, and the log has no gap.
    base.db.execute_batch("INSERT OR FAIL INTO t VALUES (7, 7), (1, 1)").unwrap_err();
    base.run("INSERT OR IGNORE INTO t VALUES (8, 8), (1, 1), (9, 9)");
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_table_that_is_emptied_cascades_and_upserts_are_followed_live() {
    let base = Base::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t ON DELETE CASCADE);
         INSERT INTO t VALUES (1, 1), (2, 2), (3, 3); INSERT INTO child VALUES (10, 1), (20, 2), (30, 3);
         CREATE TRIGGER users AFTER UPDATE ON t BEGIN INSERT INTO t VALUES (NEW.id + 1000, 'by a trigger'); END;",
    );
    let tables: [Table<'_>; 2] = [("t", &["/id"]), ("child", &["/id"])];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    for sql in [
        "PRAGMA foreign_keys = ON; DELETE FROM t WHERE id = 1",
        "PRAGMA foreign_keys = OFF; INSERT INTO t VALUES (2, 'x') ON CONFLICT DO UPDATE SET v = excluded.v, id = 77",
        "UPDATE t SET id = id + 1 WHERE id < 1000 AND id > 70",
        "DELETE FROM child",
        "DELETE FROM t",
        "INSERT INTO t VALUES (1, 'again')",
    ] {
        base.run(sql);
        follow(&mut session, &mut fold, &base, &tables).await.unwrap();
    }
}

#[tokio::test]
async fn the_log_is_cleaned_only_of_what_is_durable() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let mut task = base.task_in_pieces(&T, 1000);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    let count = format!("SELECT count(*) FROM {}", base.log());
    base.run("INSERT INTO t SELECT value, value FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 50) SELECT value FROM s)");
    let there = base.number(&count);
    assert!(there >= 50);

    // Captured, not durable, and the session breaks: all of it has to be there still.
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    drop(session);
    assert_eq!(base.number(&count), there);

    // Durable, and the connector was never told: the next session's state tells it.
    let mut session = task.open().await.unwrap();
    let seen = session.until_caught_up().await.unwrap();
    fold.take(&seen, &T);
    session.commit().unwrap();
    drop(session);
    assert_eq!(base.number(&count), there);
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    assert_eq!(base.number(&count), 1, "the last entry stays, to know the log by");

    // Durable and told so while the session goes on.
    base.run("UPDATE t SET v = 0");
    follow(&mut session, &mut fold, &base, &T).await.unwrap();
    base.run("UPDATE t SET v = 1 WHERE id = 1");
    follow(&mut session, &mut fold, &base, &T).await.unwrap();
    session.stop().await.unwrap();
    assert_eq!(base.number(&count), 1);
    fold.assert_is(&base, &T);
}

/// Whoever cleans up to what was *said* takes away what a session after a crash begins with.
#[tokio::test]
async fn what_is_captured_and_not_durable_stays_in_the_log_however_long_a_session_goes_on() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    let count = format!("SELECT count(*) FROM {}", base.log());
    let before = base.number(&count);
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    for round in 1..=3 {
        base.run(&format!("INSERT INTO t VALUES ({round}, 'x')"));
        // It comes by a look of its own, and each look begins with cleaning.
        while session.next().await.unwrap().unwrap().documents.is_empty() {}
        assert_eq!(base.number(&count), before + round);
    }
    // It breaks.
    drop(session);
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_large_transaction_is_read_in_pieces_that_commit_together() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let mut task = base.task_in_pieces(&T, 10);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("INSERT INTO t SELECT value, value FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 35) SELECT value FROM s)");
    let transactions = catch_up(&mut task, &mut fold, &T).await.unwrap();
    let partial: Vec<bool> = transactions
        .iter()
        .filter(|transaction| !transaction.documents.is_empty())
        .map(|transaction| transaction.partial)
        .collect();
    assert_eq!(partial, [true, true, true, false]);
    assert!(!transactions.last().unwrap().partial);
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_rollback_journal_and_a_writer_that_keeps_its_lock_are_waited_for() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1);");
    base.run("PRAGMA journal_mode = DELETE");
    let mut config = base.config();
    config["busy_timeout"] = json!("50ms");
    let task = longshore_sdk::testing::CaptureTask::new(capture_sqlite::Sqlite::default(), config);
    let mut task = task.binding(json!({ "table": "t" }), "t", &["/id"]);
    base.run("BEGIN EXCLUSIVE");
    let error = task.apply().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (longshore_sdk::ErrorKind::Unavailable, "sqlite.locked"));
    base.run("COMMIT");
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("BEGIN EXCLUSIVE; UPDATE t SET v = 2");
    let error = task.open().await.unwrap().until_caught_up().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (longshore_sdk::ErrorKind::Unavailable, "sqlite.locked"));
    base.run("COMMIT");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}
