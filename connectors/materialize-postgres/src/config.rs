//! What the user may set.

use std::path::PathBuf;

use longshore_postgres::Endpoint;
use longshore_sdk::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// A database of a PostgreSQL server. The same fields as [`Endpoint`], which cannot be flattened into what refuses unknown ones.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "A database of a PostgreSQL server.")]
pub(crate) struct Config {
    /// `postgres://USER@HOST:PORT/DATABASE`; a directory that holds a Unix socket is written `%2Frun%2Fpostgresql` as host. Behind `?` stand
    /// `sslmode`, `connect_timeout` (seconds) and `application_name`.
    #[schemars(length(min = 1))]
    url: String,
    /// The user's password.
    #[serde(default)]
    password: Option<Secret<String>>,
    /// PEM file with the authorities that may have signed the server's certificate, relative to the catalog. Without it, those of the
    /// operating system. With it, `sslmode` is `verify-full` where nothing else is said.
    #[serde(default)]
    sslrootcert: Option<PathBuf>,
}

impl Config {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.url.clone(), password: self.password.clone(), sslrootcert: self.sslrootcert.clone() }
    }
}

/// A table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// Its schema. Made if it is not there.
    #[serde(default = "public")]
    #[schemars(length(min = 1))]
    pub(crate) schema: String,
    /// Name of the table. Made if it is not there.
    #[schemars(length(min = 1))]
    pub(crate) table: String,
    /// What becomes of rows that are deleted. For standard bindings: to a delta binding a delete is a row.
    #[serde(default)]
    pub(crate) deletes: Deletes,
}

/// What becomes of deleted rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deletes {
    /// They go.
    #[default]
    Hard,
    /// They stay as they were, with `true` in a column `_deleted`. What is stored to their keys later makes new rows of them.
    Soft,
}

fn public() -> String {
    "public".to_owned()
}
