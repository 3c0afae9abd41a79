//! A runtime end for a materialization, in memory: opens sessions, sends transactions, keeps what a runtime keeps, and stops anywhere.
//!
//! Everything goes through the messages of the protocol, parsed and checked as on the wire; only the socket is missing. It reduces nothing
//! and reads no journal: a test says which documents make a transaction. A step that returned has happened; to crash, drop the
//! [`Session`] (the connector's side is ended as by a lost connection) and open another one.
//!
//! ```text
//! let mut runtime = Runtime::new(transactional(MySink), json!({ "path": path })).bind(Bind::new(json!({ "table": "t" }), &["/id"]));
//! runtime.apply().await?;
//! let mut session = runtime.open().await?;
//! session.acknowledge().await?;
//! session.transact(&[(0, &[r#"{"id": 1}"#])]).await?;
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore_proto::batch::{BatchBuilder, KeysBuilder};
use longshore_proto::document::{Op, Scanned, Scanner};
use longshore_proto::key::KeyPointers;
use longshore_proto::materialize::message::{
    Applied, Apply, Backfill, Committed, Exists, Load, Open, Opened, Pending, Rejected, Spec, Store, Validate,
    Validated,
};
pub use longshore_proto::materialize::message::{ToConnector, ToRuntime};
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::selection::{Field, Selection, field_types};
use longshore_proto::session::{Binding, Collection, Owner, ProposedBinding};
use longshore_proto::state::State;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::materialize::{Door, Server};
use crate::outgoing::OutgoingStream;
use crate::{Error, Result, resource};

/// No answer within this time is a failure of the test.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Documents in one Store.
const STORE_MAX_DOCUMENTS: usize = 100;

/// A binding of a test.
#[derive(Debug, Clone)]
pub struct Bind {
    /// As the user would write it.
    pub resource: Value,
    /// Name of the collection.
    pub collection: String,
    /// JSON pointers of its key.
    pub key: Vec<String>,
    /// JSON Schema of its documents.
    pub schema: Value,
    /// Every document in order.
    pub delta_updates: bool,
    /// Of the state key.
    pub generation: u32,
    /// The fields that are kept; none: those that are where nobody chose.
    pub selection: Option<Selection>,
}

impl Bind {
    /// A standard binding of a collection `test/documents` that says nothing of its documents.
    pub fn new(resource: Value, key: &[&str]) -> Self {
        Self {
            resource,
            collection: "test/documents".to_owned(),
            key: key.iter().map(|pointer| (*pointer).to_owned()).collect(),
            schema: json!({ "type": "object" }),
            delta_updates: false,
            generation: 0,
            selection: None,
        }
    }

    /// With this schema of the documents.
    #[must_use]
    pub fn schema(self, schema: Value) -> Self {
        Self { schema, ..self }
    }

    /// A delta binding.
    #[must_use]
    pub fn delta(self) -> Self {
        Self { delta_updates: true, ..self }
    }

    /// In this generation.
    #[must_use]
    pub fn generation(self, generation: u32) -> Self {
        Self { generation, ..self }
    }

    /// With these fields (pointer, name) chosen, and perhaps the whole document; types are those of the schema, which is given before.
    #[must_use]
    pub fn fields(self, fields: &[(&str, &str)], document: Option<&str>) -> Self {
        let field = |(pointer, name): &(&str, &str)| Field {
            pointer: (*pointer).to_owned(),
            name: (*name).to_owned(),
            types: field_types(&self.schema, pointer),
        };
        let fields = fields.iter().map(field).collect();
        Self { selection: Some(Selection { fields, document: document.map(str::to_owned), chosen: true }), ..self }
    }

    fn selection(&self, spec: &Spec) -> Selection {
        let plain = || Selection::plain(&self.schema, &self.key, self.delta_updates && spec.keeps_meta);
        self.selection.clone().unwrap_or_else(plain)
    }

    fn collection(&self) -> Collection {
        Collection {
            name: self.collection.clone(),
            key: self.key.clone(),
            schema_json: self.schema.to_string().into(),
            schema_version: 1,
        }
    }

    fn proposed(&self, spec: &Spec) -> ProposedBinding {
        ProposedBinding {
            resource_json: self.resource.to_string().into(),
            collection: self.collection(),
            delta_updates: self.delta_updates,
            selection: self.selection(spec),
        }
    }

    fn bound(&self, spec: &Spec) -> Result<Binding> {
        let resource_json = Bytes::from(self.resource.to_string());
        let schema = serde_json::from_slice(&spec.resource_schema_json).unwrap_or_default();
        let resource_path = resource::path(&spec.resource_path_pointers, &schema, &resource_json)?;
        Ok(Binding {
            state_key: StateKey::new(&resource_path, self.generation),
            resource_path,
            resource_json,
            collection: self.collection(),
            delta_updates: self.delta_updates,
            selection: self.selection(spec),
        })
    }
}

/// What a runtime keeps between sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durable {
    /// Number of the last committed transaction.
    pub transaction: u64,
    /// What Committed returned of it, until it is acknowledged.
    pub plan: Option<Bytes>,
    /// Its checkpoint.
    pub checkpoint: Bytes,
}

/// A runtime with one task.
#[derive(Debug)]
pub struct Runtime<D> {
    server: Server<D>,
    /// The task's config.
    pub config: Value,
    /// Its bindings.
    pub bindings: Vec<Bind>,
    /// Whose calls these are; the epoch is that of the last session.
    pub owner: Owner,
    durable: Arc<Mutex<Durable>>,
}

impl<D: Door> Runtime<D> {
    /// A runtime with a new state directory, and a connector process that has just begun.
    pub fn new(door: D, config: Value) -> Self {
        let owner = Owner { task: "test".to_owned(), installation: InstallationId::from_bytes([1; 16]), epoch: 0 };
        let server = Server::new(door, crate::serve::Drain::new());
        Self { server, config, bindings: Vec::new(), owner, durable: Arc::default() }
    }

    /// Adds a binding.
    #[must_use]
    pub fn bind(mut self, bind: Bind) -> Self {
        self.bindings.push(bind);
        self
    }

    /// Another state directory, with nothing in it.
    #[must_use]
    pub fn of_installation(mut self, byte: u8) -> Self {
        self.owner.installation = InstallationId::from_bytes([byte; 16]);
        self
    }

    /// A new process of the connector; the runtime keeps what it has.
    pub fn restart_connector(&mut self, door: D) {
        self.server = Server::new(door, crate::serve::Drain::new());
    }

    /// What is durable with the runtime.
    pub fn durable(&self) -> Durable {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts an older or newer state back.
    pub fn set_durable(&self, durable: Durable) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = durable;
    }

    /// What the connector prints for `--spec`: for a snapshot.
    pub fn printed_spec(&self) -> String {
        format!("{:#}", self.server.printed_spec())
    }

    /// Calls Validate.
    pub async fn validate(&self) -> Result<Validated> {
        let spec = self.server.spec();
        let asked = Validate {
            owner: self.owner.clone(),
            config_json: self.config.to_string().into(),
            bindings: self.bindings.iter().map(|bind| bind.proposed(&spec)).collect(),
        };
        self.server.validate(asked.into()).await
    }

    /// What Verify tells of the first binding, compared by these values: a JSON array of key and values for each row, sorted.
    pub async fn verify(&self, pointers: &[&str]) -> Result<Vec<String>> {
        let question = (self.owner.clone(), self.config.to_string().into());
        super::verify::rows(question, &self.bound()?[0], pointers, |asked| self.server.verify(asked)).await
    }

    /// Calls Apply with the epoch of the session that comes next, and again after it drained a plan.
    pub async fn apply(&mut self) -> Result<Vec<String>> {
        self.apply_with(|_| {}).await
    }

    /// The same with flags.
    pub async fn apply_with(&mut self, change: impl Fn(&mut Apply)) -> Result<Vec<String>> {
        let mut actions = Vec::new();
        loop {
            let applied = self.apply_once(&change).await?;
            actions.extend(applied.actions);
            if !applied.drained {
                return Ok(actions);
            }
            self.durable.lock().unwrap_or_else(PoisonError::into_inner).plan = None;
        }
    }

    async fn apply_once(&self, change: impl Fn(&mut Apply)) -> Result<Applied> {
        let durable = self.durable();
        let mut asked = Apply {
            owner: Owner { epoch: self.owner.epoch + 1, ..self.owner.clone() },
            config_json: self.config.to_string().into(),
            bindings: self.bound()?,
            previous: Vec::new(),
            state: State::new(),
            pending: durable.plan.map(|plan| Pending { transaction: durable.transaction, plan }),
            fresh: Vec::new(),
            take_over: false,
            dry_run: false,
            remove: false,
        };
        change(&mut asked);
        self.server.apply(asked.into()).await
    }

    fn bound(&self) -> Result<Vec<Binding>> {
        let spec = self.server.spec();
        self.bindings.iter().map(|bind| bind.bound(&spec)).collect()
    }

    /// Opens a session with an epoch of its own. If the destination holds a checkpoint of its own, it is adopted.
    pub async fn open(&mut self) -> Result<Session> {
        self.owner.epoch += 1;
        let durable = self.durable();
        let bindings = self.bound()?;
        let scanners = bindings.iter().map(|binding| Ok(Scanner::new(&KeyPointers::compile(&binding.collection.key)?)));
        let open = Open {
            owner: self.owner.clone(),
            config_json: self.config.to_string().into(),
            state: State::new(),
            transaction: durable.transaction,
            plan: durable.plan.unwrap_or_default(),
            bindings: bindings.clone(),
        };
        let (requests, receiver) = mpsc::channel(16);
        let responses = self.server.transact(ReceiverStream::new(receiver));
        let scanners = scanners.collect::<Result<_>>()?;
        let mut session = Session {
            requests,
            responses,
            bindings,
            scanners,
            durable: Arc::clone(&self.durable),
            opened: Opened::default(),
            next_transaction: 0,
        };
        session.send(ToConnector::Open(Box::new(open))).await?;
        let ToRuntime::Opened(opened) = session.receive().await? else { return Err(other_answer("Opened")) };
        session.adopt(&opened, D::GUARANTEE);
        session.opened = opened;
        Ok(session)
    }
}

/// An open session. Dropping it is a crash.
#[derive(Debug)]
pub struct Session {
    requests: mpsc::Sender<Result<pb::TransactRequest, Status>>,
    responses: OutgoingStream<pb::TransactResponse>,
    bindings: Vec<Binding>,
    scanners: Vec<Scanner>,
    durable: Arc<Mutex<Durable>>,
    next_transaction: u64,
    /// What the connector answered to Open.
    pub opened: Opened,
}

impl Session {
    fn adopt(&mut self, opened: &Opened, guarantee: crate::materialize::Guarantee) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recorded) =
            opened.recorded.as_ref().filter(|_| guarantee == crate::materialize::Guarantee::Transactional)
        {
            durable.transaction = recorded.transaction;
            durable.checkpoint = recorded.checkpoint.clone();
        }
        self.next_transaction = durable.transaction + 1;
    }

    /// Acknowledges the last committed transaction; then its plan is done with.
    pub async fn acknowledge(&mut self) -> Result<()> {
        let transaction = self.durable.lock().unwrap_or_else(PoisonError::into_inner).transaction;
        self.send(ToConnector::Acknowledge { transaction }).await?;
        let ToRuntime::Acknowledged { .. } = self.receive().await? else { return Err(other_answer("Acknowledged")) };
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).plan = None;
        Ok(())
    }

    /// Asks for rows by their keys (JSON arrays) without waiting for an answer: allowed from Acknowledge on.
    pub async fn ask(&mut self, binding: usize, keys: &[&str], keys_only: bool) -> Result<()> {
        let mut builder = KeysBuilder::new();
        keys.iter().for_each(|key| builder.push(key.as_bytes()));
        match builder.finish() {
            Some(keys) => self.send(ToConnector::Load(Load { binding, keys, keys_only })).await,
            None => Ok(()),
        }
    }

    /// Ends the loads and returns the rows found, by key.
    pub async fn flush(&mut self) -> Result<BTreeMap<String, String>> {
        self.send(ToConnector::Flush { transaction: self.next_transaction }).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = BTreeMap::new();
        loop {
            match self.receive().await? {
                ToRuntime::Loaded(loaded) => {
                    found.extend(loaded.keys.keys().map(text).zip(loaded.documents.documents().map(text)));
                }
                ToRuntime::Flushed { .. } => return Ok(found),
                ToRuntime::Opened(_)
                | ToRuntime::Acknowledged { .. }
                | ToRuntime::Committed(_)
                | ToRuntime::Rejected(_)
                | ToRuntime::Progress(_) => return Err(other_answer("Loaded or Flushed")),
            }
        }
    }

    /// Says, before anything is stored, that a binding is emptied.
    pub async fn truncate(&mut self, binding: usize) -> Result<()> {
        self.send(ToConnector::Truncate { binding }).await
    }

    /// Says, before anything is stored, that a full refresh of a binding begins, or is complete, or both.
    pub async fn backfill(&mut self, binding: usize, begins: bool, completes: bool) -> Result<()> {
        self.send(ToConnector::Backfill(Backfill { binding, begins, completes })).await
    }

    /// Stores documents of a binding. Standard: the last one of each key, ascending, deleted if its `/_meta/op` says so. Delta: all.
    pub async fn store(&mut self, binding: usize, documents: &[&str]) -> Result<()> {
        self.store_as(binding, documents, false).await
    }

    /// The same, as partial updates.
    pub async fn update(&mut self, binding: usize, documents: &[&str]) -> Result<()> {
        self.store_as(binding, documents, true).await
    }

    async fn store_as(&mut self, binding: usize, documents: &[&str], are_partial: bool) -> Result<()> {
        let rows = self.rows(binding, documents)?;
        for rows in rows.chunks(STORE_MAX_DOCUMENTS) {
            let (mut batch, mut keys, mut deletes) = (BatchBuilder::new(binding), KeysBuilder::new(), Vec::new());
            for row in rows {
                batch.push(row.document.as_bytes());
                row.key_json.iter().for_each(|key| keys.push(key));
                deletes.extend(row.key_json.as_ref().map(|_| row.delete));
            }
            let Some(documents) = batch.finish() else { continue };
            let exists = vec![Exists::Unknown; if deletes.is_empty() { 0 } else { documents.len() }];
            let partial_updates = deletes.iter().map(|deletes| are_partial && !deletes).collect();
            let store = Store::plain(documents, keys.finish());
            self.send(ToConnector::Store(Store { exists, deletes, partial_updates, ..store })).await?;
        }
        Ok(())
    }

    fn rows<'d>(&mut self, binding: usize, documents: &[&'d str]) -> Result<Vec<TestRow<'d>>> {
        if self.bindings[binding].delta_updates {
            return Ok(documents.iter().map(|document| TestRow { document, key_json: None, delete: false }).collect());
        }
        let mut last = BTreeMap::new();
        let mut scanned = Scanned::default();
        for document in documents {
            self.scanners[binding].scan(document.as_bytes(), &mut scanned)?;
            let row = TestRow { document, key_json: Some(scanned.key_json.clone()), delete: scanned.op == Op::Delete };
            last.insert(scanned.key_encoded.clone(), row);
        }
        Ok(last.into_values().collect())
    }

    /// Commits, and loses the answer: what a runtime does that stops between its destination's commit and its own. What is rejected is an
    /// error, as where the user wants to be asked.
    pub async fn commit_unrecorded(&mut self) -> Result<Committed> {
        match self.answer_to_commit().await? {
            ToRuntime::Committed(committed) => {
                self.next_transaction += 1;
                Ok(committed)
            }
            ToRuntime::Rejected(Rejected { binding, code, reason, .. }) => {
                Err(Error::data(code, reason).at_binding(binding))
            }
            ToRuntime::Opened(_)
            | ToRuntime::Acknowledged { .. }
            | ToRuntime::Loaded(_)
            | ToRuntime::Flushed { .. }
            | ToRuntime::Progress(_) => Err(other_answer("Committed or Rejected")),
        }
    }

    /// Commits, and is told of documents that cannot be stored; the session is over then.
    pub async fn rejected(mut self) -> Result<Rejected> {
        let ToRuntime::Rejected(rejected) = self.answer_to_commit().await? else {
            return Err(other_answer("Rejected"));
        };
        self.close().await?;
        Ok(rejected)
    }

    async fn answer_to_commit(&mut self) -> Result<ToRuntime> {
        let (transaction, checkpoint) = (self.next_transaction, checkpoint_of(self.next_transaction));
        self.send(ToConnector::Commit { transaction, checkpoint }).await?;
        self.receive().await
    }

    /// Commits, and makes that durable.
    pub async fn commit(&mut self) -> Result<()> {
        let transaction = self.next_transaction;
        let committed = self.commit_unrecorded().await?;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        *durable = Durable {
            transaction,
            checkpoint: checkpoint_of(transaction),
            plan: Some(committed.plan).filter(|plan| !plan.is_empty()),
        };
        Ok(())
    }

    /// A whole transaction: flush, stores, commit, acknowledge.
    pub async fn transact(&mut self, stores: &[(usize, &[&str])]) -> Result<()> {
        self.flush().await?;
        for (binding, documents) in stores {
            self.store(*binding, documents).await?;
        }
        self.commit().await?;
        self.acknowledge().await
    }

    /// Ends the session in order, and waits until the connector has ended it too.
    pub async fn close(mut self) -> Result<()> {
        let (requests, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.requests, requests));
        loop {
            match tokio::time::timeout(ANSWER_TIMEOUT, self.responses.next()).await.map_err(|_| no_answer())? {
                None => return Ok(()),
                Some(response) => match ToRuntime::parse(response?, self.bindings.len())? {
                    ToRuntime::Progress(_) => {}
                    ToRuntime::Opened(_)
                    | ToRuntime::Acknowledged { .. }
                    | ToRuntime::Loaded(_)
                    | ToRuntime::Flushed { .. }
                    | ToRuntime::Committed(_)
                    | ToRuntime::Rejected(_) => return Err(other_answer("the end of the stream")),
                },
            }
        }
    }

    /// Sends a message of the test's own making.
    pub async fn send(&mut self, message: ToConnector) -> Result<()> {
        match self.requests.send(Ok(message.into())).await {
            Ok(()) => Ok(()),
            // The connector has ended the session; why is in its stream.
            Err(_) => self.receive().await.map(drop),
        }
    }

    /// The next message that is not Progress.
    pub async fn receive(&mut self) -> Result<ToRuntime> {
        loop {
            let message = self.receive_any().await?;
            if !matches!(message, ToRuntime::Progress(_)) {
                return Ok(message);
            }
        }
    }

    /// The next message, also if it is a Progress.
    pub async fn receive_any(&mut self) -> Result<ToRuntime> {
        let next = tokio::time::timeout(ANSWER_TIMEOUT, self.responses.next()).await.map_err(|_| no_answer())?;
        let response = next.ok_or_else(|| other_answer("a message"))??;
        ToRuntime::parse(response, self.bindings.len())
    }
}

struct TestRow<'d> {
    document: &'d str,
    key_json: Option<Vec<u8>>,
    delete: bool,
}

/// For [`Runtime::apply_with`]: every binding is made again.
pub fn all_fresh(apply: &mut Apply) {
    apply.fresh = apply.bindings.iter().map(|binding| binding.state_key.clone()).collect();
}

/// The checkpoint that this runtime gives a transaction.
pub fn checkpoint_of(transaction: u64) -> Bytes {
    json!({ "transaction": transaction }).to_string().into()
}

fn other_answer(expected: &str) -> Error {
    Error::protocol("M-1", format!("the connector answered: expected {expected}, got something else or the end"))
}

fn no_answer() -> Error {
    Error::internal("testing.timeout", "the connector answered nothing for a minute")
}
