//! Soft deletes: rows that go stay in their table, marked in a column. A marked row is none to everybody here but to who asks whether a table is
//! empty, or has rows behind a key: it is not found, a delete leaves it alone, and what is stored to its key makes of it what an insert would make.
//!
//! That the column is there is no proof that it marks rows: so `_longshore.columns` says it, in the place of a field's pointer. Rows that are
//! stored aside are not marked: there a row that goes is gone. How rows are written is [`crate::merge`]'s.

use longshore_postgres::{Client, Scalar, failed};
use longshore_sdk::{Error, Result};

use crate::columns::{self, Known};
use crate::config::Deletes;
use crate::shape::Shape;
use crate::table::{ExistingColumn, TableName};

/// The column that marks rows.
pub(crate) const COLUMN: &str = "_deleted";
/// What it is made of.
const DEFINITION: &str = "boolean NOT NULL DEFAULT false";
/// In the place of a pointer: it was added by this connector, and goes when rows are not marked any more.
const ADDED: &str = "deleted";
/// The same: somebody else made it, for nothing else, and it stays.
const FOUND: &str = "deleted, found";

impl Deletes {
    /// The statement after which rows of a table, called `t`, are gone that fulfil a condition; `using` another one, or none.
    pub(crate) fn remove(self, table: &str, using: Option<&str>, condition: &str) -> String {
        let using = |word: &str| using.map(|other| format!(" {word} {other}")).unwrap_or_default();
        match self {
            Self::Hard => format!("DELETE FROM {table} t{} WHERE {condition}", using("USING")),
            Self::Soft => format!(
                "UPDATE {table} t SET {COLUMN} = true{} WHERE {condition}{}",
                using("FROM"),
                self.and_is_there()
            ),
        }
    }

    /// Behind a condition: the row of `t` is not marked.
    pub(crate) fn and_is_there(self) -> String {
        match self {
            Self::Hard => String::new(),
            Self::Soft => format!(" AND NOT t.{COLUMN}"),
        }
    }
}

/// The column as it stands in the statement that makes a table; none: rows are not marked.
pub(crate) fn definition(shape: &Shape) -> Option<String> {
    (shape.deletes == Deletes::Soft).then(|| format!("{COLUMN} {DEFINITION}"))
}

/// What is remembered of the column of a table that was just made.
pub(crate) fn made(shape: &Shape) -> Vec<Known> {
    definition(shape).map(|_| Known::of_no_field(COLUMN, ADDED)).into_iter().collect()
}

/// Why an empty table of somebody else cannot be used as it is; none: it can.
pub(crate) fn misfit_of_foreign(shape: &Shape, existing: &[ExistingColumn]) -> Option<String> {
    definition(shape)?;
    let got = match existing.iter().find(|column| column.name == COLUMN) {
        Some(column) if marks(column) => return None,
        Some(_) => "another",
        None => "none of that name",
    };
    Some(format!("a column {COLUMN:?} that is {DEFINITION}, got {got}"))
}

/// Where rows are not marked any more: those that were, go, and with them the column that was made for it.
pub(crate) async fn give_up(
    client: &Client,
    name: &TableName,
    shape: &Shape,
    existing: &mut Vec<ExistingColumn>,
    actions: &mut Vec<String>,
) -> Result<()> {
    if shape.deletes == Deletes::Soft {
        return Ok(());
    }
    let known = columns::read(client, name).await?;
    let Some(marker) = known.iter().find(|known| is_marker(known)) else { return Ok(()) };
    if existing.iter().any(|column| column.name == COLUMN) {
        let doing = format!("removing the deleted rows of table {name}");
        let delete = format!("DELETE FROM {} WHERE {COLUMN}", name.sql());
        client.run(&doing, &delete).await?;
        actions.push(format!("remove the rows of table {name} that are marked as deleted: {delete}"));
        if marker.is_of_no_field(ADDED) {
            let alter = format!("ALTER TABLE {} DROP COLUMN {COLUMN}", name.sql());
            client.run(&doing, &alter).await?;
            actions.push(format!("drop column {COLUMN:?} of table {name}: {alter}"));
            existing.retain(|column| column.name != COLUMN);
        }
    }
    columns::forget(client, name, COLUMN).await
}

/// Where rows are marked, the column is there afterwards, and known. One that somebody else made is taken if it is as ours would be and marks
/// no row.
pub(crate) async fn ensure(
    client: &Client,
    name: &TableName,
    shape: &Shape,
    (known, existing): (&mut Vec<Known>, &[ExistingColumn]),
    actions: &mut Vec<String>,
) -> Result<()> {
    if shape.deletes == Deletes::Hard {
        return Ok(());
    }
    let is_known = known.iter().any(is_marker);
    let is_free = known.iter().all(|known| known.name != COLUMN);
    let of = match existing.iter().find(|column| column.name == COLUMN) {
        Some(column) if is_known && marks(column) => return Ok(()),
        Some(_) if is_known => return Err(altered(name)),
        Some(column) if is_free && marks(column) && !has_marked(client, name).await? => FOUND,
        Some(_) => return Err(taken(name)),
        None => {
            let alter = format!("ALTER TABLE {} ADD COLUMN {COLUMN} {DEFINITION}", name.sql());
            client.run(&format!("altering table {name}"), &alter).await?;
            actions.push(format!("add column {COLUMN:?} {DEFINITION} to table {name}: {alter}"));
            ADDED
        }
    };
    known.push(Known::of_no_field(COLUMN, of));
    Ok(())
}

fn is_marker(known: &Known) -> bool {
    known.is_of_no_field(ADDED) || known.is_of_no_field(FOUND)
}

fn marks(column: &ExistingColumn) -> bool {
    column.sql_type == Some(Scalar::Boolean.into()) && column.is_not_null && column.is_false_by_default
}

async fn has_marked(client: &Client, name: &TableName) -> Result<bool> {
    let select = format!("SELECT EXISTS (SELECT FROM {} WHERE {COLUMN})", name.sql());
    let row = client.query_one(&select, &[]).await;
    Ok(row.map_err(|error| failed(&format!("looking for deleted rows of table {name}"), &error))?.get(0))
}

fn altered(name: &TableName) -> Error {
    let message = format!(
        "table {name}: expected the column {COLUMN:?}, which marks deleted rows, to be {DEFINITION}, got it altered"
    );
    Error::config("postgres.table.altered", message)
        .at_pointer("/deletes")
        .suggest("undo the change of the table, or start over with `run --fresh`")
}

fn taken(name: &TableName) -> Error {
    let message = format!(
        "table {name}: expected no column {COLUMN:?}, which is to mark deleted rows, got one that is of something else, or marks rows already"
    );
    Error::config("postgres.column.taken", message)
        .at_pointer("/deletes")
        .suggest("rename or drop that column, or leave it with `deletes: hard`")
}
