//! What the status tells: the runtime, and each task as it is at this moment.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::connector::Runs;
use crate::supervise::Running;

/// The runtime itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeReport {
    /// Its process id.
    pub pid: u32,
    /// Version and commit.
    pub version: String,
    /// The catalog it runs, absolute.
    pub catalog: String,
    /// The state directory it owns.
    pub state_directory: String,
    /// How long it has been running.
    pub seconds: u64,
    /// It ends when all is moved.
    pub until_caught_up: bool,
    /// It has been told to stop, or is at its end.
    pub stopping: bool,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its name.
    pub task: String,
    /// `capture` or `materialization`.
    pub kind: String,
    /// Where it is in its life or its transaction.
    pub phase: String,
    /// What its connector says it is doing; may be empty.
    pub doing: String,
    /// Transactions committed in this run.
    pub transactions: u64,
    /// What each binding committed in this run, in the catalog's order.
    pub bindings: Vec<Binding>,
    /// Materializations: documents in the journals that are not in the destination yet.
    pub behind: u64,
    /// Captures that follow a log: how far what is durable is behind the source; none: not known.
    #[serde(default)]
    pub lag: Option<Lag>,
    /// Captures: dead letters that wait, from this run and those before.
    #[serde(default)]
    pub letters_waiting: u64,
    /// How often a session was begun because the one before it failed.
    pub restarts: u64,
    /// Why the last session that failed did.
    pub last_error: Option<LastError>,
    /// How its connector runs; none between two sessions.
    pub connector: Option<Runs>,
}

/// How far a capture is behind its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Of the source's log.
    pub bytes: u64,
    /// All that was in the source so many milliseconds ago is durable here.
    pub ms: u64,
}

/// What a binding committed in this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The binding's collection.
    pub collection: String,
    /// Documents.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Captures: documents that became dead letters.
    #[serde(default)]
    pub dead_letters: u64,
}

/// A failure and how long ago it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// How long ago.
    pub seconds_ago: u64,
    /// `config`, `unavailable`, … as errors have it.
    pub kind: String,
    /// Stable.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl TaskReport {
    /// A task as it is now.
    pub(super) fn of(running: &Running, now: Instant) -> Self {
        let progress = &running.progress;
        let binding = |totals: crate::progress::BindingTotals| Binding {
            collection: totals.collection,
            rows: totals.rows,
            bytes: totals.bytes,
            dead_letters: totals.dead_letters,
        };
        let last_error = progress.last_failure().map(|(failure, at)| LastError {
            seconds_ago: now.duration_since(at).as_secs(),
            kind: failure.kind,
            code: failure.code,
            message: failure.message,
            help: failure.help,
        });
        Self {
            task: running.task.clone(),
            kind: running.kind.to_owned(),
            phase: progress.phase().word().to_owned(),
            doing: progress.what(),
            transactions: progress.transactions(),
            bindings: progress.totals().into_iter().map(binding).collect(),
            behind: progress.lag_documents(),
            lag: progress.source_lag(now).map(|lag| Lag { bytes: lag.bytes, ms: lag.ms }),
            letters_waiting: progress.letters_waiting(),
            restarts: progress.restarts(),
            last_error,
            connector: progress.connector(),
        }
    }
}
