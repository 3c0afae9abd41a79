//! What only one task may write: two tasks of one catalog that store into the same table or directory would mix their rows, and each would
//! think them its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use longshore_proto::materialize::message::ValidatedBinding;
use longshore_proto::session::{Finding, Severity};

/// Who claims what, by connector and claim.
#[derive(Debug, Default)]
pub struct Claims(Mutex<BTreeMap<(String, String), String>>);

impl Claims {
    /// Takes what a binding of `task` claims; the finding if another task has it.
    pub(super) fn claim(&self, task: &str, connector: &str, index: usize, said: &ValidatedBinding) -> Option<Finding> {
        if said.claim.is_empty() {
            return None;
        }
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = claims.entry((connector.to_owned(), said.claim.clone())).or_insert_with(|| task.to_owned());
        (holder != task).then(|| Finding {
            severity: Severity::Error,
            code: "binding.shared".to_owned(),
            binding: Some(index),
            pointer: String::new(),
            message: format!(
                "expected a resource that no other task stores into, got one that materialization `{holder}` has: {}",
                said.claim
            ),
            suggestion: "name another resource, or another destination in `config`".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::materialize::message::{Loads, Modes};

    use super::*;

    #[test]
    fn a_resource_belongs_to_the_task_that_comes_first_however_often_it_comes() {
        let claims = Claims::default();
        let of = |claim: &str| ValidatedBinding {
            resource_path: vec!["a".to_owned()],
            modes: Modes::Both,
            wants_existence: false,
            fields: Vec::new(),
            claim: claim.to_owned(),
            loads: Loads::Nothing,
            partial_updates: false,
            truncates: false,
            backfills: false,
            loads_reason: String::new(),
        };
        let claim = |task: &str, connector: &str, what: &str| claims.claim(task, connector, 0, &of(what));
        assert_eq!((claim("one", "sqlite", "db a"), claim("one", "sqlite", "db a")), (None, None));
        assert_eq!((claim("two", "sqlite", "db b"), claim("two", "files", "db a")), (None, None));
        assert_eq!((claim("one", "x", ""), claim("two", "x", "")), (None, None), "one that cannot tell claims nothing");
        let refused = claim("two", "sqlite", "db a").expect("it is taken");
        assert!(refused.message.contains("`one`"), "{refused:?}");
    }
}
