//! Remembers the names of the objects before, because documents of one collection mostly have the same ones in the same order.
//!
//! A name that is found here need not be read, looked up or compared with the names before it. Why that is safe: the names of a memo
//! differ, and within one object they are only ever found forwards; a name that is not in the memo from the place reached on equals none
//! that is found later. The one exception, a name written with escapes, ends the use of the memo for its object.

use super::super::trie::Child;

/// More names are not remembered.
const NAMES_MAX: usize = 256;
/// After this many objects in a row with a name that is not here, it is learned anew.
const MISSES_MAX: u32 = 64;

/// The names of one object, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memo {
    known: Vec<Known>,
    misses: u32,
}

/// A name, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// With its quotes.
    quoted: Box<[u8]>,
    /// Its first eight bytes, and which of their bits count: most names need no further look.
    head: u64,
    head_mask: u64,
    pub(super) hash: u64,
    pub(super) child: Option<Child>,
    /// Of its value, if that is an object.
    pub(super) nested: Memo,
}

/// How far an object has come in its memo.
#[derive(Debug)]
pub(super) struct Place {
    next: usize,
    learns: bool,
    usable: bool,
    missed: bool,
}

impl Memo {
    pub(super) fn begin(&mut self) -> Place {
        if self.misses == MISSES_MAX {
            *self = Self::default();
        }
        Place { next: 0, learns: self.known.is_empty(), usable: true, missed: false }
    }

    /// The name that begins with the quote at the start of `rest`, if it is known.
    #[inline]
    pub(super) fn find(&self, place: &mut Place, rest: &[u8]) -> Option<usize> {
        if !place.usable || place.learns {
            return None;
        }
        let head = rest.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        let found = place.next + self.known[place.next..].iter().position(|known| known.begins(rest, head))?;
        place.next = found + 1;
        Some(found)
    }

    #[inline]
    pub(super) fn known(&mut self, index: usize) -> &mut Known {
        &mut self.known[index]
    }

    /// A name that was not found. Gives its place if it is learned.
    pub(super) fn missed(
        &mut self,
        place: &mut Place,
        quoted: &[u8],
        escaped: bool,
        hash: u64,
        child: Option<Child>,
    ) -> Option<usize> {
        place.missed = true;
        place.usable &= !escaped;
        if !place.learns || !place.usable || self.known.len() == NAMES_MAX {
            return None;
        }
        self.known.push(Known::new(quoted, hash, child));
        Some(self.known.len() - 1)
    }

    /// Whether all its names were known, so that no two can be the same.
    pub(super) fn end(&mut self, place: &Place) -> bool {
        self.misses = if place.missed && !place.learns { self.misses + 1 } else { 0 };
        !place.missed
    }
}

impl Known {
    fn new(quoted: &[u8], hash: u64, child: Option<Child>) -> Self {
        let mut head = [0; 8];
        let counting = quoted.len().min(8);
        head[..counting].copy_from_slice(&quoted[..counting]);
        let mut mask = [0; 8];
        mask[..counting].fill(0xff);
        let (head, head_mask) = (u64::from_le_bytes(head), u64::from_le_bytes(mask));
        Self { quoted: quoted.into(), head, head_mask, hash, child, nested: Memo::default() }
    }

    /// Whether `rest`, whose first eight bytes are `head`, begins with this name. Where fewer are left `head` is 0, as no name begins: there
    /// nothing is known.
    #[inline]
    fn begins(&self, rest: &[u8], head: u64) -> bool {
        head & self.head_mask == self.head && (self.quoted.len() <= 8 || rest.starts_with(&self.quoted))
    }

    /// Length of the name without its quotes.
    pub(super) fn name_bytes(&self) -> usize {
        self.quoted.len() - 2
    }
}
