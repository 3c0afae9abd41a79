//! Drives a capture: opens sessions, collects transactions, acknowledges, stops, and keeps the state as a journal would.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore_proto::Side;
use longshore_proto::batch::too_large;
use longshore_proto::capture::message::{self, ToConnector, ToRuntime};
use longshore_proto::capture::order;
use longshore_proto::document::check_object;
use longshore_proto::name::StateKey;
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection, Finding, ProposedBinding};
use longshore_proto::state::{State, StatePatch};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{TestOwner, in_time};
use crate::capture::session::{Shared, session};
use crate::capture::{Capture, CaptureService};
use crate::outgoing::OutgoingStream;
use crate::serve::Drain;
use crate::{Error, Result, resource};

/// Requests that may wait for the connector.
const REQUESTS_MAX: usize = 64;

/// One task with a capture, as a runtime would hold it: config, bindings, the durable state.
///
/// ```no_run
/// # use longshore_sdk::{capture::Capture, testing::CaptureTask, Result};
/// # async fn test(hello: impl Capture) -> Result<()> {
/// let mut task = CaptureTask::new(hello, serde_json::json!({ "greeting": "hello" }))
///     .binding(serde_json::json!({ "name": "greetings" }), "greetings", &["/id"]);
/// let mut session = task.open().await?;
/// let transactions = session.until_caught_up().await?;
/// session.acknowledge().await?;
/// session.stop().await?;
/// # drop(transactions); Ok(()) }
/// ```
#[derive(Debug)]
pub struct CaptureTask<C> {
    service: CaptureService<C>,
    drain: Drain,
    owner: TestOwner,
    config_json: Bytes,
    bindings: Vec<Binding>,
    state: State,
}

impl<C: Capture> CaptureTask<C> {
    /// A task without bindings.
    pub fn new(capture: C, config: Value) -> Self {
        let drain = Drain::new();
        Self {
            service: CaptureService::new(Arc::new(capture), drain.clone()),
            drain,
            owner: TestOwner::new("test"),
            config_json: config.to_string().into(),
            bindings: Vec::new(),
            state: State::new(),
        }
    }

    /// Adds a binding. Its resource path is what the spec's pointers say.
    ///
    /// # Panics
    /// If the resource gives no path: a test is wrong then.
    #[must_use]
    pub fn binding(mut self, resource: Value, collection: &str, key: &[&str]) -> Self {
        let resource_json = Bytes::from(resource.to_string());
        let schema = crate::schema::of::<C::Resource>();
        let path = resource::path(&self.service.spec().resource_path_pointers, &schema, &resource_json);
        let resource_path = path.unwrap_or_else(|error| panic!("{error}"));
        self.bindings.push(Binding {
            state_key: StateKey::new(&resource_path, 0),
            resource_path,
            resource_json,
            collection: Collection {
                name: collection.to_owned(),
                key: key.iter().map(|&pointer| pointer.to_owned()).collect(),
                schema_json: Bytes::from_static(br#"{"type":"object"}"#),
                schema_version: 1,
            },
            delta_updates: false,
            selection: Selection::default(),
        });
        self
    }

    /// Gives the collection of the binding added last this schema; without one it may hold anything.
    #[must_use]
    pub fn schema(mut self, schema: &Value) -> Self {
        if let Some(binding) = self.bindings.last_mut() {
            binding.collection.schema_json = schema.to_string().into();
        }
        self
    }

    /// The bindings there are begin anew under this generation.
    #[must_use]
    pub fn generation(mut self, generation: u32) -> Self {
        for binding in &mut self.bindings {
            binding.state_key = binding.state_key.with_generation(generation);
        }
        self
    }

    /// Goes on from this state, as if it had been made durable before.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// What `--spec` prints: for a snapshot.
    pub fn spec(&self) -> Value {
        self.service.spec().to_json::<C::Config, C::Resource>()
    }

    /// The durable state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Lists what there is.
    pub async fn discover(&self) -> Result<Vec<message::Discovered>> {
        self.discovered(Vec::new()).await
    }

    /// Describes the resources of the bindings.
    pub async fn discover_bindings(&self) -> Result<Vec<message::Discovered>> {
        self.discovered(self.bindings.iter().map(|binding| binding.resource_json.clone()).collect()).await
    }

    async fn discovered(&self, resources_json: Vec<Bytes>) -> Result<Vec<message::Discovered>> {
        let asked = resources_json.len();
        let discover = message::Discover { config_json: self.config_json.clone(), resources_json };
        let found = in_time("Discover", self.service.discover(discover)).await??;
        message::Discovered::parse_all(found.into_iter().collect(), asked)
    }

    /// What Validate finds.
    pub async fn validate(&self) -> Result<Vec<Finding>> {
        let proposed = |binding: &Binding| ProposedBinding {
            resource_json: binding.resource_json.clone(),
            collection: binding.collection.clone(),
            delta_updates: false,
            selection: Selection::default(),
        };
        let bindings: Vec<_> = self.bindings.iter().map(proposed).collect();
        let asked = bindings.len();
        let validate =
            message::Validate { owner: self.owner.reading(), config_json: self.config_json.clone(), bindings };
        let validated = in_time("Validate", self.service.validate(validate)).await??;
        Ok(message::Validated::parse(validated.into(), asked)?.findings)
    }

    /// What Verify tells of the binding added first, compared by these values: a JSON array of key and values for each row, sorted.
    pub async fn verify(&self, pointers: &[&str]) -> Result<Vec<String>> {
        let question = (self.owner.reading(), self.config_json.clone());
        super::verify::rows(question, &self.bindings[0], pointers, |asked| self.service.verify(asked)).await
    }

    /// Applies, makes what it returns durable, and tells what was done.
    pub async fn apply(&mut self) -> Result<Vec<String>> {
        let apply = message::Apply {
            owner: self.owner.current(),
            config_json: self.config_json.clone(),
            bindings: self.bindings.clone(),
            previous: Vec::new(),
            state: self.state.clone(),
            dry_run: false,
            remove: false,
        };
        let applied = in_time("Apply", self.service.apply(apply)).await??;
        self.state.apply(&applied.state_patch)?;
        Ok(applied.actions)
    }

    /// Opens a session with an epoch of its own and waits for Opened.
    pub async fn open(&mut self) -> Result<CaptureSession<'_>> {
        let open = self.next_open();
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let responses = session(self.shared(), ReceiverStream::new(receiver));
        let mut session = CaptureSession {
            bindings: self.bindings.len(),
            state: &mut self.state,
            requests: Some(requests),
            responses,
            order: order::Session::new(),
            gathered: Transaction::default(),
            uncommitted: VecDeque::new(),
            unacknowledged: 0,
        };
        session.say(ToConnector::Open(Box::new(open))).await?;
        match session.hear().await? {
            Some(ToRuntime::Opened) => Ok(session),
            Some(_) | None => Err(Error::internal("testing.open", "opening: expected Opened, got something else")),
        }
    }

    /// Asks the process to leave, as SIGTERM does, when it is cancelled.
    pub fn terminator(&self) -> CancellationToken {
        self.drain.clone()
    }

    pub(super) fn next_open(&mut self) -> message::Open {
        message::Open {
            owner: self.owner.next_session(),
            config_json: self.config_json.clone(),
            bindings: self.bindings.clone(),
            state: self.state.clone(),
        }
    }

    pub(super) fn shared(&self) -> Shared<C> {
        self.service.shared().clone()
    }
}

/// What lies between two checkpoints.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction {
    /// Documents with the index of their binding, as they came.
    pub documents: Vec<(usize, Value)>,
    /// Schemas the source stated.
    pub schemas: Vec<(usize, Value)>,
    /// Bindings the source emptied, each with how many documents of its transaction came before.
    pub truncated: Vec<(usize, usize)>,
    /// Beginnings and ends of full refreshes, as they came.
    pub refreshes: Vec<Refresh>,
    /// The checkpoint said caught up.
    pub caught_up: bool,
    /// The checkpoint is inside a transaction of the source.
    pub partial: bool,
    /// What it changes in the state.
    pub state_patch: StatePatch,
}

/// A beginning or an end of a full refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Of which binding.
    pub binding: usize,
    /// It has ended.
    pub complete: bool,
    /// So many documents of its transaction came before.
    pub behind: usize,
}

/// An open session. Dropping it is a connection that broke.
#[derive(Debug)]
pub struct CaptureSession<'task> {
    bindings: usize,
    state: &'task mut State,
    requests: Option<mpsc::Sender<Result<pb::PullRequest, Status>>>,
    responses: OutgoingStream<pb::PullResponse>,
    order: order::Session,
    gathered: Transaction,
    uncommitted: VecDeque<StatePatch>,
    unacknowledged: u32,
}

impl CaptureSession<'_> {
    /// The next transaction; `None` when the connector has ended the stream, at a checkpoint.
    pub async fn next(&mut self) -> Result<Option<Transaction>> {
        while let Some(message) = self.hear().await? {
            if self.gather(message)? {
                return Ok(Some(std::mem::take(&mut self.gathered)));
            }
        }
        Ok(None)
    }

    /// All transactions up to the first that says caught up.
    pub async fn until_caught_up(&mut self) -> Result<Vec<Transaction>> {
        let mut transactions = Vec::new();
        while let Some(transaction) = self.next().await? {
            let caught_up = transaction.caught_up;
            transactions.push(transaction);
            if caught_up {
                return Ok(transactions);
            }
        }
        let seen = transactions.len();
        Err(Error::internal("testing.caught_up", format!("expected caught up, got the end after {seen} transactions")))
    }

    /// Makes all transactions seen so far durable, without telling the connector.
    pub fn commit(&mut self) -> Result<()> {
        while let Some(patch) = self.uncommitted.pop_front() {
            self.state.apply(&patch)?;
            self.unacknowledged += 1;
        }
        Ok(())
    }

    /// Makes all transactions seen so far durable and says so.
    pub async fn acknowledge(&mut self) -> Result<()> {
        self.commit()?;
        match std::mem::take(&mut self.unacknowledged) {
            0 => Ok(()),
            checkpoints => self.say(ToConnector::Acknowledge { checkpoints }).await,
        }
    }

    /// Stops as a runtime does: drops what is not covered, makes the rest durable, acknowledges it, and waits for the end.
    pub async fn stop(mut self) -> Result<()> {
        self.say(ToConnector::Stop).await?;
        self.acknowledge().await?;
        self.order.end(Side::Runtime)?;
        self.requests = None;
        self.ended().await
    }

    /// Waits until the connector ends the stream by itself; what is not seen yet is dropped.
    pub async fn ended(mut self) -> Result<()> {
        while self.hear().await?.is_some() {}
        Ok(())
    }

    /// Takes a message in; true at a checkpoint.
    fn gather(&mut self, message: ToRuntime) -> Result<bool> {
        match message {
            ToRuntime::Captured(batch) => {
                for document in batch.documents() {
                    self.gathered.documents.push((batch.binding(), as_value(document)?));
                }
            }
            ToRuntime::TooLarge { binding, document } => return Err(too_large(document.len()).at_binding(binding)),
            ToRuntime::SourcedSchema { binding, schema_json } => {
                self.gathered.schemas.push((binding, as_value(&schema_json)?))
            }
            ToRuntime::Truncated { binding } => {
                let behind = self.gathered.documents.len();
                self.gathered.truncated.push((binding, behind));
            }
            ToRuntime::Checkpoint(checkpoint) => {
                self.gathered.caught_up = checkpoint.caught_up;
                self.gathered.partial = checkpoint.partial;
                self.gathered.state_patch = checkpoint.state_patch.clone();
                self.uncommitted.push_back(checkpoint.state_patch);
                return Ok(true);
            }
            ToRuntime::BackfillBegin { binding } => self.refresh(binding, false),
            ToRuntime::BackfillComplete { binding } => self.refresh(binding, true),
            ToRuntime::Opened | ToRuntime::Progress(_) => {}
        }
        Ok(false)
    }

    fn refresh(&mut self, binding: usize, complete: bool) {
        let behind = self.gathered.documents.len();
        self.gathered.refreshes.push(Refresh { binding, complete, behind });
    }

    async fn say(&mut self, message: ToConnector) -> Result<()> {
        self.order.runtime(&message)?;
        let Some(requests) = &self.requests else { return Ok(()) };
        // A connector that has ended says why on its own stream.
        if in_time("the connector to listen", requests.send(Ok(message.into()))).await?.is_err() {
            tracing::debug!("the connector does not listen any more");
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Option<ToRuntime>> {
        let Some(response) = in_time("the connector to say something", self.responses.next()).await? else {
            self.order.end(Side::Connector)?;
            return Ok(None);
        };
        let message = ToRuntime::parse(response?, self.bindings)?;
        self.order.connector(&message)?;
        Ok(Some(message))
    }
}

fn as_value(json: &[u8]) -> Result<Value> {
    let fault = |what: String| Error::internal("testing.document", format!("expected a JSON object, got {what}"));
    check_object(json).map_err(|error| fault(format!("{error}: {}", String::from_utf8_lossy(json))))?;
    serde_json::from_slice(json).map_err(|error| fault(error.to_string()))
}
