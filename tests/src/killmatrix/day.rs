//! One day: a capture into one to three destinations, and the orders that its processes die of.

use std::fmt;
use std::process::Command;

use longshore_failpoints::{Often, Order, Plant, Step, VARIABLE, give, obeyed, plant};
use longshore_postgres::testing::Server;

use super::audit::{Audit, audit};
use super::destination::{Destination, catalog};
use crate::dice::Dice;
use crate::scene::{Scene, bin_dir};

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
/// Orders of a day. Five deaths of a connector in a row, without progress, would end a run, and rightly: at least one is for the runtime, or
/// another task's connector.
const ORDERS: usize = 5;
/// A step that is passed often is died at in one of so many passes.
const PASSES: u64 = 4;
/// More starts than this, and something dies without an order.
const STARTS_MAX: usize = ORDERS + 1;

/// Everything about it follows from a seed and its number.
#[derive(Debug, Clone)]
pub struct Day {
    /// Of the campaign.
    pub seed: u64,
    /// In the campaign, from 0.
    pub number: u64,
    planted: Option<Plant>,
    orders: Vec<Order>,
    destinations: Vec<Destination>,
}

/// What came of a day that went well.
#[derive(Debug)]
pub struct Report {
    /// The orders that were obeyed, and by which program.
    pub obeyed: Vec<(Order, String)>,
}

/// What came of one that did not.
#[derive(Debug)]
pub struct Failure {
    /// Which day.
    pub day: Day,
    /// What the destinations lack and have too often, if it got so far.
    pub audit: Audit,
    /// What was seen.
    pub what: String,
}

impl Day {
    /// The steps take turns: in so many days that there are orders for all of them, each has one.
    #[must_use]
    pub fn of(seed: u64, number: u64) -> Self {
        let days = (Step::ALL.len().div_ceil(ORDERS)) as u64;
        let mut steps = Step::ALL.to_vec();
        shuffle(&mut steps, &mut Dice::new(seed ^ (number / days) << 32));
        let at = (number % days) as usize * ORDERS;
        let steps = &steps[at..steps.len().min(at + ORDERS)];
        let mut dice = Dice::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut pass = |step: Step| match step.often() {
            Often::Once => 1,
            Often::Often => 1 + dice.below(PASSES) as u32,
        };
        let orders = steps.iter().map(|&step| Order { step, pass: pass(step) }).collect();
        Self { seed, number, planted: None, orders, destinations: Destination::some(steps, &mut dice) }
    }

    /// With a mistake that all processes make.
    #[must_use]
    pub fn with(self, planted: Option<Plant>) -> Self {
        Self { planted, ..self }
    }

    /// Runs it, starting the runtime again whenever it died, and compares.
    ///
    /// # Errors
    /// When something is lost or twice, or somebody died, or gave up, without an order.
    pub fn run(&self, server: &Server) -> Result<Report, Box<Failure>> {
        let scene = Scene::new();
        let orders = scene.join("orders");
        give(&orders, &self.orders).expect("to write orders");
        if let Some(mistake) = self.planted {
            plant(&orders, mistake).expect("to plant a mistake");
        }
        self.destinations.iter().for_each(|destination| destination.prepare(server, self.number));
        scene.write("longshore.yaml", catalog(&scene, server, self));
        let failed = |audit, what| Box::new(Failure { day: self.clone(), audit, what });
        for start in 1.. {
            let mut command = Command::new(bin_dir().join("longshore"));
            command.args(RUN).env(VARIABLE, &orders);
            let before = obeyed(&orders).len();
            let finished = scene.start_command(command).finish();
            match finished.code {
                Some(0) => break,
                None if obeyed(&orders).len() > before && start < STARTS_MAX => {}
                code => {
                    let what = format!(
                        "start {start} ended with {code:?}, expected 0, or a death that was ordered\n{}",
                        finished.stderr
                    );
                    return Err(failed(Audit::default(), what));
                }
            }
        }
        let audit = audit(&scene, server, self);
        if audit.is_clean() { Ok(Report { obeyed: obeyed(&orders) }) } else { Err(failed(audit, String::new())) }
    }

    /// What its documents follow from.
    pub(super) fn formula_seed(&self) -> u64 {
        self.seed.wrapping_add(self.number) >> 1
    }

    /// Where its documents go.
    pub(super) fn destinations(&self) -> &[Destination] {
        &self.destinations
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, number, orders, destinations, planted: _ } = self;
        write!(f, "day {number} of seed {seed}, into {destinations:?}, with deaths at")?;
        orders.iter().try_for_each(|order| write!(f, " [{order}]"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { day, audit, what } = self;
        writeln!(f, "{day}")?;
        writeln!(f, "again: cargo xtask killmatrix --seed {} --day {}", day.seed, day.number)?;
        write!(f, "{audit}{what}")
    }
}

fn shuffle<T>(all: &mut [T], dice: &mut Dice) {
    for last in (1..all.len()).rev() {
        all.swap(last, dice.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_step_has_its_turn_in_a_round_of_days() {
        let days = Step::ALL.len().div_ceil(ORDERS) as u64;
        for round in 0..3 {
            let steps = (round * days..(round + 1) * days).flat_map(|number| Day::of(7, number).orders);
            let steps: BTreeSet<Step> = steps.map(|order| order.step).collect();
            assert_eq!(steps.len(), Step::ALL.len(), "round {round}");
        }
    }

    #[test]
    fn a_day_follows_from_its_seed_and_number() {
        assert_eq!(Day::of(3, 5).to_string(), Day::of(3, 5).to_string());
        assert_ne!(Day::of(3, 5).to_string(), Day::of(4, 5).to_string());
    }
}
