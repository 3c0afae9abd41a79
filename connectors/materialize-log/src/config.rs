//! What the user may set.

use schemars::JsonSchema;
use serde::Deserialize;

/// Shows documents in the log.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// So many documents of each transaction are shown; the others are counted.
    #[serde(default = "documents")]
    #[schemars(range(max = 1000))]
    pub(crate) documents: u32,
    /// So many bytes of each document are shown.
    #[serde(default = "bytes")]
    #[schemars(range(min = 1, max = 8000))]
    pub(crate) bytes: u32,
}

/// A collection to be shown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// What its lines are marked with.
    pub(crate) name: String,
}

fn documents() -> u32 {
    100
}

fn bytes() -> u32 {
    1000
}
