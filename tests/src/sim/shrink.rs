//! Makes a failure small: fewer faults, then fewer transactions, as long as something still breaks. With one thing less everything behind it
//! happens in another order, and what broke may need the order it had: so each is tried in several.

use super::world::{Failure, Faults, Options, run};

/// So many runs at most, and of each thing that is left out.
const TRIES_MAX: u64 = 2_000;
const SCHEDULES: u64 = 24;

/// The smallest run that was found to fail like this one, perhaps with another rule broken.
#[must_use]
pub fn shrink(failure: Failure) -> Failure {
    let mut smallest = Smallest { failure, tries: 0 };
    smallest.fewer_faults();
    smallest.fewer_transactions();
    smallest.fewer_faults();
    smallest.failure
}

struct Smallest {
    failure: Failure,
    tries: u64,
}

impl Smallest {
    /// Whether it fails like this too, in one order or another; then it is the smallest.
    fn takes(&mut self, faults: &Faults, transactions: u64) -> bool {
        (0..SCHEDULES).any(|other| {
            self.tries += 1;
            let schedule = if other == 0 { self.failure.options.schedule } else { self.tries };
            let faults = faults.clone();
            let options =
                Options { faults, transactions: Some(transactions), schedule, ..self.failure.options.clone() };
            let failed = run(self.failure.seed, &options).err();
            let fails = failed.is_some();
            if let Some(failure) = failed {
                self.failure = *failure;
            }
            fails
        })
    }

    /// Leaves out half of them, a quarter, and so on down to each by itself.
    fn fewer_faults(&mut self) {
        let Faults::These { faults, .. } = &self.failure.faults else { return };
        let mut part = faults.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            while let Faults::These { faults, calm_from } = &self.failure.faults
                && from < faults.len()
                && self.tries < TRIES_MAX
            {
                let (mut fewer, calm_from) = (faults.clone(), *calm_from);
                fewer.drain(from..(from + part).min(faults.len()));
                if !self.takes(&Faults::These { faults: fewer, calm_from }, self.failure.transactions) {
                    from += part;
                }
            }
            if part == 1 {
                return;
            }
            part = part.div_ceil(2);
        }
    }

    fn fewer_transactions(&mut self) {
        let faults = self.failure.faults.clone();
        for transactions in 1..self.failure.transactions {
            if self.tries >= TRIES_MAX || self.takes(&faults, transactions) {
                return;
            }
        }
    }
}
