//! What runs on the first machine: both tasks, session after session, until what the source had is in the destination.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore::blocking::Blocking;
use longshore::capture::admission::SchemaPolicy;
use longshore::capture::intake::Intended;
use longshore::capture::letters::OnViolation;
use longshore::capture::session::{self as capture, CaptureSession};
use longshore::capture::transaction::Limits;
use longshore::catalog::OnTruncate;
use longshore::connector::{Kind, Launched};
use longshore::journal::storage::sim::SimStorage;
use longshore::journal::{Evidence, FileJournal, FileJournalOptions, Journal, JournalId};
use longshore::materialize::gather::Source;
use longshore::materialize::session::{self as materialize, End, Joined, MaterializeSession};
use longshore::materialize::target::Handling;
use longshore::progress::Progress;
use longshore::store::{Epoch, MemoryStore, TaskStore};
use longshore_proto::capture::message as to_capture;
use longshore_proto::materialize::message::{Apply, Guarantee, Open};
use longshore_proto::name::StateKey;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection};
use longshore_proto::state::State;
use longshore_proto::{Error, ErrorKind};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use turmoil::net::TcpStream;

use crate::scenario::Host;
use crate::sink::ROWS;
use crate::{PORT, Shared, TOKEN, Violation};
use longshore_tests::sim::world::owner;

const COLLECTION: &str = "net/documents";
const CAPTURE: &str = "source";
const MATERIALIZATION: &str = "sink";
const SEGMENT_BYTES: u64 = 256 << 10;
/// After a session that failed.
const PAUSE: Duration = Duration::from_millis(400);
/// After Stop.
const GRACE: Duration = Duration::from_secs(10);

/// What outlives the process, and what is seen of it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// With the journal.
    pub disk: SimStorage,
    /// The task store.
    pub store: Arc<MemoryStore>,
    /// For the journal, if there is none yet.
    pub fresh_id: JournalId,
    /// Who looks on.
    pub seen: Shared<Seen>,
}

/// What is seen from outside.
#[derive(Debug, Default)]
pub struct Seen {
    /// Everything is where it should be, says the runtime.
    pub is_done: bool,
    /// Sessions begun.
    pub sessions: u64,
    /// By the code of their errors, how sessions ended.
    pub ended: std::collections::BTreeMap<String, u64>,
    /// An error that no network makes.
    pub violation: Option<Violation>,
}

/// One process of the runtime: from its start until all is done.
pub async fn run(machine: Machine) -> Result<(), Error> {
    // Handles of a process that died are dead.
    machine.disk.restart();
    let durable = machine.store.load(MATERIALIZATION)?.unwrap_or_default().durable;
    let evidence = Evidence { durable: durable.into_iter().reduce(|a, b| a.newer_of(b)), ..Evidence::default() };
    let options = FileJournalOptions {
        segment_bytes: SEGMENT_BYTES,
        ..FileJournalOptions::new("journals/source".into(), machine.fresh_id, evidence)
    };
    let journal = Arc::new(FileJournal::over(Arc::new(machine.disk.clone()), options));
    let epoch = machine.store.take_epoch(CAPTURE, Epoch(0))?;
    drop(journal.acquire(epoch)?);
    let (noted, ends) = watch::channel(None);
    let (captures, materializes) = (machine.clone(), machine.clone());
    let of_capture = Arc::clone(&journal);
    let is_over = CancellationToken::new();
    let over = is_over.clone();
    let capture = async move {
        while !over.is_cancelled() {
            let session = captures.capture(&of_capture, &noted, &over);
            captures.ended(session.await.map(drop)).await;
        }
    };
    let materialize = async move {
        loop {
            let session = materializes.materialize(&journal, ends.clone());
            if let Some(End::Drained) = materializes.ended(session.await).await {
                break;
            }
        }
        is_over.cancel();
    };
    tokio::join!(capture, materialize);
    machine.seen.lock().is_done = true;
    Ok(())
}

impl Machine {
    async fn dial(&self, kind: Kind, host: Host) -> Result<Launched, Error> {
        self.seen.lock().sessions += 1;
        let connect = move || TcpStream::connect((host.name(), PORT));
        Launched::over(kind, host.name().to_owned(), TOKEN, connect).await
    }

    /// Waits a little after a session that failed as it may.
    async fn ended<T>(&self, end: Result<T, Error>) -> Option<T> {
        let error = match end {
            Ok(end) => return Some(end),
            Err(error) => error,
        };
        {
            let mut seen = self.seen.lock();
            *seen.ended.entry(error.code.clone()).or_default() += 1;
            match error.kind {
                ErrorKind::Unavailable | ErrorKind::Fenced => {}
                ErrorKind::Config | ErrorKind::Protocol | ErrorKind::Data | ErrorKind::Internal => {
                    seen.violation.get_or_insert_with(|| error.to_string());
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
        None
    }

    async fn capture(
        &self,
        journal: &FileJournal,
        noted: &watch::Sender<Option<u64>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let launched = self.dial(Kind::Capture, Host::Source).await?;
        let client = launched.capture();
        client.spec().await?;
        let epoch = self.store.take_epoch(CAPTURE, Epoch(0))?;
        let writer = journal.acquire(epoch)?;
        let apply = to_capture::Apply {
            owner: owner(CAPTURE, epoch),
            config_json: "{}".into(),
            bindings: vec![Binding { selection: Selection::default(), ..binding("documents", false) }],
            previous: Vec::new(),
            state: writer.state().clone(),
            dry_run: false,
            remove: false,
        };
        client.apply(apply).await?;
        let noted = noted.clone();
        let session = CaptureSession {
            client,
            owner: owner(CAPTURE, epoch),
            config_json: "{}".into(),
            bindings: vec![Intended {
                binding: Binding { selection: Selection::default(), ..binding("documents", false) },
                policy: SchemaPolicy::Stated,
                on_violation: OnViolation::Stop,
            }],
            writer,
            limits: Limits::default(),
            grace: GRACE,
            stop: stop.clone(),
            caught_up: Box::new(move |committed| {
                noted.send_replace(Some(committed.end.offset));
            }),
            progress: Arc::new(Progress::new([COLLECTION.to_owned()])),
            blocking: Blocking::InPlace,
        };
        capture::run(session).await.map(drop)
    }

    async fn materialize(
        &self,
        journal: &Arc<FileJournal>,
        mut ends: watch::Receiver<Option<u64>>,
    ) -> Result<End, Error> {
        let launched = self.dial(Kind::Materialize, Host::Sink).await?;
        let client = launched.materialize();
        client.spec().await?;
        let epoch = self.store.take_epoch(MATERIALIZATION, Epoch(0))?;
        let owner = owner(MATERIALIZATION, epoch);
        let record = self.store.load(MATERIALIZATION)?.unwrap_or_default();
        let bindings = vec![binding("rows", false), binding("log", true)];
        let apply = Apply {
            owner: owner.clone(),
            config_json: "{}".into(),
            bindings: bindings.clone(),
            previous: Vec::new(),
            state: State::new(),
            pending: None,
            fresh: Vec::new(),
            take_over: false,
            dry_run: false,
            remove: false,
        };
        client.apply(apply).await?;
        let id = journal.id().ok_or_else(|| Error::internal("net.journal", "it was acquired"))?;
        let joined = |index: usize| Joined {
            journal: id,
            handling: Handling { wants_existence: index == ROWS, ..Handling::default() },
            renews: false,
            counted_as: Some(index),
            sets_aside: false,
            on_truncate: OnTruncate::default(),
        };
        let source = Source { journal: Arc::clone(journal) as Arc<dyn Journal>, schemas: Default::default() };
        let session = MaterializeSession {
            client: &client,
            open: Open {
                owner,
                config_json: "{}".into(),
                bindings,
                state: record.state.clone(),
                transaction: record.checkpoint.transaction,
                plan: Bytes::new(),
            },
            guarantee: Guarantee::Transactional,
            takes_deletes: true,
            joined: vec![joined(0), joined(1)],
            only_rerun: false,
            commits_skipped: false,
            every: None,
            record,
            sources: [(CAPTURE.to_owned(), source)].into(),
            store: Arc::clone(&self.store) as Arc<dyn TaskStore>,
            spill_directory: std::env::temp_dir(),
            stop: CancellationToken::new(),
            progress: Arc::new(Progress::new([COLLECTION.to_owned(), COLLECTION.to_owned()])),
            ends: Box::pin(async move {
                let end = ends.wait_for(Option::is_some).await.ok().and_then(|end| *end);
                match end {
                    Some(end) => [(CAPTURE.to_owned(), end)].into(),
                    None => std::future::pending().await,
                }
            }),
            blocking: Blocking::InPlace,
        };
        materialize::run(session).await
    }
}

fn binding(name: &str, delta_updates: bool) -> Binding {
    let path = vec![name.to_owned()];
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer" });
    let schema = json!({
        "type": "object",
        "properties": { "id": text, "t": number, "i": number, "body": text },
        "required": ["id"],
    });
    let key = vec!["/id".to_owned()];
    Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: format!(r#"{{"name":"{name}"}}"#).into(),
        selection: Selection::plain(&schema, &key, false),
        collection: Collection {
            name: COLLECTION.to_owned(),
            key,
            schema_json: schema.to_string().into(),
            schema_version: 1,
        },
        delta_updates,
    }
}
