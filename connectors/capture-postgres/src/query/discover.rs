//! What could be captured: tables that have a key. Views are described when they are asked for, as their key is the user's to name; and nothing
//! guesses a cursor, as one that does not grow with each change would lose rows in silence.

use longshore_postgres::Client;
use longshore_sdk::capture::Discovered;
use longshore_sdk::{Error, Result};

use super::NAME;
use super::config::{Config, Resource};
use super::cursor::Cursor;
use super::source::Source;
use crate::discover::collection_name;
use crate::table::{self, pointer_to};
use crate::types::Types;

/// Exactly these resources, or all tables that have a key.
pub(super) async fn discover(config: Config, resources: &[Resource]) -> Result<Vec<Discovered>> {
    let client = Client::connect(&config.endpoint()?).await?;
    let mut types = Types::default();
    let mut found = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let described = described(&client, &mut types, resource).await;
        found.push(described.map_err(|error: Error| error.at_binding(index))?);
    }
    if !resources.is_empty() {
        return Ok(found);
    }
    // One table that cannot be captured does not hide the others.
    for listed in table::list(&client).await? {
        let crate::config::Resource { schema, table, .. } = listed;
        let resource = Resource { schema, table, key: Vec::new(), cursor: None, look_back: None };
        match described(&client, &mut types, &resource).await {
            Ok(described) => found.push(described),
            Err(error) => tracing::warn!(table = %resource.table, %error, "no suggestion for this table"),
        }
    }
    Ok(found)
}

async fn described(client: &Client, types: &mut Types, resource: &Resource) -> Result<Discovered> {
    let Source { table, cursor } = Source::find(client, types, resource).await?;
    let json = serde_json::to_value(resource)
        .map_err(|error| Error::internal("postgres.resource", format!("{NAME} writes a resource: {error}")))?;
    let mut note = format!("about {} rows", table.about_rows);
    if cursor.is_none() {
        let fitting = table.columns.iter().filter(|column| Cursor::fits(column) && column.is_not_null);
        let fitting: Vec<&str> = fitting.map(|column| column.name.as_str()).collect();
        note += ", all read each time; with a `cursor` that grows with each change, only the changed ones";
        if !fitting.is_empty() {
            note += &format!(" (of a type that fits: {})", fitting.join(", "));
        }
    }
    Ok(Discovered::new(collection_name(&resource.schema, &resource.table), json, table.to_schema(false))
        .key(table.key.iter().map(|name| pointer_to(name)))
        .note(note))
}
