//! Which field each column is of, as the database remembers it, so that a field that is named otherwise takes its column along: by
//! `ALTER TABLE … RENAME COLUMN`, values and all. The memory is in the database and not in the runtime's list of what was applied before: a
//! renaming that was done is known to be done, also where the runtime never heard of it. Columns of fields that are not kept any more stay, and
//! no other field gets one.

use longshore_sdk::materialize::JsonType;
use longshore_sdk::{Error, Result};
use rusqlite::{Connection, params};

use crate::database::failed;
use crate::identifier::{OWN_PREFIX, folded, quoted};
use crate::shape::Shape;
use crate::table::{ExistingColumn, run};

/// A column that was made for a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    name: String,
    /// JSON pointer of the field; empty: the whole document.
    pointer: String,
    /// Those the field had when the column was last written to; empty: any.
    types: Vec<JsonType>,
}

impl Known {
    /// A field of this pointer and of these types may go on with the column.
    fn is_of(&self, wanted: &Self) -> bool {
        let share = |one: &JsonType| wanted.types.iter().any(|other| one.is_kind_of(*other));
        self.pointer == wanted.pointer
            && (self.types.is_empty() || wanted.types.is_empty() || self.types.iter().any(share))
    }
}

/// What the columns of a table are remembered to be of.
pub(crate) fn read(connection: &Connection, table: &str) -> Result<Vec<Known>> {
    let doing = |error| failed("reading _longshore_columns", error);
    let select = "SELECT column_name, pointer, types FROM _longshore_columns WHERE table_name = ?";
    let mut select = connection.prepare_cached(select).map_err(doing)?;
    let known = |row: &rusqlite::Row<'_>| {
        let types: String = row.get(2)?;
        let types = types.split(' ').filter_map(JsonType::named).collect();
        Ok(Known { name: row.get(0)?, pointer: row.get(1)?, types })
    };
    select.query_map([table], known).and_then(Iterator::collect).map_err(doing)
}

/// Remembers the columns of this shape, beside those of fields that are not kept any more.
pub(crate) fn write(connection: &Connection, table: &str, shape: &Shape, before: Vec<Known>) -> Result<()> {
    let doing = |error| failed("writing _longshore_columns", error);
    let mut known = wanted(shape);
    for old in before {
        if !known.iter().any(|column| folded(&column.name) == folded(&old.name)) {
            known.push(old);
        }
    }
    connection.execute("DELETE FROM _longshore_columns WHERE table_name = ?", [table]).map_err(doing)?;
    let insert = "INSERT INTO _longshore_columns (table_name, column_name, pointer, types) VALUES (?, ?, ?, ?)";
    let mut insert = connection.prepare_cached(insert).map_err(doing)?;
    for Known { name, pointer, types } in known {
        let types = types.into_iter().map(JsonType::as_str).collect::<Vec<_>>().join(" ");
        insert.execute(params![table, name, pointer, types]).map_err(doing)?;
    }
    Ok(())
}

/// Gives columns the names their fields have now. Returns what is known after that; `existing` and `actions` say it too.
pub(crate) fn rename(
    connection: &Connection,
    table: &str,
    shape: &Shape,
    mut known: Vec<Known>,
    existing: &mut [ExistingColumn],
    actions: &mut Vec<String>,
) -> Result<Vec<Known>> {
    known.retain(|column| existing.iter().any(|one| folded(&one.name) == folded(&column.name)));
    let moves = moves(shape, &known);
    let leaves = |name: &str| moves.iter().any(|(from, _)| folded(&known[*from].name) == folded(name));
    for column in wanted(shape) {
        let holder = known.iter().find(|one| folded(&one.name) == folded(&column.name));
        if let Some(holder) = holder.filter(|holder| holder.pointer != column.pointer && !leaves(&holder.name)) {
            return Err(taken(table, &column, holder));
        }
        let comes = moves.iter().any(|(_, to)| *to == column.name);
        if comes && !leaves(&column.name) && existing.iter().any(|one| folded(&one.name) == folded(&column.name)) {
            return Err(taken(table, &column, &Known { pointer: String::new(), ..column.clone() }));
        }
    }
    // Names may go round in a circle: all leave before any arrives.
    let step = |from: &str, to: &str| {
        run(
            connection,
            table,
            &format!("ALTER TABLE {} RENAME COLUMN {} TO {}", quoted(table), quoted(from), quoted(to)),
        )
    };
    for (number, (from, _)) in moves.iter().enumerate() {
        step(&known[*from].name, &format!("{OWN_PREFIX}moving_{number}"))?;
    }
    let before: Vec<String> = known.iter().map(|column| column.name.clone()).collect();
    for (number, (from, to)) in moves.iter().enumerate() {
        step(&format!("{OWN_PREFIX}moving_{number}"), to)?;
        actions.push(format!("rename column {:?} of table {table:?} to {to:?}", before[*from]));
        known[*from].name.clone_from(to);
    }
    let places: Vec<Option<&String>> = existing
        .iter()
        .map(|one| moves.iter().find(|(from, _)| folded(&before[*from]) == folded(&one.name)).map(|(_, to)| to))
        .collect();
    for (one, to) in existing.iter_mut().zip(places) {
        if let Some(to) = to {
            one.name.clone_from(to);
        }
    }
    Ok(known)
}

/// Which known columns become which: those of fields that have another name now, by their place in `known`.
fn moves(shape: &Shape, known: &[Known]) -> Vec<(usize, String)> {
    let wanted = wanted(shape);
    let stays = |column: &Known| wanted.iter().any(|one| one.pointer == column.pointer && one.name == column.name);
    let mut free: Vec<usize> = (0..known.len()).filter(|&place| !stays(&known[place])).collect();
    let mut moves = Vec::new();
    for column in &wanted {
        if known.iter().any(|one| one.pointer == column.pointer && one.name == column.name) {
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

fn taken(table: &str, column: &Known, holder: &Known) -> Error {
    let of = |pointer: &str| if pointer.is_empty() { "another".to_owned() } else { pointer.to_owned() };
    let message = format!(
        "table {table:?}: expected no column {:?}, which field {} is to have, got the one of field {}",
        column.name,
        of(&column.pointer),
        of(&holder.pointer)
    );
    Error::config("sqlite.column.taken", message).at_pointer("/table").suggest(
        "name the field otherwise, with `rename` of the binding's `fields`, or drop that column if its values may go",
    )
}
