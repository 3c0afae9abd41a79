//! `longshore schema`: the JSON Schema of catalogs, with the settings of the connectors that are found.

use super::args::Global;
use super::first_args::SchemaArgs;
use super::output::{Failure, Output};
use super::specs::describe;
use super::{catalogs, logs};
use crate::catalog::{ConnectorSettings, editor_schema};
use crate::connector::SearchPath;

pub(super) async fn schema(global: &Global, args: SchemaArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let mut connectors = Vec::new();
    let known = if args.bare { Vec::new() } else { SearchPath::of_this_process().list() };
    for one in known {
        match describe(one.kind, &one.name).await {
            Ok(said) => connectors.push(ConnectorSettings {
                kind: said.kind,
                name: said.name,
                config: said.config,
                resource: said.resource,
            }),
            // One that is broken leaves the others' settings.
            Err(error) => catalogs::note(
                format_args!("{}-{} is left out: {}", one.kind.prefix(), one.name, error.message),
                output,
            ),
        }
    }
    output.text(&format!("{:#}\n", editor_schema(&connectors)));
    Ok(())
}
