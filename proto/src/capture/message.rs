//! What is said in the capture protocol, parsed. `TryFrom` the wire form is the only way in; `From` these types is the way out.

use bytes::Bytes;

use crate::batch::Batch;
use crate::session::{Binding, Finding, Owner, Progress, ProposedBinding};
use crate::state::{State, StatePatch};

/// Answer to Spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Such as `capture-files`.
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
    /// It tells its source to forget what is acknowledged.
    pub explicit_acknowledgements: bool,
    /// How much of a change the source tells.
    pub change_tracking: ChangeTracking,
    /// How it finds changes.
    pub mechanism: Mechanism,
    /// It has no present end, so it never catches up.
    pub endless: bool,
    /// It answers Verify.
    pub verifies: bool,
}

/// How much of a change the source tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChangeTracking {
    Full,
    KeyOnly,
    AppendOnly,
}

/// How a capture finds changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Mechanism {
    Log,
    Trigger,
    Cursor,
    FullRefresh,
}

/// Asks what could be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discover {
    /// The task's config, as valid JSON.
    pub config_json: Bytes,
    /// Given: describe exactly these, in this order. Empty: list what there is.
    pub resources_json: Vec<Bytes>,
}

/// One thing that could be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// A name for the collection, without the user's prefix.
    pub recommended_collection: String,
    /// The resource that captures it.
    pub resource_json: Bytes,
    /// JSON Schema of its documents.
    pub schema_json: Bytes,
    /// JSON pointers of its key.
    pub key: Vec<String>,
    /// The key is only what is always there, not a key of the data.
    pub key_is_fallback: bool,
    /// How much of a change the source tells.
    pub change_tracking: ChangeTracking,
    /// Should start disabled.
    pub disabled: bool,
    /// For people; may be empty.
    pub note: String,
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
    /// Resource path of each binding asked, in order.
    pub resource_paths: Vec<Vec<String>>,
    /// What is wrong or worth knowing.
    pub findings: Vec<Finding>,
}

/// Prepares the source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Apply {
    pub owner: Owner,
    pub config_json: Bytes,
    pub bindings: Vec<Binding>,
    /// As last applied.
    pub previous: Vec<Binding>,
    pub state: State,
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
    /// The last durable state, which acknowledges all it covers.
    pub state: State,
}

/// What the runtime says in Pull.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ToConnector {
    Open(Box<Open>),
    /// So many further checkpoints are durable; at least 1.
    Acknowledge {
        checkpoints: u32,
    },
    Stop,
}

/// What the connector says in Pull.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ToRuntime {
    Opened,
    Captured(Batch),
    /// The same with one document over the limit (rule X-4), alone in its message: what becomes of it is the user's to say.
    TooLarge {
        binding: usize,
        document: Bytes,
    },
    SourcedSchema {
        binding: usize,
        schema_json: Bytes,
    },
    BackfillBegin {
        binding: usize,
    },
    BackfillComplete {
        binding: usize,
    },
    Truncated {
        binding: usize,
    },
    Checkpoint(Checkpoint),
    Progress(Progress),
}

/// All since the last Checkpoint commits with it or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// What changed in the connector's state.
    pub state_patch: StatePatch,
    /// All that existed at the source at Open is covered.
    pub caught_up: bool,
    /// A resume point inside a transaction of the source.
    pub partial: bool,
}
