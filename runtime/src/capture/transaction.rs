//! The capture machine: what happened goes in, what to do comes out. Pure: no IO, no clock, no randomness, no task.
//!
//! It decides where journal transactions end, when the connector is told that checkpoints are durable, and how a session ends. It holds
//! no documents: an event says how many came, and the answer [`Action::Append`] means "hand what just came to the journal". The loop that
//! feeds it and does what it says is [`super::session`]; the simulator drives it the same way.
//!
//! # What it promises
//!
//! * A commit covers whole checkpoints: nothing appended after the last of them is in it.
//! * An acknowledgement needs the journal's proof ([`Durable`]) of the commit that covers it. A checkpoint that changed nothing takes the
//!   proof of the commit before it; only if this session has none yet, it gets an empty commit of its own.
//! * Acknowledgements come in order, each checkpoint once.
//! * [`Action::CaughtUp`] comes once, and never before the caught-up checkpoint is durable and acknowledged.
//!
//! # When a transaction closes
//!
//! Only at a checkpoint. At once if the connector has nothing more to say and no commit is under way, so that a lone change waits for
//! nothing; else what arrives while one commit is being synced goes into the next, which closes at the latest at [`Limits::close_bytes`],
//! [`Limits::close_documents`] or when its age is over ([`Event::AgeElapsed`]).

use std::collections::VecDeque;

use longshore_proto::Error;

use crate::journal::{Committed, Durable};

/// Bounds and close policy, each with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A transaction with so many bytes of documents closes at the next checkpoint.
    pub close_bytes: u64,
    /// A transaction with so many documents closes at the next checkpoint.
    pub close_documents: u64,
    /// No more is read while so many bytes wait for the journal.
    pub unwritten_bytes: u64,
    /// No more is read while so many entries wait for the journal.
    pub unwritten_entries: u64,
    /// A greater transaction is a typed stop. From half of it on, a checkpoint inside a transaction of the source is taken as an end.
    pub transaction_max_bytes: u64,
}

/// Commits that may wait for their sync at a time: one that is being synced, and one behind it.
const UNDERWAY_MAX: usize = 2;

impl Default for Limits {
    fn default() -> Self {
        Self {
            close_bytes: 8 << 20,
            close_documents: 50_000,
            unwritten_bytes: 16 << 20,
            unwritten_entries: 1024,
            transaction_max_bytes: 16 << 30,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The connector has opened.
    Opened,
    /// Documents of one binding came.
    Documents {
        /// How many.
        count: u64,
        /// And their bytes.
        bytes: u64,
    },
    /// The source stated a schema that is wider than the journal's newest, or documents made one necessary: it is written before what follows.
    WiderSchema {
        /// Its bytes.
        bytes: u64,
    },
    /// Something happened to a binding as a whole, at its place among the documents.
    Control,
    /// All since the last checkpoint may be committed.
    Checkpoint {
        /// It changes the connector's state.
        changes_state: bool,
        /// All that existed at the source at Open is covered.
        caught_up: bool,
        /// It lies inside a transaction of the source.
        partial: bool,
    },
    /// Everything that has come was taken; nothing more is there right now.
    InputIdle,
    /// The age that [`Action::StartAge`] started is over.
    AgeElapsed,
    /// The journal took an entry with so many bytes out of the queue.
    Written {
        /// As they were in the event that brought them.
        bytes: u64,
    },
    /// The oldest commit that was asked for is durable.
    Committed(Durable<Committed>),
    /// The session shall end in order.
    StopRequested,
    /// After Stop nothing has come for a while.
    Quiet,
    /// The grace period after Stop is over.
    StopOverdue,
    /// The connector ended its half of the stream, where it may.
    StreamEnded,
}

/// What to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Hand what the event brought to the journal.
    Append,
    /// Let [`Event::AgeElapsed`] come after the close policy's age, unless a [`Action::Commit`] comes first.
    StartAge,
    /// Commit all that was appended, with what all checkpoints so far changed in the state.
    Commit {
        /// It ends inside a transaction of the source, which therefore does not stay whole.
        splits: bool,
    },
    /// Tell the connector.
    Acknowledge {
        /// So many further checkpoints are durable.
        checkpoints: u32,
        /// Because of this.
        proof: Durable<Committed>,
    },
    /// The caught-up checkpoint is durable and acknowledged; the journal's end for that is here.
    CaughtUp(Durable<Committed>),
    /// Send Stop, then let [`Event::Quiet`] and [`Event::StopOverdue`] come in their time.
    SendStop,
    /// Drop all that was appended since the last commit.
    Abandon,
    /// End our half of the stream. What still comes is dropped.
    HalfClose,
    /// The session is over.
    Finish(End),
}

/// How a session ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Because it was asked to.
    Stopped,
    /// By itself, after a caught-up checkpoint that is durable.
    EndedCaughtUp,
    /// By itself, and there may be more: it is to be opened again.
    EndedNotCaughtUp,
}

/// One session of one capture.
#[derive(Debug)]
pub struct Transaction {
    limits: Limits,
    phase: Phase,
    open: Open,
    underway: VecDeque<Covered>,
    /// Of the last commit of this session.
    proof: Option<Durable<Committed>>,
    /// Nothing has come since the input was last found empty.
    idle: bool,
    unwritten: Unwritten,
    caught_up: CaughtUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Pulling,
    /// Stop is sent.
    Stopping,
    /// Nothing more is taken; what is covered becomes durable.
    Draining(Drain),
    /// Our half is closed; the end is waited for.
    Closing,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// The connector still listens.
    Stopped,
    /// It has ended its stream; there is nobody to acknowledge to.
    Ended { stopped: bool },
}

/// The transaction that is being gathered.
#[derive(Debug, Default)]
struct Open {
    entries: u64,
    documents: u64,
    bytes: u64,
    changes_state: bool,
    covered: Covered,
    boundary: Boundary,
    aged: bool,
    ageing: bool,
}

/// What the last thing in the open transaction was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Boundary {
    /// A checkpoint, or nothing at all.
    #[default]
    Whole,
    /// A checkpoint inside a transaction of the source.
    Partial,
    /// Something that no checkpoint covers yet.
    None,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Covered {
    checkpoints: u32,
    caught_up: bool,
}

#[derive(Debug, Default)]
struct Unwritten {
    bytes: u64,
    entries: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CaughtUp {
    No,
    Durable,
}

impl Transaction {
    /// A session that is about to open.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Opening,
            open: Open::default(),
            underway: VecDeque::new(),
            proof: None,
            idle: false,
            unwritten: Unwritten::default(),
            caught_up: CaughtUp::No,
        }
    }

    /// Whether the next message may be read: not while too much waits for the journal.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match self.phase {
            Phase::Opening | Phase::Closing => true,
            Phase::Pulling | Phase::Stopping => {
                self.unwritten.bytes < self.limits.unwritten_bytes
                    && self.unwritten.entries < self.limits.unwritten_entries
            }
            Phase::Draining(_) | Phase::Finished => false,
        }
    }

    /// Takes one event. An error ends the session: what is not durable is dropped, and nothing more is acknowledged.
    pub fn step(&mut self, event: Event) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::new();
        match event {
            Event::Opened => self.opened()?,
            Event::Documents { count, bytes } => self.append(count, bytes, &mut actions)?,
            Event::WiderSchema { bytes } => self.append(0, bytes, &mut actions)?,
            Event::Control => self.append(0, 0, &mut actions)?,
            Event::Checkpoint { changes_state, caught_up, partial } => {
                self.checkpoint(changes_state, caught_up, partial, &mut actions);
            }
            Event::InputIdle => self.idle = true,
            Event::AgeElapsed => self.open.aged = self.open.ageing,
            Event::Written { bytes } => {
                self.unwritten.bytes = self.unwritten.bytes.saturating_sub(bytes);
                self.unwritten.entries = self.unwritten.entries.saturating_sub(1);
            }
            Event::Committed(proof) => self.committed(proof, &mut actions)?,
            Event::StopRequested => self.stop(&mut actions),
            Event::Quiet => self.quiet(),
            Event::StopOverdue => self.overdue(&mut actions),
            Event::StreamEnded => self.ended(&mut actions)?,
        }
        self.close(&mut actions);
        self.finish(&mut actions);
        Ok(actions)
    }

    fn opened(&mut self) -> Result<(), Error> {
        match self.phase {
            Phase::Opening => {
                self.phase = Phase::Pulling;
                Ok(())
            }
            Phase::Pulling | Phase::Stopping | Phase::Draining(_) | Phase::Closing | Phase::Finished => {
                Err(unexpected("Opened", self.phase))
            }
        }
    }

    fn append(&mut self, count: u64, bytes: u64, actions: &mut Vec<Action>) -> Result<(), Error> {
        match self.phase {
            Phase::Pulling | Phase::Stopping => {}
            // It crossed our half-close: it was never acknowledged and comes again.
            Phase::Draining(_) | Phase::Closing => return Ok(()),
            Phase::Opening | Phase::Finished => return Err(unexpected("documents", self.phase)),
        }
        self.idle = false;
        // Here is the last moment at which what is covered can be closed: behind it stands what no checkpoint covers.
        self.close(actions);
        let bytes_then = self.open.bytes.saturating_add(bytes);
        if bytes_then > self.limits.transaction_max_bytes {
            return Err(self.too_large(bytes_then));
        }
        self.open.entries += 1;
        self.open.documents += count;
        self.open.bytes = bytes_then;
        self.open.boundary = Boundary::None;
        self.unwritten.bytes += bytes;
        self.unwritten.entries += 1;
        actions.push(Action::Append);
        self.start_age(actions);
        Ok(())
    }

    fn checkpoint(&mut self, changes_state: bool, caught_up: bool, partial: bool, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Draining(_) | Phase::Closing) {
            return;
        }
        self.idle = false;
        self.open.boundary = if partial { Boundary::Partial } else { Boundary::Whole };
        self.open.changes_state |= changes_state;
        self.open.covered.checkpoints = self.open.covered.checkpoints.saturating_add(1);
        self.open.covered.caught_up |= caught_up;
        if self.open.changes_nothing() {
            self.settle(actions);
        } else {
            self.start_age(actions);
        }
    }

    /// Checkpoints that changed nothing need no commit: they are as durable as what was before them.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        match (self.underway.back_mut(), self.proof) {
            (Some(last), _) => {
                let covered = std::mem::take(&mut self.open.covered);
                last.checkpoints = last.checkpoints.saturating_add(covered.checkpoints);
                last.caught_up |= covered.caught_up;
            }
            (None, Some(proof)) => {
                let covered = std::mem::take(&mut self.open.covered);
                self.acknowledge(covered, proof, actions);
            }
            // The first of the session: an empty commit is the proof.
            (None, None) => self.commit(actions),
        }
    }

    fn start_age(&mut self, actions: &mut Vec<Action>) {
        if !self.open.ageing {
            self.open.ageing = true;
            actions.push(Action::StartAge);
        }
    }

    fn committed(&mut self, proof: Durable<Committed>, actions: &mut Vec<Action>) -> Result<(), Error> {
        let covered = self.underway.pop_front().ok_or_else(|| unexpected("a commit", self.phase))?;
        self.proof = Some(proof);
        self.acknowledge(covered, proof, actions);
        Ok(())
    }

    fn acknowledge(&mut self, covered: Covered, proof: Durable<Committed>, actions: &mut Vec<Action>) {
        let listens = !matches!(self.phase, Phase::Draining(Drain::Ended { .. }));
        if listens && covered.checkpoints > 0 {
            actions.push(Action::Acknowledge { checkpoints: covered.checkpoints, proof });
        }
        if covered.caught_up && self.caught_up == CaughtUp::No {
            self.caught_up = CaughtUp::Durable;
            actions.push(Action::CaughtUp(proof));
        }
    }

    fn stop(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            // Nothing is under way, and before Opened nothing may be said: the stream is just dropped.
            Phase::Opening => {
                self.phase = Phase::Finished;
                actions.push(Action::Finish(End::Stopped));
            }
            Phase::Pulling => {
                self.phase = Phase::Stopping;
                actions.push(Action::SendStop);
            }
            Phase::Stopping | Phase::Draining(_) | Phase::Closing | Phase::Finished => {}
        }
    }

    /// Nothing under way at the connector, as far as can be told: a checkpoint was the last thing that came.
    fn quiet(&mut self) {
        if self.phase == Phase::Stopping && self.open.boundary == Boundary::Whole {
            self.phase = Phase::Draining(Drain::Stopped);
        }
    }

    fn overdue(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Stopping => {
                self.phase = Phase::Draining(Drain::Stopped);
                self.abandon_unless_whole(actions);
            }
            // It was told all and does not end: that is not worth waiting for.
            Phase::Closing => {
                self.phase = Phase::Finished;
                actions.push(Action::Finish(End::Stopped));
            }
            Phase::Opening | Phase::Pulling | Phase::Draining(_) | Phase::Finished => {}
        }
    }

    fn ended(&mut self, actions: &mut Vec<Action>) -> Result<(), Error> {
        match self.phase {
            Phase::Pulling if self.open.boundary == Boundary::None => {
                return Err(unexpected("the end of the stream", self.phase));
            }
            Phase::Pulling => self.phase = Phase::Draining(Drain::Ended { stopped: false }),
            Phase::Opening | Phase::Stopping | Phase::Draining(_) => {
                self.phase = Phase::Draining(Drain::Ended { stopped: true })
            }
            Phase::Closing => {
                self.phase = Phase::Finished;
                actions.push(Action::Finish(End::Stopped));
            }
            Phase::Finished => return Err(unexpected("the end of the stream", self.phase)),
        }
        self.abandon_unless_whole(actions);
        Ok(())
    }

    /// A transaction of the source stays whole or does not happen.
    fn abandon_unless_whole(&mut self, actions: &mut Vec<Action>) {
        if self.open.boundary != Boundary::Whole {
            self.open = Open::default();
            actions.push(Action::Abandon);
        }
    }

    /// Commits what is covered, if it is time.
    fn close(&mut self, actions: &mut Vec<Action>) {
        let full = self.open.bytes >= self.limits.close_bytes || self.open.documents >= self.limits.close_documents;
        let due = match self.phase {
            Phase::Pulling | Phase::Stopping => full || self.open.aged || (self.idle && self.underway.is_empty()),
            Phase::Draining(_) => true,
            Phase::Opening | Phase::Closing | Phase::Finished => false,
        };
        let whole = match self.open.boundary {
            Boundary::Whole => true,
            Boundary::Partial => self.open.bytes >= self.limits.transaction_max_bytes / 2,
            Boundary::None => false,
        };
        if due && whole && self.open.covered.checkpoints > 0 && self.underway.len() < UNDERWAY_MAX {
            self.commit(actions);
        }
    }

    fn commit(&mut self, actions: &mut Vec<Action>) {
        let open = std::mem::take(&mut self.open);
        self.underway.push_back(open.covered);
        actions.push(Action::Commit { splits: open.boundary == Boundary::Partial });
    }

    /// Goes on once everything that was committed is durable.
    fn finish(&mut self, actions: &mut Vec<Action>) {
        let Phase::Draining(drain) = self.phase else { return };
        if !self.underway.is_empty() || self.open.covered.checkpoints > 0 {
            return;
        }
        let end = match drain {
            Drain::Stopped => {
                self.phase = Phase::Closing;
                actions.push(Action::HalfClose);
                return;
            }
            Drain::Ended { stopped: true } => End::Stopped,
            Drain::Ended { stopped: false } => match self.caught_up {
                CaughtUp::Durable => End::EndedCaughtUp,
                CaughtUp::No => End::EndedNotCaughtUp,
            },
        };
        self.phase = Phase::Finished;
        actions.push(Action::Finish(end));
    }

    fn too_large(&self, bytes: u64) -> Error {
        let limit = self.limits.transaction_max_bytes;
        let message = format!(
            "a transaction of the source has more than {limit} bytes (max_transaction_bytes): {bytes} without a checkpoint"
        );
        Error::config("capture.transaction_too_large", message)
            .suggest("let the connector send checkpoints more often; nothing of the transaction was committed")
    }
}

impl Open {
    fn changes_nothing(&self) -> bool {
        self.entries == 0 && !self.changes_state
    }
}

/// The order of messages is checked before they come here, so this is a mistake of ours.
fn unexpected(what: &str, phase: Phase) -> Error {
    Error::internal("capture.machine", format!("capture machine: {what} came in {phase:?}"))
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
