//! What people see: the words of the command line, where output goes, and what an exit code means.
//!
//! One file a verb; each parses nothing itself, prints through [`output::Output`] and returns an [`output::Failure`] that carries its exit
//! code. Results go to standard output, logs and errors to standard error.

mod args;
mod backfill;
mod catalogs;
mod check;
mod completions;
mod connectors;
mod discover;
mod dlq;
mod dlq_args;
mod first_args;
#[cfg(test)]
mod help_tests;
mod init;
mod journal;
mod journal_readers;
mod letters;
mod lock;
mod logs;
mod look;
mod output;
mod preview;
mod quickstart;
mod quickstart_folder;
mod remove;
mod run;
mod schema;
mod secret;
mod secret_args;
mod shell;
mod specs;
mod state;
mod status;
mod stop;
mod table;
mod verify;
mod view;
mod visit;

use std::process::ExitCode;

use clap::Parser;

pub use args::Cli;
use args::{StateVerb, Verb};
use output::{Failure, Output};

/// Runs the command line of this process and says how it ended: 0 ok, 1 failed while running, 2 configuration, 3 something outside cannot
/// be reached.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nobody is left to tell when the terminal is gone.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    crate::secret::watch_panics();
    let output = Output::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&Failure::running(format!("cannot start the worker threads: {error}"))),
    };
    let result = runtime.block_on(dispatch(cli, &output));
    // Blocking file reads of a session that has ended must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}

async fn dispatch(cli: Cli, output: &Output) -> Result<(), Failure> {
    let global = cli.global;
    match cli.verb {
        Verb::Quickstart(args) => quickstart::quickstart(&global, args, output).await,
        Verb::Init(args) => init::init(&global, args, output).await,
        Verb::Schema(args) => schema::schema(&global, args, output).await,
        Verb::Completions(args) => completions::completions(&args, output),
        Verb::Run(args) => run::run(&global, args, output).await,
        Verb::Check(args) => check::check(&global, args, output).await,
        Verb::Discover(args) => discover::discover(&global, args, output).await,
        Verb::Preview(args) => preview::preview(&global, args, output).await,
        Verb::Lock(args) => lock::lock(&global, args, output).await,
        Verb::Status(args) => status::status(&global, args, output).await,
        Verb::Stop(args) => stop::stop(&global, args, output).await,
        Verb::Backfill(args) => backfill::backfill(&global, args, output).await,
        Verb::Verify(args) => verify::verify(&global, args, output).await,
        Verb::Remove(args) => remove::remove(&global, args, output).await,
        Verb::Secret { verb } => secret::secret(verb, output),
        Verb::Connector { verb } => connectors::connector(&global, verb, output).await,
        Verb::Dlq { verb } => dlq::dlq(&global, verb, output),
        Verb::Journal { verb } => journal::journal(&global, verb, output),
        Verb::State { verb: StateVerb::Show(args) } => state::show(&global, args, output).await,
    }
}
