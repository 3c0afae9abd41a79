//! What a reader gets from a journal.

use bytes::Bytes;

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
    /// Documents; the first has offset `first_offset`, the others follow without gaps.
    Documents {
        /// Whose.
        local: LocalId,
        /// Offset of the first.
        first_offset: u64,
        /// At least one.
        documents: Documents,
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
    /// The transaction ends here; all its entries have been seen.
    Commit(Committed),
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

/// Documents as they were written: JSON objects in one arena. Checked against the frame's CRC and cut when read, so there is nothing left to
/// go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    pub(super) arena: Bytes,
    pub(super) ends: Vec<u32>,
}

impl Documents {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never, when read from a journal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them, one after the other, without anything between.
    #[must_use]
    pub fn arena(&self) -> &Bytes {
        &self.arena
    }

    /// Where each ends in the arena.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let document = &self.arena[start..*end as usize];
            start = *end as usize;
            document
        })
    }
}
