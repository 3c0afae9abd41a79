//! Documents that the destination refused. Where they are read they are passed over, so that all others go on; they are dead letters once the
//! checkpoint has passed them, and stand in the journal again when somebody replays them.
//!
//! Pure: whether a document is passed over depends on what is remembered and on where it stands, so that a transaction that is read again is
//! the same one. Where documents of a key are reduced to one, those behind a letter wait with it: reduced onto what the letter would have
//! made, they would come to something else. They wait until the offset at which it is replayed, or for good if it is dropped before.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::key::encode_json_key;

use super::checkpoint::Place;
use crate::store::{Skip, SkipId};

/// A destination that refuses documents of more keys in one transaction is broken, and not the documents.
pub const REJECTED_KEYS_MAX: usize = 100;
/// And so many documents at most: one key may have very many.
pub const REJECTED_DOCUMENTS_MAX: usize = 10_000;
/// With so many documents that wait with an earlier one a transaction closes.
pub const JOINED_MAX: usize = 1_000;

/// Why a document waits that nobody refused.
pub const JOINED: &str = "materialize.joined";

/// What a task passes over, by binding and journal.
#[derive(Debug, Default)]
pub struct Skips(BTreeMap<Place, Passed>);

/// What one binding passes over in one journal.
#[derive(Debug, Default)]
pub struct Passed {
    /// Offsets, each with the key of its document in key encoding version 1.
    offsets: BTreeMap<u64, Vec<u8>>,
    /// Of each key, from where on its documents wait.
    keys: HashMap<Vec<u8>, Vec<Wait>>,
}

/// Documents of a key behind `from` wait, and no longer than up to `until`.
#[derive(Debug, Clone, Copy)]
struct Wait {
    from: u64,
    until: Option<u64>,
}

impl Skips {
    /// As they are remembered.
    ///
    /// # Errors
    /// `internal` when a key was kept that is none.
    pub fn new(remembered: &[Skip]) -> Result<Self, Error> {
        let mut skips = Self::default();
        remembered.iter().try_for_each(|skip| skips.add(skip))?;
        Ok(skips)
    }

    /// One more.
    ///
    /// # Errors
    /// As [`Skips::new`].
    pub fn add(&mut self, skip: &Skip) -> Result<(), Error> {
        let Skip { at: SkipId { journal, binding, offset }, key_json, replayed_at, dropped, .. } = skip;
        let key = encode_json_key(key_json).map_err(|error| Error::internal("state.skip", error.message.clone()))?;
        let passed = self.0.entry(Place { journal: *journal, binding: binding.clone() }).or_default();
        if passed.offsets.insert(*offset, key.clone()).is_none() && !dropped {
            passed.keys.entry(key).or_default().push(Wait { from: *offset, until: *replayed_at });
        }
        Ok(())
    }

    /// A letter stands in the journal again.
    pub fn replayed(&mut self, place: &Place, letter: u64, at: u64) {
        let Some(passed) = self.0.get_mut(place) else { return };
        let waits = passed.offsets.get(&letter).and_then(|key| passed.keys.get_mut(key));
        waits.into_iter().flatten().filter(|wait| wait.from == letter).for_each(|wait| wait.until = Some(at));
    }

    /// What one binding passes over in one journal; `None`: nothing.
    #[must_use]
    pub fn of(&self, place: &Place) -> Option<&Passed> {
        self.0.get(place)
    }
}

impl Passed {
    /// Whether the document at this offset is passed over.
    #[must_use]
    pub fn has(&self, offset: u64) -> bool {
        self.offsets.contains_key(&offset)
    }

    /// The earlier document of this key for which one at `offset` has to wait.
    #[must_use]
    pub fn holds(&self, key_encoded: &[u8], offset: u64) -> Option<u64> {
        let waits = self.keys.get(key_encoded)?;
        let holds = |wait: &&Wait| wait.from < offset && wait.until.is_none_or(|until| offset < until);
        waits.iter().find(holds).map(|wait| wait.from)
    }

    /// What is left of the documents `from..to` of a batch whose first one has the offset `first`; `None`: all of them.
    pub fn without(&self, first: u64, (from, to): (usize, usize)) -> Option<Vec<(usize, usize)>> {
        let (mut left, mut next) = (Vec::new(), from);
        let mut passed = self.offsets.range(first + from as u64..first + to as u64).peekable();
        passed.peek()?;
        for (offset, _) in passed {
            let at = usize::try_from(offset - first).unwrap_or(to);
            left.push((next, at));
            next = at + 1;
        }
        left.push((next, to));
        left.retain(|(from, to)| from < to);
        Some(left)
    }

    /// How many keys it passes over from one offset up to another.
    #[must_use]
    pub fn keys_between(&self, from: u64, to: u64) -> usize {
        let keys: std::collections::BTreeSet<_> = self.offsets.range(from..to).map(|(_, key)| key).collect();
        keys.len()
    }
}

/// A document that waits because an earlier one of its key does.
#[must_use]
pub fn joined(at: SkipId, collection: &str, key_json: &[u8], behind: u64, bytes: usize) -> Skip {
    Skip {
        at,
        collection: collection.to_owned(),
        key_json: Bytes::copy_from_slice(key_json),
        code: JOINED.to_owned(),
        reason: format!("an earlier document of its key, at position {behind}, waits: this one is reduced onto it"),
        bytes: bytes as u64,
        replayed_at: None,
        dropped: false,
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::name::StateKey;

    use super::*;
    use crate::journal::JournalId;

    fn place() -> Place {
        Place { journal: JournalId([1; 16]), binding: StateKey::new(&["t".to_owned()], 0) }
    }

    fn skip(offset: u64, key: &str, replayed_at: Option<u64>, dropped: bool) -> Skip {
        let Place { journal, binding } = place();
        let skip = joined(SkipId { journal, binding, offset }, "a/b", key.as_bytes(), 0, 10);
        Skip { replayed_at, dropped, ..skip }
    }

    fn passed(skips: &[Skip]) -> Skips {
        Skips::new(skips).expect("keys")
    }

    #[test]
    fn what_is_passed_over_leaves_the_others() {
        let skips =
            passed(&[skip(12, "[1]", None, false), skip(14, "[2]", None, true), skip(19, "[1]", Some(30), false)]);
        let passed = skips.of(&place()).expect("some");
        assert!(passed.has(12) && passed.has(14) && !passed.has(13), "a dropped one is passed over too");
        assert_eq!(passed.without(10, (0, 10)), Some(vec![(0, 2), (3, 4), (5, 9)]));
        assert_eq!(passed.without(10, (2, 3)), Some(vec![]));
        assert_eq!(passed.without(12, (1, 2)), None);
        assert_eq!(passed.keys_between(12, 20), 2);
        assert_eq!(passed.keys_between(13, 14), 0);
        let other = Place { journal: JournalId([2; 16]), ..place() };
        assert!(skips.of(&other).is_none(), "offsets of another journal");
    }

    #[test]
    fn documents_behind_a_letter_wait_until_it_is_replayed_or_dropped() {
        let key = |json: &str| encode_json_key(json.as_bytes()).expect("a key");
        let mut skips =
            passed(&[skip(12, "[1]", None, false), skip(20, "[1.0]", None, false), skip(12 + 2, "[2]", None, true)]);
        let holds = |skips: &Skips, json: &str, offset| skips.of(&place()).and_then(|p| p.holds(&key(json), offset));
        assert_eq!([11, 12, 13].map(|at| holds(&skips, "[1]", at)), [None, None, Some(12)]);
        assert_eq!(holds(&skips, "[2]", 40), None, "dropped");
        assert_eq!(holds(&skips, "[3]", 40), None);
        skips.replayed(&place(), 12, 30);
        assert_eq!([19, 25, 30, 31].map(|at| holds(&skips, "[1]", at)), [Some(12), Some(12), Some(20), Some(20)]);
        skips.replayed(&place(), 20, 31);
        assert_eq!([29, 30, 31].map(|at| holds(&skips, "[1]", at)), [Some(12), Some(20), None]);
    }
}
