//! Batches that go to the server in one COPY: what has come for a table while the server took what was sent before. Each COPY costs the server
//! about as much as some hundred rows, whatever it brings.

use longshore_sdk::materialize::{Row, StoreBatch};

use super::Way;
use crate::copy::{Keys, Lines, Sending};

/// With so many bytes of documents no further batch is waited for.
const ENOUGH_BYTES: usize = 8 << 20;

/// Batches of one binding, whose lines are made.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) batches: Batches,
    pub(super) lines: Lines,
    /// Where the lines were made for.
    pub(super) way: Way,
}

/// Batches of one binding, one at least; how many rows they have, and bytes of documents.
#[derive(Debug)]
pub(super) struct Batches {
    each: Vec<StoreBatch>,
    rows: usize,
    bytes: usize,
}

/// A lot whose lines are on their way.
#[derive(Debug)]
pub(super) struct InTransit {
    pub(super) batches: Batches,
    pub(super) sending: Sending,
    pub(super) keys: Keys,
}

impl Lot {
    pub(super) fn new(batch: StoreBatch, lines: Lines, way: Way) -> Lot {
        Lot { batches: Batches::of(batch), lines, way }
    }

    pub(super) fn join(&mut self, batch: StoreBatch, lines: Lines) {
        self.lines.join(self.batches.rows, lines);
        self.batches.rows += batch.len();
        self.batches.bytes += batch.byte_len();
        self.batches.each.push(batch);
    }

    pub(super) fn is_enough(&self) -> bool {
        self.batches.bytes >= ENOUGH_BYTES
    }
}

impl Batches {
    pub(super) fn of(batch: StoreBatch) -> Batches {
        Batches { rows: batch.len(), bytes: batch.byte_len(), each: vec![batch] }
    }

    pub(super) fn binding(&self) -> usize {
        self.each[0].binding()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.each.iter().flat_map(StoreBatch::rows)
    }

    /// The lines of all of them, if `make` can make those of each.
    pub(super) fn lines(&self, mut make: impl FnMut(&StoreBatch) -> Option<Lines>) -> Option<Lines> {
        let mut rows = 0;
        self.each.iter().try_fold(Lines::default(), |mut all, batch| {
            all.join(rows, make(batch)?);
            rows += batch.len();
            Some(all)
        })
    }

    /// Key of the first row.
    pub(super) fn first_key(&self) -> Option<&[u8]> {
        self.rows().next().and_then(|row| row.key)
    }
}
