//! `cargo xtask netsim`: runtime and connectors over a network that fails, for as long as somebody wants. Ends with `N sims, 0 stalls`; with
//! `--mutants`, with `N planted, 0 missed`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people")]
#![allow(clippy::disallowed_methods, reason = "it tells how long things took")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use longshore_failpoints::{Plant, plant_here};
use longshore_netsim::tally::Tally;
use longshore_netsim::{Failure, Report, Scenario, run};
use longshore_tests::seeds::{Outcome, Seeds, Sum as _, cores, now_and_then};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A thread adds up so many runs before it tells the others.
const CHUNK: u64 = 8;
/// A mistake has to be found within so many seeds.
const MUTANT_SEEDS: u64 = 2_000;

/// Runs the shipped sessions, SDK and HTTP/2 over a simulated network that fails, one scenario a seed
///
/// A seed tells what is moved, how slow the network is, and what fails when: cuts, half-open connections, processes that stand still, die or are
/// asked to leave, connections that break in a frame. All documents have to arrive, once, and soon after the last fault.
#[derive(Debug, Parser)]
#[command(name = "netsim", bin_name = "cargo xtask netsim", max_term_width = 120)]
struct Wanted {
    /// At most so many seeds
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    sims: u64,
    /// No further one after so long
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Threads; as many as there are cores if not said
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// One seed alone: how it went, or how it fails
    #[arg(long, value_name = "SEED", conflicts_with_all = ["sims", "seconds", "from", "mutants"])]
    seed: Option<u64>,
    /// Make each mistake that a network shows on purpose, and say which seed finds it
    #[arg(long, conflicts_with_all = ["sims", "seconds"])]
    mutants: bool,
    /// Say what it came to in a line for the ledger, too
    #[arg(long, hide = true)]
    ledger: bool,
}

fn main() -> ExitCode {
    let wanted = Wanted::parse();
    let threads = wanted.threads.unwrap_or_else(cores);
    match wanted.seed {
        Some(seed) => one(seed),
        None if wanted.mutants => mutants(wanted.from, threads),
        None => many(&wanted, threads),
    }
}

fn one(seed: u64) -> ExitCode {
    match run(Scenario::of_seed(seed)) {
        Ok(report) => {
            let Report { sessions, transactions, milliseconds, .. } = &report;
            println!("seed {seed}: {sessions} sessions, {transactions} transactions, {milliseconds} ms");
            let mut tally = Tally::default();
            tally.add(report);
            print!("{}", tally.table());
            ending(&tally)
        }
        Err(failure) => failed(&failure),
    }
}

fn many(wanted: &Wanted, threads: usize) -> ExitCode {
    let within = wanted.seconds.map_or(Duration::MAX, Duration::from_secs);
    let seeds = Seeds { from: wanted.from, seeds: wanted.sims, within, threads, chunk: CHUNK };
    let progress = now_and_then(|tally: &Tally, elapsed| {
        eprintln!("{:>4} s  {} sims, {} sessions", elapsed.as_secs(), tally.sims, tally.sum.sessions);
    });
    let Outcome { sum: tally, failure, elapsed } = seeds.run(|seed| run(Scenario::of_seed(seed)), &progress);
    if let Some(failure) = failure {
        return failed(&failure);
    }
    print!("{}", tally.table());
    let Report { sessions, transactions, milliseconds, .. } = &tally.sum;
    println!(
        "{transactions} transactions, {sessions} sessions, {} s of the network's time in {:.1} s, {threads} threads",
        milliseconds / 1_000,
        elapsed.as_secs_f64()
    );
    let missing = tally.missing();
    if !missing.is_empty() {
        eprintln!("netsim: never happened, so it was not tested: {}; run more seeds", missing.join(", "));
        return ExitCode::FAILURE;
    }
    if wanted.ledger {
        let found = json!({
            "from": wanted.from, "to": wanted.from + tally.sims, "sims": tally.sims, "sessions": sessions, "stalls": 0,
            "happened": { "network": tally.faults(), "ended": tally.sum.ended },
        });
        println!("ledger: {found}");
    }
    ending(&tally)
}

fn mutants(from: u64, threads: usize) -> ExitCode {
    if !cfg!(debug_assertions) {
        eprintln!("netsim: a release build makes no mistakes: build it without --release");
        return ExitCode::FAILURE;
    }
    let (mut planted, mut missed) = (0, 0);
    for plant in Plant::ALL.into_iter().filter(|plant| plant.shown_by().is_none()) {
        plant_here(Some(plant));
        let seeds = Seeds { from, seeds: MUTANT_SEEDS, within: Duration::MAX, threads, chunk: CHUNK };
        let Outcome { sum, failure, elapsed } = seeds.run(|seed| run(Scenario::of_seed(seed)), &|_: &Tally, _| {});
        planted += 1;
        let (name, seconds) = (plant.name(), elapsed.as_secs_f64());
        match failure {
            Some(failure) => println!("{name:<26} seed {:<6} {seconds:>6.1} s  {}", failure.seed, failure.violation),
            None => {
                missed += 1;
                println!("{name:<26} MISSED in {} sims {seconds:>6.1} s", sum.sims);
            }
        }
    }
    plant_here(None);
    println!("{planted} planted, {missed} missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(failure: &Failure) -> ExitCode {
    println!("{failure}");
    println!("again: cargo xtask netsim --seed {}", failure.seed);
    println!("{}", if failure.is_stall { "1 stall" } else { "1 violation" });
    ExitCode::FAILURE
}

fn ending(tally: &Tally) -> ExitCode {
    println!("{} sims, 0 stalls", tally.sims);
    ExitCode::SUCCESS
}
