//! Tables as they are in the database, and the statements that make and grow them. All run within the caller's transaction.

use std::fmt;

use longshore_postgres::{Client, Scalar, SqlType, failed, qualified, quoted};
use longshore_sdk::{Error, Result};

use crate::config::Resource;
use crate::deleted;
use crate::shape::Shape;
use crate::widen::{Widened, holds, widened};

/// A table's name with its schema's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl TableName {
    pub(crate) fn of(resource: &Resource) -> Self {
        Self { schema: resource.schema.clone(), table: resource.table.clone() }
    }

    pub(crate) fn sql(&self) -> String {
        qualified(&self.schema, &self.table)
    }
}

/// For people.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{:?}", self.schema, self.table)
    }
}

/// A column as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExistingColumn {
    pub(crate) name: String,
    /// None: a type that no table of ours has.
    pub(crate) sql_type: Option<SqlType>,
    /// A row without a value for it is refused.
    needs_value: bool,
    pub(crate) is_not_null: bool,
    /// A row that says nothing of it has `false`.
    pub(crate) is_false_by_default: bool,
    /// It makes its values itself.
    is_generated: bool,
    /// Texts are equal where their bytes are.
    is_deterministic: bool,
    /// And in their bytes' order.
    pub(crate) is_bytewise: bool,
}

/// The columns of a table; none: there is no such table.
///
/// What has the name and is no table, is refused.
pub(crate) async fn columns(client: &Client, name: &TableName) -> Result<Option<Vec<ExistingColumn>>> {
    let doing = format!("looking at table {name}");
    let select = "SELECT c.oid, c.relkind::text, c.relispartition OR EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = c.oid) \
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
    let found = client.query_opt(select, &[&name.schema, &name.table]).await.map_err(|error| failed(&doing, &error))?;
    let Some(found) = found else { return Ok(None) };
    let kind: String = found.get(1);
    if kind != "r" || found.get(2) {
        let message = format!("table {name}: expected a table or none, got {}", kind_of(&kind));
        return Err(Error::config("postgres.table.taken", message).at_pointer("/table").suggest("name another table"));
    }
    let select = "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, atthasdef OR attidentity <> '', \
                  attgenerated <> '' OR attidentity = 'a', coalesce(collisdeterministic, true), \
                  coalesce(collname IN ('C', 'POSIX'), true), \
                  attgenerated = '' AND coalesce(pg_get_expr(adbin, adrelid) = 'false', false) \
                  FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation \
                  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
                  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let rows = client.query(select, &[&found.get::<_, u32>(0)]).await.map_err(|error| failed(&doing, &error))?;
    let column = |row: &longshore_postgres::tokio_postgres::Row| {
        let (of, is_not_null, has_default): (String, bool, bool) = (row.get(1), row.get(2), row.get(3));
        ExistingColumn {
            name: row.get(0),
            sql_type: SqlType::parse(&of),
            needs_value: is_not_null && !has_default,
            is_not_null,
            is_generated: row.get(4),
            is_deterministic: row.get(5),
            is_bytewise: row.get(6),
            is_false_by_default: row.get(7),
        }
    };
    Ok(Some(rows.iter().map(column).collect()))
}

fn kind_of(kind: &str) -> &'static str {
    match kind {
        "v" | "m" => "a view",
        "f" => "a foreign table",
        "p" => "a partitioned table",
        "r" => "a part of a partitioned table, or one with heirs",
        "S" => "a sequence",
        "i" | "I" => "an index",
        _ => "a type",
    }
}

pub(crate) async fn has_rows(client: &Client, name: &TableName) -> Result<bool> {
    let select = format!("SELECT EXISTS (SELECT 1 FROM {})", name.sql());
    let row = client.query_one(&select, &[]).await;
    Ok(row.map_err(|error| failed(&format!("looking at table {name}"), &error))?.get(0))
}

/// Makes the schema if it is not there; whether the user may, is asked only then.
pub(crate) async fn create_schema(client: &Client, schema: &str, actions: &mut Vec<String>) -> Result<()> {
    let doing = format!("making schema {schema:?}");
    let select = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
    let is_there: bool = client.query_one(select, &[&schema]).await.map_err(|error| failed(&doing, &error))?.get(0);
    if is_there {
        return Ok(());
    }
    let statement = format!("CREATE SCHEMA {}", quoted(schema));
    client.run(&doing, &statement).await?;
    actions.push(format!("create schema {schema:?}: {statement}"));
    Ok(())
}

pub(crate) async fn drop_table(client: &Client, name: &TableName, actions: &mut Vec<String>) -> Result<()> {
    let statement = format!("DROP TABLE {}", name.sql());
    client.run(&format!("dropping table {name}"), &statement).await?;
    actions.push(format!("drop table {name}: {statement}"));
    Ok(())
}

pub(crate) async fn create(client: &Client, name: &TableName, shape: &Shape, actions: &mut Vec<String>) -> Result<()> {
    let definition = |(place, column): (usize, &crate::shape::Column)| {
        let is_key = !shape.delta && shape.is_key(place);
        let of = type_text(column.sql_type, is_key);
        format!("{} {of}{}", quoted(&column.name), if is_key { " NOT NULL" } else { "" })
    };
    let mut definitions: Vec<String> = shape.columns.iter().enumerate().map(definition).collect();
    definitions.extend(deleted::definition(shape));
    let count = definitions.len();
    if !shape.delta {
        definitions.push(format!("PRIMARY KEY ({})", quoted_list(&shape.key_names())));
    }
    let statement = format!("CREATE TABLE {} ({})", name.sql(), definitions.join(", "));
    client.run(&format!("making table {name}"), &statement).await?;
    actions.push(format!("create table {name} with {count} columns: {statement}"));
    Ok(())
}

/// Texts of keys are compared by their bytes.
fn type_text(of: SqlType, is_key: bool) -> String {
    let is_collated = matches!(of.scalar, Scalar::Text | Scalar::Varchar(_) | Scalar::Char(_)) && is_key;
    format!("{of}{}", if is_collated { " COLLATE \"C\"" } else { "" })
}

pub(crate) fn quoted_list(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// Makes a table of ours hold what the shape asks: adds columns, and alters types where a column becomes wider, in one statement.
pub(crate) async fn grow(
    client: &Client,
    name: &TableName,
    shape: &Shape,
    existing: &[ExistingColumn],
    actions: &mut Vec<String>,
) -> Result<()> {
    let table = name.sql();
    let mut clauses = Vec::new();
    for (place, column) in shape.columns.iter().enumerate() {
        let quoted = quoted(&column.name);
        let Some(old) = existing.iter().find(|old| old.name == column.name) else {
            let clause = format!("ADD COLUMN {quoted} {}", column.sql_type);
            actions.push(format!(
                "add column {:?} {} to table {name}: ALTER TABLE {table} {clause}",
                column.name, column.sql_type
            ));
            clauses.push(clause);
            continue;
        };
        let is_key = !shape.delta && shape.is_key(place);
        let from = old.sql_type.ok_or_else(|| foreign_type(name, &old.name))?;
        let no_way = |()| no_type_for_both(name, &old.name, from, column.sql_type);
        if let Some(Widened { to, using }) = widened(from, column.sql_type, &quoted, is_key).map_err(no_way)? {
            let clause = format!("ALTER COLUMN {quoted} TYPE {} USING {using}", type_text(to, is_key));
            let what = format!("widen column {:?} of table {name} from {from} to {to}", old.name);
            actions.push(format!("{what}: ALTER TABLE {table} {clause}"));
            clauses.push(clause);
        }
        if old.is_not_null && !is_key {
            let clause = format!("ALTER COLUMN {quoted} DROP NOT NULL");
            actions.push(format!("admit NULL to column {:?} of table {name}: ALTER TABLE {table} {clause}", old.name));
            clauses.push(clause);
        }
    }
    if clauses.is_empty() {
        return Ok(());
    }
    client.run(&format!("altering table {name}"), &format!("ALTER TABLE {table} {}", clauses.join(", "))).await
}

/// Why an empty table of somebody else is not as this binding needs it; none: it is used as it is.
pub(crate) async fn misfit_of_foreign(
    client: &Client,
    name: &TableName,
    shape: &Shape,
    existing: &[ExistingColumn],
) -> Result<Option<String>> {
    for (place, column) in shape.columns.iter().enumerate() {
        let (wanted, is_key) = (column.sql_type, !shape.delta && shape.is_key(place));
        let fault = match existing.iter().find(|old| old.name == column.name) {
            None => Some("none of that name".to_owned()),
            Some(old) if old.is_generated => Some("one that makes its values itself".to_owned()),
            Some(old) if is_key && !old.is_deterministic => {
                Some("one whose collation takes different texts for equal".to_owned())
            }
            Some(old) if !is_key && old.is_not_null => Some("one that is NOT NULL".to_owned()),
            Some(old) => match old.sql_type {
                Some(of) if holds(of, wanted) && (!is_key || crate::shape::can_be_key(of)) => None,
                Some(of) => Some(of.to_string()),
                None => Some("one of a type that this connector does not write".to_owned()),
            },
        };
        if let Some(got) = fault {
            return Ok(Some(format!("a column {:?} that holds {wanted}, got {got}", column.name)));
        }
    }
    if let Some(fault) = deleted::misfit_of_foreign(shape, existing) {
        return Ok(Some(fault));
    }
    let is_ours = |name: &str| shape.columns.iter().any(|column| column.name == name);
    if let Some(other) = existing.iter().find(|old| old.needs_value && !is_ours(&old.name)) {
        return Ok(Some(format!("no NOT NULL column but those of the key, got {:?}", other.name)));
    }
    if !shape.delta && !has_key(client, name, shape).await? {
        let key = shape.key_names().join(", ");
        return Ok(Some(format!("a primary key or unique constraint on exactly the key ({key}), got none")));
    }
    Ok(None)
}

/// A unique index is on exactly the key's columns, as `ON CONFLICT` needs it.
pub(crate) async fn has_key(client: &Client, name: &TableName, shape: &Shape) -> Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM pg_index i WHERE indrelid = $1::text::regclass AND indisunique AND indisvalid AND indimmediate \
                  AND indpred IS NULL AND indexprs IS NULL AND $2::text[] = ARRAY(SELECT attname::text COLLATE \"C\" FROM pg_attribute \
                  WHERE attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1]) ORDER BY 1))";
    let mut key = shape.key_names();
    key.sort_unstable();
    let row = client.query_one(select, &[&name.sql(), &key]).await;
    Ok(row.map_err(|error| failed(&format!("looking at the keys of table {name}"), &error))?.get(0))
}

pub(crate) fn foreign_type(name: &TableName, column: &str) -> Error {
    let message = format!("table {name}: expected a built-in type for column {column:?}, got another");
    Error::config("postgres.table.altered", message)
        .suggest("undo the change of the table, or start over with `run --fresh`")
}

fn no_type_for_both(name: &TableName, column: &str, from: SqlType, wanted: SqlType) -> Error {
    let message = format!(
        "table {name}, column {column:?}: expected values of {from}, as the column has them, got {wanted} from the schema, and no type holds both"
    );
    Error::config("postgres.column.type", message).suggest(
        "start over with `run --fresh`, or keep the new values in a column of their own with `on_conflict: split`",
    )
}
