//! `cargo xtask killmatrix`: builds the programs with the steps at which tests kill them, and kills them there.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::Problem;
use crate::campaign::{Campaign, is_among};
use crate::test::{build, program};

pub(crate) const KILLMATRIX: Campaign =
    Campaign { name: "killmatrix", begins: ("--behind", "seed"), not_recorded: &["--seed", "--day", "--mutants"] };
pub(crate) const ZOMBIES: Campaign = Campaign { name: "zombies", ..KILLMATRIX };
/// What `--help` says of the words without building anything; the program takes them (`tests/src/bin/killmatrix.rs`), but for the last.
pub(crate) const WORDS: &str = "\
Words:
  --kills N    So many kills, or zombies, in all (300)
  --each N     So many at each step at least (5)
  --seed SEED  What the order of steps, the destinations and the documents follow from (1)
  --day DAY    One day of it alone
  --workers N  Days at once (as many as there are cores)
  --zombies    Freeze instead of kill: a process stands still at a step while another runtime takes over, and then goes on
  --mutants    Make each mistake of a list on purpose, and say which day finds it
  --record     With a seed that is not in tests/ledger.jsonl yet, and write into it";

pub(crate) fn killmatrix(words: &[OsString]) -> Result<ExitCode, Problem> {
    let campaign = if is_among(words, "--zombies") { ZOMBIES } else { KILLMATRIX };
    campaign.check(words)?;
    build()?;
    campaign.run(program("killmatrix"), words)
}
