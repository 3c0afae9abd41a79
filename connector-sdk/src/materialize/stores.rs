//! What a session brings an author, in bounded memory: the documents to store as a stream that ends in a witness, the keys to look up and
//! the place for the rows found. The order of all this is the driver's business, in [`super::session`].

use std::borrow::Cow;

use longshore_proto::batch::{Batch, BatchBuilder, Keys, KeysBuilder};
use longshore_proto::materialize::message::{self, Exists, Loaded, ToConnector, ToRuntime};
use serde::de::DeserializeOwned;

use super::reject::{KeyReader, Rejecting};
use super::session::{Inbox, Outbox};
use crate::{Error, Result};

/// A batch of Loaded is sent when it holds this many bytes.
const LOADED_BATCH_BYTES: usize = 1 << 20;

/// The documents of one transaction, in order. The next batch is fetched only when it is asked for: an author who is slow slows the
/// runtime down and nothing piles up in between.
#[derive(Debug)]
pub struct Stores<'a> {
    inbox: &'a mut Inbox,
    /// What was received already.
    first: Option<ToConnector>,
    keys: &'a mut [KeyReader],
    transaction: u64,
    checkpoint: Option<Checkpoint>,
    rejecting: Option<Rejecting>,
    /// What is stored stays, also of a transaction that is rejected.
    is_at_once: bool,
}

/// What [`Stores::next`] found.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart where it is got, once a batch")]
pub enum Next {
    /// More to store.
    Batch(StoreBatch),
    /// That was all. The witness is what `commit` asks for, and there is no other way to get one.
    End(Stored),
}

/// Witness that every document of a transaction was handed out.
#[derive(Debug)]
pub struct Stored {
    transaction: u64,
}

/// The runtime's checkpoint of a transaction: opaque, kept with the rows by a transactional destination and given back at the next open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint(bytes::Bytes);

impl<'a> Stores<'a> {
    pub(crate) fn new(
        (first, inbox): (Option<ToConnector>, &'a mut Inbox),
        keys: &'a mut [KeyReader],
        transaction: u64,
        guarantee: message::Guarantee,
    ) -> Self {
        let is_at_once = guarantee == message::Guarantee::AtLeastOnce;
        Self { inbox, first, keys, transaction, checkpoint: None, rejecting: None, is_at_once }
    }

    /// Number of the transaction they belong to: dense for a task and never used for other documents.
    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// This document cannot be stored, and why. Go on with the others: what else cannot be stored is told together, and in the place of the end
    /// comes an error, which ends the session. What was written of the transaction must then be gone, as after any error. The user says
    /// what becomes of the document; if it is set aside, the transaction comes again without it. Through the door `at_least_once` nothing more
    /// of the transaction is handed out: stored now, it would be there before what comes again.
    ///
    /// An error that is not of kind `data` is none of the document: it comes back, and so does what is wrong with a delta document whose key
    /// cannot be read.
    pub fn reject(&mut self, binding: usize, row: &Row<'_>, why: Error) -> Result<()> {
        if why.kind != crate::ErrorKind::Data {
            return Err(why);
        }
        let key = match row.key {
            Some(key) => key.to_vec(),
            None => self.keys[binding].key(row.document).ok_or_else(|| why.clone().at_binding(binding))?,
        };
        Rejecting::add(&mut self.rejecting, binding, key, why);
        Ok(())
    }

    /// Something was rejected: whatever is written of this transaction from now on is written for nothing.
    pub fn rejects(&self) -> bool {
        self.rejecting.is_some()
    }

    /// The next batch, or the end. After the end it fails: the witness is made once. If something was rejected only then, as by who sends the
    /// last rows when there are no more, it fails as in the place of the end.
    pub async fn next(&mut self) -> Result<Next> {
        if self.checkpoint.is_some() && self.rejecting.is_some() {
            return Err(super::reject::ends());
        }
        if self.checkpoint.is_some() {
            return Err(Error::internal(
                "stores.ended",
                "reading stores: expected no further call, got one after the end",
            ));
        }
        if self.is_at_once && self.rejecting.is_some() {
            while let Some(ToConnector::Store(_)) = self.receive().await? {}
            return Err(super::reject::ends());
        }
        match self.receive().await? {
            Some(ToConnector::Store(store)) => Ok(Next::Batch(StoreBatch { store })),
            Some(ToConnector::Commit { .. }) if self.rejecting.is_some() => Err(super::reject::ends()),
            Some(ToConnector::Commit { checkpoint, .. }) => {
                self.checkpoint = Some(Checkpoint(checkpoint));
                Ok(Next::End(Stored { transaction: self.transaction }))
            }
            other => Err(super::session::unexpected("a Store or Commit", other.as_ref())),
        }
    }

    async fn receive(&mut self) -> Result<Option<ToConnector>> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.inbox.next().await,
        }
    }

    /// Hands out every row with the index of its binding, up to the end. A row that is answered with an error of kind `data` is rejected, as
    /// [`Stores::reject`] says.
    pub async fn each(&mut self, mut take: impl FnMut(usize, Row<'_>) -> Result<()>) -> Result<Stored> {
        loop {
            match self.next().await? {
                Next::End(stored) => return Ok(stored),
                Next::Batch(batch) => {
                    for row in batch.rows() {
                        if let Err(why) = take(batch.binding(), row) {
                            self.reject(batch.binding(), &row, why)?;
                            if self.is_at_once {
                                break;
                            }
                        }
                    }
                }
            }
        }
    }

    /// The checkpoint that came with the end (none if `store` returned before it, with a witness of another transaction), and what is rejected.
    pub(crate) fn into_parts(self) -> (Option<Checkpoint>, Option<Rejecting>) {
        (self.checkpoint, self.rejecting)
    }
}

impl Stored {
    /// Number of the transaction that was stored.
    pub fn transaction(&self) -> u64 {
        self.transaction
    }
}

impl Checkpoint {
    /// As the runtime wrote it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> bytes::Bytes {
        self.0
    }
}

/// Documents of one binding to be stored, in order.
#[derive(Debug)]
pub struct StoreBatch {
    store: message::Store,
}

/// One document to be stored, and what is said of it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The document: one JSON object.
    pub document: &'a [u8],
    /// Standard bindings: its key, a JSON array with a value for each key pointer.
    pub key: Option<&'a [u8]>,
    /// Whether the row is there already.
    pub exists: Exists,
    /// The row is to be deleted.
    pub delete: bool,
    /// It was deleted and made again: nothing of an old row stays. Of use to whoever stores less than the whole document.
    pub replace: bool,
    /// What belongs to a top-level field that the document does not have ([`Projector::absent`](super::Projector::absent)), stays as it is in
    /// a row that is there; a row that is not there is made of what the document has.
    pub partial_update: bool,
}

impl Row<'_> {
    /// The document as a type of the author's.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.document).map_err(|error| {
            Error::data(
                "sdk.document",
                format!("reading a document: expected what this connector can store, got {error}"),
            )
        })
    }

    /// The key as the text of a JSON array; empty in a delta binding.
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.key.unwrap_or_default())
    }
}

impl StoreBatch {
    /// Index of the binding in this session's bindings.
    pub fn binding(&self) -> usize {
        self.store.documents.binding()
    }

    /// Number of documents; at least one.
    pub fn len(&self) -> usize {
        self.store.documents.len()
    }

    /// Never: a batch holds at least one document.
    pub fn is_empty(&self) -> bool {
        self.store.documents.is_empty()
    }

    /// Bytes of all documents.
    pub fn byte_len(&self) -> usize {
        self.store.documents.byte_len()
    }

    /// The documents alone.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.store.documents.documents()
    }

    /// The documents with what is said of each.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut keys = self.store.keys.as_ref().map(Keys::keys);
        self.store.documents.documents().enumerate().map(move |(i, document)| Row {
            document,
            key: keys.as_mut().and_then(Iterator::next),
            exists: self.store.exists.get(i).copied().unwrap_or(Exists::Unknown),
            delete: self.store.deletes.get(i).copied().unwrap_or(false),
            replace: self.store.replaces.get(i).copied().unwrap_or(false),
            partial_update: self.store.partial_updates.get(i).copied().unwrap_or(false),
        })
    }
}

/// Keys whose rows are wanted.
#[derive(Debug)]
pub struct Load {
    load: message::Load,
}

impl Load {
    pub(crate) fn new(load: message::Load) -> Self {
        Self { load }
    }

    /// Index of the binding in this session's bindings.
    pub fn binding(&self) -> usize {
        self.load.binding
    }

    /// The keys: each a JSON array with a value for each key pointer.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.load.keys.keys()
    }

    /// Only whether they exist is wanted: [`Rows::exists`] will do.
    pub fn keys_only(&self) -> bool {
        self.load.keys_only
    }
}

/// Where the rows go that a [`Load`] found. Missing ones are left out.
#[derive(Debug)]
pub struct Rows<'a> {
    outbox: &'a mut Outbox,
    keys: KeysBuilder,
    documents: BatchBuilder,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(outbox: &'a mut Outbox, binding: usize) -> Self {
        Self { outbox, keys: KeysBuilder::new(), documents: BatchBuilder::new(binding) }
    }

    /// A row is there; its document is one JSON object.
    pub async fn found(&mut self, key: &[u8], document: &[u8]) -> Result<()> {
        let full = self.documents.byte_len() + self.keys.byte_len() >= LOADED_BATCH_BYTES;
        if full || !self.documents.fits(document.len()) {
            self.send().await?;
        }
        if !self.documents.fits(document.len()) {
            return Err(longshore_proto::batch::too_large(document.len()).at_binding(self.documents.binding()));
        }
        self.keys.push(key);
        self.documents.push(document);
        Ok(())
    }

    /// A row is there, and no more was asked.
    pub async fn exists(&mut self, key: &[u8]) -> Result<()> {
        self.found(key, b"{}").await
    }

    pub(crate) async fn send(&mut self) -> Result<()> {
        let batch: Option<Batch> = self.documents.finish();
        match (self.keys.finish(), batch) {
            (Some(keys), Some(documents)) => self.outbox.send(ToRuntime::Loaded(Loaded { keys, documents })).await,
            (None, _) | (_, None) => Ok(()),
        }
    }
}
