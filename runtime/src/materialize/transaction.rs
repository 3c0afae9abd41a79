//! The materialize machine: what happened goes in, what to do comes out. Pure: no IO, no clock, no randomness, no task.
//!
//! It decides where transactions end, what is sent when, and what is durable before it. It holds no documents: how many were read is in an
//! event, and [`Action::SendStores`] means "store what was read". The loop that feeds it is [`super::session`]; the simulator drives it the
//! same way. What the messages mean is semantics of the protocol (`proto/PROTOCOL.md`), whose order it obeys.
//!
//! # What it promises
//!
//! * A transaction covers whole transactions of the journals, and no group passes another.
//! * The extent is durable before the first Store; the checkpoint, the plan and the state before Acknowledge.
//! * Loading overlaps the acknowledgement of the transaction before; Flush waits for it.
//! * Numbers ascend and are never used for two extents.
//! * It ends only between transactions: what was not flushed is dropped, what was is finished to Acknowledged.
//! * What the destination refused is noted durably before the session ends; the next one passes over it.

mod ending;
mod gathering;
mod limits;

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_proto::materialize::message::Guarantee;
use longshore_proto::session::ClosePolicy;
use longshore_proto::state::{State, StatePatch};
use longshore_proto::{Error, rules};

use super::checkpoint::{Checkpoint, Extent, Place};
use super::resume::Resume;
use super::turns::{Ends, Selection, Turn};
use crate::journal::{JournalId, Position};
use crate::store::{self, Change, Skip, SkipId, TaskChanges};
pub use gathering::Foreseen;
use gathering::Gathering;
pub use limits::Limits;

/// What a session begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// What the connector promises.
    pub guarantee: Guarantee,
    /// The spec the session is opened under.
    pub spec_version: u64,
    /// This session's bindings with the journals they read.
    pub places: Vec<Place>,
    /// The connector's state.
    pub state: State,
    /// The highest number that was ever used, extents that were not committed included.
    pub last_number: u64,
    /// A committed transaction waits for its acknowledgement.
    pub is_pending: bool,
    /// The spec is not the newest one: the session is only for a transaction that must be run again under it.
    pub only_rerun: bool,
    /// What was only passed by is committed too, in a transaction without documents: a journal it reads is trimmed up to what is committed.
    pub commits_skipped: bool,
    /// When transactions close.
    pub limits: Limits,
}

/// What happened.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Event {
    /// The connector has opened, and this is how the session goes on.
    Opened {
        resume: Resume,
        recorded_transaction: u64,
        close_policy: ClosePolicy,
    },
    /// What [`Action::Persist`] asked for is durable.
    Persisted,
    Acknowledged {
        state_patch: StatePatch,
    },
    /// The journals were read on, as [`Action::Advance`] asked.
    Advanced(Advanced),
    /// A journal has more than it had.
    MoreToRead,
    /// The age that [`Action::StartAge`] started is over.
    AgeElapsed,
    /// All Loads of the transaction are sent.
    LoadsSent,
    Flushed {
        state_patch: StatePatch,
    },
    /// All Stores of the transaction are sent.
    StoresSent,
    /// The destination refused documents of the transaction, and they are to be set aside.
    Rejected,
    /// These are they, as [`Action::FindRejected`] asked.
    RejectedFound {
        skips: Vec<Skip>,
    },
    Committed {
        state_patch: StatePatch,
        plan: Bytes,
    },
    /// The session shall end when it has got there; noted anew, they only move on.
    EndsNoted(Ends),
    /// The session shall end in order.
    StopRequested,
    /// The connector ended its half of the stream.
    StreamEnded,
}

/// What one [`Action::Advance`] came to: whole transactions of the journals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advanced {
    /// Documents that were taken, once for each binding that takes them; those too that are passed over.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How far each journal of the selection is read.
    pub positions: Vec<(JournalId, Position)>,
    /// Documents that wait from now on, because an earlier one of their key does.
    pub joined: Vec<Skip>,
    /// Letters that stand in the journal again, and where.
    pub replayed: Vec<(SkipId, u64)>,
    /// Why it ended.
    pub then: Then,
}

/// Why reading paused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Then {
    /// It has done enough for one step; there may be more.
    More,
    /// Nothing more is there, or the limits are reached.
    #[default]
    Nothing,
    /// A schema is met that the session was not opened with: at the beginning of a transaction of the journal, or inside one of which
    /// documents were taken already.
    NewerSchema {
        /// See above.
        inside: bool,
    },
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    /// Make this durable, then tell.
    Persist(Box<TaskChanges>),
    Acknowledge {
        transaction: u64,
    },
    /// Forget what was read and begin with this.
    Read(Selection),
    /// Read some more of it, up to these ends.
    Advance {
        ends: Ends,
    },
    /// Let [`Event::AgeElapsed`] come after so long, unless a [`Action::Read`] comes first.
    StartAge {
        ms: u64,
    },
    /// Load the keys whose existence is wanted, then tell.
    SendLoads,
    Flush {
        transaction: u64,
    },
    /// Store what was read, then tell.
    SendStores,
    /// Send nothing more of the transaction, find what the destination refused of it, and tell.
    FindRejected {
        extent: Box<Extent>,
    },
    Commit {
        transaction: u64,
        checkpoint: Bytes,
    },
    /// What was read is in the destination and durable with us.
    Published {
        transaction: u64,
    },
    /// End our half of the stream.
    HalfClose,
    /// The session is over.
    Finish(End),
}

/// How a session ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Because it was asked to.
    Stopped,
    /// All noted ends are reached and acknowledged.
    Drained,
    /// A schema was met that is newer than the session, or the session was for an older spec: apply the newest and begin the next one.
    SchemaGrew,
    /// The destination refused documents; begin the next one, which passes over them.
    Rejected,
}

/// One session of one materialization.
#[derive(Debug)]
pub struct Transaction {
    guarantee: Guarantee,
    spec_version: u64,
    limits: Limits,
    /// What is durable.
    committed: Checkpoint,
    state: State,
    last_number: u64,
    is_pending: bool,
    only_rerun: bool,
    commits_skipped: bool,
    /// How far each place is read; ahead of `committed` also by what was skipped.
    places: BTreeMap<Place, Position>,
    turn: Turn,
    ends: Ends,
    head: Head,
    tail: Tail,
    /// What reading found out of letters, durable with the extent.
    joined: Vec<Skip>,
    replayed: Vec<(SkipId, u64)>,
    /// How it is to end, when it can.
    ending: Option<End>,
    /// The connector has ended its half.
    peer_ended: bool,
}

/// The transaction that is being made.
#[derive(Debug)]
enum Head {
    Opening,
    /// What was decided at Opened becomes durable.
    Adopting {
        acknowledge: u64,
        rerun: Option<Extent>,
    },
    /// None any more: the session ends when the tail has.
    Resting,
    Gathering(Gathering),
    /// Loads are being sent.
    Asking(Extent),
    /// Flush waits for the tail.
    Asked(Extent),
    Flushing(Extent),
    /// The extent becomes durable.
    Recording(Extent),
    Storing(Extent),
    Committing(Extent),
    /// The checkpoint becomes durable.
    Settling(Extent),
    /// What the destination refused is looked for.
    Refused,
    /// And becomes durable.
    Skipping,
    HalfClosed,
    Finished,
}

/// The transaction before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Acknowledged, and that is durable.
    Idle,
    /// Acknowledge is sent.
    Acknowledging,
    /// What Acknowledged brought becomes durable.
    Clearing,
}

impl Transaction {
    /// A session that is about to open.
    #[must_use]
    pub fn new(beginning: Beginning, ours: Checkpoint) -> Self {
        let Beginning { guarantee, spec_version, places, state, last_number, is_pending, .. } = beginning;
        let Beginning { only_rerun, commits_skipped, limits, .. } = beginning;
        let places = places.into_iter().map(|place| (place, Position::BEGINNING)).collect();
        Self {
            guarantee,
            spec_version,
            limits,
            committed: ours,
            state,
            last_number,
            is_pending,
            only_rerun,
            commits_skipped,
            places,
            turn: Turn::Leaders,
            ends: Ends::new(),
            head: Head::Opening,
            tail: Tail::Idle,
            joined: Vec::new(),
            replayed: Vec::new(),
            ending: None,
            peer_ended: false,
        }
    }

    /// How far each place is read.
    #[must_use]
    pub fn places(&self) -> &BTreeMap<Place, Position> {
        &self.places
    }

    /// The last durable checkpoint.
    #[must_use]
    pub fn committed(&self) -> &Checkpoint {
        &self.committed
    }

    /// Takes one event. An error ends the session; what is not durable is dropped.
    pub fn step(&mut self, event: Event) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::new();
        let out = &mut actions;
        match event {
            Event::Opened { resume, recorded_transaction, close_policy } => {
                self.last_number = self.last_number.max(recorded_transaction);
                self.limits.ask_for(close_policy);
                self.opened(resume, out)?;
            }
            Event::Persisted => self.persisted(out)?,
            Event::Acknowledged { state_patch } => self.acknowledged(&state_patch, out)?,
            Event::Advanced(advanced) => self.advanced(advanced, out)?,
            Event::MoreToRead => self.more_to_read(out),
            Event::AgeElapsed => self.aged(out)?,
            Event::LoadsSent => self.loads_sent(),
            Event::Flushed { state_patch } => self.flushed(&state_patch, out)?,
            Event::StoresSent => self.stores_sent(out)?,
            Event::Rejected => self.rejected(out)?,
            Event::RejectedFound { skips } => self.rejected_found(skips, out)?,
            Event::Committed { state_patch, plan } => self.connector_committed(&state_patch, plan, out)?,
            Event::EndsNoted(ends) => self.ends_noted(ends, out),
            Event::StopRequested => self.stop_requested(),
            Event::StreamEnded => self.stream_ended(out)?,
        }
        self.flush_when_acknowledged(out);
        self.half_close_when_over(out);
        Ok(actions)
    }

    fn opened(&mut self, resume: Resume, out: &mut Vec<Action>) -> Result<(), Error> {
        let Head::Opening = self.head else { return Err(self.unexpected("Opened")) };
        let (checkpoint, acknowledge, rerun, changes) = match resume {
            Resume::GoOn { checkpoint, acknowledge } => (checkpoint, acknowledge, None, None),
            Resume::Rerun { checkpoint, acknowledge, extent } => (checkpoint, acknowledge, Some(extent), None),
            Resume::Promote { checkpoint, acknowledge } => {
                let pending = Change::Set(store::Pending { transaction: checkpoint.transaction, plan: Bytes::new() });
                self.is_pending = true;
                let changes = TaskChanges { extent: Change::Clear, pending, ..adopts(&checkpoint) };
                (checkpoint, acknowledge, None, Some(changes))
            }
            Resume::Replay { checkpoint, acknowledge, given_up, warning: _ } => {
                let extent = given_up.map_or(Change::Keep, |extent| Change::Set(extent.stored()));
                let changes = TaskChanges { extent, ..adopts(&checkpoint) };
                (checkpoint, acknowledge, None, Some(changes))
            }
        };
        for (place, position) in &mut self.places {
            *position = checkpoint.position(place);
        }
        self.committed = checkpoint;
        match changes {
            Some(changes) => {
                self.head = Head::Adopting { acknowledge, rerun };
                out.push(Action::Persist(Box::new(changes)));
            }
            None => self.acknowledge_first(acknowledge, rerun, out),
        }
        Ok(())
    }

    fn acknowledge_first(&mut self, transaction: u64, rerun: Option<Extent>, out: &mut Vec<Action>) {
        self.tail = Tail::Acknowledging;
        out.push(Action::Acknowledge { transaction });
        match (self.ending, rerun) {
            (Some(_), _) => self.head = Head::Resting,
            (None, Some(extent)) => self.gather_again(extent, out),
            (None, None) => self.next(out),
        }
    }

    /// One write is under way at a time: the head writes nothing before the tail is idle.
    fn persisted(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        if self.tail == Tail::Clearing {
            self.tail = Tail::Idle;
            return Ok(());
        }
        match std::mem::replace(&mut self.head, Head::Resting) {
            Head::Adopting { acknowledge, rerun } => self.acknowledge_first(acknowledge, rerun, out),
            Head::Recording(extent) => {
                self.head = Head::Storing(extent);
                out.push(Action::SendStores);
            }
            Head::Settling(extent) => self.settled(extent, out),
            Head::Skipping => self.ending = self.ending.or(Some(End::Rejected)),
            head @ (Head::Opening
            | Head::Resting
            | Head::Gathering(_)
            | Head::Asking(_)
            | Head::Asked(_)
            | Head::Flushing(_)
            | Head::Storing(_)
            | Head::Committing(_)
            | Head::Refused
            | Head::HalfClosed
            | Head::Finished) => return Err(self.unexpected_in(head, "the end of a write")),
        }
        Ok(())
    }

    fn acknowledged(&mut self, state_patch: &StatePatch, out: &mut Vec<Action>) -> Result<(), Error> {
        if self.tail != Tail::Acknowledging {
            return Err(self.unexpected("Acknowledged"));
        }
        let mut changes = TaskChanges::default();
        self.patch_state(state_patch, &mut changes)?;
        if std::mem::take(&mut self.is_pending) {
            changes.pending = Change::Clear;
        }
        if changes == TaskChanges::default() {
            self.tail = Tail::Idle;
        } else {
            self.tail = Tail::Clearing;
            out.push(Action::Persist(Box::new(changes)));
        }
        Ok(())
    }

    /// A session that is ending has dropped what was asked for.
    fn loads_sent(&mut self) {
        if matches!(self.head, Head::Asking(_))
            && let Head::Asking(extent) = std::mem::replace(&mut self.head, Head::Resting)
        {
            self.head = Head::Asked(extent);
        }
    }

    fn flush_when_acknowledged(&mut self, out: &mut Vec<Action>) {
        if matches!((&self.head, self.tail), (Head::Asked(_), Tail::Idle))
            && let Head::Asked(extent) = std::mem::replace(&mut self.head, Head::Resting)
        {
            out.push(Action::Flush { transaction: extent.transaction });
            self.head = Head::Flushing(extent);
        }
    }

    fn flushed(&mut self, state_patch: &StatePatch, out: &mut Vec<Action>) -> Result<(), Error> {
        let head = std::mem::replace(&mut self.head, Head::Resting);
        let Head::Flushing(mut extent) = head else { return Err(self.unexpected_in(head, "Flushed")) };
        extent.flushed_state = !state_patch.is_empty();
        let (skips, replayed) = (std::mem::take(&mut self.joined), std::mem::take(&mut self.replayed));
        let extent_set = Change::Set(extent.stored());
        let mut changes = TaskChanges { extent: extent_set, skips, replayed, ..TaskChanges::default() };
        self.patch_state(state_patch, &mut changes)?;
        self.head = Head::Recording(extent);
        out.push(Action::Persist(Box::new(changes)));
        Ok(())
    }

    fn stores_sent(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        let head = std::mem::replace(&mut self.head, Head::Resting);
        let Head::Storing(extent) = head else { return Err(self.unexpected_in(head, "the last Store")) };
        let checkpoint = self.committed.overlaid(&extent).encode();
        out.push(Action::Commit { transaction: extent.transaction, checkpoint });
        self.head = Head::Committing(extent);
        Ok(())
    }

    /// The extent is durable and stays so: it runs again, without what is found now.
    fn rejected(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        match std::mem::replace(&mut self.head, Head::Refused) {
            Head::Storing(extent) | Head::Committing(extent) => {
                out.push(Action::FindRejected { extent: Box::new(extent) });
                Ok(())
            }
            Head::Recording(_) => {
                let message = "the connector sent Rejected: expected keys that were stored in the transaction, got it before the first Store";
                Err(Error::protocol(rules::REJECTED_KEYS, message)
                    .suggest("the connector is at fault; tell its authors"))
            }
            head @ (Head::Opening
            | Head::Adopting { .. }
            | Head::Resting
            | Head::Gathering(_)
            | Head::Asking(_)
            | Head::Asked(_)
            | Head::Flushing(_)
            | Head::Settling(_)
            | Head::Refused
            | Head::Skipping
            | Head::HalfClosed
            | Head::Finished) => Err(self.unexpected_in(head, "Rejected")),
        }
    }

    fn rejected_found(&mut self, skips: Vec<Skip>, out: &mut Vec<Action>) -> Result<(), Error> {
        let Head::Refused = self.head else { return Err(self.unexpected("what was rejected")) };
        self.head = Head::Skipping;
        out.push(Action::Persist(Box::new(TaskChanges { skips, ..TaskChanges::default() })));
        Ok(())
    }

    fn connector_committed(
        &mut self,
        state_patch: &StatePatch,
        plan: Bytes,
        out: &mut Vec<Action>,
    ) -> Result<(), Error> {
        let head = std::mem::replace(&mut self.head, Head::Resting);
        let Head::Committing(extent) = head else { return Err(self.unexpected_in(head, "Committed")) };
        if self.guarantee == Guarantee::Transactional && !(state_patch.is_empty() && plan.is_empty()) {
            // A crash between its commit and ours would lose them.
            let message = "a transactional connector, Committed: expected neither state nor plan, got some";
            return Err(Error::protocol(rules::COMMIT_ATOMIC, message)
                .suggest("the connector keeps them in its own transaction; tell its authors"));
        }
        let pending = Change::Set(store::Pending { transaction: extent.transaction, plan });
        let after = self.committed.overlaid(&extent);
        let mut changes = TaskChanges { extent: Change::Clear, pending, ..adopts(&after) };
        self.patch_state(state_patch, &mut changes)?;
        self.head = Head::Settling(extent);
        out.push(Action::Persist(Box::new(changes)));
        Ok(())
    }

    fn settled(&mut self, extent: Extent, out: &mut Vec<Action>) {
        let transaction = extent.transaction;
        self.committed = self.committed.overlaid(&extent);
        self.is_pending = true;
        self.tail = Tail::Acknowledging;
        out.push(Action::Published { transaction });
        out.push(Action::Acknowledge { transaction });
        self.take_turns();
        self.next(out);
    }

    fn next(&mut self, out: &mut Vec<Action>) {
        if self.only_rerun && self.ending.is_none() {
            self.ending = Some(End::SchemaGrew);
        }
        match self.ending {
            Some(_) => self.head = Head::Resting,
            None => self.gather(out),
        }
    }

    fn patch_state(&mut self, patch: &StatePatch, changes: &mut TaskChanges) -> Result<(), Error> {
        if !patch.is_empty() {
            self.state.apply(patch)?;
            changes.state = Some(self.state.clone());
        }
        Ok(())
    }

    /// The order of messages is checked before they come here, so this is a mistake of ours.
    fn unexpected(&self, what: &str) -> Error {
        Error::internal(
            "materialize.machine",
            format!("materialize machine: {what} came in {:?}, {:?}", self.head, self.tail),
        )
    }

    fn unexpected_in(&mut self, head: Head, what: &str) -> Error {
        self.head = head;
        self.unexpected(what)
    }
}

fn adopts(checkpoint: &Checkpoint) -> TaskChanges {
    let written = store::Checkpoint { transaction: checkpoint.transaction, bytes: checkpoint.encode() };
    TaskChanges { checkpoint: Some(written), ..TaskChanges::default() }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
