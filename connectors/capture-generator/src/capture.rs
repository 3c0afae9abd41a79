//! The capture: walks each stream's transactions from its state on, paces them, and forgets what is acknowledged.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, Mechanism, PullOpen, Stop};
use longshore_sdk::finding::Finding;
use longshore_sdk::{Batch, Result, schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::{Config, Mode, Resource};
use crate::formula::{Document, Stream};
use crate::memory::Memory;
use crate::null;

/// The connector.
#[derive(Debug, Default)]
pub struct Generator {
    memory: Memory,
}

/// State of a binding.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Position {
    /// The last transaction that is covered; 0: none.
    txn: u64,
}

impl Capture for Generator {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-generator", env!("CARGO_PKG_VERSION"))
            .resource_path(["/stream"])
            .mechanism(Mechanism::Cursor)
            .explicit_acknowledgements()
    }

    async fn discover(&self, config: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        let named = |resource: Resource| resource.stream;
        let streams: Vec<String> = match resources.is_empty() {
            true => vec![default_stream(config.mode).to_owned()],
            false => resources.into_iter().map(named).collect(),
        };
        let found = |stream: String| {
            Discovered::new(&stream, json!({ "stream": stream }), document_schema(config.mode))
                .key(["/id"])
                .note("computed from the seed")
        };
        Ok(streams.into_iter().map(found).collect())
    }

    async fn validate(&self, config: Config, _: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        Ok(config.findings())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, emitter: Emitter) -> Result<()> {
        open.config.check()?;
        let forgetting = Forgetting::open(&self.memory, &open)?;
        Walk::open(&open, emitter)?.run(forgetting).await
    }
}

fn default_stream(mode: Mode) -> &'static str {
    match mode {
        Mode::Accounts => "accounts",
        Mode::Hello => "hello",
        Mode::Null => "null",
    }
}

fn document_schema(mode: Mode) -> Value {
    match mode {
        Mode::Accounts => schema::of::<Document>(),
        Mode::Hello => json!({
            "type": "object",
            "properties": { "id": { "type": "integer" }, "word": { "type": "string" } },
            "required": ["id", "word"],
        }),
        Mode::Null => json!({
            "type": "object",
            "properties": { "id": { "type": "integer" }, "body": { "type": "string" } },
            "required": ["id", "body"],
        }),
    }
}

/// What a stream says.
enum Source {
    Accounts(Stream),
    Hello,
    Null(Batch),
}

const WORDS: [&str; 8] = ["Hello", "from", "Longshore", "where", "every", "word", "arrives", "once"];

/// The walk of a session through its streams, all in step.
struct Walk {
    emitter: Emitter,
    stop: Stop,
    sources: Vec<(Source, Position)>,
    count: Option<u64>,
    per_checkpoint: u32,
    pace: Option<Interval>,
}

impl Walk {
    fn open(open: &PullOpen<Config, Resource>, emitter: Emitter) -> Result<Self> {
        let config = &open.config;
        // All streams of mode `null` say the same: a thousand of them take the memory of one.
        let (mut prepared, body_bytes) = (None::<Batch>, config.body_bytes.first().copied().unwrap_or(0));
        let mut source = |index: usize| -> Result<Source> {
            Ok(match config.mode {
                Mode::Accounts => Source::Accounts(Stream::new(
                    config.seed,
                    &open.bindings[index].resource.stream,
                    config.keys,
                    config.documents_max(),
                    &config.body_bytes,
                )),
                Mode::Hello => Source::Hello,
                Mode::Null => {
                    let batch = match &prepared {
                        Some(batch) => batch.clone(),
                        None => prepared.insert(null::batch(index, config.documents, body_bytes)?).clone(),
                    };
                    Source::Null(batch.with_binding(index))
                }
            })
        };
        let sources = (0..open.bindings.len())
            .map(|index| Ok((source(index)?, open.binding_state(index)?.unwrap_or_default())))
            .collect::<Result<_>>()?;
        let pace = config.paced().map(|rate| {
            let mut pace = interval(Duration::from_secs(1) / rate);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        let per_checkpoint = config.transactions_per_checkpoint;
        Ok(Self { stop: emitter.stop(), emitter, sources, count: config.count, per_checkpoint, pace })
    }

    async fn run(&mut self, mut forgetting: Forgetting<'_>) -> Result<()> {
        loop {
            if !self.is_at_end() {
                self.gather().await?;
            }
            // At the end too when the session opened there: caught up is said in every session.
            let number = self.emitter.checkpoint(self.checkpoint()).await?;
            forgetting.covered(number, self.positions());
            forgetting.forget(self.emitter.acknowledged())?;
            if self.emitter.stop_requested() || self.is_at_end() {
                return forgetting.rest(&self.emitter, number).await;
            }
        }
    }

    /// Emits what belongs before the next checkpoint.
    async fn gather(&mut self) -> Result<()> {
        for _ in 0..self.per_checkpoint {
            if self.is_at_end() || !self.paced().await {
                break;
            }
            for index in 0..self.sources.len() {
                self.emit_next(index).await?;
            }
        }
        Ok(())
    }

    fn is_at_end(&self) -> bool {
        self.count.is_some_and(|count| self.sources.iter().all(|(_, position)| position.txn >= count))
    }

    /// Waits for the next tick; false when a stop comes first.
    async fn paced(&mut self) -> bool {
        let Some(pace) = &mut self.pace else { return true };
        tokio::select! { biased; () = self.stop.requested() => false, _ = pace.tick() => true }
    }

    async fn emit_next(&mut self, index: usize) -> Result<()> {
        let (source, position) = &mut self.sources[index];
        if self.count.is_some_and(|count| position.txn >= count) {
            return Ok(());
        }
        position.txn += 1;
        match source {
            Source::Accounts(stream) => {
                for document in stream.transaction(position.txn) {
                    self.emitter.document(index, &document).await?;
                }
                Ok(())
            }
            Source::Hello => {
                let word = WORDS[(position.txn - 1) as usize % WORDS.len()];
                self.emitter.document(index, &json!({ "id": position.txn, "word": word })).await
            }
            Source::Null(batch) => self.emitter.batch(batch.clone()).await,
        }
    }

    fn positions(&self) -> Vec<u64> {
        self.sources.iter().map(|(_, position)| position.txn).collect()
    }

    fn checkpoint(&self) -> Checkpoint {
        let sources = self.sources.iter().enumerate();
        let state = sources.fold(Checkpoint::new(), |state, (index, (_, position))| state.binding(index, position));
        if self.is_at_end() { state.caught_up() } else { state }
    }
}

/// With `prune`: what the session must forget, and when.
struct Forgetting<'memory> {
    pruned: Option<(&'memory Memory, Option<&'memory Path>)>,
    /// Names of the streams, with the task's in front.
    streams: Vec<String>,
    /// Checkpoints that are not acknowledged, with what they cover.
    waiting: VecDeque<(u64, Vec<u64>)>,
}

impl<'memory> Forgetting<'memory> {
    /// The state of Open is an acknowledgement; a state below what was forgotten is refused.
    fn open(memory: &'memory Memory, open: &'memory PullOpen<Config, Resource>) -> Result<Self> {
        let task = &open.owner.task;
        let streams = open.bindings.iter().map(|bound| format!("{task}/{}", bound.resource.stream)).collect();
        let pruned = open.config.prune.then_some((memory, open.config.memory.as_deref()));
        let this = Self { pruned, streams, waiting: VecDeque::new() };
        if let Some((memory, file)) = this.pruned {
            for (index, stream) in this.streams.iter().enumerate() {
                let Position { txn } = open.binding_state(index)?.unwrap_or_default();
                memory.resume(file, stream, txn)?;
                memory.forget(file, stream, txn)?;
            }
        }
        Ok(this)
    }

    fn covered(&mut self, checkpoint: u64, transactions: Vec<u64>) {
        if self.pruned.is_some() {
            self.waiting.push_back((checkpoint, transactions));
        }
    }

    fn forget(&mut self, acknowledged: u64) -> Result<()> {
        let Some((memory, file)) = self.pruned else { return Ok(()) };
        let mut last = None;
        while self.waiting.front().is_some_and(|(checkpoint, _)| *checkpoint <= acknowledged) {
            last = self.waiting.pop_front();
        }
        let Some((_, transactions)) = last else { return Ok(()) };
        for (stream, txn) in self.streams.iter().zip(transactions) {
            memory.forget(file, stream, txn)?;
        }
        Ok(())
    }

    /// Nothing more will come: forgets as it is acknowledged until a stop, and then until the last checkpoint is.
    async fn rest(mut self, emitter: &Emitter, last_checkpoint: u64) -> Result<()> {
        let (mut acknowledgements, stop) = (emitter.acknowledgements(), emitter.stop());
        loop {
            let acknowledged = acknowledgements.count();
            self.forget(acknowledged)?;
            let settled = acknowledged >= last_checkpoint;
            tokio::select! {
                () = stop.requested(), if settled => return Ok(()),
                next = acknowledgements.next() => if next.is_none() { return Ok(()) },
            }
        }
    }
}
