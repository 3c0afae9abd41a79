//! Where things are in a journal, and the proof that something is durable.

#![allow(clippy::disallowed_methods, reason = "journal and installation ids are random")]

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Trim;
use crate::store::Epoch;

/// Random id of a journal. In every checkpoint, so that a journal that was deleted and begun anew is not taken for the old one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalId(pub [u8; 16]);

/// An offset where a transaction ended (or the beginning), with the chain CRC of all that stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The offset of the next document.
    pub offset: u64,
    /// Changes with every transaction that takes an offset.
    pub chain_crc: u32,
}

/// What one commit made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its number; dense from 1.
    pub transaction: u64,
    /// The epoch of its writer.
    pub epoch: Epoch,
    /// Where the next transaction begins.
    pub end: Position,
    /// Documents in it.
    pub documents: u64,
}

/// The end of what is durable, which readers may read up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedEnd {
    /// Number of the last committed transaction; 0: none.
    pub transaction: u64,
    /// Where it ended.
    pub position: Position,
    /// What the task store should remember along with its next commit.
    pub durable: DurableLength,
}

/// A witness: so many bytes of this segment were durable once. Damage before that is corruption, never a torn tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableLength {
    /// The journal.
    pub journal: JournalId,
    /// Its segment.
    pub segment: SegmentName,
    /// Bytes from the segment's beginning.
    pub length_bytes: u64,
    /// The last transaction that was durable then; 0: none.
    pub transaction: u64,
}

/// What others remember of a journal; each is a witness of what was durable.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// From the task store.
    pub durable: Option<DurableLength>,
    /// Positions in readers' checkpoints.
    pub positions: Vec<(JournalId, Position)>,
    /// Where it was trimmed to.
    pub trimmed: Option<Trim>,
}

/// A segment's number in the journal and the epoch that opened it: its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Only grows within an epoch.
    pub number: u64,
    /// Whose segment it is.
    pub epoch: Epoch,
}

/// Proof that a value is on disk. Only the journal makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// To be called where the write was synced and the fence looked at, nowhere else.
    pub(in crate::journal) fn witnessed(value: T) -> Self {
        Self(value)
    }

    /// The value itself; the proof is gone.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Durable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl DurableLength {
    /// Of two witnesses of one journal the one that covers more.
    #[must_use]
    pub fn newer_of(self, other: Self) -> Self {
        let age = |d: &Self| (d.transaction, d.segment.epoch, d.segment.number, d.length_bytes);
        if age(&other) > age(&self) { other } else { self }
    }
}

impl Position {
    /// Before the first document of any journal.
    pub const BEGINNING: Self = Self { offset: 0, chain_crc: 0 };
}

impl JournalId {
    /// A new one.
    pub fn random() -> std::io::Result<Self> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(std::io::Error::other)?;
        Ok(Self(id))
    }

    /// Reads 32 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|n| Self(n.to_be_bytes()))
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl SegmentName {
    /// Reads a file name such as `000001-000003.seg`.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let name = file.as_bytes().strip_suffix(b".seg")?;
        let (number, epoch) = name.split_at(name.iter().position(|byte| *byte == b'-')?);
        Some(Self { number: padded(number)?, epoch: Epoch(padded(&epoch[1..])?) })
    }

    /// Its file in a directory.
    #[must_use]
    pub fn path_in(self, dir: &Path) -> PathBuf {
        let mut path = OsString::with_capacity(dir.as_os_str().len() + 1 + FILE_NAME_BYTES);
        path.push(dir);
        path.push("/");
        path.push(self.file_name());
        path.into()
    }

    /// By hand and not by a format: readers, fences and commits ask for it all the time.
    fn file_name(self) -> String {
        let mut text = String::with_capacity(FILE_NAME_BYTES);
        push_padded(&mut text, self.number);
        text.push('-');
        push_padded(&mut text, self.epoch.0);
        text.push_str(".seg");
        text
    }
}

/// Two lower-case digits a byte. By hand, like names of segments: ids and chains stand in every checkpoint.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let mut text = String::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(*byte)]));
    text
}

/// Of most segments.
const FILE_NAME_BYTES: usize = PADDED + 1 + PADDED + 4;
/// So many digits each number has at least.
const PADDED: usize = 6;

fn push_padded(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    while number > 0 {
        from -= 1;
        digits[from] += (number % 10) as u8;
        number /= 10;
    }
    let from = from.min(digits.len() - PADDED);
    out.extend(digits[from..].iter().map(|digit| char::from(*digit)));
}

/// One spelling for each number: six digits, and more only where they are needed.
fn padded(digits: &[u8]) -> Option<u64> {
    let is_spelled_so = digits.len() == PADDED || digits.len() > PADDED && digits[0] != b'0';
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let add = |number: u64, byte: &u8| number.checked_mul(10)?.checked_add(digit(*byte)?);
    if is_spelled_so { digits.iter().try_fold(0, add) } else { None }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} (chain {:08x})", self.offset, self.chain_crc)
    }
}

#[cfg(test)]
impl<T> Durable<T> {
    /// For tables of the machines, which hold proofs and look at nothing in them.
    pub(crate) fn assumed(value: T) -> Self {
        Self(value)
    }
}
