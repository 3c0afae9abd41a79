//! How often an order was obeyed at each step, and by which program.

use std::collections::BTreeMap;

use super::day::Report;
use longshore_failpoints::{Obeyed, Step};

/// Of many days.
#[derive(Debug, Default)]
pub struct Tally {
    /// Days.
    pub days: u64,
    /// By step and program.
    times: BTreeMap<Step, BTreeMap<String, u64>>,
    /// Days on which something else went wrong, by what.
    pub troubles: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// One more day.
    pub fn add(&mut self, report: Report) {
        self.days += 1;
        if let Some(trouble) = report.trouble {
            *self.troubles.entry(trouble).or_default() += 1;
        }
        for Obeyed { order, program, .. } in report.obeyed {
            *self.times.entry(order.step).or_default().entry(program).or_default() += 1;
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        Step::ALL.iter().map(|step| self.at(*step)).sum()
    }

    /// At one step.
    #[must_use]
    pub fn at(&self, step: Step) -> u64 {
        self.times.get(&step).map_or(0, |programs| programs.values().sum())
    }

    /// Steps at which it was less often than this.
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
            let programs = self.times.get(step).into_iter().flatten();
            let programs: Vec<String> = programs.map(|(program, times)| format!("{program} {times}")).collect();
            format!("{:<40}{:>6}  {}\n", step.name(), self.at(*step), programs.join(", "))
        };
        let steps: String = Step::ALL.iter().map(line).collect();
        let troubles = self.troubles.iter().map(|(what, days)| format!("{what:<40}{days:>6}  days\n"));
        troubles.fold(steps, |table, line| table + &line)
    }
}
