//! `cargo xtask sim`: builds the simulator, which has a profile of its own, and runs it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::campaign::{Campaign, is_among};
use crate::{Problem, cargo, repository, run, target_dir};

pub(crate) const SIM: Campaign =
    Campaign { name: "sim", begins: ("--from", "to"), not_recorded: &["--seed", "--mutants", "--from"] };
/// What `--help` says of the words without building anything; the simulator takes them (`tests/src/bin/sim.rs`), but for the last.
pub(crate) const WORDS: &str = "\
Words:
  --seconds SECONDS  For so long (60)
  --seeds N          At most so many seeds
  --from SEED        The first seed (0)
  --threads N        Threads (as many as there are cores)
  --seed SEED        One seed alone: how it went, or how it fails, made as small as possible
  --mutants          Make each mistake of a list on purpose, and say which seed finds it
  --record           Go on where tests/ledger.jsonl ends, and write into it";

pub(crate) fn sim(words: &[OsString]) -> Result<ExitCode, Problem> {
    SIM.check(words)?;
    run(&mut cargo(&["build", "--profile", "sim", "--package", "longshore-tests", "--bin", "sim"]))?;
    let mut program = Command::new(target_dir().join("sim/sim"));
    if !is_among(words, "--seed") && !is_among(words, "--mutants") {
        program.arg("--kept").arg(repository().join("tests/sim-seeds.txt"));
    }
    SIM.run(program, words)
}
