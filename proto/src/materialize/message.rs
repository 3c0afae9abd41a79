//! What is said in the materialize protocol, parsed. `TryFrom` the wire form is the only way in; `From` these types is the way out.

use bytes::Bytes;

use crate::batch::{Batch, Keys};
use crate::name::StateKey;
use crate::session::{Binding, ClosePolicy, Finding, Owner, Progress, ProposedBinding, Recorded};
use crate::state::{State, StatePatch};

/// Answer to Spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Such as `materialize-sqlite`.
    pub name: String,
    /// Version of the connector.
    pub version: String,
    /// JSON Schema of the config, as valid JSON.
    pub config_schema_json: Bytes,
    /// JSON Schema of a resource, as valid JSON.
    pub resource_schema_json: Bytes,
    /// JSON pointers into a resource whose values make the resource path.
    pub resource_path_pointers: Vec<String>,
    /// Where to read more; may be empty.
    pub documentation_url: String,
    /// What it promises, and so who decides where to resume.
    pub guarantee: Guarantee,
    /// It takes deletes in standard bindings.
    pub deletes: bool,
    /// Field names it keeps for itself.
    pub reserved_field_names: Vec<String>,
    /// Greatest length of a name, in bytes; `None`: no limit.
    pub identifier_max_bytes: Option<u32>,
    /// Names that differ only in case are the same.
    pub identifier_case_insensitive: bool,
    /// Characters that may not stand in a name.
    pub identifier_forbidden_characters: String,
    /// Its delta bindings keep `_meta` where nobody chose fields.
    pub keeps_meta: bool,
    /// It answers Verify.
    pub verifies: bool,
}

/// What a materialization can promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// The destination holds the checkpoint in the transaction of the rows; it decides.
    Transactional,
    /// The runtime's log decides; the staged plan is applied again.
    Idempotent,
    /// The runtime's log decides; the last transaction may be sent again.
    AtLeastOnce,
}

/// Asks whether what the user wrote will work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Validate {
    pub owner: Owner,
    pub config_json: Bytes,
    pub bindings: Vec<ProposedBinding>,
}

/// Answer to [`Validate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// One for each binding asked, in order.
    pub bindings: Vec<ValidatedBinding>,
    /// What is wrong or worth knowing.
    pub findings: Vec<Finding>,
    /// What the destination remembers of this task.
    pub recorded: Option<Recorded>,
}

/// What the destination says of one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedBinding {
    /// What stays the same when the binding moves or is edited.
    pub resource_path: Vec<String>,
    /// What kind of binding it can be.
    pub modes: Modes,
    /// Each Store must say whether the row exists, so every key is loaded.
    pub wants_existence: bool,
    /// What it says of the fields it cares about.
    pub fields: Vec<FieldConstraint>,
    /// What only one task may write; may be empty.
    pub claim: String,
    /// What a Load of whole rows gets back.
    pub loads: Loads,
    /// Why no more; may be empty.
    pub loads_reason: String,
    /// It takes documents that say only a part of a row.
    pub partial_updates: bool,
    /// It takes [`ToConnector::Truncate`].
    pub truncates: bool,
    /// It takes [`ToConnector::Backfill`].
    pub backfills: bool,
}

/// What a destination gives back of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loads {
    /// Only whether it exists.
    #[default]
    Nothing,
    /// The fields it stores, each under its pointer, as it was stored; a field that is null there may be left out.
    Fields,
    /// The document as it was stored.
    Document,
}

/// What kinds of binding a resource can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Modes {
    Standard,
    DeltaOnly,
    Both,
}

/// What the destination says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConstraint {
    /// JSON pointer of the field; empty: the resource as a whole.
    pub pointer: String,
    /// What it says.
    pub constraint: Constraint,
    /// Why.
    pub reason: String,
}

/// See the `.proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Constraint {
    Required,
    Recommended,
    Optional,
    Forbidden,
    Incompatible,
}

/// A committed transaction that is not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its number; at least 1.
    pub transaction: u64,
    /// What Committed returned to be applied; may be empty.
    pub plan: Bytes,
}

/// Makes the destination fit the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Apply {
    pub owner: Owner,
    pub config_json: Bytes,
    pub bindings: Vec<Binding>,
    /// As last applied.
    pub previous: Vec<Binding>,
    pub state: State,
    /// Drained before anything is altered.
    pub pending: Option<Pending>,
    /// Bindings whose resources are dropped and made again.
    pub fresh: Vec<StateKey>,
    /// This installation now owns the destination; rows stay.
    pub take_over: bool,
    pub dry_run: bool,
    /// With no bindings: clean up what was made.
    pub remove: bool,
}

/// Answer to [`Apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// What was done, for people, in order.
    pub actions: Vec<String>,
    /// Durable before the task is applied again or opened.
    pub state_patch: StatePatch,
    /// The pending plan is applied and nothing else was done: call again to alter.
    pub drained: bool,
}

/// Opens a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Whose session this is.
    pub owner: Owner,
    /// The task's config, as valid JSON.
    pub config_json: Bytes,
    /// The bindings; their places are the indexes of this session.
    pub bindings: Vec<Binding>,
    /// The last durable state.
    pub state: State,
    /// Number of the last transaction committed with the runtime; 0: none.
    pub transaction: u64,
    /// Its plan, if it is not acknowledged.
    pub plan: Bytes,
}

/// What the runtime says in Transact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ToConnector {
    Open(Box<Open>),
    /// The commit of this transaction is durable with the runtime; 0: there is none yet.
    Acknowledge {
        transaction: u64,
    },
    Load(Load),
    Flush {
        transaction: u64,
    },
    Truncate {
        binding: usize,
    },
    Backfill(Backfill),
    Store(Store),
    Commit {
        transaction: u64,
        checkpoint: Bytes,
    },
}

/// Keys whose rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Load {
    pub binding: usize,
    pub keys: Keys,
    /// Only whether they exist is wanted.
    pub keys_only: bool,
}

/// Where the source's full refresh of a binding begins or is complete, or both, in the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backfill {
    /// Which one.
    pub binding: usize,
    /// From here on its rows are stored and loaded aside, beginning with none.
    pub begins: bool,
    /// With this transaction they take the place of those that are there.
    pub completes: bool,
}

/// Documents to store, with what is said of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Binding and documents.
    pub documents: Batch,
    /// Standard bindings: the key of each document. Delta bindings: `None`.
    pub keys: Option<Keys>,
    /// What is known of each row; empty: all [`Exists::Unknown`].
    pub exists: Vec<Exists>,
    /// One a document: the row is to be deleted; empty: none.
    pub deletes: Vec<bool>,
    /// One a document: nothing of an old row stays; empty: none.
    pub replaces: Vec<bool>,
    /// One a document: what belongs to a top-level field that it does not have, stays as it is in a row that is there; empty: none.
    pub partial_updates: Vec<bool>,
}

impl Store {
    /// Of which nothing more is said.
    #[must_use]
    pub fn plain(documents: Batch, keys: Option<Keys>) -> Self {
        let (exists, none) = (Vec::new(), Vec::new);
        Self { documents, keys, exists, deletes: none(), replaces: none(), partial_updates: none() }
    }
}

/// Whether the row is in the destination now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Exists {
    Unknown,
    Absent,
    Present,
}

/// What the connector says in Transact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ToRuntime {
    Opened(Opened),
    Acknowledged { state_patch: StatePatch },
    Loaded(Loaded),
    Flushed { state_patch: StatePatch },
    Committed(Committed),
    Rejected(Rejected),
    Progress(Progress),
}

/// Answer to [`Open`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// What the destination remembers; transactional: as of before this Open raised the fence.
    pub recorded: Option<Recorded>,
    /// When it would like transactions to close.
    pub close_policy: ClosePolicy,
}

/// Rows that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Loaded {
    pub keys: Keys,
    /// One for each key; `{}` where only existence was asked.
    pub documents: Batch,
}

/// Answer to Commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Durable with the runtime's checkpoint; transactional: empty.
    pub state_patch: StatePatch,
    /// Idempotent: what Acknowledge will apply.
    pub plan: Bytes,
}

/// The documents of these keys cannot be stored; then the stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Rejected {
    pub binding: usize,
    pub keys: Keys,
    /// Of the first one.
    pub code: String,
    /// Of all of them, where `reasons` is empty.
    pub reason: String,
    /// One for each key, or none.
    pub reasons: Vec<String>,
}

impl Rejected {
    /// Each key with why.
    pub fn each(&self) -> impl Iterator<Item = (&[u8], &str)> {
        let reason = |i: usize| self.reasons.get(i).unwrap_or(&self.reason).as_str();
        self.keys.keys().enumerate().map(move |(i, key)| (key, reason(i)))
    }
}
