//! Dead letters of materializations: documents that the destination refused. The task store remembers them, with the checkpoint that tells
//! which of them count; their bytes are those of the journal. Replayed, a letter stands in the journal again, for its one binding: that
//! commit is what replays it, once, whatever ends when.
//!
//! What is passed over while it is read is [`crate::materialize::skips`]' business.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longshore_proto::Error;
use longshore_proto::document::{Scanned, Scanner};
use longshore_proto::key::{KeyPointers, encode_json_key};
use longshore_proto::name::StateKey;
use longshore_proto::state::StatePatch;

use super::settle::Settled;
use crate::journal::{Entry, Filter, Journal, JournalError, JournalId, LocalId, Mark, Reader, Resent, Writer};
use crate::materialize::checkpoint::{Checkpoint, Place};
use crate::store::{Skip, SkipId};

/// What a letter has come to, as far as the task store knows.
#[must_use]
pub fn mark(skip: &Skip, checkpoint: &Checkpoint) -> Option<Mark> {
    let passed = |offset| checkpoint.position(&place(skip)).offset > offset;
    match skip {
        Skip { dropped: true, .. } => Some(Mark::Dropped),
        Skip { replayed_at: Some(at), .. } if passed(*at) => Some(Mark::Replayed),
        Skip { .. } => None,
    }
}

/// Whether a document that is passed over is a letter: the committed checkpoint has passed it.
#[must_use]
pub fn is_letter(skip: &Skip, checkpoint: &Checkpoint) -> bool {
    checkpoint.position(&place(skip)).offset > skip.at.offset
}

/// Whether it is a letter that nobody replayed or dropped, as far as the task store knows.
#[must_use]
pub fn waits(skip: &Skip, checkpoint: &Checkpoint) -> bool {
    is_letter(skip, checkpoint) && mark(skip, checkpoint).is_none()
}

fn place(skip: &Skip) -> Place {
    Place { journal: skip.at.journal, binding: skip.at.binding.clone() }
}

/// The letters of a task that stand in a journal again, by binding and position.
pub fn resent(reader: &mut dyn Reader, task: &str) -> Result<BTreeSet<(StateKey, u64)>, JournalError> {
    let mut again = BTreeSet::new();
    while let Some(entry) = reader.next()? {
        if let Entry::Resent { resent, .. } = entry
            && resent.task == task
        {
            again.insert((resent.binding, resent.letter));
        }
    }
    Ok(again)
}

/// Hands over the documents of these letters of one journal as they are met. The reader stands before the first of them.
pub fn documents<'s>(
    reader: &mut dyn Reader,
    letters: impl IntoIterator<Item = &'s Skip>,
    mut each: impl FnMut(&'s Skip, LocalId, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut wanted: BTreeMap<u64, Vec<&Skip>> = BTreeMap::new();
    letters.into_iter().for_each(|skip| wanted.entry(skip.at.offset).or_default().push(skip));
    let mut found = |offset: u64, local: LocalId, document: &[u8]| {
        let letters = wanted.remove(&offset).unwrap_or_default();
        letters.into_iter().try_for_each(|skip| each(skip, local, document)).map(|()| wanted.is_empty())
    };
    while let Some(entry) = reader.next()? {
        let is_over = match entry {
            Entry::Documents { local, first_offset, documents } => (first_offset..)
                .zip(documents.documents())
                .try_fold(false, |over, (offset, document)| Ok::<_, Error>(found(offset, local, document)? || over))?,
            Entry::Resent { local, offset, resent } => found(offset, local, &resent.document)?,
            Entry::Bindings(_)
            | Entry::Schema { .. }
            | Entry::Control { .. }
            | Entry::Letter { .. }
            | Entry::Settled { .. }
            | Entry::Commit(_) => false,
        };
        if is_over {
            break;
        }
    }
    Ok(())
}

/// What a binding makes of several documents of a key: when a letter may be replayed depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeps {
    /// Every document.
    Every,
    /// The last one. A letter would take the place of what came after it.
    Last,
    /// One that all of them are reduced to, in their order.
    Reduced,
}

/// A binding of the task as it is now.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// See there.
    pub keeps: Keeps,
    /// Pointers of its collection's key.
    pub key: Vec<String>,
}

/// What is to be replayed, and to whom.
#[derive(Debug)]
pub struct Order<'a> {
    /// The materialization.
    pub task: &'a str,
    /// All that it passes over in this journal.
    pub skips: &'a [Skip],
    /// Of these the letters that are meant; they wait, as far as the task store knows.
    pub meant: &'a BTreeSet<SkipId>,
    /// Its bindings.
    pub receivers: &'a BTreeMap<StateKey, Receiver>,
    /// Also where a newer document of the key was stored.
    pub force: bool,
}

/// Puts the letters that are meant into the journal again, in their order. `told` hears of each that stays, and why.
///
/// # Errors
/// The journal's; then nothing was replayed.
pub fn replay(
    journal: &dyn Journal,
    writer: &mut dyn Writer,
    order: &Order<'_>,
    told: &mut dyn FnMut(&Skip, &Error),
) -> Result<Settled, Error> {
    let Some(first) = order.meant.iter().map(|at| at.offset).min() else { return Ok(Settled::default()) };
    let collections: BTreeSet<String> = order.skips.iter().map(|skip| skip.collection.clone()).collect();
    let reader = || {
        let mut reader = journal.reader(Filter::Collections(collections.clone()));
        reader.seek(journal.start_before(first)).map(|()| reader)
    };
    let behind = Behind::read(&mut *reader()?, order)?;
    let (mut replayed, mut kept) = (Vec::new(), 0);
    for skip in order.skips.iter().filter(|skip| order.meant.contains(&skip.at)) {
        let id = (skip.at.binding.clone(), skip.at.offset);
        if behind.resent.contains(&id) {
            continue;
        }
        match behind.admits(skip, order) {
            Ok(()) => replayed.push(skip),
            Err(why) => {
                kept += 1;
                told(skip, &why);
            }
        }
    }
    if replayed.is_empty() {
        return Ok(Settled { settled: 0, kept });
    }
    let settled = replayed.len() as u64;
    documents(&mut *reader()?, replayed, |skip, local, document| {
        let (task, binding) = (order.task.to_owned(), skip.at.binding.clone());
        let document = bytes::Bytes::copy_from_slice(document);
        Ok(writer.resend(local, &Resent { task, binding, letter: skip.at.offset, document })?)
    })?;
    let _durable = writer.commit(&StatePatch::new())?;
    Ok(Settled { settled, kept })
}

/// What stands in the journal behind the first letter.
struct Behind {
    resent: BTreeSet<(StateKey, u64)>,
    /// Of each binding and key, the last document that is not passed over.
    newest: HashMap<(StateKey, Vec<u8>), u64>,
}

impl Behind {
    fn read(reader: &mut dyn Reader, order: &Order<'_>) -> Result<Self, Error> {
        let mut behind = Self { resent: BTreeSet::new(), newest: HashMap::new() };
        let passed: BTreeSet<(&StateKey, u64)> =
            order.skips.iter().map(|skip| (&skip.at.binding, skip.at.offset)).collect();
        // Of bindings that keep the last one: whose letters are meant, and how their keys are read.
        let mut watched: BTreeMap<&StateKey, (&str, Scanner)> = BTreeMap::new();
        for skip in order.skips.iter().filter(|skip| order.meant.contains(&skip.at)) {
            let receiver = order.receivers.get(&skip.at.binding).filter(|receiver| receiver.keeps == Keeps::Last);
            if let Some(receiver) = receiver {
                let scanner = Scanner::new(&KeyPointers::compile(&receiver.key)?);
                watched.entry(&skip.at.binding).or_insert((&skip.collection, scanner));
            }
        }
        let mut scanned = Scanned::default();
        let mut see = |binding: &StateKey, scanner: &mut Scanner, offset: u64, document: &[u8]| {
            if !passed.contains(&(binding, offset)) {
                scanner.scan(document, &mut scanned)?;
                behind.newest.insert((binding.clone(), scanned.key_encoded.clone()), offset);
            }
            Ok::<_, Error>(())
        };
        while let Some(entry) = reader.next()? {
            match entry {
                Entry::Documents { local, first_offset, documents } => {
                    let collection = reader.bindings().row(local).map(|row| row.collection.clone());
                    let of_it = watched.iter_mut().filter(|(_, (of, _))| Some(*of) == collection.as_deref());
                    for (binding, (_, scanner)) in of_it {
                        for (offset, document) in (first_offset..).zip(documents.documents()) {
                            see(binding, scanner, offset, document)?;
                        }
                    }
                }
                Entry::Resent { offset, resent, .. } if resent.task == order.task => {
                    if let Some((_, scanner)) = watched.get_mut(&resent.binding) {
                        see(&resent.binding, scanner, offset, &resent.document)?;
                    }
                    behind.resent.insert((resent.binding, resent.letter));
                }
                Entry::Bindings(_)
                | Entry::Schema { .. }
                | Entry::Control { .. }
                | Entry::Letter { .. }
                | Entry::Settled { .. }
                | Entry::Resent { .. }
                | Entry::Commit(_) => {}
            }
        }
        Ok(behind)
    }

    /// Whether a letter may be replayed, or why not.
    fn admits(&self, skip: &Skip, order: &Order<'_>) -> Result<(), Error> {
        let SkipId { binding, offset, .. } = &skip.at;
        let Some(receiver) = order.receivers.get(binding) else {
            let message = format!("{} does not have the binding {binding} any more", order.task);
            return Err(
                Error::data("letters.binding", message).suggest("put it back into the catalog, or drop the letter")
            );
        };
        match receiver.keeps {
            Keeps::Every => Ok(()),
            Keeps::Last if order.force => Ok(()),
            Keeps::Last => {
                let key = (binding.clone(), encode_json_key(&skip.key_json)?);
                match self.newest.get(&key) {
                    Some(newer) if newer > offset => {
                        let message =
                            format!("a newer document of its key stands at position {newer}: it would be lost");
                        Err(Error::data("letters.newer", message)
                            .suggest("drop the letter, or replay it with --force: then the letter wins"))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Keeps::Reduced => match self.earlier(skip, order) {
                Some(earlier) => {
                    let message = format!("the letter of its key at position {} comes before it", earlier.at.offset);
                    Err(Error::data("letters.order", message).suggest("replay or drop that one too"))
                }
                None => Ok(()),
            },
        }
    }

    /// A letter of the same key before this one that waits and is not meant.
    fn earlier<'o>(&self, skip: &Skip, order: &Order<'o>) -> Option<&'o Skip> {
        let key = encode_json_key(&skip.key_json).ok()?;
        let is_earlier = |other: &&Skip| {
            let same = other.at.binding == skip.at.binding && other.at.offset < skip.at.offset;
            let waits = !other.dropped && !self.resent.contains(&(other.at.binding.clone(), other.at.offset));
            let is_settled = other.replayed_at.is_some();
            same && waits
                && !is_settled
                && !order.meant.contains(&other.at)
                && encode_json_key(&other.key_json).is_ok_and(|of| of == key)
        };
        order.skips.iter().find(is_earlier)
    }
}

/// The skips of a task, journal by journal.
#[must_use]
pub fn by_journal(skips: Vec<Skip>) -> BTreeMap<JournalId, Vec<Skip>> {
    let mut journals: BTreeMap<JournalId, Vec<Skip>> = BTreeMap::new();
    skips.into_iter().for_each(|skip| journals.entry(skip.at.journal).or_default().push(skip));
    journals
}

#[cfg(test)]
#[path = "refused_tests.rs"]
mod tests;
