//! Batches of documents and keys: one arena, the ends that cut it, checked once when parsed and then walked without another look.
//!
//! What the documents say is not looked at here: the runtime reads each document of a connector with [`crate::document::Scanner`], which
//! checks its JSON in the same pass that takes the key out.

use bytes::Bytes;

use crate::error::Error;
use crate::limits::{BATCH_MAX_BYTES, BATCH_MAX_DOCUMENTS, DOCUMENT_MAX_BYTES};
use crate::parse::Sent;
use crate::pb::common::v1 as pb;
use crate::rules;

/// Documents of one binding, in order; at least one. Its parts are private: whoever holds a `Batch` knows that the ends ascend, that they
/// cover the arena and that it is within the limits of [`crate::limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    binding: usize,
    cut: Cut,
}

/// Keys, in order: each is one JSON array with a value (null, boolean, number or string) for each pointer of the collection's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    cut: Cut,
}

impl Batch {
    /// From an arena and its ends as they were stored, checked again.
    pub fn from_parts(binding: usize, arena: Bytes, ends: Vec<u32>) -> Result<Self, Error> {
        let cut = Cut { arena, ends };
        match cut.shape_fault().or_else(|| cut.documents_fault()) {
            None => Ok(Self { binding, cut }),
            Some(fault) => Err(Error::internal("batch.shape", format!("reading a batch of documents: {fault}"))),
        }
    }

    /// Index of the binding in the session.
    pub fn binding(&self) -> usize {
        self.binding
    }

    /// The same documents under another index: indexes live within one session.
    #[must_use]
    pub fn with_binding(self, binding: usize) -> Self {
        Self { binding, ..self }
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.cut.ends.len()
    }

    /// Never: a batch holds at least one document.
    pub fn is_empty(&self) -> bool {
        self.cut.ends.is_empty()
    }

    /// Bytes of all documents.
    pub fn byte_len(&self) -> usize {
        self.cut.arena.len()
    }

    /// All documents, one behind the other.
    pub fn arena(&self) -> &Bytes {
        &self.cut.arena
    }

    /// Where each document ends in the arena.
    pub fn ends(&self) -> &[u32] {
        &self.cut.ends
    }

    /// The documents' bytes, in order.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.cut.pieces()
    }

    /// One document; `None` behind the last one.
    pub fn document(&self, index: usize) -> Option<&[u8]> {
        self.cut.piece(index)
    }

    /// Nothing but one document of JSON, well cut, that is over the limit.
    pub(crate) fn is_one_too_large(pb: &pb::Documents) -> bool {
        let is_one = pb.count == 1 && pb.ends.len() == 1 && pb.ends[0] as usize == pb.arena.len();
        is_one && pb.encoding == i32::from(pb::Encoding::Json) && pb.arena.len() > DOCUMENT_MAX_BYTES
    }

    pub(crate) fn parse(pb: pb::Documents, sent: Sent, bindings: usize) -> Result<Self, Error> {
        let encoding = pb::Encoding::try_from(pb.encoding).map_err(|_| sent.unknown("an encoding"))?;
        match encoding {
            pb::Encoding::Json => {}
            pb::Encoding::Unspecified | pb::Encoding::ArrowIpc => {
                return Err(sent.broke(rules::BATCH_SHAPE, "documents in ENCODING_JSON", encoding.as_str_name()));
            }
        }
        let binding = sent.binding(pb.binding, bindings)?;
        let cut = Cut::parse(pb.arena, pb.ends, pb.count, sent)?;
        if let Some(bytes) = cut.longest_too_long() {
            return Err(too_large(bytes).at_binding(binding));
        }
        match cut.documents_fault() {
            None => Ok(Self { binding, cut }),
            Some(fault) => Err(sent.broke(rules::BATCH_SIZE, "a batch within the limits", fault)),
        }
    }
}

impl From<Batch> for pb::Documents {
    fn from(batch: Batch) -> Self {
        pb::Documents {
            binding: wire_index(batch.binding),
            encoding: pb::Encoding::Json.into(),
            count: wire_index(batch.cut.ends.len()),
            arena: batch.cut.arena,
            ends: batch.cut.ends,
        }
    }
}

impl Keys {
    /// From an arena and its ends as they were stored, checked again.
    pub fn from_parts(arena: Bytes, ends: Vec<u32>) -> Result<Self, Error> {
        let cut = Cut { arena, ends };
        match cut.shape_fault().or_else(|| cut.keys_fault()) {
            None => Ok(Self { cut }),
            Some(fault) => Err(Error::internal("keys.shape", format!("reading a batch of keys: {fault}"))),
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.cut.ends.len()
    }

    /// No key; only as a default, a message holds at least one.
    pub fn is_empty(&self) -> bool {
        self.cut.ends.is_empty()
    }

    /// Bytes of all keys.
    pub fn byte_len(&self) -> usize {
        self.cut.arena.len()
    }

    /// All keys, one behind the other.
    pub fn arena(&self) -> &Bytes {
        &self.cut.arena
    }

    /// Where each key ends in the arena.
    pub fn ends(&self) -> &[u32] {
        &self.cut.ends
    }

    /// The keys' bytes, in order: each a JSON array.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.cut.pieces()
    }

    /// One key; `None` behind the last one.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        self.cut.piece(index)
    }

    pub(crate) fn parse(pb: pb::Keys, sent: Sent) -> Result<Self, Error> {
        let cut = Cut::parse(pb.arena, pb.ends, pb.count, sent)?;
        match cut.keys_fault() {
            None => Ok(Self { cut }),
            Some(fault) => Err(sent.broke(rules::BATCH_SIZE, "keys within the limits", fault)),
        }
    }
}

impl From<Keys> for pb::Keys {
    fn from(keys: Keys) -> Self {
        pb::Keys { count: wire_index(keys.cut.ends.len()), arena: keys.cut.arena, ends: keys.cut.ends }
    }
}

/// Collects documents of one binding. It trusts its caller that each is a JSON object; the receiver does not.
#[derive(Debug)]
pub struct BatchBuilder {
    binding: usize,
    pieces: Pieces,
}

impl BatchBuilder {
    /// An empty one.
    pub fn new(binding: usize) -> Self {
        Self { binding, pieces: Pieces::default() }
    }

    /// Adds one document, which is not empty.
    pub fn push(&mut self, document: &[u8]) {
        self.pieces.push(document);
    }

    /// Adds the document that `write` appends to the arena; when it fails, nothing is added. It must not touch what is there already.
    pub fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.pieces.push_with(write)
    }

    /// Index of the binding in the session.
    pub fn binding(&self) -> usize {
        self.binding
    }

    /// Number of documents so far.
    pub fn len(&self) -> usize {
        self.pieces.ends.len()
    }

    /// No document yet.
    pub fn is_empty(&self) -> bool {
        self.pieces.ends.is_empty()
    }

    /// Bytes so far.
    pub fn byte_len(&self) -> usize {
        self.pieces.arena.len()
    }

    /// Whether one more document of this size keeps the batch within its limits; if not, finish first. A document fits an empty batch
    /// exactly if it is within the limit for one document.
    pub fn fits(&self, document_bytes: usize) -> bool {
        match self.len() {
            0 => document_bytes <= DOCUMENT_MAX_BYTES,
            len => len < BATCH_MAX_DOCUMENTS && self.byte_len() + document_bytes <= BATCH_MAX_BYTES,
        }
    }

    /// What was added, if anything, and begins again.
    pub fn finish(&mut self) -> Option<Batch> {
        self.pieces.finish().map(|cut| Batch { binding: self.binding, cut })
    }
}

/// Collects keys. It trusts its caller that each is a JSON array; the receiver does not.
#[derive(Debug, Default)]
pub struct KeysBuilder {
    pieces: Pieces,
}

impl KeysBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one key.
    pub fn push(&mut self, key_json: &[u8]) {
        self.pieces.push(key_json);
    }

    /// Number of keys so far.
    pub fn len(&self) -> usize {
        self.pieces.ends.len()
    }

    /// No key yet.
    pub fn is_empty(&self) -> bool {
        self.pieces.ends.is_empty()
    }

    /// Bytes so far.
    pub fn byte_len(&self) -> usize {
        self.pieces.arena.len()
    }

    /// What was added, if anything, and begins again.
    pub fn finish(&mut self) -> Option<Keys> {
        self.pieces.finish().map(|cut| Keys { cut })
    }
}

/// The refusal of a document over the limit (rule X-4).
pub fn too_large(document_bytes: usize) -> Error {
    Error::data(
        "document.too_large",
        format!("a document is refused: expected at most {DOCUMENT_MAX_BYTES} bytes (rule X-4), got {document_bytes}"),
    )
    .suggest("leave out its largest values or keep them outside and send where they are")
}

/// An arena and where its pieces end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cut {
    arena: Bytes,
    ends: Vec<u32>,
}

impl Cut {
    fn parse(arena: Bytes, ends: Vec<u32>, count: u32, sent: Sent) -> Result<Self, Error> {
        if count as usize != ends.len() {
            return Err(sent.broke(rules::BATCH_SHAPE, format_args!("{count} ends, as its count says"), ends.len()));
        }
        let cut = Self { arena, ends };
        match cut.shape_fault() {
            None => Ok(cut),
            Some(fault) => Err(sent.broke(rules::BATCH_SHAPE, "ends that cut the arena into pieces", fault)),
        }
    }

    fn shape_fault(&self) -> Option<String> {
        let Some(&last) = self.ends.last() else {
            return Some("no ends".to_owned());
        };
        let mut start = 0;
        for (i, &end) in self.ends.iter().enumerate() {
            if end <= start {
                return Some(format!("end {i} at {end}, not behind {start}"));
            }
            start = end;
        }
        (last as usize != self.arena.len())
            .then(|| format!("a last end at {last} in an arena of {} bytes", self.arena.len()))
    }

    fn documents_fault(&self) -> Option<String> {
        let (documents, bytes) = (self.ends.len(), self.arena.len());
        let max_bytes = if documents == 1 { DOCUMENT_MAX_BYTES } else { BATCH_MAX_BYTES };
        (documents > BATCH_MAX_DOCUMENTS || bytes > max_bytes)
            .then(|| format!("{documents} documents of {bytes} bytes together"))
    }

    fn keys_fault(&self) -> Option<String> {
        let (keys, bytes) = (self.ends.len(), self.arena.len());
        (keys > BATCH_MAX_DOCUMENTS || bytes > DOCUMENT_MAX_BYTES)
            .then(|| format!("{keys} keys of {bytes} bytes together"))
    }

    /// Length of the longest piece if that is more than a document may have.
    fn longest_too_long(&self) -> Option<usize> {
        if self.arena.len() <= DOCUMENT_MAX_BYTES {
            return None;
        }
        self.pieces().map(<[u8]>::len).max().filter(|&bytes| bytes > DOCUMENT_MAX_BYTES)
    }

    fn pieces(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let piece = &self.arena[start..end as usize];
            start = end as usize;
            piece
        })
    }

    fn piece(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.arena[start..end])
    }
}

/// More than the megabyte at which batches are sent, for the document that brings them there: one that no longer fits moves all of them.
const ARENA_KEPT_BYTES: usize = (1 << 20) + (1 << 18);
const ENDS_KEPT: usize = 1 << 14;

/// An arena that grows.
#[derive(Debug, Default)]
struct Pieces {
    arena: Vec<u8>,
    ends: Vec<u32>,
}

impl Pieces {
    fn push(&mut self, piece: &[u8]) {
        self.arena.extend_from_slice(piece);
        self.close();
    }

    fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.arena.len();
        match write(&mut self.arena) {
            Ok(()) => {
                self.close();
                Ok(())
            }
            Err(error) => {
                self.arena.truncate(start);
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        debug_assert!(self.arena.len() > self.ends.last().map_or(0, |&end| end as usize), "an empty piece");
        // Who goes over 4 GiB has not looked at `fits` for a long time; the receiver refuses the batch (rule X-5).
        self.ends.push(u32::try_from(self.arena.len()).unwrap_or(u32::MAX));
    }

    fn finish(&mut self) -> Option<Cut> {
        if self.ends.is_empty() {
            return None;
        }
        // The next batch will be about as large as this one, but a rare large one is not held for ever.
        let about = |len: usize| len + len / 8;
        let (bytes, count) = (about(self.arena.len()).min(ARENA_KEPT_BYTES), about(self.ends.len()).min(ENDS_KEPT));
        let arena = std::mem::replace(&mut self.arena, Vec::with_capacity(bytes));
        let ends = std::mem::replace(&mut self.ends, Vec::with_capacity(count));
        Some(Cut { arena: arena.into(), ends })
    }
}

/// An index or count of ours on the wire; all of them are far below 2^32.
pub(crate) fn wire_index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
