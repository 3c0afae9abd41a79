//! The order of frames: what may follow what, which offset and rolling CRC come next, and what a commit settles. Pure.
//!
//! Used by whoever writes frames and by whoever reads them, so that both keep the same rules.

use super::body::{Head, OpenHead};
use super::frame::{Flags, Header, Kind};
use super::{Committed, Position, SegmentName};
use crate::store::Epoch;

/// Where a walk over the frames of a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    /// Of the last commit passed.
    pub(super) transaction: u64,
    /// Its end.
    pub(super) position: Position,
    pub(super) open: Option<Open>,
}

/// A transaction that has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) segment: SegmentName,
    /// Where its first frame stands there.
    pub(super) begin: u64,
    pub(super) epoch: Epoch,
    pub(super) next_offset: u64,
    pub(super) rolling_crc: u32,
    pub(super) documents: u64,
}

/// What a commit frame says of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rolling_crc: u32,
    pub(super) documents: u64,
}

impl Track {
    /// Before the first frame of a new journal.
    pub(super) fn beginning() -> Self {
        Self { transaction: 0, position: Position::BEGINNING, open: None }
    }

    /// At the beginning of a segment.
    pub(super) fn at_head(head: &Head) -> Self {
        let open = head.open.map(|open| Open {
            segment: open.segment,
            begin: open.begin,
            epoch: open.epoch,
            next_offset: open.next_offset,
            rolling_crc: open.rolling_crc,
            documents: open.documents,
        });
        Self { transaction: head.transaction, position: head.position, open }
    }

    /// What a head says of the open transaction.
    pub(super) fn open_head(&self) -> Option<OpenHead> {
        self.open.map(|open| OpenHead {
            segment: open.segment,
            begin: open.begin,
            epoch: open.epoch,
            next_offset: open.next_offset,
            rolling_crc: open.rolling_crc,
            documents: open.documents,
        })
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.open.map_or(self.position.offset, |open| open.next_offset)
    }

    /// What a commit here must say.
    pub(super) fn sum(&self) -> Sum {
        self.open.map_or(Sum { rolling_crc: self.position.chain_crc, documents: 0 }, |open| Sum {
            rolling_crc: open.rolling_crc,
            documents: open.documents,
        })
    }

    /// Passes a frame that stands at `at` of `segment` and is no part of its opening; `sum` is what a commit frame says. `Err`: a frame that
    /// cannot stand here.
    pub(super) fn pass(
        &mut self,
        segment: SegmentName,
        at: u64,
        header: &Header,
        sum: Option<Sum>,
    ) -> Result<Option<Committed>, String> {
        if header.flags.has(Flags::BEGIN) {
            self.open = Some(Open {
                segment,
                begin: at,
                epoch: header.epoch,
                next_offset: self.position.offset,
                rolling_crc: self.position.chain_crc,
                documents: 0,
            });
        }
        let Some(open) = &mut self.open else {
            return Err("a frame in the middle of a transaction that never began".into());
        };
        if header.epoch != open.epoch || header.epoch > segment.epoch {
            return Err(format!("a frame of epoch {}, expected {}", header.epoch, open.epoch));
        }
        if header.transaction != self.transaction + 1 {
            return Err(format!("a frame of transaction {}, expected {}", header.transaction, self.transaction + 1));
        }
        if header.first_offset != open.next_offset {
            return Err(format!(
                "a frame that begins at offset {}, expected {}",
                header.first_offset, open.next_offset
            ));
        }
        match header.kind {
            Kind::Head | Kind::State => Err(format!("a {} frame inside a transaction", header.kind.word())),
            Kind::Bindings | Kind::Schema | Kind::Documents | Kind::DeadLetter | Kind::Control => {
                open.next_offset += header.kind.offsets(header.count);
                open.rolling_crc = header.roll(open.rolling_crc);
                open.documents += if header.kind == Kind::Documents { u64::from(header.count) } else { 0 };
                Ok(None)
            }
            Kind::Commit => self.commit(header.epoch, sum).map(Some),
        }
    }

    fn commit(&mut self, epoch: Epoch, sum: Option<Sum>) -> Result<Committed, String> {
        let expected = self.sum();
        if sum != Some(expected) {
            return Err("a commit whose rolling checksum or count does not fit its transaction".into());
        }
        let offset = self.next_offset();
        // A transaction without offsets leaves the position as it is: nobody can tell before it from after it, and nobody needs to.
        let chain_crc = if offset == self.position.offset { self.position.chain_crc } else { expected.rolling_crc };
        self.transaction += 1;
        self.position = Position { offset, chain_crc };
        self.open = None;
        Ok(Committed { transaction: self.transaction, epoch, end: self.position, documents: expected.documents })
    }
}
