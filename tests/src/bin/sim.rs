//! `cargo xtask sim`: the simulator, for as long as somebody wants. Ends with `N seeds, M steps, 0 violations`; with `--mutants`, with
//! `N planted, 0 missed`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people")]
#![allow(clippy::disallowed_methods, reason = "it tells how long things took")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use longshore_tests::seeds::{Outcome, Sum as _, cores, now_and_then};
use longshore_tests::sim::campaign::Campaign;
use longshore_tests::sim::shrink::shrink;
use longshore_tests::sim::tally::Tally;
use longshore_tests::sim::{Failure, Mistake, Options, run};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A mistake has to be found within so many seeds, and this time.
const MUTANT_SEEDS: u64 = 20_000;
const MUTANT_TIME: Duration = Duration::from_secs(30);

/// Runs the shipped machines, journal and reader over a simulated disk, one bad day a seed
///
/// A seed tells everything: the documents, the destination's guarantee, what fails and when, what happens next. A day has at least 20
/// transactions, 3 sessions and a fault, and has to come to rest with every document exactly once (or at least once, where that is the promise).
#[derive(Debug, Parser)]
#[command(name = "sim", bin_name = "cargo xtask sim", max_term_width = 120)]
struct Wanted {
    /// For so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// At most so many seeds
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Threads; as many as there are cores if not said
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// One seed alone: how it went, or how it fails, made as small as possible
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "mutants"])]
    seed: Option<u64>,
    /// Make each mistake of a list on purpose, and say which seed finds it
    #[arg(long, conflicts_with_all = ["seconds", "seeds"])]
    mutants: bool,
    /// Say what it came to in a line for the ledger, too
    #[arg(long, hide = true)]
    ledger: bool,
    /// Seeds that failed once, a line each: they run first
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
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
    match run(seed, &Options::of_seed(seed)) {
        Ok(report) => {
            let mut tally = Tally::default();
            println!("seed {seed}: trace {:016x}", report.trace);
            tally.add(report);
            print!("{}", tally.table());
            ending(&tally)
        }
        Err(failure) => failed(*failure),
    }
}

fn many(wanted: &Wanted, threads: usize) -> ExitCode {
    let kept = match wanted.kept.as_ref().map(|file| longshore_tests::sim::kept(file)).transpose() {
        Ok(kept) => kept.unwrap_or_default(),
        Err(problem) => {
            eprintln!("sim: {problem}");
            return ExitCode::FAILURE;
        }
    };
    for seed in kept {
        if let Err(failure) = run(seed, &Options::of_seed(seed)) {
            return failed(*failure);
        }
    }
    let within = Duration::from_secs(wanted.seconds);
    let campaign = Campaign {
        from: wanted.from,
        seeds: wanted.seeds.unwrap_or(u64::MAX),
        within,
        threads,
        mistake: Mistake::None,
    };
    let progress = now_and_then(|tally: &Tally, elapsed| {
        eprintln!("{:>4} s  {} seeds, {} steps", elapsed.as_secs(), tally.seeds, tally.steps);
    });
    let Outcome { sum: tally, failure, elapsed } = campaign.run(&progress);
    if let Some(failure) = failure {
        return failed(*failure);
    }
    print!("{}", tally.table());
    println!(
        "{} transactions, {} sessions, {:.1} s, {threads} threads",
        tally.transactions,
        tally.sessions,
        elapsed.as_secs_f64()
    );
    let missing = tally.missing();
    if !missing.is_empty() {
        eprintln!("sim: never happened, so it was not tested: {}; run more seeds", missing.join(", "));
        return ExitCode::FAILURE;
    }
    if wanted.ledger {
        println!("ledger: {}", entry(wanted.from, &tally));
    }
    ending(&tally)
}

/// A campaign as a line of the ledger: the next one begins at `to`.
fn entry(from: u64, tally: &Tally) -> Value {
    let fired: BTreeMap<String, u64> =
        tally.fired.iter().map(|(fault, times)| (format!("{fault:?}"), *times)).collect();
    json!({
        "from": from,
        "to": from + tally.seeds,
        "seeds": tally.seeds,
        "steps": tally.steps,
        "happened": { "fault": fired, "disk": tally.disk, "way": tally.ways },
    })
}

fn mutants(from: u64, threads: usize) -> ExitCode {
    let mut missed = 0;
    for mistake in Mistake::ALL {
        let campaign = Campaign { from, seeds: MUTANT_SEEDS, within: MUTANT_TIME, threads, mistake };
        let Outcome { sum: tally, failure, elapsed } = campaign.run(&|_, _| {});
        let (name, seconds) = (format!("{mistake:?}"), elapsed.as_secs_f64());
        match failure.as_deref() {
            Some(Failure { seed, violation, .. }) => {
                let short: String = violation.chars().take(90).collect();
                println!("{name:<34} seed {seed:<6} {:>6} seeds {seconds:>6.1} s  {short}", tally.seeds + 1);
            }
            None => {
                missed += 1;
                println!("{name:<34} MISSED      {:>6} seeds {seconds:>6.1} s", tally.seeds);
            }
        }
    }
    println!("{} planted, {missed} missed", Mistake::ALL.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(failure: Failure) -> ExitCode {
    println!("{failure}");
    println!("made smaller:");
    let failure = shrink(failure);
    println!("{failure}");
    println!("again: cargo xtask sim --seed {}", failure.seed);
    println!("1 violation");
    ExitCode::FAILURE
}

fn ending(tally: &Tally) -> ExitCode {
    println!("{} seeds, {} steps, 0 violations", tally.seeds, tally.steps);
    ExitCode::SUCCESS
}
