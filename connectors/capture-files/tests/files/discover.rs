//! What Discover tells of files.

use serde_json::{Value, json};

use crate::folder::Folder;

fn schema(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn a_resource_is_described_by_all_of_its_files() {
    let folder = Folder::new();
    folder.write("1.csv", "id,n,ok,gone\n1,2,true,\n");
    folder.write("2.csv", "id,n,ok,new\n2,2.5,false,1\n3,,true,x\n");
    let task = folder.task(json!({})).binding(json!({ "glob": "*.csv" }), "c", &["/id"]);
    let found = task.discover_bindings().await.unwrap();
    let expected = json!({
        "type": "object",
        "properties": {
            "id": { "type": "integer" },
            "n": { "type": ["number", "null"] },
            "ok": { "type": "boolean" },
            "gone": { "type": "null" },
            "new": { "type": "string" },
        },
        "required": ["id", "n", "ok"],
        "additionalProperties": false,
    });
    let schema = schema(&found[0].schema_json);
    assert_eq!(schema, expected);
    let order: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(order, ["id", "n", "ok", "gone", "new"], "as in the files");
    assert_eq!(found[0].key, ["/_meta/source/file", "/_meta/source/record"]);
    assert!(found[0].key_is_fallback);
}

#[tokio::test]
async fn without_resources_each_file_is_suggested() {
    let folder = Folder::new();
    folder.write("airports.csv", "faa,alt\n04G,1044\n");
    folder.write("2013/Log 1.ndjson", "{\"at\":\"x\",\"tags\":[1],\"by\":{}}\n{\"at\":null,\"by\":1}\n");
    folder.write("README", "nothing");
    let found = folder.task(json!({})).discover().await.unwrap();
    let names: Vec<&str> = found.iter().map(|found| found.recommended_collection.as_str()).collect();
    assert_eq!(names, ["2013/log_1", "airports"]);
    assert_eq!(schema(&found[0].resource_json), json!({ "glob": "2013/Log 1.ndjson" }));
    let lines = schema(&found[0].schema_json);
    assert_eq!(lines["properties"]["at"], json!({ "type": ["string", "null"] }));
    assert_eq!(lines["properties"]["by"], json!({ "type": ["integer", "object"] }));
    assert_eq!(lines["required"], json!(["at", "by", "_meta"]));
    assert!(found[1].note.contains("types from all 1 records"), "{}", found[1].note);
}

#[tokio::test]
async fn a_glob_that_matches_nothing_cannot_be_described_and_near_names_are_told() {
    let folder = Folder::new();
    folder.write("flights.csv", "a\n1\n");
    let task = folder.task(json!({})).binding(json!({ "glob": "flihgts.csv" }), "c", &["/a"]);
    let error = task.discover_bindings().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.pointer.as_str(), error.binding), ("files.glob.empty", "/glob", Some(0)));
    assert!(error.suggestion.contains("flights.csv"), "{error}");
}
