//! The collections behind a session's bindings: on the wire an error points to a binding by its index, people know collections.

use longshore_proto::Error;
use longshore_proto::session::Binding;

/// By index of the session's bindings.
#[derive(Debug)]
pub(super) struct Collections(Vec<String>);

impl Collections {
    pub(super) fn of(bindings: &[Binding]) -> Self {
        Self(bindings.iter().map(|binding| binding.collection.name.clone()).collect())
    }

    /// How many bindings there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Says which collection an error is about, if it points to a binding of this session.
    pub(super) fn name(&self, error: Error) -> Error {
        match error.binding.and_then(|binding| self.0.get(binding)) {
            Some(collection) => error.while_doing(collection),
            None => error,
        }
    }
}
