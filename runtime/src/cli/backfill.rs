//! `longshore backfill`: notes that bindings of a capture are to be captured in full again, or those of a materialization stored again.

use serde_json::json;

use super::args::{BackfillArgs, Global, split_words};
use super::catalogs::Task;
use super::output::{Failure, Output};
use super::run::state_directory;
use super::{catalogs, logs};
use crate::catalog::did_you_mean;
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
    let task = Task::named(&catalog, task, "")?;
    let state = StateDirectory::open(&state_directory(global, &catalog.directory), false)?;
    let noted = backfill::note(&state, task.name(), binding).await;
    let noted = noted.map_err(|problem| catalogs::failure(problem, output))?.map_err(|delta| task.stays(&delta))?;
    if noted.is_empty() {
        return Err(task.has_nothing(binding));
    }
    for resource in &noted {
        output.line(format_args!("{}/{resource}: {}", task.name(), task.will()));
        output.object("backfill", json!({ "task": task.name(), "binding": resource }));
    }
    Ok(())
}

impl<'a> Task<'a> {
    fn collections(self) -> Vec<&'a str> {
        match self {
            Self::Capture(task) => task.bindings.iter().map(|binding| binding.collection.as_str()).collect(),
            Self::Materialization(task) => task.bindings.iter().map(|binding| binding.collection.as_str()).collect(),
        }
    }

    fn will(self) -> &'static str {
        match self {
            Self::Capture(_) => "its rows are captured in full at the next run",
            Self::Materialization(_) => "what its journal holds is stored again at the next run",
        }
    }

    /// Documents that are stored again would be there twice.
    fn stays(self, delta: &str) -> Failure {
        let name = self.name();
        let message = format!(
            "every document of {name}/{delta} stays (`delta_updates`): stored again, each would be there twice"
        );
        Failure::configuration(message).help(format!(
            "start it over into an empty resource: `longshore run --fresh {name}/{delta}`; or name the bindings that are meant: `longshore backfill {name}/BINDING`"
        ))
    }

    /// The name of a binding is wrong, or there is nothing to do.
    fn has_nothing(self, binding: Option<&str>) -> Failure {
        let name = self.name();
        let (kind, again, everything) = match self {
            Self::Capture(_) => ("capture", "capture", "captures everything"),
            Self::Materialization(_) => ("materialization", "store", "stores everything"),
        };
        let Some(binding) = binding else {
            let message = format!("{kind} {name} has never run here: there is nothing to {again} again");
            return Failure::configuration(message).help(format!("its first run {everything}"));
        };
        let help = match did_you_mean(binding, self.collections()) {
            Some(near) if near != binding => format!("did you mean `{name}/{near}`?"),
            _ => format!("name it by its collection: {}", self.collections().join(", ")),
        };
        Failure::configuration(format!("no binding of {kind} {name} that has run here is called `{binding}`"))
            .help(help)
    }
}
