//! `longshore backfill`: notes that bindings of a capture are to be captured in full again.

use serde_json::json;

use super::args::{BackfillArgs, Global, split_words};
use super::output::{Failure, Output};
use super::run::state_directory;
use super::{catalogs, logs};
use crate::catalog::{CaptureTask, Catalog, did_you_mean};
use crate::store::StateDirectory;
use crate::supervise::backfill;

pub(super) async fn backfill(global: &Global, args: BackfillArgs, output: &Output) -> Result<(), Failure> {
    logs::start(global, None);
    let ([name], path) = split_words(args.words, ["TASK"])?;
    let catalog = catalogs::load(&path, args.values.values(), output)?;
    let (task, binding) = match name.split_once('/') {
        None => (name.as_str(), None),
        Some((task, binding)) => (task, Some(binding)),
    };
    let capture = capture(&catalog, task)?;
    let state = StateDirectory::open(&state_directory(global, &catalog.directory), false)?;
    let noted = backfill::note(&state, &capture.name, binding).await;
    let noted = noted.map_err(|problem| catalogs::failure(problem, output))?;
    if noted.is_empty() {
        return Err(nothing(capture, binding));
    }
    for resource in &noted {
        output.line(format_args!("{}/{resource}: its rows are captured in full at the next run", capture.name));
        output.object("backfill", json!({ "task": capture.name, "binding": resource }));
    }
    Ok(())
}

fn capture<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a CaptureTask, Failure> {
    if let Some(capture) = catalog.captures.iter().find(|capture| capture.name == name) {
        return Ok(capture);
    }
    let names = || catalog.captures.iter().map(|capture| capture.name.as_str());
    let file = catalog.path.display();
    let Some(task) = catalog.materializations.iter().find(|task| task.name == name) else {
        let help = match did_you_mean(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its captures are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        return Err(
            Failure::configuration(format!("expected a capture of {file}, and `{name}` is not there")).help(help)
        );
    };
    let reads = |collection: &str| task.bindings.iter().any(|binding| binding.collection == collection);
    let writes = |capture: &&CaptureTask| capture.bindings.iter().any(|binding| reads(&binding.collection));
    let writers: Vec<String> = catalog
        .captures
        .iter()
        .filter(writes)
        .map(|capture| format!("`longshore backfill {}`", capture.name))
        .collect();
    let message =
        format!("expected a capture of {file}, and `{name}` is a materialization, which stores what is captured");
    Err(Failure::configuration(message).help(format!(
        "capture it in full again: {}; or store again what the journal has, into an empty resource: `longshore run --fresh {name}`",
        writers.join(", ")
    )))
}

/// The name of a binding is wrong, or there is nothing to do.
fn nothing(capture: &CaptureTask, binding: Option<&str>) -> Failure {
    let name = &capture.name;
    let Some(binding) = binding else {
        return Failure::configuration(format!("capture {name} has never run here: there is nothing to capture again"))
            .help("its first run captures everything");
    };
    let collections = || capture.bindings.iter().map(|binding| binding.collection.as_str());
    let help = match did_you_mean(binding, collections()) {
        Some(near) if near != binding => format!("did you mean `{name}/{near}`?"),
        _ => format!("name it by its collection: {}", collections().collect::<Vec<_>>().join(", ")),
    };
    Failure::configuration(format!("no binding of capture {name} that has run here is called `{binding}`")).help(help)
}
