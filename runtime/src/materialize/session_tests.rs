//! The loop against connectors that keep to the letter of the protocol and to nothing else.

use bytes::Bytes;
use longshore_proto::batch::{BatchBuilder, KeysBuilder};
use longshore_proto::materialize::message::Rejected;
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::pb::materialize::v1::transact_request::Kind as Asked;
use longshore_proto::session::{Collection, Owner};
use longshore_proto::state::{State, StatePatch};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::*;
use crate::connector::tests::flow::{Serves, connect_to};
use crate::journal::{Evidence, FileJournal, Journal, NewBinding};
use crate::store::MemoryStore;

/// At the first Store it says what it refuses, and goes: with what it was sent unread, or after it read to the end.
#[derive(Debug, Clone, Copy)]
struct Refuses {
    reads_on: bool,
}

impl Refuses {
    async fn serve(
        self,
        mut asked: Streaming<pb::TransactRequest>,
        out: mpsc::Sender<Result<pb::TransactResponse, Status>>,
    ) {
        let mut refused = false;
        while let Ok(Some(request)) = asked.message().await {
            let answer = match request.kind {
                Some(Asked::Open(_)) => ToRuntime::Opened(Opened::default()),
                Some(Asked::Acknowledge(_)) => ToRuntime::Acknowledged { state_patch: StatePatch::new() },
                Some(Asked::Flush(_)) => ToRuntime::Flushed { state_patch: StatePatch::new() },
                Some(Asked::Store(_)) if !refused => {
                    refused = true;
                    let mut keys = KeysBuilder::new();
                    keys.push(b"[1]");
                    let keys = keys.finish().expect("a key");
                    let (code, reason) = ("t.refused".to_owned(), "no".to_owned());
                    ToRuntime::Rejected(Rejected { binding: 0, keys, code, reason, reasons: Vec::new() })
                }
                Some(_) | None => continue,
            };
            out.send(Ok(answer.into())).await.expect("somebody listens");
            if refused && !self.reads_on {
                return;
            }
        }
    }
}

/// Far more than the windows of a stream hold.
fn journal(directory: &std::path::Path) -> Arc<dyn Journal> {
    let journal = FileJournal::open(directory.join("journal"), Evidence::default()).expect("a journal");
    let mut writer = journal.acquire(Epoch(1)).expect("the right to write");
    let (state_key, key) = (StateKey::new(&["in".to_owned()], 0), vec!["/id".to_owned()]);
    let local = writer.bind(&NewBinding { state_key, collection: "t/a".to_owned(), key }).expect("a binding");
    for id in 0..40 {
        let mut batch = BatchBuilder::new(0);
        batch.push(format!(r#"{{"id":{id},"body":"{}"}}"#, "x".repeat(1 << 20)).as_bytes());
        writer.documents(local, &batch.finish().expect("a document")).expect("written");
    }
    writer.commit(&StatePatch::new()).expect("committed");
    Arc::new(journal)
}

async fn ended(connector: Refuses, sets_aside: bool) -> (Result<End, Error>, Vec<u64>) {
    let directory = tempfile::tempdir().expect("a directory");
    let client = connect_to(Serves(4, move |asked, out| connector.serve(asked, out)), directory.path()).await;
    let journal = journal(directory.path());
    let id = journal.id().expect("acquired");
    let store: Arc<dyn TaskStore> = Arc::new(MemoryStore::default());
    let epoch = store.take_epoch("t", Epoch(0)).expect("an epoch");
    let owner = Owner { task: "t".to_owned(), installation: InstallationId::from_bytes([1; 16]), epoch: epoch.0 };
    let path = vec!["p".to_owned()];
    let collection =
        Collection { name: "t/a".to_owned(), key: vec!["/id".to_owned()], schema_json: "{}".into(), schema_version: 1 };
    let binding = Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: "{}".into(),
        collection,
        delta_updates: false,
        selection: Default::default(),
    };
    let open = Open {
        owner,
        config_json: "{}".into(),
        bindings: vec![binding],
        state: State::new(),
        transaction: 0,
        plan: Bytes::new(),
    };
    let end = journal.committed().borrow().expect("it has one").position.offset;
    let session = MaterializeSession {
        client: &client,
        open,
        guarantee: Guarantee::Transactional,
        takes_deletes: true,
        joined: vec![Joined {
            journal: id,
            handling: Handling::default(),
            counted_as: Some(0),
            sets_aside,
            on_truncate: OnTruncate::default(),
            renews: false,
        }],
        only_rerun: false,
        commits_skipped: false,
        every: None,
        record: TaskRecord { epoch, ..TaskRecord::default() },
        sources: [("in".to_owned(), Source { journal, schemas: Default::default() })].into(),
        store: Arc::clone(&store),
        blocking: Blocking::default(),
        spill_directory: directory.path().join("spill"),
        stop: CancellationToken::new(),
        progress: Arc::new(Progress::new(["t/a".to_owned()])),
        ends: Box::pin(async move { [("in".to_owned(), end)].into() }),
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), run(session)).await.expect("it ends");
    let skips = store.skips("t").expect("readable").iter().map(|skip| skip.at.offset).collect();
    (ended, skips)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_noted_whether_the_connector_waits_or_goes_at_once() {
    for reads_on in [true, false] {
        for _ in 0..5 {
            let (end, skips) = ended(Refuses { reads_on }, true).await;
            assert_eq!((end.expect("in order"), skips), (End::Rejected, vec![1]), "reads on: {reads_on}");
        }
        let (end, skips) = ended(Refuses { reads_on }, false).await;
        assert_eq!((end.expect_err("the user wants to be asked").code.as_str(), skips), ("t.refused", vec![]));
    }
}
