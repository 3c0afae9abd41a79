//! Finds a name that an object holds twice, for objects inside objects, in buffers that are used again.

use std::borrow::Cow;

use super::Text;

/// In an object with more names than this the rest is sorted when it closes, so that 10⁴ names are not 10⁸ comparisons.
const COMPARED_AT_ONCE: usize = 32;

/// The names of all objects that are open, innermost last. Hashes lie apart from the rest, so that comparing them is a few instructions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk {
    hashes: Vec<u64>,
    spans: Vec<Span>,
}

/// Where the names of one object begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope(usize);

/// Where a name is written.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    escaped: bool,
}

impl Walk {
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.spans.clear();
    }

    pub(super) fn open(&self) -> Scope {
        Scope(self.hashes.len())
    }

    /// False: the object is known to hold this name already. `text` is what the name says, `start` where it is written.
    #[inline]
    pub(super) fn add(
        &mut self,
        scope: Scope,
        bytes: &[u8],
        text: &[u8],
        hash: u64,
        start: usize,
        name: Text<'_>,
    ) -> bool {
        let before = &self.hashes[scope.0..];
        let once = before.len() >= COMPARED_AT_ONCE || !before.contains(&hash) || !self.holds(scope, bytes, hash, text);
        self.push(hash, start, name.raw.len(), name.escaped);
        once
    }

    /// A name that differs from all before.
    #[inline]
    pub(super) fn push(&mut self, hash: u64, start: usize, length: usize, escaped: bool) {
        self.hashes.push(hash);
        self.spans.push(Span { start: start as u32, end: (start + length) as u32, escaped });
    }

    /// False: the object holds a name twice. `all_known`: it is known not to.
    pub(super) fn close(&mut self, scope: Scope, bytes: &[u8], all_known: bool) -> bool {
        let once = all_known || self.hashes.len() - scope.0 <= COMPARED_AT_ONCE || self.all_differ(scope, bytes);
        self.hashes.truncate(scope.0);
        self.spans.truncate(scope.0);
        once
    }

    #[cold]
    fn holds(&self, scope: Scope, bytes: &[u8], hash: u64, text: &[u8]) -> bool {
        let names = self.hashes[scope.0..].iter().zip(&self.spans[scope.0..]);
        names.filter(|(other, _)| **other == hash).any(|(_, span)| *span.says(bytes) == *text)
    }

    #[cold]
    fn all_differ(&self, scope: Scope, bytes: &[u8]) -> bool {
        let mut names: Vec<(u64, Span)> =
            self.hashes[scope.0..].iter().copied().zip(self.spans[scope.0..].iter().copied()).collect();
        let order = |(hash, span): &(u64, Span), (other_hash, other): &(u64, Span)| {
            hash.cmp(other_hash).then_with(|| span.says(bytes).cmp(&other.says(bytes)))
        };
        names.sort_unstable_by(order);
        names.windows(2).all(|pair| order(&pair[0], &pair[1]).is_ne())
    }
}

impl Span {
    fn says<'d>(&self, bytes: &'d [u8]) -> Cow<'d, [u8]> {
        Text { raw: &bytes[self.start as usize..self.end as usize], escaped: self.escaped }.unescaped()
    }
}

/// Spreads well enough to tell names apart; equal hashes are followed by a comparison, so nothing depends on it but time.
#[inline]
pub(super) fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let seed = text.len() as u64;
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let middle = text[8..].chunks_exact(8).filter_map(|chunk| chunk.first_chunk::<8>());
        let hash =
            middle.fold(mix(seed, u64::from_le_bytes(*first)), |hash, chunk| mix(hash, u64::from_le_bytes(*chunk)));
        return mix(hash, u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return mix(seed, u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)));
    }
    text.iter().fold(seed, |hash, &byte| mix(hash, u64::from(byte)))
}
