//! The first part of a transaction: how long documents are read into it, and for whom.

use std::collections::BTreeMap;

use longshore_proto::Error;

use super::{Action, Advanced, End, Head, Limits, Then, Transaction};
use crate::journal::Position;
use crate::materialize::checkpoint::{Checkpoint, Extent, Place};
use crate::materialize::skips::JOINED_MAX;
use crate::materialize::turns::{self, Ends, Reading, Selection, Take, Turn};

/// Documents are read.
#[derive(Debug)]
pub(super) struct Gathering {
    selection: Selection,
    /// It must come to exactly this.
    rerun: Option<Extent>,
    documents: u64,
    bytes: u64,
    age: Age,
    /// An Advance is under way.
    reading: bool,
}

/// What the next transaction will read if nothing comes in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// What it begins with.
    pub selection: Selection,
    /// How far it may go.
    pub ends: Ends,
    /// It closes with so many bytes.
    pub close_bytes: u64,
    /// Or with so many documents.
    pub close_documents: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    NoDocumentYet,
    /// Nothing but what is passed by, which is to be committed in time.
    OnlySkipped,
    Running,
    Over,
}

impl Gathering {
    fn of(selection: Selection, rerun: Option<Extent>) -> Self {
        Self { selection, rerun, documents: 0, bytes: 0, age: Age::NoDocumentYet, reading: false }
    }
}

impl Transaction {
    /// Begins the next transaction, with whoever's turn it is.
    pub(super) fn gather(&mut self, out: &mut Vec<Action>) {
        if turns::reached(&self.places, &self.ends) {
            if !self.has_skipped() {
                self.ending = Some(End::Drained);
                self.head = Head::Resting;
                return;
            }
            // It is there when that is committed.
            self.read(Selection::default(), None, Age::Over, out);
            return;
        }
        let mut selection = Selection::of(&self.places, self.turn, &self.ends);
        if selection.readings.is_empty() {
            self.take_turns();
            selection = Selection::of(&self.places, self.turn, &self.ends);
        }
        self.read(selection, None, Age::NoDocumentYet, out);
    }

    /// While a transaction is stored: what the next one will read, as far as that can be said.
    #[must_use]
    pub fn foresees(&self) -> Option<Foreseen> {
        let is_likely = matches!(self.head, Head::Storing(_))
            && self.ending.is_none()
            && !self.only_rerun
            && !turns::has_laggards(&self.places)
            && !turns::reached(&self.places, &self.ends);
        let selection = is_likely.then(|| Selection::of(&self.places, Turn::Leaders, &self.ends))?;
        let Limits { close_bytes, close_documents, .. } = self.limits;
        Some(Foreseen { selection, ends: self.ends.clone(), close_bytes, close_documents })
    }

    /// Begins with what was under way when the last session ended.
    pub(super) fn gather_again(&mut self, extent: Extent, out: &mut Vec<Action>) {
        self.read(Selection::exactly(&extent), Some(extent), Age::NoDocumentYet, out);
    }

    fn read(&mut self, selection: Selection, rerun: Option<Extent>, age: Age, out: &mut Vec<Action>) {
        self.joined.clear();
        self.replayed.clear();
        out.push(Action::Read(selection.clone()));
        self.head = Head::Gathering(Gathering { age, ..Gathering::of(selection, rerun) });
        self.advance(out);
    }

    /// After a transaction, or when there was nothing to do: the others.
    pub(super) fn take_turns(&mut self) {
        self.turn = match self.turn {
            Turn::Leaders if turns::has_laggards(&self.places) => Turn::Laggards,
            Turn::Leaders | Turn::Laggards => Turn::Leaders,
        };
    }

    pub(super) fn more_to_read(&mut self, out: &mut Vec<Action>) {
        if matches!(&self.head, Head::Gathering(gathering) if !gathering.reading) {
            self.advance(out);
        }
    }

    pub(super) fn ends_noted(&mut self, ends: Ends, out: &mut Vec<Action>) {
        self.ends = ends;
        // Whether they are reached is seen when this one, or the one under way, is back.
        self.more_to_read(out);
    }

    pub(super) fn aged(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        let has_skipped = self.has_skipped();
        let Head::Gathering(gathering) = &mut self.head else { return Ok(()) };
        if gathering.documents == 0 && !(has_skipped && gathering.age == Age::OnlySkipped) {
            return Ok(());
        }
        gathering.age = Age::Over;
        if gathering.reading { Ok(()) } else { self.close(out) }
    }

    pub(super) fn advanced(&mut self, advanced: Advanced, out: &mut Vec<Action>) -> Result<(), Error> {
        let Advanced { documents, bytes, positions, joined, replayed, then } = advanced;
        let limits = self.limits;
        // A session that is ending has dropped what was being read.
        let Head::Gathering(gathering) = &mut self.head else { return Ok(()) };
        self.joined.extend(joined);
        self.replayed.extend(replayed);
        gathering.reading = false;
        gathering.documents += documents;
        gathering.bytes += bytes;
        for reading in &gathering.selection.readings {
            let Some((_, position)) = positions.iter().find(|(journal, _)| *journal == reading.journal) else {
                continue;
            };
            for take in &reading.takes {
                let to = match gathering.rerun.as_ref().and_then(|extent| extent.spans.get(&take.place)) {
                    None => *position,
                    Some(span) if position.offset >= span.to.offset => span.to,
                    Some(_) => continue,
                };
                self.places.insert(take.place.clone(), to);
            }
        }
        match gathering.age {
            Age::NoDocumentYet | Age::OnlySkipped if gathering.documents > 0 => {
                gathering.age = Age::Running;
                out.push(Action::StartAge { ms: limits.close_age_ms });
            }
            Age::NoDocumentYet if self.commits_skipped && is_ahead(&self.committed, &self.places) => {
                gathering.age = Age::OnlySkipped;
                out.push(Action::StartAge { ms: limits.skipped_age_ms });
            }
            Age::NoDocumentYet | Age::OnlySkipped | Age::Running | Age::Over => {}
        }
        let full = gathering.bytes >= limits.close_bytes
            || gathering.documents >= limits.close_documents
            || self.joined.len() >= JOINED_MAX
            || gathering.age == Age::Over;
        let (is_rerun, is_empty) = (gathering.rerun.is_some(), gathering.documents == 0);
        match then {
            Then::NewerSchema { inside } => {
                self.ending = Some(End::SchemaGrew);
                if inside || is_empty {
                    self.head = Head::Resting
                } else {
                    self.close(out)?
                }
                Ok(())
            }
            Then::More if full && !is_rerun => self.close(out),
            Then::More => {
                self.advance(out);
                Ok(())
            }
            Then::Nothing => self.nothing_more(out),
        }
    }

    /// All there is was read.
    fn nothing_more(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        let Head::Gathering(gathering) = &self.head else { return Ok(()) };
        let others_wait = turns::has_laggards(&self.places) || self.turn == Turn::Laggards;
        if gathering.rerun.is_some() {
            return self.close(out);
        }
        if gathering.documents > 0 || gathering.age == Age::Over {
            let at_its_end = |reading: &Reading| {
                let offset = |take: &Take| self.places.get(&take.place).map_or(0, |at| at.offset);
                self.ends.get(&reading.journal).is_some_and(|end| reading.takes.iter().all(|take| offset(take) >= *end))
            };
            let ends = gathering.selection.readings.iter().all(at_its_end);
            // Else more may come until it is old enough.
            let is_over = others_wait || ends || gathering.age == Age::Over || self.limits.close_when_idle;
            return if is_over { self.close(out) } else { Ok(()) };
        }
        if others_wait || turns::reached(&self.places, &self.ends) {
            self.take_turns();
            self.gather(out);
        }
        Ok(())
    }

    fn advance(&mut self, out: &mut Vec<Action>) {
        if let Head::Gathering(gathering) = &mut self.head {
            gathering.reading = true;
            let ends = if gathering.rerun.is_some() { Ends::new() } else { self.ends.clone() };
            out.push(Action::Advance { ends });
        }
    }

    /// The transaction covers what was read so far.
    fn close(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        let head = std::mem::replace(&mut self.head, Head::Resting);
        let Head::Gathering(Gathering { rerun, .. }) = head else {
            return Err(self.unexpected_in(head, "the end of reading"));
        };
        let spans = Extent::between(&self.committed, &self.places);
        let extent = match rerun {
            Some(extent) if extent.spans == spans => extent,
            Some(extent) => {
                let message = format!(
                    "reading transaction {} again: expected {:?}, got {spans:?}",
                    extent.transaction, extent.spans
                );
                return Err(Error::internal("materialize.rerun", message));
            }
            None => {
                let transaction = self.last_number + 1;
                Extent { transaction, spec_version: self.spec_version, flushed_state: false, spans }
            }
        };
        self.last_number = self.last_number.max(extent.transaction);
        self.head = Head::Asking(extent);
        out.push(Action::SendLoads);
        Ok(())
    }

    /// Something was passed by that is to be committed too.
    fn has_skipped(&self) -> bool {
        self.commits_skipped && is_ahead(&self.committed, &self.places)
    }
}

fn is_ahead(committed: &Checkpoint, places: &BTreeMap<Place, Position>) -> bool {
    !Extent::between(committed, places).is_empty()
}
