//! 2xx is said after the runtime's acknowledgement and never before; else 503, or no answer at all.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::client::is_unknown;
use crate::{Scene, bare, store};

/// Long enough for an answer that comes too early.
const TOO_EARLY: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_2xx_before_the_acknowledgement() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.post("/a", &[], r#"[{"id":1},{"id":2}]"#).await });
    let transaction = session.next().await.unwrap().unwrap();
    assert_eq!(bare(std::slice::from_ref(&transaction)), [json!({ "id": 1 }), json!({ "id": 2 })]);
    session.commit().unwrap();
    let early = tokio::time::timeout(TOO_EARLY, sending.join_next()).await;
    assert!(early.is_err(), "answered before it was acknowledged: {early:?}");
    session.acknowledge().await.unwrap();
    let answer = sending.join_next().await.unwrap().unwrap();
    assert_eq!((answer.status, answer.body), (200, json!({ "documents": 2 })));
    assert!(!answer.head.contains("replayed"));
    session.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_together_shares_a_checkpoint_and_no_request_is_in_two() {
    const SENDERS: usize = 100;
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    for sender in 0..SENDERS {
        sending.spawn(async move {
            let body = json!([{ "id": sender, "n": 1 }, { "id": sender, "n": 2 }]).to_string();
            client.post("/a", &[], body).await.status
        });
    }
    let mut transactions = Vec::new();
    while transactions.iter().map(|one: &longshore_sdk::testing::Transaction| one.documents.len()).sum::<usize>()
        < 2 * SENDERS
    {
        transactions.push(session.next().await.unwrap().unwrap());
        // As a runtime does that takes its time: what comes meanwhile gathers.
        tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.unwrap_err();
        session.acknowledge().await.unwrap();
    }
    assert!(transactions.len() < SENDERS / 4, "{} checkpoints for {SENDERS} requests", transactions.len());
    for transaction in &transactions {
        let ids: Vec<_> = transaction.documents.iter().map(|(_, document)| document["id"].clone()).collect();
        assert!(ids.chunks(2).all(|pair| pair[0] == pair[1]), "a request lies in one checkpoint: {ids:?}");
    }
    while let Some(status) = sending.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_what_is_durable_and_sends_the_others_away() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut durable = JoinSet::new();
    durable.spawn(async move { client.post("/a", &[], r#"{"id":1}"#).await });
    session.next().await.unwrap().unwrap();
    // Its body is not there to the end.
    let mut slow = JoinSet::new();
    slow.spawn(async move { client.raw(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{").await });
    let idle = tokio::net::TcpStream::connect(client.0).await.unwrap();
    session.stop().await.unwrap();
    assert_eq!(durable.join_next().await.unwrap().unwrap().status, 200);
    // It came before the stop, or found nobody listening.
    if let Some(answer) = slow.join_next().await.unwrap().unwrap() {
        assert_eq!((answer.status, answer.head.contains("retry-after: 1")), (503, true));
    }
    drop(idle);
    assert_eq!(client.try_post("/a", &[], "{}").await, None, "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_is_gone_answers_nobody() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.try_post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await });
    session.next().await.unwrap().unwrap();
    drop(session);
    let answer = sending.join_next().await.unwrap().unwrap();
    assert!(is_unknown(answer.as_ref()), "nothing is known of it, so nothing is said: {answer:?}");
    // It was not durable: sent again it is new.
    let (mut session, client) = scene.open().await;
    sending.spawn(async move { client.try_post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await });
    assert_eq!(store(&mut session, 1).await.len(), 1);
    let answer = sending.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.status == 200 && !answer.is_replayed(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_is_slow_is_503_and_the_key_tells_the_rest() {
    let mut scene = Scene::new(json!({ "commit_timeout": "200ms" }));
    let (mut session, client) = scene.open().await;
    let first = client.post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await;
    assert_eq!((first.status, first.head.contains("retry-after: 1")), (503, true), "{first:?}");
    assert_eq!(store(&mut session, 1).await.len(), 1);
    let again = client.post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await;
    assert!(again.status == 200 && again.is_replayed(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_asked_without_a_token() {
    let mut scene = Scene::new(json!({ "token": "t0ken" }));
    let (session, client) = scene.open().await;
    let asked = client.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!((asked.status, asked.body), (200, json!({ "status": "ok" })));
    session.stop().await.unwrap();
}
