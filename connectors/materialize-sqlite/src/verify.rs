//! All rows of a table as they are now, for a comparison with the source. One statement reads them, so it sees one state of the database.

use longshore_sdk::verify::{Tally, Verify};
use longshore_sdk::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::config::{Config, Resource};
use crate::database::{self, failed};
use crate::identifier::quoted;
use crate::load;
use crate::shape::Shape;

/// Tells every row, by its whole document where that is kept, else by its fields.
pub(crate) fn verify(asked: &Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
    let Verify { config, binding, .. } = asked;
    let table = &binding.resource.table;
    let connection = database::open_to_read(&config.path)?.ok_or_else(|| {
        let message =
            format!("verifying table {table:?}: expected a database at {}, got nothing", config.path.display());
        Error::config("sqlite.path.missing", message).at_pointer("/path").suggest("run the task first")
    })?;
    let shape = Shape::of(&binding.collection, &binding.selection, binding.delta_updates)?;
    let doing = |error| failed(&format!("verifying table {table:?}"), error);
    let columns: Vec<String> = match shape.document() {
        Some(place) => vec![quoted(&shape.columns[place].name)],
        None => shape.columns.iter().map(|column| quoted(&column.name)).collect(),
    };
    let select = format!("SELECT {} FROM {}", columns.join(", "), quoted(table));
    each(&connection, &select, doing, |row| match shape.document() {
        Some(_) => match row.get_ref(0).map_err(doing)? {
            ValueRef::Text(document) => tally.document(document),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
                Err(altered(table, "the whole document", "a row without one"))
            }
        },
        None => {
            let mut values = Vec::with_capacity(shape.fields.len());
            for (place, field) in shape.fields.iter().enumerate() {
                let value = row.get_ref(place).map_err(doing)?;
                if !load::is_clear(value, &field.types) {
                    return Err(unclear(table, &field.name));
                }
                let json = load::json(value, &field.types);
                let misfit = || altered(table, &format!("a value of column {:?}", field.name), "one that is no JSON");
                values.push(json.map_err(|()| misfit())?);
            }
            let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
            tally.fields(&values)
        }
    })
}

fn each(
    connection: &Connection,
    select: &str,
    doing: impl Fn(rusqlite::Error) -> Error,
    mut tell: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut select = connection.prepare(select).map_err(&doing)?;
    let mut rows = select.query([]).map_err(&doing)?;
    while let Some(row) = rows.next().map_err(&doing)? {
        tell(row)?;
    }
    Ok(())
}

fn unclear(table: &str, column: &str) -> Error {
    let message = format!(
        "verifying table {table:?}: expected values that tell what was stored, got one of column {column:?}, which {}",
        load::UNCLEAR
    );
    Error::config("sqlite.column.unclear", message).suggest(
        "say its one type in the collection's schema, leave it out with `fields`, or keep whole documents: `fields: { document: doc }`",
    )
}

fn altered(table: &str, expected: &str, got: &str) -> Error {
    let message = format!("verifying table {table:?}: expected {expected} as it was stored, got {got}");
    Error::data("sqlite.row", message)
        .suggest("somebody else writes to the table; start the binding over with `run --fresh`")
}
