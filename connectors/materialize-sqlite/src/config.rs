//! What the user may set.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// A SQLite database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// File of the database, relative to the catalog. Made if it is not there; its directory must be.
    #[schemars(length(min = 1))]
    pub(crate) path: PathBuf,
}

/// A table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// Name of the table. Made if it is not there.
    #[schemars(length(min = 1))]
    pub(crate) table: String,
}
