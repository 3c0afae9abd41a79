//! What has been said in a session, both ways: steps the one order table for the reader and the emitter.

use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_proto::Side;
use longshore_proto::capture::message::{ToConnector, ToRuntime};
use longshore_proto::capture::order::{Session, State};

use crate::outgoing::peer_gone;
use crate::{Error, Result};

/// The table's state, and whether the author left documents behind. Locked for a step only.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    session: Session,
    /// Documents were emitted, never sent, and their emitter is gone.
    left_uncovered: bool,
}

impl Ledger {
    pub(crate) fn receive(&self, message: &ToConnector) -> Result<()> {
        self.entries().session.runtime(message)
    }

    pub(crate) fn receive_end(&self) -> Result<()> {
        self.entries().session.end(Side::Runtime)
    }

    /// Notes a message that is about to be sent. When the runtime has half-closed nothing is, and that is no one's fault.
    pub(crate) fn send(&self, message: &ToRuntime) -> Result<()> {
        let mut entries = self.entries();
        match entries.session.state() {
            State::Closing | State::Closed => Err(peer_gone()),
            State::Unopened | State::Opening | State::Idle | State::Gathering | State::Stopping => {
                entries.session.connector(message)
            }
        }
    }

    /// Ends the stream after `pull` returned without an error, which is right only at a checkpoint or after Stop. A process that was asked
    /// to leave may have had to give up the checkpoint under way.
    pub(crate) fn send_end(&self, leaving: bool) -> Result<()> {
        let mut entries = self.entries();
        let uncovered = entries.left_uncovered || entries.session.state() == State::Gathering;
        if uncovered && !stopping(&entries) {
            return Err(match leaving {
                true => Error::unavailable(
                    "sdk.leaving",
                    "this process was asked to leave and gave up the checkpoint under way",
                ),
                false => Error::internal(
                    "sdk.pull.uncovered",
                    "the connector returned from pull: expected a checkpoint behind the last document, got none",
                )
                .suggest("call `Emitter::checkpoint` before returning"),
            });
        }
        entries.session.end(Side::Connector)
    }

    /// Whether the runtime has said Stop.
    pub(crate) fn is_stopping(&self) -> bool {
        stopping(&self.entries())
    }

    /// The emitter was dropped with documents that it had not sent.
    pub(crate) fn left_uncovered(&self) {
        self.entries().left_uncovered = true;
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopping(entries: &Entries) -> bool {
    match entries.session.state() {
        State::Stopping | State::Closing | State::Closed => true,
        State::Unopened | State::Opening | State::Idle | State::Gathering => false,
    }
}
