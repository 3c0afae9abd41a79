//! `longshore remove`: asks the connector of a task what it would take away, asks the user, and lets it be done.

use bytes::Bytes;
use serde_json::json;

use super::args::{Global, RemoveArgs, split_words};
use super::catalogs::Task;
use super::output::{Failure, Output, ask};
use super::run::state_directory;
use super::visit::Visited;
use super::{catalogs, logs};
use crate::catalog::Catalog;
use crate::store::StateDirectory;
use crate::supervise::Problem;
use crate::supervise::removal::Removal;

pub(super) async fn remove(global: &Global, args: RemoveArgs, output: &Output) -> Result<(), Failure> {
    logs::start(global, None);
    let ([name], path) = split_words(args.words, ["TASK"])?;
    let catalog = catalogs::load(&path, args.values.values(), output)?;
    let task = Task::named(&catalog, &name, "; the config of one that is gone is needed to reach what it made")?;
    let state = StateDirectory::open(&state_directory(global, &catalog.directory), false)?;
    let of_state = |dry_run| Removal { state: &state, task: &name, dry_run };
    let carried_out = |dry_run| task.remove(&catalog, of_state(dry_run));
    if !args.yes {
        let actions = carried_out(true).await.map_err(|problem| catalogs::failure(problem, output))?;
        let stays = match task {
            Task::Capture(_) => "What it captured stays in its journal; run again, it captures everything anew",
            Task::Materialization(_) => {
                "What it stored stays and is yours; to store there again, start over with `run --fresh`"
            }
        };
        let lines = if actions.is_empty() { "  nothing\n".to_owned() } else { listed(&actions) };
        ask(&format!(
            "Outside of the state directory this will be done:\n{lines}The task forgets where it was. {stays}.\n"
        ))?;
    }
    let actions = carried_out(false).await.map_err(|problem| catalogs::failure(problem, output))?;
    output.line(format_args!("{}removed {name}", listed(&actions)));
    output.object("removed", json!({ "task": name, "actions": actions }));
    Ok(())
}

fn listed(actions: &[String]) -> String {
    actions.iter().map(|action| format!("  {action}\n")).collect()
}

impl Task<'_> {
    async fn remove(&self, catalog: &Catalog, removal: Removal<'_>) -> Result<Vec<String>, Problem> {
        let config = |config, schema: &[u8], name: &str| -> Result<Bytes, Problem> {
            Ok(catalog.typed(config, schema, &format!("the config of {name}"))?.json)
        };
        match self {
            Self::Capture(task) => {
                let asked = Visited::capture(catalog, task).ask(async |connector| {
                    let client = connector.capture();
                    let spec = client.spec().await?;
                    removal.capture(&client, config(&task.config, &spec.config_schema_json, &task.name)?).await
                });
                asked.await
            }
            Self::Materialization(task) => {
                let asked = Visited::materialization(catalog, task).ask(async |connector| {
                    let client = connector.materialize();
                    let spec = client.spec().await?;
                    removal.materialization(&client, config(&task.config, &spec.config_schema_json, &task.name)?).await
                });
                asked.await
            }
        }
    }
}
