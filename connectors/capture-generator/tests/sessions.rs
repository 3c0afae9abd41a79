//! Sessions of the generator, against the formula.

use std::collections::HashMap;

use capture_generator::Generator;
use capture_generator::formula::{Document, Stream};
use longshore_proto::{Error, ErrorKind};
use longshore_sdk::Result;
use longshore_sdk::testing::{CaptureTask, Transaction};
use serde_json::{Value, json};

fn task(config: Value) -> CaptureTask<Generator> {
    CaptureTask::new(Generator::default(), config).binding(json!({ "stream": "a" }), "test/a", &["/id"])
}

fn documents(transactions: &[Transaction], binding: usize) -> Vec<Document> {
    let all = transactions.iter().flat_map(|transaction| &transaction.documents);
    all.filter(|(of, _)| *of == binding)
        .map(|(_, document)| serde_json::from_value(document.clone()).expect("a document of the formula"))
        .collect()
}

#[test]
fn the_spec_is_a_contract() {
    insta::assert_snapshot!(format!("{:#}", task(json!({})).spec()));
}

#[tokio::test]
async fn what_is_emitted_is_what_the_formula_says() -> Result<()> {
    let mut task = task(json!({ "seed": 7, "count": 500, "keys": 10, "transactions_per_checkpoint": 7 })).binding(
        json!({ "stream": "b" }),
        "test/b",
        &["/id"],
    );
    let transactions = task.open().await?.until_caught_up().await?;
    assert_eq!(transactions.len(), 500_usize.div_ceil(7));
    for (binding, name) in ["a", "b"].into_iter().enumerate() {
        let stream = Stream::new(7, name, 10, 3, &[20]);
        let expected: Vec<_> = (1..=500).flat_map(|txn| stream.transaction(txn)).collect();
        assert_eq!(documents(&transactions, binding), expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_goes_on_where_the_last_durable_one_ended() -> Result<()> {
    let mut task = task(json!({ "count": 100, "keys": 7 }));
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let mut session = task.open().await?;
        for _ in 0..9 {
            let Some(transaction) = session.next().await? else { break };
            seen.push(transaction.clone());
            session.acknowledge().await?;
            if transaction.caught_up {
                break;
            }
        }
        // One more that is seen, never durable, and comes again.
        if seen.last().is_some_and(|last| last.caught_up) {
            break;
        }
        session.next().await?;
    }
    let mut last: HashMap<u64, u64> = HashMap::new();
    for document in documents(&seen, 0) {
        let last = last.entry(document.id).or_default();
        assert_eq!(document.seq, *last + 1, "{document:?}");
        *last = document.seq;
    }
    Ok(())
}

#[tokio::test]
async fn c_9_caught_up_is_said_again_when_nothing_is_new() -> Result<()> {
    let mut task = task(json!({ "count": 3 }));
    for documents in [6, 0] {
        let mut session = task.open().await?;
        let transactions = session.until_caught_up().await?;
        assert_eq!(transactions.iter().map(|transaction| transaction.documents.len()).sum::<usize>(), documents);
        session.stop().await?;
    }
    Ok(())
}

/// Sees 10 transactions, makes the first `durable` of them durable, is told of the first `acknowledged`.
async fn crash(task: &mut CaptureTask<Generator>, acknowledged: usize) -> Result<()> {
    let mut session = task.open().await?;
    for seen in 1..=10 {
        session.next().await?;
        if seen == acknowledged {
            session.acknowledge().await?;
        }
    }
    // The generator hears it when it emits the next one.
    session.next().await?;
    session.stop().await
}

#[tokio::test]
async fn prune_forgets_what_is_acknowledged() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let memory = directory.path().join("memory.json");
    let config = json!({ "count": 20, "prune": true, "memory": memory });
    let mut runtime = task(config.clone());
    crash(&mut runtime, 5).await?;
    let state = runtime.state().clone();

    // Another process, from the state that was acknowledged: it goes on.
    let mut again = task(config.clone()).with_state(state);
    again.open().await?.until_caught_up().await?;

    // A runtime that lost what it had acknowledged is not given a gap.
    let error: Error = task(config).open().await?.next().await.expect_err("the beginning is gone");
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "state.gone"));
    Ok(())
}

#[tokio::test]
async fn c_5_the_state_in_open_is_an_acknowledgement() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let config = |memory: &str| json!({ "count": 20, "prune": true, "memory": directory.path().join(memory) });
    let mut runtime = task(config("one.json"));
    crash(&mut runtime, 5).await?;
    // Another source, which never heard an acknowledgement: what is durable at the runtime says it.
    let mut again = task(config("two.json")).with_state(runtime.state().clone());
    again.open().await?.next().await?.expect("it goes on");
    let error: Error = task(config("two.json")).open().await?.next().await.expect_err("the beginning is gone");
    assert_eq!(error.code, "state.gone");
    Ok(())
}

#[tokio::test]
async fn null_sends_the_same_batch_until_it_is_told_to_stop() -> Result<()> {
    let mut task = task(json!({ "mode": "null", "documents": 4, "body_bytes": [200] }));
    let mut session = task.open().await?;
    let first = session.next().await?.expect("a batch");
    assert_eq!(first.documents.len(), 4);
    assert_eq!(first.documents[0].1["body"].as_str().map(str::len), Some(200));
    for _ in 0..1000 {
        assert_eq!(session.next().await?.expect("a batch").documents, first.documents);
    }
    session.stop().await
}

#[tokio::test]
async fn hello_says_a_few_words_at_its_pace() -> Result<()> {
    let mut task = task(json!({ "mode": "hello", "count": 4, "rate": 1000 }));
    let transactions = task.open().await?.until_caught_up().await?;
    let words = transactions.iter().flat_map(|transaction| &transaction.documents);
    let words: Vec<_> = words.map(|(_, document)| document["word"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(words, ["Hello", "from", "Longshore", "where"]);
    Ok(())
}

#[tokio::test]
async fn bodies_of_every_size_arrive() -> Result<()> {
    for body_bytes in [20, 200, 4 << 10, 64 << 10, 1 << 20, 8 << 20] {
        let mut task = task(json!({ "count": 2, "body_bytes": [body_bytes] }));
        let transactions = task.open().await?.until_caught_up().await?;
        for document in documents(&transactions, 0) {
            assert_eq!(document.sum, document.expected_sum());
            assert_eq!(document.body.len(), body_bytes);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_setting_is_a_finding_and_an_endless_one_a_warning() -> Result<()> {
    let found = task(json!({ "keys": 0, "body_bytes": [] })).validate().await?;
    let places: Vec<_> = found.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(places, ["/keys", "/body_bytes", "/count"]);
    let error = task(json!({ "keys": 0 })).open().await?.next().await.expect_err("a session does not start with it");
    assert_eq!(error.kind, ErrorKind::Config);
    Ok(())
}
