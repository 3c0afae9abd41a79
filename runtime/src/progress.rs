//! What a task tells of itself while it runs: rows, bytes, phase, lag. Written by the sessions, read by whatever people look at.
//!
//! Counters only: nothing decides by them. A session gets an `Arc<Progress>`; it survives the session, so totals are of the whole run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use longshore_proto::session::Lag;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::connector::Runs;
use crate::journal::CommittedEnd;
use crate::secret::Door;

/// Where a task is in its life or its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The connector is being started and asked.
    Starting,
    /// Capture: documents come in; materialization: documents of the next transaction are read.
    Loading,
    /// Materialization: no more loads, documents follow.
    Flushing,
    /// Materialization: documents are being stored.
    Storing,
    /// The transaction is being made durable.
    Committing,
    /// The peer is told that it is durable.
    Acknowledging,
    /// Nothing to do until something new comes.
    Waiting,
    /// Ending in order.
    Stopping,
    /// The last session failed; the next one waits for its back-off.
    BackingOff,
    /// Ended for good.
    Ended,
}

impl Phase {
    /// One word for people and `--json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Flushing => "flushing",
            Self::Storing => "storing",
            Self::Committing => "committing",
            Self::Acknowledging => "acknowledging",
            Self::Waiting => "waiting",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing-off",
            Self::Ended => "ended",
        }
    }
}

/// The running totals of one task.
#[derive(Debug)]
pub struct Progress {
    phase: Mutex<Phase>,
    doing: Mutex<String>,
    bindings: Vec<BindingCounters>,
    transactions: AtomicU64,
    /// The journals a materialization reads, and how many documents of each are in the destination.
    readings: Mutex<Vec<(watch::Receiver<Option<CommittedEnd>>, u64)>>,
    letters_waiting: AtomicU64,
    source_lag: Mutex<Option<(Lag, Instant)>>,
    restarts: AtomicU64,
    last_failure: Mutex<Option<(Failure, Instant)>>,
    connector: Mutex<Option<Runs>>,
}

/// Why a session failed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `config`, `unavailable`, … as errors have it.
    pub kind: String,
    /// Stable.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

#[derive(Debug)]
struct BindingCounters {
    collection: String,
    rows: AtomicU64,
    bytes: AtomicU64,
    dead_letters: AtomicU64,
}

/// Rows and bytes that one binding has committed in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingTotals {
    /// The binding's collection.
    pub collection: String,
    /// Capture: documents committed to the journal. Materialization: documents stored and committed.
    pub rows: u64,
    /// Bytes of those documents.
    pub bytes: u64,
    /// Capture: documents that became dead letters, committed to the journal too.
    pub dead_letters: u64,
}

impl Progress {
    /// Counters at zero for a task whose bindings write or read these collections, in the catalog's order.
    #[must_use]
    pub fn new(collections: impl IntoIterator<Item = String>) -> Self {
        let counters = |collection| BindingCounters {
            collection,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
        };
        Self {
            phase: Mutex::new(Phase::Starting),
            doing: Mutex::new(String::new()),
            bindings: collections.into_iter().map(counters).collect(),
            transactions: AtomicU64::new(0),
            readings: Mutex::default(),
            letters_waiting: AtomicU64::new(0),
            source_lag: Mutex::new(None),
            restarts: AtomicU64::new(0),
            last_failure: Mutex::new(None),
            connector: Mutex::new(None),
        }
    }

    /// So much of a binding is committed. Call it when it is durable, not when it is seen.
    pub fn committed(&self, binding: usize, rows: u64, bytes: u64) {
        if let Some(counters) = self.bindings.get(binding) {
            counters.rows.fetch_add(rows, Ordering::Relaxed);
            counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// So many documents of a binding became dead letters. Call it when they are durable.
    pub fn dead_lettered(&self, binding: usize, letters: u64) {
        if let Some(counters) = self.bindings.get(binding) {
            counters.dead_letters.fetch_add(letters, Ordering::Relaxed);
            self.letters_waiting.fetch_add(letters, Ordering::Relaxed);
        }
    }

    /// So many letters wait no more. Call it when that is durable.
    pub fn letters_replayed(&self, letters: u64) {
        let less = |waiting: u64| Some(waiting.saturating_sub(letters));
        // Always some: it only subtracts.
        self.letters_waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
    }

    /// So many dead letters wait, from this run and those before.
    pub fn letters_wait(&self, letters: u64) {
        self.letters_waiting.store(letters, Ordering::Relaxed);
    }

    /// See [`Progress::letters_wait`].
    #[must_use]
    pub fn letters_waiting(&self) -> u64 {
        self.letters_waiting.load(Ordering::Relaxed)
    }

    /// One more transaction is committed.
    pub fn transaction(&self) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
    }

    /// The task is now in this phase.
    pub fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// What the connector says it is doing, for people.
    pub fn doing(&self, text: &str) {
        *lock(&self.doing) = Door::Answers.scrub(text).into_owned();
    }

    /// Materializations: the journals it reads, each with how many of its documents are in the destination. They are looked at whenever
    /// somebody asks, also between two sessions.
    pub fn reads(&self, readings: Vec<(watch::Receiver<Option<CommittedEnd>>, u64)>) {
        *lock(&self.readings) = readings;
    }

    /// Captures: how far what is durable is behind the source, as the connector says it; `None`: not known.
    pub fn behind_source(&self, lag: Option<Lag>, now: Instant) {
        *lock(&self.source_lag) = lag.map(|lag| (lag, now));
    }

    /// A session failed.
    pub fn failed(&self, failure: Failure, now: Instant) {
        *lock(&self.last_failure) = Some((failure, now));
    }

    /// A session is begun because the one before it failed.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// The session's connector runs like this; `None`: it has been stopped, and what only it knew is not known any more.
    pub fn runs(&self, connector: Option<Runs>) {
        if connector.is_none() {
            lock(&self.doing).clear();
            *lock(&self.source_lag) = None;
        }
        *lock(&self.connector) = connector;
    }

    /// Totals by binding, in the catalog's order.
    #[must_use]
    pub fn totals(&self) -> Vec<BindingTotals> {
        let totals = |c: &BindingCounters| BindingTotals {
            collection: c.collection.clone(),
            rows: c.rows.load(Ordering::Relaxed),
            bytes: c.bytes.load(Ordering::Relaxed),
            dead_letters: c.dead_letters.load(Ordering::Relaxed),
        };
        self.bindings.iter().map(totals).collect()
    }

    /// Transactions committed in this run; what "progress" means to the back-off.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// The phase the task is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    /// How often a session was begun because the one before it failed.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Why the last session that failed did, and when that was.
    #[must_use]
    pub fn last_failure(&self) -> Option<(Failure, Instant)> {
        lock(&self.last_failure).clone()
    }

    /// How the connector of the session runs, if there is one just now.
    #[must_use]
    pub fn connector(&self) -> Option<Runs> {
        lock(&self.connector).clone()
    }

    /// See [`Progress::doing`].
    #[must_use]
    pub fn what(&self) -> String {
        lock(&self.doing).clone()
    }

    /// Materializations: documents in the journals that are not in the destination yet.
    #[must_use]
    pub fn lag_documents(&self) -> u64 {
        let end = |of: &watch::Receiver<Option<CommittedEnd>>| of.borrow().map_or(0, |end| end.position.offset);
        lock(&self.readings).iter().map(|(journal, reached)| end(journal).saturating_sub(*reached)).sum()
    }

    /// See [`Progress::behind_source`]. Since it was said, it has grown older.
    #[must_use]
    pub fn source_lag(&self, now: Instant) -> Option<Lag> {
        let (Lag { bytes, ms }, said) = (*lock(&self.source_lag))?;
        let since = u64::try_from(now.duration_since(said).as_millis()).unwrap_or(u64::MAX);
        Some(Lag { bytes, ms: ms.saturating_add(since) })
    }
}

/// A panic while holding one of these locks leaves a whole value behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
