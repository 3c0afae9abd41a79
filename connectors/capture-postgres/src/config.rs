//! What a user may write.

use std::path::PathBuf;

use longshore_postgres::Endpoint;
use longshore_sdk::{Error, Result, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// Captures tables of a PostgreSQL database and their changes.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_debug_implementations, reason = "it holds a password")]
pub struct Config {
    /// `postgres://USER@HOST:PORT/DATABASE`; a directory that holds a Unix socket is written `%2Frun%2Fpostgresql` as host. Behind `?` stand
    /// `sslmode`, `connect_timeout` (seconds) and `application_name`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret<String>>,
    /// PEM file with the authorities that may have signed the server's certificate, relative to the catalog. With it, `sslmode` is
    /// `verify-full` where nothing else is said.
    #[serde(default)]
    pub sslrootcert: Option<PathBuf>,
    /// Name of the replication slot. Without it: `longshore_` and the task's name.
    #[serde(default)]
    #[schemars(with = "String")]
    pub slot: Option<String>,
    /// Name of the publication. Without it: `longshore_` and the task's name.
    #[serde(default)]
    #[schemars(with = "String")]
    pub publication: Option<String>,
    /// What to do when somebody empties a table with TRUNCATE.
    #[serde(default)]
    pub truncate: Truncate,
}

/// What to do when somebody empties a table with TRUNCATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truncate {
    /// What was captured of it is emptied too, where it is stored in a destination that can.
    #[default]
    Propagate,
    /// The task stops and says so.
    Stop,
    /// The rows stay where they were captured to.
    Ignore,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Schema of the table.
    #[serde(default = "public")]
    #[schemars(length(min = 1))]
    pub schema: String,
    /// Name of the table, as it is written in the catalog of the database.
    #[schemars(length(min = 1))]
    pub table: String,
    /// Whether the rows that are there come first; without them, only changes from now on.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub snapshot: bool,
    /// Condition in SQL: of the rows that are there, only those for which it is true come. Changes come of all rows.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub condition: Option<String>,
}

impl Resource {
    /// A table, all of it.
    pub(crate) fn whole(schema: String, table: String) -> Resource {
        Resource { schema, table, snapshot: true, condition: None }
    }

    /// There may be rows that were never captured, and of which a change comes.
    pub(crate) fn leaves_rows(&self) -> bool {
        !self.snapshot || self.condition.is_some()
    }
}

fn public() -> String {
    "public".to_owned()
}

fn yes() -> bool {
    true
}

/// A config that was found sound.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) truncate: Truncate,
}

impl Settings {
    /// Checks what a schema cannot.
    pub(crate) fn new(config: &Config, task: &str) -> Result<Settings> {
        let endpoint = Endpoint {
            url: config.url.clone(),
            password: config.password.clone(),
            sslrootcert: config.sslrootcert.clone(),
        };
        endpoint.check()?;
        // The list of publications that a stream is opened with splits at commas and knows no quotes, so both have the slot's letters.
        for (pointer, name) in [("/slot", &config.slot), ("/publication", &config.publication)] {
            if let Some(got) = name.as_deref().and_then(names::fault_in_slot) {
                let message = format!(
                    "capture-postgres reads its config: expected a name of at most 63 bytes, a-z, 0-9 and _, got {got}"
                );
                return Err(Error::config("postgres.name", message)
                    .at_pointer(pointer)
                    .suggest("choose another name, or leave it out"));
            }
        }
        let own = names::of_task(task);
        Ok(Settings {
            endpoint,
            slot: config.slot.clone().unwrap_or_else(|| own.clone()),
            publication: config.publication.clone().unwrap_or(own),
            truncate: config.truncate,
        })
    }
}
