//! Where documents go from the thread that reads files: gathered into batches, handed over with back-pressure, closed by checkpoints.
//!
//! The queue holds a few batches, so memory is the same for a file of any size. `pull.rs` is at the other end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longshore_sdk::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES};
use longshore_sdk::{Batch, BatchBuilder, Error};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::state::PartPatch;

/// A batch is handed over at this size, in bytes.
const BATCH_BYTES: usize = 256 << 10;
/// A checkpoint is due after so many bytes of documents…
const CHECKPOINT_BYTES: usize = 1 << 20;
/// …or so many documents…
const CHECKPOINT_DOCUMENTS: usize = 10_000;
/// …or files.
const CHECKPOINT_FILES: usize = 256;
/// Events that wait at most; each holds at most one batch or one document.
pub(crate) const QUEUE_EVENTS: usize = 4;

/// What the reading thread has to say, in order.
#[derive(Debug)]
pub(crate) enum Event {
    Documents(Batch),
    Schema { binding: usize, schema: Value },
    Checkpoint { patches: BTreeMap<usize, PartPatch>, caught_up: bool },
    Progress { binding: usize, rows: u64, bytes: u64, total_bytes: u64 },
}

/// Why reading ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Nobody wants more.
    Stopped,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// It was not written whole; nothing is left of it.
    Not,
    /// It is larger than a document may be; nothing is left of it.
    TooLarge {
        bytes: usize,
    },
}

/// The reading thread's end.
pub(crate) struct Outbox {
    events: mpsc::Sender<Event>,
    stop: Arc<AtomicBool>,
    batch: BatchBuilder,
    documents: usize,
    bytes: usize,
    patches: BTreeMap<usize, PartPatch>,
}

impl Outbox {
    pub(crate) fn new(events: mpsc::Sender<Event>, stop: Arc<AtomicBool>) -> Outbox {
        Outbox { events, stop, batch: BatchBuilder::new(0), documents: 0, bytes: 0, patches: BTreeMap::new() }
    }

    /// Adds the document that `write` appends to the arena; false takes it back. It may be asked to write again.
    pub(crate) fn write(
        &mut self,
        binding: usize,
        mut write: impl FnMut(&mut Vec<u8>) -> bool,
    ) -> Result<Written, Halt> {
        if self.batch.binding() != binding {
            self.send_off()?;
            self.batch = BatchBuilder::new(binding);
        }
        loop {
            let (before, first) = (self.batch.byte_len(), self.batch.is_empty());
            let mut crowded = false;
            let written = self.batch.push_with(|arena| {
                if !write(arena) {
                    return Err(Written::Not);
                }
                let bytes = arena.len() - before;
                crowded = !first && arena.len() > BATCH_MAX_BYTES;
                match bytes {
                    bytes if bytes > DOCUMENT_MAX_BYTES => Err(Written::TooLarge { bytes }),
                    _ if crowded => Err(Written::Not),
                    _ => Ok(()),
                }
            });
            match written {
                Err(Written::Not) if crowded => self.send_off()?,
                Err(outcome) => return Ok(outcome),
                Ok(()) => {
                    self.bytes += self.batch.byte_len() - before;
                    self.documents += 1;
                    if self.batch.byte_len() >= BATCH_BYTES {
                        self.send_off()?;
                    }
                    return Ok(Written::Done);
                }
            }
        }
    }

    /// States a binding's schema, before the documents that need it.
    pub(crate) fn schema(&mut self, binding: usize, schema: Value) -> Result<(), Halt> {
        self.send_off()?;
        self.send(Event::Schema { binding, schema })
    }

    pub(crate) fn progress(&mut self, binding: usize, rows: u64, bytes: u64, total_bytes: u64) -> Result<(), Halt> {
        self.send(Event::Progress { binding, rows, bytes, total_bytes })
    }

    /// What the next checkpoint will say of a binding.
    pub(crate) fn patch(&mut self, binding: usize) -> &mut PartPatch {
        self.patches.entry(binding).or_default()
    }

    /// It is time for a checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        self.bytes >= CHECKPOINT_BYTES
            || self.documents >= CHECKPOINT_DOCUMENTS
            || self.stop.load(Ordering::Relaxed)
            || self.patches.values().any(|patch| patch.files_len() >= CHECKPOINT_FILES)
    }

    /// There is something that no checkpoint covers.
    pub(crate) fn is_dirty(&self) -> bool {
        self.documents > 0 || !self.patches.is_empty()
    }

    /// Covers all documents so far; the patches must say so. Ends the reading if a stop was asked for.
    pub(crate) fn checkpoint(&mut self, caught_up: bool) -> Result<(), Halt> {
        self.send_off()?;
        let patches = std::mem::take(&mut self.patches);
        (self.documents, self.bytes) = (0, 0);
        self.send(Event::Checkpoint { patches, caught_up })?;
        self.check_stop()
    }

    /// Ends the reading, where nothing is under way, if a stop was asked for.
    pub(crate) fn check_stop(&self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) { Err(Halt::Stopped) } else { Ok(()) }
    }

    fn send_off(&mut self) -> Result<(), Halt> {
        match self.batch.finish() {
            Some(batch) => self.send(Event::Documents(batch)),
            None => Ok(()),
        }
    }

    fn send(&mut self, event: Event) -> Result<(), Halt> {
        self.events.blocking_send(event).map_err(|_| Halt::Stopped)
    }
}
