//! `cargo xtask test`: what guards every change. Ends with a line `N passed, N failed`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::image::{self, Wanted, engine};
use crate::private_engine::PrivateEngine;
use crate::{Problem, peers, reliability, run, target_dir};

/// A full build and the tests' directories need this much.
const FREE_BYTES: u64 = 15 << 30;
/// What the tests need beside Rust, and the Debian package that has it.
const NEEDED: [(&str, &str); 11] = [
    ("cc", "gcc"),
    ("git", "git"),
    ("docker", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("docker-registry", "docker-registry"),
    ("debootstrap", "debootstrap"),
    ("bwrap", "bubblewrap"),
    ("strip", "binutils"),
    ("python3", "python3-venv"),
    ("psql", "postgresql"),
    ("setpriv", "util-linux"),
];

pub(crate) fn test(name: Option<&str>) -> Result<ExitCode, Problem> {
    needs()?;
    let _engine = PrivateEngine::where_none_answers()?;
    let mut failed = Vec::new();
    if name.is_none() {
        for (step, command) in [("formatting", &["fmt", "--all", "--check"][..]), ("lints", &CLIPPY), ("docs", &DOC)] {
            if let Err(problem) = timed(step, || run(cargo(command).env("RUSTDOCFLAGS", RUSTDOCFLAGS))) {
                eprintln!("xtask: {step}: {problem}");
                failed.push(step);
            }
        }
        if let Err(problem) = reliability::check() {
            eprintln!("xtask: reliability: {problem}");
            failed.push("reliability");
        }
    }
    build()?;
    timed("peers", peers::make)?;
    // The tests would make them too: here the time shows where it belongs.
    timed("images", || image::image(&Wanted::ALL))?;
    let counts = timed("tests", || tests(name))?;
    for step in &failed {
        println!("failed: {step}");
    }
    println!("{} passed, {} failed", counts.passed, counts.failed + failed.len() as u64);
    let good = counts.failed == 0 && failed.is_empty() && counts.passed > 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const CLIPPY: [&str; 6] = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
/// Private items are documented too, so links to them lead somewhere.
const RUSTDOCFLAGS: &str = "-D warnings -A rustdoc::private_intra_doc_links";
const DOC: [&str; 4] = ["doc", "--workspace", "--no-deps", "--document-private-items"];

/// The binaries and the tests in one build, so that end-to-end tests never run yesterday's binary and nothing is compiled twice.
pub(crate) fn build() -> Result<(), Problem> {
    timed("build", || run(&mut cargo(&["build", "--workspace", "--bins", "--tests", "--examples"])))
}

/// Cargo, told where the binaries under test are, and the programs of others.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = crate::cargo(words);
    command.env("LONGSHORE_BIN_DIR", target_dir().join("debug")).env("LONGSHORE_PEERS", peers::dir());
    command.envs(engine::private().map(|host| ("DOCKER_HOST", host)));
    command
}

/// A program of the tests that was built, told what they are told.
pub(crate) fn program(name: &str) -> Command {
    let mut program = Command::new(target_dir().join("debug").join(name));
    program.envs(cargo(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    program
}

/// What the runners counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

fn tests(name: Option<&str>) -> Result<Counts, Problem> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(name);
    watch(command, |_| {})
}

/// Runs a test command, shows its output, and adds up the summaries of all its runners. `each` sees every line.
pub(crate) fn watch(mut command: Command, mut each: impl FnMut(&str)) -> Result<Counts, Problem> {
    let cannot = |error: std::io::Error| Problem(format!("cannot run the tests: {error}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut counts = Counts::default();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let line = line.map_err(cannot)?;
        println!("{line}");
        each(&line);
        if let Some(summary) = line.strip_prefix("test result: ") {
            counts.passed += number_before(summary, " passed");
            counts.failed += number_before(summary, " failed");
        }
    }
    let status = child.wait().map_err(cannot)?;
    if !status.success() && counts.failed == 0 {
        // A runner that crashed, or did not compile, has no summary.
        counts.failed = 1;
    }
    Ok(counts)
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What is missing and cannot be had fails at once, and names the one command that gets it.
fn needs() -> Result<(), Problem> {
    for (program, package) in NEEDED {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(Problem(format!("`{program}` is missing: apt-get install -y {package}")));
        }
    }
    let target = target_dir();
    std::fs::create_dir_all(&target).map_err(|error| Problem(format!("cannot make {}: {error}", target.display())))?;
    let free = free_bytes(&target)?;
    // What is built already need not be built again.
    if free < FREE_BYTES && !target.join("debug/longshore").exists() {
        return Err(Problem(format!(
            "{} has {} GiB free, a build with tests needs {}: set CARGO_TARGET_DIR to a place with more",
            target.display(),
            free >> 30,
            FREE_BYTES >> 30
        )));
    }
    Ok(())
}

fn free_bytes(path: &Path) -> Result<u64, Problem> {
    let stat = rustix::fs::statvfs(path).map_err(|error| Problem(format!("cannot ask for free space: {error}")))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

fn timed<T>(step: &str, work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    println!("== {step}");
    let begun = Instant::now();
    let result = work();
    println!("== {step}: {:.0} s", begun.elapsed().as_secs_f64());
    result
}
