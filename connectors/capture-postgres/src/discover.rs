//! What could be captured: tables and partitioned tables, their keys, and the types of their columns.

use longshore_postgres::Client;
use longshore_sdk::capture::{ChangeTracking, Discovered};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource, Settings};
use crate::table::{self, Table, pointer_to};
use crate::types::Types;

/// Exactly these resources, or all tables that have a key.
pub(crate) async fn discover(config: Config, resources: &[Resource]) -> Result<Vec<Discovered>> {
    let client = Client::connect(&Settings::new(&config, "")?.endpoint).await?;
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
    for resource in table::list(&client).await? {
        match described(&client, &mut types, &resource).await {
            Ok(described) => found.push(described),
            Err(error) => tracing::warn!(table = %resource.table, %error, "no suggestion for this table"),
        }
    }
    Ok(found)
}

async fn described(client: &Client, types: &mut Types, resource: &Resource) -> Result<Discovered> {
    let table = Table::find(client, types, resource).await?;
    table.check()?;
    let json = serde_json::to_value(resource).map_err(|error| {
        Error::internal("postgres.resource", format!("capture-postgres writes a resource: {error}"))
    })?;
    // What is known of a row before a change: with the full identity all of it, else its key.
    let tracking = if table.is_full() { ChangeTracking::Full } else { ChangeTracking::KeyOnly };
    Ok(Discovered::new(collection_name(&resource.schema, &resource.table), json, table.to_schema(table.leaves_out()))
        .key(table.key.iter().map(|name| pointer_to(name)))
        .change_tracking(tracking)
        .note(format!("about {} rows", table.about_rows)))
}

/// A name for the collection from that of the table; the schema before it, where it is not the usual one.
pub(crate) fn collection_name(schema: &str, table: &str) -> String {
    let fit = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '_' | '-') => letter,
        _ => '_',
    };
    let part = |name: &str| {
        let name: String = name.chars().map(fit).take(100).collect();
        match name.trim_matches(['_', '-']) {
            "" => "table".to_owned(),
            name => name.to_owned(),
        }
    };
    match schema {
        "public" => part(table),
        schema => format!("{}/{}", part(schema), part(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_named_after_its_table() {
        for (schema, table, name) in
            [("public", "Orders", "orders"), ("sales", "a b", "sales/a_b"), ("public", "ü", "table")]
        {
            assert_eq!(collection_name(schema, table), name);
        }
    }
}
