//! A connector's state and its patches (RFC 7396): a task part and a part by state key, patched separately.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::name::StateKey;

/// A connector's whole state. Parts are canonical JSON objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) task: Option<Bytes>,
    pub(crate) parts: BTreeMap<StateKey, Bytes>,
}

/// What changes in a [`State`]: merge patches. A patch cannot store null; a part patched with `null` is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatePatch {
    pub(crate) task: Option<Bytes>,
    pub(crate) parts: BTreeMap<StateKey, Bytes>,
}
