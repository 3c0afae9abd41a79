//! Cuts the Loads and Stores of a transaction into messages. Where it cuts depends on the documents and on nothing else: read again, the
//! same transaction is the same messages.

use longshore_proto::Error;
use longshore_proto::batch::{Batch, BatchBuilder, KeysBuilder};
use longshore_proto::materialize::message::{Exists, Load, Store, ToConnector};

use super::existing::Walk;
use super::fold::{Part, Rule};
use super::gather::{Sink, Whole};
use super::reduce::{Record, Sorted};
use super::target::Planned;

/// A message of several keys or documents holds about so much.
const MESSAGE_BYTES: usize = 1 << 20;
/// A Load holds no more keys than this.
const LOAD_KEYS: usize = 8192;
/// A batch of the journal that is this large goes on as it is.
const WHOLE_BATCH_BYTES: usize = 256 << 10;

/// Where messages go.
pub type Outlet<'a> = &'a mut Sink<'a>;

/// Rows and bytes that were stored, by binding of the session.
pub type Tally = Vec<(usize, u64, u64)>;

/// A binding, as its rank finds it.
struct Ranked {
    rank: u32,
    /// Its index in the session.
    binding: usize,
    loads: bool,
    /// What is stored meets no row.
    resets: bool,
    /// Reduces a document onto the row that is there.
    onto_row: Option<Rule>,
    is_reduced: bool,
    stores_parts: bool,
}

/// Makes Loads of sorted keys.
pub(super) struct Loads<'a> {
    targets: Vec<Ranked>,
    outlet: Outlet<'a>,
    binding: usize,
    keys: KeysBuilder,
}

impl<'a> Loads<'a> {
    pub(super) fn new(targets: &[Planned], wholes: &[Whole], outlet: Outlet<'a>) -> Self {
        Self { targets: by_rank(targets, wholes), outlet, binding: 0, keys: KeysBuilder::new() }
    }

    pub(super) fn key(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let Ranked { binding, loads, resets, .. } = self.targets[record.binding as usize];
        if !loads || resets {
            return Ok(());
        }
        if binding != self.binding || self.keys.len() >= LOAD_KEYS || self.keys.byte_len() >= MESSAGE_BYTES {
            self.send()?;
        }
        self.binding = binding;
        self.keys.push(record.key_json);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.send()
    }

    fn send(&mut self) -> Result<(), Error> {
        match self.keys.finish() {
            Some(keys) => {
                let of = self.targets.iter().find(|ranked| ranked.binding == self.binding);
                let keys_only = of.is_none_or(|ranked| ranked.onto_row.is_none());
                (self.outlet)(ToConnector::Load(Load { binding: self.binding, keys, keys_only }))
            }
            None => Ok(()),
        }
    }
}

/// Makes Stores.
pub(super) struct Stores<'a> {
    targets: Vec<Ranked>,
    outlet: Outlet<'a>,
    rows: Rows,
    /// One for each delta binding that has documents, by index.
    deltas: Vec<Option<BatchBuilder>>,
    existing: Walk,
    /// A document that had to be made.
    made: Vec<u8>,
    tally: Tally,
}

/// Rows of one standard binding, until they are a message.
struct Rows {
    documents: BatchBuilder,
    keys: KeysBuilder,
    exists: Vec<Exists>,
    deletes: Vec<bool>,
    replaces: Vec<bool>,
    partial_updates: Vec<bool>,
}

impl<'a> Stores<'a> {
    pub(super) fn new(targets: &[Planned], wholes: &[Whole], outlet: Outlet<'a>) -> Self {
        Self {
            targets: by_rank(targets, wholes),
            outlet,
            rows: Rows::of(0),
            deltas: targets.iter().map(|_| None).collect(),
            existing: Walk::default(),
            made: Vec::new(),
            tally: (0..targets.len()).map(|binding| (binding, 0, 0)).collect(),
        }
    }

    /// The next row, in the order of binding and key.
    pub(super) fn row(&mut self, record: &Record<'_>, existing: &mut Sorted<'_>) -> Result<(), Error> {
        let ranked = &self.targets[record.binding as usize];
        let Ranked { binding, loads, resets, onto_row, .. } = ranked;
        let (binding, resets) = (*binding, *resets);
        let row = if *loads && !resets { self.existing.row(record, existing)? } else { None };
        let exists = match (loads, row) {
            (false, _) => Exists::Unknown,
            (true, Some(_)) => Exists::Present,
            (true, None) => Exists::Absent,
        };
        let part = match (onto_row, row) {
            (Some(rule), Some(row)) => {
                rule.fold(&[Part::read(row, false), record.part], record.key_json, &mut self.made)?
            }
            (Some(_), None) | (None, _) => record.part,
        };
        let part = Part { resets: part.resets || resets, ..part };
        if !self.rows.takes(binding, part.document.len()) {
            self.rows.send(self.outlet)?;
        }
        self.rows.push(ranked, record.key_json, part, exists);
        self.tally[binding].1 += 1;
        self.tally[binding].2 += part.document.len() as u64;
        Ok(())
    }

    /// Sends the rows there are.
    pub(super) fn rows_end(&mut self) -> Result<(), Error> {
        self.rows.send(self.outlet)
    }

    /// Documents of a delta binding, in order.
    pub(super) fn documents(&mut self, binding: usize, batch: &Batch, from: usize, to: usize) -> Result<(), Error> {
        let is_whole = (from, to) == (0, batch.len());
        if is_whole && batch.byte_len() >= WHOLE_BATCH_BYTES {
            self.delta_ends(binding)?;
            self.count(binding, batch.len() as u64, batch.byte_len());
            return (self.outlet)(delta(batch.clone().with_binding(binding)));
        }
        for document in batch.documents().skip(from).take(to - from) {
            let builder = self.deltas[binding].get_or_insert_with(|| BatchBuilder::new(binding));
            if builder.byte_len() >= MESSAGE_BYTES || !builder.fits(document.len()) {
                self.delta_ends(binding)?;
            }
            self.deltas[binding].get_or_insert_with(|| BatchBuilder::new(binding)).push(document);
            self.count(binding, 1, document.len());
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Tally, Error> {
        for binding in 0..self.deltas.len() {
            self.delta_ends(binding)?;
        }
        Ok(self.tally)
    }

    fn delta_ends(&mut self, binding: usize) -> Result<(), Error> {
        match self.deltas[binding].as_mut().and_then(BatchBuilder::finish) {
            Some(batch) => (self.outlet)(delta(batch)),
            None => Ok(()),
        }
    }

    fn count(&mut self, binding: usize, rows: u64, bytes: usize) {
        self.tally[binding].1 += rows;
        self.tally[binding].2 += bytes as u64;
    }
}

impl Rows {
    fn of(binding: usize) -> Self {
        Self {
            documents: BatchBuilder::new(binding),
            keys: KeysBuilder::new(),
            exists: Vec::new(),
            deletes: Vec::new(),
            replaces: Vec::new(),
            partial_updates: Vec::new(),
        }
    }

    /// Whether a document of so many bytes goes into the message there is.
    fn takes(&self, binding: usize, bytes: usize) -> bool {
        let documents = &self.documents;
        documents.is_empty()
            || (binding == documents.binding() && documents.byte_len() < MESSAGE_BYTES && documents.fits(bytes))
    }

    fn push(&mut self, ranked: &Ranked, key_json: &[u8], part: Part<'_>, exists: Exists) {
        if self.documents.is_empty() && self.documents.binding() != ranked.binding {
            *self = Self::of(ranked.binding);
        }
        self.documents.push(part.document);
        self.keys.push(key_json);
        self.exists.push(exists);
        self.deletes.push(part.delete);
        self.replaces.push(ranked.is_reduced && part.resets && !part.delete);
        self.partial_updates.push(ranked.stores_parts && !part.resets && !part.delete);
    }

    fn send(&mut self, outlet: &mut Sink<'_>) -> Result<(), Error> {
        let Some(documents) = self.documents.finish() else { return Ok(()) };
        let said = |flags: Vec<bool>| if flags.contains(&true) { flags } else { Vec::new() };
        let taken = |flags: &mut Vec<bool>| said(std::mem::take(flags));
        let (deletes, replaces) = (taken(&mut self.deletes), taken(&mut self.replaces));
        let partial_updates = taken(&mut self.partial_updates);
        let mut exists = std::mem::take(&mut self.exists);
        if exists.iter().all(|exists| *exists == Exists::Unknown) {
            exists.clear();
        }
        let keys = self.keys.finish();
        outlet(ToConnector::Store(Store { documents, keys, exists, deletes, replaces, partial_updates }))
    }
}

fn delta(documents: Batch) -> ToConnector {
    ToConnector::Store(Store::plain(documents, None))
}

/// Sorted by rank, which is dense.
fn by_rank(targets: &[Planned], wholes: &[Whole]) -> Vec<Ranked> {
    let ranked = |(binding, planned): (usize, &Planned)| Ranked {
        rank: planned.rank,
        binding,
        loads: planned.loads(),
        resets: wholes[binding].resets(),
        onto_row: planned.rule.clone().filter(|_| planned.loads_rows()),
        is_reduced: planned.rule.is_some(),
        stores_parts: planned.stores_parts,
    };
    let mut by_rank: Vec<_> = targets.iter().enumerate().map(ranked).collect();
    by_rank.sort_unstable_by_key(|ranked| ranked.rank);
    by_rank
}
