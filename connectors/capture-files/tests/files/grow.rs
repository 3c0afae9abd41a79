//! Files that come, grow, end in the middle of a record, or become others.

use serde_json::json;

use crate::folder::{Folder, catch_up, check_failure, documents, failure};

#[tokio::test]
async fn new_and_grown_files_are_noticed_and_nothing_is_captured_twice() {
    let folder = Folder::new();
    folder.write("b.csv", "id,name\n1,one\n2,two\n");
    let mut task = folder.discovered(json!({}), "*.csv", &["/id"]).await;
    let mut session = task.open().await.unwrap();
    let first = session.until_caught_up().await.unwrap();
    assert_eq!(documents(&first), [json!({ "id": 1, "name": "one" }), json!({ "id": 2, "name": "two" })]);

    folder.append("b.csv", "3,three\n");
    let grown = session.next().await.unwrap().unwrap();
    assert_eq!(documents(&[grown]), [json!({ "id": 3, "name": "three" })]);
    // A name before all others is as new as any.
    folder.write("a.csv", "id,name\n4,four\n");
    let new = session.next().await.unwrap().unwrap();
    assert_eq!(documents(&[new]), [json!({ "id": 4, "name": "four" })]);
    session.stop().await.unwrap();

    assert_eq!(catch_up(&mut task).await, Vec::<serde_json::Value>::new());
    folder.append("a.csv", "5,five\n");
    assert_eq!(catch_up(&mut task).await, [json!({ "id": 5, "name": "five" })]);
}

#[tokio::test]
async fn an_empty_folder_is_caught_up_at_once_and_what_comes_is_captured() {
    let folder = Folder::new();
    let mut task = folder.task(json!({})).binding(json!({ "glob": "*.csv" }), "c", &["/id"]);
    let mut session = task.open().await.unwrap();
    let first = session.until_caught_up().await.unwrap();
    assert!(documents(&first).is_empty());
    folder.write("empty.csv", "");
    folder.write("header.csv", "id\n");
    folder.write("x.csv", "id\n7\n");
    let mut seen = Vec::new();
    while seen.is_empty() {
        seen = documents(&[session.next().await.unwrap().unwrap()]);
    }
    assert_eq!(seen, [json!({ "id": 7 })]);
    session.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_became_another_stops_and_is_named() {
    let story = [
        ("a,b\n1,2\n5,6\n", "same length"),
        ("a,b\n1,2\n", "shorter"),
        ("x,b\n1,2\n3,4\n5,6\n", "another, and longer"),
    ];
    for (content, what) in story {
        let folder = Folder::new();
        folder.write("f.csv", "a,b\n1,2\n3,4\n");
        let mut task = folder.discovered(json!({}), "*.csv", &["/a"]).await;
        assert_eq!(catch_up(&mut task).await.len(), 2, "{what}");
        folder.write("f.csv", content);
        let mut session = task.open().await.unwrap();
        check_failure(failure(&mut session).await, "files.file.replaced", &["f.csv", "another name", "binding 0"]);
    }
}

#[tokio::test]
async fn a_file_that_is_cut_while_the_session_runs_stops_it() {
    let folder = Folder::new();
    folder.write("f.csv", "a\n1\n2\n");
    let mut task = folder.discovered(json!({}), "f.csv", &["/a"]).await;
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    folder.truncate("f.csv", 4);
    check_failure(failure(&mut session).await, "files.file.replaced", &["f.csv", "4 bytes"]);
}

#[tokio::test]
async fn a_last_record_without_newline_is_taken_once_and_may_be_ended_later() {
    for (name, head, more) in [("f.csv", "a\n1\n2", "\r\n3\n"), ("f.jsonl", "{\"a\":1}\n{\"a\":2}", "\n{\"a\":3}\n")] {
        let folder = Folder::new();
        folder.write(name, head);
        let mut task = folder.discovered(json!({}), "*", &["/a"]).await;
        assert_eq!(catch_up(&mut task).await, [json!({ "a": 1 }), json!({ "a": 2 })]);
        assert!(catch_up(&mut task).await.is_empty());
        folder.append(name, more);
        assert_eq!(catch_up(&mut task).await, [json!({ "a": 3 })]);
    }
}

#[tokio::test]
async fn a_file_that_grows_inside_a_record_that_was_taken_stops() {
    let folder = Folder::new();
    folder.write("f.csv", "a,b\n1,2\n3,4");
    let mut task = folder.discovered(json!({}), "*.csv", &["/a"]).await;
    assert_eq!(catch_up(&mut task).await.len(), 2);
    folder.append("f.csv", "5\n");
    let mut session = task.open().await.unwrap();
    check_failure(failure(&mut session).await, "files.record.grown", &["f.csv", "record 2", "newline"]);
}

#[tokio::test]
async fn half_a_record_is_not_taken_and_the_whole_one_once() {
    let folder = Folder::new();
    folder.write("f.csv", "a,b\n1,2\n");
    let mut task = folder.discovered(json!({}), "f.csv", &["/a"]).await;
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    folder.append("f.csv", "3,\"fo");
    folder.append("f.csv", "ur\"\n5,\"");
    let next = session.next().await.unwrap().unwrap();
    assert_eq!(documents(&[next]), [json!({ "a": 3, "b": "four" })]);
    folder.append("f.csv", "6\"\n");
    let next = session.next().await.unwrap().unwrap();
    assert_eq!(documents(&[next]), [json!({ "a": 5, "b": "6" })], "a column that is text stays text");
    session.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_whole_record_at_the_end_is_told() {
    for (name, text, code) in [
        ("f.csv", "a,b\n1,2\n3,\"4", "files.record.torn"),
        ("f.csv", "a,b\n1,2\n3", "files.record.ragged"),
        ("f.jsonl", "{\"a\":1}\n{\"a\":", "files.record.not_json"),
    ] {
        let folder = Folder::new();
        folder.write(name, text);
        let mut task = folder.discovered(json!({}), "f.*", &["/a"]).await;
        let mut session = task.open().await.unwrap();
        check_failure(failure(&mut session).await, code, &[name, "record 2"]);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_taken_is_named_with_file_and_place() {
    let long = format!("a,b\n1,2\n3,\"{}\n", "x".repeat(17 << 20));
    let cases: [(&str, &[u8], &str, &[&str]); 8] = [
        (
            "f.csv",
            b"a,b\n1,2\n3\n",
            "files.record.ragged",
            &["f.csv", "record 2", "byte 8", "expected 2 columns, got 1"],
        ),
        ("f.csv", b"a,b\n1,2\n3,\xff\n", "files.encoding.invalid", &["record 2", "column 2"]),
        ("f.csv", b"a,b\n1,2\n\xc3,\xa9\n", "files.encoding.invalid", &["record 2", "column 1"]),
        ("f.csv", long.as_bytes(), "files.record.too_long", &["record 2", "byte 8", "quote"]),
        ("f.csv", b"a,a\n1,2\n", "files.header.invalid", &["columns 1 and 2", "`columns"]),
        ("f.csv", b"a,\n1,2\n", "files.header.invalid", &["column 2 of 2 has no name"]),
        ("f.csv", b"\xff\xfea\0", "files.encoding.utf16", &["UTF-8"]),
        ("f.jsonl", b"{\"a\":1}\n[2]\n", "files.record.not_json", &["record 2", "byte 8"]),
    ];
    for (name, bytes, code, says) in cases {
        let folder = Folder::new();
        folder.write(name, bytes);
        let mut task = folder.task(json!({})).binding(json!({ "glob": "f.*" }), "c", &["/a"]);
        let mut session = task.open().await.unwrap();
        check_failure(failure(&mut session).await, code, says);
    }
}

#[tokio::test]
async fn documents_of_any_size_up_to_the_limit_are_captured_and_one_byte_more_is_told() {
    let folder = Folder::new();
    let limit = 16 << 20;
    let sizes = [1, 64 << 10, 1 << 20, 8 << 20, 1, 8 << 20, limit - r#"{"a":""}"#.len(), 1];
    let rows: String = sizes.iter().map(|size| "x".repeat(*size) + "\n").collect();
    folder.write("f.csv", format!("a\n{rows}"));
    let mut task = folder.discovered(json!({}), "f.csv", &["/a"]).await;
    let lengths: Vec<usize> =
        catch_up(&mut task).await.iter().map(|document| document["a"].as_str().unwrap().len()).collect();
    assert_eq!(lengths, sizes);
    folder.append("f.csv", "x".repeat(limit - 7) + "\n");
    let mut session = task.open().await.unwrap();
    check_failure(failure(&mut session).await, "files.document.too_large", &["record 9", "16777217 bytes"]);
}
