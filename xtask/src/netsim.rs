//! `cargo xtask netsim`: builds the simulated network, as users get their programs or, where mistakes are to be made, as tests do; and runs it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::campaign::{Campaign, is_among};
use crate::test::{build, program};
use crate::{Problem, release_binaries};

pub(crate) const NETSIM: Campaign =
    Campaign { name: "netsim", begins: ("--from", "to"), not_recorded: &["--seed", "--mutants", "--from"] };
/// What `--help` says of the words without building anything; the program takes them (`tests/netsim/src/bin/netsim.rs`), but for the last.
pub(crate) const WORDS: &str = "\
Words:
  --sims N           So many (20000)
  --seconds SECONDS  But begin none after so long
  --from SEED        The first seed (0)
  --threads N        Threads (as many as there are cores)
  --seed SEED        One seed alone: how it went, or how it fails
  --mutants          Make each mistake that a network shows on purpose, and say which seed finds it
  --record           Go on where tests/ledger.jsonl ends, and write into it";

pub(crate) fn netsim(words: &[OsString]) -> Result<ExitCode, Problem> {
    NETSIM.check(words)?;
    let program = match is_among(words, "--mutants") {
        // Only there are mistakes in it.
        true => {
            build()?;
            program("netsim")
        }
        false => Command::new(release_binaries()?.join("netsim")),
    };
    NETSIM.run(program, words)
}
