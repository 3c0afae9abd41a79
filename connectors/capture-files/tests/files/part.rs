//! `columns` of a resource: a part of each record, and nothing of the rest.

use longshore_sdk::finding::Severity;
use serde_json::{Value, json};

use crate::folder::{Folder, catch_up, documents};

fn resource(glob: &str, columns: &[&str]) -> Value {
    json!({ "glob": glob, "columns": columns })
}

#[tokio::test]
async fn the_columns_that_are_wanted_arrive_with_those_of_the_key() {
    let folder = Folder::new();
    folder.write("a.csv", "id,name,note,price\n1,one,007,1.50\n2,two,,2\n");
    folder.write("b.csv", "note,price,id\nx,3,3\n");
    let mut task = folder.task(json!({})).binding(resource("*.csv", &["price"]), "c", &["/id"]);
    let expected = [json!({ "id": 1, "price": 1.5 }), json!({ "id": 2, "price": 2 }), json!({ "price": 3, "id": 3 })];
    assert_eq!(catch_up(&mut task).await, expected);
    folder.write("c.csv", "name,note\nonly,others\n");
    let mut whole = folder.task(json!({})).binding(resource("c.csv", &["price"]), "c", &["/_meta/source/record"]);
    assert_eq!(
        catch_up(&mut whole).await,
        [json!({ "_meta": { "source": { "file": "c.csv", "record": 1 } } })],
        "a file without any of them"
    );
}

#[tokio::test]
async fn what_is_not_wanted_is_not_stated_and_not_judged() {
    let folder = Folder::new();
    folder.write("f.csv", "id,name\n1,2\n");
    let schema = json!({
        "type": "object", "required": ["id", "name"], "additionalProperties": false,
        "properties": { "id": { "type": "integer" }, "name": { "type": "integer" } },
    });
    let mut task = folder.task(json!({})).binding(resource("f.csv", &["id"]), "c", &["/id"]).schema(&schema);
    let mut session = task.open().await.unwrap();
    let first = session.until_caught_up().await.unwrap();
    assert_eq!(documents(&first), [json!({ "id": 1 })]);
    let stated = first.iter().flat_map(|transaction| &transaction.schemas).next_back().expect("a statement");
    assert_eq!(stated.1["required"], json!(["id"]), "a field that does not come is not required");
    // Text in a column that nobody wants widens nothing.
    folder.append("f.csv", "3,many words\n");
    let grown = session.next().await.unwrap().unwrap();
    assert_eq!((documents(std::slice::from_ref(&grown)), grown.schemas.len()), (vec![json!({ "id": 3 })], 0));
    session.stop().await.unwrap();
}

#[tokio::test]
async fn of_json_lines_the_fields_arrive_byte_for_byte() {
    let folder = Folder::new();
    folder.write("f.jsonl", "{\"id\": 1, \"price\": 1.50, \"note\": {\"a\": 1}}\n{\"note\": 2, \"id\": 2}\n");
    let mut task = folder.task(json!({})).binding(resource("*", &["price"]), "c", &["/id"]);
    assert_eq!(catch_up(&mut task).await, [json!({ "id": 1, "price": 1.5 }), json!({ "id": 2 })]);
}

#[tokio::test]
async fn a_column_that_no_file_has_is_a_mistake() {
    let folder = Folder::new();
    folder.write("f.csv", "id,name\n1,one\n");
    for (columns, code, pointer) in
        [(["id", "nmae"], "files.columns.unknown", "/columns/1"), (["_meta", "id"], "files.columns.meta", "/columns/0")]
    {
        let task = folder.task(json!({})).binding(resource("*.csv", &columns), "c", &["/id"]);
        let found = task.validate().await.unwrap();
        let [finding] = found.as_slice() else { panic!("{found:?}") };
        let told = (finding.severity, finding.code.as_str(), finding.pointer.as_str());
        assert_eq!(told, (Severity::Error, code, pointer), "{finding:?}");
        assert!(!finding.suggestion.is_empty());
    }
    // In lines of JSON any may come.
    folder.write("f.jsonl", "{\"id\": 1}\n");
    let task = folder.task(json!({})).binding(resource("*", &["nmae"]), "c", &["/id"]);
    assert_eq!(task.validate().await.unwrap(), []);
}
