//! Transact as two halves that never wait for each other: what the runtime says, and what the connector does.
//!
//! Every message is parsed and its order checked, in both directions; whoever holds a message from here need not look again. What a
//! session does with them is in [`crate::materialize`].

use longshore_proto::materialize::message::{Open, ToConnector, ToRuntime};
use longshore_proto::materialize::order::{Session, State};
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::stream::{self, Incoming};
use longshore_proto::{Error, Side};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::collections::Collections;
use super::dial::Connection;
use super::turn::{Broken, SILENCE, Stalled, Turn};

/// Messages that wait to be sent. A Store holds up to 8 MiB, and HTTP/2 has windows of its own.
const OUT_QUEUE: usize = 1;

pub(super) async fn begin(connection: &Connection, open: Open) -> Result<(TransactSender, TransactReceiver), Error> {
    let (collections, (out, requests)) = (Collections::of(&open.bindings), mpsc::channel(OUT_QUEUE));
    let turn = Turn::new(Session::new());
    let mut sender = TransactSender { connection: connection.clone(), turn: turn.clone(), out };
    // Open is in the stream before the call is made: a connector may want it before it answers at all.
    sender.send(ToConnector::Open(Box::new(open))).await?;
    let call = |channel, request| stream::call(channel, stream::TRANSACT, request);
    let stream = connection.call("Transact", SILENCE, ReceiverStream::new(requests), call).await?;
    Ok((sender, TransactReceiver { connection: connection.clone(), turn, stream, collections, broken: None }))
}

/// The runtime's half of Transact.
#[derive(Debug)]
pub struct TransactSender {
    connection: Connection,
    turn: Turn<Session>,
    out: mpsc::Sender<pb::TransactRequest>,
}

impl TransactSender {
    /// Waits for room, then says it. Cancelled, nothing was said. A stream that broke is best explained by the receiving half.
    pub async fn send(&mut self, message: ToConnector) -> Result<(), Error> {
        match self.turn.room(&self.out).await {
            Ok(Some(room)) => {
                self.turn.step(|session| session.runtime(&message))?;
                room.send(message.into());
                Ok(())
            }
            Ok(None) => Err(self.connection.gone("Transact").await),
            Err(Stalled) => Err(stalled(&self.connection, "nothing was taken")),
        }
    }

    /// Ends our half of the stream.
    pub fn half_close(self) -> Result<(), Error> {
        self.turn.step(|session| session.end(Side::Runtime))
    }
}

/// The connector's half of Transact.
#[derive(Debug)]
pub struct TransactReceiver {
    connection: Connection,
    turn: Turn<Session>,
    stream: Incoming<pb::TransactResponse>,
    collections: Collections,
    /// The stream broke and says so once; a caller that was cancelled meanwhile asks again.
    broken: Option<Status>,
}

impl TransactReceiver {
    /// The next message, parsed and in order; `None` when the stream has ended where it may. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<ToRuntime>, Error> {
        self.next().await.map_err(|error| self.collections.name(error))
    }

    async fn next(&mut self) -> Result<Option<ToRuntime>, Error> {
        if let Some(status) = self.broken.clone() {
            return Err(self.connection.explain("Transact", status).await);
        }
        match self.turn.next(&mut self.stream, owes).await {
            Ok(message) => self.take(message).map_err(|error| self.connection.named("Transact", error)),
            Err(Broken::Status(status)) => {
                self.broken = Some(status.clone());
                Err(self.connection.explain("Transact", status).await)
            }
            Err(Broken::Stalled) => Err(stalled(&self.connection, "nothing was said")),
        }
    }

    fn take(&self, message: Option<pb::TransactResponse>) -> Result<Option<ToRuntime>, Error> {
        let message = message.map(|message| ToRuntime::parse(message, self.collections.len())).transpose()?;
        self.turn.step(|session| match &message {
            Some(message) => session.connector(message),
            None => session.end(Side::Connector),
        })?;
        Ok(message)
    }
}

/// Whether the connector must say something before anything can go on. At other times it is the runtime's turn.
fn owes(session: &Session) -> bool {
    match session.state() {
        State::Opening
        | State::Acknowledging
        | State::Flushing
        | State::Committing
        | State::Refused
        | State::Closing => true,
        State::Unopened | State::Committed | State::Loading | State::Storing | State::Closed => false,
    }
}

fn stalled(connection: &Connection, what: &str) -> Error {
    let message = format!("{}: {what} in Transact for {} s", connection.name(), SILENCE.as_secs());
    Error::unavailable("connector.stalled", message).suggest("see its log lines; it is started again")
}
