//! Verify: what is there of a binding, at the source or in the destination, so that the two can be compared without moving their rows.
//!
//! Both ends hash each row in the same way ([`Likeness`] says what of it must be the same) and sum the hashes up by range of their keys'
//! hashes ([`Checksums`]): equal ends give equal sums, in whatever order they read. Where a sum differs, the rows of that range are told
//! ([`Told::Rows`]) and compared one by one. A range is one of the key's hash and not of its order, so neither end sorts, and no collation
//! of a database matters.

use std::ops::AddAssign;

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::document::Finder;
use crate::error::Error;
use crate::key::{KeyPointers, parse_pointer};
use crate::session::{Binding, Owner, Progress};

mod likeness;
#[cfg(test)]
mod tests;
mod wire;

/// Ranges of keys: the leading 12 bits of a key's hash.
pub const RANGES: usize = 1 << 12;
/// A value that is longer, as it is written, is told by its length and hash.
pub const TOLD_MAX_BYTES: usize = 4 << 10;

/// Asks what is there of one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// On whose behalf.
    pub owner: Owner,
    /// The task's config, as valid JSON.
    pub config_json: Bytes,
    /// As it was applied last.
    pub binding: Binding,
    /// What is compared beside the key, in order; each pointer once.
    pub values: Vec<ComparedValue>,
    /// Rows of these ranges are told, ascending; empty: checksums of all.
    pub ranges: Vec<u32>,
}

/// A value of a document, and what of it must be the same at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedValue {
    /// JSON pointer; goes through objects only. Absent is null.
    pub pointer: String,
    /// When two of it are the same.
    pub likeness: Likeness,
}

/// When two values are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// The same JSON value: integers exactly, other numbers by the nearest double, objects whatever the order of their names.
    Value,
    /// The same, with every number by its exact value.
    Exact,
    /// Texts of RFC 3339 that name the same moment.
    Moment,
    /// The same text, where a number or boolean counts as the text that it is written as.
    Text,
}

/// What is answered, in one or more messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A sign of life.
    Progress(Progress),
    /// Of all rows; the last message, where no ranges were asked for.
    Checksums(Checksums),
    /// Rows of the ranges asked for, in any order: each a JSON array of the parts of its key and the values compared.
    Rows(Vec<Bytes>),
}

/// Rows by range, and the sums of their hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksums {
    ranges: Vec<(u64, u128)>,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHash {
    /// Below [`RANGES`].
    pub range: usize,
    hash: u128,
}

impl Default for Checksums {
    fn default() -> Self {
        Self { ranges: vec![(0, 0); RANGES] }
    }
}

impl Checksums {
    /// Counts a row in.
    pub fn add(&mut self, row: RowHash) {
        let (count, sum) = &mut self.ranges[row.range];
        *count += 1;
        *sum = sum.wrapping_add(row.hash);
    }

    /// Rows of a range.
    pub fn rows_in(&self, range: usize) -> u64 {
        self.ranges.get(range).map_or(0, |(count, _)| *count)
    }

    /// All of them.
    pub fn rows(&self) -> u64 {
        self.ranges.iter().map(|(count, _)| count).sum()
    }

    /// Ranges in which the two are not the same, ascending.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let differ = |(range, (one, another)): (usize, (_, _))| (one != another).then_some(range);
        self.ranges.iter().zip(&other.ranges).enumerate().filter_map(differ)
    }
}

/// Rows of two places that make one.
impl AddAssign<&Checksums> for Checksums {
    fn add_assign(&mut self, other: &Checksums) {
        for ((count, sum), (more, summed)) in self.ranges.iter_mut().zip(&other.ranges) {
            *count += more;
            *sum = sum.wrapping_add(*summed);
        }
    }
}

/// Hashes rows, of one binding, and writes them as they are told. Keep one for many rows: its buffers are used again.
#[derive(Debug, Clone)]
pub struct Hasher {
    finder: Finder,
    key_parts: usize,
    values: Vec<ComparedValue>,
    encoded: Vec<u8>,
}

impl Hasher {
    /// For a collection with this key.
    pub fn new(key: &[String], values: &[ComparedValue]) -> Result<Self, Error> {
        let pointers = KeyPointers::compile(key)?;
        let paths: Vec<Vec<String>> =
            values.iter().map(|value| parse_pointer(&value.pointer).unwrap_or_default()).collect();
        let finder = Finder::new(pointers.tokens().iter().chain(&paths).map(Vec::as_slice));
        Ok(Self { finder, key_parts: pointers.len(), values: values.to_vec(), encoded: Vec::new() })
    }

    /// Number of the parts of the key.
    pub fn key_parts(&self) -> usize {
        self.key_parts
    }

    /// Number of the parts of the key and the values behind them: those of each row.
    pub fn width(&self) -> usize {
        self.key_parts + self.values.len()
    }

    /// The parts of the key and the values behind them as a document writes them; none: it is absent.
    pub fn of_document<'d>(&mut self, document: &'d str, row: &mut Vec<Option<&'d str>>) -> Result<(), Error> {
        row.clear();
        row.resize(self.width(), None);
        self.finder.find(document, |slot, value| row[slot] = Some(value))?;
        Ok(())
    }

    /// What a row comes to: the parts of its key and the values behind them, each as JSON.
    ///
    /// # Errors
    /// `data`: the key is none, or a value is no JSON.
    pub fn hash(&mut self, row: &[Option<&str>]) -> Result<RowHash, Error> {
        let (key, values) = row.split_at_checked(self.key_parts).unwrap_or((row, &[]));
        self.encoded.clear();
        for part in key {
            likeness::encode_key_part(part.unwrap_or("null"), &mut self.encoded)?;
        }
        let range = range_of(&self.encoded);
        for (value, compared) in values.iter().zip(&self.values) {
            likeness::encode(value.unwrap_or("null"), compared.likeness, &mut self.encoded)?;
        }
        Ok(RowHash { range, hash: leading(&self.encoded) })
    }

    /// The row as it is told: what is too long for people by its length and hash, which are the same where the values are.
    pub fn told(&mut self, row: &[Option<&str>]) -> Result<Bytes, Error> {
        let mut told = vec![b'['];
        for (place, value) in row.iter().enumerate() {
            if place > 0 {
                told.push(b',');
            }
            let value = value.unwrap_or("null");
            match place.checked_sub(self.key_parts).and_then(|place| self.values.get(place)) {
                Some(compared) if value.len() > TOLD_MAX_BYTES => {
                    self.encoded.clear();
                    likeness::encode(value, compared.likeness, &mut self.encoded)?;
                    let (bytes, hash) = (self.encoded.len(), leading(&self.encoded));
                    told.extend_from_slice(format!("\"… {bytes} bytes, SHA-256 {hash:032x}…\"").as_bytes());
                }
                _ => told.extend_from_slice(value.as_bytes()),
            }
        }
        told.push(b']');
        Ok(told.into())
    }

    /// A row that was told: its key in key encoding version 1, and behind it each value as it is written.
    pub fn read_told<'t>(&self, told: &'t [u8]) -> Result<(Vec<u8>, Vec<&'t RawValue>), Error> {
        let row: Vec<&RawValue> = serde_json::from_slice(told).map_err(|error| no_row(&error))?;
        if row.len() != self.width() {
            return Err(no_row(&format!("expected {} values, got {}", self.width(), row.len())));
        }
        let mut key = Vec::new();
        for part in &row[..self.key_parts] {
            likeness::encode_key_part(part.get(), &mut key)?;
        }
        Ok((key, row))
    }

    /// Places of the values that are not the same in two rows that were told, each whole: key first.
    pub fn unlike(&self, one: &[&RawValue], other: &[&RawValue]) -> Result<Vec<usize>, Error> {
        let mut places = Vec::new();
        for (place, compared) in self.values.iter().enumerate() {
            let of = |row: &[&RawValue]| {
                let mut encoded = Vec::new();
                let value = row.get(self.key_parts + place).map_or("null", |value| value.get());
                likeness::encode(value, compared.likeness, &mut encoded).map(|()| encoded)
            };
            if of(one)? != of(other)? {
                places.push(place);
            }
        }
        Ok(places)
    }
}

/// The range of a key in key encoding version 1.
pub fn range_of(key_encoded: &[u8]) -> usize {
    let hash = Sha256::digest(key_encoded);
    usize::from(u16::from_be_bytes([hash[0], hash[1]]) >> 4)
}

/// The leading 16 bytes of a hash.
fn leading(bytes: &[u8]) -> u128 {
    let hash = Sha256::digest(bytes);
    hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn no_row(fault: &dyn std::fmt::Display) -> Error {
    Error::data("verify.row", format!("a row told by Verify is refused: {fault}"))
}
