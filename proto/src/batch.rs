//! Batches of documents and keys: one arena, the ends that cut it, checked once when parsed and then walked without another look.

use bytes::Bytes;

/// Documents of one binding, in order. Its parts are private: whoever holds a `Batch` knows that the ends are ascending, that they cover the
/// arena, and that each document is one JSON object within the limits of [`crate::limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub(crate) binding: usize,
    pub(crate) arena: Bytes,
    pub(crate) ends: Vec<u32>,
}

/// Keys, in order: each is one JSON array with a value (null, boolean, number or string) for each pointer of the collection's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    pub(crate) arena: Bytes,
    pub(crate) ends: Vec<u32>,
}
