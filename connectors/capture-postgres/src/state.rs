//! What is remembered: how far the log is covered, and of each table how far its walk came.

use longshore_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;

/// The task's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskState {
    /// Number that the server got when its data directory was made.
    pub(crate) system: String,
    pub(crate) timeline: u32,
    pub(crate) slot: String,
    /// All transactions that end here or before are covered.
    pub(crate) position: Lsn,
    /// A part of the next one is, too.
    #[serde(default)]
    pub(crate) within: Option<Within>,
}

/// A place inside a transaction. The server sends a transaction the same way each time, so rows can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Within {
    /// Which one.
    pub(crate) commit: Lsn,
    /// So many of its rows are covered.
    pub(crate) rows: u64,
}

/// A binding's part. As a patch it says all of it again, and null is what is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Number of the table: another one under its name is not it.
    pub(crate) oid: u32,
    /// Columns of the walk's key with their types: with others, `after` says nothing.
    pub(crate) key: Vec<String>,
    /// Key of the last row that the walk took; none: it is at its beginning, or through.
    #[serde(default)]
    pub(crate) after: Option<Vec<String>>,
    pub(crate) walked: bool,
    /// Rows the walk took.
    pub(crate) rows: u64,
}

impl Part {
    /// Of a table whose rows come first, or are left out.
    pub(crate) fn beginning(oid: u32, comes_first: bool) -> Part {
        Part { oid, key: Vec::new(), after: None, walked: !comes_first, rows: 0 }
    }
}

/// Reads what a session wrote.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let message = format!("capture-postgres reads its state: expected what it wrote, got another shape: {error}");
        Error::config("postgres.state", message).suggest("use the version of the connector that wrote it")
    })
}
