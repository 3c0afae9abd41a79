//! The frame: a header of 64 bytes and a body. What a segment file is made of, to the byte.
//!
//! The header's CRC is seeded with journal id, segment name and byte position, so that a frame is valid only where it was written; it covers
//! the body's own CRC. So a header can be trusted before its body is read, and whoever looks for commits or witnesses reads headers only.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0–4 | magic | `A7 4C 53 4A`; the first byte is never in JSON |
//! | 4–6 | format version | little endian, as all numbers |
//! | 6 | kind | |
//! | 7 | flags | |
//! | 8–12 | bytes of body | |
//! | 12–16 | binding | local id; 0 where there is none |
//! | 16–24 | epoch | of the writer of the transaction |
//! | 24–32 | transaction | 0 before the first: the opening of a segment |
//! | 32–40 | first offset | |
//! | 40–44 | count | offsets it takes, or rows of `bindings` |
//! | 44–48 | CRC32C of the body | |
//! | 48–56 | synced | bytes of this segment its writer knew durable when it wrote this |
//! | 56–60 | 0 | |
//! | 60–64 | CRC32C of seed and bytes 0–60 | |

use super::{JournalId, LocalId, SegmentName};
use crate::store::Epoch;
use longshore_proto::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES};

pub(super) const HEADER_BYTES: usize = 64;
pub(super) const MAGIC: [u8; 4] = [0xa7, b'L', b'S', b'J'];
pub(super) const FORMAT_VERSION: u16 = 1;
/// A header that claims a longer body is bad bytes: 17 MiB.
pub(super) const BODY_MAX_BYTES: usize = 17 << 20;
/// Longest payload of a `documents` or `state` frame, in bytes, unless it holds one document.
pub(super) const PAYLOAD_MAX_BYTES: usize = BATCH_MAX_BYTES;

const _: () = assert!(DOCUMENT_MAX_BYTES + HEADER_BYTES < BODY_MAX_BYTES);

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// First in each segment: who opened it, and what it follows.
    Head = 1,
    /// Part of the connector's whole state, in a segment's opening.
    State = 2,
    /// Rows of the binding table.
    Bindings = 3,
    /// A schema version.
    Schema = 4,
    /// Documents of one binding.
    Documents = 5,
    /// A document that was not admitted, or a mark on earlier ones: they are settled.
    DeadLetter = 6,
    /// A mark among the documents.
    Control = 7,
    /// Ends a transaction.
    Commit = 8,
}

impl Kind {
    /// As people see it.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::State => "state",
            Self::Bindings => "bindings",
            Self::Schema => "schema",
            Self::Documents => "documents",
            Self::DeadLetter => "dead_letter",
            Self::Control => "control",
            Self::Commit => "commit",
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        const ALL: [Kind; 8] = [
            Kind::Head,
            Kind::State,
            Kind::Bindings,
            Kind::Schema,
            Kind::Documents,
            Kind::DeadLetter,
            Kind::Control,
            Kind::Commit,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// How many offsets a frame of this kind takes.
    pub(super) fn offsets(self, count: u32) -> u64 {
        match self {
            Self::Documents | Self::Schema | Self::DeadLetter | Self::Control => u64::from(count),
            Self::Head | Self::State | Self::Bindings | Self::Commit => 0,
        }
    }
}

/// Bits of a header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    pub(super) const NONE: Self = Self(0);
    /// First frame of a transaction: drops what was open.
    pub(super) const BEGIN: Self = Self(1);
    /// The next frame goes on with this one's content (`state`, `dead_letter`).
    pub(super) const CONTINUES: Self = Self(2);
    /// In an opening: belongs to the transaction that is open there, and counts with its commit.
    pub(super) const STAGED: Self = Self(4);
    /// Of `dead_letter`: a document for one materialization's binding, so that who reads collections need not read letters.
    pub(super) const RESENT: Self = Self(8);

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: Flags,
    pub(super) body_bytes: u32,
    pub(super) local: LocalId,
    pub(super) epoch: Epoch,
    pub(super) transaction: u64,
    pub(super) first_offset: u64,
    pub(super) count: u32,
    pub(super) body_crc: u32,
    pub(super) synced: u64,
}

/// What 64 bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parsed {
    Header(Header),
    /// Not a header that was written here.
    Bad(&'static str),
    /// Written here, by a version that knows more.
    NewerFormat(u16),
    UnknownKind(u8),
}

impl Header {
    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    pub(super) fn encode(&self, seal: Seal, position: u64) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[6] = self.kind as u8;
        out[7] = self.flags.0;
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.local.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.epoch.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.transaction.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_offset.to_le_bytes());
        out[40..44].copy_from_slice(&self.count.to_le_bytes());
        out[44..48].copy_from_slice(&self.body_crc.to_le_bytes());
        out[48..56].copy_from_slice(&self.synced.to_le_bytes());
        let crc = seal.crc(position, &out);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn parse(bytes: &[u8; HEADER_BYTES], seal: Seal, position: u64) -> Parsed {
        if bytes[0..4] != MAGIC {
            let zeros = bytes.iter().all(|b| *b == 0);
            return Parsed::Bad(if zeros { "zeros where a frame should be" } else { "no frame begins here" });
        }
        if u32_at(bytes, 60) != seal.crc(position, bytes) {
            return Parsed::Bad("the header's checksum does not fit");
        }
        let format = u16::from_le_bytes([bytes[4], bytes[5]]);
        if format != FORMAT_VERSION {
            return Parsed::NewerFormat(format);
        }
        let Some(kind) = Kind::from_number(bytes[6]) else { return Parsed::UnknownKind(bytes[6]) };
        let body_bytes = u32_at(bytes, 8);
        if body_bytes as usize > BODY_MAX_BYTES {
            return Parsed::Bad("the header claims a body of more than 17 MiB");
        }
        Parsed::Header(Self {
            kind,
            flags: Flags(bytes[7]),
            body_bytes,
            local: LocalId(u32_at(bytes, 12)),
            epoch: Epoch(u64_at(bytes, 16)),
            transaction: u64_at(bytes, 24),
            first_offset: u64_at(bytes, 32),
            count: u32_at(bytes, 40),
            body_crc: u32_at(bytes, 44),
            synced: u64_at(bytes, 48),
        })
    }

    /// Goes on with a rolling CRC over what this frame says, wherever it stands: a copy in another segment gives the same.
    pub(super) fn roll(&self, crc: u32) -> u32 {
        let mut said = Aligned([0; 38]);
        let Aligned(said) = &mut said;
        said[0] = self.kind as u8;
        said[1..5].copy_from_slice(&self.body_bytes.to_le_bytes());
        said[5..9].copy_from_slice(&self.local.0.to_le_bytes());
        said[9..17].copy_from_slice(&self.epoch.0.to_le_bytes());
        said[17..25].copy_from_slice(&self.transaction.to_le_bytes());
        said[25..33].copy_from_slice(&self.first_offset.to_le_bytes());
        said[33..37].copy_from_slice(&self.body_crc.to_le_bytes());
        crc32c::crc32c_append(crc, said)
    }
}

/// The part of the seed that all frames of a segment share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal(u32);

impl Seal {
    /// Of no segment.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn new(journal: JournalId, segment: SegmentName) -> Self {
        let mut all = [0; 32];
        all[..16].copy_from_slice(&journal.0);
        all[16..24].copy_from_slice(&segment.number.to_le_bytes());
        all[24..].copy_from_slice(&segment.epoch.0.to_le_bytes());
        Self(crc32c::crc32c(&all))
    }

    /// Makes a header that was tampered with valid again.
    #[cfg(test)]
    pub(super) fn reseal(self, header: &mut [u8; HEADER_BYTES], position: u64) {
        let crc = self.crc(position, header);
        header[60..64].copy_from_slice(&crc.to_le_bytes());
    }

    fn crc(self, position: u64, header: &[u8; HEADER_BYTES]) -> u32 {
        const SUMMED_BYTES: usize = HEADER_BYTES - 4;
        let mut all = Aligned([0; 8 + SUMMED_BYTES]);
        let Aligned(all) = &mut all;
        all[..8].copy_from_slice(&position.to_le_bytes());
        all[8..].copy_from_slice(&header[..SUMMED_BYTES]);
        crc32c::crc32c_append(self.0, all)
    }
}

/// Bytes that lie as the CRC's instructions take them, eight at once.
#[repr(align(8))]
struct Aligned<const BYTES: usize>([u8; BYTES]);

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}
