//! What happened, for who reads a failure, and as a number, for the trace of a run.

use std::fmt;
use std::hash::{Hash, Hasher};

use longshore::capture::transaction::End as CaptureEnd;

use super::{Fault, Step};
use crate::sim::dice::hash;

/// Something that happened.
#[derive(Debug, Clone)]
pub(super) enum Noted {
    Step(Step),
    Fault(Fault),
    CaptureEnded(CaptureEnd),
    /// A session, with the error's code.
    Failed(String),
}

impl Noted {
    /// The same in every process for what is the same.
    pub(super) fn number(&self) -> u64 {
        let mut folded = Folded(0);
        match self {
            Self::Step(step) => (0u8, step).hash(&mut folded),
            Self::Fault(fault) => (1u8, fault).hash(&mut folded),
            Self::CaptureEnded(end) => (2u8, std::mem::discriminant(end)).hash(&mut folded),
            Self::Failed(code) => (3u8, code).hash(&mut folded),
        }
        folded.0
    }
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{step:?}"),
            Self::Fault(fault) => write!(f, "{fault:?}"),
            Self::CaptureEnded(end) => write!(f, "{end:?}"),
            Self::Failed(code) => f.write_str(code),
        }
    }
}

/// Folds eight bytes at a time.
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.0 = hash(&[self.0, u64::from_le_bytes(word)]);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = hash(&[self.0, number]);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    /// What tells variants apart.
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
