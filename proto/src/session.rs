//! What both protocols share once parsed: who calls, the bindings of a session, findings, progress.

use bytes::Bytes;

use crate::name::StateKey;
use crate::selection::Selection;

mod wire;

pub use crate::name::InstallationId;
pub use crate::parse::Side;
pub(crate) use wire::{Selects, bindings_to_wire, bindings_unique, findings, progress, proposed};

/// On whose behalf a call is made, and which attempt it is. The key range of version 1 is always the full one and is checked when parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Name of the task in the catalog.
    pub task: String,
    /// Random id of the runtime's state directory.
    pub installation: InstallationId,
    /// This session's own number; only grows. At least 1, except in read-only calls, where 0 means "no session".
    pub epoch: u64,
}

/// A collection as a binding sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Such as `nyc/flights`.
    pub name: String,
    /// JSON pointers of the key, in order; at least one.
    pub key: Vec<String>,
    /// JSON Schema 2020-12, as valid JSON; empty only with version 0.
    pub schema_json: Bytes,
    /// Versions only widen; 0: not known yet.
    pub schema_version: u64,
}

/// A binding before its resource path is known, as Discover-less calls and Validate see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedBinding {
    /// The resource as the user wrote it, as valid JSON.
    pub resource_json: Bytes,
    /// The collection it is joined to.
    pub collection: Collection,
    /// Materializations only; false for captures.
    pub delta_updates: bool,
    /// Materializations only; nothing for captures.
    pub selection: Selection,
}

/// A binding with its durable name, as Apply and Open see it. Its index in the session is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The durable name.
    pub state_key: StateKey,
    /// The resource path as Validated told it.
    pub resource_path: Vec<String>,
    /// The resource as the user wrote it, as valid JSON.
    pub resource_json: Bytes,
    /// The collection it is joined to.
    pub collection: Collection,
    /// Materializations only; false for captures.
    pub delta_updates: bool,
    /// Materializations only; nothing for captures.
    pub selection: Selection,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The task cannot run.
    Error,
    /// It can, but the user should know.
    Warning,
}

/// One thing that is wrong, or worth knowing, about what the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Short and stable, such as `files.path.missing`.
    pub code: String,
    /// Index of the binding; none: the task's config.
    pub binding: Option<usize>,
    /// JSON pointer into the config or, with a binding, into its resource.
    pub pointer: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it.
    pub suggestion: String,
}

/// Rows and bytes done, for people and as a sign of life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// By binding.
    pub parts: Vec<ProgressPart>,
    /// What is being done now; may be empty.
    pub doing: String,
    /// Captures: how far what is durable is behind the source, if that is known.
    pub lag: Option<Lag>,
}

/// How far the last checkpoint that the runtime acknowledged is behind the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Of the source's log that are not covered.
    pub bytes: u64,
    /// All that was in the source so many milliseconds ago is covered.
    pub ms: u64,
}

/// What [`Progress`] says of one binding. Totals of 0 are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ProgressPart {
    pub binding: usize,
    pub rows: u64,
    pub bytes: u64,
    pub total_rows: u64,
    pub total_bytes: u64,
}

/// What a destination remembers of the task that writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Whose state directory wrote it last.
    pub installation: InstallationId,
    /// Highest epoch it has seen.
    pub epoch: u64,
    /// Number of the last transaction that is in the destination; 0: none.
    pub transaction: u64,
    /// The runtime's checkpoint of that transaction; empty: none.
    pub checkpoint: Bytes,
}

/// When the connector would like transactions to close; `None` is no wish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClosePolicy {
    /// Bytes of documents.
    pub least_bytes: Option<u64>,
    /// Milliseconds since the transaction's first document.
    pub greatest_age_ms: Option<u64>,
    /// As soon as there is nothing more to read: for destinations where a small transaction costs little.
    pub when_idle: bool,
}
