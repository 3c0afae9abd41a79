//! Which field each column is of, as the database remembers it, so that a field that is named otherwise takes its column along: by
//! `ALTER TABLE … RENAME COLUMN`, values and all. The memory is in the database and not in the runtime's list of what was applied before: a
//! renaming that was done is known to be done, also where the runtime never heard of it. Columns of fields that are not kept any more stay, and
//! no other field gets one.

use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::materialize::JsonType;
use longshore_sdk::{Error, Result};

use crate::shape::Shape;
use crate::table::{ExistingColumn, TableName};

/// Columns on their way to another name.
const MOVING: &str = "_longshore_moving_";

/// A column that was made for a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// JSON pointer of the field; empty: the whole document; without a slash: it is of no field.
    pointer: String,
    /// Those the field had when the column was last written to; empty: any.
    types: Vec<JsonType>,
}

impl Known {
    /// One that was made for something else than a field, which is written where others have a pointer.
    pub(crate) fn of_no_field(name: &str, what: &str) -> Self {
        Self { name: name.to_owned(), pointer: what.to_owned(), types: Vec::new() }
    }

    pub(crate) fn is_of_no_field(&self, what: &str) -> bool {
        self.pointer == what
    }

    /// A field of this pointer and of these types may go on with the column.
    fn is_of(&self, wanted: &Self) -> bool {
        let share = |one: &JsonType| wanted.types.iter().any(|other| one.is_kind_of(*other));
        self.pointer == wanted.pointer
            && (self.types.is_empty() || wanted.types.is_empty() || self.types.iter().any(share))
    }
}

/// What the columns of a table are remembered to be of.
pub(crate) async fn read(client: &Client, name: &TableName) -> Result<Vec<Known>> {
    let select = "SELECT column_name, pointer, types FROM _longshore.columns WHERE schema_name = $1 AND table_name = $2 ORDER BY 1";
    let rows = client.query(select, &[&name.schema, &name.table]).await;
    let known = |row: &longshore_postgres::tokio_postgres::Row| {
        let types = row.get::<_, &str>(2).split(' ').filter_map(JsonType::named).collect();
        Known { name: row.get(0), pointer: row.get(1), types }
    };
    Ok(rows.map_err(|error| failed("reading _longshore.columns", &error))?.iter().map(known).collect())
}

/// Remembers the columns of this shape, beside those of fields that are not kept any more.
pub(crate) async fn write(client: &Client, name: &TableName, shape: &Shape, before: &[Known]) -> Result<()> {
    let mut known = wanted(shape);
    for old in before {
        if !known.iter().any(|column| column.name == old.name) {
            known.push(old.clone());
        }
    }
    let types = |column: &Known| column.types.iter().map(|of| of.as_str()).collect::<Vec<_>>().join(" ");
    let names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
    let pointers: Vec<&str> = known.iter().map(|column| column.pointer.as_str()).collect();
    let types: Vec<String> = known.iter().map(types).collect();
    let delete = "DELETE FROM _longshore.columns WHERE schema_name = $1 AND table_name = $2";
    let insert = "INSERT INTO _longshore.columns (schema_name, table_name, column_name, pointer, types) \
                  SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[])";
    let doing = |error| failed("writing _longshore.columns", &error);
    client.execute(delete, &[&name.schema, &name.table]).await.map_err(doing)?;
    client.execute(insert, &[&name.schema, &name.table, &names, &pointers, &types]).await.map_err(doing)?;
    Ok(())
}

/// One of them is of nothing of ours any more.
pub(crate) async fn forget(client: &Client, name: &TableName, column: &str) -> Result<()> {
    let delete = "DELETE FROM _longshore.columns WHERE schema_name = $1 AND table_name = $2 AND column_name = $3";
    let forgotten = client.execute(delete, &[&name.schema, &name.table, &column]).await;
    forgotten.map(drop).map_err(|error| failed("writing _longshore.columns", &error))
}

/// Gives columns the names their fields have now. Returns what is known after that; `existing` and `actions` say it too.
///
/// What is remembered is that of the table `of`, which may be another one with the same columns.
pub(crate) async fn rename(
    client: &Client,
    (of, name): (&TableName, &TableName),
    shape: &Shape,
    existing: &mut [ExistingColumn],
    actions: &mut Vec<String>,
) -> Result<Vec<Known>> {
    let mut known = read(client, of).await?;
    known.retain(|column| existing.iter().any(|one| one.name == column.name));
    let moves = moves(shape, &known);
    may_move(name, shape, &known, &moves, existing)?;
    let step =
        |from: &str, to: &str| format!("ALTER TABLE {} RENAME COLUMN {} TO {}", name.sql(), quoted(from), quoted(to));
    // Names may go round in a circle: all leave before any arrives.
    let mut statements = Vec::new();
    for (number, (from, _)) in moves.iter().enumerate() {
        statements.push(step(&known[*from].name, &format!("{MOVING}{number}")));
    }
    for (number, (from, to)) in moves.iter().enumerate() {
        statements.push(step(&format!("{MOVING}{number}"), to));
        let from = &known[*from].name;
        actions.push(format!("rename column {from:?} of table {name} to {to:?}: {}", step(from, to)));
    }
    if !statements.is_empty() {
        client.run(&format!("renaming columns of table {name}"), &statements.join("; ")).await?;
    }
    let to = |name: &str| moves.iter().find(|(from, _)| known[*from].name == name).map(|(_, to)| to.clone());
    for one in &mut *existing {
        one.name = to(&one.name).unwrap_or_else(|| one.name.clone());
    }
    let renamed =
        known.iter().map(|one| Known { name: to(&one.name).unwrap_or_else(|| one.name.clone()), ..one.clone() });
    Ok(renamed.collect())
}

/// Refuses a name that the column of another field has, or that of nobody we know.
fn may_move(
    name: &TableName,
    shape: &Shape,
    known: &[Known],
    moves: &[(usize, String)],
    existing: &[ExistingColumn],
) -> Result<()> {
    let leaves = |column: &str| moves.iter().any(|(from, _)| known[*from].name == column);
    for column in wanted(shape) {
        let holder = known.iter().find(|one| one.name == column.name);
        if let Some(holder) = holder.filter(|holder| holder.pointer != column.pointer && !leaves(&holder.name)) {
            return Err(taken(name, &column, &holder.pointer));
        }
        let comes = moves.iter().any(|(_, to)| *to == column.name);
        if comes && !leaves(&column.name) && existing.iter().any(|one| one.name == column.name) {
            return Err(taken(name, &column, ""));
        }
    }
    Ok(())
}

/// Which known columns become which: those of fields that have another name now, by their place in `known`.
fn moves(shape: &Shape, known: &[Known]) -> Vec<(usize, String)> {
    let wanted = wanted(shape);
    let same = |one: &Known, other: &Known| one.pointer == other.pointer && one.name == other.name;
    let stays = |column: &Known| wanted.iter().any(|one| same(one, column));
    let mut free: Vec<usize> = (0..known.len()).filter(|&place| !stays(&known[place])).collect();
    let mut moves = Vec::new();
    for column in &wanted {
        if known.iter().any(|one| same(one, column)) {
            continue;
        }
        if let Some(at) = free.iter().position(|&place| known[place].is_of(column)) {
            moves.push((free.remove(at), column.name.clone()));
        }
    }
    moves
}

fn wanted(shape: &Shape) -> Vec<Known> {
    let fields = shape.fields.iter().map(|field| Known {
        name: field.name.clone(),
        pointer: field.pointer.clone(),
        types: field.types.clone(),
    });
    let document = shape.document().map(|place| Known {
        name: shape.columns[place].name.clone(),
        pointer: String::new(),
        types: vec![JsonType::Object],
    });
    fields.chain(document).collect()
}

fn taken(table: &TableName, column: &Known, holder: &str) -> Error {
    let of = |pointer: &str| if pointer.is_empty() { "another".to_owned() } else { pointer.to_owned() };
    let message = format!(
        "table {table}: expected no column {:?}, which field {} is to have, got the one of field {}",
        column.name,
        of(&column.pointer),
        of(holder)
    );
    Error::config("postgres.column.taken", message).at_pointer("/table").suggest(
        "name the field otherwise, with `rename` of the binding's `fields`, or drop that column if its values may go",
    )
}
