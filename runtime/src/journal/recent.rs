//! The batches that were written last, for readers of the same process that follow closely: what is still in memory is not read back from
//! the file.
//!
//! Nothing is decided here. A reader finds each frame by its header in the file, as always, and only then asks for the body by the checksum
//! that stands in the header: what is found has the bytes that were written there, and what is not found is read.

use std::collections::VecDeque;

use longshore_proto::batch::Batch;

use super::SegmentName;

/// Bytes that are kept: as many as a capture may have before them that no reader can see yet, which are those of two commits under way (8 MiB
/// each) and of what waits to be written (16 MiB). With half of it a reader that follows closely finds next to nothing.
const KEPT_BYTES: usize = 32 << 20;
/// Batches that are kept: a small one may lie in a large buffer of the transport, which stays as long as it does.
const KEPT_BATCHES: usize = 64;
/// A smaller batch is as quickly read again.
const LEAST_BYTES: usize = 32 << 10;

/// The body of a frame, by where the frame begins and what its header says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyOf {
    pub(super) segment: SegmentName,
    pub(super) at: u64,
    pub(super) body_bytes: u32,
    pub(super) body_crc: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    bodies: VecDeque<(BodyOf, Batch)>,
    bytes: usize,
}

impl Recent {
    /// Keeps a batch that is the whole body of a frame.
    pub(super) fn keep(&mut self, of: BodyOf, batch: &Batch) {
        if batch.byte_len() < LEAST_BYTES {
            return;
        }
        self.bytes += batch.byte_len();
        self.bodies.push_back((of, batch.clone().with_binding(0)));
        while self.bytes > KEPT_BYTES || self.bodies.len() > KEPT_BATCHES {
            let Some((_, oldest)) = self.bodies.pop_front() else { break };
            self.bytes -= oldest.byte_len();
        }
    }

    /// Whether a body of so many bytes may be kept at all.
    pub(super) fn may_keep(body_bytes: u32) -> bool {
        body_bytes as usize >= LEAST_BYTES
    }

    /// A batch that is still kept.
    pub(super) fn find(&self, of: BodyOf) -> Option<Batch> {
        self.bodies.iter().rev().find(|(kept, _)| *kept == of).map(|(_, batch)| batch.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Epoch;

    fn of(at: u64, body_crc: u32) -> BodyOf {
        BodyOf { segment: SegmentName { number: 1, epoch: Epoch(1) }, at, body_bytes: 9, body_crc }
    }

    fn batch(bytes: usize) -> Batch {
        let ends = vec![u32::try_from(bytes).expect("small")];
        Batch::from_parts(7, vec![b' '; bytes].into(), ends).expect("a batch")
    }

    #[test]
    fn a_batch_is_found_by_place_and_checksum_while_there_is_room() {
        let mut recent = Recent::default();
        recent.keep(of(0, 5), &batch(1 << 20));
        assert_eq!(recent.find(of(0, 5)).map(|batch| (batch.binding(), batch.byte_len())), Some((0, 1 << 20)));
        assert!(recent.find(of(0, 6)).is_none(), "other bytes were written there");
        assert!(recent.find(of(1, 5)).is_none());
        for at in 1..=32 {
            recent.keep(of(at, 5), &batch(1 << 20));
        }
        assert!(recent.find(of(0, 5)).is_none() && recent.find(of(1, 5)).is_some(), "the oldest has made room");
        assert_eq!(recent.bytes, 32 << 20);
    }

    #[test]
    fn small_batches_are_not_worth_it() {
        let mut recent = Recent::default();
        recent.keep(of(0, 5), &batch(LEAST_BYTES - 1));
        assert_eq!((recent.bodies.len(), recent.bytes), (0, 0));
        for at in 0..100 {
            recent.keep(of(at, 5), &batch(LEAST_BYTES));
        }
        assert_eq!(recent.bodies.len(), KEPT_BATCHES);
    }
}
