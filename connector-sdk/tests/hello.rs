//! The three hello examples keep what they promise, and stay as short as they are said to be.
#![allow(dead_code, unused_imports, reason = "the examples' `main` is not called here")]

use longshore_sdk::materialize::{idempotent, transactional};
use longshore_sdk::testing::CaptureTask;
use longshore_sdk::testing::materialize::{Bind, Runtime};
use longshore_sdk::{Result, durable};
use serde_json::{Value, json};

#[path = "../examples/hello_capture.rs"]
mod hello_capture;
#[path = "../examples/hello_idempotent.rs"]
mod hello_idempotent;
#[path = "../examples/hello_transactional.rs"]
mod hello_transactional;

#[test]
fn each_is_under_80_lines() {
    for text in [
        include_str!("../examples/hello_capture.rs"),
        include_str!("../examples/hello_idempotent.rs"),
        include_str!("../examples/hello_transactional.rs"),
    ] {
        assert!(text.lines().count() < 80);
    }
}

#[tokio::test]
async fn the_capture_greets_everybody_once() -> Result<()> {
    let names = json!({ "names": ["Ada", "Blaise"] });
    let mut task = CaptureTask::new(hello_capture::Hello, names).binding(json!({ "greeting": "Hello" }), "a", &["/id"]);
    let mut session = task.open().await?;
    let greetings: Vec<Value> = session.until_caught_up().await?.into_iter().flat_map(texts).collect();
    assert_eq!(greetings, ["Hello, Ada!", "Hello, Blaise!"]);
    session.acknowledge().await?;
    session.ended().await?;
    assert_eq!(task.open().await?.until_caught_up().await?.into_iter().flat_map(texts).count(), 0);
    Ok(())
}

fn texts(transaction: longshore_sdk::testing::Transaction) -> Vec<Value> {
    transaction.documents.into_iter().map(|(_, document)| document["text"].clone()).collect()
}

#[tokio::test]
async fn the_transactional_sink_keeps_the_last_document_of_each_key() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("book.json");
    let mut runtime = Runtime::new(transactional(hello_transactional::Hello), json!({ "name": file }))
        .bind(Bind::new(json!({ "name": "orders" }), &["/id"]));
    runtime.apply().await?;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    session.transact(&[(0, &[r#"{"id":1,"n":1}"#, r#"{"id":2,"n":1}"#])]).await?;
    session.flush().await?;
    session.store(0, &[r#"{"id":1,"n":2}"#]).await?;
    // The destination commits; the runtime never hears of it and believes the destination at the next open.
    session.commit_unrecorded().await?;
    drop(session);

    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    session.transact(&[(0, &[r#"{"id":2,"_meta":{"op":"d"}}"#])]).await?;
    let book: Value = durable::read(&file)?.expect("a file");
    assert_eq!(book["rows"]["orders"], json!({ "[1]": { "id": 1, "n": 2 }, "[2]": null }));
    assert_eq!(book["record"]["transaction"], 3);
    Ok(())
}

#[tokio::test]
async fn the_idempotent_sink_publishes_a_plan_once() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("book.json");
    let mut runtime = Runtime::new(idempotent(hello_idempotent::Hello), json!({ "name": file }))
        .bind(Bind::new(json!({ "name": "orders" }), &["/id"]).delta());
    runtime.apply().await?;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    session.transact(&[(0, &[r#"{"id":1}"#])]).await?;
    session.flush().await?;
    session.store(0, &[r#"{"id":1}"#, r#"{"id":2}"#]).await?;
    session.commit().await?;
    // Committed and not published: the next session does it, and doing it again changes nothing.
    drop(session);
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    drop(session);
    runtime.open().await?.acknowledge().await?;
    let book: Value = durable::read(&file)?.expect("a file");
    assert_eq!(book["documents"], json!([{ "id": 1 }, { "id": 1 }, { "id": 2 }]));
    assert_eq!(book["staged"], json!({}));
    Ok(())
}
