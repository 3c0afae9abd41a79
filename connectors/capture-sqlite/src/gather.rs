//! What was read in one transaction of the database, gathered to be handed over when that transaction is over, so that no writer waits for
//! a slow runtime.

use longshore_sdk::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES};
use longshore_sdk::{Batch, BatchBuilder, Error, Result};
use serde_json::Value;

use crate::row::Wrote;
use crate::shape::Shape;
use crate::state::{Part, TaskState};

/// A batch is closed at this size, in bytes.
const BATCH_BYTES: usize = 256 << 10;
/// One transaction gathers documents of so many bytes, and one more.
const GATHER_BYTES: usize = 2 << 20;

/// What a session has to say, in order.
#[derive(Debug)]
pub(crate) enum Event {
    Documents(Batch),
    Schema {
        binding: usize,
        schema: Value,
    },
    /// A full refresh of a binding begins, or is complete.
    Refresh {
        binding: usize,
        complete: bool,
    },
    Checkpoint(Mark),
    Progress {
        binding: usize,
        rows: u64,
        total_rows: u64,
    },
}

/// A checkpoint.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) task: TaskState,
    /// Of the bindings whose state changed.
    pub(crate) parts: Vec<(usize, Part)>,
    pub(crate) caught_up: bool,
    /// It lies inside what one transaction of the database may have changed.
    pub(crate) partial: bool,
}

/// Documents and schemas in their order.
#[derive(Debug)]
pub(crate) struct Gather {
    most: usize,
    events: Vec<Event>,
    batch: BatchBuilder,
    bytes: usize,
    documents: usize,
}

/// Why a document was taken back.
enum Back {
    NeedsSchema,
    Crowded,
    TooLarge(usize),
    Failed(Error),
}

impl Gather {
    /// For so many rows at most, or 2 MiB.
    pub(crate) fn new(most: usize) -> Gather {
        Gather { most, events: Vec::new(), batch: BatchBuilder::new(0), bytes: 0, documents: 0 }
    }

    /// Enough for one transaction.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= GATHER_BYTES || self.documents >= self.most
    }

    /// Adds the document that `write` appends, with the schema it needs before it. It may be asked to write again.
    pub(crate) fn write(
        &mut self,
        binding: usize,
        shape: &mut Shape,
        mut write: impl FnMut(&mut Shape, &mut Vec<u8>) -> Result<Wrote>,
    ) -> Result<()> {
        if self.batch.binding() != binding {
            self.close_batch();
            self.batch = BatchBuilder::new(binding);
        }
        if shape.behind() {
            self.state(binding, shape);
        }
        loop {
            let (before, is_first) = (self.batch.byte_len(), self.batch.is_empty());
            let pushed = self.batch.push_with(|arena| {
                let wrote = write(shape, arena).map_err(Back::Failed)?;
                match (wrote, arena.len() - before) {
                    (Wrote::NeedsSchema, _) => Err(Back::NeedsSchema),
                    (Wrote::Document, bytes) if bytes > DOCUMENT_MAX_BYTES => Err(Back::TooLarge(bytes)),
                    (Wrote::Document, _) if !is_first && arena.len() > BATCH_MAX_BYTES => Err(Back::Crowded),
                    (Wrote::Document, _) => Ok(()),
                }
            });
            match pushed {
                Ok(()) => break self.bytes += self.batch.byte_len() - before,
                Err(Back::NeedsSchema) => self.state(binding, shape),
                Err(Back::Crowded) => self.close_batch(),
                Err(Back::TooLarge(bytes)) => return Err(too_large(bytes)),
                Err(Back::Failed(error)) => return Err(error),
            }
        }
        self.documents += 1;
        if self.batch.byte_len() >= BATCH_BYTES {
            self.close_batch();
        }
        Ok(())
    }

    /// Behind the last row of a full refresh.
    pub(crate) fn refreshed(&mut self, binding: usize) {
        self.close_batch();
        self.events.push(Event::Refresh { binding, complete: true });
    }

    /// All that was gathered.
    pub(crate) fn finish(mut self) -> Vec<Event> {
        self.close_batch();
        self.events
    }

    fn state(&mut self, binding: usize, shape: &mut Shape) {
        self.close_batch();
        self.events.push(Event::Schema { binding, schema: shape.restate() });
    }

    fn close_batch(&mut self) {
        self.events.extend(self.batch.finish().map(Event::Documents));
    }
}

fn too_large(bytes: usize) -> Error {
    let message =
        format!("expected a row whose document has at most {} MiB, got {bytes} bytes", DOCUMENT_MAX_BYTES >> 20);
    Error::data("sqlite.document.too_large", message).suggest("leave large columns out: `columns: [..]`")
}
