//! `longshore completions SHELL`: the script that makes a shell complete our words.

use clap::CommandFactory as _;

use super::args::Cli;
use super::first_args::CompletionsArgs;
use super::output::{Failure, Output};

pub(super) fn completions(args: &CompletionsArgs, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "longshore", &mut script);
    output.text(&String::from_utf8_lossy(&script));
    Ok(())
}
