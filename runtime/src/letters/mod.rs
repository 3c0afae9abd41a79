//! Dead letters: documents that were not admitted. They lie in the journal of their capture, in the transaction of the checkpoint that passed
//! them, until somebody replays or drops them; even then their bytes stay.
//!
//! The journal is the only truth about them. [`scan`](mod@scan) reads it; what was read is kept as an index in the task store
//! ([`crate::store::LetterIndex`]), so that nobody reads a whole journal to find three letters. The index may be thrown away. [`settle`]
//! replays and drops. Who may do that when is [`crate::supervise`]'s business.

pub mod refused;
pub mod scan;
pub mod settle;

use crate::journal::{JournalId, Mark, Position};

/// A letter as the index has it: all but its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its offset in the journal: its position.
    pub offset: u64,
    /// The state key of its binding.
    pub binding: String,
    /// The collection it would have gone to.
    pub collection: String,
    /// The code of the rule it broke.
    pub code: String,
    /// What is wrong with it.
    pub message: String,
    /// Bytes of its document.
    pub bytes: u64,
    /// What became of it; `None`: it waits.
    pub mark: Option<Mark>,
}

/// What a piece of a journal says of letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// New ones.
    pub letters: Vec<Listed>,
    /// Offsets of earlier ones, and what became of them.
    pub settled: Vec<(u64, Mark)>,
}

/// How far an index has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadTo {
    /// Which journal.
    pub journal: JournalId,
    /// Where a transaction ended; all before it is in the index.
    pub position: Position,
}
