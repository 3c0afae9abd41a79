//! The order of messages in Pull: one pure table, the only place that states it. The runtime, the SDK and the conformance kit step it for
//! what they send and for what they receive; PROTOCOL.md is printed from it.
//!
//! An error status ends the session in any state and is not in the table. Stop crosses what the connector has sent meanwhile, so for the
//! table everything that could be under way may still come after it, the connector's end included: a source that ends at a checkpoint just
//! when the runtime says Stop has broken no rule. What crosses the runtime's end of stream is dropped. That nothing new is *started* (C-7)
//! is for the connector's side to see to.

use super::message::{ToConnector, ToRuntime};
use crate::error::Error;
use crate::order::{Violation, listed};
use crate::parse::Side;
use crate::rules;

listed! {
    /// Where a session is.
    State {
        /// Before Open.
        Unopened = "Unopened",
        /// Between Open and Opened.
        Opening = "Opening",
        /// At a checkpoint.
        Idle = "Idle",
        /// Behind a checkpoint: what was captured since is not covered yet.
        Gathering = "Gathering",
        /// The runtime has said Stop.
        Stopping = "Stopping",
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
        Stop = "Stop",
        Opened = "Opened",
        Captured = "Captured",
        SourcedSchema = "SourcedSchema",
        BackfillBegin = "BackfillBegin",
        BackfillComplete = "BackfillComplete",
        Truncated = "Truncated",
        Checkpoint = "Checkpoint",
        Progress = "Progress",
        End = "end of stream",
    }
}

/// The state after a message, or what is wrong with it.
pub fn step(state: State, side: Side, kind: Kind) -> Result<State, Violation> {
    next(state, side, kind).ok_or_else(|| Violation {
        rule: rules::PULL_ORDER,
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
    use Kind::*;
    use Side::{Connector, Runtime};
    use State::{Closed, Closing, Gathering, Idle, Opening, Stopping, Unopened};
    let after = match (state, side, kind) {
        (Unopened, Runtime, Open) => Opening,

        (Opening, Connector, Opened) => Idle,

        (Idle | Gathering, Runtime, Acknowledge) => state,
        (Idle | Gathering, Runtime, Stop) => Stopping,
        (Idle | Gathering, Connector, Captured | SourcedSchema | BackfillBegin | BackfillComplete | Truncated) => {
            Gathering
        }
        (Idle | Gathering, Connector, Checkpoint) => Idle,
        (Idle, Connector, End) => Closed,

        (Stopping, Runtime, Acknowledge) => Stopping,
        (Stopping, Runtime, End) => Closing,
        (Stopping, Connector, Captured | SourcedSchema | BackfillBegin | BackfillComplete | Truncated | Checkpoint) => {
            Stopping
        }
        (Stopping, Connector, End) => Closed,

        (Closing, Connector, Captured | SourcedSchema | BackfillBegin | BackfillComplete | Truncated | Checkpoint) => {
            Closing
        }
        (Closing, Connector, End) => Closed,

        (Opening | Idle | Gathering | Stopping | Closing, Connector, Progress) => state,
        _ => return None,
    };
    Some(after)
}

/// A session as one end sees it: the table, and the count of checkpoints that are not acknowledged (C-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    state: State,
    outstanding: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// Before Open.
    pub fn new() -> Self {
        Self { state: State::Unopened, outstanding: 0 }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Checkpoints that are not acknowledged.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// The runtime sends this. On an error nothing has changed.
    pub fn runtime(&mut self, message: &ToConnector) -> Result<(), Error> {
        let (kind, acknowledged) = match message {
            ToConnector::Open(_) => (Kind::Open, 0),
            ToConnector::Acknowledge { checkpoints } => (Kind::Acknowledge, u64::from(*checkpoints)),
            ToConnector::Stop => (Kind::Stop, 0),
        };
        let state = step(self.state, Side::Runtime, kind)?;
        let Some(outstanding) = self.outstanding.checked_sub(acknowledged) else {
            let message = format!(
                "the runtime acknowledged {acknowledged} checkpoints: expected at most {}, the ones outstanding",
                self.outstanding
            );
            return Err(Error::protocol(rules::ACKNOWLEDGE_OUTSTANDING, message)
                .suggest("count checkpoints of this session only"));
        };
        (self.state, self.outstanding) = (state, outstanding);
        Ok(())
    }

    /// The connector sends this. On an error nothing has changed.
    pub fn connector(&mut self, message: &ToRuntime) -> Result<(), Error> {
        let kind = match message {
            ToRuntime::Opened => Kind::Opened,
            ToRuntime::Captured(_) | ToRuntime::TooLarge { .. } => Kind::Captured,
            ToRuntime::SourcedSchema { .. } => Kind::SourcedSchema,
            ToRuntime::BackfillBegin { .. } => Kind::BackfillBegin,
            ToRuntime::BackfillComplete { .. } => Kind::BackfillComplete,
            ToRuntime::Truncated { .. } => Kind::Truncated,
            ToRuntime::Checkpoint(_) => Kind::Checkpoint,
            ToRuntime::Progress(_) => Kind::Progress,
        };
        self.state = step(self.state, Side::Connector, kind)?;
        self.outstanding += u64::from(kind == Kind::Checkpoint);
        Ok(())
    }

    /// One side ends its stream without an error.
    pub fn end(&mut self, side: Side) -> Result<(), Error> {
        self.state = step(self.state, side, Kind::End)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::message::Checkpoint;

    #[test]
    fn c_1_every_message_in_every_state() {
        let mut table = String::new();
        for &state in State::ALL {
            for side in [Side::Runtime, Side::Connector] {
                for &kind in Kind::ALL {
                    let outcome = match step(state, side, kind) {
                        Ok(next) => format!("→ {}", next.as_str()),
                        Err(_) => "refused".to_owned(),
                    };
                    table.push_str(&format!(
                        "{:10} {:10} {:17} {outcome}\n",
                        state.as_str(),
                        side.as_str(),
                        kind.as_str()
                    ));
                }
            }
        }
        insta::assert_snapshot!("c_1_pull", table);
    }

    #[test]
    fn c_1_a_violation_says_what_the_table_allows() {
        let violation = step(State::Opening, Side::Connector, Kind::Captured).expect_err("not yet");
        insta::assert_snapshot!(violation, @"the connector sent Captured while Opening: expected one of [Opened, Progress]");
        let violation = step(State::Closed, Side::Runtime, Kind::Stop).expect_err("over");
        insta::assert_snapshot!(violation, @"the runtime sent Stop while Closed: expected nothing");
    }

    /// A session that is open, with so many checkpoints outstanding.
    fn opened(checkpoints: u64) -> Session {
        let mut session = Session { state: State::Idle, outstanding: 0 };
        for _ in 0..checkpoints {
            session.connector(&ToRuntime::Checkpoint(Checkpoint::default())).expect("a checkpoint");
        }
        session
    }

    #[test]
    fn c_4_only_outstanding_checkpoints_are_acknowledged() {
        let mut session = opened(3);
        session.runtime(&ToConnector::Acknowledge { checkpoints: 2 }).expect("two of three");
        let error = session.runtime(&ToConnector::Acknowledge { checkpoints: 2 }).expect_err("one is left");
        assert_eq!((error.code.as_str(), session.outstanding()), ("C-4", 1));
        session.runtime(&ToConnector::Stop).expect("stops");
        session.runtime(&ToConnector::Acknowledge { checkpoints: 1 }).expect("also while stopping");
        assert_eq!(session.outstanding(), 0);
    }

    #[test]
    fn c_6_without_stop_the_stream_ends_only_at_a_checkpoint() {
        let mut session = opened(1);
        session.connector(&ToRuntime::Truncated { binding: 0 }).expect("gathers");
        assert_eq!(session.end(Side::Connector).expect_err("not covered").code, "C-1");
        session.connector(&ToRuntime::Checkpoint(Checkpoint::default())).expect("covers it");
        session.end(Side::Connector).expect("at a checkpoint");
        assert_eq!(session.state(), State::Closed);
    }

    #[test]
    fn c_7_stop_waits_for_the_last_acknowledge() {
        let mut session = opened(0);
        session.connector(&ToRuntime::Truncated { binding: 0 }).expect("gathers");
        session.runtime(&ToConnector::Stop).expect("stops");
        session.connector(&ToRuntime::Checkpoint(Checkpoint::default())).expect("ends what is under way");
        session.runtime(&ToConnector::Acknowledge { checkpoints: 1 }).expect("is durable");
        session.end(Side::Runtime).expect("half-closes");
        session.connector(&ToRuntime::Truncated { binding: 0 }).expect("may have crossed the half-close");
        session.end(Side::Connector).expect("ends");
    }
}
