//! Values of every kind, in columns that were declared for them and in others: exact, or a stop that names table, key and column.

use serde_json::{Value, json};

use longshore_sdk::ErrorKind;
use longshore_sdk::testing::{CaptureTask, Transaction};

use crate::base::Base;

async fn captured(base: &Base, key: &str, schema: Value) -> longshore_sdk::Result<Vec<Transaction>> {
    let task = CaptureTask::new(capture_sqlite::Sqlite::default(), base.config());
    let mut task = task.binding(json!({ "table": "t" }), "c", &[key]).schema(&schema);
    task.apply().await?;
    let mut session = task.open().await?;
    session.until_caught_up().await
}

#[tokio::test]
async fn what_a_column_was_not_declared_for_is_stated_before_the_document_that_needs_it() {
    let base = Base::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, b BLOB, r REAL);
         INSERT INTO t VALUES (1, 9223372036854775807, x'00ff', 0.1), (2, -9223372036854775808, NULL, 9e999), (3, 1.5, 'text in a blob', -9e999),
           (4, 'text', x'', 1e300), (5, x'01', CAST(x'ff' AS TEXT), 5.0);",
    );
    let schema = json!({ "type": "object", "properties": {
        "id": { "type": "integer" }, "n": { "type": ["integer", "null"] }, "b": { "type": ["string", "null"] }, "r": { "type": ["number", "null"] }
    }, "required": ["id"], "additionalProperties": false });
    let transactions = captured(&base, "/id", schema).await.unwrap();
    let documents: Vec<Value> = transactions
        .iter()
        .flat_map(|transaction| &transaction.documents)
        .map(|(_, document)| document.clone())
        .collect();
    let wanted = [
        json!({ "id": 1, "n": 9223372036854775807_i64, "b": "AP8=", "r": 0.1 }),
        json!({ "id": 2, "n": -9223372036854775808_i64, "b": null, "r": { "real": "Infinity" } }),
        json!({ "id": 3, "n": 1.5, "b": { "text": "text in a blob" }, "r": { "real": "-Infinity" } }),
        json!({ "id": 4, "n": "text", "b": "", "r": 1e300 }),
        json!({ "id": 5, "n": { "base64": "AQ==" }, "b": { "text_base64": "/w==" }, "r": 5.0 }),
    ];
    assert_eq!(documents, wanted);
    let schemas: Vec<&Value> =
        transactions.iter().flat_map(|transaction| &transaction.schemas).map(|(_, schema)| schema).collect();
    let last = &schemas.last().unwrap()["properties"];
    assert_eq!(last["n"], json!({}), "it has had every type there is");
    assert_eq!(last["b"]["type"], json!(["string", "object", "null"]));
    assert_eq!(last["r"]["type"], json!(["number", "object", "null"]));
    assert_eq!(schemas.len(), 4, "once for each row that needs more");
}

#[tokio::test]
async fn a_schema_that_does_not_know_a_column_is_told_at_once_and_one_that_knows_all_is_not() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x');");
    let all =
        json!({ "type": "object", "properties": { "id": { "type": "integer" }, "v": { "type": ["string", "null"] } } });
    let told =
        |transactions: &[Transaction]| transactions.iter().map(|transaction| transaction.schemas.len()).sum::<usize>();
    assert_eq!(told(&captured(&base, "/id", all).await.unwrap()), 0);
    let some = json!({ "type": "object", "properties": { "id": { "type": "integer" } } });
    let transactions = captured(&base, "/id", some).await.unwrap();
    assert_eq!(told(&transactions), 1);
}

#[tokio::test]
async fn nulls_in_a_key_are_taken_once_and_refused_twice() {
    let base = Base::new("CREATE TABLE t (a TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1), ('x', 2);");
    let transactions = captured(&base, "/a", json!({})).await.unwrap();
    let documents: Vec<_> = transactions.iter().flat_map(|transaction| &transaction.documents).collect();
    assert_eq!(documents, [&(0, json!({ "a": null, "v": 1 })), &(0, json!({ "a": "x", "v": 2 }))]);
    base.run("INSERT INTO t VALUES (NULL, 3)");
    let error = captured(&base, "/a", json!({})).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "sqlite.key.null"), "{error}");
    assert!(error.message.contains("\"t\"") && error.suggestion.contains("rowid"), "{error}");
}

#[tokio::test]
async fn a_key_that_json_has_no_scalar_for_names_table_key_and_column() {
    for value in ["x'00'", "9e999", "CAST(x'ff' AS TEXT)"] {
        let base = Base::new(&format!("CREATE TABLE t (k PRIMARY KEY, v); INSERT INTO t VALUES ({value}, 1);"));
        let error = captured(&base, "/k", json!({})).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "sqlite.key.form"), "{error}");
        assert!(error.message.contains("\"t\"") && error.message.contains("\"k\""), "{error}");
    }
    let base = Base::new("CREATE TABLE t (k BLOB PRIMARY KEY, v); INSERT INTO t VALUES (x'00', 1);");
    assert!(captured(&base, "/k", json!({})).await.is_ok(), "declared BLOB, its base64 is its key");
}

#[tokio::test]
async fn a_row_that_is_too_large_for_a_document_is_named() {
    let base = Base::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'x'), (7, zeroblob(13000000));",
    );
    let error = captured(&base, "/id", json!({})).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "sqlite.document.too_large"), "{error}");
    assert!(error.message.contains("\"t\" with key 7"), "{error}");
    base.run("UPDATE t SET v = zeroblob(9000000)");
    base.run("INSERT INTO t VALUES (8, zeroblob(9000000)), (9, 'small')");
    let transactions = captured(&base, "/id", json!({})).await.unwrap();
    assert_eq!(transactions.iter().map(|transaction| transaction.documents.len()).sum::<usize>(), 4);
}
