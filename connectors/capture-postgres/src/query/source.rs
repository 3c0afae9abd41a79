//! What is read: a table or a view as the catalog of the database has it, the columns that tell its rows apart, and its cursor.

use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::{Error, Result};

use super::NAME;
use super::config::{self, Resource};
use super::cursor::Cursor;
use crate::table::{Look, Table, pointer_to};
use crate::types::Types;

/// A table or a view that can be read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// With its key.
    pub(super) table: Table,
    pub(super) cursor: Option<Cursor>,
}

/// Columns of each index that tells rows apart, the primary key first.
const UNIQUE: &str = "SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts ORDER BY k.place) \
    FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid";
/// An index that begins with a column.
const INDEXED: &str = "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
    WHERE i.indrelid = $1 AND a.attname = $2 AND i.indisvalid AND i.indpred IS NULL)";

impl Source {
    /// Looks it up, and whether it can be read.
    pub(super) async fn find(client: &Client, types: &mut Types, resource: &Resource) -> Result<Source> {
        config::check(resource)?;
        let look = Look { who: NAME, schema: &resource.schema, name: &resource.table, with_generated: true };
        let mut table = Table::look(client, types, &look).await?;
        let is_view = table.kind == "v";
        if !is_view && !matches!(table.kind.as_str(), "r" | "p") {
            let suggestion = "capture a view of it: CREATE VIEW … AS SELECT * FROM it".to_owned();
            return Err(table.refused("postgres.table.kind", "a table or a view", table.kind_name(), suggestion));
        }
        table.check_readable()?;
        let key = if is_view { key_of_view(&table, resource)? } else { key_of_table(client, &table, resource).await? };
        for column in table.columns.iter_mut().filter(|column| key.contains(&column.name)) {
            // A view does not say so; each row is looked at.
            column.is_not_null = true;
        }
        table.key = key;
        let cursor = resource.cursor.as_ref().map(|name| cursor(&table, resource, name)).transpose()?;
        Ok(Source { table, cursor })
    }

    /// Whether it can be captured into a collection of this key.
    pub(super) fn check_for(&self, key: &[String]) -> Result<()> {
        let pointers: Vec<String> = self.table.key.iter().map(|name| pointer_to(name)).collect();
        if key.len() == pointers.len() && pointers.iter().all(|pointer| key.contains(pointer)) {
            return Ok(());
        }
        let Table { schema, name, .. } = &self.table;
        let message = format!(
            "{NAME} looks at table {schema}.{name}: expected the collection's key to be of the columns that tell its rows apart, got [{}]",
            key.join(", ")
        );
        Err(Error::config("postgres.key.other", message).at_pointer("/table").suggest(format!(
            "use the key [{}] for the collection, or name other columns, of a unique index, as `key` beside `table`",
            pointers.join(", ")
        )))
    }

    /// Columns of cursor and key with their types.
    pub(super) fn order(&self) -> Vec<String> {
        self.cursor.iter().map(Cursor::typed).chain(self.table.typed_key()).collect()
    }

    /// Columns that must not be NULL, and that the database lets be.
    pub(super) fn nullable(&self) -> Vec<String> {
        let cursor = self.cursor.iter().filter(|cursor| cursor.may_be_null).map(Cursor::sql);
        let key = self.table.key.iter().filter(|_| self.table.kind == "v").map(|name| quoted(name));
        cursor.chain(key).collect()
    }

    /// Rows behind a cursor's value are found without a look at all of them; of a view it is not known.
    pub(super) async fn is_indexed(&self, client: &Client) -> Result<bool> {
        let Some(cursor) = self.cursor.as_ref().filter(|_| self.table.kind != "v") else { return Ok(true) };
        let asked = client.query_one(INDEXED, &[&self.table.oid, &cursor.column]).await;
        asked.map(|row| row.get(0)).map_err(|error| failed(&self.table.looking(), &error))
    }
}

fn cursor(table: &Table, resource: &Resource, name: &str) -> Result<Cursor> {
    let column = table.column(name).ok_or_else(|| missing(table, name, "cursor"))?;
    Cursor::new(column, resource.look_back)
}

fn missing(table: &Table, name: &str, what: &str) -> Error {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let message = format!(
        "{NAME} looks at table {}.{}: expected a column {name:?}, which is its `{what}`, got none of this name",
        table.schema, table.name
    );
    Error::config(format!("postgres.{what}.missing"), message)
        .at_pointer(format!("/{what}"))
        .suggest(format!("if it was renamed, correct `{what}`; its columns are: {}", names.join(", ")))
}

/// What the user says.
fn key_of_view(table: &Table, resource: &Resource) -> Result<Vec<String>> {
    if resource.key.is_empty() {
        let suggestion = "name the columns that tell its rows apart as `key` beside `table`".to_owned();
        let expected = "a key, which a view has none of by itself";
        return Err(table.refused("postgres.key.missing", expected, "none", suggestion));
    }
    match resource.key.iter().find(|name| table.column(name).is_none()) {
        Some(name) => Err(missing(table, name, "key")),
        None => Ok(resource.key.clone()),
    }
}

/// What an index makes sure of: two rows of one key would be one document.
async fn key_of_table(client: &Client, table: &Table, resource: &Resource) -> Result<Vec<String>> {
    if let Some(name) = resource.key.iter().find(|name| table.column(name).is_none()) {
        return Err(missing(table, name, "key"));
    }
    let indexes = client.query(UNIQUE, &[&table.oid]).await.map_err(|error| failed(&table.looking(), &error))?;
    let is_whole = |name: &String| table.column(name).is_some_and(|column| column.is_not_null);
    let indexes =
        indexes.into_iter().map(|row| row.get::<_, Vec<String>>(0)).filter(|names| names.iter().all(is_whole));
    let mut fitting =
        indexes.filter(|names| resource.key.is_empty() || names.iter().all(|name| resource.key.contains(name)));
    match fitting.next() {
        Some(names) if resource.key.is_empty() => Ok(names),
        Some(_) if resource.key.iter().all(is_whole) => Ok(resource.key.clone()),
        Some(_) | None => {
            let expected = match resource.key.is_empty() {
                true => "a primary key, or a unique index over columns that are NOT NULL".to_owned(),
                false => format!("a unique index over columns of [{}], all NOT NULL", resource.key.join(", ")),
            };
            let suggestion =
                "give it one; or capture a view of it, with the columns that tell its rows apart as `key`".to_owned();
            Err(table.refused("postgres.key.missing", &expected, "none", suggestion))
        }
    }
}
