//! Discover, the config, and the spec.

use capture_postgres::PostgresQuery;
use longshore_sdk::testing::CaptureTask;
use serde_json::{Value, json};

use super::story::{bound, empty_task};
use crate::base::Base;

#[tokio::test]
async fn tables_are_found_with_their_keys_and_what_could_be_a_cursor() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v varchar(20), at timestamptz NOT NULL, doubled bigint GENERATED ALWAYS AS (id * 2) STORED);
         CREATE TABLE indexed (a int NOT NULL, b text NOT NULL, c int); CREATE UNIQUE INDEX ON indexed (b, a); CREATE UNIQUE INDEX ON indexed (c);
         CREATE UNIQUE INDEX ON indexed (a) WHERE a > 7; CREATE TABLE keyless (v text); CREATE VIEW seen AS SELECT * FROM t",
    );
    let found = empty_task(&base).discover().await.unwrap();
    let names: Vec<_> =
        found.iter().map(|found| (found.recommended_collection.as_str(), found.key.join(" "))).collect();
    assert_eq!(names, [("indexed", "/b /a".to_owned()), ("t", "/id".to_owned())]);
    let resource: Value = serde_json::from_slice(&found[1].resource_json).unwrap();
    assert_eq!(resource, json!({ "schema": "public", "table": "t" }), "nothing guesses a cursor");
    assert!(found[1].note.contains("of a type that fits: id, at"), "{}", found[1].note);
    let schema: Value = serde_json::from_slice(&found[1].schema_json).unwrap();
    assert_eq!(schema["properties"]["doubled"], json!({ "type": ["integer", "null"] }));
    assert_eq!((&schema["required"], &schema["reduce"]), (&json!(["id"]), &Value::Null), "no value is ever left out");
    let asked = bound(empty_task(&base), "seen", &json!({ "key": ["id"], "cursor": "at", "look_back": "5m" }));
    let found = asked.discover_bindings().await.unwrap();
    assert_eq!(found[0].key, ["/id"]);
    let resource: Value = serde_json::from_slice(&found[0].resource_json).unwrap();
    assert_eq!(resource["look_back"], json!("300000000us"));
    let schema: Value = serde_json::from_slice(&found[0].schema_json).unwrap();
    assert_eq!(schema["properties"]["id"], json!({ "type": "integer" }), "rows without it stop the capture");
}

#[tokio::test]
async fn the_collection_has_the_key_that_tells_rows_apart() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text)");
    let task = empty_task(&base).binding(json!({ "table": "t" }), "t", &["/v"]);
    let findings = task.validate().await.unwrap();
    assert_eq!((findings[0].code.as_str(), findings[0].binding), ("postgres.key.other", Some(0)));
    assert!(findings[0].suggestion.contains("[/id]"), "{findings:?}");
}

#[tokio::test]
async fn the_config_is_read_strictly() {
    let findings = |config| async { CaptureTask::new(PostgresQuery::default(), config).validate().await.unwrap() };
    assert_eq!(findings(json!({ "url": "mysql://x" })).await[0].pointer, "/url");
    assert!(findings(json!({ "url": "postgres://a@b/c", "slot": "x" })).await[0].message.contains("slot"));
    // A server that does not answer just now is no mistake of the user's.
    let task = CaptureTask::new(PostgresQuery::default(), json!({ "url": "postgres://a@127.0.0.1:1/c" }));
    assert_eq!(task.validate().await.unwrap_err().kind, longshore_sdk::ErrorKind::Unavailable);
}

#[test]
fn the_spec_is_as_it_was() {
    let task = CaptureTask::new(PostgresQuery::default(), json!({}));
    let spec = serde_json::to_string_pretty(&task.spec()).unwrap();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!("capture-postgres-query", spec);
    });
}
