//! The webhook against a real server on loopback, with a runtime end in memory.

mod server;

use std::sync::Arc;

use longshore_sdk::ErrorKind;
use longshore_sdk::materialize::{AtLeastOnceDoor, at_least_once};
use longshore_sdk::testing::materialize::{Bind, Runtime};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::sink::Webhook;
use server::{Reply, Seen, Server};

const FIVE: [&str; 5] = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, r#"{"id":4}"#, r#"{"id":5}"#];

fn runtime(config: Value) -> Runtime<AtLeastOnceDoor<Webhook>> {
    Runtime::new(at_least_once(Webhook), config).bind(Bind::new(json!({ "path": "/a" }), &["/id"]).delta())
}

/// A config of the server, and more.
fn config(server: &Server, more: Value) -> Value {
    let mut config = json!({ "url": server.url(), "retry_for": "20s" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

/// One transaction of a new session.
async fn transact(runtime: &mut Runtime<AtLeastOnceDoor<Webhook>>, documents: &[&str]) -> longshore_sdk::Result<()> {
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    session.transact(&[(0, documents)]).await?;
    session.close().await
}

fn bodies(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.body.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_arrive_in_order_with_all_that_the_config_says() {
    let server = Server::new(|_, _| Reply::Status(202)).await;
    let more = json!({
        "batch_documents": 2, "method": "PUT", "token": "t0ken", "headers": { "X-Team": "blue" },
        "signature": { "secret": "s", "timestamp_header": "X-Time" },
    });
    let mut runtime = runtime(config(&server, more)).bind(Bind::new(json!({ "path": "/b" }), &["/id"]).delta());
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.transact(&[(0, &FIVE[..3]), (1, &FIVE[3..4]), (0, &FIVE[4..])]).await.unwrap();
    session.close().await.unwrap();

    let seen = server.seen();
    let (first, second): (Vec<_>, Vec<_>) = seen.iter().cloned().partition(|seen| seen.path == "/hooks/a");
    assert_eq!(bodies(&first), [r#"[{"id":1},{"id":2}]"#, r#"[{"id":3},{"id":5}]"#]);
    assert_eq!((bodies(&second), second[0].path.as_str()), (vec![r#"[{"id":4}]"#], "/hooks/b"));
    assert!(first[0].key().contains("-1-0-") && first[1].key().contains("-1-1-") && second[0].key().contains("-1-0-"));
    for one in &seen {
        assert_eq!((one.method.as_str(), one.header("content-type")), ("PUT", "application/json"));
        assert_eq!((one.header("authorization"), one.header("x-team")), ("Bearer t0ken", "blue"));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s");
        let signed = format!("{}.{}", one.header("x-time"), one.body);
        let expected = crate::sign::hex(ring::hmac::sign(&key, signed.as_bytes()).as_ref());
        assert_eq!(one.header("x-signature-256"), format!("sha256={expected}"));
    }
    let keys: std::collections::BTreeSet<_> = server.keys().into_iter().collect();
    assert_eq!(keys.len(), 3, "each batch has a key of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_commits_before_its_2xx() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let script = {
        let asked = Arc::clone(&asked);
        move |number, _: &Seen| {
            asked.notify_one();
            if number == 0 { Reply::Silence } else { Reply::Status(200) }
        }
    };
    let server = Server::new(script).await;
    // The first attempt is never answered: the second one comes when its time is over.
    let mut runtime = runtime(config(&server, json!({ "timeout": "300ms" })));
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &FIVE).await.unwrap();
    let committing = async {
        session.commit().await.unwrap();
        go.notify_one()
    };
    let watching = async {
        asked.notified().await;
        assert_eq!(server.seen().len(), 1);
        let early = tokio::time::timeout(std::time::Duration::from_millis(100), go.notified()).await;
        assert!(early.is_err(), "committed while the server had not answered");
    };
    tokio::join!(committing, watching);
    let keys = server.keys();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "the same request again, on another connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_comes_again_has_the_same_keys_bodies_and_ids() {
    for format in ["json", "jsonl", "cloudevents"] {
        // The first session dies at the third batch.
        let server = Server::new(|number, _| Reply::Status(if number == 2 { 503 } else { 200 })).await;
        let mut runtime =
            runtime(config(&server, json!({ "batch_documents": 2, "format": format, "retry_for": "0s" })));
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &FIVE).await.unwrap();
        let error = session.commit().await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "webhook.unavailable"));
        drop(session);

        runtime.restart_connector(at_least_once(Webhook));
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        // Cut otherwise on its way here.
        for document in FIVE {
            session.store(0, &[document]).await.unwrap();
        }
        session.commit().await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 6);
        for (first, again) in seen[..3].iter().zip(&seen[3..]) {
            assert_eq!((first.key(), &first.body), (again.key(), &again.body), "{format}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_never_stands_for_other_documents_when_the_config_changes_before_the_replay() {
    let server = Server::new(|number, _| Reply::Status(if number == 1 { 503 } else { 200 })).await;
    let mut runtime = runtime(config(&server, json!({ "batch_documents": 2, "retry_for": "0s" })));
    assert_eq!(transact(&mut runtime, &FIVE).await.unwrap_err().kind, ErrorKind::Unavailable);
    runtime.config["batch_documents"] = json!(3);
    transact(&mut runtime, &FIVE).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[2].body, r#"[{"id":1},{"id":2},{"id":3}]"#);
    assert_ne!(seen[0].key(), seen[2].key(), "a server that keeps keys would drop document 3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_repeated_under_the_same_key() {
    let script = |number, _: &Seen| match number {
        0 => Reply::Break,
        1 => Reply::Full(429, "retry-after", "0".to_owned(), "slow".to_owned()),
        2 => Reply::Full(503, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), String::new()),
        3..=8 => Reply::Full([408, 409, 425, 500, 502, 504][number - 3], "retry-after", "0".to_owned(), String::new()),
        _ => Reply::Status(204),
    };
    let server = Server::new(script).await;
    transact(&mut runtime(config(&server, json!({}))), &FIVE).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 10);
    assert!(seen.iter().all(|one| one.key() == seen[0].key() && one.body == seen[0].body), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_must_change_ends_the_task_and_says_so() {
    for status in [301, 307, 401, 403, 404, 405, 410, 415, 418] {
        let script = move |_, _: &Seen| {
            Reply::Full(status, "location", "http://127.0.0.1:1/".to_owned(), "go\n away".to_owned())
        };
        let server = Server::new(script).await;
        let error = transact(&mut runtime(config(&server, json!({}))), &FIVE).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "webhook.status"), "{status}");
        assert!(error.message.contains(&status.to_string()) && error.message.contains("go\\n away"), "{error}");
        assert!(!error.message.contains("/hooks"), "the url is a secret: {error}");
        assert!(!error.suggestion.is_empty());
        assert_eq!(server.seen().len(), 1, "it is not tried again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_too_large_is_halved_under_keys_of_its_own() {
    let script = |_, seen: &Seen| Reply::Status(if seen.body.matches("id").count() > 2 { 413 } else { 200 });
    let server = Server::new(script).await;
    let mut runtime = runtime(config(&server, json!({})));
    transact(&mut runtime, &FIVE).await.unwrap();
    let seen = server.seen();
    let part = |seen: &Seen| seen.key().split('-').nth(3).unwrap_or_default().to_owned();
    assert_eq!(seen.iter().map(part).collect::<Vec<_>>(), ["0", "0.0", "0.0.0", "0.0.1", "0.1"]);
    let taken = [r#"[{"id":1},{"id":2}]"#, r#"[{"id":3}]"#, r#"[{"id":4},{"id":5}]"#];
    assert_eq!(bodies(&seen[2..]), taken, "each document once and in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_document_that_is_refused_is_rejected_and_nothing_behind_it_is_sent() {
    for (status, at) in [(422, 2), (400, 4), (413, 2)] {
        let script =
            move |_, seen: &Seen| Reply::Status(if seen.body.contains(&format!("\"id\":{at}")) { status } else { 200 });
        let server = Server::new(script).await;
        let mut runtime = runtime(config(&server, json!({ "batch_documents": 1 })));
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &FIVE).await.unwrap();
        let rejected = session.rejected().await.unwrap();
        let keys: Vec<_> = rejected.keys.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        assert_eq!((keys, rejected.code.as_str()), (vec![format!("[{at}]")], "webhook.refused"));
        assert!(rejected.reason.contains(&status.to_string()), "{}", rejected.reason);
        assert_eq!(server.seen().len(), at);

        // It comes again without it.
        let others: Vec<_> = FIVE.into_iter().filter(|document| !document.contains(&at.to_string())).collect();
        transact(&mut runtime, &others).await.unwrap();
        let keys = server.keys();
        assert_eq!(keys[..at - 1], keys[at..2 * at - 1], "what arrived before has the same keys");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_batch_that_is_refused_is_rejected_too() {
    let server = Server::new(|_, _| Reply::Status(422)).await;
    let mut runtime = runtime(config(&server, json!({})));
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &FIVE[..1]).await.unwrap();
    assert_eq!(session.rejected().await.unwrap().keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_refused_stops_the_task_and_says_how_to_find_the_document() {
    let server = Server::new(|_, _| Reply::Full(422, "x-a", "b".to_owned(), "id 3 is taken".repeat(1_000))).await;
    let error = transact(&mut runtime(config(&server, json!({}))), &FIVE).await.unwrap_err();
    assert_eq!((error.kind, error.binding), (ErrorKind::Data, Some(0)));
    assert!(error.message.contains("id 3 is taken") && error.message.len() < 600, "{error}");
    assert!(error.suggestion.contains("batch_documents: 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_is_checked_against_the_authorities_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let server = Server::with_tls(Arc::new(tls).into()).await;
    let (good, bad) = (directory.path().join("good.pem"), directory.path().join("bad.pem"));
    std::fs::write(&good, certified.cert.pem()).unwrap();
    std::fs::write(&bad, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    let url = format!("https://localhost:{}/", server.port());
    let with = |file: &std::path::Path| runtime(json!({ "url": url, "ca_file": file, "retry_for": "0s" }));
    transact(&mut with(&good), &FIVE).await.unwrap();
    assert_eq!(server.seen().len(), 1);
    let error = transact(&mut with(&bad), &FIVE).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("certificate"), "{error}");
    assert_eq!(server.seen().len(), 1, "nothing went to a server that is not known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_finds_what_a_run_would_stumble_on() {
    let check = async |config: Value, path: &str, pointer: &str| {
        let runtime = Runtime::new(at_least_once(Webhook), config.clone())
            .bind(Bind::new(json!({ "path": path }), &["/id"]).delta());
        let findings = runtime.validate().await.unwrap().findings;
        let pointers: Vec<_> = findings.iter().map(|finding| finding.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{config} {path}: {findings:?}");
        let secrets = ["hunter2", "s3cret"];
        assert!(findings.iter().all(|finding| secrets.iter().all(|secret| !finding.message.contains(secret))));
    };
    let url = "http://127.0.0.1:9/hunter2";
    for wrong in
        ["", "hunter2", "ftp://hunter2", "http://", "https://a:b@hunter2/", "http://hunter2:0/", "http://hunter2/#a"]
    {
        check(json!({ "url": wrong }), "/a", "/url").await;
    }
    check(json!({ "url": url, "token": "s3cret\n" }), "/a", "/token").await;
    check(json!({ "url": url, "headers": { "a b": "s3cret" } }), "/a", "/headers/a b").await;
    check(json!({ "url": url, "headers": { "a": "s3cret\u{1}" } }), "/a", "/headers/a").await;
    check(json!({ "url": url, "headers": { "Content-Type": "s3cret" } }), "/a", "/headers/Content-Type").await;
    check(
        json!({ "url": url, "headers": { "Authorization": "s3cret" }, "token": "hunter2" }),
        "/a",
        "/headers/Authorization",
    )
    .await;
    check(json!({ "url": url, "signature": { "secret": "" } }), "/a", "/signature/secret").await;
    check(json!({ "url": url, "signature": { "secret": "s3cret", "header": "ü" } }), "/a", "/signature/header").await;
    check(json!({ "url": url, "timeout": "0s" }), "/a", "/timeout").await;
    check(json!({ "url": "https://localhost/", "ca_file": "/nowhere/ca.pem" }), "/a", "/ca_file").await;
    check(json!({ "url": "http://example.com/", "token": "s3cret" }), "/a", "/url").await;
    for wrong in ["", "a", "/a?b", "/a b", "/../a", "/ä", "/a#b"] {
        check(json!({ "url": url }), wrong, "/path").await;
    }
}

#[test]
fn the_spec_is_a_promise() {
    insta::assert_snapshot!(runtime(json!({})).printed_spec());
}
