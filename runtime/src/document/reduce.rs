//! How the documents of one key become one: the `reduce` annotations of a collection's schema ([`annotation`]), applied to the bytes of
//! documents ([`values`]).
//!
//! Each strategy is associative: in whatever pieces documents are reduced, in memory or on disk, with the row of the destination or before
//! it is known, they come to the same. `null` and a field that is absent say nothing, except to lastWriteWins and firstWriteWins, which
//! take a value as it is. A value of a type that a strategy is not for is an error, never skipped.
//!
//! | strategy | of values, in order | at |
//! |---|---|---|
//! | `lastWriteWins` | the last; what happens without an annotation | anything |
//! | `firstWriteWins` | the first | anything |
//! | `merge` | each field by its own annotation; a field that is absent stays as it was | objects |
//! | `sum` | the exact sum, whatever its digits | numbers |
//! | `minimize` | the least, of equals the first | scalars; objects by `key` |
//! | `maximize` | the greatest, of equals the last | scalars; objects by `key` |
//! | `append` | all elements, in order | arrays |
//! | `set` | each element once, ascending; of equals the last | arrays of scalars; of objects by `key` |
//!
//! Order and equality are those of keys (`longshore_proto::key`): 1 and 1.0 are equal, numbers come before strings.

mod annotation;
mod sum;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;

use longshore_proto::Error;

pub use annotation::{Fault, faults};

use annotation::Strategy;

/// So many documents are taken apart at once: more are reduced in groups.
const AT_ONCE: usize = 64;

/// The annotations of a schema, of which at least one says more than that the last document counts.
#[derive(Debug, Clone)]
pub struct Reducer {
    root: Strategy,
}

/// Why documents cannot be reduced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON pointer of the value; empty: the document itself.
    pub pointer: String,
    /// Which strategy stands there.
    pub strategy: &'static str,
    /// What it takes.
    pub expected: String,
    /// What was found, cut.
    pub got: String,
}

impl Reducer {
    /// Of a collection's schema; none: the last document counts. What only a person's schema is held to ([`faults`]) is not looked at.
    ///
    /// # Errors
    /// `config` when the schema cannot be read or an annotation is none.
    pub fn compile(schema_json: &[u8]) -> Result<Option<Self>, Error> {
        let root = annotation::compile(&super::parse(schema_json)?)?;
        Ok((!root.is_last()).then_some(Self { root }))
    }

    /// What documents of one key come to, the oldest first; at least one. Written behind what `into` holds.
    ///
    /// # Errors
    /// [`Misfit`] when a value is not what its strategy is for; `into` then holds a part.
    pub fn reduce(&self, documents: &[&[u8]], into: &mut Vec<u8>) -> Result<(), Misfit> {
        if documents.len() <= AT_ONCE {
            return values::reduce(&self.root, documents, into);
        }
        let (mut groups, mut ends) = (Vec::new(), Vec::new());
        for group in documents.chunks(AT_ONCE) {
            values::reduce(&self.root, group, &mut groups)?;
            ends.push(groups.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let reduced: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &groups[start..*end]).collect();
        self.reduce(&reduced, into)
    }

    /// The fields whose value of before is needed, as JSON pointers; `*` stands for any field that is not declared.
    #[must_use]
    pub fn locations(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.root.locations(&mut String::new(), &mut found);
        found
    }

    /// A merge of fields at the document itself, each with its last value, and nothing more: what a document does not say stays as it was, and
    /// nothing of what was there is needed for what it says.
    #[must_use]
    pub fn is_of_last_fields(&self) -> bool {
        self.root.is_of_last_fields()
    }

    /// Reduced again with a document that it holds already, a row stays as it is: what sends a transaction twice does no harm.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.root.is_idempotent()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = super::shown_pointer(&self.pointer);
        write!(f, "{} at {at}: expected {}, got {}", self.strategy, self.expected, self.got)
    }
}

impl Misfit {
    /// The `data` error of documents of `collection` with this key.
    #[must_use]
    pub fn into_error(self, collection: &str, key_json: &[u8]) -> Error {
        let key = super::cut(&String::from_utf8_lossy(key_json));
        Error::data("reduce.type", format!("documents of {collection} with key {key} cannot be reduced: {self}"))
            .at_pointer(self.pointer)
            .suggest("correct the document at its source, or change `reduce` in the collection's schema")
    }
}
