//! What the user may set.

use std::path::PathBuf;

use longshore_sdk::time::Time;
use schemars::JsonSchema;
use serde::Deserialize;

/// Keeps nothing but a checkpoint.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// File of the checkpoint, relative to the catalog.
    pub(crate) path: PathBuf,
    /// How long storing takes, such as `5ms`.
    #[serde(default)]
    pub(crate) delay: Time,
    /// What `delay` is for.
    #[serde(default)]
    pub(crate) delay_per: DelayPer,
    /// Fail after so many documents in a session, as a destination that goes away does.
    #[serde(default)]
    pub(crate) fail_after: Option<u64>,
    /// What is promised. Must be what the connector was started with (`--guarantee=…`); transactional by default.
    #[serde(default)]
    pub(crate) guarantee: Option<Promise>,
}

/// One stream of documents that are counted and forgotten.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// Any name.
    #[allow(dead_code, reason = "read by the SDK, as the resource path")]
    pub(crate) name: String,
}

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Promise {
    /// The file decides where to resume.
    Transactional,
    /// The runtime's log decides; the plan is a count.
    Idempotent,
    /// The runtime's log decides; nothing is kept here.
    AtLeastOnce,
}

impl Promise {
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let chosen = arguments.find_map(|argument| argument.strip_prefix("--guarantee=").map(str::to_owned));
        match chosen.as_deref() {
            Some("idempotent") => Promise::Idempotent,
            Some("at-least-once") => Promise::AtLeastOnce,
            // Anything else is a mistake that Validate finds: `guarantee` in the config then differs.
            Some(_) | None => Promise::Transactional,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Promise::Transactional => "transactional",
            Promise::Idempotent => "idempotent",
            Promise::AtLeastOnce => "at-least-once",
        }
    }
}

/// What a delay is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DelayPer {
    /// Each batch of documents.
    #[default]
    Batch,
    /// Each document.
    Document,
}
