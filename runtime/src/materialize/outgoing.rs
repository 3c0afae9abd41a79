//! Cuts the Loads and Stores of a transaction into messages. Where it cuts depends on the documents and on nothing else: read again, the
//! same transaction is the same messages.

use longshore_proto::Error;
use longshore_proto::batch::{Batch, BatchBuilder, KeysBuilder};
use longshore_proto::materialize::message::{Exists, Load, Store, ToConnector};

use super::gather::{Planned, Sink};
use super::reduce::{Record, Sorted};

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

/// Makes Loads of sorted keys.
pub(super) struct Loads<'a> {
    targets: Vec<(u32, usize, bool)>,
    outlet: Outlet<'a>,
    binding: usize,
    keys: KeysBuilder,
}

impl<'a> Loads<'a> {
    pub(super) fn new(targets: &[Planned], outlet: Outlet<'a>) -> Self {
        Self { targets: by_rank(targets), outlet, binding: 0, keys: KeysBuilder::new() }
    }

    pub(super) fn key(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let (_, binding, wants_existence) = self.targets[record.binding as usize];
        if !wants_existence {
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
            Some(keys) => (self.outlet)(ToConnector::Load(Load { binding: self.binding, keys, keys_only: true })),
            None => Ok(()),
        }
    }
}

/// Makes Stores.
pub(super) struct Stores<'a> {
    targets: Vec<(u32, usize, bool)>,
    outlet: Outlet<'a>,
    rows: Rows,
    /// One for each delta binding that has documents, by index.
    deltas: Vec<Option<BatchBuilder>>,
    existing: Walk,
    tally: Tally,
}

/// Rows of one standard binding, until they are a message.
struct Rows {
    documents: BatchBuilder,
    keys: KeysBuilder,
    exists: Vec<Exists>,
    deletes: Vec<bool>,
}

/// The least existing key that is not passed yet.
#[derive(Default)]
struct Walk {
    begun: bool,
    at: Option<(u32, Vec<u8>)>,
}

impl<'a> Stores<'a> {
    pub(super) fn new(targets: &[Planned], outlet: Outlet<'a>) -> Self {
        Self {
            targets: by_rank(targets),
            outlet,
            rows: Rows::of(0),
            deltas: targets.iter().map(|_| None).collect(),
            existing: Walk::default(),
            tally: (0..targets.len()).map(|binding| (binding, 0, 0)).collect(),
        }
    }

    /// The next row, in the order of binding and key.
    pub(super) fn row(&mut self, record: &Record<'_>, existing: &mut Sorted<'_>) -> Result<(), Error> {
        let (_, binding, wants_existence) = self.targets[record.binding as usize];
        let rows = &self.rows.documents;
        if binding != rows.binding() || rows.byte_len() >= MESSAGE_BYTES || !rows.fits(record.document.len()) {
            self.rows_end()?;
        }
        if self.rows.documents.is_empty() {
            self.rows = Rows::of(binding);
        }
        let exists = match wants_existence {
            false => Exists::Unknown,
            true if self.existing.holds(record, existing)? => Exists::Present,
            true => Exists::Absent,
        };
        self.rows.documents.push(record.document);
        self.rows.keys.push(record.key_json);
        self.rows.exists.push(exists);
        self.rows.deletes.push(record.delete);
        self.count(binding, 1, record.document.len());
        Ok(())
    }

    /// Sends the rows there are.
    pub(super) fn rows_end(&mut self) -> Result<(), Error> {
        let Rows { documents, keys, exists, deletes } = &mut self.rows;
        let Some(documents) = documents.finish() else { return Ok(()) };
        let mut exists = std::mem::take(exists);
        if exists.iter().all(|exists| *exists == Exists::Unknown) {
            exists.clear();
        }
        let mut deletes = std::mem::take(deletes);
        if !deletes.contains(&true) {
            deletes.clear();
        }
        (self.outlet)(ToConnector::Store(Store { documents, keys: keys.finish(), exists, deletes }))
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
        }
    }
}

impl Walk {
    /// Both come in the same order, so each is walked once.
    fn holds(&mut self, record: &Record<'_>, existing: &mut Sorted<'_>) -> Result<bool, Error> {
        if !self.begun {
            self.begun = true;
            self.step(existing)?;
        }
        let wanted = (record.binding, record.key_encoded);
        while self.at.as_ref().is_some_and(|(binding, key)| (*binding, key.as_slice()) < wanted) {
            self.step(existing)?;
        }
        Ok(self.at.as_ref().is_some_and(|(binding, key)| (*binding, key.as_slice()) == wanted))
    }

    fn step(&mut self, existing: &mut Sorted<'_>) -> Result<(), Error> {
        self.at = existing.next_record()?.map(|record| (record.binding, record.key_encoded.to_vec()));
        Ok(())
    }
}

fn delta(documents: Batch) -> ToConnector {
    ToConnector::Store(Store { documents, keys: None, exists: Vec::new(), deletes: Vec::new() })
}

/// Rank, index in the session, wants_existence; sorted by rank, which is dense.
fn by_rank(targets: &[Planned]) -> Vec<(u32, usize, bool)> {
    let mut by_rank: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(index, planned)| (planned.rank, index, planned.target.wants_existence))
        .collect();
    by_rank.sort_unstable();
    by_rank
}
