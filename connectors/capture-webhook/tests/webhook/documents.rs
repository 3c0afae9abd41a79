//! What can be sent, and what the documents become.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Scene, bare, store};

const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_content_type_is_stored_as_documents() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"[{\"id\":1},\n{\"id\":2}]").unwrap();
    let packed = packed.finish().unwrap();
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Headers<'_>, &[u8], usize); 5] = [
        (&[], b"{\n  \"id\": 1\n}\n", 1),
        (&[("Content-Type", "application/json")], b" [{\"id\":1}, {\"id\":2}] ", 2),
        (&[NDJSON], b"{\"id\":1}\n\n{\"id\":2}\n", 2),
        (&[("Content-Encoding", "gzip")], &packed, 2),
        (
            &[("Content-Type", "application/cloudevents+json")],
            br#"{"id":"1","source":"s","type":"t","specversion":"1.0"}"#,
            1,
        ),
    ];
    for (headers, body, documents) in cases {
        let (headers, body) = (headers.to_vec(), body.to_vec());
        let mut sending = JoinSet::new();
        sending.spawn(async move { client.post("/a", &headers, body).await });
        assert_eq!(bare(&store(&mut session, documents).await).len(), documents);
        let answer = sending.join_next().await.unwrap().unwrap();
        assert_eq!((answer.status, answer.body), (200, json!({ "documents": documents })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_never_used_again() {
    let mut scene = Scene::new(json!({}));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (mut session, client) = scene.open().await;
        let mut sending = JoinSet::new();
        sending.spawn(async move {
            client.post("/b", &[NDJSON], "{}\n{\"_meta\":{\"op\":\"d\",\"source\":{\"id\":\"x\"}}}").await
        });
        for (binding, document) in store(&mut session, 2).await.into_iter().flat_map(|one| one.documents) {
            assert_eq!((binding, &document["_meta"]["source"]["path"]), (1, &json!("/b")));
            ids.push(document["_meta"]["source"]["id"].as_str().unwrap().to_owned());
        }
        sending.join_next().await.unwrap().unwrap();
        session.stop().await.unwrap();
    }
    assert_eq!(ids[0], "0000000001-000000000001");
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_runtime_would_refuse_is_400_and_nothing_of_the_request_is_stored() {
    let mut scene = Scene::new(json!({}));
    let (mut session, client) = scene.open().await;
    for (body, says) in [
        ("", "document 1"),
        ("7", "document 1"),
        ("{", "document 1"),
        ("[{\"id\":1},{\"id\":1,\"id\":2}]", "document 2: JSON is refused: expected"),
        ("[{\"id\":1},[]]", "document 2"),
        ("[{\"id\":1}", "line 1 column 9"),
        ("{\"id\":{}}", "document 1"),
        ("{\"id\":1,\"_meta\":7}", "/_meta"),
        ("{\"id\":1,\"_meta\":{\"op\":\"x\"}}", "document 1"),
    ] {
        let answer = client.post("/a", &[], body).await;
        assert!(answer.status == 400 && answer.error().contains(says), "{body}: {answer:?}");
    }
    let lines = client.post("/a", &[NDJSON], "{\"id\":1}\n{\"id\":2\n").await;
    assert!(lines.status == 400 && lines.error().contains("document 2"), "{lines:?}");
    let event = client.post("/a", &[("Content-Type", "application/cloudevents+json")], "{\"id\":\"1\"}").await;
    assert!(event.status == 400 && event.error().contains("CloudEvent"), "{event:?}");
    assert_eq!(client.post("/a", &[("Content-Type", "text/csv")], "a,b").await.status, 415);
    assert_eq!(client.post("/a", &[("Content-Encoding", "br")], "a,b").await.status, 415);
    // The first thing that comes is the first that was right.
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.post("/a", &[], "{\"id\":9}").await });
    assert_eq!(bare(&store(&mut session, 1).await), [json!({ "id": 9 })]);
}
