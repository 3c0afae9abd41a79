//! `cargo xtask killmatrix`: the shipped programs, killed at every step of the protocol. Ends with `N kills, 0 lost, 0 twice`,
//! or `N zombies, …`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people")]

use std::process::ExitCode;

use clap::Parser;
use longshore_tests::killmatrix::campaign::Campaign;
use longshore_tests::killmatrix::day::Failure;
use longshore_tests::killmatrix::tally::Tally;
use longshore_tests::killmatrix::{Day, Deed, Plant};
use serde_json::json;

/// A campaign that has not reached what it wants after so many days for each kill never will.
const DAYS_A_KILL: u64 = 3;
/// A mistake has to be found within so many days.
const MUTANT_DAYS: u64 = 150;

/// Kills the runtime and its connectors where orders say so, and compares what arrives with what the source had
///
/// A day is a capture that forgets what it was told is durable, into SQLite, files and PostgreSQL, and five orders: to die at a step of the protocol.
/// On some the disk is full for a while, there is little memory, the server ends its sessions or is started again, or the way to it is cut.
/// Zombies: one order, to stand still.
#[derive(Debug, Parser)]
#[command(name = "killmatrix", bin_name = "cargo xtask killmatrix", max_term_width = 120)]
struct Wanted {
    /// So many kills, or zombies, in all
    #[arg(long, value_name = "N", default_value_t = 300)]
    kills: u64,
    /// So many at each step at least
    #[arg(long, value_name = "N", default_value_t = 5)]
    each: u64,
    /// What the order of steps, the destinations and the documents follow from
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// One day of it alone
    #[arg(long, value_name = "DAY")]
    day: Option<u64>,
    /// Days at once; as many as there are cores if not said
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Freeze instead of kill: a process stands still at a step while another runtime takes over, or the server ends its sessions
    #[arg(long, conflicts_with = "mutants")]
    zombies: bool,
    /// Make each mistake of a list on purpose, and say which day finds it
    #[arg(long, conflicts_with_all = ["kills", "each", "day"])]
    mutants: bool,
    /// With a seed of its own, behind this one
    #[arg(long, value_name = "SEED", hide = true)]
    behind: Option<u64>,
    /// Say what it came to in a line for the ledger, too
    #[arg(long, hide = true)]
    ledger: bool,
}

fn main() -> ExitCode {
    let mut wanted = Wanted::parse();
    wanted.seed = wanted.behind.map_or(wanted.seed, |behind| behind + 1);
    if !cfg!(debug_assertions) {
        eprintln!("killmatrix: a release build has no steps to die at: build it without --release");
        return ExitCode::FAILURE;
    }
    let workers = wanted.workers.unwrap_or_else(longshore_tests::seeds::cores);
    if wanted.mutants {
        return mutants(wanted.seed, workers);
    }
    let ran = match wanted.day {
        Some(number) => one(&wanted, number),
        None => {
            let days_max = wanted.kills.max(wanted.each) * DAYS_A_KILL;
            let Wanted { seed, kills: times, each, .. } = wanted;
            let campaign = Campaign { seed, deed: wanted.deed(), times, each, workers, planted: None, days_max };
            campaign.run(&|tally| eprintln!("{:>5} days, {} {}", tally.days, tally.all(), wanted.what()))
        }
    };
    match ran {
        Ok(tally) => told(&wanted, &tally),
        Err(failure) => {
            let (lost, twice) = (failure.audit.lost.len(), failure.audit.twice.len());
            println!("{failure}");
            println!("FAILED, {lost} lost, {twice} twice");
            ExitCode::FAILURE
        }
    }
}

impl Wanted {
    fn deed(&self) -> Deed {
        if self.zombies { Deed::Freeze } else { Deed::Die }
    }

    fn what(&self) -> &'static str {
        if self.zombies { "zombies" } else { "kills" }
    }
}

fn one(wanted: &Wanted, number: u64) -> Result<Tally, Box<Failure>> {
    let server = longshore_postgres::testing::Server::start("");
    let day = Day::of(wanted.seed, number, wanted.deed());
    println!("{day}");
    let mut tally = Tally::default();
    tally.add(day.run(&server)?);
    Ok(tally)
}

/// Each mistake has to be found within so many days.
fn mutants(seed: u64, workers: usize) -> ExitCode {
    let mut missed = 0;
    let mut planted = 0;
    for (plant, deed) in Plant::ALL.into_iter().filter_map(|plant| Some((plant, plant.shown_by()?))) {
        planted += 1;
        let campaign =
            Campaign { seed, deed, times: u64::MAX, each: 0, workers, planted: Some(plant), days_max: MUTANT_DAYS };
        match campaign.run(&|_| {}) {
            Err(failure) => {
                let (lost, twice) = (failure.audit.lost.len(), failure.audit.twice.len());
                let how = match (lost, twice) {
                    (0, 0) => failure.what.lines().find(|line| line.starts_with("error[")),
                    _ => None,
                };
                let how = how.map_or_else(|| format!("{lost} lost, {twice} twice"), str::to_owned);
                println!("{:<30} day {:<4} {how}", plant.name(), failure.day.number);
            }
            Ok(tally) => {
                missed += 1;
                println!("{:<30} MISSED in {} days, {} kills", plant.name(), tally.days, tally.all());
            }
        }
    }
    println!("{planted} planted, {missed} missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn told(wanted: &Wanted, tally: &Tally) -> ExitCode {
    print!("{}", tally.table());
    let missed = if wanted.day.is_some() { Vec::new() } else { tally.below(wanted.each) };
    for step in &missed {
        println!("{} was come to {} times, expected at least {}", step.name(), tally.at(*step), wanted.each);
    }
    if wanted.ledger {
        let steps: serde_json::Map<_, _> = tally.steps().map(|(step, times)| (step.to_owned(), json!(times))).collect();
        let found = json!({
            "seed": wanted.seed, "days": tally.days, wanted.what(): tally.all(), "lost": 0, "twice": 0, "happened": { "step": steps, "trouble": tally.troubles },
        });
        println!("ledger: {found}");
    }
    println!("{} {}, 0 lost, 0 twice", tally.all(), wanted.what());
    if missed.is_empty() && tally.all() > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
