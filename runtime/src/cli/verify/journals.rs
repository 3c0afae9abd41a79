//! What the journals of a flow that is caught up say: where they end, which keys were on their way, what stands for a source that cannot tell, and
//! why a difference is there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::verify::{Checksums, Hasher, RANGES};

use super::super::look::damaged;
use super::super::output::Failure;
use super::Comparison;
use crate::journal::{Filter, Inspection, Position};
use crate::store::{Skip, StateLook};
use crate::verify::subject::Subject;
use crate::verify::{explain, history};

/// Where the journals of some captures end.
pub(super) type JournalEnds = BTreeMap<String, Position>;

/// Keys that are held at once, about.
const KEYS_MAX: u64 = 2_000_000;

/// The journals of a state directory.
#[derive(Clone, Copy)]
pub(super) struct Journals<'a>(pub(super) &'a StateLook);

impl Journals<'_> {
    fn of(self, capture: &str) -> Result<Option<Inspection>, Failure> {
        let evidence = self.0.evidence(capture)?;
        self.0.journal(capture, evidence).map_err(damaged)
    }

    /// Where those of these bindings' captures end.
    pub(super) fn ends(self, of: &[&mut Comparison]) -> Result<JournalEnds, Failure> {
        let mut ends = JournalEnds::new();
        for (capture, _) in of.iter().flat_map(|one| &one.subject.sources) {
            if let Some(journal) = self.of(capture)? {
                ends.insert(capture.clone(), journal.end().position);
            }
        }
        Ok(ends)
    }

    /// Keys that were on their way; `None`: any may have been.
    pub(super) fn touched(self, subject: &Subject, since: &JournalEnds) -> Result<Option<BTreeSet<Vec<u8>>>, Failure> {
        let mut touched = BTreeSet::new();
        for (capture, _) in &subject.sources {
            let Some(journal) = self.of(capture)? else { continue };
            let Some(behind) = since.get(capture) else { return Ok(None) };
            let mut reader = journal.reader(Filter::All);
            match history::touched(&mut *reader, *behind, subject)? {
                Some(keys) => touched.extend(keys),
                None => return Ok(None),
            }
        }
        Ok(Some(touched))
    }

    /// The checksums of what the journal has in place of the source. The inner error is why it has not.
    pub(super) fn checksums(
        self,
        subject: &Subject,
        hasher: &mut Hasher,
    ) -> Result<Result<Checksums, String>, Failure> {
        let Some(journal) = self.in_place_of_the_source(subject)? else { return Ok(Err(no_place(subject))) };
        let documents = journal.end().position.offset - journal.begins_at();
        let passes = usize::try_from(documents / KEYS_MAX + 1).unwrap_or(RANGES).min(RANGES);
        let mut sums = Checksums::default();
        for pass in 0..passes {
            let hash = |document: &str| {
                let mut row = Vec::new();
                hasher.of_document(document, &mut row)?;
                hasher.hash(&row)
            };
            match rows(&journal, subject, |range| range % passes == pass, hash)? {
                Some(rows) => rows.into_iter().for_each(|row| sums.add(row)),
                None => return Ok(Err(no_place(subject))),
            }
        }
        Ok(Ok(sums))
    }

    /// The rows of some key ranges, as they are told, in place of the source.
    pub(super) fn rows(
        self,
        subject: &Subject,
        hasher: &mut Hasher,
        ranges: &BTreeSet<usize>,
    ) -> Result<Result<Vec<Bytes>, String>, Failure> {
        let Some(journal) = self.in_place_of_the_source(subject)? else { return Ok(Err(no_place(subject))) };
        let told = |document: &str| {
            let mut row = Vec::new();
            hasher.of_document(document, &mut row)?;
            hasher.told(&row)
        };
        let rows = rows(&journal, subject, |range| ranges.contains(&range), told)?;
        Ok(rows.ok_or_else(|| no_place(subject)))
    }

    /// One that holds all rows there ever were, each whole.
    fn in_place_of_the_source(self, subject: &Subject) -> Result<Option<Inspection>, Failure> {
        let [(capture, _)] = &subject.sources[..] else { return Ok(None) };
        let Some(journal) = self.of(capture)?.filter(|_| subject.is_of_whole_rows()) else { return Ok(None) };
        let holds_all = journal.begins_at() == 0 && journal.holds_all_of(subject.collection()).map_err(damaged)?;
        Ok(holds_all.then_some(journal))
    }

    /// Says of the first differences why they are there.
    pub(super) fn explain(self, comparison: &mut Comparison, limit: usize) -> Result<(), Failure> {
        let Comparison { subject, hasher, differences, .. } = comparison;
        let keys: BTreeSet<Vec<u8>> = differences.keys().take(limit).cloned().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let skips = self.0.skips(&subject.task)?;
        let mut said = BTreeMap::new();
        let mut begins_at = 0;
        for (capture, _) in &subject.sources {
            let Some(journal) = self.of(capture)? else { continue };
            let mut reader = journal.reader(Filter::All);
            begins_at = begins_at.max(journal.begins_at());
            let last = history::last_of(&mut *reader, subject, &keys)?;
            said.extend(last.into_iter().map(|(key, last)| (key, (journal.id(), last))));
        }
        for (key, (difference, because)) in differences.iter_mut().take(limit) {
            let last = said.get(key);
            let is_set_aside = |offset| {
                let of_journal = |skip: &Skip| Some(skip.at.journal) == last.map(|(id, _)| *id);
                skips.iter().any(|skip| skip.at.offset == offset && of_journal(skip) && skip.replayed_at.is_none())
            };
            let last = last.map(|(_, last)| last);
            *because = Some(explain::because(hasher, difference, last, begins_at, is_set_aside)?);
        }
        Ok(())
    }
}

fn rows<T>(
    journal: &Inspection,
    subject: &Subject,
    wants: impl Fn(usize) -> bool,
    make: impl FnMut(&str) -> Result<T, Error>,
) -> Result<Option<Vec<T>>, Failure> {
    let mut reader = journal.reader(Filter::All);
    let rows = history::rows(&mut *reader, subject, wants, make)?;
    Ok(rows.map(|rows| rows.into_values().collect()))
}

fn no_place(subject: &Subject) -> String {
    format!("and the journal does not have all of {} as whole rows that stand for it", subject.collection())
}
