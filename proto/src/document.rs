//! One pass over a document: checks its JSON (rule X-6) and takes out its key and `/_meta/op`. The runtime does this to each document of a
//! connector and to no document twice; nothing is built on the way. Out of its journal it takes key and operation again, and reads no further.
//!
//! What is refused (kind `data`, code `document.json`): what is not one JSON object; invalid UTF-8; objects and arrays nested more than 127
//! deep (what serde_json reads, so that nobody downstream refuses what passed here); a name twice in one object (readers differ on which
//! one counts); half a surrogate pair (no string can hold it); a number beyond the range of a double such as `1e400` (half of all readers
//! fail on it); a line feed or carriage return between tokens (a document is one line of a JSONL file).
//!
//! What is kept as it is: any number of digits, such as integers from 2^64 on; `\u0000` (a destination that cannot store it refuses that
//! document); empty names; `1e-400`.

pub(crate) mod json;
mod trie;

use crate::batch::too_large;
use crate::error::Error;
use crate::key::{KeyPointers, check_part, encode_absent, encode_part};
use crate::limits::DOCUMENT_MAX_BYTES;

pub use json::JsonFault;
use json::{Finds, Lines, Memo, Reader, Search, Text, Value, Walk};
use trie::Trie;

/// What a document says has happened to its row: `/_meta/op`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Op {
    /// `c`, also if nothing is said: it was made, or is there.
    #[default]
    Create,
    /// `u`: it was changed.
    Update,
    /// `d`: it was deleted.
    Delete,
}

/// What a scan takes out. Keep one and scan into it again: its buffers are used again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// What has happened.
    pub op: Op,
    /// The key in key encoding version 1 (see [`crate::key`]).
    pub key_encoded: Vec<u8>,
    /// The key as a JSON array, each part as the document writes it.
    pub key_json: Vec<u8>,
}

/// Scans documents of one collection.
#[derive(Debug, Clone)]
pub struct Scanner {
    trie: Trie,
    key_parts: usize,
    op_slot: usize,
    walk: Walk,
    memo: Memo,
    found: Vec<Option<(u32, u32)>>,
}

impl Scanner {
    /// For a collection with this key.
    pub fn new(key: &KeyPointers) -> Self {
        let mut trie = Trie::default();
        for (slot, tokens) in key.tokens().iter().enumerate() {
            trie.insert(tokens, slot);
        }
        // A key that holds the operation itself has a slot for it already.
        let op = ["_meta", "op"];
        let op_slot = key.tokens().iter().position(|tokens| tokens[..] == op).unwrap_or(key.len());
        trie.insert(&op.map(str::to_owned), op_slot);
        Self {
            trie,
            key_parts: key.len(),
            op_slot,
            walk: Walk::default(),
            memo: Memo::default(),
            found: vec![None; key.len() + 1],
        }
    }

    /// Checks a document and takes out its key and what happened. On an error `scanned` holds nothing of use.
    pub fn scan(&mut self, document: &[u8], scanned: &mut Scanned) -> Result<(), Error> {
        scanned.op = self.walk(document, |_, _| {})?;
        self.take_out(document, scanned)
    }

    /// The same of a document that was checked before, by whoever wrote it down: it is read only as far as its key and what happened stand in it.
    pub fn take(&mut self, document: &[u8], scanned: &mut Scanned) -> Result<(), Error> {
        self.found.fill(None);
        let missing = self.found.len() - usize::from(self.op_slot < self.key_parts);
        let found = First { slots: &mut self.found, missing };
        let search = Search { trie: &self.trie, walk: &mut self.walk, memo: Some(&mut self.memo), found };
        Reader::of_checked(document).object(search, Lines::One)?;
        scanned.op = self.found[self.op_slot].map_or(Ok(Op::Create), |span| op_of(document, span))?;
        self.take_out(document, scanned)
    }

    fn take_out(&self, document: &[u8], scanned: &mut Scanned) -> Result<(), Error> {
        let Scanned { key_encoded, key_json, .. } = scanned;
        key_encoded.clear();
        for part in self.key_parts(document) {
            match part {
                None => encode_absent(key_encoded),
                Some(text) => encode_part(Value::of_checked(text), key_encoded)?,
            }
        }
        self.write_key_json(document, key_json);
        Ok(())
    }

    /// Checks a document with its key and shows each member of it, in order: what its name says, and its value as it is written. For whom
    /// the key itself is of no interest; where it is, after all, [`Scanner::key_json`] tells it.
    pub fn check(&mut self, document: &[u8], each: impl FnMut(&[u8], &[u8])) -> Result<Op, Error> {
        let op = self.walk(document, each)?;
        for text in self.key_parts(document).flatten() {
            check_part(Value::of_checked(text))?;
        }
        Ok(op)
    }

    /// The key of the document that was looked at last, as a JSON array.
    pub fn key_json(&self, document: &[u8]) -> Vec<u8> {
        let mut key_json = Vec::new();
        self.write_key_json(document, &mut key_json);
        key_json
    }

    fn walk(&mut self, document: &[u8], each: impl FnMut(&[u8], &[u8])) -> Result<Op, Error> {
        if document.len() > DOCUMENT_MAX_BYTES {
            return Err(too_large(document.len()));
        }
        self.found.fill(None);
        let found = Found { document, slots: &mut self.found, each };
        let search = Search { trie: &self.trie, walk: &mut self.walk, memo: Some(&mut self.memo), found };
        Reader::new(document)?.object(search, Lines::One)?;
        self.found[self.op_slot].map_or(Ok(Op::Create), |span| op_of(document, span))
    }

    /// As the document writes them; none: it is absent.
    fn key_parts<'d>(&self, document: &'d [u8]) -> impl Iterator<Item = Option<&'d [u8]>> {
        self.found[..self.key_parts]
            .iter()
            .map(|found| found.map(|(start, end)| &document[start as usize..end as usize]))
    }

    fn write_key_json(&self, document: &[u8], key_json: &mut Vec<u8>) {
        key_json.clear();
        key_json.push(b'[');
        for (i, part) in self.key_parts(document).enumerate() {
            if i > 0 {
                key_json.push(b',');
            }
            key_json.extend_from_slice(part.unwrap_or(b"null"));
        }
        key_json.push(b']');
    }
}

/// What a scanner takes out of one document.
struct Found<'s, E> {
    document: &'s [u8],
    slots: &'s mut [Option<(u32, u32)>],
    each: E,
}

impl<E: FnMut(&[u8], &[u8])> Finds for Found<'_, E> {
    fn slot(&mut self, slot: usize, start: usize, end: usize) {
        self.slots[slot] = Some((start as u32, end as u32));
    }

    #[inline]
    fn member(&mut self, name: Text<'_>, start: usize, end: usize) {
        (self.each)(&name.unescaped(), &self.document[start..end]);
    }
}

/// Finds the values at some paths, in one walk over a document that was checked by the runtime. Keep one for the documents of a collection: it
/// remembers their names.
#[derive(Debug, Clone)]
pub struct Finder {
    trie: Trie,
    walk: Walk,
    memo: Memo,
}

impl Finder {
    /// The names that lead to each value, outermost first; each path once, and none is empty.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p [String]>) -> Self {
        let mut trie = Trie::default();
        for (slot, path) in paths.into_iter().enumerate() {
            trie.insert(path, slot);
        }
        Self { trie, walk: Walk::default(), memo: Memo::default() }
    }

    /// Tells of each value that is there which path it is at, and how it is written, in the order of the document. The value of a path stands
    /// behind those that are inside of it. An error tells of what is obviously no object; not all of that is looked for.
    pub fn find<'d>(&mut self, document: &'d str, each: impl FnMut(usize, &'d str)) -> Result<(), JsonFault> {
        let found = Values { document, each };
        let search = Search { trie: &self.trie, walk: &mut self.walk, memo: Some(&mut self.memo), found };
        Reader::of_checked(document.as_bytes()).object(search, Lines::Many)
    }
}

/// What a finder finds in one document.
struct Values<'d, E> {
    document: &'d str,
    each: E,
}

impl<'d, E: FnMut(usize, &'d str)> Finds for Values<'d, E> {
    const IS_CHECKED: bool = true;

    #[inline]
    fn slot(&mut self, slot: usize, start: usize, end: usize) {
        (self.each)(slot, &self.document[start..end]);
    }

    fn member(&mut self, _: Text<'_>, _: usize, _: usize) {}
}

/// The values of all slots, and nothing behind them.
struct First<'s> {
    slots: &'s mut [Option<(u32, u32)>],
    /// So many slots have none yet.
    missing: usize,
}

impl Finds for First<'_> {
    const MAY_END: bool = true;
    const IS_CHECKED: bool = true;

    #[inline]
    fn has_all(&self) -> bool {
        self.missing == 0
    }

    fn slot(&mut self, slot: usize, start: usize, end: usize) {
        self.missing -= usize::from(self.slots[slot].is_none());
        self.slots[slot] = Some((start as u32, end as u32));
    }

    fn member(&mut self, _: Text<'_>, _: usize, _: usize) {}
}

/// Checks that bytes are one JSON object that every reader reads alike, such as a config or a schema: rule X-6 but for size and lines.
pub fn check_object(json: &[u8]) -> Result<(), JsonFault> {
    let search = Search { trie: &Trie::default(), walk: &mut Walk::default(), memo: None, found: () };
    Reader::new(json)?.object(search, Lines::Many)
}

fn op_of(document: &[u8], (start, end): (u32, u32)) -> Result<Op, Error> {
    match Value::of_checked(&document[start as usize..end as usize]) {
        Value::String(Text { raw: b"c", .. }) => Ok(Op::Create),
        Value::String(Text { raw: b"u", .. }) => Ok(Op::Update),
        Value::String(Text { raw: b"d", .. }) => Ok(Op::Delete),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array | Value::Object => {
            Err(Error::data(
                "document.op",
                "a document is refused: expected `c`, `u` or `d` at /_meta/op, got something else",
            )
            .suggest("leave /_meta out where nothing is known of the change"))
        }
    }
}

#[cfg(test)]
mod tests;
