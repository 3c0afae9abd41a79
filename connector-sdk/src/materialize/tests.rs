//! The driver against a runtime end in memory: order, back-pressure, signs of life, and what happens when either side goes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use longshore_proto::batch::BatchBuilder;
use longshore_proto::materialize::message::{Store, ToConnector, ToRuntime};
use longshore_proto::{ErrorKind, session::ClosePolicy};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::testing::materialize::{Bind, Runtime};

/// A database in memory: rows, fence and checkpoint under one lock, which is its transaction.
#[derive(Debug, Clone, Default)]
struct Memory {
    db: Arc<Mutex<Db>>,
    /// Closed: the author waits before it stores or opens.
    gate: Option<Arc<Semaphore>>,
    sessions_dropped: Arc<AtomicU64>,
    panics: bool,
}

#[derive(Debug, Default)]
struct Db {
    rows: BTreeMap<String, String>,
    recorded: Option<Recorded>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    #[allow(dead_code)]
    name: String,
}

impl Materialize for Memory {
    type Config = Nothing;
    type Resource = Named;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            name: "materialize-memory",
            version: "0.0.0",
            resource_path_pointers: &["/name"],
            documentation_url: "",
            deletes: true,
            reserved_field_names: &[],
            identifier_max_bytes: None,
            identifier_case_insensitive: false,
            identifier_forbidden_characters: "",
            keeps_meta: false,
            verifies: false,
        }
    }

    async fn validate(&self, request: ValidateRequest<Nothing, Named>) -> Result<Validation> {
        let bindings = vec![Accepts { wants_existence: true, ..Accepts::new(Modes::Standard) }; request.bindings.len()];
        Ok(Validation { bindings, ..Validation::default() })
    }

    async fn apply(&self, _: ApplyRequest<Nothing, Named>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

struct MemorySession {
    memory: Memory,
    fence: Fence,
    staged: BTreeMap<String, Option<String>>,
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.memory.sessions_dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Memory {
    async fn pass_gate(&self) {
        if let Some(gate) = &self.gate {
            drop(gate.acquire().await);
        }
    }
}

impl Transactional for Memory {
    type Session = MemorySession;

    async fn open(&self, open: OpenRequest<Nothing, Named>, fence: Fence) -> Result<Opened<MemorySession>> {
        self.pass_gate().await;
        let mut db = self.db.lock().unwrap();
        let before = db.recorded.clone();
        if let Some(recorded) = &before {
            fence.may_raise(recorded)?;
        }
        let empty = Recorded {
            installation: open.owner.installation,
            epoch: 0,
            transaction: 0,
            checkpoint: Default::default(),
        };
        db.recorded = Some(Recorded { epoch: open.owner.epoch, ..before.clone().unwrap_or(empty) });
        let session = MemorySession { memory: self.clone(), fence, staged: BTreeMap::new() };
        Ok(Opened { session, recorded: before, close_policy: ClosePolicy::default() })
    }
}

impl TransactionalSession for MemorySession {
    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        let found: Vec<(String, String)> = {
            let db = self.memory.db.lock().unwrap();
            let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            load.keys().map(text).filter_map(|key| Some((key.clone(), db.rows.get(&key)?.clone()))).collect()
        };
        for (key, document) in found {
            rows.found(key.as_bytes(), document.as_bytes()).await?;
        }
        Ok(())
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.memory.pass_gate().await;
        assert!(!self.memory.panics, "a bug of the author");
        self.staged.clear();
        loop {
            let batch = match stores.next().await? {
                Next::Batch(batch) => batch,
                Next::End(stored) => return Ok(stored),
            };
            for row in batch.rows() {
                let key = String::from_utf8_lossy(row.key.unwrap_or_default()).into_owned();
                let document = String::from_utf8_lossy(row.document).into_owned();
                self.staged.insert(key, (!row.delete).then_some(document));
            }
        }
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<()> {
        let mut db = self.memory.db.lock().unwrap();
        let recorded = db.recorded.clone().unwrap();
        if recorded.epoch != self.fence.owner.epoch {
            return Err(self.fence.lost_to(recorded));
        }
        let checkpoint = checkpoint.as_bytes().to_vec().into();
        db.recorded = Some(Recorded { transaction: stored.transaction(), checkpoint, ..recorded });
        for (key, document) in std::mem::take(&mut self.staged) {
            match document {
                Some(document) => db.rows.insert(key, document),
                None => db.rows.remove(&key),
            };
        }
        Ok(())
    }
}

fn runtime(memory: &Memory) -> Runtime<TransactionalDoor<Memory>> {
    Runtime::new(transactional(memory.clone()), json!({})).bind(Bind::new(json!({ "name": "a" }), &["/id"]))
}

const ONE: &str = r#"{"id":1}"#;
const ONE_GONE: &str = r#"{"id":1,"_meta":{"op":"d"}}"#;
const TWO: &str = r#"{"id":2}"#;

#[tokio::test]
async fn rows_go_in_are_found_and_go_out() {
    let memory = Memory::default();
    let mut runtime = runtime(&memory);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.transact(&[(0, &[TWO, ONE])]).await.unwrap();
    session.ask(0, &["[1]", "[3]"], false).await.unwrap();
    assert_eq!(session.flush().await.unwrap(), BTreeMap::from([("[1]".to_owned(), ONE.to_owned())]));
    session.store(0, &[ONE, ONE_GONE]).await.unwrap();
    session.commit().await.unwrap();
    session.acknowledge().await.unwrap();
    session.close().await.unwrap();
    assert_eq!(memory.db.lock().unwrap().rows.keys().collect::<Vec<_>>(), ["[2]"]);
}

#[tokio::test]
async fn m_4_a_load_that_comes_early_is_answered_behind_acknowledged() {
    let memory = Memory::default();
    memory.db.lock().unwrap().rows.insert("[1]".to_owned(), ONE.to_owned());
    let mut runtime = runtime(&memory);
    let mut session = runtime.open().await.unwrap();
    session.send(ToConnector::Acknowledge { transaction: 0 }).await.unwrap();
    session.ask(0, &["[1]"], true).await.unwrap();
    assert!(matches!(session.receive().await.unwrap(), ToRuntime::Acknowledged { .. }));
    assert!(matches!(session.receive().await.unwrap(), ToRuntime::Loaded(_)));
}

#[tokio::test]
async fn a_document_over_the_batch_of_a_load_is_sent_alone() {
    let memory = Memory::default();
    let large = format!(r#"{{"id":1,"body":"{}"}}"#, "x".repeat(9 << 20));
    memory.db.lock().unwrap().rows.extend([("[1]".to_owned(), large.clone()), ("[2]".to_owned(), TWO.to_owned())]);
    let mut runtime = runtime(&memory);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.ask(0, &["[1]", "[2]"], false).await.unwrap();
    let found = session.flush().await.unwrap();
    assert_eq!((found["[1]"].len(), found.len()), (large.len(), 2));
}

#[tokio::test]
async fn a_slow_author_holds_the_runtime_back() {
    let gate = Arc::new(Semaphore::new(1));
    let memory = Memory { gate: Some(Arc::clone(&gate)), ..Memory::default() };
    let mut runtime = runtime(&memory);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    let closed = gate.acquire().await.unwrap();
    session.flush().await.unwrap();

    let body = "x".repeat(1 << 20);
    let store = |id: usize| {
        let mut batch = BatchBuilder::new(0);
        let mut keys = longshore_proto::batch::KeysBuilder::new();
        batch.push(format!(r#"{{"id":{id},"body":"{body}"}}"#).as_bytes());
        keys.push(format!("[{id}]").as_bytes());
        let documents = batch.finish().unwrap();
        ToConnector::Store(Store::plain(documents, keys.finish()))
    };
    let mut taken_count = 0;
    // A runtime that may not send for this long is held back.
    while tokio::time::timeout(std::time::Duration::from_millis(500), session.send(store(taken_count))).await.is_ok() {
        taken_count += 1;
        assert!(taken_count < 100, "documents pile up before a slow author");
    }
    assert!(taken_count >= 16, "the inbox takes {taken_count} MiB");
    drop(closed);
    session.send(store(taken_count)).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(memory.db.lock().unwrap().rows.len(), taken_count + 1);
}

#[tokio::test]
async fn x_14_a_busy_connector_says_that_it_lives() {
    let gate = Arc::new(Semaphore::new(1));
    let memory = Memory { gate: Some(Arc::clone(&gate)), ..Memory::default() };
    let mut runtime = runtime(&memory);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    let closed = gate.acquire().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[ONE]).await.unwrap();
    let response = session.receive_any().await.unwrap();
    assert!(matches!(response, ToRuntime::Progress(progress) if progress.doing == "storing"));
    drop(closed);
    session.commit().await.unwrap();
}

#[tokio::test]
async fn m_2_an_epoch_that_was_seen_does_not_open() {
    let memory = Memory::default();
    let mut runtime = runtime(&memory);
    drop(runtime.open().await.unwrap());
    runtime.owner.epoch -= 1;
    let error = runtime.open().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Fenced, "sdk.epoch"));
}

#[tokio::test]
async fn m_2_a_successor_fences_the_session_before() {
    let memory = Memory::default();
    let mut runtime = runtime(&memory);
    let mut zombie = runtime.open().await.unwrap();
    zombie.acknowledge().await.unwrap();
    zombie.flush().await.unwrap();
    zombie.store(0, &[ONE]).await.unwrap();
    runtime.restart_connector(transactional(memory.clone()));
    let mut successor = runtime.open().await.unwrap();
    successor.acknowledge().await.unwrap();
    assert_eq!(zombie.commit().await.unwrap_err().kind, ErrorKind::Fenced);
    successor.transact(&[(0, &[TWO])]).await.unwrap();
    assert_eq!(memory.db.lock().unwrap().rows.len(), 1);
}

#[tokio::test]
async fn an_authors_panic_is_an_error_of_the_session_and_not_its_silence() {
    let mut runtime = runtime(&Memory { panics: true, ..Memory::default() });
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    let error = session.transact(&[(0, &[ONE])]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Internal, "sdk.panic"));
}

#[tokio::test]
async fn when_the_runtime_goes_the_authors_session_goes() {
    let memory = Memory::default();
    let mut runtime = runtime(&memory);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    drop(session);
    let gone = async {
        while memory.sessions_dropped.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("the session is dropped");
    assert!(memory.db.lock().unwrap().rows.is_empty());
}

#[tokio::test]
async fn m_1_a_store_in_the_wrong_place_ends_the_session() {
    let mut runtime = runtime(&Memory::default());
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.store(0, &[ONE]).await.unwrap();
    let error = session.receive().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "M-1"));
}

/// Documents with `bad` cannot be stored; what was stored of a transaction is told.
#[derive(Debug, Clone, Default)]
struct Picky {
    stored: Arc<Mutex<Vec<String>>>,
}

impl Materialize for Picky {
    type Config = Nothing;
    type Resource = Named;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec::new("materialize-picky", "0.0.0", &["/name"])
    }

    async fn validate(&self, request: ValidateRequest<Nothing, Named>) -> Result<Validation> {
        Ok(Validation::good(Modes::Both, request.bindings.len(), None))
    }

    async fn apply(&self, _: ApplyRequest<Nothing, Named>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl AtLeastOnce for Picky {
    type Session = Self;

    async fn open(&self, _: OpenRequest<Nothing, Named>) -> Result<Self> {
        Ok(self.clone())
    }
}

impl AtLeastOnceSession for Picky {
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        stores
            .each(|_, row| {
                let document = String::from_utf8_lossy(row.document).into_owned();
                if document.contains("bad") {
                    return Err(Error::data("picky.bad", format!("it is bad: {document}")));
                }
                self.stored.lock().unwrap().push(document);
                Ok(())
            })
            .await
    }

    async fn flush(&mut self, _: Stored) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn m_16_what_is_rejected_is_told_by_key_and_nothing_behind_it_is_stored_at_once() {
    let picky = Picky::default();
    let bind = Bind::new(json!({ "name": "t" }), &["/id", "/_meta/op"]).delta();
    let mut runtime = Runtime::new(at_least_once(picky.clone()), json!({})).bind(bind);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[r#"{"id":1}"#, r#"{"id":"2","bad":1}"#, r#"{"id":3}"#]).await.unwrap();
    session.store(0, &[r#"{"id":4,"bad":1}"#]).await.unwrap();
    let rejected = session.rejected().await.unwrap();
    let told: Vec<_> = rejected.each().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!((told, rejected.code.as_str()), (vec![r#"["2",null]"#.to_owned()], "picky.bad"));
    assert!(rejected.reason.contains(r#""bad":1"#));
    assert_eq!(*picky.stored.lock().unwrap(), [r#"{"id":1}"#]);
}
