//! What several checkpoints changed in the connector's state, as one patch for the commit that covers them.
//!
//! Merge patches cannot in general be joined (`{"a":null}` and then `{"a":{"b":1}}` is not one patch), so from the second on the state
//! itself is carried along and the patch is what leads from the committed state to the one now.

use longshore_proto::Error;
use longshore_proto::state::{State, StatePatch};

/// The committed state and what has come since.
#[derive(Debug)]
pub struct Patches {
    committed: State,
    since: Since,
}

#[derive(Debug)]
enum Since {
    Nothing,
    One(StatePatch),
    Many { now: State },
}

impl Patches {
    /// Nothing has come since this state was committed.
    #[must_use]
    pub fn new(committed: State) -> Self {
        Self { committed, since: Since::Nothing }
    }

    /// A checkpoint changed this. An error means that the state would become too large.
    pub fn add(&mut self, patch: StatePatch) -> Result<(), Error> {
        if patch.is_empty() {
            return Ok(());
        }
        self.since = match std::mem::replace(&mut self.since, Since::Nothing) {
            Since::Nothing => Since::One(patch),
            Since::One(first) => {
                let mut now = self.committed.clone();
                now.apply(&first)?;
                now.apply(&patch)?;
                Since::Many { now }
            }
            Since::Many { mut now } => {
                now.apply(&patch)?;
                Since::Many { now }
            }
        };
        Ok(())
    }

    /// So large that the user should know.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.committed.is_large()
    }

    /// The patch for a commit of all that has come; from here on that counts as committed.
    pub fn take(&mut self) -> Result<StatePatch, Error> {
        match std::mem::replace(&mut self.since, Since::Nothing) {
            Since::Nothing => Ok(StatePatch::new()),
            Since::One(patch) => {
                self.committed.apply(&patch)?;
                Ok(patch)
            }
            Since::Many { now } => {
                let patch = StatePatch::between(&self.committed, &now);
                self.committed = now;
                Ok(patch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> StatePatch {
        StatePatch::new().with_task(json.as_bytes()).unwrap()
    }

    #[test]
    fn one_patch_for_many_does_what_they_did_one_after_the_other() {
        for changes in [
            &[][..],
            &[r#"{"a":{"c":2}}"#],
            &[r#"{"a":null}"#, r#"{"a":{"b":1}}"#],
            &[r#"{"a":7}"#, r#"{"a":{"b":1}}"#, r#"{"x":null}"#],
            &["null", r#"{"y":1}"#],
        ] {
            let mut committed = State::new();
            committed.apply(&patch(r#"{"a":{"c":1},"x":[1]}"#)).unwrap();
            let mut patches = Patches::new(committed.clone());
            let mut expected = committed.clone();
            for change in changes {
                expected.apply(&patch(change)).unwrap();
                patches.add(patch(change)).unwrap();
            }
            committed.apply(&patches.take().unwrap()).unwrap();
            assert_eq!(committed, expected, "{changes:?}");
            assert!(patches.take().unwrap().is_empty(), "all was taken");
        }
    }
}
