//! Whether what the user wrote will work, found out by looking and changing nothing.

use longshore_postgres::Client;
use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::Apply;
use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, Result};

use super::NAME;
use super::config::{Config, Resource};
use super::source::Source;
use crate::types::Types;

/// What the catalog is asked is there from this version on.
const VERSION_MIN: u32 = 140_000;

/// All that is wrong. A server that cannot be reached just now is nobody's mistake.
pub(super) async fn validate(config: Config, bindings: &[Proposed<Resource>]) -> Result<Vec<Finding>> {
    let endpoint = match config.endpoint() {
        Ok(endpoint) => endpoint,
        Err(error) => return Ok(vec![finding::error(error)]),
    };
    let client = match Client::connect(&endpoint).await {
        Ok(client) => client,
        Err(error) => return Ok(vec![finding::mistake(error)?]),
    };
    if let Err(error) = check_version(&client).await {
        return Ok(vec![finding::mistake(error)?]);
    }
    let mut types = Types::default();
    let mut findings = Vec::new();
    for (index, binding) in bindings.iter().enumerate() {
        match look(&client, &mut types, &binding.resource, &binding.collection.key).await {
            Ok(source) if source.is_indexed(&client).await? => {}
            Ok(source) => findings.push(finding::warning(no_index(&source).at_binding(index))),
            Err(error) => findings.push(finding::mistake(error.at_binding(index))?),
        }
    }
    Ok(findings)
}

/// The same for Apply, where the first fault is one too many.
pub(super) async fn check(apply: &Apply<Config, Resource>) -> Result<()> {
    let client = Client::connect(&apply.config.endpoint()?).await?;
    check_version(&client).await?;
    let mut types = Types::default();
    for (index, binding) in apply.bindings.iter().enumerate() {
        let looked = look(&client, &mut types, &binding.resource, &binding.collection.key).await;
        looked.map_err(|error| error.at_binding(index))?;
    }
    Ok(())
}

async fn look(client: &Client, types: &mut Types, resource: &Resource, key: &[String]) -> Result<Source> {
    let source = Source::find(client, types, resource).await?;
    source.check_for(key)?;
    Ok(source)
}

async fn check_version(client: &Client) -> Result<()> {
    match client.version().await? {
        VERSION_MIN.. => Ok(()),
        older => {
            let message = format!("{NAME} looks at the server: expected PostgreSQL 14 or newer, got number {older}");
            Err(Error::config("postgres.version", message).at_pointer("/url").suggest("upgrade it"))
        }
    }
}

fn no_index(source: &Source) -> Error {
    let column = source.cursor.as_ref().map(|cursor| cursor.column.as_str()).unwrap_or_default();
    let message = format!(
        "{NAME} looks at table {}.{}: expected an index that begins with its cursor {column:?}, got none: each look for new rows reads and \
         sorts the whole table",
        source.table.schema, source.table.name
    );
    Error::config("postgres.cursor.index", message).at_pointer("/cursor").suggest(format!(
        "CREATE INDEX ON {} ({}, {})",
        source.table.sql_name(),
        longshore_postgres::quoted(column),
        source.table.key.iter().map(|name| longshore_postgres::quoted(name)).collect::<Vec<_>>().join(", ")
    ))
}
