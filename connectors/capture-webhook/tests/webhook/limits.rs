//! Who may send, and how much.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Scene, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_methods_and_tokens_are_asked_for() {
    let mut scene = Scene::new(json!({ "token": "t0ken" }));
    let (mut session, client) = scene.open().await;
    assert_eq!(client.post("/c", &[], "{}").await.status, 404);
    let get = client.raw(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(get.status == 405 && get.head.contains("allow: post, put"), "{get:?}");
    let anonymous = client.post("/a", &[], "{}").await;
    assert!(anonymous.status == 401 && anonymous.head.contains("www-authenticate: bearer"), "{anonymous:?}");
    assert_eq!(client.post("/a", &[("Authorization", "Bearer other")], "{}").await.status, 401);
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.post("/a?x=1", &[("Authorization", "Bearer t0ken")], "{}").await.status });
    store(&mut session, 1).await;
    assert_eq!(sending.join_next().await.unwrap().unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_its_signature_is_refused() {
    let mut scene = Scene::new(json!({ "signature": { "secret": "s3cret" } }));
    let (mut session, client) = scene.open().await;
    assert_eq!(client.post("/a", &[], "{}").await.status, 401);
    assert_eq!(client.post("/a", &[("X-Signature-256", "sha256=00")], "{}").await.status, 401);
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cret"), b"{}");
    let right: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(client.post("/a", &[("X-Signature-256", &right)], "{ }").await.status, 401, "of another body");
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.post("/a", &[("X-Signature-256", &right)], "{}").await.status });
    store(&mut session, 1).await;
    assert_eq!(sending.join_next().await.unwrap().unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_too_slow_is_told_so() {
    let mut scene = Scene::new(json!({ "body_bytes": 1_000, "unfolded_bytes": 2_000, "read_timeout": "100ms" }));
    let (_session, client) = scene.open().await;
    let large = "a".repeat(1_001);
    assert_eq!(client.post("/a", &[], &large).await.status, 413, "by its stated length");
    let chunked = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{large}\r\n0\r\n\r\n"
    );
    assert_eq!(client.raw(chunked.as_bytes()).await.unwrap().status, 413, "by what came");
    let slow =
        client.raw(b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{").await.unwrap();
    assert_eq!(slow.status, 408);
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("POST /a HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    assert_eq!(client.raw(many.as_bytes()).await.unwrap().status, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_or_bytes_at_once_come_again_later() {
    let more = json!({ "requests": 2, "body_bytes": 1_000, "unfolded_bytes": 1_000, "memory_bytes": 3_000 });
    let mut scene = Scene::new(more);
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    // Two fill the places: they wait for their acknowledgement.
    for id in 0..2 {
        sending.spawn(async move { client.post("/a", &[], format!("{{\"id\":{id}}}")).await.status });
    }
    let mut seen = 0;
    while seen < 2 {
        seen += session.next().await.unwrap().unwrap().documents.len();
    }
    let third = client.post("/a", &[], "{}").await;
    assert!(third.status == 429 && third.head.contains("retry-after: 1"), "{third:?}");
    session.acknowledge().await.unwrap();
    while let Some(status) = sending.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    // One that holds most of the memory, and one that finds none.
    let body = format!("{{\"id\":\"{}\"}}", "a".repeat(900));
    let large = body.clone();
    sending.spawn(async move { client.post("/a", &[], large).await.status });
    session.next().await.unwrap().unwrap();
    let second = client.post("/a", &[], body).await;
    assert!(second.status == 503 && second.head.contains("retry-after: 1"), "{second:?}");
    session.acknowledge().await.unwrap();
    assert_eq!(sending.join_next().await.unwrap().unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_finds_what_a_run_would_stumble_on() {
    let check = async |config: Value, path: &str, pointer: &str| {
        let task = longshore_sdk::testing::CaptureTask::new(capture_webhook::Webhook::default(), config.clone())
            .binding(json!({ "path": path }), "a", &["/id"]);
        let findings = task.validate().await.unwrap();
        let pointers: Vec<_> = findings.iter().map(|finding| finding.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{config} {path}: {findings:?}");
    };
    let local = "127.0.0.1:0";
    for wrong in ["", "8080", "localhost:8080", "127.0.0.1", "0.0.0.0:8080", "192.0.2.1:8080"] {
        check(json!({ "listen": wrong }), "/a", "/listen").await;
    }
    check(json!({ "listen": "192.0.2.1:8080", "token": "t" }), "/a", "/listen").await;
    check(json!({ "listen": local, "token": "" }), "/a", "/token").await;
    check(json!({ "listen": local, "signature": { "secret": "" } }), "/a", "/signature/secret").await;
    check(json!({ "listen": local, "signature": { "secret": "s", "header": "a b" } }), "/a", "/signature/header").await;
    let same = json!({ "secret": "s", "header": "X-A", "timestamp": { "header": "x-a" } });
    check(json!({ "listen": local, "signature": same }), "/a", "/signature/timestamp/header").await;
    check(json!({ "listen": local, "memory_bytes": 1_000 }), "/a", "/memory_bytes").await;
    check(json!({ "listen": local, "read_timeout": "0s" }), "/a", "/read_timeout").await;
    check(json!({ "listen": local, "keys_kept": 10_000_000 }), "/a", "/keys_kept").await;
    for wrong in ["", "a", "/healthz", "/a b", "/a?b", "/ä"] {
        check(json!({ "listen": local }), wrong, "/path").await;
    }
    let good = longshore_sdk::testing::CaptureTask::new(
        capture_webhook::Webhook::default(),
        json!({ "listen": "0.0.0.0:0", "token": "t" }),
    );
    assert_eq!(good.binding(json!({ "path": "/a" }), "a", &["/id"]).validate().await.unwrap(), []);
}
