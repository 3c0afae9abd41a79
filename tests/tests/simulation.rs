//! The promise, on many bad days: exactly once (or at least once, where that is the promise), whatever fails, and it comes to rest.
//!
//! A failure prints its seed: `cargo xtask sim --seed N` runs it alone and makes it small.

#![allow(clippy::disallowed_methods, reason = "tests measure, wait with limits and roll dice")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use longshore_proto::materialize::message::Guarantee;
use longshore_tests::scene;
use longshore_tests::seeds::Sum as _;
use longshore_tests::sim::campaign::Campaign;
use longshore_tests::sim::shrink::shrink;
use longshore_tests::sim::tally::Tally;
use longshore_tests::sim::{Failure, Fault, Faults, Mistake, Options, Report, kept, run};

const GUARANTEES: [Guarantee; 3] = [Guarantee::Transactional, Guarantee::Idempotent, Guarantee::AtLeastOnce];
/// `cargo xtask sim` runs as many as there is time for.
const SEEDS: u64 = 1_200;
/// A mistake is found within so many, or the simulator proves nothing.
const MUTANT_SEEDS: u64 = 2_000;

fn check(seed: u64, options: &Options) -> Report {
    match run(seed, options) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

fn kept_seeds() -> Vec<u64> {
    kept(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-seeds.txt")).expect("a list of seeds")
}

#[test]
fn nothing_is_lost_or_doubled_on_hundreds_of_bad_days() {
    let mut tally = Tally::default();
    for seed in kept_seeds().into_iter().chain(0..SEEDS) {
        let report = check(seed, &Options::of_seed(seed));
        assert!(report.transactions >= 20 && report.sessions >= 3, "seed {seed}: too little happened: {report:?}");
        assert!(!report.fired.is_empty(), "seed {seed}: nothing failed");
        tally.add(report);
    }
    println!("{}", tally.table());
    assert_eq!(tally.missing(), Vec::<String>::new(), "never happened, so it was not tested");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..120 {
        let options = Options::of_seed(seed);
        assert_eq!(check(seed, &options), check(seed, &options), "seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_in_another_process() {
    for seed in 0..6 {
        let output = Command::new(sim()).args(["--seed", &seed.to_string()]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let trace = format!("trace {:016x}\n", check(seed, &Options::of_seed(seed)).trace);
        assert!(said.contains(&trace), "seed {seed}: expected {trace}, got {said}");
    }
}

/// The faults that struck, given as a list, are the same run up to where it breaks; and less is enough for it to break.
#[test]
fn a_failure_is_made_small() {
    for mistake in [Mistake::NoAppliedMark, Mistake::OlderCheckpoint, Mistake::TrimBeforeItIsDurable] {
        let failure = found(mistake);
        let Faults::These { faults, .. } = failure.faults.clone() else { panic!("{failure}") };
        let again = Options { faults: failure.faults.clone(), ..failure.options.clone() };
        let again = run(failure.seed, &again).unwrap_err();
        assert_eq!((again.step, &again.violation), (failure.step, &failure.violation), "the same run");
        let small = shrink(failure.clone());
        let Faults::These { faults: fewer, .. } = small.faults.clone() else { panic!("{small}") };
        println!(
            "{} faults became {}, {} transactions {}",
            faults.len(),
            fewer.len(),
            failure.transactions,
            small.transactions
        );
        assert!(fewer.len() <= faults.len() && small.transactions < failure.transactions, "{small}");
        run(small.seed, &small.options).unwrap_err();
    }
}

fn found(mistake: Mistake) -> Failure {
    // On one thread: always the same seed.
    let campaign = Campaign { from: 0, seeds: MUTANT_SEEDS, within: Duration::MAX, threads: 1, mistake };
    let found = campaign.run(&|_, _| {}).failure;
    *found.unwrap_or_else(|| panic!("{mistake:?} was not found in {MUTANT_SEEDS} seeds"))
}

fn sim() -> PathBuf {
    scene::bin_dir().join("sim")
}

#[test]
fn an_end_after_every_step_changes_nothing() {
    let ends = [Fault::PowerCut, Fault::RuntimeKill, Fault::SourceKill, Fault::DestinationKill, Fault::Zombie];
    for guarantee in GUARANTEES {
        let steps = check(0, &Options::new(guarantee, Faults::None)).steps;
        for step in 1..=steps {
            for fault in ends {
                check(0, &Options::new(guarantee, Faults::At(step, fault)));
            }
        }
    }
}

#[test]
fn an_end_inside_every_operation_of_the_disk_changes_nothing() {
    for guarantee in GUARANTEES {
        for seed in 0..3 {
            let operations = check(seed, &Options::new(guarantee, Faults::None)).operations;
            for operation in 0..operations {
                for power in [false, true] {
                    check(seed, &Options::new(guarantee, Faults::Disk(operation, power)));
                }
            }
        }
    }
}

#[test]
fn every_mistake_made_on_purpose_is_found() {
    for mistake in Mistake::ALL {
        println!("{}", found(mistake));
    }
}

/// What the command ends with is for people and for the ledger.
#[test]
fn the_command_says_how_many_seeds_it_ran() {
    let output = Command::new(sim()).args(["--seconds", "600", "--seeds", "1200"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("1200 seeds, ") && last.ends_with(" steps, 0 violations"), "{last}");
    // With so few, something never happens: it says so, and has not tested enough.
    let output = Command::new(sim()).args(["--seeds", "3"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("never happened, so it was not tested"));
}
