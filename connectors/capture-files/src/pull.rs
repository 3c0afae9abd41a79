//! A session: a thread that reads files, and a task beside it that hands over what it read.
//!
//! One pass over all files, then a wait, then the next; between passes no thread is held. The first checkpoint after which all that
//! existed at the start is covered says so, and none after it.

#![allow(clippy::disallowed_methods, reason = "progress is told at most so often")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_sdk::capture::{Checkpoint, Emitter, PullOpen};
use longshore_sdk::{Error, Progress, ProgressPart, Result};
use tokio::sync::mpsc;

use crate::binding::Binding;
use crate::config::{Config, Resource, Settings};
use crate::outbox::{Event, Halt, Outbox, QUEUE_EVENTS};
use crate::state::Part;

/// Captures until a stop is asked for.
pub(crate) async fn pull(open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
    let mut reader = Reader::new(&open)?;
    let poll_interval = reader.settings.poll_interval;
    let stop = emitter.stop();
    loop {
        reader = pass(reader, &mut emitter).await?;
        if emitter.stop_requested() {
            return Ok(());
        }
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = tokio::time::sleep(poll_interval) => {}
        }
    }
}

/// Lets the reader go over all files once and hands over what it says.
async fn pass(mut reader: Reader, emitter: &mut Emitter) -> Result<Reader> {
    let (events, mut said) = mpsc::channel(QUEUE_EVENTS);
    let stopped = Arc::new(AtomicBool::new(false));
    let mut out = Outbox::new(events, Arc::clone(&stopped));
    let reading = tokio::task::spawn_blocking(move || {
        let read = reader.pass(&mut out);
        (reader, read)
    });
    let stop = emitter.stop();
    let mut told = Told::default();
    loop {
        let event = tokio::select! {
            biased;
            () = stop.requested(), if !stopped.load(Ordering::Relaxed) => {
                stopped.store(true, Ordering::Relaxed);
                continue;
            }
            event = said.recv() => event,
        };
        match event {
            // An error here drops the queue, and the thread ends at its next word.
            Some(event) => hand_over(event, &mut told, emitter).await?,
            None => break,
        }
    }
    match reading.await {
        Ok((reader, Ok(()) | Err(Halt::Stopped))) => Ok(reader),
        Ok((_, Err(Halt::Failed(error)))) => Err(error),
        Err(panic) => Err(Error::internal("files.reader", format!("capture-files reads its files: {panic}"))),
    }
}

async fn hand_over(event: Event, told: &mut Told, emitter: &mut Emitter) -> Result<()> {
    match event {
        Event::Documents(batch) => emitter.batch(batch).await,
        Event::Schema { binding, schema } => emitter.schema(binding, &schema).await,
        Event::Checkpoint { patches, caught_up } => {
            let mut checkpoint = Checkpoint::new();
            for (binding, patch) in &patches {
                checkpoint = checkpoint.binding(*binding, patch);
            }
            if caught_up {
                checkpoint = checkpoint.caught_up();
            }
            emitter.checkpoint(checkpoint).await.map(drop)
        }
        Event::Progress { binding, rows, bytes, total_bytes } => {
            if !told.is_due() {
                return Ok(());
            }
            let part = ProgressPart { binding, rows, bytes, total_rows: 0, total_bytes };
            emitter.progress(Progress { parts: vec![part], doing: "reading files".to_owned(), lag: None }).await
        }
    }
}

/// When progress was told last: people need it a few times a second.
#[derive(Default)]
struct Told(Option<std::time::Instant>);

impl Told {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= Duration::from_millis(200));
        if due {
            self.0 = Some(std::time::Instant::now());
        }
        due
    }
}

/// What the thread works on.
struct Reader {
    settings: Settings,
    bindings: Vec<Binding>,
    begun: bool,
    caught_up: bool,
}

impl Reader {
    fn new(open: &PullOpen<Config, Resource>) -> Result<Reader> {
        let settings = Settings::new(open.config.clone())?;
        let binding = |index: usize| {
            let bound = &open.bindings[index];
            let part = open.binding_state::<Part>(index)?.unwrap_or_default();
            Binding::new(index, &bound.resource, &bound.collection.key, &bound.collection.schema_json, part)
        };
        let bindings = (0..open.bindings.len()).map(binding).collect::<Result<_>>()?;
        Ok(Reader { settings, bindings, begun: false, caught_up: false })
    }

    fn pass(&mut self, out: &mut Outbox) -> Result<(), Halt> {
        if !self.begun {
            for binding in &mut self.bindings {
                binding.begin(&self.settings, out)?;
            }
            self.begun = true;
        }
        for binding in &mut self.bindings {
            binding.pass(&self.settings, out)?;
        }
        if !self.caught_up && self.bindings.iter().all(Binding::is_caught_up) {
            self.caught_up = true;
            return out.checkpoint(true);
        }
        if out.is_dirty() { out.checkpoint(false) } else { Ok(()) }
    }
}
