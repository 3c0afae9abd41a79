//! Rows of a full refresh, until it is complete: beside the table that is refreshed there is one of the connector's own, made in the transaction in
//! which the refresh begins. Whoever reads the table sees it as it was, until rows that are not in the other one go, rows that are new come, and
//! rows that differ are written over, all in the transaction in which it is complete.
//!
//! The table itself stays, with its views, triggers and indexes. That it is refreshed is known by the other one being there.

use longshore_sdk::Result;
use rusqlite::Connection;

use crate::database::failed;
use crate::identifier::{OWN_PREFIX, folded, quoted};
use crate::shape::Shape;
use crate::table;

/// Name of the table for rows aside.
fn name_for(table: &str) -> String {
    format!("{OWN_PREFIX}aside_{}", folded(table))
}

/// Where rows of this table are stored aside, if they are.
pub(crate) fn find(connection: &Connection, table: &str) -> Result<Option<String>> {
    let aside = name_for(table);
    let select = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    let is_there = connection.query_row(select, [&aside], |row| row.get(0));
    let is_there: bool =
        is_there.map_err(|error| failed(&format!("looking for rows aside of table {table}"), error))?;
    Ok(is_there.then_some(aside))
}

/// Begins with no rows; what was stored aside before goes.
pub(crate) fn begin(connection: &Connection, table: &str, shape: &Shape) -> Result<String> {
    give_up(connection, table)?;
    let aside = name_for(table);
    table::create(connection, &aside, shape)?;
    Ok(aside)
}

/// They take the place of those in the table.
pub(crate) fn complete(connection: &Connection, table: &str, aside: &str, shape: &Shape) -> Result<()> {
    let (live, from) = (quoted(table), quoted(aside));
    let names: Vec<String> = shape.columns.iter().map(|column| quoted(&column.name)).collect();
    let (key, others): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(|place| shape.is_key(*place));
    let list = |places: &[usize], write: &dyn Fn(&str) -> String, between: &str| {
        places.iter().map(|place| write(&names[*place])).collect::<Vec<_>>().join(between)
    };
    let same = list(&key, &|name| format!("s.{name} IS {live}.{name}"), " AND ");
    let action = match others.is_empty() {
        true => "NOTHING".to_owned(),
        // 1 and 1.0 are equal, and are not the same.
        false => format!(
            "UPDATE SET {} WHERE {}",
            list(&others, &|name| format!("{name} = excluded.{name}"), ", "),
            list(
                &others,
                &|name| format!(
                    "{live}.{name} IS NOT excluded.{name} OR typeof({live}.{name}) IS NOT typeof(excluded.{name})"
                ),
                " OR "
            )
        ),
    };
    let all = names.join(", ");
    let key = list(&key, &str::to_owned, ", ");
    let replace = format!(
        "DELETE FROM {live} WHERE NOT EXISTS (SELECT 1 FROM {from} s WHERE {same}); \
         INSERT INTO {live} ({all}) SELECT {all} FROM {from} WHERE true ON CONFLICT ({key}) DO {action}; DROP TABLE {from}"
    );
    connection
        .execute_batch(&replace)
        .map_err(|error| failed(&format!("replacing the rows of table {table} by those of its full refresh"), error))
}

/// What was stored aside is not wanted any more.
pub(crate) fn give_up(connection: &Connection, table: &str) -> Result<()> {
    match find(connection, table)? {
        Some(aside) => table::drop_table(connection, &aside),
        None => Ok(()),
    }
}
