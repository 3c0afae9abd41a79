//! Documents that cannot be stored, gathered until the transaction ends: the runtime is told of them in one message, and the session is over.
//!
//! What becomes of them is the runtime's to say; the author only says which, and why, with [`super::Stores::reject`].

use std::collections::BTreeSet;

use longshore_proto::batch::KeysBuilder;
use longshore_proto::document::{Scanned, Scanner};
use longshore_proto::key::KeyPointers;
use longshore_proto::materialize::message::Rejected;
use longshore_proto::session::Binding;

use crate::{Error, Result};

/// So many keys are told at once; what else is wrong is told when the transaction comes again.
const KEYS_MAX: usize = 1_000;

/// What an author gets in the place of the end, once something was rejected.
pub(super) fn ends() -> Error {
    Error::data("sdk.rejected", "documents of the transaction were rejected: it is not committed")
}

/// Reads keys of documents that come without: those of delta bindings.
#[derive(Debug)]
pub(crate) struct KeyReader {
    scanner: Scanner,
    scanned: Scanned,
}

impl KeyReader {
    pub(super) fn of(binding: &Binding) -> Result<Self> {
        let pointers = KeyPointers::compile(&binding.collection.key)?;
        Ok(Self { scanner: Scanner::new(&pointers), scanned: Scanned::default() })
    }

    /// As a JSON array; none: the document is not one.
    pub(super) fn key(&mut self, document: &[u8]) -> Option<Vec<u8>> {
        self.scanner.scan(document, &mut self.scanned).ok()?;
        Some(self.scanned.key_json.clone())
    }
}

/// Documents of one binding; the first that was rejected says of which.
#[derive(Debug)]
pub(crate) struct Rejecting {
    binding: usize,
    code: String,
    told: BTreeSet<Vec<u8>>,
    keys: KeysBuilder,
    reasons: Vec<String>,
}

impl Rejecting {
    pub(super) fn add(rejecting: &mut Option<Self>, binding: usize, key: Vec<u8>, why: Error) {
        let empty = || Self {
            binding,
            code: why.code.clone(),
            told: BTreeSet::new(),
            keys: KeysBuilder::new(),
            reasons: Vec::new(),
        };
        let rejecting = rejecting.get_or_insert_with(empty);
        let is_told_now = rejecting.binding == binding && rejecting.told.len() < KEYS_MAX;
        if is_told_now && !rejecting.told.contains(&key) {
            rejecting.keys.push(&key);
            rejecting.reasons.push(why.message.clone());
            rejecting.told.insert(key);
        }
    }

    /// As the runtime is told; none: it holds no key, which cannot be.
    pub(super) fn told(mut self) -> Option<Rejected> {
        let keys = self.keys.finish()?;
        let reason = self.reasons.first().cloned().unwrap_or_default();
        Some(Rejected { binding: self.binding, keys, code: self.code, reason, reasons: self.reasons })
    }
}
