//! How often each step was died at, and by which program.

use std::collections::BTreeMap;

use super::day::Report;
use longshore_failpoints::Step;

/// Of many days.
#[derive(Debug, Default)]
pub struct Tally {
    /// Days.
    pub days: u64,
    /// By step and program.
    deaths: BTreeMap<Step, BTreeMap<String, u64>>,
}

impl Tally {
    /// One more day.
    pub fn add(&mut self, report: Report) {
        self.days += 1;
        for (order, program) in report.obeyed {
            *self.deaths.entry(order.step).or_default().entry(program).or_default() += 1;
        }
    }

    /// All deaths.
    #[must_use]
    pub fn kills(&self) -> u64 {
        Step::ALL.iter().map(|step| self.at(*step)).sum()
    }

    /// Deaths at a step.
    #[must_use]
    pub fn at(&self, step: Step) -> u64 {
        self.deaths.get(&step).map_or(0, |programs| programs.values().sum())
    }

    /// Steps that were died at less often than this.
    #[must_use]
    pub fn below(&self, least: u64) -> Vec<Step> {
        Step::ALL.iter().copied().filter(|step| self.at(*step) < least).collect()
    }

    /// By step, in the order in which a document comes by them.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Step::ALL.iter().map(|step| (step.name(), self.at(*step)))
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let line = |step: &Step| {
            let programs = self.deaths.get(step).into_iter().flatten();
            let programs: Vec<String> = programs.map(|(program, times)| format!("{program} {times}")).collect();
            format!("{:<40}{:>6}  {}\n", step.name(), self.at(*step), programs.join(", "))
        };
        Step::ALL.iter().map(line).collect()
    }
}
