//! What a capture says of itself, and what it finds.

use longshore_proto::capture::message::{self, ChangeTracking, Mechanism};
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::schema;

/// What a capture is. The schemas of config and resource come from their types.
#[derive(Debug, Clone)]
#[must_use]
pub struct CaptureSpec {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) resource_path_pointers: Vec<String>,
    pub(crate) documentation_url: String,
    pub(crate) explicit_acknowledgements: bool,
    pub(crate) change_tracking: ChangeTracking,
    pub(crate) mechanism: Mechanism,
    pub(crate) endless: bool,
    pub(crate) verifies: bool,
}

impl CaptureSpec {
    /// Name (such as `capture-files`) and version of the connector. Without more words it only ever adds documents, by a cursor.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            resource_path_pointers: Vec::new(),
            documentation_url: String::new(),
            explicit_acknowledgements: false,
            change_tracking: ChangeTracking::AppendOnly,
            mechanism: Mechanism::Cursor,
            endless: false,
            verifies: false,
        }
    }

    /// JSON pointers into a resource whose values stay the same when a binding moves or is edited. Name required fields.
    pub fn resource_path<const N: usize>(mut self, pointers: [&str; N]) -> Self {
        self.resource_path_pointers = pointers.map(str::to_owned).to_vec();
        self
    }

    /// Where to read more.
    pub fn documentation_url(mut self, url: impl Into<String>) -> Self {
        self.documentation_url = url.into();
        self
    }

    /// It tells its source to forget what is acknowledged.
    pub fn explicit_acknowledgements(mut self) -> Self {
        self.explicit_acknowledgements = true;
        self
    }

    /// How much of a change the source tells.
    pub fn change_tracking(mut self, change_tracking: ChangeTracking) -> Self {
        self.change_tracking = change_tracking;
        self
    }

    /// How it finds changes.
    pub fn mechanism(mut self, mechanism: Mechanism) -> Self {
        self.mechanism = mechanism;
        self
    }

    /// Its source has no present end, so it never says that it has caught up.
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// It can read all that is in the source of a binding now ([`Capture::verify`](super::Capture::verify)).
    pub fn verifies(mut self) -> Self {
        self.verifies = true;
        self
    }

    pub(crate) fn to_message<C: JsonSchema, R: JsonSchema>(&self) -> message::Spec {
        message::Spec {
            name: self.name.clone(),
            version: self.version.clone(),
            config_schema_json: schema::json::<C>(),
            resource_schema_json: schema::json::<R>(),
            resource_path_pointers: self.resource_path_pointers.clone(),
            documentation_url: self.documentation_url.clone(),
            explicit_acknowledgements: self.explicit_acknowledgements,
            change_tracking: self.change_tracking,
            mechanism: self.mechanism,
            endless: self.endless,
            verifies: self.verifies,
        }
    }

    /// For people and snapshots.
    pub(crate) fn to_json<C: JsonSchema, R: JsonSchema>(&self) -> Value {
        json!({
            "name": self.name,
            "version": self.version,
            "protocol_versions": [1],
            "config_schema": schema::of::<C>(),
            "resource_schema": schema::of::<R>(),
            "resource_path_pointers": self.resource_path_pointers,
            "documentation_url": self.documentation_url,
            "explicit_acknowledgements": self.explicit_acknowledgements,
            "change_tracking": match self.change_tracking {
                ChangeTracking::Full => "full",
                ChangeTracking::KeyOnly => "key_only",
                ChangeTracking::AppendOnly => "append_only",
            },
            "mechanism": match self.mechanism {
                Mechanism::Log => "log",
                Mechanism::Trigger => "trigger",
                Mechanism::Cursor => "cursor",
                Mechanism::FullRefresh => "full_refresh",
            },
            "endless": self.endless,
        })
    }
}

/// One thing that could be captured.
#[derive(Debug, Clone)]
#[must_use]
pub struct Discovered {
    collection: String,
    resource: Value,
    schema: Value,
    key: Vec<String>,
    key_is_fallback: bool,
    change_tracking: Option<ChangeTracking>,
    disabled: bool,
    note: String,
}

impl Discovered {
    /// A name for the collection (without the user's prefix), the resource that captures it and the JSON Schema of its documents.
    pub fn new(collection: impl Into<String>, resource: Value, schema: Value) -> Self {
        Self {
            collection: collection.into(),
            resource,
            schema,
            key: Vec::new(),
            key_is_fallback: false,
            change_tracking: None,
            disabled: false,
            note: String::new(),
        }
    }

    /// JSON pointers of the data's key.
    pub fn key<I: IntoIterator<Item: Into<String>>>(mut self, pointers: I) -> Self {
        self.key = pointers.into_iter().map(Into::into).collect();
        self
    }

    /// JSON pointers of what is always there (file and record number, say), for want of a key of the data.
    pub fn fallback_key<I: IntoIterator<Item: Into<String>>>(mut self, pointers: I) -> Self {
        self.key_is_fallback = true;
        self.key(pointers)
    }

    /// How much of a change the source tells of this one, where it differs from the spec.
    pub fn change_tracking(mut self, change_tracking: ChangeTracking) -> Self {
        self.change_tracking = Some(change_tracking);
        self
    }

    /// Should start disabled.
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }

    /// For people: how many rows or files, what was looked at.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(crate) fn into_message(self, spec: &CaptureSpec) -> message::Discovered {
        message::Discovered {
            recommended_collection: self.collection,
            resource_json: self.resource.to_string().into(),
            schema_json: self.schema.to_string().into(),
            key: self.key,
            key_is_fallback: self.key_is_fallback,
            change_tracking: self.change_tracking.unwrap_or(spec.change_tracking),
            disabled: self.disabled,
            note: self.note,
        }
    }
}
