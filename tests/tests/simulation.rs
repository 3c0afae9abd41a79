//! The promise, on a thousand bad days: exactly once (or at least once, where that is the promise), whatever fails, and it comes to rest.
//!
//! A failure prints its seed: run it alone with `SEED=n cargo test -p longshore-tests --test simulation one_seed`.

#![allow(clippy::disallowed_methods, reason = "tests measure, wait with limits and roll dice")]

use std::collections::BTreeMap;

use longshore_proto::materialize::message::Guarantee;
use longshore_tests::sim::{Fault, Faults, Mistake, Options, Report, run};

const GUARANTEES: [Guarantee; 3] = [Guarantee::Transactional, Guarantee::Idempotent, Guarantee::AtLeastOnce];
/// For each guarantee: a thousand together.
const SEEDS: u64 = 334;

/// `SEEDS=n` asks for more.
fn seeds() -> u64 {
    std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

fn options(guarantee: Guarantee, faults: Faults) -> Options {
    Options { guarantee, faults, mistake: Mistake::None }
}

fn check(seed: u64, options: &Options) -> Report {
    match run(seed, options) {
        Ok(report) => report,
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn nothing_is_lost_or_doubled_on_a_thousand_bad_days() {
    let (mut fired, mut seen) = (BTreeMap::new(), BTreeMap::new());
    let mut disk = BTreeMap::new();
    for guarantee in GUARANTEES {
        for seed in 0..seeds() {
            let report = check(seed, &options(guarantee, Faults::Random));
            report.fired.into_iter().for_each(|(fault, times)| *fired.entry(fault).or_insert(0) += times);
            report.seen.into_iter().for_each(|(what, times)| *seen.entry(what).or_insert(0) += times);
            let strikes = report.strikes;
            for (what, times) in [
                ("sectors lost", strikes.sectors_lost),
                ("sectors reordered", strikes.sectors_reordered),
                ("sectors torn", strikes.sectors_torn),
                ("names lost", strikes.names_lost),
                ("names back", strikes.names_back),
                ("sync errors", strikes.sync_errors),
                ("short writes", strikes.short_writes),
            ] {
                *disk.entry(what).or_insert(0) += times;
            }
        }
    }
    println!("faults: {fired:?}\ndisk: {disk:?}\nsessions: {seen:?}");
    for fault in Fault::ALL {
        assert!(fired.contains_key(&fault), "{fault:?} never struck: nothing was tested");
    }
    for (what, times) in disk {
        assert!(times > 0, "{what}: never");
    }
    let kinds = ["go on", "promote", "replay", "rerun", "schema grew", "stopped", "drained", "replayed"];
    for what in kinds.into_iter().chain(["rejected", "resent", "joined", "trimmed"]) {
        assert!(seen.contains_key(what), "{what}: never seen");
    }
}

#[test]
fn one_seed() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for guarantee in GUARANTEES {
        check(seed, &options(guarantee, Faults::Random));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        for guarantee in GUARANTEES {
            let options = options(guarantee, Faults::Random);
            assert_eq!(check(seed, &options), check(seed, &options), "seed {seed}");
        }
    }
}

#[test]
fn an_end_after_every_step_changes_nothing() {
    let ends = [Fault::PowerCut, Fault::RuntimeKill, Fault::SourceKill, Fault::DestinationKill, Fault::Zombie];
    for guarantee in GUARANTEES {
        let steps = check(0, &options(guarantee, Faults::None)).steps;
        for step in 1..=steps {
            for fault in ends {
                check(0, &options(guarantee, Faults::At(step, fault)));
            }
        }
    }
}

#[test]
fn an_end_inside_every_operation_of_the_disk_changes_nothing() {
    for guarantee in GUARANTEES {
        for seed in 0..3 {
            let operations = check(seed, &options(guarantee, Faults::None)).operations;
            for operation in 0..operations {
                for power in [false, true] {
                    check(seed, &options(guarantee, Faults::Disk(operation, power)));
                }
            }
        }
    }
}

/// Each is found within this many seeds, or the simulator proves nothing.
#[test]
fn every_mistake_made_on_purpose_is_found() {
    use Guarantee::{AtLeastOnce, Idempotent, Transactional};
    let mistakes = [
        (Mistake::AcknowledgeBeforeSync, Transactional),
        (Mistake::IgnoreTheDestinationsCheckpoint, Transactional),
        (Mistake::IgnoreTheFence, Transactional),
        (Mistake::NoAppliedMark, Idempotent),
        (Mistake::ForgetThePlan, Idempotent),
        (Mistake::OlderCheckpoint, Idempotent),
        (Mistake::LoseTheExtent, AtLeastOnce),
        (Mistake::StagedNamesWithoutEpoch, Idempotent),
        (Mistake::ExistsOfAnotherRow, Transactional),
        (Mistake::LoadAnOlderRow, Transactional),
        (Mistake::CheckpointBeforeItsLetter, Transactional),
        (Mistake::LetterBeforeItsCheckpoint, Idempotent),
        (Mistake::ReplayBeforeItsMark, Transactional),
        (Mistake::ForgetWhatWasRefused, Transactional),
        (Mistake::SkipOneOfAKey, Idempotent),
        (Mistake::ResendWithoutLooking, Idempotent),
        (Mistake::TrimWhatIsNeeded, Idempotent),
        (Mistake::TrimBeforeItIsDurable, AtLeastOnce),
        (Mistake::ForgetWhatIsAside, Transactional),
    ];
    for (mistake, guarantee) in mistakes {
        let wrong = Options { guarantee, faults: Faults::Random, mistake };
        let found = (0..SEEDS).find_map(|seed| run(seed, &wrong).err());
        let found = found.unwrap_or_else(|| panic!("{mistake:?} was not found in {SEEDS} seeds"));
        println!("{mistake:?}: {found}");
    }
}
