//! One day: a capture into one to three destinations, and the orders that its processes die of, or stand still at.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use longshore_failpoints::{Deed, Obeyed, Often, Order, Plant, Step, VARIABLE, give, obeyed, plant};
use longshore_postgres::testing::Server;

use super::audit::{Audit, audit};
use super::destination::{Destination, catalog};
use super::frozen::Meanwhile;
use super::trouble::{Place, Trouble};
use crate::dice::Dice;
use crate::scene::{Running, Scene};

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
/// Orders of a day. Five deaths of a connector in a row, without progress, would end a run, and rightly: at least one is for the runtime, or
/// another task's connector.
const ORDERS: usize = 5;
/// A step that is passed often is died at in one of so many passes.
const PASSES: u64 = 4;
/// More starts than this, and something dies without an order.
const STARTS_MAX: usize = ORDERS + 1;

/// Everything about it follows from a seed, its number and the deed.
#[derive(Debug, Clone)]
pub struct Day {
    /// Of the campaign.
    pub seed: u64,
    /// In the campaign, from 0.
    pub number: u64,
    deed: Deed,
    planted: Option<Plant>,
    orders: Vec<Order>,
    destinations: Vec<Destination>,
    /// While somebody is frozen.
    meanwhile: Meanwhile,
    /// Where processes die.
    trouble: Trouble,
}

/// What came of a day that went well.
#[derive(Debug)]
pub struct Report {
    /// The orders that were obeyed.
    pub obeyed: Vec<Obeyed>,
    /// What else went wrong.
    pub trouble: Option<&'static str>,
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
    pub fn of(seed: u64, number: u64, deed: Deed) -> Self {
        let orders = match deed {
            Deed::Die => ORDERS,
            Deed::Freeze => 1,
        };
        let days = (Step::ALL.len().div_ceil(orders)) as u64;
        let mut steps = Step::ALL.to_vec();
        shuffle(&mut steps, &mut Dice::new(seed ^ (number / days) << 32));
        let at = (number % days) as usize * orders;
        let steps = &steps[at..steps.len().min(at + orders)];
        let mut dice = Dice::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut pass = |step: Step| match step.often() {
            Often::Once => 1,
            Often::Often => 1 + dice.below(PASSES) as u32,
        };
        let orders = steps.iter().map(|&step| Order { step, pass: pass(step), deed }).collect();
        let destinations = Destination::some(steps, &mut dice);
        let has_server_of_its_own = destinations == [Destination::Postgres];
        let meanwhile = match has_server_of_its_own && dice.below(2) == 0 {
            true => Meanwhile::CutOff,
            false => Meanwhile::TakenOver,
        };
        let trouble = match deed {
            Deed::Die => Trouble::some(&destinations, &mut dice),
            Deed::Freeze => Trouble::None,
        };
        Self { seed, number, deed, planted: None, orders, destinations, meanwhile, trouble }
    }

    /// With a mistake that all processes make.
    #[must_use]
    pub fn with(self, planted: Option<Plant>) -> Self {
        Self { planted, ..self }
    }

    /// Runs it until everything must have arrived, and compares.
    ///
    /// # Errors
    /// When something is lost or twice, or somebody died, or gave up, without a reason.
    pub fn run(&self, shared: &Server) -> Result<Report, Box<Failure>> {
        let scene = Scene::new();
        let orders = scene.join("orders");
        give(&orders, &self.orders).expect("to write orders");
        if let Some(mistake) = self.planted {
            plant(&orders, mistake).expect("to plant a mistake");
        }
        let mut own = self.trouble.server();
        let server = own.as_ref().unwrap_or(shared);
        let place = Place::new(&scene, server, self.trouble);
        self.destinations.iter().for_each(|destination| destination.prepare(server, self.number));
        scene.write("longshore.yaml", catalog(&place, server, self));
        let failed = |audit, what| Box::new(Failure { day: self.clone(), audit, what });
        let start = || {
            let mut command = place.longshore(&RUN);
            command.env(VARIABLE, &orders);
            scene.start_command(command)
        };
        if self.deed == Deed::Freeze {
            let mut first = start();
            first.wait_until(|| !obeyed(&orders).is_empty());
            if let Some(frozen) = obeyed(&orders).pop() {
                let day = (&scene, server, self.number);
                self.meanwhile.happens(day, &frozen, first, start).map_err(|what| failed(Audit::default(), what))?;
            }
        }
        let is_over = AtomicBool::new(false);
        let ran = thread::scope(|scope| {
            scope.spawn(|| place.trouble(shared, own.as_mut(), self.number, &is_over));
            let ran = to_the_end(&orders, start);
            is_over.store(true, Ordering::SeqCst);
            ran
        });
        if let Some(what) = ran.err().or_else(|| place.fault()) {
            return Err(failed(Audit::default(), what));
        }
        let server = own.as_ref().unwrap_or(shared);
        let audit = audit(&place, server, self);
        if !audit.is_clean() {
            return Err(failed(audit, String::new()));
        }
        self.destinations.iter().for_each(|destination| destination.forget(server, self.number));
        let trouble = self.trouble.word().filter(|_| place.happened.load(Ordering::SeqCst));
        Ok(Report { obeyed: obeyed(&orders), trouble })
    }

    /// What its documents follow from.
    pub(super) fn formula_seed(&self) -> u64 {
        self.seed.wrapping_add(self.number)
    }

    /// Where its documents go.
    pub(super) fn destinations(&self) -> &[Destination] {
        &self.destinations
    }
}

/// Starts it again as long as it dies of orders. The error is what else it ended with.
fn to_the_end(orders: &Path, start: impl Fn() -> Running) -> Result<(), String> {
    for number in 1.. {
        let before = obeyed(orders).len();
        let finished = start().finish();
        match finished.code {
            Some(0) => break,
            None if obeyed(orders).len() > before && number < STARTS_MAX => {}
            code => {
                let expected = "expected 0, or a death that was ordered";
                return Err(format!("start {number} ended with {code:?}, {expected}\n{}", finished.stderr));
            }
        }
    }
    Ok(())
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, number, orders, destinations, .. } = self;
        write!(f, "day {number} of seed {seed}, into {destinations:?}:")?;
        orders.iter().try_for_each(|order| write!(f, " [{order}]"))?;
        if let Some(trouble) = self.trouble.word() {
            write!(f, ", {trouble}")?;
        }
        if self.deed == Deed::Freeze { write!(f, " {}", self.meanwhile) } else { Ok(()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { day, audit, what } = self;
        writeln!(f, "{day}")?;
        let zombies = if day.deed == Deed::Freeze { " --zombies" } else { "" };
        writeln!(f, "again: cargo xtask killmatrix{zombies} --seed {} --day {}", day.seed, day.number)?;
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
        for (deed, orders) in [(Deed::Die, ORDERS), (Deed::Freeze, 1)] {
            let days = Step::ALL.len().div_ceil(orders) as u64;
            for round in 0..3 {
                let steps = (round * days..(round + 1) * days).flat_map(|number| Day::of(7, number, deed).orders);
                let steps: BTreeSet<Step> = steps.map(|order| order.step).collect();
                assert_eq!(steps.len(), Step::ALL.len(), "round {round}");
            }
        }
    }

    #[test]
    fn a_day_follows_from_its_seed_and_number() {
        assert_eq!(Day::of(3, 5, Deed::Die).to_string(), Day::of(3, 5, Deed::Die).to_string());
        assert_ne!(Day::of(3, 5, Deed::Die).to_string(), Day::of(4, 5, Deed::Die).to_string());
    }
}
