//! All rows of a table as they are now, for a comparison with the source: one statement, so one snapshot. A value is read as a capture of this
//! table would read it ([`longshore_postgres::document`]), so that whatever a column was made for comes back as it came.

use std::collections::HashMap;
use std::pin::pin;

use futures_util::StreamExt as _;
use longshore_postgres::document::types::{Type, Types};
use longshore_postgres::document::value;
use longshore_postgres::tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};
use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::verify::{Tally, Verify};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource};
use crate::shape::Shape;
use crate::table::TableName;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off";
const TYPES: &str = "SELECT a.attname::text, a.atttypid, a.atttypmod FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                     JOIN pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";

/// Tells every row that is not marked as deleted, by its whole document where that is kept, else by its fields.
pub(crate) async fn verify(client: &Client, asked: &Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
    let binding = &asked.binding;
    let name = TableName::of(&binding.resource);
    let doing = format!("verifying table {name}");
    let shape = Shape::of(&binding.collection, &binding.selection, binding.delta_updates, binding.resource.deletes)?;
    client.run(&doing, BEGIN).await?;
    let types = types(client, &name, &doing).await?;
    let columns = match shape.document() {
        Some(place) => &shape.columns[place..=place],
        None => &shape.columns[..],
    };
    let of_column = |column: &crate::shape::Column| {
        types.get(&column.name).ok_or_else(|| {
            let message = format!("{doing}: expected column {:?}, got a table without it", column.name);
            Error::config("postgres.table.changed", message).suggest("run the task, which adds it again")
        })
    };
    let types = columns.iter().map(of_column).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = columns.iter().map(|column| format!("t.{}", quoted(&column.name))).collect();
    let there = shape.deletes.and_is_there();
    let select = format!("SELECT {} FROM {} t WHERE true{there}", names.join(", "), name.sql());
    let rows = client.simple_query_raw(&select).await.map_err(|error| failed(&doing, &error))?;
    let mut rows = pin!(rows);
    while let Some(message) = rows.next().await {
        let SimpleQueryMessage::Row(row) = message.map_err(|error| failed(&doing, &error))? else { continue };
        match shape.document() {
            Some(_) => match text(&row, 0, &doing)? {
                Some(document) => tally.document(document.as_bytes())?,
                None => return Err(altered(&doing, "the whole document", "a row without one")),
            },
            None => {
                let values = types.iter().enumerate().map(|(place, of)| json(of, text(&row, place, &doing)?, &doing));
                let values = values.collect::<Result<Vec<_>>>()?;
                let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
                tally.fields(&values)?;
            }
        }
        if tally.has_much() {
            tally.tell().await?;
        }
    }
    Ok(())
}

/// The types of its columns as they are, by name.
async fn types(client: &Client, name: &TableName, doing: &str) -> Result<HashMap<String, Type>> {
    let mut known = Types::default();
    let mut found = HashMap::new();
    let rows = client.query(TYPES, &[&name.schema, &name.table]).await.map_err(|error| failed(doing, &error))?;
    for row in rows {
        found.insert(row.get(0), known.of(client, row.get(1), row.get(2)).await?);
    }
    Ok(found)
}

fn text<'r>(row: &'r SimpleQueryRow, place: usize, doing: &str) -> Result<Option<&'r str>> {
    row.try_get(place).map_err(|error| failed(doing, &error))
}

fn json(of: &Type, text: Option<&str>, doing: &str) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let mut json = Vec::with_capacity(text.len() + 2);
    value::write(&of.form, text, &mut json).map_err(|fault| altered(doing, "a value of its type", &fault))?;
    String::from_utf8(json).map(Some).map_err(|error| altered(doing, "a text in UTF-8", &error.to_string()))
}

fn altered(doing: &str, expected: &str, got: &str) -> Error {
    let message = format!("{doing}: expected {expected}, got {got}");
    Error::data("postgres.row", message)
        .suggest("somebody else writes to the table; start the binding over with `run --fresh`")
}
