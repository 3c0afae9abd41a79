//! Types: guessed over all there is, widened in time, and never at the price of a value.

use serde_json::{Value, json};

use crate::folder::{Dice, Folder, catch_up, documents};

#[tokio::test]
async fn c_8_a_wider_value_is_stated_first_and_from_then_on_the_column_is_wider() {
    let folder = Folder::new();
    folder.write("f.csv", "id,n\n1,10\n");
    let mut task = folder.discovered(json!({}), "f.csv", &["/id"]).await;
    let mut session = task.open().await.unwrap();
    assert_eq!(documents(&session.until_caught_up().await.unwrap()), [json!({ "id": 1, "n": 10 })]);
    for (record, schema, document) in [
        ("2,2.50\n", Some(json!({ "type": "number" })), json!({ "id": 2, "n": 2.5 })),
        ("3,30\n", None, json!({ "id": 3, "n": 30 })),
        ("4,\n", Some(json!({ "type": ["number", "null"] })), json!({ "id": 4, "n": null })),
        ("5,n/a\n", Some(json!({ "type": ["string", "null"] })), json!({ "id": 5, "n": "n/a" })),
        ("6,60\n", None, json!({ "id": 6, "n": "60" })),
    ] {
        folder.append("f.csv", record);
        let transaction = session.next().await.unwrap().unwrap();
        let stated = transaction.schemas.first().map(|(_, schema)| schema["properties"]["n"].clone());
        assert_eq!(stated, schema, "{record}");
        assert_eq!(documents(&[transaction]), [document]);
    }
    session.stop().await.unwrap();

    // This runtime lost what it was told; the connector did not.
    let mut session = task.open().await.unwrap();
    let transactions = session.until_caught_up().await.unwrap();
    assert_eq!(transactions[0].schemas[0].1["properties"]["n"]["type"], json!(["string", "null"]));
    folder.append("f.csv", "7,70\n");
    assert_eq!(documents(&[session.next().await.unwrap().unwrap()]), [json!({ "id": 7, "n": "70" })]);
    session.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_schema_says_is_what_is_sent_from_the_first_record_on() {
    let folder = Folder::new();
    folder.write("f.csv", "zip,n,ok\n1,1,true\n007,2.5,x\n");
    let mut task = folder.discovered(json!({}), "f.csv", &["/zip"]).await;
    let expected = [json!({ "zip": "1", "n": 1, "ok": "true" }), json!({ "zip": "007", "n": 2.5, "ok": "x" })];
    assert_eq!(catch_up(&mut task).await, expected);
}

#[tokio::test]
async fn digits_null_words_and_text_arrive_as_they_are() {
    let folder = Folder::new();
    folder.write("f.tsv", "speed\tgust\tname\tat\n10.25\tNA\tNA\t1e3\n1\t2\t\tNaN\n");
    let mut task = folder.discovered(json!({ "null_values": ["NA"] }), "f.tsv", &["/speed"]).await;
    let all = catch_up(&mut task).await;
    assert_eq!(all[0].to_string(), r#"{"speed":10.25,"gust":null,"name":null,"at":"1e3"}"#);
    assert_eq!(all[1].to_string(), r#"{"speed":1,"gust":2,"name":"","at":"NaN"}"#);
}

#[tokio::test]
async fn columns_that_come_and_go_between_files_are_stated() {
    let folder = Folder::new();
    folder.write("1.csv", "id,old\n1,a\n");
    let mut task = folder.discovered(json!({}), "*.csv", &["/id"]).await;
    catch_up(&mut task).await;
    folder.write("2.csv", "id,new\n2,true\n");
    let mut session = task.open().await.unwrap();
    let transactions = session.until_caught_up().await.unwrap();
    let schema = &transactions[0].schemas[0].1;
    assert_eq!(schema["properties"]["new"], json!({ "type": "boolean" }));
    assert_eq!(schema["required"], json!(["id"]));
    assert_eq!(documents(&transactions), [json!({ "id": 2, "new": true })]);
    session.stop().await.unwrap();
}

#[tokio::test]
async fn columns_are_named_by_the_config_where_the_file_does_not() {
    let folder = Folder::new();
    folder.write("f.csv", "1;x\n");
    folder.write("g.csv", ";id\n2;y\n");
    let config = |header: bool| json!({ "columns": ["id", "name"], "header": header, "delimiter": ";" });
    let mut bare = folder.discovered(config(false), "f.csv", &["/id"]).await;
    assert_eq!(catch_up(&mut bare).await, [json!({ "id": 1, "name": "x" })]);
    let mut named = folder.discovered(config(true), "g.csv", &["/id"]).await;
    assert_eq!(catch_up(&mut named).await, [json!({ "id": 2, "name": "y" })]);
}

#[tokio::test]
async fn where_a_document_comes_from_is_told_only_if_the_key_needs_it() {
    let folder = Folder::new();
    folder.write("deep/f.csv", "id\n5\n6\n");
    let mut task = folder.discovered(json!({}), "**/*.csv", &["/_meta/source/file", "/_meta/source/record"]).await;
    let mut session = task.open().await.unwrap();
    let transactions = session.until_caught_up().await.unwrap();
    assert_eq!(transactions[0].schemas[0].1["properties"]["_meta"]["required"], json!(["source"]));
    let source = |record: u32| json!({ "source": { "file": "deep/f.csv", "record": record } });
    assert_eq!(
        documents(&transactions),
        [json!({ "id": 5, "_meta": source(1) }), json!({ "id": 6, "_meta": source(2) })]
    );
    session.stop().await.unwrap();
}

#[tokio::test]
async fn lines_keep_every_byte_of_their_values_and_their_types_stand_side_by_side() {
    let folder = Folder::new();
    folder.write("f.jsonl", "{\"id\":1,\"v\":{\"a\":[1, 2.50]}}\n{\"id\":2,\"v\":[]}\n");
    let mut task = folder.discovered(json!({}), "f.jsonl", &["/id"]).await;
    let mut session = task.open().await.unwrap();
    let first = session.until_caught_up().await.unwrap();
    assert!(first.iter().all(|transaction| transaction.schemas.is_empty()));
    folder.append("f.jsonl", "{\"id\":\"3\",\"more\":true}\n");
    let next = session.next().await.unwrap().unwrap();
    let schema = &next.schemas[0].1;
    assert_eq!(schema["properties"]["id"], json!({}), "numbers and text: any value");
    assert_eq!(schema["properties"]["more"], json!({ "type": "boolean" }));
    assert_eq!(schema["required"], json!(["id"]));
    assert_eq!(documents(&[next]), [json!({ "id": "3", "more": true })]);
    folder.append("f.jsonl", "{\"id\":4}\n");
    let next = session.next().await.unwrap().unwrap();
    assert_eq!((next.schemas.len(), documents(&[next])), (0, vec![json!({ "id": 4 })]));
    session.stop().await.unwrap();
}

#[tokio::test]
async fn a_million_values_do_not_hide_the_one_that_is_text() {
    let folder = Folder::new();
    let rows: String = (0..40_000).map(|number| format!("{number}\n")).collect();
    folder.write("f.csv", format!("id\n{rows}x1\n"));
    let mut task = folder.discovered(json!({}), "f.csv", &["/id"]).await;
    let all = catch_up(&mut task).await;
    assert!(
        all.iter().all(|document| document["id"].is_string()),
        "the last value was looked at before the first was sent"
    );
    assert_eq!(all[0], json!({ "id": "0" }));
    assert_eq!(all.last().map(|document| &document["id"]), Some(&Value::from("x1")));
}

/// What is easily taken for something else.
const TRICKY: [&str; 30] = [
    "",
    "NA",
    "0",
    "-0",
    "7",
    "-7",
    "007",
    "+1",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "1.5",
    "-0.25",
    ".5",
    "-.5",
    "5.",
    "5.e1",
    "1e3",
    "1E-3",
    "1e400",
    "4.9e-324",
    "NaN",
    "inf",
    "true",
    "false",
    "TRUE",
    "null",
    " 1",
    "1_000",
];

fn says_the_same(text: &str, value: &Value) -> bool {
    match value {
        Value::Null => matches!(text, "" | "NA"),
        Value::Bool(value) => text == value.to_string(),
        Value::String(value) => text == value,
        // What is a number in JSON and in the file.
        Value::Number(value) => text.parse::<f64>().is_ok_and(|number| Some(number) == value.as_f64()),
        Value::Array(_) | Value::Object(_) => false,
    }
}

#[tokio::test]
async fn what_was_looked_at_whole_is_never_widened_later_and_keeps_its_values() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let folder = Folder::new();
        // Few different values a column, so that not every column is text.
        let pools: Vec<Vec<&str>> =
            (0..6).map(|_| (0..3).map(|_| TRICKY[dice.below(TRICKY.len())]).collect()).collect();
        let rows: Vec<Vec<&str>> =
            (0..20).map(|_| pools.iter().map(|pool| pool[dice.below(pool.len())]).collect()).collect();
        let text: String = rows.iter().enumerate().map(|(id, row)| format!("{id},{}\n", row.join(","))).collect();
        folder.write("f.csv", format!("id,a,b,c,d,e,f\n{text}"));
        let mut task = folder.discovered(json!({ "null_values": ["NA", ""] }), "f.csv", &["/id"]).await;
        let mut session = task.open().await.unwrap();
        let transactions = session.until_caught_up().await.unwrap();
        session.stop().await.unwrap();
        assert!(transactions.iter().all(|transaction| transaction.schemas.is_empty()), "seed {seed}: {text}");
        let all = documents(&transactions);
        assert_eq!(all.len(), rows.len());
        for (row, document) in rows.iter().zip(&all) {
            let values = document.as_object().unwrap().values().skip(1);
            for (text, value) in row.iter().zip(values) {
                assert!(says_the_same(text, value), "seed {seed}: {text:?} became {value}");
            }
        }
    }
}
