//! What `sim`, `netsim` and `killmatrix` share: a program of its own takes the words, and with `--record` it takes up where the ledger ends and writes
//! what it came to.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::Problem;
use crate::ledger::{self, Ledger};

const RECORD: &str = "--record";

/// One of them.
pub(crate) struct Campaign {
    /// In the ledger.
    pub(crate) name: &'static str,
    /// The word with which it is told where to begin, and the field of the ledger that says what was done: it begins behind the largest.
    pub(crate) begins: (&'static str, &'static str),
    /// What cannot be asked for together with a record: the ledger holds whole campaigns, one behind the other.
    pub(crate) not_recorded: &'static [&'static str],
}

impl Campaign {
    /// Before anything is built.
    pub(crate) fn check(&self, words: &[OsString]) -> Result<(), Problem> {
        let records = is_among(words, RECORD);
        match self.not_recorded.iter().find(|word| records && is_among(words, word)) {
            Some(word) => Err(Problem(format!(
                "expected {RECORD} with a campaign that goes on where tests/ledger.jsonl ends, got {word} with it: leave out one of them"
            ))),
            None => Ok(()),
        }
    }

    /// Runs the program with these words behind its own.
    pub(crate) fn run(&self, mut program: Command, words: &[OsString]) -> Result<ExitCode, Problem> {
        program.args(words.iter().filter(|word| *word != RECORD));
        if !is_among(words, RECORD) {
            let status = program.status().map_err(|error| Problem(format!("cannot start {program:?}: {error}")))?;
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let ledger = Ledger::open()?;
        let (word, field) = self.begins;
        let begin = ledger.entries(self.name).filter_map(|entry| entry[field].as_u64()).max().unwrap_or(0);
        program.args([word, &begin.to_string(), "--ledger"]);
        match ledger::told(program)? {
            Some((found, _)) => ledger.add(self.name, found).map(|()| ExitCode::SUCCESS),
            None => Ok(ExitCode::FAILURE),
        }
    }
}

/// Alone, or with its value behind `=`.
pub(crate) fn is_among(words: &[OsString], flag: &str) -> bool {
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

    #[test]
    fn a_record_and_a_seed_of_ones_own_do_not_go_together() {
        let campaign = Campaign { name: "x", begins: ("--from", "to"), not_recorded: &["--seed"] };
        let words = |all: &[&str]| all.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(campaign.check(&words(&["--record", "--seed=7"])).is_err());
        assert!(campaign.check(&words(&["--record"])).is_ok() && campaign.check(&words(&["--seed", "7"])).is_ok());
    }
}
