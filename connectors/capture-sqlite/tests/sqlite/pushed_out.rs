//! Rows that are pushed out by others: SQLite fires no trigger for them, and they are gone all the same.

use crate::base::{Base, Fold, Table, follow};

/// After each statement the documents are what the table holds.
async fn check(sql: &str, table: Table<'_>, statements: &[&str]) {
    let base = Base::new(sql);
    let tables = [table];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    follow(&mut session, &mut fold, &base, &tables).await.unwrap();
    for statement in statements {
        let before = base.rows(table);
        base.run(statement);
        assert_ne!(before, base.rows(table), "{statement} does nothing");
        if let Err(error) = follow(&mut session, &mut fold, &base, &tables).await {
            fold.assert_is(&base, &tables);
            panic!("{statement}: {error}");
        }
    }
}

#[tokio::test]
async fn by_another_unique_column() {
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT UNIQUE, v); INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);",
        ("t", &["/id"]),
        &[
            "INSERT OR REPLACE INTO t VALUES (9, 'a', 9)",
            "REPLACE INTO t VALUES (2, 'c', 4)",
            "UPDATE OR REPLACE t SET email = 'a' WHERE id = 2",
            "INSERT INTO t VALUES (5, 'e', 5), (6, 'f', 6)",
            "UPDATE OR REPLACE t SET id = 6 WHERE id = 5",
            "INSERT OR REPLACE INTO t (email, v) VALUES ('f', 'a new id')",
        ],
    )
    .await;
}

#[tokio::test]
async fn by_the_row_id_where_the_key_is_another_column() {
    check(
        "CREATE TABLE t (name TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3);",
        ("t", &["/name"]),
        &[
            "INSERT OR REPLACE INTO t (rowid, name, v) VALUES (1, 'x', 9)",
            "UPDATE OR REPLACE t SET rowid = 2 WHERE name = 'c'",
            "UPDATE OR REPLACE t SET name = 'x' WHERE name = 'c'",
        ],
    )
    .await;
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b');",
        ("t", &["/email"]),
        &["REPLACE INTO t VALUES (1, 'z')", "REPLACE INTO t VALUES (1, 'b')"],
    )
    .await;
}

#[tokio::test]
async fn by_a_collation_an_expression_a_condition_a_default_or_what_is_generated() {
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b');",
        ("t", &["/id"]),
        &["REPLACE INTO t VALUES (3, 'A')", "UPDATE OR REPLACE t SET email = 'B' WHERE id = 3"],
    )
    .await;
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT, gone INTEGER); INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0), (3, 'b', 1);
         CREATE UNIQUE INDEX lower ON t (lower(email) DESC, gone + 1) WHERE gone = 0 -- ) only those
         ;",
        ("t", &["/id"]),
        &["REPLACE INTO t VALUES (4, 'A', 0)", "UPDATE OR REPLACE t SET gone = 0 WHERE id = 3"],
    )
    .await;
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER NOT NULL ON CONFLICT REPLACE DEFAULT (2 + 3) UNIQUE ON CONFLICT REPLACE);
         INSERT INTO t VALUES (1, 5), (2, 6);",
        ("t", &["/id"]),
        &["INSERT INTO t VALUES (3, NULL)", "UPDATE t SET u = NULL WHERE id = 2", "INSERT INTO t (id) VALUES (4)"],
    )
    .await;
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, g INTEGER AS (a % 10) STORED UNIQUE); INSERT INTO t (id, a) VALUES (1, 11), (2, 12);",
        ("t", &["/id"]),
        &["REPLACE INTO t (id, a) VALUES (3, 21)", "UPDATE OR REPLACE t SET a = 32 WHERE id = 3"],
    )
    .await;
}

#[tokio::test]
async fn in_a_table_without_row_ids() {
    check(
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b INTEGER, u TEXT UNIQUE, PRIMARY KEY (a, b)) WITHOUT ROWID;
         INSERT INTO t VALUES ('x', 1, 'p'), ('x', 2, 'q'), ('y', 1, 'r');",
        ("t", &["/a", "/b"]),
        &[
            "REPLACE INTO t VALUES ('z', 9, 'p')",
            "REPLACE INTO t VALUES ('X', 2, 's')",
            "UPDATE OR REPLACE t SET u = 's' WHERE a = 'y'",
            "UPDATE t SET a = 'Y' WHERE a = 'y'",
            "UPDATE OR REPLACE t SET b = 9, a = 'Z' WHERE a = 'Y'",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_key_that_differs_in_case_alone_is_another_key() {
    check(
        "CREATE TABLE t (name TEXT COLLATE NOCASE PRIMARY KEY, v); INSERT INTO t VALUES ('a', 1), ('b', 2);",
        ("t", &["/name"]),
        &[
            "UPDATE t SET name = 'A' WHERE name = 'a'",
            "REPLACE INTO t VALUES ('B', 3)",
            "DELETE FROM t WHERE name = 'b'",
        ],
    )
    .await;
}
