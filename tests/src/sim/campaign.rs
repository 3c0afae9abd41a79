//! Many seeds, on all cores: until time or seeds are used up, or one fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Mistake;
use super::tally::Tally;
use super::world::{Failure, Options, run};

/// A thread adds up so many runs before it tells the others.
const CHUNK: u64 = 64;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// At most so many.
    pub seeds: u64,
    /// Begins no further seed after this time.
    pub within: Duration,
    /// Threads.
    pub threads: usize,
    /// The mistake that is made in all of them.
    pub mistake: Mistake,
}

/// What it came to.
#[derive(Debug)]
pub struct Outcome {
    /// Of the runs without a violation.
    pub tally: Tally,
    /// Of the failures that were met, that of the lowest seed.
    pub failure: Option<Failure>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Campaign {
    /// Runs it. `progress` is told from time to time how far it is.
    pub fn run(&self, progress: &(dyn Fn(&Tally, Duration) + Sync)) -> Outcome {
        let begun = Instant::now();
        let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let found: Mutex<(Tally, Option<Failure>)> = Mutex::default();
        let work = || {
            let mut own = Tally::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let ends = number >= self.seeds || begun.elapsed() >= self.within || is_over.load(Ordering::Relaxed);
                if ends || own.seeds == CHUNK {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.0.merge(std::mem::take(&mut own));
                    progress(&found.0, begun.elapsed());
                }
                if ends {
                    return;
                }
                let seed = self.from + number;
                match run(seed, &Options::of_seed(seed).with(self.mistake)) {
                    Ok(report) => own.add(report),
                    Err(failure) => {
                        is_over.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if found.1.as_ref().is_none_or(|other| other.seed > failure.seed) {
                            found.1 = Some(*failure);
                        }
                    }
                }
            }
        };
        thread::scope(|scope| (0..self.threads.max(1)).for_each(|_| drop(scope.spawn(work))));
        let (tally, failure) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome { tally, failure, elapsed: begun.elapsed() }
    }
}
