//! The stream of the log: the only file that knows the connection for replication. Messages come out, and what may be forgotten goes in.

use longshore_postgres::{Changes, Replication, SETTINGS, quoted};
use longshore_sdk::{Error, Result};

use crate::config::Settings;
use crate::lsn::Lsn;
use crate::pgoutput::{self, Fault, Message};

/// A connection for replication on which nothing is sent yet.
pub(crate) struct Waiting {
    replication: Replication,
}

/// The stream.
pub(crate) struct Source {
    changes: Changes,
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

    /// Lets the stream begin at `from`; all before is durable elsewhere.
    pub(crate) async fn start(self, settings: &Settings, from: Lsn) -> Result<Source> {
        let publication = quoted(&settings.publication);
        let options = [("proto_version", "1"), ("publication_names", publication.as_str()), ("messages", "true")];
        Ok(Source { changes: self.replication.start(&settings.slot, from.0, &options).await? })
    }
}

impl Source {
    /// The next event. Dropped while it waits, it has taken none.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        match self.changes.next().await? {
            longshore_postgres::Event::Alive(end) => Ok(Event::Alive(Lsn(end))),
            longshore_postgres::Event::Data(data) => {
                pgoutput::parse(&data).map(Event::Message).map_err(|fault| fault_of(&fault))
            }
        }
    }

    /// All before this position may be forgotten.
    pub(crate) fn acknowledge(&self, position: Lsn) {
        self.changes.acknowledge(position.0);
    }

    /// Waits a moment for the server to be told what was acknowledged, and to let go of the slot.
    pub(crate) async fn farewell(self, position: Lsn) {
        self.changes.farewell(position.0).await;
    }
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
