//! What an author emits: documents into arenas, checkpoints behind them, progress for people.
//!
//! A document is written once, straight into the arena of its collection, and an arena is sent when it holds 1 MiB or at a
//! checkpoint. There is no timer: a document counts only with the checkpoint behind it, so sending it earlier would help nobody. Order is
//! kept within each collection.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use longshore_failpoints::{Step, reached};
use longshore_proto::batch::{Batch, BatchBuilder, too_large};
use longshore_proto::capture::message::ToRuntime;
use longshore_proto::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES};
use longshore_proto::name::StateKey;
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::session::Progress;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::ledger::Ledger;
use crate::outgoing::{Outgoing, peer_gone};
use crate::{Error, Result};

/// An arena is sent when it holds this many bytes: 1 MiB.
const ARENA_SEND_BYTES: usize = 1 << 20;
/// All arenas are sent when they hold this many bytes together: 4 MiB, however many bindings there are.
const ARENAS_MAX_BYTES: usize = 4 << 20;
/// What a message without documents is counted as in the queue.
const SMALL_MESSAGE_BYTES: usize = 256;

/// Where a capture puts what it captures. Every method waits while the runtime is slower than the source.
#[derive(Debug)]
pub struct Emitter {
    arenas: Arenas,
    state_keys: Vec<StateKey>,
    checkpoints: u64,
    ledger: Arc<Ledger>,
    outgoing: Outgoing<pb::PullResponse>,
    acknowledged: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Emitter {
    /// `collections` has the name of each binding's collection.
    pub(super) fn new(
        collections: &[String],
        state_keys: Vec<StateKey>,
        ledger: Arc<Ledger>,
        outgoing: Outgoing<pb::PullResponse>,
        signals: (watch::Receiver<u64>, CancellationToken),
    ) -> Self {
        let (acknowledged, stop) = signals;
        Self { arenas: Arenas::new(collections), state_keys, checkpoints: 0, ledger, outgoing, acknowledged, stop }
    }

    /// Emits a document: anything that serialises to a JSON object.
    pub async fn document<T: Serialize + ?Sized>(&mut self, binding: usize, document: &T) -> Result<()> {
        self.make_way(binding).await?;
        match self.arenas.write(binding, document)? {
            Written::InArena => self.send_if_full(binding).await,
            Written::Aside(json) => self.raw(binding, &json).await,
        }
    }

    /// Emits a document that is written already: one JSON object.
    pub async fn raw(&mut self, binding: usize, json: &[u8]) -> Result<()> {
        self.make_way(binding).await?;
        check_object(json, binding)?;
        if !self.arenas.of(binding)?.fits(json.len()) {
            self.send_arena(binding).await?;
        }
        self.arenas.push(binding, json)?;
        self.send_if_full(binding).await
    }

    /// Emits a prepared batch as it is, without a copy.
    pub async fn batch(&mut self, batch: Batch) -> Result<()> {
        self.send_arena(batch.binding()).await?;
        let bytes = batch.byte_len();
        self.send(ToRuntime::Captured(batch), bytes).await
    }

    /// States the source's own schema of a binding, before the first document that needs it.
    pub async fn schema(&mut self, binding: usize, schema: &serde_json::Value) -> Result<()> {
        self.send_arena(binding).await?;
        let schema_json = Bytes::from(schema.to_string());
        let bytes = schema_json.len();
        self.send(ToRuntime::SourcedSchema { binding, schema_json }, bytes).await
    }

    /// A full refresh of a binding begins.
    pub async fn backfill_begin(&mut self, binding: usize) -> Result<()> {
        self.send_arena(binding).await?;
        self.send(ToRuntime::BackfillBegin { binding }, SMALL_MESSAGE_BYTES).await
    }

    /// A full refresh of a binding has ended.
    pub async fn backfill_complete(&mut self, binding: usize) -> Result<()> {
        self.send_arena(binding).await?;
        self.send(ToRuntime::BackfillComplete { binding }, SMALL_MESSAGE_BYTES).await
    }

    /// The source emptied a binding.
    pub async fn truncated(&mut self, binding: usize) -> Result<()> {
        self.send_arena(binding).await?;
        self.send(ToRuntime::Truncated { binding }, SMALL_MESSAGE_BYTES).await
    }

    /// Ends what commits together. Returns the number of the checkpoint in this session, from 1: see [`Emitter::acknowledged`].
    pub async fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<u64> {
        let message = checkpoint.into_message(&self.state_keys)?;
        self.flush().await?;
        let bytes = SMALL_MESSAGE_BYTES + message.state_patch.byte_len();
        reached(Step::ConnectorCheckpointing);
        self.send(ToRuntime::Checkpoint(message), bytes).await?;
        reached(Step::ConnectorCheckpointed);
        self.checkpoints += 1;
        Ok(self.checkpoints)
    }

    /// Tells people how far it is, and the runtime that this connector lives.
    pub async fn progress(&mut self, progress: Progress) -> Result<()> {
        self.send(ToRuntime::Progress(progress), SMALL_MESSAGE_BYTES).await
    }

    /// Sends what is in the arenas now: worth it before a long wait in the middle of a large transaction.
    pub async fn flush(&mut self) -> Result<()> {
        while let Some(batch) = self.arenas.take_any() {
            let bytes = batch.byte_len();
            self.send(ToRuntime::Captured(batch), bytes).await?;
        }
        Ok(())
    }

    /// The runtime wants to stop (or this process was asked to leave): start nothing new, end the checkpoint under way, and return.
    pub fn stop_requested(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The same as something to wait for, beside the source.
    pub fn stop(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// How many checkpoints of this session are durable: the source may forget what they cover.
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// The same as something to wait for, here or in another task.
    pub fn acknowledgements(&self) -> Acknowledgements {
        Acknowledgements(self.acknowledged.clone())
    }

    /// Makes the arena of the binding's collection hold that binding.
    async fn make_way(&mut self, binding: usize) -> Result<()> {
        match self.arenas.of(binding)?.binding() == binding {
            true => Ok(()),
            false => {
                self.send_arena(binding).await?;
                self.arenas.turn_to(binding)
            }
        }
    }

    async fn send_if_full(&mut self, binding: usize) -> Result<()> {
        if self.arenas.bytes >= ARENAS_MAX_BYTES {
            self.flush().await
        } else if self.arenas.of(binding)?.byte_len() >= ARENA_SEND_BYTES {
            self.send_arena(binding).await
        } else {
            Ok(())
        }
    }

    async fn send_arena(&mut self, binding: usize) -> Result<()> {
        match self.arenas.take(binding)? {
            None => Ok(()),
            Some(batch) => {
                let bytes = batch.byte_len();
                self.send(ToRuntime::Captured(batch), bytes).await
            }
        }
    }

    async fn send(&self, message: ToRuntime, bytes: usize) -> Result<()> {
        if self.outgoing.is_closed() {
            return Err(peer_gone());
        }
        self.ledger.send(&message)?;
        self.outgoing.send(message.into(), bytes).await
    }
}

impl Drop for Emitter {
    fn drop(&mut self) {
        if self.arenas.bytes > 0 {
            self.ledger.left_uncovered();
        }
    }
}

/// Returns from [`Stop::requested`] when the runtime wants to stop. Can be cloned into other tasks.
#[derive(Debug, Clone)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}

/// What the runtime has made durable, as a count of this session's checkpoints.
#[derive(Debug, Clone)]
pub struct Acknowledgements(watch::Receiver<u64>);

impl Acknowledgements {
    /// How many checkpoints are durable now.
    pub fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits for the next change; `None` when the session takes no more.
    pub async fn next(&mut self) -> Option<u64> {
        self.0.changed().await.ok().map(|()| *self.0.borrow_and_update())
    }

    /// Waits until so many checkpoints are durable; false if the session ends before.
    pub async fn reached(&mut self, checkpoints: u64) -> bool {
        self.0.wait_for(|count| *count >= checkpoints).await.is_ok()
    }
}

/// One arena for each collection, so that its documents keep their order whatever binding they come from.
#[derive(Debug)]
struct Arenas {
    arenas: Vec<BatchBuilder>,
    /// Arena of each binding.
    arena_of: Vec<usize>,
    /// Bytes in all of them.
    bytes: usize,
}

enum Written {
    InArena,
    /// It does not fit behind what is there: send that first.
    Aside(Vec<u8>),
}

impl Arenas {
    fn new(collections: &[String]) -> Self {
        let mut arena_of_collection: HashMap<&str, usize> = HashMap::new();
        let mut arenas = Vec::new();
        let mut arena_of = Vec::with_capacity(collections.len());
        for (binding, collection) in collections.iter().enumerate() {
            let arena = *arena_of_collection.entry(collection).or_insert_with(|| {
                arenas.push(BatchBuilder::new(binding));
                arenas.len() - 1
            });
            arena_of.push(arena);
        }
        Self { arenas, arena_of, bytes: 0 }
    }

    fn index(&self, binding: usize) -> Result<usize> {
        self.arena_of.get(binding).copied().ok_or_else(|| {
            let message = format!(
                "the connector emitted a document: expected a binding below {}, got {binding}",
                self.arena_of.len()
            );
            Error::internal("sdk.emitter.binding", message)
        })
    }

    fn of(&self, binding: usize) -> Result<&BatchBuilder> {
        Ok(&self.arenas[self.index(binding)?])
    }

    /// The arena is empty and shall hold this binding.
    fn turn_to(&mut self, binding: usize) -> Result<()> {
        let index = self.index(binding)?;
        self.arenas[index] = BatchBuilder::new(binding);
        Ok(())
    }

    fn push(&mut self, binding: usize, json: &[u8]) -> Result<()> {
        let index = self.index(binding)?;
        self.arenas[index].push(json);
        self.bytes += json.len();
        Ok(())
    }

    fn write<T: Serialize + ?Sized>(&mut self, binding: usize, document: &T) -> Result<Written> {
        let index = self.index(binding)?;
        let arena = &mut self.arenas[index];
        let before = arena.byte_len();
        let is_first = arena.is_empty();
        let mut aside = None;
        let written = arena.push_with(|bytes| {
            serde_json::to_writer(&mut *bytes, document).map_err(|error| not_json(binding, &error))?;
            let json = &bytes[before..];
            check_object(json, binding)?;
            if !is_first && before + json.len() > BATCH_MAX_BYTES {
                aside = Some(json.to_vec());
                // Not an error: it takes the document out again.
                return Err(too_large(json.len()));
            }
            Ok(())
        });
        match (aside, written) {
            (Some(json), _) => Ok(Written::Aside(json)),
            (None, Ok(())) => {
                self.bytes += arena.byte_len() - before;
                Ok(Written::InArena)
            }
            (None, Err(error)) => Err(error),
        }
    }

    fn take(&mut self, binding: usize) -> Result<Option<Batch>> {
        let index = self.index(binding)?;
        Ok(self.take_at(index))
    }

    fn take_any(&mut self) -> Option<Batch> {
        let index = self.arenas.iter().position(|arena| !arena.is_empty())?;
        self.take_at(index)
    }

    fn take_at(&mut self, index: usize) -> Option<Batch> {
        self.bytes -= self.arenas[index].byte_len();
        self.arenas[index].finish()
    }
}

/// What can be seen at a glance; the runtime reads it to the end.
fn check_object(json: &[u8], binding: usize) -> Result<()> {
    if json.len() > DOCUMENT_MAX_BYTES {
        return Err(too_large(json.len()).at_binding(binding));
    }
    match (json.first(), json.last()) {
        (Some(b'{'), Some(b'}')) => Ok(()),
        (_, _) => {
            let begin = String::from_utf8_lossy(&json[..json.len().min(40)]).into_owned();
            let message = format!("the connector emitted a document: expected one JSON object, got {begin:?}");
            Err(Error::internal("sdk.emitter.document", message).at_binding(binding))
        }
    }
}

fn not_json(binding: usize, error: &serde_json::Error) -> Error {
    let message = format!("the connector emitted a document: expected a value that is JSON, got {error}");
    Error::internal("sdk.emitter.document", message).at_binding(binding)
}
