//! The journal: the durable log of one capture task, its documents and checkpoints in commit order.
//!
//! [`Journal`], [`Writer`] and [`Reader`] are what the tasks see; all calls block, so a task calls them from a thread of its own. What is
//! durable is said by a type: only this module makes a [`Durable`], and an acknowledgement needs one. The task store ([`crate::store`])
//! hands out epochs and remembers durable lengths; the journal never reads it.
//!
//! Offsets are dense numbers of our own: each document, and each schema, control or dead letter entry, takes one. A [`Position`] is where a reader may
//! stop and go on: an offset where a transaction ended, and the chain CRC of all before it, which tells this journal's history from a copy
//! that went its own way.

mod acquire;
mod binding;
mod body;
mod chain;
mod entry;
mod error;
mod file;
mod frame;
mod inspect;
mod position;
mod reader;
mod recent;
mod replica;
mod segment;
pub mod storage;
mod survey;
mod track;
mod trim;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;

use crate::store::Epoch;
use longshore_proto::batch::Batch;
use longshore_proto::state::{State, StatePatch};

pub use binding::{BindingRow, BindingTable, Filter, LocalId, NewBinding, SchemaVersion, Schemas};
pub use entry::{Control, Entry, Letter, Mark, Resent};
pub use error::JournalError;
pub(crate) use error::is_full;
pub use file::{FileJournal, FileJournalOptions, SEGMENT_BYTES, TRANSACTION_MAX_BYTES, journal_dir};
pub use inspect::{Checked, Inspection, SegmentReport, TornTail, journal_names};
pub(crate) use position::hex;
pub use position::{Committed, CommittedEnd, Durable, DurableLength, Evidence, JournalId, Position, SegmentName};
pub use trim::{Trim, Trimmed};

/// The log of one capture task. One process at a time writes it (the one with the highest epoch); readers of the same process follow it.
///
/// A process acquires a journal once before it reads it: only that tells which commits are durable. A run that has no capture for the
/// journal acquires it and drops the writer.
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Raises the fence to `epoch`, which must never have been used before, finds the last durable commit, and gives the right to append
    /// after it. Every writer of a lower epoch is fenced from then on.
    fn acquire(&self, epoch: Epoch) -> Result<Box<dyn Writer>, JournalError>;

    /// A reader that stands at the beginning. It may be made before the first acquire, and then has nothing to read yet.
    fn reader(&self, filter: Filter) -> Box<dyn Reader>;

    /// The journal's random id; `None` until it was acquired for the first time.
    fn id(&self) -> Option<JournalId>;

    /// The end of what readers may see, and its changes: wakes whoever waits for more. `None` until the journal was acquired.
    fn committed(&self) -> watch::Receiver<Option<CommittedEnd>>;

    /// Bindings and newest schemas as of the committed end.
    fn known(&self) -> Arc<Known>;

    /// A position at or before this offset from which a reader may go on, as near as is known without reading.
    fn start_before(&self, offset: u64) -> Position;

    /// The first offset that is there: 0, or where it was trimmed to.
    fn begins_at(&self) -> u64;

    /// Whether all documents of a collection are there, as far as they were not captured again under a newer generation.
    fn holds_all_of(&self, collection: &str) -> Result<bool, JournalError>;

    /// What can go when everything before this offset was passed by all that need it. Make it durable in the task store, with the committed
    /// end's witness, before [`Journal::trim`].
    fn trimmable(&self, low_water: u64) -> Option<Trim>;

    /// Unlinks what stands before.
    fn trim(&self, trim: &Trim) -> Result<Trimmed, JournalError>;
}

/// What a journal knows of its bindings at its committed end.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Every binding that ever was.
    pub bindings: BindingTable,
    /// The newest schema of each that has one.
    pub schemas: Schemas,
}

/// The right to append. After an error it is of no more use: drop it, acquire again with a new epoch, and compare transaction numbers.
pub trait Writer: Send + std::fmt::Debug {
    /// The epoch it was acquired with.
    fn epoch(&self) -> Epoch;

    /// The journal it writes.
    fn journal(&self) -> JournalId;

    /// The offset the next document gets.
    fn next_offset(&self) -> u64;

    /// The last durable commit.
    fn last_committed(&self) -> &CommittedEnd;

    /// Bytes the open transaction has put into the journal so far; 0: none is open.
    fn open_bytes(&self) -> u64;

    /// The connector's state as of the last commit.
    fn state(&self) -> &State;

    /// The bindings, those of the open transaction included.
    fn bindings(&self) -> &BindingTable;

    /// The newest schema of each binding, those of the open transaction included.
    fn schemas(&self) -> &Schemas;

    /// The local id of a binding; one that is new gets its row with this transaction. The same state key with another collection or key is
    /// refused: that is a new generation.
    fn bind(&mut self, binding: &NewBinding) -> Result<LocalId, JournalError>;

    /// A wider schema of a binding, which counts for what follows it. Takes an offset. `version` is above the last one.
    fn schema(&mut self, local: LocalId, version: u64, schema_json: &[u8]) -> Result<(), JournalError>;

    /// A mark among the documents. Takes an offset.
    fn control(&mut self, local: LocalId, control: Control) -> Result<(), JournalError>;

    /// Documents of a binding. Whatever index the batch carries is not looked at. Nothing is durable before `commit`.
    fn documents(&mut self, local: LocalId, batch: &Batch) -> Result<(), JournalError>;

    /// A document of a binding that was not admitted. Takes an offset.
    fn letter(&mut self, local: LocalId, letter: &Letter) -> Result<(), JournalError>;

    /// These letters of a binding do not wait any more. Takes an offset, or several if they are very many.
    fn settle(&mut self, local: LocalId, mark: Mark, letters: &[u64]) -> Result<(), JournalError>;

    /// A document that a materialization's destination refused, for it again. Takes an offset.
    fn resend(&mut self, local: LocalId, resent: &Resent) -> Result<(), JournalError>;

    /// Makes all since the last commit durable together with the state patch; also if there is nothing but the patch, or not even that.
    fn commit(&mut self, patch: &StatePatch) -> Result<Durable<Committed>, JournalError>;

    /// Drops all since the last commit.
    fn abandon(&mut self);
}

/// Reads committed transactions in order, entry by entry, never a whole transaction in memory. What was abandoned or fenced off is never
/// seen, and nothing past the last commit that is known durable.
pub trait Reader: Send + std::fmt::Debug {
    /// Goes to where a transaction ended. A position this journal never had is a typed error.
    fn seek(&mut self, position: Position) -> Result<(), JournalError>;

    /// The next entry; `None` at the committed end (wait on [`Journal::committed`], then ask again). Each transaction ends with its
    /// [`Entry::Commit`].
    fn next(&mut self) -> Result<Option<Entry>, JournalError>;

    /// The end of the last transaction it has passed.
    fn position(&self) -> Position;

    /// The bindings as of what it has read.
    fn bindings(&self) -> &BindingTable;

    /// Reads what follows, from the next transaction on, with another filter.
    fn set_filter(&mut self, filter: Filter);
}
