//! `longshore run`: starts the tasks of a catalog, shows how they do, stops in order, and says what was moved.

use std::path::PathBuf;

use indicatif::MultiProgress;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::{Global, RunArgs, split_words};
use super::output::{Failure, Output, ask};
use super::view::{self, grouped, size};
use super::{catalogs, logs};
use crate::control::{About, Control};
use crate::store::StateDirectory;
use crate::supervise::{Ended, Options, Problem, Run, Running};

pub(super) async fn run(global: &Global, args: RunArgs, output: &Output) -> Result<(), Failure> {
    let view = output.watched().then(MultiProgress::new);
    logs::start(global, view.clone());
    to_the_end(global, args, output, view).await.map(drop)
}

/// How a run ended in which no task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// By itself.
    Done,
    /// Somebody stopped it.
    Stopped,
}

/// The same where logs are set up already; `view` is where it draws.
pub(super) async fn to_the_end(
    global: &Global,
    args: RunArgs,
    output: &Output,
    view: Option<MultiProgress>,
) -> Result<Left, Failure> {
    let (ended, state) = ended(global, args, output, view).await?;
    summarise(&ended.tasks, &state, output);
    ended.left
}

/// The same, and only what goes wrong is told.
pub(super) async fn untold(
    global: &Global,
    args: RunArgs,
    output: &Output,
    view: Option<MultiProgress>,
) -> Result<Left, Failure> {
    ended(global, args, output, view).await?.0.left
}

/// A run that has ended.
struct All {
    tasks: Vec<Ended>,
    left: Result<Left, Failure>,
}

async fn ended(
    global: &Global,
    args: RunArgs,
    output: &Output,
    view: Option<MultiProgress>,
) -> Result<(All, PathBuf), Failure> {
    let signals = Signals::listen().map_err(|error| Failure::running(format!("cannot listen for signals: {error}")))?;
    let ([], path) = split_words(args.words.clone(), [])?;
    crate::connector::allow_open_files();
    let catalog = catalogs::load(&path, args.values.values(), output)?;
    confirm(&args)?;
    let state_path = state_directory(global, &catalog.directory);
    let state = StateDirectory::open(&state_path, args.break_lock)?;
    let owned = state.path().to_path_buf();
    let options = Options {
        until_caught_up: args.until.is_some(),
        only: args.only.clone(),
        fresh: args.fresh.clone(),
        take_over: args.take_over.clone(),
    };
    let stop = CancellationToken::new();
    // It ends itself too; what ends it from outside is another matter.
    let run =
        Run::new(catalog, state, &options, stop.child_token()).map_err(|problem| catalogs::failure(problem, output))?;
    let watched = run.tasks().to_vec();
    let about = About {
        catalog: std::path::absolute(&path).unwrap_or(path),
        state_directory: owned.clone(),
        until_caught_up: args.until.is_some(),
    };
    // A run without a status is still a run.
    let control = Control::open(about, watched.clone(), stop.clone()).inspect_err(|error| {
        tracing::warn!(target: "longshore", "`longshore status` and `longshore stop` will not find this run: {error}");
    });
    let told = |task: &Running, problem: &Problem| tell(task, problem, view.as_ref(), output);
    let ended = tokio::select! {
        ended = run.to_the_end(told) => ended,
        () = view::show(watched, view.clone(), output.quiet()) => unreachable!("the view never ends by itself"),
        () = answer(control.as_ref().ok()) => unreachable!("it answers as long as anybody may ask"),
        () = signals.stop(stop.clone()) => unreachable!("there is always one signal more to wait for"),
    };
    let ended = ended.map_err(|problem| catalogs::failure(problem, output))?;
    let codes = ended.iter().filter_map(|task| task.problem.as_ref()).map(catalogs::exit_code);
    let left = match codes.max_by_key(|&code| (code != 3, code == 1)) {
        None if stop.is_cancelled() => Ok(Left::Stopped),
        None => Ok(Left::Done),
        Some(code) => Err(Failure::with_exit(code).already_told()),
    };
    Ok((All { tasks: ended, left }, state_path))
}

/// Answers `status` and `stop`, where they can reach us.
async fn answer(control: Option<&Control>) {
    match control {
        Some(control) => control.serve().await,
        None => std::future::pending().await,
    }
}

/// Ctrl-C and SIGTERM, listened for from the beginning: one that comes before the first task runs counts too.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The first one ends the run in order, the second at once.
    async fn stop(mut self, stop: CancellationToken) {
        for times in 1.. {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            if times > 1 {
                // Nothing is lost: what is not committed is done again at the next run.
                std::process::exit(1);
            }
            tracing::info!(target: "longshore", "stopping: finishing the transactions under way (once more ends at once)");
            stop.cancel();
        }
    }
}

/// Where the state is: as asked for, else beside the catalog.
pub(super) fn state_directory(global: &Global, catalog_directory: &std::path::Path) -> PathBuf {
    global.state_dir.clone().unwrap_or_else(|| catalog_directory.join(".longshore"))
}

/// Starting over and taking over change what others may rely on: ask, unless told not to.
fn confirm(args: &RunArgs) -> Result<(), Failure> {
    if args.yes || (args.fresh.is_empty() && args.take_over.is_empty()) {
        return Ok(());
    }
    let mut question = String::new();
    for word in &args.fresh {
        question.push_str(&format!("--fresh {word}: what it wrote so far is dropped and made again.\n"));
    }
    for task in &args.take_over {
        question.push_str(&format!(
            "--take-over {task}: its destination belongs to this state directory from now on; rows stay.\n"
        ));
    }
    ask(&question)
}

fn tell(task: &Running, problem: &Problem, view: Option<&MultiProgress>, output: &Output) {
    let show = || catalogs::show(&task.task, problem, output);
    match view {
        Some(view) => view.suspend(show),
        None => show(),
    }
}

fn summarise(ended: &[Ended], state: &std::path::Path, output: &Output) {
    let tasks: Vec<_> = ended
        .iter()
        .map(|task| {
            let totals = task.task.progress.totals();
            let bindings: Vec<_> = totals
                .iter()
                .map(|t| json!({ "collection": t.collection, "rows": t.rows, "bytes": t.bytes, "dead_letters": t.dead_letters }))
                .collect();
            json!({
                "task": task.task.task,
                "kind": task.task.kind,
                "seconds": (task.lasted.as_secs_f64() * 1000.0).round() / 1000.0,
                "transactions": task.task.progress.transactions(),
                "failed": task.problem.is_some(),
                "letters_waiting": task.task.progress.letters_waiting(),
                "bindings": bindings,
            })
        })
        .collect();
    output.object("summary", json!({ "tasks": tasks }));
    let moved = ended.iter().any(|task| task.task.progress.totals().iter().any(|t| t.rows > 0 || t.dead_letters > 0));
    let width = ended.iter().map(|task| task.task.task.len()).max().unwrap_or(0);
    for task in ended {
        let totals = task.task.progress.totals();
        let (rows, bytes) = (totals.iter().map(|t| t.rows).sum(), totals.iter().map(|t| t.bytes).sum());
        let end = if task.problem.is_some() { "  FAILED, see above" } else { "" };
        output.line(format_args!(
            "{:width$}  {:15} {:>12} rows  {:>10}  {:>7.1} s{end}",
            task.task.task,
            task.task.kind,
            grouped(rows),
            size(bytes),
            task.lasted.as_secs_f64(),
        ));
    }
    for task in ended.iter().filter(|task| task.task.progress.letters_waiting() > 0) {
        let (name, progress) = (&task.task.task, &task.task.progress);
        let now: u64 = progress.totals().iter().map(|t| t.dead_letters).sum();
        output.line(format_args!(
            "{name}: {} dead letters wait, {} of them from this run: `longshore dlq list {name}`",
            grouped(progress.letters_waiting()),
            grouped(now)
        ));
    }
    if !moved && ended.iter().all(|task| task.problem.is_none()) {
        output.line("nothing new: everything was there already");
    }
    output.line(format_args!("state: {}", state.display()));
}
