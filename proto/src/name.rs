//! Names that last: of tasks, collections and bindings.

/// Durable name of a binding: percent-encoded resource path + `.v` + generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(pub(crate) String);
