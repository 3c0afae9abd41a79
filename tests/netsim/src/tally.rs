//! What happened in many runs, added up.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::scenario::Fault;
use crate::world::Report;
use longshore_tests::seeds::Sum;

/// The sum of reports.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Runs.
    pub sims: u64,
    /// Of all of them.
    pub sum: Report,
}

impl Sum for Tally {
    type Report = Report;

    fn add(&mut self, report: Report) {
        self.merge(Self { sims: 1, sum: report });
    }

    fn merge(&mut self, other: Self) {
        self.sims += other.sims;
        let Report { fired, sessions, transactions, ended, milliseconds, wide } = other.sum;
        for (fault, times) in fired {
            *self.sum.fired.entry(fault).or_default() += times;
        }
        for (code, times) in ended {
            *self.sum.ended.entry(code).or_default() += times;
        }
        self.sum.sessions += sessions;
        self.sum.transactions += transactions;
        self.sum.milliseconds += milliseconds;
        self.sum.wide += wide;
    }
}

impl Tally {
    /// What never happened, so that nothing is known of it.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let faults = Fault::ALL.into_iter().filter(|fault| !self.sum.fired.contains_key(fault));
        let mut missing: Vec<String> = faults.map(|fault| format!("{fault:?}")).collect();
        if self.sum.wide == 0 {
            missing.push("more keys than windows hold".to_owned());
        }
        missing
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut part = |title: &str, rows: &BTreeMap<String, u64>| {
            for (name, times) in rows {
                writeln!(text, "{title:<14} {name:<34} {times:>9}").unwrap_or_default();
            }
        };
        part("fault", &self.faults());
        part("sessions ended", &self.sum.ended);
        text
    }

    /// How often each fault was there, by its name.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<String, u64> {
        self.sum.fired.iter().map(|(fault, times)| (format!("{fault:?}"), *times)).collect()
    }
}
