//! What is not as it was left: each is a stop that says so, and none is passed over.

use longshore_sdk::ErrorKind;

use crate::base::{Base, Fold, Table, catch_up, failure, follow};

const T: [Table<'static>; 1] = [("t", &["/id"])];

/// Caught up, then `meanwhile` while nobody looks: Apply and a session say `code`.
async fn stops(code: &str, meanwhile: impl FnOnce(&Base)) {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("UPDATE t SET v = 3");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("UPDATE t SET v = 4");
    meanwhile(&base);
    let error = failure(&mut task).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, code), "{error}");
    assert!(error.suggestion.contains("run --fresh test"), "{error}");
    if code != "sqlite.log.gap" {
        assert_eq!(task.apply().await.unwrap_err().code, code, "Apply must not put it right in silence");
    }
}

fn trigger(base: &Base, kind: &str) -> String {
    let find = format!("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '_longshore_*_{kind}'");
    base.db.query_row(&find, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn triggers_that_were_dropped_or_altered() {
    for kind in ["ai", "au", "ad"] {
        stops("sqlite.triggers.missing", |base| base.run(&format!("DROP TRIGGER {}", trigger(base, kind)))).await;
    }
    stops("sqlite.triggers.missing", |base| {
        let name = trigger(base, "au");
        base.run(&format!("DROP TRIGGER {name}; CREATE TRIGGER {name} AFTER UPDATE ON t BEGIN SELECT 1; END"));
    })
    .await;
    // All of them made again as they were, but by somebody else and under another number.
    stops("sqlite.triggers.other", |base| {
        for kind in ["ai", "au", "ad"] {
            let name = trigger(base, kind);
            let sql: String =
                base.db.query_row("SELECT sql FROM sqlite_schema WHERE name = ?", [&name], |row| row.get(0)).unwrap();
            let sql = sql.replace("_t1_", "_t2_").replace("VALUES (1,", "VALUES (2,").replace("SELECT 1,", "SELECT 2,");
            base.run(&format!("DROP TRIGGER {name}; {sql}"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_that_was_dropped_emptied_or_thinned() {
    stops("sqlite.log.missing", |base| base.run(&format!("DROP TABLE {}", base.log()))).await;
    stops("sqlite.log.moved", |base| base.run(&format!("DELETE FROM {}", base.log()))).await;
    let last =
        |base: &Base| format!("DELETE FROM {log} WHERE seq = (SELECT max(seq) - 1 FROM {log})", log = base.log());
    stops("sqlite.log.gap", move |base| base.run(&last(base))).await;
}

#[tokio::test]
async fn a_database_that_was_put_back_from_an_older_copy() {
    for more in ["", "UPDATE t SET v = 5; UPDATE t SET v = 6; UPDATE t SET v = 7; UPDATE t SET v = 8;"] {
        let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2);");
        let mut task = base.task(&T);
        task.apply().await.unwrap();
        let mut fold = Fold::default();
        catch_up(&mut task, &mut fold, &T).await.unwrap();
        let copy = base.dir.path().join("copy.db");
        base.run(&format!("VACUUM INTO '{}'", copy.display()));
        base.run("UPDATE t SET v = 3; UPDATE t SET v = 4");
        catch_up(&mut task, &mut fold, &T).await.unwrap();
        base.run("PRAGMA wal_checkpoint(TRUNCATE)");
        // It may have written more since than it had lost: the numbers are there, and the entries are others.
        rusqlite::Connection::open(&copy).unwrap().execute_batch(more).unwrap();
        std::fs::rename(&copy, base.path()).unwrap();
        for suffix in ["-wal", "-shm"] {
            std::fs::remove_file(base.dir.path().join(format!("source.db{suffix}"))).ok();
        }
        let error = failure(&mut task).await;
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "sqlite.log.moved"), "{more}: {error}");
        assert_eq!(task.apply().await.unwrap_err().code, "sqlite.log.moved");
    }
}

#[tokio::test]
async fn a_database_of_somebody_else_or_another_file_under_the_same_name() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    let other = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (7, 7);");
    other.task(&T).apply().await.unwrap();
    other.run("PRAGMA journal_mode = DELETE");
    std::fs::copy(other.path(), base.dir.path().join("new.db")).unwrap();
    std::fs::rename(base.dir.path().join("new.db"), base.path()).unwrap();
    let error = session.ended().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "sqlite.file.replaced"));
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(base.dir.path().join(format!("source.db{suffix}"))).ok();
    }
    let error = failure(&mut task).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "sqlite.log.other"), "{error}");
    assert_eq!(task.apply().await.unwrap_err().code, "sqlite.log.other");
}

/// VACUUM gives rows without an INTEGER PRIMARY KEY new numbers, where nothing keeps it from that.
#[tokio::test]
async fn rows_that_were_numbered_anew_stop_where_the_numbers_are_keys_and_send_a_walk_back_where_they_are_its_place() {
    let rows = "INSERT INTO t (rowid, v) VALUES (10, 'a'), (20, 'b'), (30, 'c'), (40, 'd'), (50, 'e'), (60, 'f')";
    let base = Base::new(&format!("CREATE TABLE t (v); {rows};"));
    let tables: [Table<'_>; 1] = [("t", &["/_meta/source/rowid"])];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    follow(&mut session, &mut fold, &base, &tables).await.unwrap();
    base.run("CREATE TABLE unrelated (x); DROP TABLE unrelated; UPDATE t SET v = 'x' WHERE rowid = 20");
    follow(&mut session, &mut fold, &base, &tables).await.unwrap();
    base.run("VACUUM");
    assert_eq!(base.number("SELECT max(rowid) FROM t"), 6, "they were numbered anew");
    let error = session.ended().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "sqlite.rowids.renumbered"), "{error}");
    assert_eq!(failure(&mut task).await.code, "sqlite.rowids.renumbered");
    assert_eq!(task.apply().await.unwrap_err().code, "sqlite.rowids.renumbered");

    // With a key of its own the rows go on under it, though the walk was in their midst.
    let base = Base::new(&format!("CREATE TABLE t (v); {rows}; CREATE UNIQUE INDEX vs ON t (v);"));
    let tables: [Table<'_>; 1] = [("t", &["/v"])];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    let mut seen = 0;
    while seen == 0 {
        let transaction = session.next().await.unwrap().unwrap();
        seen += transaction.documents.len();
        fold.take(&[transaction], &tables);
    }
    session.commit().unwrap();
    drop(session);
    base.run("VACUUM");
    let again = catch_up(&mut task, &mut fold, &tables).await.unwrap();
    let documents: usize = again.iter().map(|transaction| transaction.documents.len()).sum();
    assert_eq!(documents, 6, "the walk began again");
    fold.assert_is(&base, &tables);
}
