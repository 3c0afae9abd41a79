//! Makes a row into a document: by the columns that the row was written with, whether they came with the log or with a read of the table.

use longshore_sdk::limits::DOCUMENT_MAX_BYTES;
use longshore_sdk::{Error, Result};

use crate::lsn::Lsn;
use crate::pgoutput::Cell;
use crate::shape::Shape;
use crate::types::Type;
use crate::value;

/// Columns of rows, in the rows' order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Begins each document: schema and table.
    head: Vec<u8>,
    pub(crate) columns: Vec<Column>,
    /// Places of the key's columns, in the order of its index.
    pub(crate) key: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its name as JSON, and a colon.
    label: Vec<u8>,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
}

/// The values of a key as the server writes them: equal exactly if the server's own are the same bytes.
pub(crate) type Key = Vec<Vec<u8>>;

/// What a document says of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Update,
    Delete,
}

/// Where a row was found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'a> {
    /// In the table.
    Walk,
    /// In a transaction of the log: where it was committed, and when.
    Log { commit: Lsn, at: &'a str },
}

impl Layout {
    /// `columns`: name, type, may be NULL. `key`: names of the key's columns; each must be there.
    pub(crate) fn new<'n>(
        (schema, table): (&str, &str),
        columns: impl Iterator<Item = (&'n str, Type, bool)>,
        key: &[String],
    ) -> Result<Layout, String> {
        let mut head = b"{\"schema\":".to_vec();
        value::string(schema, &mut head);
        head.extend_from_slice(b",\"table\":");
        value::string(table, &mut head);
        let column = |(name, ty, nullable): (&str, Type, bool)| {
            let mut label = Vec::new();
            value::string(name, &mut label);
            label.push(b':');
            Column { name: name.to_owned(), label, ty, nullable }
        };
        let columns: Vec<Column> = columns.map(column).collect();
        let place = |name: &String| {
            columns.iter().position(|column| column.name == *name).ok_or_else(|| format!("no column {name:?}"))
        };
        let key = key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        Ok(Layout { head, columns, key })
    }

    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|place| self.columns[*place].name.as_str())
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The key of a row; an error where a part of it is not there.
    pub(crate) fn key_of(&self, row: &[Cell]) -> Result<Key> {
        let part = |place: &usize| match row.get(*place) {
            Some(Cell::Text(text)) => Ok(text.to_vec()),
            Some(Cell::Null | Cell::Unchanged) | None => {
                let name = &self.columns[*place].name;
                let message =
                    format!("capture-postgres reads a row: expected a value of the key's column {name:?}, got none");
                Err(Error::data("postgres.key.missing", message)
                    .suggest("give the table a primary key over columns that are NOT NULL"))
            }
        };
        self.key.iter().map(part).collect()
    }

    /// Appends the document of a row. `keys_only`: nothing else of the row is known.
    pub(crate) fn write(
        &self,
        (op, found): (Op, Found<'_>),
        row: &[Cell],
        keys_only: bool,
        shape: &mut Shape,
        arena: &mut Vec<u8>,
    ) -> Result<()> {
        arena.extend_from_slice(b"{\"_meta\":{\"op\":\"");
        arena.push(match op {
            Op::Create => b'c',
            Op::Update => b'u',
            Op::Delete => b'd',
        });
        arena.extend_from_slice(b"\",\"source\":");
        arena.extend_from_slice(&self.head);
        match found {
            Found::Walk => arena.extend_from_slice(b",\"snapshot\":true}}"),
            Found::Log { commit, at } => {
                arena.extend_from_slice(format!(",\"lsn\":\"{commit}\",\"committed_at\":\"{at}\"}}}}").as_bytes());
            }
        }
        for (place, (column, cell)) in self.columns.iter().zip(row).enumerate() {
            if keys_only && !self.key.contains(&place) {
                continue;
            }
            let kinds = match cell {
                Cell::Unchanged => continue,
                Cell::Null => {
                    arena.push(b',');
                    arena.extend_from_slice(&column.label);
                    arena.extend_from_slice(b"null");
                    crate::kinds::Kinds::NULL
                }
                Cell::Text(text) => {
                    arena.push(b',');
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
                    "capture-postgres reads a row with key {}: expected a document of at most {} MiB, got {} bytes",
                    self.shown_key(row),
                    DOCUMENT_MAX_BYTES >> 20,
                    arena.len()
                );
                Err(Error::data("postgres.document.too_large", message).suggest("take the large value out of the row"))
            }
        }
    }

    fn fault(&self, column: &Column, fault: &str) -> Error {
        let message = format!("capture-postgres reads column {:?}: {fault}", column.name);
        Error::data("postgres.value", message).suggest("report it with the column's type; or correct the value")
    }

    fn shown_key(&self, row: &[Cell]) -> String {
        let parts = self.key_of(row).unwrap_or_default();
        let shown: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
        shown.join(", ").chars().take(120).collect()
    }

    #[cfg(test)]
    pub(crate) fn for_tests<'n>(columns: impl Iterator<Item = (&'n str, Type, bool)>, key: &[&str]) -> Layout {
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        Layout::new(("public", "t"), columns, &key).expect("a key of these columns")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::value::Form;

    #[test]
    fn a_document_says_null_for_null_and_nothing_for_what_is_unchanged() {
        let plain = |form| Type { form, format: None };
        let columns =
            [("id", plain(Form::Integer), false), ("a\"b", plain(Form::Text), true), ("c", plain(Form::Text), true)];
        let layout = Layout::for_tests(columns.into_iter(), &["id"]);
        let mut shape = Shape::new(b"{}");
        shape.adopt(&layout);
        let row = [Cell::Text(Bytes::from_static(b"7")), Cell::Null, Cell::Unchanged];
        let mut write = |op, found, keys_only| -> Value {
            let mut arena = Vec::new();
            layout.write((op, found), &row, keys_only, &mut shape, &mut arena).unwrap();
            serde_json::from_slice(&arena).unwrap()
        };
        let log = Found::Log { commit: Lsn(16), at: "2024-01-01T00:00:00Z" };
        let source = json!({ "schema": "public", "table": "t", "lsn": "0/10", "committed_at": "2024-01-01T00:00:00Z" });
        assert_eq!(
            write(Op::Update, log, false),
            json!({ "_meta": { "op": "u", "source": source }, "id": 7, "a\"b": null })
        );
        assert_eq!(write(Op::Delete, log, true), json!({ "_meta": { "op": "d", "source": source }, "id": 7 }));
        let source = json!({ "schema": "public", "table": "t", "snapshot": true });
        assert_eq!(
            write(Op::Create, Found::Walk, false),
            json!({ "_meta": { "op": "c", "source": source }, "id": 7, "a\"b": null })
        );
    }
}
