//! One session of a capture: opens it, runs the author's `pull` beside a reader of the runtime's messages, and ends the stream.
//!
//! It is the same over a socket and in memory: it takes a stream of requests and gives a stream of responses.

#![allow(clippy::disallowed_methods, reason = "a session reads and writes in tasks of its own, and ends them")]

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use longshore_failpoints::{Step, reached};
use longshore_proto::capture::message::{Open, ToConnector, ToRuntime};
use longshore_proto::pb::capture::v1 as pb;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::ledger::Ledger;
use super::{Capture, Emitter, PullOpen};
use crate::epochs::Epochs;
use crate::outgoing::{Outgoing, OutgoingStream, outgoing, peer_gone};
use crate::serve::Drain;
use crate::{Error, Result, binding, config, panics};

/// What all sessions of a process share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    pub(crate) capture: Arc<C>,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) drain: Drain,
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        Self { capture: Arc::clone(&self.capture), epochs: Arc::clone(&self.epochs), drain: self.drain.clone() }
    }
}

/// Runs a session. It ends when the returned stream ends or is dropped.
pub(crate) fn session<C, R>(shared: Shared<C>, requests: R) -> OutgoingStream<pb::PullResponse>
where
    C: Capture,
    R: Stream<Item = Result<pb::PullRequest, Status>> + Send + Unpin + 'static,
{
    let (outgoing, stream) = outgoing();
    tokio::spawn(async move {
        match run(shared, requests, &outgoing).await {
            Ok(()) => outgoing.finish().await,
            Err(error) => {
                tracing::debug!("the session ends: {error}");
                outgoing.fail(error).await;
            }
        }
    });
    stream
}

async fn run<C, R>(shared: Shared<C>, mut requests: R, outgoing: &Outgoing<pb::PullResponse>) -> Result<()>
where
    C: Capture,
    R: Stream<Item = Result<pb::PullRequest, Status>> + Send + Unpin + 'static,
{
    let ledger = Arc::new(Ledger::default());
    let open = opening(&mut requests, &ledger).await?;
    if shared.drain.is_cancelled() {
        return Err(Error::unavailable("sdk.leaving", "opening a session: this process was asked to leave"));
    }
    shared.epochs.admit_session(&open.owner)?;
    let collections: Vec<String> = open.bindings.iter().map(|binding| binding.collection.name.clone()).collect();
    let open = typed::<C>(open)?;
    reached(Step::ConnectorOpening);
    let opened = ToRuntime::Opened;
    ledger.send(&opened)?;
    outgoing.send(opened.into(), 1).await?;
    reached(Step::ConnectorOpened);

    let (acknowledge, acknowledged) = watch::channel(0);
    let stop = shared.drain.child_token();
    let mut reader = JoinSet::new();
    reader.spawn(read(requests, Arc::clone(&ledger), acknowledge, stop.clone()));
    let emitter = Emitter::new(
        &collections,
        open.state_keys(),
        Arc::clone(&ledger),
        outgoing.clone(),
        (acknowledged, stop.clone()),
    );
    let pulling = panics::caught("pull", async { shared.capture.pull(open, emitter).await });
    tokio::pin!(pulling);

    // The reader ends with a failure, or when the runtime has half-closed after Stop; the author may still be tidying up then.
    let pulled = tokio::select! {
        pulled = &mut pulling => pulled,
        read = joined(&mut reader) => {
            read?;
            let pulled = tokio::select! { pulled = &mut pulling => pulled, () = outgoing.peer_left() => return Err(peer_gone()) };
            return closed(pulled);
        }
        () = outgoing.peer_left() => return Err(peer_gone()),
    };
    if ledger.is_stopping() {
        closed(pulled)?;
        return tokio::select! { read = joined(&mut reader) => read, () = outgoing.peer_left() => Err(peer_gone()) };
    }
    pulled?;
    ledger.send_end(shared.drain.is_cancelled())
}

/// Reads the first message, which must be Open.
async fn opening<R>(requests: &mut R, ledger: &Ledger) -> Result<Open>
where
    R: Stream<Item = Result<pb::PullRequest, Status>> + Unpin,
{
    let Some(request) = requests.next().await else {
        return Err(ledger.receive_end().err().unwrap_or_else(peer_gone));
    };
    let message = ToConnector::try_from(request?)?;
    ledger.receive(&message)?;
    match message {
        ToConnector::Open(open) => Ok(*open),
        // The table took nothing but Open.
        ToConnector::Acknowledge { .. } | ToConnector::Stop => Err(peer_gone()),
    }
}

fn typed<C: Capture>(open: Open) -> Result<PullOpen<C::Config, C::Resource>> {
    Ok(PullOpen {
        owner: open.owner,
        config: config::parse(&open.config_json)?,
        bindings: binding::bound(open.bindings)?,
        state: open.state,
    })
}

/// Reads what the runtime says until it half-closes. Never waits for the writing side.
async fn read<R>(
    mut requests: R,
    ledger: Arc<Ledger>,
    acknowledge: watch::Sender<u64>,
    stop: CancellationToken,
) -> Result<()>
where
    R: Stream<Item = Result<pb::PullRequest, Status>> + Unpin,
{
    while let Some(request) = requests.next().await {
        let message = ToConnector::try_from(request?)?;
        ledger.receive(&message)?;
        match message {
            // The table took it only as the first message.
            ToConnector::Open(_) => {}
            ToConnector::Acknowledge { checkpoints } => {
                reached(Step::ConnectorAcknowledged);
                acknowledge.send_modify(|count| *count += u64::from(checkpoints));
            }
            ToConnector::Stop => stop.cancel(),
        }
    }
    ledger.receive_end()
}

async fn joined(reader: &mut JoinSet<Result<()>>) -> Result<()> {
    match reader.join_next().await {
        Some(Ok(read)) => read,
        Some(Err(error)) => Err(Error::internal("sdk.reader", format!("reading what the runtime says: {error}"))),
        None => Ok(()),
    }
}

/// After the runtime half-closed nothing can be sent any more, so an author that was refused for that has done no wrong.
fn closed(pulled: Result<()>) -> Result<()> {
    match pulled {
        Err(error) if error.code == peer_gone().code => Ok(()),
        Ok(()) | Err(_) => pulled,
    }
}
