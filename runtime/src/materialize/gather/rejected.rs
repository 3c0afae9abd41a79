//! Finds what the destination refused: it named keys, and which documents had them only the journal can tell. The transaction's extent is read
//! again for that one binding.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::key::encode_json_key;
use longshore_proto::materialize::message::Rejected;
use longshore_proto::rules;

use super::{Gatherer, NOWHERE};
use crate::journal::Entry;
use crate::materialize::checkpoint::{Place, Span};
use crate::materialize::skips::{REJECTED_DOCUMENTS_MAX, REJECTED_KEYS_MAX};
use crate::secret::Door;
use crate::store::{Skip, SkipId};

/// A reason is cut to this length, in bytes.
const REASON_MAX_BYTES: usize = 4096;

/// What is looked for.
struct Wanted<'r> {
    /// In key encoding version 1, each with why.
    keys: HashMap<Vec<u8>, &'r str>,
    seen: HashSet<Vec<u8>>,
    code: &'r str,
    found: Vec<Skip>,
}

impl Gatherer {
    /// Every document of the rejected keys in the extent, to be passed over from now on.
    ///
    /// # Errors
    /// `protocol` when a key was not stored in the transaction; `data` when too much is refused to go on without it.
    pub fn rejected(&mut self, spans: &BTreeMap<Place, Span>, rejected: &Rejected) -> Result<Vec<Skip>, Error> {
        let Rejected { binding, code, .. } = rejected;
        let at = |error: Error| error.at_binding(*binding);
        let keys = rejected.each().map(|(key, why)| Ok((encode_json_key(key)?, why)));
        let keys = keys.collect::<Result<HashMap<_, _>, Error>>().map_err(at)?;
        let mut wanted = Wanted { keys, seen: HashSet::new(), code, found: Vec::new() };
        let place = self.targets.get(*binding).map(|planned| planned.place.clone());
        if let Some((place, span)) = place.and_then(|place| spans.get_key_value(&place)) {
            self.look_for(&mut wanted, *binding, place, *span)?;
        }
        let other = rejected.each().find(|(key, _)| encode_json_key(key).is_ok_and(|key| !wanted.seen.contains(&key)));
        if let Some((key, _)) = other {
            let message = format!(
                "the connector sent Rejected: expected keys that were stored in the transaction, got {}",
                String::from_utf8_lossy(key)
            );
            return Err(Error::protocol(rules::REJECTED_KEYS, message).at_binding(*binding));
        }
        Ok(wanted.found)
    }

    fn look_for(
        &mut self,
        wanted: &mut Wanted<'_>,
        target: usize,
        place: &Place,
        Span { from, to }: Span,
    ) -> Result<(), Error> {
        self.stand_at(place.journal, from)?;
        // Whoever reads next has to seek.
        self.open(place.journal)?.at = NOWHERE;
        let collection = self.targets[target].target.binding.collection.name.clone();
        while self.open(place.journal)?.reader.position().offset < to.offset {
            let Some(entry) = self.open(place.journal)?.reader.next()? else { break };
            match entry {
                Entry::Documents { local, first_offset, documents } => {
                    if self.collection(place.journal, local) != Some(collection.as_str()) {
                        continue;
                    }
                    for (offset, document) in (first_offset..).zip(documents.documents()) {
                        if (from.offset..to.offset).contains(&offset) {
                            self.look_at(wanted, target, offset, document)?;
                        }
                    }
                }
                Entry::Resent { offset, resent, .. } => {
                    if resent.task == self.task && resent.binding == place.binding {
                        self.look_at(wanted, target, offset, &resent.document)?;
                    }
                }
                Entry::Control { local, offset, control } => {
                    let is_its = self.collection(place.journal, local) == Some(collection.as_str());
                    // What came before was not stored.
                    if is_its && (from.offset..to.offset).contains(&offset) && self.resets(target, control) {
                        wanted.seen.clear();
                        wanted.found.clear();
                    }
                }
                Entry::Bindings(_)
                | Entry::Schema { .. }
                | Entry::Letter { .. }
                | Entry::Settled { .. }
                | Entry::Commit(_) => {}
            }
        }
        let before = self.skips.of(place).map_or(0, |passed| passed.keys_between(from.offset, to.offset));
        let keys = before + wanted.keys.len();
        if keys > REJECTED_KEYS_MAX || wanted.found.len() > REJECTED_DOCUMENTS_MAX {
            return Err(too_many(&collection, keys, wanted).at_binding(target));
        }
        Ok(())
    }

    fn look_at(&mut self, wanted: &mut Wanted<'_>, target: usize, offset: u64, document: &[u8]) -> Result<(), Error> {
        let Self { targets, skips, scanned, .. } = self;
        let planned = &mut targets[target];
        if skips.of(&planned.place).is_some_and(|passed| passed.has(offset)) {
            return Ok(());
        }
        planned.scanner.take(document, scanned)?;
        let Some(why) = wanted.keys.get(&scanned.key_encoded) else { return Ok(()) };
        let Place { journal, binding } = planned.place.clone();
        wanted.seen.insert(scanned.key_encoded.clone());
        let mut reason = Door::Answers.scrub(why).into_owned();
        reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
        wanted.found.push(Skip {
            at: SkipId { journal, binding, offset },
            collection: planned.target.binding.collection.name.clone(),
            key_json: Bytes::copy_from_slice(&scanned.key_json),
            code: wanted.code.to_owned(),
            reason,
            bytes: document.len() as u64,
            replayed_at: None,
            dropped: false,
        });
        Ok(())
    }
}

fn too_many(collection: &str, keys: usize, wanted: &Wanted<'_>) -> Error {
    let last = wanted.found.last().map_or("", |skip| &skip.reason);
    let message = format!(
        "the destination refuses documents of {keys} keys of {collection} in one transaction, {} of them now: this is no exception any more \
         (at most {REJECTED_KEYS_MAX} keys and {REJECTED_DOCUMENTS_MAX} documents become dead letters in a transaction); the last one: {last}",
        wanted.found.len()
    );
    Error::data("materialize.too_many_letters", message).suggest(
        "look at them with `longshore dlq list`, and correct the source, the collection's schema or the destination; nothing of this transaction was stored",
    )
}
