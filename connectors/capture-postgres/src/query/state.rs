//! What is remembered of a binding with a cursor. One without needs nothing: each session reads all of it.

use serde::{Deserialize, Serialize};

use super::seen::Seen;

/// A binding's part. As a patch it says all of it again, and null is what is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Number of the table: another one under its name is not it.
    pub(super) oid: u32,
    /// Cursor and columns of the key with their types: with others, the values below say nothing.
    pub(super) order: Vec<String>,
    /// The mark of the last walk that is through; none: none is.
    #[serde(default)]
    pub(super) mark: Option<String>,
    /// The walk that is under way.
    #[serde(default)]
    pub(super) walk: Option<Walk>,
    /// Rows that the last walk read, and the next one reads again.
    #[serde(default)]
    pub(super) seen: Seen,
    /// What the next walk reads again, as row versions, when the last one began: as long as it is the same, there is nothing to read.
    #[serde(default)]
    pub(super) digest: Option<String>,
    /// Rows that were emitted.
    pub(super) rows: u64,
}

/// A walk from the mark of the last one on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// Noted before anything was read.
    pub(super) mark: String,
    /// The greatest value there was then: the walk ends with it.
    pub(super) top: String,
    /// Cursor and key of the last row that was read.
    #[serde(default)]
    pub(super) after: Option<Vec<String>>,
    /// Of the rows it has read, those that the next walk reads again.
    #[serde(default)]
    pub(super) seen: Seen,
    /// Of the rows that the next walk reads again; of a view it is not known.
    #[serde(default)]
    pub(super) digest: Option<String>,
}

impl Part {
    pub(super) fn beginning(oid: u32, order: Vec<String>) -> Part {
        Part { oid, order, mark: None, walk: None, seen: Seen::default(), digest: None, rows: 0 }
    }
}
