//! Rows, bytes and letters by binding, told to people when they are durable.

use std::collections::VecDeque;

use longshore_proto::batch::Batch;

use super::scribe::{Command, Piece};
use crate::progress::Progress;

/// What is written, and what is being made durable.
#[derive(Debug, Default)]
pub(super) struct Tally {
    open: Vec<Counters>,
    underway: VecDeque<Vec<Counters>>,
}

#[derive(Debug)]
struct Counters {
    binding: usize,
    rows: u64,
    bytes: u64,
    letters: u64,
}

impl Tally {
    pub(super) fn add(&mut self, entry: &Command) {
        match entry {
            Command::Documents { batch, .. } => self.documents(batch),
            Command::Sorted { binding, pieces, .. } => {
                for piece in pieces {
                    match piece {
                        Piece::Documents(batch) => self.documents(batch),
                        Piece::Letter(_) => self.count(*binding, (0, 0), 1),
                    }
                }
            }
            Command::Schema { .. } | Command::Control { .. } | Command::Commit(_) | Command::Abandon => {}
        }
    }

    pub(super) fn commit(&mut self) {
        self.underway.push_back(std::mem::take(&mut self.open));
    }

    pub(super) fn abandon(&mut self) {
        self.open.clear();
    }

    pub(super) fn committed(&mut self, progress: &Progress) {
        for Counters { binding, rows, bytes, letters } in self.underway.pop_front().unwrap_or_default() {
            progress.committed(binding, rows, bytes);
            progress.dead_lettered(binding, letters);
        }
        progress.transaction();
    }

    fn documents(&mut self, batch: &Batch) {
        self.count(batch.binding(), (batch.len() as u64, batch.byte_len() as u64), 0);
    }

    fn count(&mut self, binding: usize, (rows, bytes): (u64, u64), letters: u64) {
        match self.open.iter_mut().find(|counters| counters.binding == binding) {
            Some(counters) => {
                counters.rows += rows;
                counters.bytes += bytes;
                counters.letters += letters;
            }
            None => self.open.push(Counters { binding, rows, bytes, letters }),
        }
    }
}
