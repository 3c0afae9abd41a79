//! A slice of the kill matrix: every step of the protocol is died at, and nothing is lost or twice; mistakes made on purpose are found.
//! `cargo xtask killmatrix` does it for longer, and with every mistake.

use longshore_tests::dice::number;
use longshore_tests::killmatrix::campaign::Campaign;
use longshore_tests::killmatrix::{Deed, Plant, Step};

fn campaign(deed: Deed) -> Campaign {
    Campaign { seed: number("LONGSHORE_SEED", 1), deed, times: 1, each: 1, workers: 2, planted: None, days_max: 150 }
}

#[test]
fn whoever_dies_at_any_step_nothing_is_lost_or_twice() {
    let tally = campaign(Deed::Die).run(&|_| {}).unwrap_or_else(|failure| panic!("{failure}"));
    let never: Vec<&str> = tally.below(1).into_iter().map(Step::name).collect();
    assert!(never.is_empty(), "nobody died at {never:?}");
    println!("{}{} kills, 0 lost, 0 twice", tally.table(), tally.all());
}

/// A dozen of the steps: the first of the dice.
#[test]
fn whoever_stands_still_while_another_takes_over_does_no_harm_afterwards() {
    let tally = Campaign { times: 12, each: 0, ..campaign(Deed::Freeze) }.run(&|_| {});
    let tally = tally.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{}{} zombies, 0 lost, 0 twice", tally.table(), tally.all());
}

#[test]
fn a_state_that_is_not_committed_and_a_plan_that_is_applied_too_early_are_found() {
    for plant in [Plant::StateNotCommitted, Plant::AppliedBeforeCommitted] {
        let found = Campaign { times: u64::MAX, planted: Some(plant), ..campaign(Deed::Die) }.run(&|_| {});
        assert!(found.is_err(), "{} was missed", plant.name());
    }
}
