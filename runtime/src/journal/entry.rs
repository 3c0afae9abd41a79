//! What a reader gets from a journal.

use bytes::Bytes;

use longshore_proto::batch::Batch;

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
