//! What is shown, with a runtime end in memory.

use longshore_sdk::materialize::{AtLeastOnceDoor, Exists, Row, at_least_once};
use longshore_sdk::testing::materialize::{Bind, Runtime};
use serde_json::json;

use crate::config::Config;
use crate::shown::Shown;
use crate::sink::Log;

fn row(document: &str, delete: bool) -> Row<'_> {
    Row {
        document: document.as_bytes(),
        key: None,
        exists: Exists::Unknown,
        delete,
        replace: false,
        partial_update: false,
    }
}

fn texts(shown: &Shown) -> Vec<String> {
    shown.lines.iter().map(ToString::to_string).collect()
}

#[test]
fn the_first_documents_are_shown_and_all_are_counted() {
    let mut shown = Shown::new(Config { documents: 2, bytes: 8 }, 2);
    shown.take(0, &row(r#"{"id":1}"#, false));
    shown.take(1, &row(r#"{"ä":"é"}"#, true));
    shown.take(1, &row(r#"{"id":3}"#, false));
    assert_eq!(texts(&shown), [r#"{"id":1}"#, "delete {\"ä\":\"… 4 bytes more"]);
    let counts: Vec<_> = shown.counts.iter().map(ToString::to_string).collect();
    assert_eq!(counts, ["1 document, 8 bytes", "2 documents, 19 bytes, 1 of them deletes, 1 of them not shown"]);
}

fn runtime() -> Runtime<AtLeastOnceDoor<Log>> {
    Runtime::new(at_least_once(Log), json!({ "documents": 1 }))
        .bind(Bind::new(json!({ "name": "rows" }), &["/id"]))
        .bind(Bind::new(json!({ "name": "log" }), &["/id"]).delta())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_and_delta_bindings_are_taken_again_and_again() {
    let mut runtime = runtime();
    assert_eq!(runtime.validate().await.unwrap().findings, []);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    for _ in 0..2 {
        let documents = [r#"{"id":1}"#, r#"{"id":2,"_meta":{"op":"d"}}"#];
        session.transact(&[(0, &documents), (1, &documents)]).await.unwrap();
    }
    session.close().await.unwrap();
}

#[test]
fn the_spec_is_a_promise() {
    insta::assert_snapshot!(runtime().printed_spec());
}
