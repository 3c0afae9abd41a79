//! A binding is in a new life and reads its collection again, and the rows of its older life stay: what it stores is stored aside from the beginning
//! of its journal on, and takes their place in the transaction in which it has read what the older life had. So nobody sees rows of the past.
//!
//! How far the older life had come is in the checkpoint, under its own name: nothing else is to be remembered. A full refresh of the source that lies
//! before that place begins anew, as it does elsewhere, and completes nothing there. If one is under way at that place, it is not before its own end
//! that all rows are there.

use std::sync::atomic::{AtomicBool, Ordering};

use longshore_proto::Error;

use super::{Gatherer, NOWHERE};
use crate::journal::{Control, Entry, JournalId, Position};
use crate::materialize::transaction::Advanced;

impl Gatherer {
    /// At the beginning of a selection.
    pub(super) fn begin_renewals(&mut self) {
        for reading in 0..self.selection.readings.len() {
            for target in self.beginning(reading) {
                self.wholes[target].take(Control::BackfillBegin);
                if !self.targets[target].is_renewed_at(0) {
                    // What was read before is nothing of this journal.
                    self.wholes[target].take(Control::BackfillComplete);
                }
            }
        }
    }

    /// A reading goes on to where a transaction of its journal ends. `false`: it was abandoned.
    pub(super) fn renew(
        &mut self,
        reading: usize,
        to: Position,
        abandon: &AtomicBool,
        sum: &mut Advanced,
    ) -> Result<bool, Error> {
        let (from, start) = (self.reached[reading], self.selection.readings[reading].start);
        if from == start {
            // They count as documents do: what they belong to is committed.
            sum.documents += self.beginning(reading).len() as u64;
        }
        let journal = self.selection.readings[reading].journal;
        for (target, until) in self.renewed(reading, from.offset, to.offset) {
            match self.is_refreshing(journal, target, until, abandon)? {
                None => return Ok(false),
                Some(true) => {}
                Some(false) => {
                    self.wholes[target].take(Control::BackfillComplete);
                    sum.documents += 1;
                }
            }
            self.open(journal)?.reader.seek(to)?;
        }
        Ok(true)
    }

    /// Who begins its renewal with this selection.
    fn beginning(&self, reading: usize) -> Vec<usize> {
        let takers = self.takers.all_of(reading).filter(|taker| taker.from == Position::BEGINNING.offset);
        let renews = |target: &usize| self.targets[*target].target.renews_until.is_some();
        takers.map(|taker| taker.target).filter(renews).collect()
    }

    /// Who has read again what there was, somewhere in this part of a reading, and up to where.
    fn renewed(&self, reading: usize, from: u64, to: u64) -> Vec<(usize, Position)> {
        let takers = self.takers.all_of(reading);
        let renewed = takers.filter_map(|taker| {
            let until = self.targets[taker.target].target.renews_until?;
            let takes = taker.from < until.offset && taker.to.is_none_or(|end| end >= until.offset);
            (takes && from < until.offset && until.offset <= to).then_some((taker.target, until))
        });
        renewed.collect()
    }

    /// Whether a full refresh of the source was under way there. `None`: it was abandoned.
    fn is_refreshing(
        &mut self,
        journal: JournalId,
        target: usize,
        until: Position,
        abandon: &AtomicBool,
    ) -> Result<Option<bool>, Error> {
        let collection = self.targets[target].target.binding.collection.name.clone();
        // Whoever reads next has to seek.
        self.open(journal)?.at = NOWHERE;
        self.open(journal)?.reader.seek(Position::BEGINNING)?;
        let mut is_refreshing = false;
        while self.open(journal)?.reader.position().offset < until.offset {
            if abandon.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match self.open(journal)?.reader.next()? {
                Some(Entry::Control { local, control, .. })
                    if self.collection(journal, local) == Some(collection.as_str()) =>
                {
                    match control {
                        Control::BackfillBegin => is_refreshing = true,
                        Control::BackfillComplete => is_refreshing = false,
                        Control::Truncated => {}
                    }
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(Some(is_refreshing))
    }
}
