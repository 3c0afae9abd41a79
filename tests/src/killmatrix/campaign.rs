//! Day after day, some at once, until so many orders were obeyed, and so many at each step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use longshore_failpoints::{Deed, Plant};
use longshore_postgres::testing::Server;

use super::audit::Audit;
use super::day::{Day, Failure};
use super::tally::Tally;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// Everything that is not a matter of time follows from it.
    pub seed: u64,
    /// What processes do when they are told to.
    pub deed: Deed,
    /// So many times in all,
    pub times: u64,
    /// and so many at each step.
    pub each: u64,
    /// Days at once.
    pub workers: usize,
    /// The mistake that all processes make.
    pub planted: Option<Plant>,
    /// After so many days it is over, whatever was reached.
    pub days_max: u64,
}

impl Campaign {
    /// Runs it. `progress` is told after each day.
    ///
    /// # Errors
    /// What came of the first day on which something was lost or twice.
    pub fn run(&self, progress: &(dyn Fn(&Tally) + Sync)) -> Result<Tally, Box<Failure>> {
        let server = Server::start("");
        let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let tally = Mutex::new(Tally::default());
        let failed: Mutex<Option<Box<Failure>>> = Mutex::new(None);
        let work = || {
            while !is_over.load(Ordering::SeqCst) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= self.days_max {
                    return;
                }
                let day = Day::of(self.seed, number, self.deed).with(self.planted);
                let ran = catch_unwind(AssertUnwindSafe(|| day.run(&server)));
                match ran.unwrap_or_else(|panic| Err(panicked(day, &*panic))) {
                    Ok(report) => {
                        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                        tally.add(report);
                        progress(&tally);
                        let is_enough = tally.all() >= self.times && tally.below(self.each).is_empty();
                        is_over.fetch_or(is_enough, Ordering::SeqCst);
                    }
                    Err(failure) => {
                        is_over.store(true, Ordering::SeqCst);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                    }
                }
            }
        };
        thread::scope(|scope| (0..self.workers.max(1)).for_each(|_| drop(scope.spawn(work))));
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure),
            None => Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

fn panicked(day: Day, panic: &(dyn std::any::Any + Send)) -> Box<Failure> {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let what = text.unwrap_or("it panicked").to_owned();
    Box::new(Failure { day, audit: Audit::default(), what })
}
