//! Many bad days, until time or seeds are used up, or a rule is broken.

use std::time::Duration;

use super::Mistake;
use super::tally::Tally;
use super::world::{Failure, Options, run};
use crate::seeds::{Outcome, Seeds};

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

impl Campaign {
    /// Runs it. `progress` is told from time to time how far it is.
    pub fn run(&self, progress: &(dyn Fn(&Tally, Duration) + Sync)) -> Outcome<Tally, Box<Failure>> {
        let Self { from, seeds, within, threads, mistake } = *self;
        let seeds = Seeds { from, seeds, within, threads, chunk: CHUNK };
        seeds.run(|seed| run(seed, &Options::of_seed(seed).with(mistake)), progress)
    }
}
