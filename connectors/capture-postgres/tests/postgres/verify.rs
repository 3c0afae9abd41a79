//! What is in a table now, for a comparison: told whether or not it was captured, and without leaving anything behind.

use serde_json::json;

use crate::base::Base;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_18_all_rows_are_told_as_they_would_be_captured_and_nothing_is_made() {
    let base = Base::new(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, fee numeric, name character(3), doc jsonb, gen int GENERATED ALWAYS AS (id + 1) STORED);
         INSERT INTO t VALUES (2, '2024-01-01 02:00+02', 1.50, 'a', '{\"b\": 1.10}'), (1, 'infinity', 'NaN', NULL, NULL)",
    );
    let task = base.task(&[("t", &["/id"])]);
    let wanted =
        [r#"[1,"infinity","NaN",null,null,null]"#, r#"[2,"2024-01-01T00:00:00Z",1.50,"a  ",{"b": 1.10},null]"#];
    assert_eq!(task.verify(&["/at", "/fee", "/name", "/doc", "/gen"]).await.unwrap(), wanted);
    let slots = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", base.slot());
    assert_eq!((base.run(&slots), base.run("SELECT count(*) FROM pg_publication")), ("0".to_owned(), "0".to_owned()));

    base.run("DELETE FROM t; INSERT INTO t SELECT n, NULL, n, NULL, to_jsonb(repeat('x', 2000)) FROM generate_series(1, 3000) n");
    let told = task.verify(&["/fee", "/doc"]).await.unwrap();
    assert_eq!(told.len(), 3000, "in several pieces");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_18_what_is_not_captured_as_a_whole_is_not_compared() {
    let base = Base::new("CREATE TABLE t (id int PRIMARY KEY, v text)");
    for part in [json!({ "snapshot": false }), json!({ "where": "id > 1" })] {
        let refused = base.partial_task(part).verify(&["/v"]).await.unwrap_err();
        assert_eq!(refused.code, "postgres.verify.part");
    }
    let missing = base.task(&[("nothing", &["/id"])]).verify(&[]).await.unwrap_err();
    assert_eq!(missing.code, "postgres.table.missing");
}
