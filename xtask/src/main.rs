//! `cargo xtask …`: the commands that build, show, test and measure the project. Each does all the set-up it needs.

#![allow(clippy::disallowed_methods, reason = "commands for people: they measure and tell how long things took")]

mod bench;
mod campaign;
mod canary;
mod demo;
mod hostile;
mod image;
mod killmatrix;
mod ledger;
mod long;
mod netsim;
mod peers;
mod private_engine;
mod reliability;
mod sim;
mod test;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// Builds, shows, tests and measures Longshore.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build everything and move a year of flights from CSV into SQLite and JSONL files, then ask the database a question
    Demo,
    /// Run everything that guards a change: formatting, lints, docs, tests
    Test {
        /// Run the long tests with their full counts instead, in slices; what is in tests/ledger.jsonl already is not run again
        #[arg(long)]
        long: bool,
        /// Only tests whose names hold this
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Build connectors of the workspace, and the relay, as static images, longshore/NAME:dev, and load them into the Docker Engine
    Image(image::Wanted),
    /// Let connectors that mean harm loose, and say what each tried: `blocked NAME` or `SUCCEEDED NAME`
    Hostile {
        /// Weaken the sandbox before: writable-root, all-capabilities or no-process-limit; it has to end with 1
        #[arg(long, value_name = "WEAKNESS")]
        plant: Option<String>,
        /// Say what stopped each, too
        #[arg(long)]
        tell: bool,
    },
    /// Put a unique secret into each of 61 failures and search every output for it; ends with `N outputs searched, 0 hits`
    Canary {
        /// Leave one door open, and fail: words, answers, log, results, errors or status
        #[arg(long, value_name = "DOOR", num_args = 0..=1, default_missing_value = "errors")]
        plant: Option<String>,
    },
    /// Run the simulator, a bad day a seed, until a rule is broken or 60 s are over
    #[command(after_help = sim::WORDS)]
    Sim {
        /// Passed on to the simulator, which is built first: see below
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
        words: Vec<std::ffi::OsString>,
    },
    /// Kill the runtime and its connectors at every step of the protocol, 300 times, and compare what arrives
    #[command(after_help = killmatrix::WORDS)]
    Killmatrix {
        /// Passed on to the program that does it, which is built first: see below
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
        words: Vec<std::ffi::OsString>,
    },
    /// Run runtime and connectors over a simulated network that fails, 20000 times, until a rule is broken or it stands still
    #[command(after_help = netsim::WORDS)]
    Netsim {
        /// Passed on to the program that does it, which is built first: see below
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
        words: Vec<std::ffi::OsString>,
    },
    /// Write what tests/ledger.jsonl says into tests/RELIABILITY.md
    Reliability,
    /// Make the programs of others that tests read results with, below the target directory; says where
    Peers,
    /// Measure one workload; ends with one JSON line
    Bench(bench::Wanted),
}

fn main() -> ExitCode {
    let result = supported().and_then(|()| match Cli::parse().command {
        Task::Demo => demo::demo(),
        Task::Test { long: true, name } => long::test(name.as_deref()),
        Task::Test { long: false, name } => test::test(name.as_deref()),
        Task::Image(wanted) => image::image(&wanted),
        Task::Hostile { plant, tell } => hostile::hostile(plant.as_deref(), tell),
        Task::Canary { plant } => canary::canary(plant.as_deref()),
        Task::Sim { words } => sim::sim(&words),
        Task::Killmatrix { words } => killmatrix::killmatrix(&words),
        Task::Netsim { words } => netsim::netsim(&words),
        Task::Reliability => reliability::write().map(|()| ExitCode::SUCCESS),
        Task::Peers => peers::peers(),
        Task::Bench(wanted) => bench::bench(&wanted),
    });
    result.unwrap_or_else(|problem| {
        eprintln!("xtask: {problem}");
        ExitCode::FAILURE
    })
}

/// Why a command could not do its work, and what to do about it.
#[derive(Debug)]
struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn supported() -> Result<(), Problem> {
    if cfg!(target_os = "linux") {
        return Ok(());
    }
    Err(Problem(format!("Longshore runs on Linux (x86-64, aarch64), not on {}", std::env::consts::OS)))
}

/// The root of the repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the repository")
}

/// Where cargo builds.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Builds what users get, and says where it is. All of it at once: a build of some programs alone selects other features of what they share,
/// and so builds it again.
fn release_binaries() -> Result<PathBuf, Problem> {
    run(&mut cargo(&["build", "--release", "--workspace", "--bins"]))?;
    Ok(target_dir().join("release"))
}

/// Cargo in the repository, as if it were called by hand. What the cargo that runs us, or a test of ours, says of *its* package is taken
/// out: a build script that looks at that (ring's does) would run again, and all that depends on it be compiled again, for each caller.
fn cargo(words: &[&str]) -> Command {
    const OF_PACKAGE: [&str; 5] =
        ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_LINKS", "CARGO_MANIFEST_PATH"];
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(repository()).args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || OF_PACKAGE.contains(&name)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command with our own input and output; anything but success is a problem.
fn run(command: &mut Command) -> Result<(), Problem> {
    let status = command.status().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Problem(format!("{command:?} ended with {status}"))) }
}
