//! `cargo xtask …`: the commands that build, show, test and measure the project. Each does all the set-up it needs.

#![allow(clippy::disallowed_methods, reason = "commands for people: they measure and tell how long things took")]

mod bench;
mod demo;
mod image;
mod long;
mod private_engine;
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
    /// Build connectors of the workspace as static images, longshore/NAME:dev, and load them into the Docker Engine
    Image(image::Wanted),
    /// Measure one workload; ends with one JSON line
    Bench {
        /// R1 (CPU a document), R3 (commit latency), B1 (cold start) or image (start of a container)
        name: String,
    },
}

fn main() -> ExitCode {
    let result = supported().and_then(|()| match Cli::parse().command {
        Task::Demo => demo::demo(),
        Task::Test { long: true, name } => long::test(name.as_deref()),
        Task::Test { long: false, name } => test::test(name.as_deref()),
        Task::Image(wanted) => image::image(&wanted),
        Task::Bench { name } => bench::bench(&name),
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

/// Runs a command with our own input and output; anything but success is a problem.
fn run(command: &mut Command) -> Result<(), Problem> {
    let status = command.status().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Problem(format!("{command:?} ended with {status}"))) }
}
