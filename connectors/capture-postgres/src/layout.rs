//! Makes a row into a document: by the columns that the row was written with, whether they came with the log or with a read of the table.

use longshore_sdk::limits::DOCUMENT_MAX_BYTES;
use longshore_sdk::{Error, Result};

use crate::NAME;
use crate::lsn::Lsn;
use crate::rows::{Cell, Row};
use crate::shape::Shape;
use crate::types::Type;
use crate::value;

/// Columns of rows, in the rows' order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The connector, for its errors.
    who: &'static str,
    /// In each document behind the operation: where the table is, up to what a log or a walk says of it.
    source: Vec<u8>,
    pub(crate) columns: Vec<Column>,
    /// Places of the key's columns, in the order of its index.
    pub(crate) key: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// A comma, its name as JSON, and a colon.
    label: Vec<u8>,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
}

/// The values of a key as the server writes them: equal exactly if the server's own are the same bytes.
pub(crate) type Key = Vec<String>;

/// What a document says of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Update,
    Delete,
}

/// Where a row was found, as documents say it: ends what they say of their source.
#[derive(Debug, Clone)]
pub(crate) struct Found(String);

impl Found {
    /// In the table.
    pub(crate) fn in_table() -> Found {
        Found(",\"snapshot\":true}}".to_owned())
    }

    /// By a query, as a row that is new or has changed.
    pub(crate) fn by_query() -> Found {
        Found("}}".to_owned())
    }

    /// In a transaction of the log: where it was committed, and when.
    pub(crate) fn in_log(commit: Lsn, at: &str) -> Found {
        Found(format!(",\"lsn\":\"{commit}\",\"committed_at\":\"{at}\"}}}}"))
    }
}

impl Layout {
    /// `columns`: name, type, may be NULL. `key`: names of the key's columns; each must be there.
    pub(crate) fn new<'n>(
        (schema, table): (&str, &str),
        columns: impl Iterator<Item = (&'n str, Type, bool)>,
        key: &[String],
    ) -> Result<Layout, String> {
        let mut source = b"\",\"source\":{\"schema\":".to_vec();
        value::string(schema, &mut source);
        source.extend_from_slice(b",\"table\":");
        value::string(table, &mut source);
        let column = |(name, ty, nullable): (&str, Type, bool)| {
            let mut label = vec![b','];
            value::string(name, &mut label);
            label.push(b':');
            Column { name: name.to_owned(), label, ty, nullable }
        };
        let columns: Vec<Column> = columns.map(column).collect();
        let place = |name: &String| {
            columns.iter().position(|column| column.name == *name).ok_or_else(|| format!("no column {name:?}"))
        };
        let key = key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        Ok(Layout { who: NAME, source, columns, key })
    }

    /// Of another connector.
    pub(crate) fn by(mut self, who: &'static str) -> Layout {
        self.who = who;
        self
    }

    /// What is wrong with a value of one of its columns.
    pub(crate) fn fault(&self, column: &Column, fault: &str) -> Error {
        let message = format!("{} reads column {:?}: {fault}", self.who, column.name);
        Error::data("postgres.value", message).suggest("report it with the column's type; or correct the value")
    }

    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|place| self.columns[*place].name.as_str())
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether each part of a row's key is there.
    pub(crate) fn check_key(&self, row: Row<'_>) -> Result<()> {
        let is_missing = |place: &&usize| !matches!(row.get(**place), Some(Cell::Text(_)));
        let Some(place) = self.key.iter().find(is_missing) else { return Ok(()) };
        let name = &self.columns[*place].name;
        let message = format!("{} reads a row: expected a value of the key's column {name:?}, got none", self.who);
        Err(Error::data("postgres.key.missing", message)
            .suggest("give the table a primary key over columns that are NOT NULL"))
    }

    /// The key of a row that has one ([`Layout::check_key`]).
    pub(crate) fn key_of(&self, row: Row<'_>) -> Key {
        let part = |place: &usize| match row.get(*place) {
            Some(Cell::Text(text)) => text.to_owned(),
            Some(Cell::Null | Cell::Unchanged) | None => String::new(),
        };
        self.key.iter().map(part).collect()
    }

    /// Whether two rows have the same key.
    pub(crate) fn is_same_key(&self, one: Row<'_>, other: Row<'_>) -> bool {
        self.key.iter().all(|place| one.get(*place) == other.get(*place))
    }

    /// Appends the document of a row. `keys_only`: nothing else of the row is known.
    pub(crate) fn write(
        &self,
        (op, found): (Op, &Found),
        row: Row<'_>,
        keys_only: bool,
        shape: &mut Shape,
        arena: &mut Vec<u8>,
    ) -> Result<()> {
        arena.extend_from_slice(match op {
            Op::Create => b"{\"_meta\":{\"op\":\"c",
            Op::Update => b"{\"_meta\":{\"op\":\"u",
            Op::Delete => b"{\"_meta\":{\"op\":\"d",
        });
        arena.extend_from_slice(&self.source);
        arena.extend_from_slice(found.0.as_bytes());
        for (place, (column, cell)) in self.columns.iter().zip(row.cells()).enumerate() {
            if keys_only && !self.key.contains(&place) {
                continue;
            }
            let kinds = match cell {
                Cell::Unchanged => continue,
                Cell::Null => {
                    arena.extend_from_slice(&column.label);
                    arena.extend_from_slice(b"null");
                    crate::kinds::Kinds::NULL
                }
                Cell::Text(text) => {
                    arena.extend_from_slice(&column.label);
                    value::write(&column.ty.form, text, arena).map_err(|fault| self.fault(column, &fault))?
                }
            };
            shape.meet(place, kinds);
        }
        arena.push(b'}');
        match arena.len() > DOCUMENT_MAX_BYTES {
            false => Ok(()),
            true => {
                let message = format!(
                    "{} reads a row with key {}: expected a document of at most {} MiB, got {} bytes",
                    self.who,
                    self.shown_key(row),
                    DOCUMENT_MAX_BYTES >> 20,
                    arena.len()
                );
                Err(Error::data("postgres.document.too_large", message).suggest("take the large value out of the row"))
            }
        }
    }

    fn shown_key(&self, row: Row<'_>) -> String {
        self.key_of(row).join(", ").chars().take(120).collect()
    }

    #[cfg(test)]
    pub(crate) fn for_tests<'n>(columns: impl Iterator<Item = (&'n str, Type, bool)>, key: &[&str]) -> Layout {
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        Layout::new(("public", "t"), columns, &key).expect("a key of these columns")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rows::Tuple;
    use crate::value::Form;

    #[test]
    fn a_document_says_null_for_null_and_nothing_for_what_is_unchanged() {
        let plain = |form| Type { form, format: None };
        let columns =
            [("id", plain(Form::Integer), false), ("a\"b", plain(Form::Text), true), ("c", plain(Form::Text), true)];
        let layout = Layout::for_tests(columns.into_iter(), &["id"]);
        let mut shape = Shape::new(b"{}");
        shape.adopt(&layout);
        let row: Tuple = [Cell::Text("7"), Cell::Null, Cell::Unchanged].into_iter().collect();
        let mut write = |op, found: Found, keys_only| -> Value {
            let mut arena = Vec::new();
            layout.write((op, &found), row.row(), keys_only, &mut shape, &mut arena).unwrap();
            serde_json::from_slice(&arena).unwrap()
        };
        let log = || Found::in_log(Lsn(16), "2024-01-01T00:00:00Z");
        let source = json!({ "schema": "public", "table": "t", "lsn": "0/10", "committed_at": "2024-01-01T00:00:00Z" });
        assert_eq!(
            write(Op::Update, log(), false),
            json!({ "_meta": { "op": "u", "source": source }, "id": 7, "a\"b": null })
        );
        assert_eq!(write(Op::Delete, log(), true), json!({ "_meta": { "op": "d", "source": source }, "id": 7 }));
        let source = json!({ "schema": "public", "table": "t", "snapshot": true });
        assert_eq!(
            write(Op::Create, Found::in_table(), false),
            json!({ "_meta": { "op": "c", "source": source }, "id": 7, "a\"b": null })
        );
    }
}
