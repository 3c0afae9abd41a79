//! What is in a table now, for a comparison: told whether or not it was captured, and without leaving anything behind.

use serde_json::json;

use crate::base::Base;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_18_all_rows_are_told_as_they_would_be_captured_and_nothing_is_changed() {
    let base = Base::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, b BLOB, r REAL, note);
         INSERT INTO t VALUES (2, 9223372036854775807, x'00ff', 0.1, NULL), (1, NULL, NULL, 9e999, 'x'), (10, 'text', x'', 5.0, 7);",
    );
    let task = base.task(&[("t", &["/id"])]);
    let wanted = [
        r#"[1,null,null,{"real":"Infinity"},"x"]"#,
        r#"[10,"text","",5.0,7]"#,
        r#"[2,9223372036854775807,"AP8=",0.1,null]"#,
    ];
    assert_eq!(task.verify(&["/n", "/b", "/r", "/note"]).await.unwrap(), wanted);
    assert_eq!((base.triggers(), base.number("SELECT count(*) FROM sqlite_schema")), (0, 1), "no trigger and no log");

    base.run(
        "DELETE FROM t WHERE id < 10; WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000)
         INSERT INTO t SELECT x + 100, x, NULL, NULL, NULL FROM n",
    );
    let told = task.verify(&["/n"]).await.unwrap();
    assert_eq!(told.len(), 5001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_18_rows_that_are_told_apart_by_their_row_id_are_told_by_it_and_faults_have_their_names() {
    let base = Base::new("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x'), ('x'); DELETE FROM t WHERE rowid = 1");
    let task = base.task(&[("t", &["/_meta/source/rowid"])]);
    assert_eq!(task.verify(&["/a"]).await.unwrap(), [r#"[2,"x"]"#]);
    let missing = base.task(&[("nothing", &["/id"])]).verify(&[]).await.unwrap_err();
    assert!(missing.message.contains("nothing"), "{missing}");
    let task =
        longshore_sdk::testing::CaptureTask::new(capture_sqlite::Sqlite::default(), json!({ "path": "/nowhere.db" }));
    let missing = task.binding(json!({ "table": "t" }), "c", &["/a"]).verify(&[]).await.unwrap_err();
    assert_eq!(missing.code, "sqlite.path.missing");
}
