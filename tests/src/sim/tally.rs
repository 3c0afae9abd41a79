//! What many runs came to together. A fault that never struck was not tested, and neither was a way on that was never gone.

use std::collections::BTreeMap;

use super::world::{Fault, Report};
use crate::seeds::Sum;

/// Ways in which sessions go on and end, and what is done to journals meanwhile, that a campaign has to see.
const WAYS: [&str; 12] = [
    "go on",
    "promote",
    "replay",
    "rerun",
    "schema grew",
    "stopped",
    "drained",
    "replayed",
    "rejected",
    "resent",
    "joined",
    "trimmed",
];

/// Sums of reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs.
    pub seeds: u64,
    /// Steps of all.
    pub steps: u64,
    /// Sessions of both tasks.
    pub sessions: u64,
    /// Transactions of the sources.
    pub transactions: u64,
    /// How often each fault struck.
    pub fired: BTreeMap<Fault, u64>,
    /// What the disks did.
    pub disk: BTreeMap<&'static str, u64>,
    /// How sessions went on, and ended.
    pub ways: BTreeMap<&'static str, u64>,
}

impl Sum for Tally {
    type Report = Report;

    fn add(&mut self, report: Report) {
        let strikes = report.strikes;
        let disk = [
            ("sectors lost", strikes.sectors_lost),
            ("sectors reordered", strikes.sectors_reordered),
            ("sectors torn", strikes.sectors_torn),
            ("names lost", strikes.names_lost),
            ("names back", strikes.names_back),
            ("sync errors", strikes.sync_errors),
            ("short writes", strikes.short_writes),
        ];
        self.merge(Self {
            seeds: 1,
            steps: report.steps,
            sessions: report.sessions,
            transactions: report.transactions,
            fired: report.fired,
            disk: disk.into(),
            ways: report.seen,
        });
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.sessions += other.sessions;
        self.transactions += other.transactions;
        other.fired.into_iter().for_each(|(fault, times)| *self.fired.entry(fault).or_default() += times);
        other.disk.into_iter().for_each(|(what, times)| *self.disk.entry(what).or_default() += times);
        other.ways.into_iter().for_each(|(way, times)| *self.ways.entry(way).or_default() += times);
    }
}

impl Tally {
    /// What never happened, though it should.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let faults =
            Fault::ALL.iter().filter(|fault| !self.fired.contains_key(fault)).map(|fault| format!("{fault:?}"));
        let disk = self.disk.iter().filter(|(_, times)| **times == 0).map(|(what, _)| (*what).to_owned());
        let ways = WAYS.iter().filter(|way| !self.ways.contains_key(*way)).map(|way| (*way).to_owned());
        faults.chain(disk).chain(ways).collect()
    }

    /// Each thing with how often it happened, a line each.
    #[must_use]
    pub fn table(&self) -> String {
        let faults = self.fired.iter().map(|(fault, times)| (format!("{fault:?}"), *times));
        let disk = self.disk.iter().map(|(what, times)| ((*what).to_owned(), *times));
        let ways = self.ways.iter().map(|(way, times)| ((*way).to_owned(), *times));
        let lines = [("fault", faults.collect::<Vec<_>>()), ("disk", disk.collect()), ("way", ways.collect())];
        let line = |kind: &str, (what, times): &(String, u64)| format!("  {kind:<8} {what:<22} {times:>12}\n");
        lines.iter().flat_map(|(kind, all)| all.iter().map(|one| line(kind, one))).collect()
    }
}
