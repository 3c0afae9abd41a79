//! A session: a thread that reads the database, and a task beside it that hands over what it read and hears what is durable.

#![allow(clippy::disallowed_methods, reason = "progress is told at most so often")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use longshore_sdk::capture::{Checkpoint, Emitter, PullOpen};
use longshore_sdk::{Error, Progress, ProgressPart, Result};
use tokio::sync::mpsc;

use crate::Piece;
use crate::config::{Config, Resource};
use crate::gather::{Event, Mark};
use crate::session::{Halt, Outside, Session};

/// Events that wait at most; each holds at most one batch.
const QUEUE_EVENTS: usize = 4;
/// People need to know a few times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// At a stop, so long is waited for the last acknowledgements; without them the next session cleans the log.
const FAREWELL: Duration = Duration::from_secs(1);

/// Captures until a stop is asked for.
pub(crate) async fn pull(open: PullOpen<Config, Resource>, piece: Piece, mut emitter: Emitter) -> Result<()> {
    let mut session = blocking(move || Session::open(&open, piece)).await??;
    // What the session was opened with is durable.
    let mut covered = Covered::from(session.durable);
    let poll_interval = session.settings.poll_interval;
    let stop = emitter.stop();
    loop {
        session = pass(session, &mut emitter, &mut covered).await?;
        if emitter.stop_requested() {
            break;
        }
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep(poll_interval) => {}
        }
        covered.hear(emitter.acknowledged());
    }
    farewell(session, &emitter, covered).await
}

/// Lets the thread read all there is and hands it over.
async fn pass(mut session: Session, emitter: &mut Emitter, covered: &mut Covered) -> Result<Session> {
    let (events, mut said) = mpsc::channel(QUEUE_EVENTS);
    let stopped = Arc::new(AtomicBool::new(false));
    let out = Outside { events, stop: Arc::clone(&stopped), durable: Arc::clone(&covered.durable) };
    let reading = tokio::task::spawn_blocking(move || {
        let read = session.pass(&out);
        (session, read)
    });
    let stop = emitter.stop();
    let mut told = None;
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
            Some(event) => hand_over(event, &mut told, emitter, covered).await?,
            None => break,
        }
    }
    match joined(reading.await)? {
        (session, Ok(()) | Err(Halt::Stopped)) => Ok(session),
        (_, Err(Halt::Failed(error))) => Err(error),
    }
}

async fn hand_over(
    event: Event,
    told: &mut Option<Instant>,
    emitter: &mut Emitter,
    covered: &mut Covered,
) -> Result<()> {
    match event {
        Event::Documents(batch) => emitter.batch(batch).await,
        Event::Schema { binding, schema } => emitter.schema(binding, &schema).await,
        Event::Refresh { binding, complete: false } => emitter.backfill_begin(binding).await,
        Event::Refresh { binding, complete: true } => emitter.backfill_complete(binding).await,
        Event::Checkpoint(Mark { task, parts, caught_up, partial }) => {
            let mut checkpoint = Checkpoint::new().task(&task);
            for (binding, part) in &parts {
                checkpoint = checkpoint.binding(*binding, part);
            }
            if caught_up {
                checkpoint = checkpoint.caught_up();
            }
            if partial {
                checkpoint = checkpoint.partial();
            }
            let number = emitter.checkpoint(checkpoint).await?;
            covered.said(number, task.cursor.seq);
            covered.hear(emitter.acknowledged());
            Ok(())
        }
        Event::Progress { binding, rows, total_rows } => {
            if told.is_some_and(|last: Instant| last.elapsed() < PROGRESS_INTERVAL) {
                return Ok(());
            }
            *told = Some(Instant::now());
            let part = ProgressPart { binding, rows, bytes: 0, total_rows, total_bytes: 0 };
            emitter.progress(Progress { parts: vec![part], doing: "reading rows".to_owned(), lag: None }).await
        }
    }
}

/// Hears the last acknowledgements and cleans the log.
async fn farewell(mut session: Session, emitter: &Emitter, mut covered: Covered) -> Result<()> {
    if let Some(last) = covered.last() {
        let mut acknowledgements = emitter.acknowledgements();
        let reached = tokio::time::timeout(FAREWELL, acknowledgements.reached(last)).await;
        tracing::debug!(?reached, "heard the last acknowledgements");
    }
    covered.hear(emitter.acknowledged());
    let (events, _nobody) = mpsc::channel(1);
    let out = Outside { events, stop: Arc::default(), durable: covered.durable };
    blocking(move || session.forget(&out, 1)).await?
}

/// Which entries of the log the checkpoints of this session cover.
struct Covered {
    /// By number of the checkpoint, those that are not durable yet.
    checkpoints: VecDeque<(u64, i64)>,
    durable: Arc<AtomicI64>,
}

impl Covered {
    fn from(durable: i64) -> Covered {
        Covered { checkpoints: VecDeque::new(), durable: Arc::new(AtomicI64::new(durable)) }
    }

    fn said(&mut self, number: u64, seq: i64) {
        self.checkpoints.push_back((number, seq));
    }

    fn last(&self) -> Option<u64> {
        self.checkpoints.back().map(|(number, _)| *number)
    }

    /// So many checkpoints are durable.
    fn hear(&mut self, acknowledged: u64) {
        while let Some((_, seq)) = self.checkpoints.pop_front_if(|(number, _)| *number <= acknowledged) {
            self.durable.store(seq, Ordering::Release);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(done: std::result::Result<T, tokio::task::JoinError>) -> Result<T> {
    done.map_err(|panic| Error::internal("sqlite.reader", format!("capture-sqlite reads the database: {panic}")))
}
