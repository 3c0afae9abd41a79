//! Pull as two halves that never wait for each other: what the runtime says, and what the connector does.
//!
//! Every message is parsed and its order checked, in both directions; whoever holds a message from here need not look again. What a
//! session does with them is in [`crate::capture`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use longshore_proto::capture::message::{Open, ToConnector, ToRuntime};
use longshore_proto::capture::order::{Session, State};
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::stream::{self, Incoming};
use longshore_proto::{Error, Side};
use tonic::Status;

use super::collections::Collections;
use super::dial::Connection;
use super::turn::{Broken, SILENCE, Turn};
use crate::secret::Door;

pub(super) async fn begin(connection: &Connection, open: Open) -> Result<(PullSender, PullReceiver), Error> {
    let collections = Collections::of(&open.bindings);
    let sender = PullSender { turn: Turn::new(Session::new()), said: Said::default() };
    sender.say(ToConnector::Open(Box::new(open)))?;
    let turn = sender.turn.clone();
    // Open is in the stream before the call is made: a connector may want it before it answers at all.
    let requests = sender.said.clone();
    let call = |channel, request| stream::call(channel, stream::PULL, request);
    let stream = connection.call("Pull", SILENCE, requests, call).await?;
    Ok((sender, PullReceiver { connection: connection.clone(), turn, stream, collections, broken: None }))
}

/// The runtime's half of Pull. Nothing here waits: acknowledgements that a connector does not read yet are added up.
#[derive(Debug)]
pub struct PullSender {
    turn: Turn<Session>,
    said: Said,
}

impl PullSender {
    /// So many further checkpoints are durable.
    pub fn acknowledge(&self, checkpoints: u32) -> Result<(), Error> {
        self.say(ToConnector::Acknowledge { checkpoints })
    }

    /// Asks it to start nothing new.
    pub fn stop(&self) -> Result<(), Error> {
        self.say(ToConnector::Stop)
    }

    /// Ends our half of the stream.
    pub fn half_close(self) -> Result<(), Error> {
        self.turn.step(|session| session.end(Side::Runtime))
    }

    fn say(&self, message: ToConnector) -> Result<(), Error> {
        self.turn.step(|session| session.runtime(&message))?;
        self.said.push(message);
        Ok(())
    }
}

impl Drop for PullSender {
    fn drop(&mut self) {
        self.said.end();
    }
}

/// The connector's half of Pull.
#[derive(Debug)]
pub struct PullReceiver {
    connection: Connection,
    turn: Turn<Session>,
    stream: Incoming<pb::PullResponse>,
    collections: Collections,
    /// The stream broke and says so once; a caller that was cancelled meanwhile asks again.
    broken: Option<Status>,
}

impl PullReceiver {
    /// The next message, parsed and in order; `None` when the stream has ended where it may. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<ToRuntime>, Error> {
        self.next().await.map_err(|error| self.collections.name(error))
    }

    async fn next(&mut self) -> Result<Option<ToRuntime>, Error> {
        if let Some(status) = self.broken.clone() {
            return Err(self.connection.explain("Pull", status).await);
        }
        match self.turn.next(&mut self.stream, owes).await {
            Ok(message) => self.take(message).map_err(|error| self.connection.named("Pull", error)),
            Err(Broken::Status(status)) => {
                self.broken = Some(status.clone());
                Err(self.connection.explain("Pull", status).await)
            }
            Err(Broken::Stalled) => {
                let message =
                    format!("{}: nothing was said in Pull for {} s", self.connection.name(), SILENCE.as_secs());
                Err(Error::unavailable("connector.stalled", message).suggest("see its log lines; it is started again"))
            }
        }
    }

    fn take(&self, message: Option<pb::PullResponse>) -> Result<Option<ToRuntime>, Error> {
        let mut message = message.map(|message| ToRuntime::parse(message, self.collections.len())).transpose()?;
        if let Some(ToRuntime::SourcedSchema { schema_json, .. }) = &mut message {
            Door::Answers.scrub_bytes(schema_json);
        }
        self.turn.step(|session| match &message {
            Some(message) => session.connector(message),
            None => session.end(Side::Connector),
        })?;
        Ok(message)
    }
}

/// Whether the connector must say something before anything can go on. At other times it may have nothing to say.
fn owes(session: &Session) -> bool {
    match session.state() {
        State::Opening | State::Closing => true,
        State::Unopened | State::Idle | State::Gathering | State::Stopping | State::Closed => false,
    }
}

/// What is said and not yet sent. One slot for each kind of message, so it cannot grow.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Slots>>);

#[derive(Debug, Default)]
struct Slots {
    open: Option<Box<Open>>,
    acknowledge: u32,
    stop: bool,
    ended: bool,
    waker: Option<Waker>,
}

impl Said {
    fn push(&self, message: ToConnector) {
        self.change(|slots| match message {
            ToConnector::Open(open) => slots.open = Some(open),
            ToConnector::Acknowledge { checkpoints } => {
                slots.acknowledge = slots.acknowledge.saturating_add(checkpoints)
            }
            ToConnector::Stop => slots.stop = true,
        });
    }

    fn end(&self) {
        self.change(|slots| slots.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Slots)) {
        let waker = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut slots);
            slots.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Slots {
    fn take(&mut self) -> Option<ToConnector> {
        if let Some(open) = self.open.take() {
            return Some(ToConnector::Open(open));
        }
        match std::mem::take(&mut self.acknowledge) {
            0 => std::mem::take(&mut self.stop).then_some(ToConnector::Stop),
            checkpoints => Some(ToConnector::Acknowledge { checkpoints }),
        }
    }
}

impl tokio_stream::Stream for Said {
    type Item = pb::PullRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.take() {
            Some(message) => Poll::Ready(Some(message.into())),
            None if slots.ended => Poll::Ready(None),
            None => {
                slots.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
