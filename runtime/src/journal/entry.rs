//! What a reader gets from a journal.

use bytes::Bytes;

use longshore_proto::batch::Batch;
use longshore_proto::name::StateKey;

use super::{BindingRow, Committed, LocalId};

/// One step of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Bindings that are new with this transaction.
    Bindings(Vec<BindingRow>),
    /// A wider schema, for what follows.
    Schema {
        /// Whose.
        local: LocalId,
        /// Its own offset.
        offset: u64,
        /// Above the last one.
        version: u64,
        /// As valid JSON.
        schema_json: Bytes,
    },
    /// Documents; the first has offset `first_offset`, the others follow without gaps. The batch's own binding index says nothing.
    Documents {
        /// Whose.
        local: LocalId,
        /// Offset of the first.
        first_offset: u64,
        /// At least one.
        documents: Batch,
    },
    /// A mark among the documents.
    Control {
        /// Whose.
        local: LocalId,
        /// Its own offset.
        offset: u64,
        /// What it says.
        control: Control,
    },
    /// A document that was not admitted.
    Letter {
        /// Whose.
        local: LocalId,
        /// Its own offset.
        offset: u64,
        /// What it is, and why.
        letter: Letter,
    },
    /// Letters that do not wait any more. Each stands before this in the journal.
    Settled {
        /// Whose.
        local: LocalId,
        /// Its own offset.
        offset: u64,
        /// What became of them.
        mark: Mark,
        /// Their offsets.
        letters: Vec<u64>,
    },
    /// A document that a destination refused before: for one binding of one materialization, and for nobody else.
    Resent {
        /// Whose it was when it was captured.
        local: LocalId,
        /// Its own offset.
        offset: u64,
        /// What it is, and for whom.
        resent: Resent,
    },
    /// The transaction ends here; all its entries have been seen.
    Commit(Committed),
}

/// A dead letter of a materialization, sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resent {
    /// The materialization.
    pub task: String,
    /// Its binding.
    pub binding: StateKey,
    /// Where the letter stood: an offset of this journal.
    pub letter: u64,
    /// As it was captured.
    pub document: Bytes,
}

/// A document that was not admitted: a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The code of the rule it broke, such as `document.schema`.
    pub code: String,
    /// What is wrong with it, for people.
    pub message: String,
    /// As it came, byte for byte; it need not be JSON.
    pub document: Bytes,
}

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Its document stands among the others, in the transaction of this mark.
    Replayed,
    /// Nobody wants it any more. Its bytes stay.
    Dropped,
}

impl Mark {
    /// As people see it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }
}

/// A mark of the source among its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A full refresh of the binding starts.
    BackfillBegin,
    /// It has ended.
    BackfillComplete,
    /// The source emptied the binding.
    Truncated,
}
