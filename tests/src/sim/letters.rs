//! Dead letters in the model: the shipped replay at moments when no capture runs, and what the journal holds in the end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use longshore::journal::{Control, Entry, Filter, Journal, JournalError, Mark, Resent, Writer};
use longshore::letters::refused::{self, Order};
use longshore::letters::settle::{Selection, replay};
use longshore_proto::Error;
use longshore_proto::batch::BatchBuilder;
use longshore_proto::name::StateKey;
use longshore_proto::state::StatePatch;

use super::Violation;
use super::source::{Document, Source, is_bad};

/// What the journal holds.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Documents with where they stand, and among them those that were sent again.
    pub entries: BTreeMap<u64, Said>,
    letters: BTreeMap<u64, Bytes>,
    replayed: BTreeSet<u64>,
}

/// A document in the journal, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// For everybody.
    Document(Bytes),
    /// For a binding, by its durable name, that refused the one at this offset.
    Again(StateKey, u64, Bytes),
    /// Something happened to the collection as a whole.
    Control(Control),
}

/// How letters are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// As they are shipped to be.
    Whole,
    /// As nobody should: first the documents, then that they are there; or it ends between the two.
    InTwo {
        /// It ends there.
        ends_between: bool,
    },
}

/// Replays what waits; how many letters that were.
pub fn replay_all(journal: &dyn Journal, writer: &mut dyn Writer, how: Replay) -> Result<u64, Error> {
    if let Replay::InTwo { ends_between } = how {
        return Ok(replay_in_two(journal, writer, ends_between)?);
    }
    let settled = replay(journal, writer, &Selection::default(), &mut |_, _| Ok(None), &mut |_, _| {})?;
    Ok(settled.settled)
}

fn replay_in_two(journal: &dyn Journal, writer: &mut dyn Writer, ends_between: bool) -> Result<u64, JournalError> {
    let found = find(journal)?;
    let Some((local, _)) = journal.known().bindings.iter().map(|(local, row)| (local, row.clone())).next() else {
        return Ok(0);
    };
    let mut batch = BatchBuilder::new(0);
    let waiting: Vec<u64> = found.letters.keys().copied().filter(|at| !found.replayed.contains(at)).collect();
    waiting.iter().for_each(|at| batch.push(&found.letters[at]));
    let Some(batch) = batch.finish() else { return Ok(0) };
    writer.documents(local, &batch)?;
    let _durable = writer.commit(&StatePatch::new())?;
    if ends_between {
        return Ok(0);
    }
    writer.settle(local, Mark::Replayed, &waiting)?;
    let _durable = writer.commit(&StatePatch::new())?;
    Ok(waiting.len() as u64)
}

/// Sends the letters of the destination to it again, as it is shipped; or without a look at what was sent before. How many that were.
pub fn resend(journal: &dyn Journal, writer: &mut dyn Writer, order: &Order<'_>, looks: bool) -> Result<u64, Error> {
    if looks {
        return Ok(refused::replay(journal, writer, order, &mut |_, _| {})?.settled);
    }
    let meant = || order.skips.iter().filter(|skip| order.meant.contains(&skip.at));
    refused::documents(&mut *journal.reader(Filter::All), meant(), |skip, local, document| {
        let (task, binding) = (order.task.to_owned(), skip.at.binding.clone());
        let document = document.to_vec().into();
        Ok(writer.resend(local, &Resent { task, binding, letter: skip.at.offset, document })?)
    })?;
    let _durable = writer.commit(&StatePatch::new())?;
    Ok(meant().count() as u64)
}

/// Reads all of it.
pub fn find(journal: &dyn Journal) -> Result<Found, JournalError> {
    let (mut reader, mut found) = (journal.reader(Filter::All), Found::default());
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Documents { first_offset, documents, .. } => {
                let arena = documents.arena();
                let said = documents.documents().map(|document| Said::Document(arena.slice_ref(document)));
                found.entries.extend((first_offset..).zip(said));
            }
            Entry::Resent { offset, resent, .. } => {
                found.entries.insert(offset, Said::Again(resent.binding, resent.letter, resent.document));
            }
            Entry::Letter { offset, letter, .. } => {
                found.letters.insert(offset, letter.document);
            }
            Entry::Settled { letters, .. } => found.replayed.extend(letters),
            Entry::Control { offset, control, .. } => {
                found.entries.insert(offset, Said::Control(control));
            }
            Entry::Bindings(_) | Entry::Schema { .. } | Entry::Commit(_) => {}
        }
    }
    Ok(found)
}

impl Found {
    /// What is there now, beside what was there before a part of it was trimmed.
    pub fn add(&mut self, now: Self) {
        self.entries.extend(now.entries);
        self.letters.extend(now.letters);
        self.replayed.extend(now.replayed);
    }

    /// Documents for everybody, in their order.
    pub fn documents(&self) -> impl Iterator<Item = &Bytes> {
        self.entries.values().filter_map(|said| match said {
            Said::Document(document) => Some(document),
            Said::Again(..) | Said::Control(_) => None,
        })
    }

    /// Where the first letter stands that was not replayed.
    #[must_use]
    pub fn first_waiting(&self) -> Option<u64> {
        self.letters.keys().copied().find(|at| !self.replayed.contains(at))
    }

    /// Documents in = stored and dead-lettered, each once; and of the letters exactly those are stored that were replayed.
    pub fn verify(&self, source: &Source) -> Result<(), Violation> {
        let texts = |bad| source.all().filter(move |document| document.bad == bad).map(|Document { json, .. }| json);
        let (replayed, stored): (Vec<&Bytes>, Vec<&Bytes>) = self.documents().partition(|document| is_bad(document));
        if !texts(false).eq(stored.iter().copied()) {
            return Err(format!("the journal does not hold each document once and in order: {stored:?}"));
        }
        if !texts(true).eq(self.letters.values()) {
            return Err(format!("documents in are not stored + dead-lettered; letters: {:?}", self.letters));
        }
        let sorted = |mut documents: Vec<&Bytes>| {
            documents.sort_unstable();
            documents.into_iter().cloned().collect::<Vec<_>>()
        };
        let marked = self.replayed.iter().filter_map(|at| self.letters.get(at)).collect();
        let replayed = sorted(replayed);
        if replayed != sorted(marked) {
            return Err(format!("letters were not replayed once each: {replayed:?}"));
        }
        Ok(())
    }
}
