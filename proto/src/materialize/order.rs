//! The order of messages in Transact: one pure table, the only place that states it, and a small machine for the tail, the transaction
//! before the one that is loading. The runtime, the SDK and the conformance kit step them for what they send and for what they receive;
//! PROTOCOL.md is printed from the table.
//!
//! Loads of the next transaction overlap the acknowledgement of the last, and nothing else does, so one row (Acknowledging) holds the
//! overlap; which transaction is acknowledged and which one is flushed is the [`Tail`]'s business. An error status ends the session in any
//! state and is not in the table.

use super::message::{Backfill, Store, ToConnector, ToRuntime};
use crate::error::Error;
use crate::order::{Violation, listed};
use crate::parse::Side;
use crate::rules::{self, Rule};

mod tail;

pub use tail::Tail;

listed! {
    /// Where a session is.
    State {
        /// Before Open.
        Unopened = "Unopened",
        /// Between Open and Opened.
        Opening = "Opening",
        /// A transaction is committed (or none is yet) and not acknowledged.
        Committed = "Committed",
        /// Acknowledge is sent and not answered; the next transaction may load.
        Acknowledging = "Acknowledging",
        /// Acknowledged; the next transaction loads.
        Loading = "Loading",
        /// No more Loads; answers are outstanding.
        Flushing = "Flushing",
        /// Documents are stored.
        Storing = "Storing",
        /// Commit is sent and not answered.
        Committing = "Committing",
        /// The connector has rejected documents.
        Refused = "Refused",
        /// The runtime has ended its stream.
        Closing = "Closing",
        /// The connector has ended its stream.
        Closed = "Closed",
    }
}

listed! {
    /// What can be sent, the end of the stream included.
    #[allow(missing_docs)]
    Kind {
        Open = "Open",
        Acknowledge = "Acknowledge",
        Load = "Load",
        Flush = "Flush",
        Truncate = "Truncate",
        Backfill = "Backfill",
        Store = "Store",
        Commit = "Commit",
        Opened = "Opened",
        Acknowledged = "Acknowledged",
        Loaded = "Loaded",
        Flushed = "Flushed",
        Committed = "Committed",
        Rejected = "Rejected",
        Progress = "Progress",
        End = "end of stream",
    }
}

/// The state after a message, or what is wrong with it.
pub fn step(state: State, side: Side, kind: Kind) -> Result<State, Violation> {
    next(state, side, kind).ok_or_else(|| Violation {
        rule: rules::TRANSACT_ORDER,
        side,
        got: kind.as_str(),
        state: state.as_str(),
        expected: Kind::ALL
            .iter()
            .filter(|kind| next(state, side, **kind).is_some())
            .map(|kind| kind.as_str())
            .collect(),
    })
}

/// The table. What is not in it may not come.
fn next(state: State, side: Side, kind: Kind) -> Option<State> {
    use Side::{Connector, Runtime};
    use State::*;
    let after = match (state, side, kind) {
        (Unopened, Runtime, Kind::Open) => Opening,

        (Opening, Connector, Kind::Opened) => Committed,

        (Committed, Runtime, Kind::Acknowledge) => Acknowledging,

        (Acknowledging, Runtime, Kind::Load) => Acknowledging,
        (Acknowledging, Connector, Kind::Acknowledged) => Loading,

        (Loading, Runtime, Kind::Load) => Loading,
        (Loading, Runtime, Kind::Flush) => Flushing,
        (Loading, Runtime, Kind::End) => Closing,
        (Loading, Connector, Kind::Loaded) => Loading,

        (Flushing, Connector, Kind::Loaded) => Flushing,
        (Flushing, Connector, Kind::Flushed) => Storing,

        (Storing, Runtime, Kind::Truncate | Kind::Backfill | Kind::Store) => Storing,
        (Storing, Runtime, Kind::Commit) => Committing,
        (Storing, Connector, Kind::Rejected) => Refused,

        (Committing, Connector, Kind::Committed) => Committed,
        (Committing, Connector, Kind::Rejected) => Refused,

        // What crossed the rejection is read and dropped, so that nobody waits for a full window.
        (Refused, Runtime, Kind::Truncate | Kind::Backfill | Kind::Store | Kind::Commit | Kind::End) => Refused,
        (Refused, Connector, Kind::End) => Closed,

        (Closing, Connector, Kind::Loaded) => Closing,
        (Closing, Connector, Kind::End) => Closed,

        (Unopened | Closed, Connector, Kind::Progress) => return None,
        (_, Connector, Kind::Progress) => state,
        _ => return None,
    };
    Some(after)
}

/// A session as one end sees it: the table, the tail, which bindings are of which kind (M-5, M-7, M-8), and whether there are Stores already (M-10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    state: State,
    tail: Tail,
    /// Of each binding, as Open says.
    delta: Vec<bool>,
    has_stored: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// Before Open.
    pub fn new() -> Self {
        Self { state: State::Unopened, tail: Tail::Unknown, delta: Vec::new(), has_stored: false }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Where the transaction before is.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// The runtime sends this. On an error nothing has changed.
    pub fn runtime(&mut self, message: &ToConnector) -> Result<(), Error> {
        let kind = match message {
            ToConnector::Open(_) => Kind::Open,
            ToConnector::Acknowledge { .. } => Kind::Acknowledge,
            ToConnector::Load(_) => Kind::Load,
            ToConnector::Flush { .. } => Kind::Flush,
            ToConnector::Truncate { .. } => Kind::Truncate,
            ToConnector::Backfill(_) => Kind::Backfill,
            ToConnector::Store(_) => Kind::Store,
            ToConnector::Commit { .. } => Kind::Commit,
        };
        let state = step(self.state, Side::Runtime, kind)?;
        match message {
            ToConnector::Acknowledge { transaction } => self.tail = self.tail.acknowledge(*transaction)?,
            ToConnector::Flush { transaction } => {
                self.tail = self.tail.flush(*transaction)?;
                self.has_stored = false;
            }
            ToConnector::Commit { transaction, .. } => self.tail = self.tail.commit(*transaction)?,
            ToConnector::Store(store) => {
                self.keys_fit(store)?;
                self.has_stored = true;
            }
            ToConnector::Load(load) if self.is_delta(load.binding) == Some(true) => {
                let message = format!(
                    "the runtime sent Load for binding {}: expected none, as every document of a delta binding is stored",
                    load.binding
                );
                return Err(wrong_kind(rules::LOAD_ONCE, message, load.binding));
            }
            ToConnector::Open(open) => self.delta = open.bindings.iter().map(|binding| binding.delta_updates).collect(),
            ToConnector::Truncate { binding } | ToConnector::Backfill(Backfill { binding, .. }) if self.has_stored => {
                let message = format!(
                    "the runtime sent {} of binding {binding} behind a Store: expected it before the first one",
                    kind.as_str()
                );
                return Err(Error::protocol(rules::TRUNCATE_FIRST, message)
                    .at_binding(*binding)
                    .suggest("report this to its authors"));
            }
            ToConnector::Load(_) | ToConnector::Truncate { .. } | ToConnector::Backfill(_) => {}
        }
        self.state = state;
        Ok(())
    }

    /// Keys stand beside the documents of a standard binding and of no other.
    fn keys_fit(&self, store: &Store) -> Result<(), Error> {
        let binding = store.documents.binding();
        let (rule, expected) = match (self.is_delta(binding), &store.keys) {
            (Some(false), None) => (rules::STORE_STANDARD, "a key for each document of a standard binding, got none"),
            (Some(true), Some(_)) => (rules::STORE_DELTA, "no keys for a delta binding, got some"),
            (Some(false), Some(_)) | (Some(true), None) | (None, _) => return Ok(()),
        };
        Err(wrong_kind(rule, format!("the runtime sent Store for binding {binding}: expected {expected}"), binding))
    }

    fn is_delta(&self, binding: usize) -> Option<bool> {
        self.delta.get(binding).copied()
    }

    /// The connector sends this. On an error nothing has changed.
    pub fn connector(&mut self, message: &ToRuntime) -> Result<(), Error> {
        let (kind, tail) = match message {
            ToRuntime::Opened(_) => (Kind::Opened, self.tail),
            ToRuntime::Acknowledged { .. } => (Kind::Acknowledged, self.tail.acknowledged()),
            ToRuntime::Loaded(_) => (Kind::Loaded, self.tail),
            ToRuntime::Flushed { .. } => (Kind::Flushed, self.tail),
            ToRuntime::Committed(_) => (Kind::Committed, self.tail.committed()),
            ToRuntime::Rejected(_) => (Kind::Rejected, self.tail),
            ToRuntime::Progress(_) => (Kind::Progress, self.tail),
        };
        self.state = step(self.state, Side::Connector, kind)?;
        self.tail = tail;
        Ok(())
    }

    /// One side ends its stream without an error.
    pub fn end(&mut self, side: Side) -> Result<(), Error> {
        self.state = step(self.state, side, Kind::End)?;
        Ok(())
    }
}

fn wrong_kind(rule: Rule, message: String, binding: usize) -> Error {
    Error::protocol(rule, message).at_binding(binding).suggest("report this to the authors of the runtime")
}

#[cfg(test)]
mod tests;
