//! What a run is given, and what it comes to: a report, or a failure with all that is needed to see it again.

use std::collections::BTreeMap;
use std::fmt;

use longshore::journal::storage::sim::Strikes;
use longshore_proto::materialize::message::Guarantee;

use super::{Fault, Faults, Noted, World};
use crate::sim::{Mistake, Violation};

/// What kind of run it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the destination promises.
    pub guarantee: Guarantee,
    /// What goes wrong.
    pub faults: Faults,
    /// What is done wrong, to see it found.
    pub mistake: Mistake,
    /// Transactions of the source; `None`: as many as the seed says.
    pub transactions: Option<u64>,
    /// Another order in which things happen than the seed's; 0: that one.
    pub schedule: u64,
}

impl Options {
    /// A bad day of a seed: all of it is told by the number.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        const GUARANTEES: [Guarantee; 3] = [Guarantee::Transactional, Guarantee::Idempotent, Guarantee::AtLeastOnce];
        Self::new(GUARANTEES[(seed % 3) as usize], Faults::Random)
    }

    /// Without a mistake, with as many transactions as the seed says.
    #[must_use]
    pub fn new(guarantee: Guarantee, faults: Faults) -> Self {
        Self { guarantee, faults, mistake: Mistake::None, transactions: None, schedule: 0 }
    }

    /// The same with a mistake.
    #[must_use]
    pub fn with(self, mistake: Mistake) -> Self {
        Self { mistake, ..self }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Of everything that happened, in order.
    pub trace: u64,
    /// Steps it took.
    pub steps: u64,
    /// Transactions its source had.
    pub transactions: u64,
    /// Sessions that were begun, of both tasks.
    pub sessions: u64,
    /// Operations of the disk since its last plan.
    pub operations: u64,
    /// How often each fault struck.
    pub fired: BTreeMap<Fault, u64>,
    /// What the disk did.
    pub strikes: Strikes,
    /// How sessions went on, and ended.
    pub seen: BTreeMap<&'static str, u64>,
}

/// A run in which a rule was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Of the run.
    pub seed: u64,
    /// As it was run.
    pub options: Options,
    /// Where it broke.
    pub step: u64,
    /// How.
    pub violation: Violation,
    /// What happened last.
    pub recent: Vec<String>,
    /// The faults that struck until then: with them alone it is the same run.
    pub faults: Faults,
    /// Transactions its source had.
    pub transactions: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, options: Options { guarantee, mistake, .. }, step, violation, transactions, .. } = self;
        writeln!(
            f,
            "seed {seed}, {guarantee:?}, mistake {mistake:?}, {transactions} transactions, step {step}: {violation}"
        )?;
        if let Faults::These { faults, .. } = &self.faults {
            writeln!(f, "  faults: {faults:?}")?;
        }
        write!(f, "  before: {}", self.recent.join(", "))
    }
}

impl World {
    pub(super) fn failure(&self, violation: Violation) -> Failure {
        let step = self.report.steps;
        let faults = match &self.options.faults {
            Faults::Random => {
                Faults::These { faults: self.struck.clone(), calm_from: self.calm_since.unwrap_or(step + 1) }
            }
            faults @ (Faults::None | Faults::At(..) | Faults::Disk(..) | Faults::These { .. }) => faults.clone(),
        };
        Failure {
            seed: self.seed,
            options: self.options.clone(),
            step,
            violation,
            recent: self.recent.iter().map(Noted::to_string).collect(),
            faults,
            transactions: self.source.transactions,
        }
    }
}
