//! `longshore status`: asks a running `longshore run` how it is doing, and shows it.

use std::path::{Path, PathBuf};

use super::args::{Global, StatusArgs, split_words};
use super::logs;
use super::look::{no_state, place};
use super::output::{Failure, Output};
use super::view::{grouped, size};
use crate::connector::{Runs, Way};
use crate::control::{self, LastError, NotAsked, RuntimeReport, TaskReport};
use crate::store::is_state_directory;

pub(super) async fn status(global: &Global, args: StatusArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let state = state(global, args.words)?;
    let (runtime, tasks) = control::status(&state).await.map_err(|error| not_asked(&state, &error))?;
    output.object("runtime", serde_json::to_value(&runtime).unwrap_or_default());
    for task in &tasks {
        output.object("task", serde_json::to_value(task).unwrap_or_default());
    }
    if !output.json() {
        output.text(&text(&runtime, &tasks));
    }
    Ok(())
}

/// The state directory that is meant; something has run there.
pub(super) fn state(global: &Global, words: Vec<String>) -> Result<PathBuf, Failure> {
    let ([], catalog) = split_words(words, [])?;
    let state = place(global, &catalog);
    if is_state_directory(&state) { Ok(state) } else { Err(no_state(&state)) }
}

/// Nobody answers, and what to do about it.
pub(super) fn not_asked(state: &Path, error: &NotAsked) -> Failure {
    let message = format!("asking the runtime of {}: {error}", state.display());
    match error {
        NotAsked::NobodyRuns => Failure::unreachable(message)
            .help("start it with `longshore run`; what was moved before: `longshore state show`"),
        NotAsked::Silent { pid, .. } => Failure::unreachable(message)
            .help(format!("try again in a moment; `kill {pid}` ends it in order, and nothing is lost")),
        NotAsked::OtherVersion { pid, .. } => Failure::running(message).help(format!(
            "ask with the longshore that runs it (/proc/{pid}/exe), or end it in order with `kill {pid}`"
        )),
    }
}

fn text(runtime: &RuntimeReport, tasks: &[TaskReport]) -> String {
    let ends = match (runtime.stopping, runtime.until_caught_up) {
        (true, _) => ", stopping",
        (false, true) => ", until caught up",
        (false, false) => "",
    };
    let mut text = format!(
        "longshore {}, process {}, running for {}{ends}\ncatalog {}\nstate   {}\n",
        runtime.version,
        runtime.pid,
        span(runtime.seconds),
        runtime.catalog,
        runtime.state_directory
    );
    for task in tasks {
        text.push('\n');
        text.push_str(&task_text(task));
    }
    text
}

fn task_text(task: &TaskReport) -> String {
    let rows = task.bindings.iter().map(|binding| binding.rows).sum();
    let bytes = task.bindings.iter().map(|binding| binding.bytes).sum();
    let mut text = format!(
        "{}  {}  {}\n  {} rows ({}) in {} transactions, {} restarts\n",
        task.task,
        task.kind,
        task.phase,
        grouped(rows),
        size(bytes),
        grouped(task.transactions),
        grouped(task.restarts)
    );
    let mut line = |line: String| {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    };
    if task.behind > 0 {
        line(format!("{} documents behind", grouped(task.behind)));
    }
    if let Some(lag) = task.lag {
        line(format!("{} of the source's log, {} behind", size(lag.bytes), span(lag.ms.div_ceil(1_000))));
    }
    if task.letters_waiting > 0 {
        let now: u64 = task.bindings.iter().map(|binding| binding.dead_letters).sum();
        line(format!(
            "{} dead letters wait, {} of them from this run: `longshore dlq list {}`",
            grouped(task.letters_waiting),
            grouped(now),
            task.task
        ));
    }
    if !task.doing.is_empty() {
        line(format!("says: {}", task.doing));
    }
    match &task.connector {
        Some(runs) => connector_lines(runs).for_each(&mut line),
        None => line("connector: none just now".into()),
    }
    if let Some(error) = &task.last_error {
        error_lines(error).for_each(&mut line);
    }
    text
}

fn connector_lines(runs: &Runs) -> impl Iterator<Item = String> + '_ {
    let first = match &runs.way {
        Way::Address { .. } => format!("connector: {}", runs.way),
        Way::Process { .. } | Way::Container { .. } => format!("connector: {}, {}", runs.name, runs.way),
    };
    let part = |part: &crate::connector::Part| {
        let mark = if part.applied { "yes" } else { "no " };
        format!(
            "  {mark}  {}{}",
            part.name,
            if part.detail.is_empty() { String::new() } else { format!(": {}", part.detail) }
        )
    };
    std::iter::once(first).chain(runs.sandbox.iter().map(part))
}

/// A finding in the catalog has several lines; what a connector said has been escaped where it came in.
fn error_lines(error: &LastError) -> impl Iterator<Item = String> + '_ {
    let head = format!("last error, {} ago ({} error {}):", span(error.seconds_ago), error.kind, error.code);
    let help = (!error.help.is_empty()).then(|| format!("  help: {}", error.help));
    std::iter::once(head).chain(error.message.lines().map(|line| format!("  {line}"))).chain(help)
}

/// A time as people say it.
fn span(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Part;
    use crate::control::{Binding, Lag};

    #[test]
    fn times_are_said_in_their_two_largest_units() {
        assert_eq!([0, 59, 61, 3_600, 90_061].map(span), ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn a_task_is_shown_with_how_its_connector_runs_and_why_it_failed() {
        let sandbox = vec![Part::applied("network", "none"), Part::missing("user", "")];
        let way = Way::Container { image: "longshore/capture-x:dev".into(), image_id: "sha256:0123".into() };
        let task = TaskReport {
            task: "shop".into(),
            kind: "capture".into(),
            phase: "backing-off".into(),
            doing: String::new(),
            transactions: 2,
            bindings: vec![Binding { collection: "a/b".into(), rows: 1_500, bytes: 2_048, dead_letters: 2 }],
            behind: 0,
            lag: Some(Lag { bytes: 3_072, ms: 61_001 }),
            letters_waiting: 7,
            restarts: 3,
            last_error: Some(LastError {
                seconds_ago: 4,
                kind: "unavailable".into(),
                code: "connector.exited".into(),
                message: "it died\nagain".into(),
                help: "look".into(),
            }),
            connector: Some(Runs { name: "capture-x".into(), way, sandbox }),
        };
        let expected = "shop  capture  backing-off\n  1,500 rows (2.0 KiB) in 2 transactions, 3 restarts\n  \
            3.0 KiB of the source's log, 1 min 2 s behind\n  \
            7 dead letters wait, 2 of them from this run: `longshore dlq list shop`\n  \
            connector: capture-x, a container of longshore/capture-x:dev (sha256:0123)\n    yes  network: none\n    no   user\n  \
            last error, 4 s ago (unavailable error connector.exited):\n    it died\n    again\n    help: look\n";
        assert_eq!(task_text(&task), expected);
    }
}
