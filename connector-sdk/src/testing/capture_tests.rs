//! Sessions of a capture, proved with small captures that each do one thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use longshore_proto::ErrorKind;
use longshore_proto::capture::message::ToConnector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::capture::session::session;
use crate::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};

/// What the capture under test does in a session.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Act {
    /// Counts to 3, three transactions, and returns.
    Count,
    /// Counts for ever, one document a transaction, until asked to stop.
    Tail,
    /// The same and never looks whether it should stop.
    TailDeaf,
    Panic,
    /// Returns behind a document without a checkpoint.
    Uncovered,
    /// Emits documents of one collection by two bindings in turn.
    InTurn,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    act: Act,
    #[serde(default)]
    body_bytes: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    name: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counted {
    n: u64,
}

#[derive(Debug, Default)]
struct Actor {
    emitted_bytes: Arc<AtomicUsize>,
}

impl Capture for Actor {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-actor", "0.1.0").resource_path(["/name"])
    }

    async fn discover(&self, _: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        let found = |resource: Resource| {
            Discovered::new(&resource.name, json!({ "name": resource.name }), json!({ "type": "object" })).key(["/n"])
        };
        Ok(resources.into_iter().map(found).collect())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let mut counted: Counted = open.binding_state(0)?.unwrap_or_default();
        match open.config.act {
            Act::Panic => panic!("the actor fell over"),
            Act::Uncovered => emitter.document(0, &json!({ "n": 1 })).await,
            Act::InTurn => {
                for n in 0..10 {
                    emitter.document(n % 2, &json!({ "n": n })).await?;
                }
                emitter.checkpoint(Checkpoint::new().caught_up()).await.map(drop)
            }
            Act::Count => {
                while counted.n < 3 {
                    counted.n += 1;
                    emitter.document(0, &counted).await?;
                    emitter.checkpoint(Checkpoint::new().binding(0, &counted)).await?;
                }
                emitter.checkpoint(Checkpoint::new().caught_up()).await.map(drop)
            }
            Act::Tail | Act::TailDeaf => {
                let body = "x".repeat(open.config.body_bytes);
                while open.config.act == Act::TailDeaf || !emitter.stop_requested() {
                    counted.n += 1;
                    emitter.document(0, &json!({ "n": counted.n, "body": body })).await?;
                    self.emitted_bytes.fetch_add(body.len(), Ordering::SeqCst);
                    emitter.checkpoint(Checkpoint::new().binding(0, &counted)).await?;
                }
                Ok(())
            }
        }
    }
}

fn task(act: &str) -> CaptureTask<Actor> {
    CaptureTask::new(Actor::default(), json!({ "act": act })).binding(json!({ "name": "a" }), "a", &["/n"])
}

fn numbers(transactions: &[Transaction]) -> Vec<u64> {
    let documents = transactions.iter().flat_map(|transaction| &transaction.documents);
    documents.map(|(_, document)| document["n"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn a_capture_goes_on_where_the_durable_state_ends() -> Result<()> {
    let mut task = task("count");
    let mut session = task.open().await?;
    assert_eq!(numbers(&[session.next().await?.expect("the first")]), [1]);
    session.acknowledge().await?;
    assert_eq!(numbers(&[session.next().await?.expect("the second")]), [2]);
    // The connection breaks before the second is durable.
    drop(session);

    let mut session = task.open().await?;
    assert_eq!(numbers(&session.until_caught_up().await?), [2, 3]);
    session.acknowledge().await?;
    assert_eq!(session.next().await?, None, "it has no more to say and ends at a checkpoint");
    drop(session);

    let mut session = task.open().await?;
    assert_eq!(
        numbers(&session.until_caught_up().await?),
        [] as [u64; 0],
        "caught up is said also when nothing changed"
    );
    Ok(())
}

#[tokio::test]
async fn c_7_a_stop_ends_an_endless_capture_and_so_does_the_half_close() -> Result<()> {
    for act in ["tail", "tail_deaf"] {
        let mut task = task(act);
        let mut session = task.open().await?;
        for n in 1..=5 {
            assert_eq!(numbers(&[session.next().await?.expect("more")]), [n]);
        }
        session.stop().await?;
        let state = task.state().parts().next().map(|(_, json)| json.clone()).expect("a state");
        assert_eq!(state, r#"{"n":5}"#, "what was durable counts");
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_is_asked_to_leave_ends_at_a_checkpoint() -> Result<()> {
    let mut task = task("tail");
    let leave = task.terminator();
    let session = task.open().await?;
    leave.cancel();
    session.ended().await
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_the_session() -> Result<()> {
    let error = task("panic").open().await?.next().await.expect_err("it panics");
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Internal, "sdk.panic"));
    assert!(error.message.contains("the actor fell over"), "{error}");
    Ok(())
}

#[tokio::test]
async fn c_6_documents_without_a_checkpoint_are_an_error() -> Result<()> {
    let error = task("uncovered").open().await?.next().await.expect_err("nothing covers the document");
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Internal, "sdk.pull.uncovered"));
    Ok(())
}

#[tokio::test]
async fn bindings_of_one_collection_keep_its_order() -> Result<()> {
    let mut task = task("in_turn").binding(json!({ "name": "b" }), "a", &["/n"]);
    let transactions = task.open().await?.until_caught_up().await?;
    assert_eq!(numbers(&transactions), (0..10).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn an_emitter_waits_for_a_slow_runtime() -> Result<()> {
    const BODY_BYTES: usize = 64 << 10;
    // What the queue and the arenas may hold, and one message on each side of them.
    const AHEAD_MAX_BYTES: usize = (8 << 20) + (4 << 20) + 2 * BODY_BYTES;
    let actor = Actor::default();
    let emitted_bytes = Arc::clone(&actor.emitted_bytes);
    let mut task = CaptureTask::new(actor, json!({ "act": "tail", "body_bytes": BODY_BYTES })).binding(
        json!({ "name": "a" }),
        "a",
        &["/n"],
    );
    let mut session = task.open().await?;
    for seen in 1..=500 {
        session.next().await?.expect("more");
        let ahead = emitted_bytes.load(Ordering::SeqCst).saturating_sub(seen * BODY_BYTES);
        assert!(ahead <= AHEAD_MAX_BYTES, "{ahead} bytes ahead");
    }
    session.stop().await
}

#[tokio::test]
async fn x_4_documents_of_every_size_up_to_the_limit() -> Result<()> {
    const LIMIT_BYTES: usize = 16 << 20;
    let overhead = json!({ "n": 1, "body": "" }).to_string().len();
    for body_bytes in [200, 64 << 10, 1 << 20, 8 << 20, LIMIT_BYTES - overhead] {
        let mut task = CaptureTask::new(Actor::default(), json!({ "act": "tail", "body_bytes": body_bytes })).binding(
            json!({ "name": "a" }),
            "a",
            &["/n"],
        );
        let mut session = task.open().await?;
        for n in 1..=2 {
            assert_eq!(numbers(&[session.next().await?.expect("more")]), [n]);
        }
    }
    let mut task = CaptureTask::new(
        Actor::default(),
        json!({ "act": "tail", "body_bytes": LIMIT_BYTES - overhead + 1 }),
    )
    .binding(json!({ "name": "a" }), "a", &["/n"]);
    let error = task.open().await?.next().await.expect_err("one byte over the limit");
    assert_eq!((error.kind, error.binding), (ErrorKind::Data, Some(0)));
    Ok(())
}

#[tokio::test]
async fn c_2_an_epoch_that_is_not_above_the_highest_is_refused() -> Result<()> {
    let mut first = task("tail");
    let open = first.next_open();
    let shared = first.shared();
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    let mut stream = session(shared.clone(), ReceiverStream::new(receiver));
    requests.send(Ok(ToConnector::Open(Box::new(open.clone())).into())).await.expect("it listens");
    assert!(in_time("Opened", stream.next()).await?.expect("an answer").is_ok());

    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    let mut zombie = session(shared, ReceiverStream::new(receiver));
    requests.send(Ok(ToConnector::Open(Box::new(open)).into())).await.expect("it listens");
    let refused = in_time("a refusal", zombie.next()).await?.expect("an answer").expect_err("the same epoch again");
    assert_eq!(Error::from(refused).kind, ErrorKind::Fenced);
    Ok(())
}

#[tokio::test]
async fn c_1_a_runtime_that_breaks_the_order_is_told_the_rule() -> Result<()> {
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    let mut stream = session(task("tail").shared(), ReceiverStream::new(receiver));
    requests.send(Ok(ToConnector::Stop.into())).await.expect("it listens");
    let refused = in_time("a refusal", stream.next()).await?.expect("an answer").expect_err("Stop before Open");
    let error = Error::from(refused);
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "C-1"));
    Ok(())
}

#[tokio::test]
async fn everything_wrong_with_a_task_is_found_at_once() -> Result<()> {
    let task = CaptureTask::new(Actor::default(), json!({ "act": "sleep" }))
        .binding(json!({ "name": "a" }), "a", &["/n"])
        .binding(json!({ "name": "a", "nmae": 1 }), "b", &["/n"]);
    let found = task.validate().await?;
    let places: Vec<_> = found.iter().map(|finding| (finding.binding, finding.pointer.as_str())).collect();
    assert_eq!(places, [(None, "/act"), (Some(1), "/name"), (Some(1), "/nmae")], "{found:?}");
    Ok(())
}

#[tokio::test]
async fn c_10_discover_answers_in_the_order_asked() -> Result<()> {
    let task = task("count").binding(json!({ "name": "b" }), "b", &["/n"]);
    let names: Vec<_> = task.discover_bindings().await?.into_iter().map(|found| found.recommended_collection).collect();
    assert_eq!(names, ["a", "b"]);
    Ok(())
}
