//! What comes of the log: messages out, and what may be forgotten in. They come by a stream, in the protocol of replication, which no other file
//! knows; before it, where there is much to read, as a backlog ([`crate::backlog`]).

use longshore_postgres::{Changes, Replication, SETTINGS, quoted};
use longshore_sdk::{Error, Result};

use crate::backlog::{Backlog, Next};
use crate::config::Settings;
use crate::lsn::Lsn;
use crate::pgoutput::{self, Fault, Message};

/// A connection for replication on which nothing is sent yet.
pub(crate) struct Waiting {
    replication: Replication,
}

/// Where it comes from.
pub(crate) enum Source {
    Backlog(Backlog),
    Stream(Changes),
}

/// What comes out of it.
#[derive(Debug)]
pub(crate) enum Event {
    Message(Message),
    /// All that lies before this position was sent.
    Alive(Lsn),
}

/// Which server this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) system: String,
    pub(crate) timeline: u32,
}

impl Waiting {
    /// Connects and asks who is there.
    pub(crate) async fn connect(settings: &Settings) -> Result<(Waiting, Identity)> {
        let mut replication = Replication::connect(&settings.endpoint, "capture-postgres").await?;
        replication.query("preparing the session for replication", SETTINGS).await?;
        let rows = replication.query("asking which server this is", "IDENTIFY_SYSTEM").await?;
        let identity = match rows.first().map(Vec::as_slice) {
            Some([Some(system), Some(timeline), ..]) => {
                timeline.parse().ok().map(|timeline| Identity { system: system.clone(), timeline })
            }
            Some(_) | None => None,
        };
        let identity = identity.ok_or_else(|| {
            let message = format!("asking which server this is: expected its number and its timeline, got {rows:?}");
            Error::internal("postgres.identity", message)
        })?;
        Ok((Waiting { replication }, identity))
    }

    /// Lets the stream begin at `from`; all before `durable` is durable elsewhere.
    pub(crate) async fn start(self, settings: &Settings, from: Lsn, durable: Lsn) -> Result<Changes> {
        let options = options(settings);
        let options = options.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.replication.start(&settings.slot, (from.0, durable.0), &options).await
    }
}

/// What the plugin is to write.
pub(crate) fn options(settings: &Settings) -> [(&'static str, String); 3] {
    [
        ("proto_version", "1".to_owned()),
        ("publication_names", quoted(&settings.publication)),
        ("messages", "true".to_owned()),
    ]
}

impl Source {
    /// The next event. Dropped while it waits, it has taken none.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        loop {
            match self {
                Source::Backlog(backlog) => match backlog.next().await? {
                    Next::Message(row) => return message(row.get(0)),
                    Next::Reached(position) => return Ok(Event::Alive(position)),
                    Next::Stream(changes) => *self = Source::Stream(changes),
                },
                Source::Stream(changes) => match changes.next().await? {
                    longshore_postgres::Event::Alive(end) => return Ok(Event::Alive(Lsn(end))),
                    longshore_postgres::Event::Data(data) => return message(&data),
                },
            }
        }
    }

    /// All before this position may be forgotten.
    pub(crate) fn acknowledge(&self, position: Lsn) {
        match self {
            Source::Backlog(backlog) => backlog.acknowledge(position),
            Source::Stream(changes) => changes.acknowledge(position.0),
        }
    }

    /// Waits a moment for the server to be told what was acknowledged, and to let go of the slot.
    pub(crate) async fn farewell(self) {
        match self {
            Source::Backlog(backlog) => backlog.farewell().await,
            Source::Stream(changes) => changes.farewell().await,
        }
    }
}

fn message(bytes: &[u8]) -> Result<Event> {
    pgoutput::parse(bytes).map(Event::Message).map_err(|fault| fault_of(&fault))
}

fn fault_of(fault: &Fault) -> Error {
    const DOING: &str = "capture-postgres reads the stream of changes";
    match fault {
        Fault::Broken(fault) => Error::internal("postgres.stream.message", format!("{DOING}: {fault}")),
        Fault::NoText(place) => {
            let message = format!("{DOING}: value {} of a row: expected a text in UTF-8, got other bytes", place + 1);
            Error::data("postgres.value", message).suggest("correct the value; a database should be in encoding UTF8")
        }
    }
}
