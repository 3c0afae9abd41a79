//! The webhook over real sockets, with a runtime end in memory: when it answers, what it stores, and what it stores once.

mod acknowledge;
mod client;
mod documents;
mod keys;
mod limits;
mod spec;

use capture_webhook::Webhook;
use longshore_sdk::testing::{CaptureSession, CaptureTask, Transaction};
use serde_json::{Value, json};
use tokio::sync::watch;

use client::Client;

/// A task that listens on a port of its own, with the paths `/a` and `/b`.
struct Scene {
    task: CaptureTask<Webhook>,
    address: watch::Receiver<Option<std::net::SocketAddr>>,
}

impl Scene {
    fn new(more: Value) -> Self {
        let mut config = json!({ "listen": "127.0.0.1:0" });
        config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let webhook = Webhook::default();
        let address = webhook.address();
        let task = CaptureTask::new(webhook, config).binding(json!({ "path": "/a" }), "a", &["/id"]).binding(
            json!({ "path": "/b" }),
            "b",
            &["/_meta/source/id"],
        );
        Self { task, address }
    }

    /// A session that has said that it is caught up, and where it listens.
    async fn open(&mut self) -> (CaptureSession<'_>, Client) {
        self.address.mark_unchanged();
        let mut session = self.task.open().await.expect("a session");
        let first = session.next().await.expect("no error").expect("a transaction");
        assert!(first.caught_up && first.documents.is_empty(), "{first:?}");
        session.acknowledge().await.expect("it listens");
        let address = *self.address.wait_for(Option::is_some).await.expect("it says where");
        (session, Client(address.expect("some")))
    }
}

/// Takes transactions until there are so many documents, and makes them durable.
async fn store(session: &mut CaptureSession<'_>, documents: usize) -> Vec<Transaction> {
    let mut transactions: Vec<Transaction> = Vec::new();
    while transactions.iter().map(|one| one.documents.len()).sum::<usize>() < documents {
        transactions.push(session.next().await.expect("no error").expect("a transaction"));
    }
    session.acknowledge().await.expect("it listens");
    transactions
}

/// The documents without what the connector adds.
fn bare(transactions: &[Transaction]) -> Vec<Value> {
    let all = transactions.iter().flat_map(|transaction| &transaction.documents);
    all.map(|(_, document)| {
        let mut document = document.clone();
        document.as_object_mut().expect("an object").remove("_meta").expect("where it came from");
        document
    })
    .collect()
}
