//! The driver of a session: keeps the order of messages in both directions and calls the author's session, one call at a time.
//!
//! Three tasks: one reads and parses what the runtime sends into an inbox that is bounded in bytes; one drives the author; one watches
//! both, says that the connector lives while the author is busy, and ends the author's call when the runtime is gone.

#![allow(clippy::disallowed_methods, reason = "a session reads and writes in tasks of its own, and ends them")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use longshore_failpoints::{Step, reached};
use longshore_proto::materialize::message::{Committed, Open, Pending, Rejected, ToConnector, ToRuntime};
use longshore_proto::materialize::order;
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::session::Progress;
use longshore_proto::session::Side;
use longshore_proto::state::StatePatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tonic::Status;

use super::door::{Door, DoorSession};
use super::reject::{KeyReader, Rejecting};
use super::{Load, Rows, Stores, request};
use crate::epochs::Epochs;
use crate::outgoing::{Outgoing, OutgoingStream, outgoing};
use crate::serve::Drain;
use crate::{Error, Result, panics};

/// Bytes of messages that may wait for the author: 16 MiB. One larger message may wait alone.
const INBOX_MAX_BYTES: usize = 16 << 20;
/// Messages that may wait for the author, however small.
const INBOX_MAX_MESSAGES: usize = 256;
/// How often a busy connector says that it lives.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(3);

/// Begins a session over any pair of streams; what is returned is what the runtime reads.
pub(crate) fn begin<D: Door>(
    door: Arc<D>,
    epochs: Arc<Epochs>,
    drain: Drain,
    requests: impl Stream<Item = Result<pb::TransactRequest, Status>> + Send + Unpin + 'static,
) -> OutgoingStream<pb::TransactResponse> {
    let (out, stream) = outgoing();
    let order = Order::default();
    let (sender, receiver) = mpsc::channel(INBOX_MAX_MESSAGES);
    let reading = tokio::spawn(read(requests, order.clone(), sender));
    let busy = Busy::default();
    let driver = Driver {
        door,
        epochs,
        drain,
        inbox: Inbox { receiver },
        outbox: Outbox { out: out.clone(), order },
        busy: busy.clone(),
        keys: Vec::new(),
    };
    let driving = tokio::spawn(driver.drive());
    tokio::spawn(async move {
        watch(driving, &out, &busy).await;
        reading.abort();
    });
    stream
}

/// Where the session stands; one for both directions.
#[derive(Debug, Clone, Default)]
struct Order(Arc<Mutex<order::Session>>);

impl Order {
    fn step<T>(&self, step: impl FnOnce(&mut order::Session) -> Result<T>) -> Result<T> {
        step(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the author is doing, while it is the author's turn.
#[derive(Debug, Clone, Default)]
struct Busy(Arc<Mutex<Option<&'static str>>>);

impl Busy {
    fn set(&self, doing: Option<&'static str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    fn doing(&self) -> Option<&'static str> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call of the author.
    async fn during<T>(&self, doing: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.set(Some(doing));
        let result = call.await;
        self.set(None);
        result
    }
}

/// Messages that wait for the author.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: mpsc::Receiver<Result<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    message: ToConnector,
    // Held while the message waits.
    _room: OwnedSemaphorePermit,
}

impl Inbox {
    /// The next message; none: the runtime has ended its stream where it may.
    pub(crate) async fn next(&mut self) -> Result<Option<ToConnector>> {
        self.receiver.recv().await.transpose().map(|waiting| waiting.map(|waiting| waiting.message))
    }
}

/// The way to the runtime. Each message moves the machine before it is on its way, so that no answer to it can come too early.
#[derive(Debug)]
pub(crate) struct Outbox {
    out: Outgoing<pb::TransactResponse>,
    order: Order,
}

impl Outbox {
    pub(crate) async fn send(&mut self, message: ToRuntime) -> Result<()> {
        self.order.step(|order| order.connector(&message))?;
        let bytes = match &message {
            ToRuntime::Loaded(loaded) => loaded.keys.byte_len() + loaded.documents.byte_len(),
            ToRuntime::Committed(committed) => committed.plan.len(),
            ToRuntime::Opened(_)
            | ToRuntime::Acknowledged { .. }
            | ToRuntime::Flushed { .. }
            | ToRuntime::Rejected(_)
            | ToRuntime::Progress(_) => 0,
        };
        self.out.send(message.into(), bytes).await
    }
}

async fn read(
    mut requests: impl Stream<Item = Result<pb::TransactRequest, Status>> + Send + Unpin + 'static,
    order: Order,
    inbox: mpsc::Sender<Result<Waiting>>,
) {
    let room = Arc::new(Semaphore::new(INBOX_MAX_BYTES));
    let mut bindings = 0;
    while let Some(request) = requests.next().await {
        let message = parse(request, &order, &mut bindings);
        let permits = message.as_ref().map_or(1, |message| bytes_of(message).clamp(1, INBOX_MAX_BYTES)) as u32;
        let Ok(room) = Arc::clone(&room).acquire_many_owned(permits).await else { return };
        let failed = message.is_err();
        let waiting = message.map(|message| Waiting { message, _room: room });
        if inbox.send(waiting).await.is_err() || failed {
            return;
        }
    }
    if let Err(error) = order.step(|order| order.end(Side::Runtime)) {
        // A driver that has ended needs to know no more.
        inbox.send(Err(error)).await.unwrap_or_default();
    }
}

fn parse(request: Result<pb::TransactRequest, Status>, order: &Order, bindings: &mut usize) -> Result<ToConnector> {
    let message = ToConnector::parse(request?, *bindings)?;
    order.step(|order| order.runtime(&message))?;
    if let ToConnector::Open(open) = &message {
        *bindings = open.bindings.len();
    }
    Ok(message)
}

fn bytes_of(message: &ToConnector) -> usize {
    match message {
        ToConnector::Store(store) => store.documents.byte_len() + store.keys.as_ref().map_or(0, |keys| keys.byte_len()),
        ToConnector::Load(load) => load.keys.byte_len(),
        ToConnector::Commit { checkpoint, .. } => checkpoint.len(),
        ToConnector::Open(_)
        | ToConnector::Acknowledge { .. }
        | ToConnector::Flush { .. }
        | ToConnector::Truncate { .. }
        | ToConnector::Backfill(_) => 0,
    }
}

/// Returns when the session is over, however it ends.
async fn watch(mut driving: JoinHandle<Result<()>>, out: &Outgoing<pb::TransactResponse>, busy: &Busy) {
    let mut every = tokio::time::interval(SIGN_OF_LIFE_INTERVAL);
    loop {
        tokio::select! {
            ended = &mut driving => {
                let ended = ended.unwrap_or_else(|ended| match ended.try_into_panic() {
                    Ok(panic) => Err(panics::as_error("a session", panic.as_ref())),
                    Err(_) => Ok(()),
                });
                if let Err(error) = ended {
                    // The runtime is told, and tells the user; here it would be said twice.
                    tracing::debug!("the session ended: {error}");
                    out.fail(error).await;
                }
                return;
            }
            () = out.peer_left() => {
                tracing::debug!("the runtime left; the session is dropped");
                driving.abort();
                return;
            }
            _ = every.tick() => {
                if let Some(doing) = busy.doing() {
                    let alive = ToRuntime::Progress(Progress { doing: doing.to_owned(), ..Progress::default() });
                    // A runtime that has gone is found by `peer_left`.
                    out.send(alive.into(), 0).await.unwrap_or_default();
                }
            }
        }
    }
}

struct Driver<D> {
    door: Arc<D>,
    epochs: Arc<Epochs>,
    drain: Drain,
    inbox: Inbox,
    outbox: Outbox,
    busy: Busy,
    /// By binding.
    keys: Vec<KeyReader>,
}

/// How a transaction went.
enum Ended<S> {
    Committed(S),
    Rejected(Rejected),
}

impl<D: Door> Driver<D> {
    async fn drive(mut self) -> Result<()> {
        let mut session = self.open().await?;
        loop {
            self.acknowledge(&mut session).await?;
            let Some(transaction) = self.answer_loads(&mut session).await? else { return Ok(()) };
            self.outbox.send(ToRuntime::Flushed { state_patch: StatePatch::new() }).await?;
            reached(Step::DestinationFlushed);
            match self.transact(session, transaction).await? {
                Ended::Committed(goes_on) => session = goes_on,
                Ended::Rejected(rejected) => return self.reject(rejected).await,
            }
        }
    }

    /// The author's session is gone, and with it what it wrote of the transaction.
    async fn reject(&mut self, rejected: Rejected) -> Result<()> {
        self.outbox.send(ToRuntime::Rejected(rejected)).await?;
        // What was under way is dropped.
        while self.inbox.next().await?.is_some() {}
        Ok(())
    }

    async fn open(&mut self) -> Result<D::Session> {
        let open: Box<Open> = match self.inbox.next().await? {
            Some(ToConnector::Open(open)) => open,
            other => return Err(unexpected("Open", other.as_ref())),
        };
        if self.drain.is_cancelled() {
            return Err(leaving());
        }
        self.epochs.admit_session(&open.owner)?;
        let pending =
            (open.transaction > 0).then(|| Pending { transaction: open.transaction, plan: open.plan.clone() });
        self.keys = open.bindings.iter().map(KeyReader::of).collect::<Result<_>>()?;
        let open = request::open(*open)?;
        reached(Step::DestinationOpening);
        let (opened, session) = self.busy.during("opening", self.door.open(open, pending)).await?;
        reached(Step::DestinationOpened);
        self.outbox.send(ToRuntime::Opened(opened)).await?;
        Ok(session)
    }

    async fn acknowledge(&mut self, session: &mut D::Session) -> Result<()> {
        let transaction = match self.inbox.next().await? {
            Some(ToConnector::Acknowledge { transaction }) => transaction,
            other => return Err(unexpected("Acknowledge", other.as_ref())),
        };
        reached(Step::DestinationAcknowledging);
        self.busy.during("publishing", session.acknowledge(transaction)).await?;
        reached(Step::DestinationAcknowledged);
        self.outbox.send(ToRuntime::Acknowledged { state_patch: StatePatch::new() }).await
    }

    /// Until the runtime flushes; none: it ends the session.
    async fn answer_loads(&mut self, session: &mut D::Session) -> Result<Option<u64>> {
        loop {
            let next = tokio::select! {
                biased;
                next = self.inbox.next() => next?,
                () = self.drain.cancelled() => return Err(leaving()),
            };
            match next {
                None => return Ok(None),
                Some(ToConnector::Flush { transaction }) => return Ok(Some(transaction)),
                Some(ToConnector::Load(load)) => {
                    reached(Step::DestinationLoading);
                    let mut rows = Rows::new(&mut self.outbox, load.binding);
                    self.busy.during("loading", session.load(Load::new(load), &mut rows)).await?;
                    rows.send().await?;
                    reached(Step::DestinationLoaded);
                }
                other @ Some(
                    ToConnector::Open(_)
                    | ToConnector::Acknowledge { .. }
                    | ToConnector::Truncate { .. }
                    | ToConnector::Backfill(_)
                    | ToConnector::Store(_)
                    | ToConnector::Commit { .. },
                ) => return Err(unexpected("a Load or Flush", other.as_ref())),
            }
        }
    }

    /// What happens to bindings as a whole stands before the first Store; returns what comes behind it.
    async fn hear_of_wholes(&mut self, session: &mut D::Session) -> Result<Option<ToConnector>> {
        loop {
            match self.inbox.next().await? {
                Some(ToConnector::Truncate { binding }) => {
                    self.busy.during("truncating", session.truncate(binding)).await?;
                }
                Some(ToConnector::Backfill(backfill)) => {
                    self.busy.during("backfilling", session.backfill(backfill)).await?;
                }
                first => return Ok(first),
            }
        }
    }

    async fn transact(&mut self, mut session: D::Session, transaction: u64) -> Result<Ended<D::Session>> {
        let first = self.hear_of_wholes(&mut session).await?;
        reached(Step::DestinationStoring);
        let mut stores = Stores::new((first, &mut self.inbox), &mut self.keys, transaction, D::GUARANTEE);
        let stored = self.busy.during("storing", session.store(&mut stores)).await;
        let (checkpoint, rejecting) = stores.into_parts();
        // Another error of the author says more than what it rejected before.
        let is_rejected = stored.as_ref().is_err_and(|error| error.code == super::reject::ends().code);
        if let Some(rejected) = rejecting.filter(|_| is_rejected).and_then(Rejecting::told) {
            return Ok(Ended::Rejected(rejected));
        }
        let stored = stored?;
        let Some(checkpoint) = checkpoint.filter(|_| stored.transaction() == transaction) else {
            let message =
                format!("storing transaction {transaction}: expected the witness of its end, got one of another");
            return Err(Error::internal("sdk.stored", message));
        };
        reached(Step::DestinationCommitting);
        let plan = self.busy.during("committing", session.commit(stored, checkpoint)).await?;
        reached(Step::DestinationCommitted);
        self.outbox.send(ToRuntime::Committed(Committed { state_patch: StatePatch::new(), plan })).await?;
        Ok(Ended::Committed(session))
    }
}

fn leaving() -> Error {
    Error::unavailable("sdk.leaving", "the connector was asked to leave: its last transaction is acknowledged")
        .suggest("start it again")
}

/// The machine lets nothing through that gets here, but for an end.
pub(crate) fn unexpected(expected: &str, got: Option<&ToConnector>) -> Error {
    match got {
        None => crate::outgoing::peer_gone(),
        Some(_) => {
            Error::internal("sdk.order", format!("reading from the runtime: expected {expected}, got something else"))
        }
    }
}
