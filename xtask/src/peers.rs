//! `cargo xtask peers`: the programs of others that the tests read results with, or that stand for services of others, in a place of their own
//! below the target directory. Which ones, and in which versions, is said in `tests/peers/requirements.txt`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::{Problem, repository, run, target_dir};

/// What the tests are told by `LONGSHORE_PEERS`; without it they look here too.
pub(crate) fn dir() -> PathBuf {
    target_dir().join("peers")
}

pub(crate) fn peers() -> Result<ExitCode, Problem> {
    make()?;
    println!("{}", dir().display());
    Ok(ExitCode::SUCCESS)
}

/// Makes them where they are missing or are others than wanted; else it is done at once.
pub(crate) fn make() -> Result<(), Problem> {
    let list = repository().join("tests/peers/requirements.txt");
    let unreadable = |error| Problem(format!("cannot read {}: {error}", list.display()));
    let wanted = fs::read_to_string(&list).map_err(unreadable)?;
    let (dir, made) = (dir(), dir().join("made"));
    if fs::read_to_string(&made).is_ok_and(|of| of == wanted) && runs(&mut python(&["--version"])) {
        return Ok(());
    }
    if !runs(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        return Err(Problem("`python3` cannot make environments: apt-get install -y python3-venv".into()));
    }
    let failed = |doing: &str, error: std::io::Error| Problem(format!("cannot {doing} {}: {error}", dir.display()));
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|error| failed("remove", error))?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    run(python(&["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&list))?;
    // The last thing: without it, what is there is made again.
    fs::write(&made, wanted).map_err(|error| failed("write into", error))
}

fn python(words: &[&str]) -> Command {
    let mut command = Command::new(dir().join("bin/python"));
    command.args(words);
    command
}

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
