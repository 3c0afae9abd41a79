//! When a document that is not admitted becomes a dead letter, and when it ends the session: as the user wrote it, and never without end.

use longshore_proto::{Error, ErrorKind};

use crate::secret::Door;

/// So many letters of a binding in a row, with no document between that was admitted, end the session.
pub const LETTERS_IN_A_ROW_MAX: u64 = 1000;
/// And so do so many bytes of them: 256 MiB.
const LETTER_BYTES_IN_A_ROW_MAX: u64 = 256 << 20;
/// A reason is cut to this length, in bytes.
const REASON_MAX_BYTES: usize = 4096;

/// What becomes of a document that is not admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnViolation {
    /// It ends the session; nothing of its transaction is committed.
    #[default]
    Stop,
    /// It becomes a dead letter, in the transaction of the checkpoint that passes it.
    DeadLetter,
}

/// Why a document was not admitted, as its letter says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

/// The letters of one binding in this session.
#[derive(Debug)]
pub(super) struct Letters {
    on_violation: OnViolation,
    in_a_row: u64,
    bytes_in_a_row: u64,
}

impl Letters {
    pub(super) fn new(on_violation: OnViolation) -> Self {
        Self { on_violation, in_a_row: 0, bytes_in_a_row: 0 }
    }

    /// A document was admitted.
    #[inline]
    pub(super) fn admitted(&mut self) {
        (self.in_a_row, self.bytes_in_a_row) = (0, 0);
    }

    /// One was not: what its letter says, or the error that ends the session.
    #[cold]
    pub(super) fn refused(&mut self, collection: &str, error: Error, bytes: usize) -> Result<Refusal, Error> {
        if self.on_violation == OnViolation::Stop || error.kind != ErrorKind::Data {
            return Err(error);
        }
        self.in_a_row += 1;
        self.bytes_in_a_row += bytes as u64;
        if self.in_a_row > LETTERS_IN_A_ROW_MAX || self.bytes_in_a_row > LETTER_BYTES_IN_A_ROW_MAX {
            return Err(self.too_many(collection, &error));
        }
        let mut message = Door::Answers.scrub(&error.message).into_owned();
        message.truncate(message.floor_char_boundary(REASON_MAX_BYTES));
        Ok(Refusal { code: error.code.clone(), message })
    }

    fn too_many(&self, collection: &str, last: &Error) -> Error {
        let message = format!(
            "{} documents of {collection} in a row, {} bytes, were not admitted, and none between was: this is no exception any more \
             (at most {LETTERS_IN_A_ROW_MAX}, and 256 MiB, become dead letters in a row); the last one: {}",
            self.in_a_row, self.bytes_in_a_row, last.message
        );
        let error = Error::data("capture.too_many_letters", message).suggest(
            "look at them with `longshore dlq list`, and correct the source or the collection's schema; nothing of this transaction was committed",
        );
        match last.binding {
            Some(binding) => error.at_binding(binding),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation() -> Error {
        Error::data("document.schema", "it does not fit").at_binding(3)
    }

    #[test]
    fn a_row_of_letters_ends_with_the_first_document_that_fits() {
        let mut letters = Letters::new(OnViolation::DeadLetter);
        for _ in 0..3 {
            for _ in 0..LETTERS_IN_A_ROW_MAX {
                letters.refused("a/b", violation(), 10).unwrap();
            }
            letters.admitted();
        }
        for _ in 0..LETTERS_IN_A_ROW_MAX {
            letters.refused("a/b", violation(), 10).unwrap();
        }
        let error = letters.refused("a/b", violation(), 10).unwrap_err();
        assert_eq!((error.code.as_str(), error.binding), ("capture.too_many_letters", Some(3)));
        assert!(error.message.contains("a/b") && error.message.contains("it does not fit"), "{error}");
    }

    #[test]
    fn bytes_have_a_bound_too() {
        let mut letters = Letters::new(OnViolation::DeadLetter);
        for _ in 0..16 {
            letters.refused("a/b", violation(), 16 << 20).unwrap();
        }
        letters.refused("a/b", violation(), 1).unwrap_err();
    }

    #[test]
    fn a_reason_tells_no_secret() {
        crate::secret::learn(["hunter2-of-letters".to_owned()]);
        let error = Error::data("document.schema", "expected integer, got \"hunter2-of-letters\"");
        let refusal = Letters::new(OnViolation::DeadLetter).refused("a/b", error, 1).unwrap();
        assert_eq!(refusal.message, "expected integer, got \"[secret]\"");
    }

    #[test]
    fn whoever_did_not_ask_for_letters_gets_the_violation_and_other_errors_are_no_letters() {
        assert_eq!(Letters::new(OnViolation::Stop).refused("a/b", violation(), 1).unwrap_err().code, "document.schema");
        let other = Error::internal("x", "a mistake of ours");
        assert_eq!(Letters::new(OnViolation::DeadLetter).refused("a/b", other, 1).unwrap_err().code, "x");
    }
}
