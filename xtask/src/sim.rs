//! `cargo xtask sim`: builds the simulator as users get their programs, and runs it. With `--record`, it takes up where the ledger ends and
//! writes what it came to.

use std::ffi::OsString;
use std::process::ExitCode;

use serde_json::json;

use crate::ledger::Ledger;
use crate::{Problem, release_binaries, repository};

const NAME: &str = "sim";
const RECORD: &str = "--record";
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
    let program = release_binaries()?.join("sim");
    let kept = repository().join("tests/sim-seeds.txt");
    let records = words.iter().any(|word| word == RECORD);
    words.retain(|word| word != RECORD);
    let mut command = std::process::Command::new(program);
    command.args(&words);
    if !words.iter().any(|word| word == "--seed" || word == "--mutants") {
        command.arg("--kept").arg(kept);
    }
    if !records {
        let status = command.status().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let ledger = Ledger::open()?;
    let from = ledger.entries(NAME).filter_map(|entry| entry["to"].as_u64()).max().unwrap_or(0);
    command.args(["--from", &from.to_string()]);
    let mut last = String::new();
    let counts = crate::test::watch(command, |line| line.clone_into(&mut last))?;
    let numbers: Vec<u64> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [seeds, steps, 0] if counts.failed == 0 => {
            ledger.add(NAME, json!({ "from": from, "to": from + seeds, "seeds": seeds, "steps": steps }))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::FAILURE),
    }
}
