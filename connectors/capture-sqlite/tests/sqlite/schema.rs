//! Tables that change their shape while they are captured.

#![allow(clippy::disallowed_methods, reason = "a wait has a limit")]

use longshore_sdk::testing::CaptureTask;
use serde_json::json;

use crate::base::{Base, Fold, Table, catch_up, failure, follow};

const T: [Table<'static>; 1] = [("t", &["/id"])];

#[tokio::test]
async fn columns_that_come_go_or_change_their_name_are_read_again_in_every_row() {
    let base = Base::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t SELECT value, value FROM
         (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 10) SELECT value FROM s);",
    );
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    follow(&mut session, &mut fold, &base, &T).await.unwrap();
    for sql in [
        "ALTER TABLE t ADD COLUMN extra TEXT DEFAULT 'was not there'",
        "ALTER TABLE t RENAME COLUMN v TO w",
        "ALTER TABLE t DROP COLUMN w",
        "ALTER TABLE t ADD COLUMN g AS (id * 2)",
    ] {
        base.run(sql);
        follow(&mut session, &mut fold, &base, &T).await.unwrap();
        base.run("UPDATE t SET extra = 'changed' WHERE id = 3; DELETE FROM t WHERE id = (SELECT max(id) FROM t)");
        follow(&mut session, &mut fold, &base, &T).await.unwrap();
    }
    session.stop().await.unwrap();
    // The same while nobody looks.
    base.run("ALTER TABLE t ADD COLUMN late INTEGER DEFAULT 7");
    task.apply().await.unwrap();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn columns_that_are_not_wanted_change_nothing_and_a_wanted_one_that_goes_is_a_stop() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'a', 'secret');");
    let task = CaptureTask::new(capture_sqlite::Sqlite::default(), base.config());
    let mut task = task.binding(json!({ "table": "t", "columns": ["a"] }), "t", &["/id"]);
    task.apply().await.unwrap();
    let mut session = task.open().await.unwrap();
    let seen = session.until_caught_up().await.unwrap();
    let documents: Vec<_> = seen.iter().flat_map(|transaction| &transaction.documents).collect();
    assert_eq!(documents, [&(0, json!({ "id": 1, "a": "a" }))]);
    session.acknowledge().await.unwrap();
    base.run("ALTER TABLE t ADD COLUMN c DEFAULT 5; INSERT INTO t VALUES (2, 'x', 'y', 'z')");
    let next = session.next().await.unwrap().unwrap();
    assert_eq!(next.documents, [(0, json!({ "_meta": { "op": "u" }, "id": 2, "a": "x" }))]);
    base.run("ALTER TABLE t DROP COLUMN a");
    let error = session.ended().await.unwrap_err();
    assert_eq!(error.code, "sqlite.columns.unknown");
    assert!(error.message.contains("column \"a\""), "{error}");
}

#[tokio::test]
async fn what_becomes_unique_is_watched_from_then_on_unless_something_was_written_before_anybody_saw_it() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, u); INSERT INTO t VALUES (1, 'a'), (2, 'b');");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    follow(&mut session, &mut fold, &base, &T).await.unwrap();
    base.run("CREATE UNIQUE INDEX later ON t (u)");
    // The session makes the triggers again before anything else is written: wait until it has.
    let made = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '_longshore_*_bi'";
    let began = std::time::Instant::now();
    while base.number(made) == 0 {
        assert!(began.elapsed() < longshore_sdk::testing::WAIT_MAX, "nobody noticed");
        tokio::task::yield_now().await;
    }
    base.run("REPLACE INTO t VALUES (3, 'a')");
    follow(&mut session, &mut fold, &base, &T).await.unwrap();
    assert_eq!(fold.0[0].len(), 2);
    session.stop().await.unwrap();

    base.run("CREATE TABLE other (x); CREATE UNIQUE INDEX both ON t (u || '!');");
    let actions = task.apply().await.unwrap();
    assert_eq!(actions, ["make the triggers on \"t\" again, as something in it became unique"]);
    catch_up(&mut task, &mut fold, &T).await.unwrap();

    base.run(
        "DROP INDEX both; DROP INDEX later; CREATE UNIQUE INDEX sum ON t (id + u); REPLACE INTO t VALUES (4, 'z')",
    );
    let error = task.apply().await.unwrap_err();
    assert_eq!(error.code, "sqlite.triggers.late");
    let error = failure(&mut task).await;
    assert_eq!(error.code, "sqlite.triggers.late");
    assert!(error.suggestion.contains("run --fresh test/c0"), "{error}");
}

#[tokio::test]
async fn a_table_that_is_dropped_renamed_or_made_again_is_a_stop_and_a_new_life_of_the_binding_is_the_way_out() {
    for (sql, code) in [
        ("DROP TABLE t", "sqlite.table.missing"),
        (
            "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (5, 5)",
            "sqlite.triggers.missing",
        ),
        ("ALTER TABLE t RENAME TO u", "sqlite.table.missing"),
        ("ALTER TABLE t RENAME TO u; CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "sqlite.triggers.missing"),
        ("ALTER TABLE t RENAME COLUMN id TO nr", "sqlite.key.missing"),
        ("CREATE TABLE n AS SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t", "sqlite.key.not_unique"),
    ] {
        let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2);");
        let mut task = base.task(&T);
        task.apply().await.unwrap();
        let mut fold = Fold::default();
        let mut session = task.open().await.unwrap();
        follow(&mut session, &mut fold, &base, &T).await.unwrap();
        base.run(sql);
        let error = session.ended().await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (longshore_sdk::ErrorKind::Data, code), "{sql}: {error}");
        assert!(error.suggestion.contains("run --fresh test/c0"), "{error}");
        assert_eq!(failure(&mut task).await.code, code, "{sql}");
        assert_eq!(task.apply().await.unwrap_err().code, code, "{sql}");
        if code == "sqlite.triggers.missing" {
            let mut fresh = base.task(&T);
            fresh.apply().await.unwrap();
            let mut fold = Fold::default();
            catch_up(&mut fresh, &mut fold, &T).await.unwrap();
            fold.assert_is(&base, &T);
        }
    }
}
