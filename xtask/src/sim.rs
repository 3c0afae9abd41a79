//! `cargo xtask sim`: builds the simulator as users get their programs, and runs it. With `--record`, it takes up where the ledger ends and
//! writes what it came to.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::ledger::{self, Ledger};
use crate::{Problem, release_binaries, repository};

pub(crate) const NAME: &str = "sim";
const RECORD: &str = "--record";
/// What it cannot be asked for at the same time: the ledger holds whole campaigns, one behind the other.
const NOT_RECORDED: [&str; 3] = ["--seed", "--mutants", "--from"];
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

pub(crate) fn sim(mut words: Vec<OsString>) -> Result<ExitCode, Problem> {
    let records = words.iter().any(|word| word == RECORD);
    if let Some(word) = NOT_RECORDED.iter().find(|word| records && is_among(&words, word)) {
        return Err(Problem(format!(
            "expected {RECORD} with a campaign that goes on where tests/ledger.jsonl ends, got {word} with it: leave out one of them"
        )));
    }
    let program = release_binaries()?.join("sim");
    let kept = repository().join("tests/sim-seeds.txt");
    words.retain(|word| word != RECORD);
    let mut command = std::process::Command::new(program);
    command.args(&words);
    if !is_among(&words, "--seed") && !is_among(&words, "--mutants") {
        command.arg("--kept").arg(kept);
    }
    if !records {
        let status = command.status().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let ledger = Ledger::open()?;
    let from = ledger.entries(NAME).filter_map(|entry| entry["to"].as_u64()).max().unwrap_or(0);
    command.args(["--from", &from.to_string(), "--ledger"]);
    match ledger::told(command)? {
        Some((found, _)) => ledger.add(NAME, found).map(|()| ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}

/// Alone, or with its value behind `=`.
fn is_among(words: &[OsString], flag: &str) -> bool {
    words.iter().filter_map(|word| word.to_str()).any(|word| word.split('=').next() == Some(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_with_its_value_too() {
        let words: Vec<OsString> = ["--seed=7", "x"].map(OsString::from).into();
        assert!(is_among(&words, "--seed") && !is_among(&words, "--seeds"));
    }
}
