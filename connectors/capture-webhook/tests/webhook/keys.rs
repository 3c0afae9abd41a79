//! What comes again under its key is stored once: at the same time, later, and after a crash.

use serde_json::json;
use tokio::task::JoinSet;

use crate::client::is_unknown;
use crate::{Scene, bare, store};

const EVENT: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const EVENTS: (&str, &str) = ("Content-Type", "application/cloudevents-batch+json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_gets_the_same_answer_also_while_the_first_is_under_way() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    for _ in 0..8 {
        sending.spawn(async move { client.post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await });
    }
    let transactions = store(&mut session, 1).await;
    let mut answers = Vec::new();
    while let Some(answer) = sending.join_next().await {
        answers.push(answer.unwrap());
    }
    assert!(
        answers.iter().all(|answer| answer.status == 200 && answer.body == json!({ "documents": 1 })),
        "{answers:?}"
    );
    assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1, "one of them was the first");
    let later = client.post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await;
    assert!(later.status == 200 && later.is_replayed());
    // The key is of the path.
    sending.spawn(async move { client.post("/b", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await });
    assert_eq!((bare(&transactions).len(), store(&mut session, 1).await.len()), (1, 1));
    assert!(!sending.join_next().await.unwrap().unwrap().is_replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_body_under_the_same_key_is_refused() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.post("/a", &[("Idempotency-Key", "k")], r#"{"id":1}"#).await });
    store(&mut session, 1).await;
    assert_eq!(sending.join_next().await.unwrap().unwrap().status, 200);
    let other = client.post("/a", &[("Idempotency-Key", "k")], r#"{"id":2}"#).await;
    assert_eq!(other.status, 422, "{other:?}");
    for wrong in ["", &"k".repeat(2_000)] {
        assert_eq!(client.post("/a", &[("Idempotency-Key", wrong)], r#"{"id":2}"#).await.status, 400);
    }
    let twice = [("Idempotency-Key", "k"), ("Idempotency-Key", "l")];
    assert_eq!(client.post("/a", &twice, r#"{"id":2}"#).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_remembered_by_what_is_durable_and_by_nothing_else() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.try_post("/a", &[("Idempotency-Key", "durable")], r#"{"id":1}"#).await });
    session.next().await.unwrap().unwrap();
    session.commit().unwrap();
    sending.spawn(async move { client.try_post("/a", &[("Idempotency-Key", "lost")], r#"{"id":2}"#).await });
    session.next().await.unwrap().unwrap();
    // The runtime dies between its commit and its acknowledgement: nobody was answered.
    drop(session);
    while let Some(answer) = sending.join_next().await {
        let answer = answer.unwrap();
        assert!(is_unknown(answer.as_ref()), "{answer:?}");
    }

    let (mut session, client) = scene.open().await;
    let durable = client.post("/a", &[("Idempotency-Key", "durable")], r#"{"id":1}"#).await;
    assert!(durable.status == 200 && durable.is_replayed(), "{durable:?}");
    sending.spawn(async move { client.try_post("/a", &[("Idempotency-Key", "lost")], r#"{"id":2}"#).await });
    assert_eq!(bare(&store(&mut session, 1).await), [json!({ "id": 2 })]);
    let lost = sending.join_next().await.unwrap().unwrap().unwrap();
    assert!(lost.status == 200 && !lost.is_replayed(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_is_bounded_in_the_state() {
    let mut scene = Scene::new(json!({ "keys_kept": 3 }));
    let (mut session, client) = scene.open().await;
    for n in 0..6 {
        let key = format!("k{n}");
        let mut sending = JoinSet::new();
        sending.spawn(async move { client.post("/a", &[("Idempotency-Key", &key)], "{}").await });
        store(&mut session, 1).await;
        assert_eq!(sending.join_next().await.unwrap().unwrap().status, 200);
    }
    session.stop().await.unwrap();
    let key = longshore_proto::name::StateKey::new(&["/a".to_owned()], 0);
    let state: serde_json::Value = serde_json::from_slice(scene.task.state().part(&key).unwrap()).unwrap();
    assert_eq!(state["keys"].as_object().unwrap().len(), 3, "{state}");
    let (_session, client) = scene.open().await;
    assert!(client.post("/a", &[("Idempotency-Key", "k5")], "{}").await.is_replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_known_by_source_and_id() {
    let event =
        |id: u64, n: u64| json!({ "specversion": "1.0", "type": "t", "source": "/s", "id": id.to_string(), "n": n });
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    let mut sending = JoinSet::new();
    let mut send = |header: (&'static str, &'static str), body: serde_json::Value| {
        sending.spawn(async move { client.post("/b", &[header], body.to_string()).await });
    };
    send(EVENT, event(1, 1));
    assert_eq!(bare(&store(&mut session, 1).await), [event(1, 1)]);
    // 1 is known, 2 is there twice.
    send(EVENTS, json!([event(1, 1), event(2, 1), event(2, 1), event(3, 1)]));
    assert_eq!(bare(&store(&mut session, 2).await), [event(2, 1), event(3, 1)]);
    while let Some(answer) = sending.join_next().await {
        let answer = answer.unwrap();
        assert!(answer.status == 200 && !answer.is_replayed(), "{answer:?}");
    }
    let all = client.post("/b", &[EVENTS], json!([event(3, 1), event(1, 1)]).to_string()).await;
    assert!(all.status == 200 && all.is_replayed(), "{all:?}");
    for other in [json!([event(4, 1), event(3, 2)]), json!([event(4, 1), event(4, 2)])] {
        assert_eq!(client.post("/b", &[EVENTS], other.to_string()).await.status, 422, "all or nothing");
    }
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.post("/b", &[EVENT], event(4, 1).to_string()).await });
    assert_eq!(bare(&store(&mut session, 1).await), [event(4, 1)], "nothing of what was refused was stored");
}
