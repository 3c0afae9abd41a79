//! Runtime and connectors over a network that fails, in a simulation of it: everything arrives, once, and it never stands still.
//!
//! A failure prints its seed: `cargo xtask netsim --seed N` runs it alone.

use std::time::Duration;

use longshore_failpoints::{Plant, plant_here};
use longshore_netsim::tally::Tally;
use longshore_netsim::{Failure, Report, Scenario, run};
use longshore_tests::seeds::{Outcome, Seeds, Sum as _};

/// `cargo xtask netsim` runs as many as somebody wants.
const SEEDS: u64 = 120;
/// In this one there are more keys in a transaction than windows and queues hold.
const WIDE: u64 = 163;
/// From there on, a mistake is found within so many.
const MUTANT_SEEDS: u64 = 40;

fn many(from: u64, seeds: u64) -> Outcome<Tally, Box<Failure>> {
    let seeds = Seeds { from, seeds, within: Duration::MAX, threads: 2, chunk: 4 };
    seeds.run(|seed| run(Scenario::of_seed(seed)), &|_, _| {})
}

fn one(seed: u64) -> Report {
    run(Scenario::of_seed(seed)).unwrap_or_else(|failure| panic!("{failure}"))
}

/// In one test, for what is planted is planted in the whole process.
#[test]
fn everything_arrives_once_whatever_the_network_does_and_who_cannot_bear_it_is_found() {
    let Outcome { mut sum, failure, .. } = many(0, SEEDS);
    assert!(failure.is_none(), "{}", failure.map(|failure| failure.to_string()).unwrap_or_default());
    sum.add(one(WIDE));
    println!("{}", sum.table());
    assert_eq!(sum.missing(), Vec::<String>::new(), "never happened, so it was not tested");

    for seed in 0..6 {
        assert_eq!(one(seed), one(seed), "seed {seed}: the same faults, and the same end");
    }

    assert!(Scenario::of_seed(WIDE).is_wide());
    for plant in Plant::ALL.into_iter().filter(|plant| plant.shown_by().is_none()) {
        plant_here(Some(plant));
        let Outcome { failure, .. } = many(WIDE, MUTANT_SEEDS);
        let failure = failure.unwrap_or_else(|| panic!("{} was not found", plant.name()));
        println!("{}: {}", plant.name(), failure.seed);
        assert!(failure.is_stall, "{}: {failure}", plant.name());
    }
}
