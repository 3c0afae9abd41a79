//! Many seeds, on all cores: until time or seeds are used up, or one fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often people are told how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// What runs are added up to.
pub trait Sum: Default + Send {
    /// What a run tells.
    type Report;

    /// One more.
    fn add(&mut self, report: Self::Report);

    /// Many more.
    fn merge(&mut self, other: Self);
}

/// Which to run.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// The first.
    pub from: u64,
    /// At most so many.
    pub seeds: u64,
    /// Begins no further one after this time.
    pub within: Duration,
    /// Threads.
    pub threads: usize,
    /// A thread adds up so many runs before it tells the others.
    pub chunk: u64,
}

/// What it came to.
#[derive(Debug)]
pub struct Outcome<S, F> {
    /// Of the runs that did not fail.
    pub sum: S,
    /// Of the failures that were met, that of the lowest seed.
    pub failure: Option<F>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Seeds {
    /// Runs them. `progress` is told from time to time how far it is.
    pub fn run<S: Sum, F: Send>(
        &self,
        run: impl Fn(u64) -> Result<S::Report, F> + Sync,
        progress: &(dyn Fn(&S, Duration) + Sync),
    ) -> Outcome<S, F> {
        let begun = Instant::now();
        let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let found: Mutex<(S, Option<(u64, F)>)> = Mutex::default();
        let work = || {
            let (mut own, mut runs) = (S::default(), 0);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let ends = number >= self.seeds || begun.elapsed() >= self.within || is_over.load(Ordering::Relaxed);
                if ends || runs == self.chunk {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.0.merge(std::mem::take(&mut own));
                    runs = 0;
                    progress(&found.0, begun.elapsed());
                }
                if ends {
                    return;
                }
                let seed = self.from + number;
                match run(seed) {
                    Ok(report) => {
                        own.add(report);
                        runs += 1;
                    }
                    Err(failure) => {
                        is_over.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if found.1.as_ref().is_none_or(|(other, _)| *other > seed) {
                            found.1 = Some((seed, failure));
                        }
                    }
                }
            }
        };
        thread::scope(|scope| (0..self.threads.max(1)).for_each(|_| drop(scope.spawn(work))));
        let (sum, failure) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome { sum, failure: failure.map(|(_, failure)| failure), elapsed: begun.elapsed() }
    }
}

/// As many threads as there are cores.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Passes on what is told only once in a while, for who reads it.
pub fn now_and_then<S>(tell: impl Fn(&S, Duration) + Sync) -> impl Fn(&S, Duration) + Sync {
    let told = Mutex::new(Duration::ZERO);
    move |sum, elapsed| {
        if let Ok(mut told) = told.try_lock()
            && elapsed >= *told + PROGRESS
        {
            *told = elapsed;
            tell(sum, elapsed);
        }
    }
}
