//! The walk over the rows that are there: in pieces, over every kind of key, from where it was.

use crate::base::{Base, Fold, Table, catch_up, follow};

#[tokio::test]
async fn tables_of_every_kind_of_key_are_walked_in_pieces_and_each_row_comes_once() {
    let base = Base::new(
        "CREATE TABLE ids (id INTEGER PRIMARY KEY, v);
         INSERT INTO ids VALUES (-5, 'a'), (0, 'b'), (9223372036854775807, 'c'), (-9223372036854775808, 'd'), (7, 'e');
         CREATE TABLE texts (name TEXT PRIMARY KEY, v); INSERT INTO texts VALUES ('', 1), ('a', 2), ('A', 3), ('é', 4), ('a|b', 5);
         CREATE TABLE pairs (a TEXT COLLATE NOCASE, b BLOB, c REAL, PRIMARY KEY (a, b DESC, c)) WITHOUT ROWID;
         INSERT INTO pairs VALUES ('x', x'00', 1), ('x', x'', 1), ('X', x'00ff', -1.5), ('y', x'00', 2), ('', x'01', 0);
         CREATE TABLE bare (v); INSERT INTO bare VALUES (1), (1), (NULL), ('x'), (2.5);
         CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, v); INSERT INTO descending VALUES (3, 'x'), (1, 'y');
         CREATE TABLE \"odd \"\" name\" (\"rowid\" TEXT, \"k/~\" INTEGER NOT NULL UNIQUE, g AS (\"k/~\" * 2) STORED, h AS (upper(\"rowid\")));
         INSERT INTO \"odd \"\" name\" VALUES ('x', 1), ('y', 2);
         CREATE TABLE empty (id INTEGER PRIMARY KEY);",
    );
    let tables: [Table<'_>; 7] = [
        ("ids", &["/id"]),
        ("texts", &["/name"]),
        ("pairs", &["/c", "/a", "/b"]),
        ("bare", &["/_meta/source/rowid"]),
        ("descending", &["/id"]),
        ("odd \" name", &["/k~1~0"]),
        ("empty", &["/id"]),
    ];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let transactions = catch_up(&mut task, &mut fold, &tables).await.unwrap();
    fold.assert_is(&base, &tables);
    let count: usize = transactions.iter().map(|transaction| transaction.documents.len()).sum();
    assert_eq!(count, 5 + 5 + 5 + 5 + 2 + 2, "each once");
    assert!(transactions.iter().all(|transaction| transaction.documents.len() <= 3), "in pieces");
    // Nothing changed: nothing comes.
    let again = catch_up(&mut task, &mut fold, &tables).await.unwrap();
    assert!(again.iter().all(|transaction| transaction.documents.is_empty()));
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was_made_durable() {
    let base = Base::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t SELECT value, 'v' || value FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 20) SELECT value FROM s);",
    );
    let tables: [Table<'_>; 1] = [("t", &["/id"])];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    for _ in 0..3 {
        let mut session = task.open().await.unwrap();
        let mut seen = session.next().await.unwrap().unwrap();
        while seen.documents.is_empty() {
            seen = session.next().await.unwrap().unwrap();
        }
        session.commit().unwrap();
        fold.take(&[seen], &tables);
        // What comes now is never durable.
        session.next().await.unwrap().unwrap();
        drop(session);
    }
    assert_eq!(fold.0[0].len(), 9, "three rows a session, none twice");
    catch_up(&mut task, &mut fold, &tables).await.unwrap();
    fold.assert_is(&base, &tables);
}

/// Rows move behind the walk, ahead of it, and to where it just was, while it stands still.
#[tokio::test]
async fn rows_that_move_or_change_while_the_walk_is_under_way_are_right_in_the_end() {
    for table in
        ["CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "CREATE TABLE t (id INTEGER PRIMARY KEY, v) WITHOUT ROWID"]
    {
        let base = Base::new(&format!(
            "{table}; INSERT INTO t SELECT value, value FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 30) SELECT value FROM s);"
        ));
        let tables: [Table<'_>; 1] = [("t", &["/id"])];
        let mut task = base.task(&tables);
        task.apply().await.unwrap();
        let mut fold = Fold::default();
        let mut session = task.open().await.unwrap();
        let seen = session.next().await.unwrap().unwrap();
        fold.take(&[seen], &tables);
        base.run(
            "UPDATE t SET id = -1 WHERE id = 29; UPDATE t SET id = 100 WHERE id = 2; UPDATE t SET v = 'new' WHERE id IN (1, 28);
             DELETE FROM t WHERE id IN (3, 27); INSERT INTO t VALUES (0, 'behind'), (200, 'ahead'); UPDATE t SET id = 29 WHERE id = 30;",
        );
        follow(&mut session, &mut fold, &base, &tables).await.unwrap();
        drop(session);
        fold.assert_is(&base, &tables);
    }
}

/// Documents so large that the way out is full, and the walk stands still between a look into the log and its next piece, its last one too: in
/// some of these tables a row behind it changes just there. The connector has threads of its own, to fill the way out while a row is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_changes_behind_the_last_piece_of_a_walk_is_read_from_the_log() {
    for rows in 12..18 {
        let base = Base::new(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v, large);
             INSERT INTO t SELECT value, 0, zeroblob(800000) FROM
             (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < {rows}) SELECT value FROM s);"
        ));
        let tables: [Table<'_>; 1] = [("t", &["/id"])];
        let mut task = base.task_in_pieces(&tables, 1);
        task.apply().await.unwrap();
        let mut fold = Fold::default();
        let mut session = task.open().await.unwrap();
        let (mut walked, mut changed) = (0, 0);
        while walked < rows {
            let seen = session.next().await.unwrap().unwrap();
            walked += seen.documents.iter().filter(|(_, document)| document["_meta"].is_null()).count();
            fold.take(&[seen], &tables);
            if changed < walked {
                changed += 1;
                base.run(&format!("UPDATE t SET v = 1 WHERE id = {changed}"));
            }
        }
        // Behind the walk, so that it comes by the log, as the last of it.
        base.run("INSERT INTO t VALUES (0, 'the last to come', NULL)");
        while !fold.0[0].contains_key("0") {
            fold.take(&[session.next().await.unwrap().unwrap()], &tables);
        }
        fold.assert_is(&base, &tables);
    }
}

#[tokio::test]
async fn progress_has_a_total_and_a_binding_that_is_added_later_is_walked_beside_the_log() {
    let base = Base::new(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, v); CREATE TABLE b (x TEXT PRIMARY KEY, y, z) WITHOUT ROWID;
         INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES ('p', 1, 1), ('q', 2, 2);",
    );
    let first: [Table<'_>; 1] = [("a", &["/id"])];
    let mut task = base.task(&first);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &first).await.unwrap();
    let both: [Table<'_>; 2] = [("a", &["/id"]), ("b", &["/x"])];
    let mut task = base.task(&both).with_state(task.state().clone());
    base.run("UPDATE a SET v = 3; UPDATE b SET y = 7 WHERE x = 'p'");
    let actions = task.apply().await.unwrap();
    assert_eq!(actions, ["make triggers on \"b\""]);
    base.run("UPDATE b SET x = 'r' WHERE x = 'q'");
    catch_up(&mut task, &mut fold, &both).await.unwrap();
    fold.assert_is(&base, &both);
    // Taken out again, its triggers go.
    let mut task = base.task(&first).with_state(task.state().clone());
    assert_eq!(task.apply().await.unwrap(), ["drop the triggers on \"b\""]);
    base.run("DELETE FROM b; UPDATE a SET v = 4");
    catch_up(&mut task, &mut fold, &first).await.unwrap();
    assert_eq!(fold.0[0], base.rows(first[0]));
}
