//! What a table is made of: its columns, how its rows are told apart, what is unique in it. Read from the database, never remembered.

use longshore_sdk::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::database::failed;
use crate::identifier::{OWN_PREFIX, folded, nearest, quoted};
use crate::index;

/// A table that can be captured.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) strict: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Rows,
    /// Columns of the primary key, in its order; empty: it has none.
    pub(crate) primary: Vec<usize>,
    /// Everything else that no two rows may share; the primary key too where an index keeps it.
    pub(crate) uniques: Vec<Unique>,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As it was declared; may be empty.
    pub(crate) declared: String,
    pub(crate) not_null: bool,
    /// SQL text of what stands in for a missing value.
    pub(crate) default: Option<String>,
}

/// How SQLite itself tells rows apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rows {
    /// By a row id, and under which name it can be asked for. `alias`: the INTEGER PRIMARY KEY, which is the row id.
    Id { name: String, alias: Option<usize> },
    /// WITHOUT ROWID: by the primary key, each column with its collation. None of them is ever NULL.
    Primary(Vec<(usize, String)>),
}

/// An index that no two rows may share an entry of.
#[derive(Debug, Clone)]
pub(crate) struct Unique {
    pub(crate) parts: Vec<UniquePart>,
    /// SQL text: only rows for which this holds count.
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct UniquePart {
    pub(crate) of: UniqueOf,
    pub(crate) collation: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UniqueOf {
    Column(usize),
    /// SQL text.
    Expression(String),
}

impl Table {
    /// The table of this very name; an error says what stands there instead.
    pub(crate) fn find(connection: &Connection, name: &str) -> Result<Table> {
        let doing = |error| failed(&format!("looking at table {name:?}"), error);
        let kind = "SELECT type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?));
        let found = connection.query_row(kind, [name], read).optional().map_err(doing)?;
        let Some((kind, without_rowid, strict)) = found else { return Err(missing(connection, name)) };
        if kind != "table" || is_own(name) {
            let what = if is_own(name) { "a table of SQLite or of a connector" } else { kind.as_str() };
            let message = format!("capture-sqlite looks at {name:?}: expected a table, got {what}");
            return Err(Error::config("sqlite.table.kind", message)
                .at_pointer("/table")
                .suggest("triggers tell of changes, and only tables have them: name the table behind it"));
        }
        Self::read(connection, name, without_rowid, strict).map_err(doing)?
    }

    fn read(connection: &Connection, name: &str, without_rowid: bool, strict: bool) -> rusqlite::Result<Result<Table>> {
        let (mut columns, primary) = columns(connection, name)?;
        let (uniques, primary_index) = uniques(connection, name, &columns)?;
        for &column in primary.iter().filter(|_| without_rowid) {
            columns[column].not_null = true;
        }
        let rows = if without_rowid {
            let collation = |column: &usize| {
                let parts = primary_index.iter().flat_map(|index| &index.parts);
                let part = parts.into_iter().find(|part| part.of == UniqueOf::Column(*column));
                (*column, part.map_or("BINARY".to_owned(), |part| part.collation.clone()))
            };
            Rows::Primary(primary.iter().map(collation).collect())
        } else {
            // Only what no index keeps is the row id itself: INTEGER PRIMARY KEY DESC is not.
            let alias = match primary[..] {
                [only] if primary_index.is_none() && columns[only].declared.eq_ignore_ascii_case("integer") => {
                    Some(only)
                }
                _ => None,
            };
            if let Some(alias) = alias {
                columns[alias].not_null = true;
            }
            let taken: Vec<String> = columns.iter().map(|column| folded(&column.name)).collect();
            let free = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken.iter().any(|taken| taken == name));
            match (alias, free) {
                (Some(alias), _) => Rows::Id { name: quoted(&columns[alias].name), alias: Some(alias) },
                (None, Some(free)) => Rows::Id { name: free.to_owned(), alias: None },
                (None, None) => return Ok(Err(hidden_rowid(name))),
            }
        };
        Ok(Ok(Table { name: name.to_owned(), strict, columns, rows, primary, uniques }))
    }

    /// The column of this very name.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// What a walk over all rows goes by, as SQL: each part, and with its collation.
    pub(crate) fn walk_key(&self) -> Vec<(String, String)> {
        match &self.rows {
            Rows::Id { name, .. } => vec![(name.clone(), name.clone())],
            Rows::Primary(primary) => primary
                .iter()
                .map(|(column, collation)| {
                    let name = quoted(&self.columns[*column].name);
                    let collated = format!("{name} COLLATE {}", quoted(collation));
                    (name, collated)
                })
                .collect(),
        }
    }
}

/// Names of all tables that can be captured.
pub(crate) fn names(connection: &Connection) -> Result<Vec<String>> {
    let list = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name";
    let read = || -> rusqlite::Result<Vec<String>> {
        connection.prepare(list)?.query_map([], |row| row.get::<_, String>(0))?.collect()
    };
    let all = read().map_err(|error| failed("listing tables", error))?;
    Ok(all.into_iter().filter(|name| !is_own(name)).collect())
}

fn is_own(name: &str) -> bool {
    let folded = folded(name);
    folded.starts_with("sqlite_") || folded.starts_with(OWN_PREFIX)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<(Vec<Column>, Vec<usize>)> {
    let list =
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid";
    let mut select = connection.prepare_cached(list)?;
    let read = |row: &Row<'_>| {
        let column = Column { name: row.get(0)?, declared: row.get(1)?, not_null: row.get(2)?, default: row.get(3)? };
        Ok((column, row.get::<_, i64>(4)?))
    };
    let all = select.query_map([table], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut primary: Vec<(i64, usize)> = all
        .iter()
        .enumerate()
        .filter(|(_, (_, place))| *place > 0)
        .map(|(column, (_, place))| (*place, column))
        .collect();
    primary.sort_unstable();
    Ok((all.into_iter().map(|(column, _)| column).collect(), primary.into_iter().map(|(_, column)| column).collect()))
}

/// All unique indexes, and again that of the primary key.
fn uniques(
    connection: &Connection,
    table: &str,
    columns: &[Column],
) -> rusqlite::Result<(Vec<Unique>, Option<Unique>)> {
    let list = "SELECT list.name, list.origin, schema.sql FROM pragma_index_list(?) AS list \
                LEFT JOIN sqlite_schema AS schema ON schema.type = 'index' AND schema.name = list.name \
                WHERE list.\"unique\" = 1 ORDER BY list.name";
    let mut select = connection.prepare_cached(list)?;
    let read =
        |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?));
    let indexes = select.query_map([table], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut uniques = Vec::new();
    let mut primary = None;
    for (name, origin, sql) in indexes {
        let (texts, filter) = sql.as_deref().and_then(index::parts).unwrap_or_default();
        let info = "SELECT cid, coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno";
        let mut select = connection.prepare_cached(info)?;
        let cells = select.query_map([&name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let mut parts = Vec::new();
        for (place, cell) in cells.enumerate() {
            let (cid, collation) = cell?;
            let of = match usize::try_from(cid).ok().filter(|column| *column < columns.len()) {
                Some(column) => UniqueOf::Column(column),
                None => UniqueOf::Expression(texts.get(place).cloned().unwrap_or_default()),
            };
            parts.push(UniquePart { of, collation });
        }
        let unique = Unique { parts, filter };
        if origin == "pk" {
            primary = Some(unique.clone());
        }
        uniques.push(unique);
    }
    Ok((uniques, primary))
}

fn missing(connection: &Connection, name: &str) -> Error {
    let message = format!("capture-sqlite looks for table {name:?}: expected a table of this very name, got none");
    let error = Error::config("sqlite.table.missing", message).at_pointer("/table");
    let names = names(connection).unwrap_or_default();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.suggest(format!("did you mean {near:?}?")),
        None => error.suggest("create it, or correct the name"),
    }
}

fn hidden_rowid(table: &str) -> Error {
    let message = format!(
        "capture-sqlite looks at table {table:?}: expected that the row id can be asked for, got columns named rowid, _rowid_ and oid"
    );
    Error::config("sqlite.table.rowid", message)
        .at_pointer("/table")
        .suggest("rename one of these columns, or give the table an INTEGER PRIMARY KEY")
}
