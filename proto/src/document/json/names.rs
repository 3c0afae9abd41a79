//! Finds a name that an object holds twice, for objects inside objects, in buffers that are used again.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Text;

/// In an object with more names than this the rest is sorted when it closes, so that 10⁴ names are not 10⁸ comparisons.
const COMPARED_AT_ONCE: usize = 32;

/// The names of all objects that are open, innermost last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk {
    names: Vec<Name>,
}

/// Where the names of one object begin.
pub(super) struct Scope(usize);

#[derive(Debug, Clone, Copy)]
struct Name {
    hash: u64,
    start: u32,
    end: u32,
    escaped: bool,
}

impl Walk {
    pub(super) fn clear(&mut self) {
        self.names.clear();
    }

    pub(super) fn open(&self) -> Scope {
        Scope(self.names.len())
    }

    /// False: the object is known to hold this name already. `text` is what the name says, `start` where it is written.
    pub(super) fn add(&mut self, scope: &Scope, bytes: &[u8], text: &[u8], start: usize, name: Text<'_>) -> bool {
        let name =
            Name { hash: hash(text), start: start as u32, end: (start + name.raw.len()) as u32, escaped: name.escaped };
        let before = &self.names[scope.0..];
        let twice = before.len() < COMPARED_AT_ONCE
            && before.iter().any(|other| other.hash == name.hash && other.says(bytes) == text);
        self.names.push(name);
        !twice
    }

    /// False: the object holds a name twice.
    pub(super) fn close(&mut self, scope: Scope, bytes: &[u8]) -> bool {
        let names = &mut self.names[scope.0..];
        let once = names.len() <= COMPARED_AT_ONCE || {
            names.sort_unstable_by(|a, b| a.order(b, bytes));
            names.windows(2).all(|pair| pair[0].order(&pair[1], bytes) != Ordering::Equal)
        };
        self.names.truncate(scope.0);
        once
    }
}

impl Name {
    fn says<'d>(&self, bytes: &'d [u8]) -> Cow<'d, [u8]> {
        Text { raw: &bytes[self.start as usize..self.end as usize], escaped: self.escaped }.unescaped()
    }

    fn order(&self, other: &Name, bytes: &[u8]) -> Ordering {
        self.hash.cmp(&other.hash).then_with(|| self.says(bytes).cmp(&other.says(bytes)))
    }
}

/// Spreads well enough to tell names apart; equal hashes are followed by a comparison, so nothing depends on it but time.
fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = text.len() as u64;
    let mut chunks = text.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        hash = (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    }
    let tail = chunks.remainder().iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    (hash ^ tail).wrapping_mul(FACTOR)
}
