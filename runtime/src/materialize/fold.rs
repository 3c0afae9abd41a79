//! What the documents of one key come to, with deletes: a pure rule, used in memory, on disk and against the row of the destination alike.
//!
//! A reduced form is a document, whether it deletes, and whether it *resets*: a delete, and all that is reduced onto a delete, resets, and
//! then nothing that came before counts, the row of the destination neither. Without that, merging would not be associative over a delete.

use std::sync::Arc;

use longshore_proto::Error;
use longshore_proto::limits::DOCUMENT_MAX_BYTES;

use crate::document::reduce::Reducer;

/// A document of a key, or what several came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The document; empty where only keys are collected.
    pub document: &'a [u8],
    /// It says that the row is deleted.
    pub delete: bool,
    /// Nothing that came before it counts.
    pub resets: bool,
}

impl<'a> Part<'a> {
    /// As it was read.
    #[must_use]
    pub fn read(document: &'a [u8], delete: bool) -> Self {
        Self { document, delete, resets: delete }
    }
}

/// How the documents of one collection are reduced.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Of its schema.
    pub reducer: Arc<Reducer>,
    /// Its name, for errors.
    pub collection: String,
}

impl Rule {
    /// Brings the parts of one key, the oldest first, to one. A document that has to be made is made in `made`.
    ///
    /// # Errors
    /// `data` when documents cannot be reduced, or come to one that is too large.
    pub fn fold<'a>(&self, parts: &[Part<'a>], key_json: &[u8], made: &'a mut Vec<u8>) -> Result<Part<'a>, Error> {
        let none = Part { document: b"", delete: true, resets: true };
        let reset = parts.iter().rposition(|part| part.resets);
        let counts = match reset {
            // What deletes is gone itself, if something came after it.
            Some(at) if parts[at].delete && at + 1 < parts.len() => &parts[at + 1..],
            Some(at) => &parts[at..],
            None => parts,
        };
        let resets = reset.is_some();
        let document = match counts {
            [] => return Ok(none),
            [one] => return Ok(Part { resets, ..*one }),
            several => {
                made.clear();
                let documents: Vec<&[u8]> = several.iter().map(|part| part.document).collect();
                let reduced = self.reducer.reduce(&documents, made);
                reduced.map_err(|misfit| misfit.into_error(&self.collection, key_json))?;
                made.as_slice()
            }
        };
        if document.len() > DOCUMENT_MAX_BYTES {
            let (collection, bytes) = (&self.collection, document.len());
            let key = String::from_utf8_lossy(key_json);
            let message = format!(
                "documents of {collection} with key {key} come to {bytes} bytes, at most {DOCUMENT_MAX_BYTES} are taken"
            );
            return Err(Error::data("reduce.too_large", message)
                .suggest("reduce to less: `append` and `set` grow with every document"));
        }
        Ok(Part { document, delete: false, resets })
    }
}

/// By binding, in the order in which they are stored: what is done beyond taking the last document.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Option<Rule>>);

impl Rules {
    /// In that order.
    #[must_use]
    pub fn new(by_rank: Vec<Option<Rule>>) -> Self {
        Self(by_rank)
    }

    /// None: the last document counts.
    #[must_use]
    pub fn of(&self, rank: u32) -> Option<&Rule> {
        self.0.get(rank as usize)?.as_ref()
    }
}
