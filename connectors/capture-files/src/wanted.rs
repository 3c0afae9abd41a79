//! The columns that a user wants of a resource: all of them, or some, and those of the key in any case.

use std::collections::BTreeSet;

use longshore_sdk::{Error, Result};

use crate::binding::key_columns;
use crate::config::Resource;

/// Which columns become fields of documents.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted(Option<BTreeSet<String>>);

impl Wanted {
    /// As the resource says; `key` is the collection's.
    pub(crate) fn of(resource: &Resource, key: &[String]) -> Wanted {
        let named = resource.columns.as_ref();
        Wanted(named.map(|named| named.iter().cloned().chain(key_columns(key)).collect()))
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(column))
    }

    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }
}

/// What a schema cannot say of `columns`.
pub(crate) fn check(resource: &Resource) -> Result<()> {
    let Some(columns) = &resource.columns else { return Ok(()) };
    if let Some(at) = columns.iter().position(|name| name == "_meta") {
        let message = "capture-files reads a resource: `columns` names _meta, which is no column";
        return Err(Error::config("files.columns.meta", message)
            .at_pointer(format!("/columns/{at}"))
            .suggest("remove it: where a document comes from is told where the collection's key needs it"));
    }
    Ok(())
}
