//! Changes to inputs: what transmission, disks, bugs and ill will do to bytes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// No input gets longer.
const INPUT_MAX_BYTES: usize = 64 << 10;
/// At most so many changes at once.
const CHANGES_MAX: u64 = 4;
/// Numbers at which something changes for those who count.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Changes inputs by dice.
#[derive(Debug)]
pub(crate) struct Mutator {
    seed: u64,
    throws: u64,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, words: Vec<Vec<u8>>) -> Self {
        Self { seed, throws: 0, words }
    }

    /// One of these, changed.
    pub(crate) fn mutated(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one_of(pool).cloned().unwrap_or_default();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut input, pool);
        }
        input.truncate(INPUT_MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.place(input.len());
        match self.below(9) {
            0 => {
                let bit = self.below(8);
                input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            1 => {
                let new = self.below(256) as u8;
                input.iter_mut().skip(at).take(1).for_each(|byte| *byte = new);
            }
            2 => self.overwrite_number(input, at),
            3 => input.truncate(at),
            4 => {
                let piece = self.piece(input.len());
                input.drain(piece);
            }
            5 => {
                let again = input[self.piece(input.len())].to_vec();
                insert(input, at, &again);
            }
            6 => {
                let other = self.one_of(pool).cloned().unwrap_or_default();
                let piece = self.piece(other.len());
                insert(input, at, &other[piece]);
            }
            7 => {
                let word = self.word();
                insert(input, at, &word);
            }
            _ => {
                let word = self.word();
                input.iter_mut().skip(at).zip(&word).for_each(|(byte, new)| *byte = *new);
            }
        }
    }

    /// In either order of bytes, in one of four widths.
    fn overwrite_number(&mut self, input: &mut [u8], at: usize) {
        let width = 1 << self.below(4);
        let number = NUMBERS[self.below(NUMBERS.len() as u64) as usize];
        let mut bytes = number.to_le_bytes()[..width].to_vec();
        if self.below(2) == 0 {
            bytes.reverse();
        }
        input.iter_mut().skip(at).zip(bytes).for_each(|(byte, new)| *byte = new);
    }

    /// A word of the format; a byte if there are none.
    fn word(&mut self) -> Vec<u8> {
        let words = std::mem::take(&mut self.words);
        let word = self.one_of(&words).cloned();
        self.words = words;
        word.unwrap_or_else(|| vec![self.below(256) as u8])
    }

    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let (one, other) = (self.place(length), self.place(length));
        one.min(other)..one.max(other)
    }

    /// Up to the end.
    fn place(&mut self, length: usize) -> usize {
        self.below(length as u64 + 1) as usize
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.place(all.len().saturating_sub(1)))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.throws += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, self.throws).hash(&mut hasher);
        hasher.finish() % bound
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
