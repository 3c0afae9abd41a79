//! Loading a catalog for a verb, and showing what is wrong with one.

use std::io::IsTerminal as _;
use std::path::Path;

use super::output::{Failure, Output, exit_of};
use crate::catalog::{self, CaptureTask, Catalog, Diagnostics, MaterializationTask, Paint, Values};
use crate::supervise::Problem;

/// Loads a catalog; findings are shown.
pub(super) fn load(path: &Path, values: Values, output: &Output) -> Result<Catalog, Failure> {
    catalog::load(path, values).map_err(|diagnostics| failure(diagnostics.into(), output))
}

/// Loads a catalog that `discover` may complete; findings are shown.
pub(super) fn load_unfinished(path: &Path, values: Values, output: &Output) -> Result<Catalog, Failure> {
    catalog::load_unfinished(path, values).map_err(|diagnostics| failure(diagnostics.into(), output))
}

/// Loads a catalog whose images are about to be written down; findings are shown.
pub(super) fn load_unlocked(path: &Path, output: &Output) -> Result<Catalog, Failure> {
    catalog::load_unlocked(path, Values::of_this_process()).map_err(|diagnostics| failure(diagnostics.into(), output))
}

/// A task of the catalog.
#[derive(Clone, Copy)]
pub(super) enum Task<'a> {
    Capture(&'a CaptureTask),
    Materialization(&'a MaterializationTask),
}

impl<'a> Task<'a> {
    /// The one of that name. `besides` is said behind the names there are, if there is none.
    pub(super) fn named(catalog: &'a Catalog, name: &str, besides: &str) -> Result<Self, Failure> {
        let all = || {
            let captures = catalog.captures.iter().map(Self::Capture);
            captures.chain(catalog.materializations.iter().map(Self::Materialization))
        };
        all().find(|task| task.name() == name).ok_or_else(|| {
            let names: Vec<&str> = all().map(Self::name).collect();
            let help = match catalog::did_you_mean(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its tasks are: {}{besides}", names.join(", ")),
            };
            let file = catalog.path.display();
            Failure::configuration(format!("expected a task of {file}, and `{name}` is not there")).help(help)
        })
    }

    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Capture(task) => &task.name,
            Self::Materialization(task) => &task.name,
        }
    }
}

/// The capture of that name.
pub(super) fn capture<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a CaptureTask, Failure> {
    if let Some(task) = catalog.captures.iter().find(|task| task.name == name) {
        return Ok(task);
    }
    let names: Vec<&str> = catalog.captures.iter().map(|task| task.name.as_str()).collect();
    let help = match catalog::did_you_mean(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its captures are: {}", names.join(", ")),
    };
    let what = if catalog.materializations.iter().any(|task| task.name == name) {
        "is a materialization"
    } else {
        "is not there"
    };
    Err(Failure::configuration(format!("expected a capture of {}, and `{name}` {what}", catalog.path.display()))
        .help(help))
}

/// A remark for people that is no part of the result.
pub(super) fn note(text: std::fmt::Arguments<'_>, output: &Output) {
    if !output.json() && !output.quiet() {
        output.to_stderr(&format!("{text}\n"));
    }
}

/// Shows a problem and gives the failure that only carries its exit code.
pub(super) fn failure(problem: Problem, output: &Output) -> Failure {
    match problem {
        Problem::Catalog(diagnostics) => {
            show_findings(&diagnostics, output);
            Failure::with_exit(2).already_told()
        }
        Problem::Error(error) => error.into(),
    }
}

/// Shows why a task cannot go on.
pub(super) fn show(task: &str, problem: &Problem, output: &Output) {
    match problem {
        Problem::Catalog(diagnostics) => show_findings(diagnostics, output),
        Problem::Error(error) => {
            // What a session itself finds out names its task already.
            let message = error.message.strip_prefix(&format!("task {task}: ")).unwrap_or(&error.message);
            let mut text = format!("error[{}]: task {task}: {message}\n", error.code);
            if !error.suggestion.is_empty() {
                text.push_str(&format!("  help: {}\n", error.suggestion));
            }
            output.to_stderr(&text);
            output.object(
                "error",
                serde_json::json!({
                    "task": task, "kind": error.kind.as_str(), "code": error.code, "message": error.message, "help": error.suggestion,
                }),
            );
        }
    }
}

/// Shows findings on standard error, or as objects with `--json`.
pub(super) fn show_findings(diagnostics: &Diagnostics, output: &Output) {
    if output.json() {
        output.lines(&diagnostics.json_lines());
    }
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    output.to_stderr(&diagnostics.render(if plain { Paint::Plain } else { Paint::Colour }));
}

/// The exit code that a problem means.
pub(super) fn exit_code(problem: &Problem) -> u8 {
    match problem {
        Problem::Catalog(_) => 2,
        Problem::Error(_) if problem.died() => 1,
        Problem::Error(error) => exit_of(error),
    }
}
