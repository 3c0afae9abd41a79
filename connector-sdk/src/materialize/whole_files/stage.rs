//! A staged file while it is written: a format makes bytes of documents, the bytes are counted and summed on their way into the storage.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::disk::hex;
use super::publish::Upload;
use super::storage::StoredBytes;
use crate::materialize::StageId;
use crate::{Error, Result};

/// How documents become the bytes of files.
pub trait Format: Send + 'static {
    /// A file while it is written.
    type File: FormatFile;

    /// What the names of its files end in, such as `jsonl.gz`.
    fn extension(&self) -> String;

    /// The same of staged ones: another, where readers look for all names with this end, hidden or not.
    fn staged_extension(&self) -> String {
        self.extension()
    }

    /// A transaction may have several files of a binding, and their names a number each.
    fn is_rolled(&self) -> bool {
        false
    }

    /// Begins a file of a binding.
    fn begin(&self, binding: usize, stage: &StageId, sink: StagedFile) -> Result<Self::File>;
}

/// A file of a [`Format`]. An error of kind `data` is one of the document: it has left nothing in the file.
pub trait FormatFile: Send + 'static {
    /// Adds a document.
    fn write(&mut self, document: &[u8]) -> Result<()>;

    /// It holds enough: what comes goes into another file. Only where the format is rolled.
    fn is_full(&self) -> bool {
        false
    }

    /// What it holds in memory.
    fn buffered_bytes(&self) -> usize {
        0
    }

    /// Holds less in memory, if it can.
    fn spill(&mut self) -> Result<()> {
        Ok(())
    }

    /// Nothing more comes.
    fn finish(self) -> Result<StagedFile>;
}

/// Where the bytes of a staged file go: an [`io::Write`] whose errors keep what they were, for whoever asks [`Fault`].
pub struct StagedFile {
    bytes: Box<dyn StoredBytes>,
    sha: Sha256,
    size: u64,
    fault: Fault,
}

impl std::fmt::Debug for StagedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagedFile").field("size", &self.size).finish_non_exhaustive()
    }
}

/// What was staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    pub(super) size: u64,
    pub(super) checksum: String,
    pub(super) upload: Option<Upload>,
}

/// What the storage said when bytes could not be written. Formats pass an `io::Error` on, in whatever they make of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<Error>>>);

impl Fault {
    /// The storage's own error where there is one, else this.
    pub(super) fn or(&self, error: Error) -> Error {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
    }
}

impl StagedFile {
    pub(super) fn new(bytes: Box<dyn StoredBytes>) -> Self {
        Self { bytes, sha: Sha256::new(), size: 0, fault: Fault::default() }
    }

    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    pub(super) fn finish(self) -> Result<Staged> {
        let upload = self.bytes.finish()?;
        Ok(Staged { size: self.size, checksum: hex(&self.sha.finalize()), upload })
    }
}

impl io::Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.bytes.write(bytes) {
            let told = io::Error::other(error.message.clone());
            *self.fault.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return Err(told);
        }
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
