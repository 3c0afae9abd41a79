//! A connection of our own that speaks the protocol of replication, which the library for ordinary connections does not: log in, ask, and let the
//! changes of a slot come. It knows nothing of what a plugin writes.
//!
//! `wire` reaches a server, `login` says who we are, `frames` takes the bytes apart (no IO in it), `pump` keeps the stream going.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of the library's many messages, all that are not named are unexpected"
)]

mod frames;
mod login;
mod pump;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use longshore_sdk::{Error, Result};
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio_postgres::fallible_iterator::FallibleIterator as _;

use crate::endpoint::Parsed;
use crate::{Endpoint, quoted, tls};

pub use pump::Changes;
use wire::Wire;

/// A row of an answer: each value as text, none for NULL.
pub type Row = Vec<Option<String>>;

/// A connection for replication on which nothing streams yet; closed when it is dropped.
pub struct Replication {
    wire: Wire,
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What the slot's plugin wrote.
    Data(Bytes),
    /// All that lies before this position of the log was sent.
    Alive(u64),
}

impl std::fmt::Debug for Replication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replication").finish_non_exhaustive()
    }
}

impl Replication {
    /// Connects, with the password as it is now. `application` is who we say we are, unless the URL says it.
    ///
    /// # Errors
    /// As [`Client::connect`](crate::Client::connect) has them.
    pub async fn connect(endpoint: &Endpoint, application: &str) -> Result<Self> {
        let Parsed { config, mode } = endpoint.parse()?;
        let tls = tls::client(mode, endpoint.sslrootcert.as_deref())?;
        let doing = format!("connecting to {} for replication", endpoint.name());
        let wire = wire::connect(&doing, &config, mode, tls, application).await?;
        Ok(Self { wire })
    }

    /// Runs a command of replication or a statement, and returns the rows it answers.
    ///
    /// # Errors
    /// As [`failed`](crate::failed) has them.
    pub async fn query(&mut self, doing: &str, statement: &str) -> Result<Vec<Row>> {
        self.send_query(doing, statement).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.wire.message(doing).await? {
                Message::DataRow(body) => rows.push(row(doing, &body)?),
                // What follows is the end of the answer; until that the connection is not to be used.
                Message::ErrorResponse(body) => failure = Some(login::refused(doing, &body)),
                Message::ReadyForQuery(_) => return failure.map_or(Ok(rows), Err),
                Message::RowDescription(_)
                | Message::CommandComplete(_)
                | Message::EmptyQueryResponse
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {}
                _ => return Err(unexpected(doing, "a row")),
            }
        }
    }

    /// Lets the changes of a logical slot come, from a position on; all before `durable`, which is no later, is durable elsewhere. `options` are
    /// the plugin's.
    ///
    /// # Errors
    /// As [`failed`](crate::failed) has them.
    pub async fn start(mut self, slot: &str, (from, durable): (u64, u64), options: &[(&str, &str)]) -> Result<Changes> {
        let doing = format!("reading replication slot {slot}");
        let options = options.iter().map(|(name, value)| format!("{} '{}'", quoted(name), value.replace('\'', "''")));
        let options = options.collect::<Vec<_>>().join(", ");
        let (high, low) = (from >> 32, from & 0xffff_ffff);
        let mut command = format!("START_REPLICATION SLOT {} LOGICAL {high:X}/{low:X}", quoted(slot));
        // Empty brackets are a syntax error.
        if !options.is_empty() {
            command += &format!(" ({options})");
        }
        self.send_query(&doing, &command).await?;
        loop {
            let frame = self.wire.frame(&doing).await?;
            if frame.first() == Some(&frames::COPY_BOTH) {
                return Ok(Changes::new(self.wire, durable, doing));
            }
            match frames::message(&doing, frame)? {
                Message::ErrorResponse(body) => return Err(login::refused(&doing, &body)),
                Message::NoticeResponse(_) | Message::ParameterStatus(_) => {}
                _ => return Err(unexpected(&doing, "the stream's beginning")),
            }
        }
    }

    async fn send_query(&mut self, doing: &str, statement: &str) -> Result<()> {
        let fault = |error| Error::internal("postgres.protocol", format!("{doing}: {error}"));
        self.wire.send(doing, |out| frontend::query(statement, out).map_err(fault)).await
    }
}

fn row(doing: &str, body: &DataRowBody) -> Result<Row> {
    let fault = |error| Error::internal("postgres.protocol", format!("{doing}: {error}"));
    let ranges: Vec<_> = body.ranges().collect().map_err(fault)?;
    let text = |range| String::from_utf8_lossy(body.buffer().get(range).unwrap_or_default()).into_owned();
    Ok(ranges.into_iter().map(|range| range.map(text)).collect())
}

fn unexpected(doing: &str, expected: &str) -> Error {
    Error::internal("postgres.protocol", format!("{doing}: expected {expected}, got another message of the server"))
}
