//! Documents of delta bindings while a transaction is being made: what fits the budget is kept as it is, the rest is read from its journal
//! again when it is stored.
//!
//! What is kept is the beginning of each reading, in whole journal transactions, so that what comes out is one order, whatever fitted: per
//! reading first what was kept, then what has to be read again.

use longshore_proto::batch::Batch;

use crate::journal::Position;

/// See the module.
#[derive(Debug)]
pub(super) struct Deltas {
    budget_bytes: usize,
    held_bytes: usize,
    /// The budget was passed: no more is kept.
    full: bool,
    /// By reading of the selection.
    held: Vec<Held>,
}

/// A part of a batch for one binding.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) target: usize,
    pub(super) batch: Batch,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// What is kept of one reading.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pieces: Vec<Piece>,
    /// Everything before it is in `pieces`.
    pub(super) until: Position,
    /// So many pieces lie before `until`; those behind belong to a journal transaction whose end was not met yet.
    whole: usize,
}

impl Deltas {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, held_bytes: 0, full: false, held: Vec::new() }
    }

    /// Forgets everything; readings begin here.
    pub(super) fn begin(&mut self, starts: impl Iterator<Item = Position>) {
        (self.held_bytes, self.full) = (0, false);
        self.held = starts.map(|until| Held { pieces: Vec::new(), until, whole: 0 }).collect();
    }

    /// Documents that were read.
    pub(super) fn hold(&mut self, reading: usize, piece: Piece) {
        if self.full {
            return;
        }
        self.held_bytes += piece.batch.byte_len();
        if self.held_bytes > self.budget_bytes {
            self.full = true;
            self.held.iter_mut().for_each(|held| held.pieces.truncate(held.whole));
        } else {
            self.held[reading].pieces.push(piece);
        }
    }

    /// A journal transaction was read to its end.
    pub(super) fn transaction_ends(&mut self, reading: usize, end: Position) {
        if !self.full {
            let held = &mut self.held[reading];
            (held.until, held.whole) = (end, held.pieces.len());
        }
    }

    /// What was kept, by reading.
    pub(super) fn take(&mut self) -> Vec<Held> {
        let mut taken = std::mem::take(&mut self.held);
        taken.iter_mut().for_each(|held| held.pieces.truncate(held.whole));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { offset, chain_crc: 0 }
    }

    fn piece(target: usize, bytes: usize) -> Piece {
        let arena = format!("{:1$}", "{}", bytes);
        let ends = vec![u32::try_from(bytes).expect("small")];
        Piece { target, batch: Batch::from_parts(0, arena.into(), ends).expect("a batch"), from: 0, to: 1 }
    }

    fn kept(deltas: &mut Deltas) -> Vec<(Vec<usize>, u64)> {
        let held = deltas.take().into_iter();
        held.map(|held| (held.pieces.iter().map(|p| p.target).collect(), held.until.offset)).collect()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let mut deltas = Deltas::new(100);
        deltas.begin([at(0), at(7)].into_iter());
        deltas.hold(0, piece(1, 50));
        deltas.transaction_ends(0, at(1));
        deltas.hold(1, piece(2, 50));
        deltas.transaction_ends(1, at(8));
        assert_eq!(kept(&mut deltas), [(vec![1], 1), (vec![2], 8)]);
    }

    #[test]
    fn past_the_budget_only_whole_transactions_stay() {
        let mut deltas = Deltas::new(100);
        deltas.begin([at(0), at(7)].into_iter());
        deltas.hold(0, piece(1, 40));
        deltas.transaction_ends(0, at(1));
        deltas.hold(0, piece(2, 40));
        deltas.hold(0, piece(3, 40));
        deltas.hold(0, piece(4, 2));
        deltas.transaction_ends(0, at(4));
        deltas.hold(1, piece(5, 2));
        deltas.transaction_ends(1, at(8));
        assert_eq!(kept(&mut deltas), [(vec![1], 1), (vec![], 7)], "the rest is read again from there");
        deltas.begin([at(4)].into_iter());
        deltas.hold(0, piece(6, 100));
        deltas.transaction_ends(0, at(5));
        assert_eq!(kept(&mut deltas), [(vec![6], 5)], "the next transaction has the whole budget again");
    }
}
