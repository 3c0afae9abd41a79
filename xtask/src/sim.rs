//! `cargo xtask sim`: builds the simulator as users get their programs, and runs it. With `--record`, it takes up where the ledger ends and
//! writes what it came to.

use std::ffi::OsString;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::ledger::Ledger;
use crate::{Problem, release_binaries, repository};

pub(crate) const NAME: &str = "sim";
/// Kinds of what the simulator tells with its counts, a line each.
const KINDS: [&str; 3] = ["fault", "disk", "way"];
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
    command.args(["--from", &from.to_string()]);
    let (mut last, mut happened) = (String::new(), Map::new());
    let counts = crate::test::watch(command, |line| {
        line.clone_into(&mut last);
        if let Some((kind, what, times)) = count(line) {
            let of_kind = happened.entry(kind).or_insert_with(|| json!({}));
            of_kind[what] = json!(times);
        }
    })?;
    let numbers: Vec<u64> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [seeds, steps, 0] if counts.failed == 0 => {
            ledger.add(
                NAME,
                json!({ "from": from, "to": from + seeds, "seeds": seeds, "steps": steps, "happened": happened }),
            )?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Alone, or with its value behind `=`.
fn is_among(words: &[OsString], flag: &str) -> bool {
    words.iter().filter_map(|word| word.to_str()).any(|word| word.split('=').next() == Some(flag))
}

/// A line of the simulator's table: kind, what happened, how often.
fn count(line: &str) -> Option<(&str, &str, u64)> {
    let (kind, rest) = line.trim().split_once(' ')?;
    let (what, times) = rest.trim().rsplit_once(' ')?;
    let times = times.parse().ok().filter(|_| KINDS.contains(&kind))?;
    Some((kind, what.trim_end(), times))
}

/// The same, of a line of the ledger.
pub(crate) fn happened(entry: &Value) -> impl Iterator<Item = (&'static str, &str, u64)> {
    let of_kind = |kind: &'static str| {
        let counts = entry["happened"][kind].as_object();
        counts.into_iter().flatten().filter_map(move |(what, times)| Some((kind, what.as_str(), times.as_u64()?)))
    };
    KINDS.into_iter().flat_map(of_kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table_are_counts_and_others_are_not() {
        assert_eq!(count("  fault    PowerCut                       123"), Some(("fault", "PowerCut", 123)));
        assert_eq!(count("  disk     sectors lost                     7"), Some(("disk", "sectors lost", 7)));
        for line in ["7 seeds, 8 steps, 0 violations", "1 transactions, 2 sessions, 60.0 s, 2 threads", "", "fault"] {
            assert_eq!(count(line), None, "{line}");
        }
    }

    #[test]
    fn a_flag_is_found_with_its_value_too() {
        let words: Vec<OsString> = ["--seed=7", "x"].map(OsString::from).into();
        assert!(is_among(&words, "--seed") && !is_among(&words, "--seeds"));
    }
}
