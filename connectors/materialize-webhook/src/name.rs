//! Names that are the same when a transaction comes again: the key of a request and the id of an event.
//!
//! They are made of the installation, the task, the binding's state key, the transaction and the place in it; no epoch, no clock, no dice. A
//! digest of the content stands behind them: a key never stands for other bytes than it was first sent with, even where the user changed
//! `batch_documents` between a crash and the replay, or a document was set aside. Then it is another key, and documents may come twice; with
//! the key of before a server that keeps keys would drop what it never saw.

use longshore_sdk::materialize::{Owner, StateKey};
use ring::digest::{SHA256, digest};

use crate::sign::hex;

/// How much of a digest stands in a name, in bytes.
const DIGEST_BYTES: usize = 8;

/// Names of one binding.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    /// Installation, task and binding.
    stem: String,
}

impl Naming {
    pub(crate) fn new(owner: &Owner, state_key: &StateKey) -> Self {
        let whose = short(format!("{}\0{}", owner.task, state_key.as_str()).as_bytes());
        Self { stem: format!("{}-{whose}", owner.installation.as_str()) }
    }

    /// Of a request: `part` is the batch's number in the transaction, `3.0` and `3.1` the halves of batch 3.
    pub(crate) fn request(&self, transaction: u64, part: &str, body: &[u8]) -> String {
        format!("{}-{transaction}-{part}-{}", self.stem, short(body))
    }

    /// Of an event: `ordinal` is the document's place among those of its binding in the transaction.
    pub(crate) fn event(&self, transaction: u64, ordinal: u64, document: &[u8]) -> String {
        format!("{}-{transaction}-{ordinal}-{}", self.stem, short(document))
    }
}

fn short(bytes: &[u8]) -> String {
    hex(&digest(&SHA256, bytes).as_ref()[..DIGEST_BYTES])
}

#[cfg(test)]
mod tests {
    use longshore_sdk::materialize::InstallationId;

    use super::*;

    fn naming(task: &str, binding: &str, epoch: u64) -> Naming {
        let owner = Owner { task: task.to_owned(), installation: InstallationId::from_bytes([7; 16]), epoch };
        Naming::new(&owner, &StateKey::new(&[binding.to_owned()], 0))
    }

    #[test]
    fn a_key_is_stable_over_sessions_and_differs_by_all_that_is_sent() {
        let key = naming("hooks", "/a", 1).request(7, "3.1", b"[1]");
        assert_eq!(key, naming("hooks", "/a", 99).request(7, "3.1", b"[1]"));
        let others = [
            naming("other", "/a", 1).request(7, "3.1", b"[1]"),
            naming("hooks", "/b", 1).request(7, "3.1", b"[1]"),
            naming("hooks", "/a", 1).request(8, "3.1", b"[1]"),
            naming("hooks", "/a", 1).request(7, "3.0", b"[1]"),
            naming("hooks", "/a", 1).request(7, "3.1", b"[2]"),
        ];
        assert!(!others.contains(&key), "{others:?}");
        assert!(
            key.len() < 100 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)),
            "{key}"
        );
    }
}
