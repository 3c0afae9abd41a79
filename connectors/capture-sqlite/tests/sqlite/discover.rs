//! What Discover says of tables, by declaration and by what they hold.

use serde_json::{Value, json};

use crate::base::Base;

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

#[tokio::test]
async fn tables_are_found_with_keys_and_types() {
    let base = Base::new(
        "CREATE TABLE Orders (id INTEGER PRIMARY KEY, total REAL NOT NULL, note VARCHAR(9), at DATE, raw BLOB, odd INTEGER, free, unix DATETIME);
         INSERT INTO Orders VALUES (1, 2.5, NULL, '2024-01-01', x'00', 'text', 7, 5);
         CREATE TABLE pairs (a TEXT, b INTEGER, PRIMARY KEY (b, a)) STRICT, WITHOUT ROWID;
         CREATE TABLE loose (a TEXT PRIMARY KEY, v ANY); INSERT INTO loose VALUES (NULL, 1), (NULL, 2);
         CREATE TABLE bare (x BOOLEAN); CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE search USING fts5(body);",
    );
    let mut task = base.task(&[("Orders", &["/id"])]);
    task.apply().await.unwrap();
    let found = task.discover().await.unwrap();
    let names: Vec<_> = found.iter().map(|found| found.recommended_collection.as_str()).collect();
    assert_eq!(names, ["orders", "bare", "loose", "pairs"], "no views, nothing virtual, nothing of ours");
    let keys: Vec<_> = found.iter().map(|found| (found.key.join(","), found.key_is_fallback)).collect();
    let rowid = "/_meta/source/rowid";
    assert_eq!(
        keys,
        [("/id".to_owned(), false), (rowid.to_owned(), true), (rowid.to_owned(), true), ("/b,/a".to_owned(), false)]
    );
    let orders = value(&found[0].schema_json);
    let types = |name: &str| orders["properties"][name]["type"].clone();
    assert_eq!(types("id"), json!("integer"));
    assert_eq!(types("total"), json!("number"));
    assert_eq!(types("note"), json!(["string", "null"]));
    assert_eq!(types("at"), json!(["string", "null"]));
    assert_eq!(types("raw"), json!(["string", "null"]));
    assert_eq!(orders["properties"]["raw"]["contentEncoding"], "base64");
    assert_eq!(types("odd"), json!(["integer", "string", "null"]), "declared, and what it holds");
    assert_eq!(types("free"), json!(["integer", "null"]));
    assert_eq!(types("unix"), json!(["integer", "null"]), "what a date is kept as only its values tell");
    assert_eq!(orders["required"], json!(["id"]), "a deletion has no more");
    let loose = value(&found[2].schema_json);
    assert_eq!(loose["properties"]["_meta"]["properties"]["source"]["required"], json!(["rowid"]));
}

#[tokio::test]
async fn resources_are_described_as_they_are_written() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT);");
    let task = longshore_sdk::testing::CaptureTask::new(capture_sqlite::Sqlite::default(), base.config());
    let task = task.binding(json!({ "table": "t", "columns": ["b"] }), "c", &["/id"]);
    let found = task.discover_bindings().await.unwrap();
    assert_eq!(value(&found[0].resource_json), json!({ "table": "t", "columns": ["b"] }));
    let schema = value(&found[0].schema_json);
    let names: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "b"], "the key is always in it");
    let task = base.task(&[("gone", &["/id"])]);
    let error = task.discover_bindings().await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.pointer.as_str(), error.binding),
        ("sqlite.table.missing", "/table", Some(0))
    );
}

/// A journal that has to be played back lies beside the database then, and only who may write can do that.
#[tokio::test]
async fn a_database_in_which_somebody_died_while_writing_is_looked_at_as_it_was_before() {
    let base = Base::new("");
    let at = |name: &str| base.dir.path().join(name);
    let writer = rusqlite::Connection::open(at("writing.db")).unwrap();
    // More than the cache holds, so that some of it is in the file before it is committed.
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i, randomblob(900) FROM n";
    let begun = format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); {rows}; PRAGMA cache_size = 5; BEGIN; UPDATE t SET v = randomblob(800)"
    );
    writer.execute_batch(&begun).unwrap();
    std::fs::copy(at("writing.db"), at("died.db")).unwrap();
    std::fs::copy(at("writing.db-journal"), at("died.db-journal")).unwrap();
    let config = json!({ "path": at("died.db") });
    let found =
        longshore_sdk::testing::CaptureTask::new(capture_sqlite::Sqlite::default(), config).discover().await.unwrap();
    assert_eq!(found.len(), 1);
}
