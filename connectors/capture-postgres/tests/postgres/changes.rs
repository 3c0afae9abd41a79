//! Changes: each is captured once, in the order of the commits, and the slot lets go of what is durable, and of nothing else.

use longshore_sdk::testing::Transaction;
use serde_json::{Value, json};

use crate::base::{Base, Fold, Table, WHOLE, catch_up, documents, next, plain};

const T: [Table<'static>; 1] = [("t", &["/id"])];

/// A value that is kept outside of its row, as it cannot be made smaller.
const LARGE: &str = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 200))";

#[tokio::test]
async fn each_change_is_a_document_and_a_key_that_changes_is_two() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    let mut session = task.open().await.unwrap();
    base.run("INSERT INTO t VALUES (1, 'a'); UPDATE t SET v = NULL; UPDATE t SET id = 2; DELETE FROM t");
    let transaction = next(&mut session).await.unwrap();
    assert_eq!(
        plain(std::slice::from_ref(&transaction)),
        [
            json!({ "_meta": "c", "id": 1, "v": "a" }),
            json!({ "_meta": "u", "id": 1, "v": null }),
            json!({ "_meta": "d", "id": 1 }),
            json!({ "_meta": "c", "id": 2, "v": null }),
            json!({ "_meta": "d", "id": 2 }),
        ]
    );
    let source = documents(&[transaction])[0]["_meta"]["source"].clone();
    assert_eq!((&source["schema"], &source["table"]), (&json!("public"), &json!("t")));
    assert!(
        source["lsn"].as_str().unwrap().contains('/') && source["committed_at"].as_str().unwrap().ends_with('Z'),
        "{source}"
    );
    session.stop().await.unwrap();
}

#[tokio::test]
async fn with_the_full_identity_a_deletion_tells_the_row() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, big text); ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
    );
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("INSERT INTO t VALUES (1, 'a', repeat('x', 5000))");
    base.run("UPDATE t SET v = 'b'; UPDATE t SET id = 7");
    base.run("DELETE FROM t");
    let seen = plain(&catch_up(&mut task, &mut fold, &T).await.unwrap());
    let big = "x".repeat(5000);
    assert_eq!(
        seen[1],
        json!({ "_meta": "u", "id": 1, "v": "b", "big": big }),
        "the large value comes from the row before"
    );
    assert_eq!(seen[3], json!({ "_meta": "c", "id": 7, "v": "b", "big": big }));
    assert_eq!(seen[4], json!({ "_meta": "d", "id": 7, "v": "b", "big": big }));
}

#[tokio::test]
async fn a_large_value_that_did_not_change_is_absent_and_merging_keeps_it() {
    let base = Base::new(&format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, big text); INSERT INTO t SELECT i, 'a', {LARGE} || i FROM generate_series(1, 5) i"
    ));
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("UPDATE t SET v = 'b' WHERE id = 1");
    base.run("UPDATE t SET v = NULL WHERE id = 2");
    base.run("UPDATE t SET big = NULL WHERE id = 3");
    base.run("DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 'new', NULL)");
    let seen = plain(&catch_up(&mut task, &mut fold, &T).await.unwrap());
    assert_eq!(seen[0], json!({ "_meta": "u", "id": 1, "v": "b" }));
    assert_eq!(seen[1], json!({ "_meta": "u", "id": 2, "v": null }), "NULL is said, and so overwrites");
    assert_eq!(seen[2], json!({ "_meta": "u", "id": 3, "v": "a", "big": null }));
    fold.assert_is(&base, &T);
    // Under another key nothing was captured that could be kept: the value is looked up.
    base.run("UPDATE t SET id = 50 WHERE id = 5");
    let seen = plain(&catch_up(&mut task, &mut fold, &T).await.unwrap());
    assert!(seen[1]["big"].as_str().is_some_and(|big| big.len() > 5000), "{seen:?}");
    base.run("UPDATE t SET id = 10 WHERE id = 1; UPDATE t SET id = 11 WHERE id = 10; DELETE FROM t WHERE id = 11; UPDATE t SET id = 20 WHERE id = 2; UPDATE t SET big = 'small' WHERE id = 20");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_large_value_that_did_not_change_while_its_row_was_being_walked_is_not_lost() {
    let base = Base::new(&format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, big text); INSERT INTO t SELECT i, 'a', {LARGE} || i FROM generate_series(1, 30) i"
    ));
    let mut task = base.task_in_steps(&T, 4, WHOLE);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    let mut round = 0;
    loop {
        round += 1;
        if round <= 20 {
            base.run(&format!("UPDATE t SET v = 'round {round}'"));
        }
        let transaction = session.next().await.unwrap().unwrap();
        let is_end = transaction.caught_up;
        fold.take(&[transaction], &T);
        if is_end {
            break;
        }
    }
    session.acknowledge().await.unwrap();
    session.stop().await.unwrap();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn what_is_rolled_back_or_of_other_tables_is_not_captured() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE TABLE other (id bigint PRIMARY KEY)");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("BEGIN; INSERT INTO t VALUES (1, 'x'); ROLLBACK");
    base.run("BEGIN; SAVEPOINT s; INSERT INTO t VALUES (2, 'x'); ROLLBACK TO s; INSERT INTO t VALUES (3, 'y'); COMMIT");
    base.run("INSERT INTO other VALUES (1); SELECT pg_logical_emit_message(true, 'somebody', 'says'); SELECT pg_logical_emit_message(false, 'a', 'b')");
    let seen = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(plain(&seen), [json!({ "_meta": "c", "id": 3, "v": "y" })]);
}

#[tokio::test]
async fn the_slot_lets_go_of_what_is_durable_and_of_nothing_else() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    let before = base.confirmed();

    // Captured, not durable, and many rounds with the server later: it keeps all of it.
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    for round in 0..5 {
        base.run(&format!("INSERT INTO t VALUES ({round}, 'x')"));
        while documents(&[session.next().await.unwrap().unwrap()]).is_empty() {}
        assert_eq!(base.confirmed(), before);
    }
    drop(session);

    // Durable, and the connector was never told: the next session's state tells it.
    let mut session = task.open().await.unwrap();
    let seen = session.until_caught_up().await.unwrap();
    assert_eq!(documents(&seen).len(), 5, "all of it came again");
    fold.take(&seen, &T);
    session.commit().unwrap();
    drop(session);
    assert_eq!(base.confirmed(), before);
    let position = position(&task);
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    // Else nothing more may come: a quiet session waits for its last checkpoint.
    session.acknowledge().await.unwrap();
    until(&base, position, &mut session).await;

    // Durable and told so while the session goes on.
    base.run("UPDATE t SET v = 'y'");
    let seen = next(&mut session).await.unwrap();
    fold.take(&[seen], &T);
    session.acknowledge().await.unwrap();
    session.stop().await.unwrap();
    let told = base.confirmed();
    assert_eq!(told, self::position(&task), "a farewell tells the server the last of it");
    fold.assert_is(&base, &T);
}

/// What the durable state covers.
fn position(task: &longshore_sdk::testing::CaptureTask<capture_postgres::Postgres>) -> u64 {
    let state: Value = serde_json::from_slice(task.state().task_json().unwrap()).unwrap();
    let (high, low) = state["position"].as_str().unwrap().split_once('/').unwrap();
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}

/// Waits until the slot has let go up to a position; the log of another database moves it on meanwhile.
async fn until(base: &Base, position: u64, session: &mut longshore_sdk::testing::CaptureSession<'_>) {
    while base.confirmed() < position {
        base.run("CREATE TABLE noise (x int); DROP TABLE noise");
        session.next().await.unwrap();
        session.acknowledge().await.unwrap();
    }
}

#[tokio::test]
async fn beside_a_busy_other_table_an_idle_slot_follows_the_log() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE TABLE busy (x text)");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    session.acknowledge().await.unwrap();
    let before = base.confirmed();
    base.run("INSERT INTO busy SELECT repeat('x', 100) FROM generate_series(1, 1000)");
    let end: u64 = base.run("SELECT pg_current_wal_flush_lsn() - '0/0'").parse().unwrap();
    let mut rounds = 0;
    while base.confirmed() < end {
        let transaction = session.next().await.unwrap().unwrap();
        assert_eq!(transaction.documents.len(), 0);
        session.acknowledge().await.unwrap();
        rounds += 1;
        assert!(rounds < 1000, "it stays behind: {} of {end}", base.confirmed());
        base.run("INSERT INTO busy VALUES ('y')");
    }
    assert!(base.confirmed() > before);
    session.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_transaction_has_checkpoints_inside_and_goes_on_from_one() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text);");
    let mut task = base.task_in_steps(&T, 100, 1000);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 100) i");
    let mut session = task.open().await.unwrap();
    let mut seen: Vec<Transaction> = Vec::new();
    while documents(&seen).len() < 30 {
        seen.push(session.next().await.unwrap().unwrap());
    }
    assert!(seen.iter().all(|transaction| transaction.partial));
    fold.take(&seen, &T);
    session.commit().unwrap();
    session.next().await.unwrap();
    drop(session);
    let rest = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(documents(&seen).len() + documents(&rest).len(), 100, "each row once");
    assert!(!rest.last().unwrap().partial);
    fold.assert_is(&base, &T);
}
