//! Reads journals into the transaction that is being made, whole journal transactions at a time, and gives it back as Loads and Stores.
//!
//! Standard bindings go through the reduction, documents of delta bindings through [`super::deltas`]. What is read when is decided in
//! [`super::transaction`]; the messages are cut in [`super::outgoing`]. All calls block: they belong on a thread that may.

mod controls;
mod rejected;
mod renewal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longshore_proto::Error;
use longshore_proto::batch::{Batch, BatchBuilder};
use longshore_proto::document::{Op, Scanned};
use longshore_proto::materialize::message::ToConnector;

use super::checkpoint::Place;
use super::deltas::{Deltas, Held, Piece};
use super::existing::{self, Existing, Present};
use super::fold::Rules;
use super::outgoing::{Loads, Outlet, Stores, Tally};
use super::reduce::{Budget, Key, Reduction};
use super::resume::Standing;
use super::skips::{self, Skips};
use super::takers::{Taken, Takers};
use super::target::{Planned, Target, planned};
use super::transaction::{Advanced, Then};
use super::turns::{Ends, Selection};
use crate::journal::{Entry, Filter, Journal, JournalError, JournalId, LocalId, Position, Reader, Resent, Schemas};
use crate::store::{Skip, SkipId};
pub(super) use controls::Whole;

/// One step of reading ends after so many bytes: a decision may follow.
const STEP_BYTES: u64 = 1 << 20;

/// A journal that the task reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// It was acquired in this process: its end is known.
    pub journal: Arc<dyn Journal>,
    /// The newest schemas that the session's spec was made of.
    pub schemas: Schemas,
}

/// See the module.
#[derive(Debug)]
pub struct Gatherer {
    sources: BTreeMap<JournalId, Open>,
    targets: Vec<Planned>,
    selection: Selection,
    takers: Takers,
    /// How far each reading of the selection is.
    reached: Vec<Position>,
    /// Journals take turns in being read first.
    first: usize,
    reduction: Reduction,
    deltas: Deltas,
    present: Present,
    scanned: Scanned,
    /// The task whose documents these are.
    task: String,
    skips: Skips,
    /// By target: what happens to its rows as a whole.
    wholes: Vec<Whole>,
    /// By target: documents of this transaction that are passed over.
    passed_over: Vec<u64>,
    /// Letters that stand again in this transaction.
    replayed: u64,
}

/// A journal that is being read.
#[derive(Debug)]
struct Open {
    reader: Box<dyn Reader>,
    schemas: Schemas,
    at: Position,
}

/// What the Stores of a transaction came to.
#[derive(Debug, Default)]
pub struct Stored {
    /// By binding of the session.
    pub rows: Tally,
    /// By binding: documents that are dead letters once the transaction is committed.
    pub passed_over: Vec<u64>,
    /// Letters that do not wait any more then.
    pub replayed: u64,
}

/// Where a batch was read.
#[derive(Debug, Clone, Copy)]
struct Origin {
    /// Of the selection.
    reading: usize,
    /// Offset of its first document.
    first: u64,
    /// It is a letter that is sent again.
    again: bool,
}

impl Gatherer {
    /// Stands nowhere yet: begin with a selection.
    pub fn new(
        sources: Vec<Source>,
        targets: Vec<Target>,
        (task, skips): (&str, Skips),
        Budget { bytes: budget_bytes, spill_dir }: Budget,
    ) -> Result<Self, Error> {
        let targets = planned(targets)?;
        let collections: BTreeSet<String> = targets.iter().map(|t| t.target.binding.collection.name.clone()).collect();
        let mut open = BTreeMap::new();
        for Source { journal, schemas } in sources {
            let id = journal
                .id()
                .ok_or_else(|| Error::internal("materialize.journal", "a journal to be read was never acquired"))?;
            let reader = journal.reader(Filter::Collections(collections.clone()));
            open.insert(id, Open { reader, schemas, at: Position::BEGINNING });
        }
        let deltas = targets.iter().filter(|t| t.target.binding.delta_updates).count();
        let delta_bytes = match deltas {
            0 => 0,
            n if n == targets.len() => budget_bytes,
            _ => budget_bytes / 2,
        };
        let budget = |bytes| Budget { bytes, spill_dir: spill_dir.clone() };
        let existing = Existing::new(&targets, budget(budget_bytes / 8));
        let mut rules: Vec<_> = targets.iter().map(|planned| (planned.rank, planned.rule.clone())).collect();
        rules.sort_unstable_by_key(|(rank, _)| *rank);
        let rules = Rules::new(rules.into_iter().map(|(_, rule)| rule).collect());
        Ok(Self {
            sources: open,
            wholes: vec![Whole::default(); targets.len()],
            passed_over: vec![0; targets.len()],
            replayed: 0,
            takers: Takers::new(
                targets.iter().map(|planned| (&planned.place, planned.target.binding.collection.name.as_str())),
            ),
            targets,
            task: task.to_owned(),
            skips,
            selection: Selection::default(),
            reached: Vec::new(),
            first: 0,
            reduction: Reduction::new(budget(budget_bytes - delta_bytes), rules),
            deltas: Deltas::new(delta_bytes),
            present: Arc::new(std::sync::Mutex::new(existing)),
            scanned: Scanned::default(),
        })
    }

    /// Where answers to Loads go.
    #[must_use]
    pub fn present(&self) -> Present {
        Arc::clone(&self.present)
    }

    /// Forgets what was read and begins with this.
    pub fn begin(&mut self, selection: Selection) {
        self.reduction.clear();
        self.deltas.begin(selection.readings.iter().map(|reading| reading.start));
        existing::lock(&self.present).clear();
        self.reached = selection.readings.iter().map(|reading| reading.start).collect();
        self.first = self.first.wrapping_add(1);
        self.wholes.fill(Whole::default());
        self.passed_over.fill(0);
        self.replayed = 0;
        self.takers.begin(&selection);
        self.selection = selection;
        self.begin_renewals();
    }

    /// Reads on: whole transactions, until it has done enough for one step or nothing more is there. `abandon` ends it early; what was read
    /// is then of no more use.
    pub fn advance(&mut self, ends: &Ends, abandon: &AtomicBool) -> Result<Advanced, Error> {
        let mut advanced = Advanced::default();
        let (first, readings) = (self.first, self.selection.readings.len());
        for reading in (0..readings).map(|i| (i + first) % readings) {
            advanced.then = self.read_journal(reading, ends, abandon, &mut advanced)?;
            if advanced.then != Then::Nothing {
                break;
            }
        }
        let journals = self.selection.readings.iter().map(|reading| reading.journal);
        advanced.positions = journals.zip(self.reached.iter().copied()).collect();
        Ok(advanced)
    }

    /// Loads of the keys of bindings that want to know what exists, or reduce onto what is there.
    pub fn loads(&mut self, outlet: Outlet<'_>) -> Result<(), Error> {
        if !self.targets.iter().any(Planned::loads) {
            return Ok(());
        }
        let mut loads = Loads::new(&self.targets, &self.wholes, outlet);
        let mut sorted = self.reduction.sorted()?;
        while let Some(record) = sorted.next_key()? {
            loads.key(&record)?;
        }
        loads.finish()
    }

    /// Stores of the whole transaction: the standard bindings' by key, then the delta bindings' in the order of their journals.
    pub fn stores(&mut self, outlet: Outlet<'_>) -> Result<Stored, Error> {
        for (binding, whole) in self.wholes.iter().enumerate() {
            whole.messages(binding).try_for_each(&mut *outlet)?;
        }
        let mut stores = Stores::new(&self.targets, &self.wholes, outlet);
        {
            let mut existing = existing::lock(&self.present);
            let mut existing = existing.sorted()?;
            let mut sorted = self.reduction.sorted()?;
            while let Some(record) = sorted.next_record()? {
                stores.row(&record, &mut existing)?;
            }
        }
        stores.rows_end()?;
        for (i, Held { pieces, until, .. }) in self.deltas.take().into_iter().enumerate() {
            for Piece { target, batch, from, to } in pieces {
                stores.documents(target, &batch, from, to)?;
            }
            self.read_deltas_again(i, until, &mut stores)?;
        }
        Ok(Stored { rows: stores.finish()?, passed_over: self.passed_over.clone(), replayed: self.replayed })
    }

    /// How a journal stands to a position in what somebody remembers of it, for one who reads this collection.
    pub fn standing(journal: &dyn Journal, position: Position, collection: &str) -> Result<Standing, JournalError> {
        if position == Position::BEGINNING {
            return Ok(if journal.holds_all_of(collection)? { Standing::Has } else { Standing::Trimmed });
        }
        let end = journal.committed().borrow().map_or(Position::BEGINNING, |end| end.position);
        if position.offset > end.offset {
            return Ok(Standing::Short);
        }
        match journal.reader(Filter::Collections(BTreeSet::new())).seek(position) {
            Ok(()) => Ok(Standing::Has),
            Err(JournalError::UnknownPosition { .. }) => Ok(Standing::Differs),
            Err(JournalError::Trimmed { .. }) => Ok(Standing::Trimmed),
            Err(
                error @ (JournalError::Fenced { .. }
                | JournalError::Corrupt { .. }
                | JournalError::NewerVersion { .. }
                | JournalError::Unknown { .. }
                | JournalError::Io { .. }
                | JournalError::OtherJournal { .. }
                | JournalError::TransactionTooLarge { .. }
                | JournalError::Refused { .. }),
            ) => Err(error),
        }
    }

    fn read_journal(&mut self, i: usize, ends: &Ends, abandon: &AtomicBool, sum: &mut Advanced) -> Result<Then, Error> {
        let reading = &self.selection.readings[i];
        let (journal, own) = (reading.journal, reading.limit);
        let limit = [own, ends.get(&journal).copied()].into_iter().flatten().min();
        self.stand_at(journal, self.reached[i])?;
        let enough = sum.bytes + STEP_BYTES;
        while limit.is_none_or(|limit| self.reached[i].offset < limit) {
            if sum.bytes >= enough || abandon.load(Ordering::Relaxed) {
                return Ok(Then::More);
            }
            match self.read_transaction(i, abandon, sum)? {
                Passed::End(end) => {
                    if own.is_some_and(|limit| end.offset > limit) {
                        let message = format!(
                            "journal {journal}: no transaction ends at the position of another binding, offset {own:?}"
                        );
                        return Err(Error::internal("materialize.limit", message));
                    }
                    if !self.renew(i, end, abandon, sum)? {
                        return Ok(Then::More);
                    }
                    self.reached[i] = end;
                    self.deltas.transaction_ends(i, end);
                    self.open(journal)?.at = end;
                }
                Passed::Nothing => return Ok(Then::Nothing),
                Passed::NewerSchema { inside } => return Ok(Then::NewerSchema { inside }),
                Passed::Abandoned => return Ok(Then::More),
            }
        }
        Ok(Then::Nothing)
    }

    fn read_transaction(&mut self, i: usize, abandon: &AtomicBool, sum: &mut Advanced) -> Result<Passed, Error> {
        let journal = self.selection.readings[i].journal;
        let mut inside = false;
        loop {
            if abandon.load(Ordering::Relaxed) {
                self.open(journal)?.at = NOWHERE;
                return Ok(Passed::Abandoned);
            }
            let open = self.open(journal)?;
            match open.reader.next()? {
                None => return Ok(Passed::Nothing),
                Some(Entry::Commit(committed)) => return Ok(Passed::End(committed.end)),
                // A letter is no document, and one that was replayed stands among them.
                Some(Entry::Bindings(_) | Entry::Letter { .. } | Entry::Settled { .. }) => {}
                Some(Entry::Schema { local, version, .. }) => {
                    let known = open.schemas.get(&local).map_or(0, |schema| schema.version);
                    if version > known && self.is_read(i, local) {
                        self.open(journal)?.at = NOWHERE;
                        return Ok(Passed::NewerSchema { inside });
                    }
                }
                Some(Entry::Documents { local, first_offset, documents }) => {
                    let taken = self.taken(i, local, first_offset, documents.len());
                    let from = Origin { reading: i, first: first_offset, again: false };
                    inside |= self.take(from, taken, &documents, sum)?;
                }
                Some(Entry::Resent { offset, resent, .. }) if resent.task == self.task => {
                    let Some((target, documents)) = self.resent(i, offset, &resent) else { continue };
                    let place = self.targets[target].place.clone();
                    let SkipId { journal, binding, .. } = self.named(target, offset);
                    self.skips.replayed(&place, resent.letter, offset);
                    self.replayed += 1;
                    sum.replayed.push((SkipId { journal, binding, offset: resent.letter }, offset));
                    let from = Origin { reading: i, first: offset, again: true };
                    inside |= self.take(from, vec![Taken { target, from: 0, to: 1 }], &documents, sum)?;
                }
                Some(Entry::Resent { .. }) => {}
                Some(Entry::Control { local, offset, control }) => {
                    for Taken { target, .. } in self.taken(i, local, offset, 1) {
                        if self.control(target, offset, control)? {
                            (sum.documents, inside) = (sum.documents + 1, true);
                        }
                    }
                }
            }
        }
    }

    /// Whether some binding of the reading takes what has this number in the journal.
    fn is_read(&self, i: usize, local: LocalId) -> bool {
        let collection = self.collection(self.selection.readings[i].journal, local);
        collection.is_some_and(|collection| !self.takers.of(i, collection).is_empty())
    }

    /// What is passed over counts as a document too: the transaction that passes it makes it a letter.
    fn take(&mut self, of: Origin, taken: Vec<Taken>, batch: &Batch, sum: &mut Advanced) -> Result<bool, Error> {
        let (before, mut rows) = (sum.documents, Vec::new());
        for whole in taken {
            sum.documents += (whole.to - whole.from) as u64;
            let mut passed_over = whole.to - whole.from;
            for taken in self.left_of(whole, of.first) {
                let part = || batch.documents().skip(taken.from).take(taken.to - taken.from);
                passed_over -= taken.to - taken.from;
                sum.bytes += part().map(|document| document.len() as u64).sum::<u64>();
                if self.targets[taken.target].target.binding.delta_updates {
                    let Taken { target, from, to } = taken;
                    self.deltas.hold(of.reading, Piece { target, batch: batch.clone(), from, to });
                } else {
                    rows.push(taken);
                }
            }
            self.passed_over[whole.target] += passed_over as u64;
        }
        if !rows.is_empty() {
            self.reduce(&rows, of, batch, &mut sum.joined)?;
        }
        Ok(sum.documents > before)
    }

    /// Without what the destination refused: most batches are left whole.
    fn left_of(&self, taken: Taken, first: u64) -> impl Iterator<Item = Taken> + use<> {
        let Taken { target, from, to } = taken;
        let passed = self.skips.of(&self.targets[target].place);
        let (whole, parts) = match passed.and_then(|passed| passed.without(first, (from, to))) {
            None => (Some(taken), Vec::new()),
            Some(parts) => (None, parts),
        };
        whole.into_iter().chain(parts.into_iter().map(move |(from, to)| Taken { target, from, to }))
    }

    /// The binding of ours that a letter is sent to again, if this reading takes it, and the letter as a batch.
    fn resent(&self, i: usize, offset: u64, resent: &Resent) -> Option<(usize, Batch)> {
        let place = Place { journal: self.selection.readings[i].journal, binding: resent.binding.clone() };
        let target = self.takers.at(i, &place, offset)?;
        let mut batch = BatchBuilder::new(target);
        batch.push(&resent.document);
        Some((target, batch.finish()?))
    }

    fn named(&self, target: usize, offset: u64) -> SkipId {
        let Place { journal, binding } = self.targets[target].place.clone();
        SkipId { journal, binding, offset }
    }

    fn taken(&self, i: usize, local: LocalId, first: u64, documents: usize) -> Vec<Taken> {
        let collection = self.collection(self.selection.readings[i].journal, local);
        collection.map_or_else(Vec::new, |collection| self.takers.taken(i, collection, first, documents))
    }

    /// All of these read one collection, so a document's key is taken out once.
    fn reduce(&mut self, rows: &[Taken], of: Origin, batch: &Batch, joined: &mut Vec<Skip>) -> Result<(), Error> {
        let Self { targets, reduction, scanned, skips, passed_over, .. } = self;
        let held = reduction.hold(batch)?;
        for (i, document) in batch.documents().enumerate() {
            let mut takers = rows.iter().filter(|taken| (taken.from..taken.to).contains(&i)).peekable();
            let Some(first) = takers.peek() else { continue };
            let planned = &mut targets[first.target];
            planned.scanner.take(document, scanned).map_err(|error| {
                error.while_doing(format!(
                    "reading collection {} from its journal",
                    planned.target.binding.collection.name
                ))
            })?;
            let (delete, offset) = (scanned.op == Op::Delete, of.first + i as u64);
            for taken in takers {
                let planned = &targets[taken.target];
                // A letter that is sent again waits for no other: whoever sent it has seen to their order.
                let waits = planned.rule.is_some() && !of.again;
                let passed = if waits { skips.of(&planned.place) } else { None };
                if let Some(behind) = passed.and_then(|passed| passed.holds(&scanned.key_encoded, offset)) {
                    let Place { journal, binding } = planned.place.clone();
                    let (at, of) = (SkipId { journal, binding, offset }, &planned.target.binding.collection.name);
                    let skip = skips::joined(at, of, &scanned.key_json, behind, document.len());
                    skips.add(&skip)?;
                    joined.push(skip);
                    passed_over[taken.target] += 1;
                    continue;
                }
                if delete && !planned.target.takes_deletes {
                    return Err(no_deletes(planned, &scanned.key_json).at_binding(taken.target));
                }
                let key = Key { encoded: &scanned.key_encoded, json: &scanned.key_json };
                reduction.push(held, i, planned.rank, key, delete);
            }
        }
        Ok(())
    }

    /// What of a reading was not kept.
    fn read_deltas_again(&mut self, i: usize, from: Position, stores: &mut Stores<'_>) -> Result<(), Error> {
        let (journal, until) = (self.selection.readings[i].journal, self.reached[i]);
        if from == until {
            return Ok(());
        }
        self.stand_at(journal, from)?;
        let mut at = from;
        while at.offset < until.offset {
            match self.open(journal)?.reader.next()? {
                Some(Entry::Documents { local, first_offset, documents }) => {
                    let taken = self.taken(i, local, first_offset, documents.len());
                    let left = taken.into_iter().flat_map(|whole| self.left_of(whole, first_offset));
                    for Taken { target, from, to } in left {
                        if self.targets[target].target.binding.delta_updates {
                            stores.documents(target, &documents, from, to)?;
                        }
                    }
                }
                Some(Entry::Resent { offset, resent, .. }) if resent.task == self.task => {
                    let Some((target, documents)) = self.resent(i, offset, &resent) else { continue };
                    let is_delta = self.targets[target].target.binding.delta_updates;
                    for Taken { target, from, to } in self.left_of(Taken { target, from: 0, to: 1 }, offset) {
                        if is_delta {
                            stores.documents(target, &documents, from, to)?;
                        }
                    }
                }
                Some(Entry::Commit(committed)) => at = committed.end,
                Some(
                    Entry::Bindings(_)
                    | Entry::Schema { .. }
                    | Entry::Control { .. }
                    | Entry::Letter { .. }
                    | Entry::Settled { .. }
                    | Entry::Resent { .. },
                ) => {}
                None => {
                    let message = format!("journal {journal} ends before {until}, which was read before");
                    return Err(Error::internal("materialize.again", message));
                }
            }
        }
        self.open(journal)?.at = at;
        Ok(())
    }

    fn stand_at(&mut self, journal: JournalId, position: Position) -> Result<(), Error> {
        let open = self.open(journal)?;
        if open.at != position {
            open.reader.seek(position)?;
            open.at = position;
        }
        Ok(())
    }

    fn open(&mut self, journal: JournalId) -> Result<&mut Open, Error> {
        let missing =
            || Error::internal("materialize.journal", format!("journal {journal} is not one of this session's"));
        self.sources.get_mut(&journal).ok_or_else(missing)
    }

    fn collection(&self, journal: JournalId, local: LocalId) -> Option<&str> {
        let row = self.sources.get(&journal)?.reader.bindings().row(local)?;
        Some(&row.collection)
    }
}

/// No reader stands here: the next one has to seek.
const NOWHERE: Position = Position { offset: u64::MAX, chain_crc: 0 };

/// What reading one transaction came to.
enum Passed {
    End(Position),
    Nothing,
    NewerSchema { inside: bool },
    Abandoned,
}

fn no_deletes(planned: &Planned, key_json: &[u8]) -> Error {
    let (collection, key) = (&planned.target.binding.collection.name, String::from_utf8_lossy(key_json));
    Error::data(
        "materialize.deletes",
        format!("{collection}: the document of key {key} deletes its row, the destination takes no deletes"),
    )
    .suggest("set `delta_updates: true` on the binding: then the delete is stored as a document")
}

/// What is sent, one message at a time; blocks while there is no room.
pub type Sink<'a> = dyn FnMut(ToConnector) -> Result<(), Error> + 'a;

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
