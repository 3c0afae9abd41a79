//! Tables as they are in the database, and the statements that make and grow them. All run within the caller's transaction.

use longshore_sdk::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _};

use crate::database::failed;
use crate::identifier::{OWN_PREFIX, folded, quoted};
use crate::shape::{Column, ColumnType, Shape};

/// Doubles hold every integer up to here.
const EXACT_INTEGER_MAX: i64 = 1 << 53;

/// A column as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExistingColumn {
    pub(crate) name: String,
    /// None: a type that no STRICT table of ours has.
    pub(crate) column_type: Option<ColumnType>,
}

/// The columns of a table; none: there is no such table (or view).
pub(crate) fn columns(connection: &Connection, table: &str) -> Result<Option<Vec<ExistingColumn>>> {
    let doing = |error| failed(&format!("looking at table {table}"), error);
    let mut select = connection.prepare("SELECT name, type FROM pragma_table_info(?)").map_err(doing)?;
    let read = |row: &rusqlite::Row<'_>| {
        let column_type: String = row.get(1)?;
        Ok(ExistingColumn { name: row.get(0)?, column_type: ColumnType::from_sql(&column_type) })
    };
    let columns =
        select.query_map([table], read).and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>).map_err(doing)?;
    Ok((!columns.is_empty()).then_some(columns))
}

/// A view has columns too, and an index takes the name.
pub(crate) fn refuse_taken(connection: &Connection, table: &str) -> Result<()> {
    let select = "SELECT type FROM sqlite_schema WHERE type IN ('view', 'index') AND name = ? COLLATE NOCASE";
    let taken: Option<String> = connection
        .query_row(select, [table], |row| row.get(0))
        .optional()
        .map_err(|error| failed(&format!("looking at table {table}"), error))?;
    let Some(kind) = taken else { return Ok(()) };
    let message = format!("table {table:?}: expected a table or none, got one of another kind ({kind})");
    Err(Error::config("sqlite.table.taken", message).at_pointer("/table").suggest("name another table"))
}

pub(crate) fn has_rows(connection: &Connection, table: &str) -> Result<bool> {
    let select = format!("SELECT EXISTS (SELECT 1 FROM {})", quoted(table));
    connection
        .query_row(&select, [], |row| row.get(0))
        .map_err(|error| failed(&format!("looking at table {table}"), error))
}

pub(crate) fn drop_table(connection: &Connection, table: &str) -> Result<()> {
    run(connection, table, &format!("DROP TABLE {}", quoted(table)))
}

pub(crate) fn create(connection: &Connection, table: &str, shape: &Shape) -> Result<()> {
    run(connection, table, &create_statement(table, shape, &shape.columns))
}

/// STRICT, so that no value changes its type; the default collation, which is binary; no row id where the key is one.
fn create_statement(table: &str, shape: &Shape, columns: &[Column]) -> String {
    let is_key = |column: &Column| {
        !shape.delta && shape.key.iter().any(|&place| folded(&shape.columns[place].name) == folded(&column.name))
    };
    let definition = |column: &Column| {
        let not_null = if is_key(column) { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", quoted(&column.name), column.column_type.as_sql())
    };
    let mut definitions: Vec<String> = columns.iter().map(definition).collect();
    if shape.delta {
        return format!("CREATE TABLE {} ({}) STRICT", quoted(table), definitions.join(", "));
    }
    let key: Vec<String> = shape.key.iter().map(|&place| quoted(&shape.columns[place].name)).collect();
    definitions.push(format!("PRIMARY KEY ({})", key.join(", ")));
    format!("CREATE TABLE {} ({}) STRICT, WITHOUT ROWID", quoted(table), definitions.join(", "))
}

/// Makes a table of ours hold what the shape asks: adds columns, and rebuilds it where a column becomes wider. Returns what was done.
pub(crate) fn grow(
    connection: &Connection,
    table: &str,
    shape: &Shape,
    existing: &[ExistingColumn],
) -> Result<Vec<String>> {
    let mut actions = Vec::new();
    let mut columns = Vec::with_capacity(shape.columns.len().max(existing.len()));
    for old in existing {
        let from = old.column_type.ok_or_else(|| foreign_type(table, &old.name))?;
        let wanted = shape.columns.iter().find(|column| folded(&column.name) == folded(&old.name));
        let to = match wanted {
            None => from,
            Some(column) => wider(connection, table, &old.name, from, column.column_type)?,
        };
        if to != from {
            actions.push(format!(
                "widen column {:?} of table {table:?} from {} to {}",
                old.name,
                from.as_sql(),
                to.as_sql()
            ));
        }
        columns.push(Column { name: old.name.clone(), column_type: to });
    }
    let rebuild = !actions.is_empty();
    let kept_count = columns.len();
    for column in &shape.columns {
        if !existing.iter().any(|old| folded(&old.name) == folded(&column.name)) {
            actions.push(format!("add column {:?} {} to table {table:?}", column.name, column.column_type.as_sql()));
            columns.push(column.clone());
        }
    }
    if rebuild {
        rebuild_table(connection, table, shape, &columns, kept_count)?;
    } else {
        for column in &columns[kept_count..] {
            let definition = format!("{} {}", quoted(&column.name), column.column_type.as_sql());
            run(connection, table, &format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(table)))?;
        }
    }
    Ok(actions)
}

/// The type that holds what is in the column already and what will come, each as it is.
fn wider(
    connection: &Connection,
    table: &str,
    column: &str,
    from: ColumnType,
    wanted: ColumnType,
) -> Result<ColumnType> {
    let joined = from.joined(wanted);
    if from != ColumnType::Integer || joined != ColumnType::Real {
        return Ok(joined);
    }
    // A large integer would become another number.
    let select = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE {} NOT BETWEEN -{EXACT_INTEGER_MAX} AND {EXACT_INTEGER_MAX})",
        quoted(table),
        quoted(column)
    );
    let large: bool = connection
        .query_row(&select, [], |row| row.get(0))
        .map_err(|error| failed(&format!("looking at table {table}"), error))?;
    Ok(if large { ColumnType::Any } else { joined })
}

/// Copies the rows into a table with the new types and puts that in its place, with the indexes and triggers that others made.
fn rebuild_table(
    connection: &Connection,
    table: &str,
    shape: &Shape,
    columns: &[Column],
    kept_count: usize,
) -> Result<()> {
    let doing = |error| failed(&format!("looking at table {table}"), error);
    let mut select = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL")
        .map_err(doing)?;
    let beside = select
        .query_map([table], |row| row.get::<_, String>(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(doing)?;
    let new = format!("{OWN_PREFIX}new_{table}");
    let kept: Vec<String> = columns[..kept_count].iter().map(|column| quoted(&column.name)).collect();
    let kept = kept.join(", ");
    run(connection, table, &create_statement(&new, shape, columns))?;
    run(connection, table, &format!("INSERT INTO {} ({kept}) SELECT {kept} FROM {}", quoted(&new), quoted(table)))?;
    drop_table(connection, table)?;
    // Views of others that read the table must not hinder its renaming.
    connection.pragma_update(None, "legacy_alter_table", true).map_err(doing)?;
    let renamed = run(connection, table, &format!("ALTER TABLE {} RENAME TO {}", quoted(&new), quoted(table)));
    connection.pragma_update(None, "legacy_alter_table", false).map_err(doing)?;
    renamed?;
    beside.iter().try_for_each(|statement| run(connection, table, statement))
}

pub(crate) fn run(connection: &Connection, table: &str, statement: &str) -> Result<()> {
    connection.execute_batch(statement).map_err(|error| failed(&format!("altering table {table}"), error))
}

pub(crate) fn foreign_type(table: &str, column: &str) -> Error {
    Error::config(
        "sqlite.table.altered",
        format!("table {table}: expected INTEGER, REAL, TEXT or ANY for column {column:?}, got another type"),
    )
    .suggest("undo the change of the table, or start over with `run --fresh`")
}

/// The statements that write a binding's rows.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) upsert: String,
    pub(crate) delete: String,
    /// A row by its key; all columns in the order of the shape.
    pub(crate) select: String,
}

impl Statements {
    pub(crate) fn new(table: &str, shape: &Shape) -> Self {
        let names: Vec<String> = shape.columns.iter().map(|column| quoted(&column.name)).collect();
        let insert = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quoted(table),
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        );
        if shape.delta {
            return Self { upsert: insert, delete: String::new(), select: String::new() };
        }
        let key: Vec<String> = shape.key.iter().map(|&place| names[place].clone()).collect();
        let others = names.iter().enumerate().filter(|(place, _)| !shape.is_key(*place));
        let assignments: Vec<String> = others.map(|(_, name)| format!("{name} = excluded.{name}")).collect();
        let action = match assignments.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {}", assignments.join(", ")),
        };
        let conditions: Vec<String> = key.iter().map(|name| format!("{name} = ?")).collect();
        let (table, of_key) = (quoted(table), conditions.join(" AND "));
        Self {
            upsert: format!("{insert} ON CONFLICT ({}) DO {action}", key.join(", ")),
            delete: format!("DELETE FROM {table} WHERE {of_key}"),
            select: format!("SELECT {} FROM {table} WHERE {of_key}", names.join(", ")),
        }
    }
}
