//! Rows that are there, as the documents they were stored from: for collections that are reduced onto them.
//!
//! A column gives back what its field stored only where the field's types tell which: a text may have been a string or an object, but not
//! both. Where they do not, whole documents have a column of their own, or rows are not given back at all ([`loads`]).

use longshore_sdk::materialize::{Field, JsonType, Load, Loads};
use longshore_sdk::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::value::RawValue;

use crate::convert::Converter;
use crate::database::failed;
use crate::session::execute_query;
use crate::shape::Shape;

/// Of a column.
pub(crate) const UNCLEAR: &str =
    "holds values of several types or of any, and does not tell a string from an object or a boolean from a number";

/// What this shape's rows give back, and why it is no more.
pub(crate) fn loads(shape: &Shape) -> (Loads, String) {
    if shape.document().is_some() {
        return (Loads::Document, String::new());
    }
    let unclear = |(place, field): &(usize, &Field)| !shape.is_key(*place) && !tells(&field.types);
    match shape.fields.iter().enumerate().find(unclear) {
        None => (Loads::Fields, String::new()),
        Some((_, field)) => {
            let reason = format!("column {:?} {UNCLEAR}", field.name);
            (Loads::Nothing, reason)
        }
    }
}

/// Whether it can be told what this value was stored from: of many it can, also where the field's types alone do not say so.
pub(crate) fn is_clear(value: ValueRef<'_>, types: &[JsonType]) -> bool {
    tells(types)
        || match value {
            ValueRef::Integer(integer) => !matches!(integer, 0 | 1),
            ValueRef::Text(text) => !matches!(text.first(), Some(b'{' | b'[')),
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => true,
        }
}

/// Whether SQLite's type of a value says which of these it was.
fn tells(types: &[JsonType]) -> bool {
    use JsonType::{Array, Boolean, Integer, Number, Object, String};
    let any = |of: &[JsonType]| of.iter().any(|one| types.contains(one));
    let text_or_json = any(&[String]) && any(&[Object, Array]);
    let boolean_or_number = any(&[Boolean]) && any(&[Integer, Number]);
    !(types.is_empty() || text_or_json || boolean_or_number)
}

/// Looks rows of a table up.
#[derive(Debug)]
pub(crate) struct Lookup {
    table: String,
    select: String,
    fields: Vec<Field>,
    /// Places of the key's columns.
    key: Vec<usize>,
    document: Option<usize>,
    root: Node,
}

/// What stands under a name, or the document itself.
#[derive(Debug, Default)]
struct Node {
    name: String,
    /// Columns of its value: several where each has the values of some types.
    places: Vec<usize>,
    inner: Vec<Node>,
}

impl Lookup {
    pub(crate) fn new(table: &str, select: String, shape: &Shape) -> Self {
        let mut root = Node::default();
        for (place, field) in shape.fields.iter().enumerate() {
            let node = field.path().into_iter().fold(&mut root, Node::child);
            node.places.push(place);
        }
        let (fields, key) = (shape.fields.clone(), shape.key.clone());
        Self { table: table.to_owned(), select, fields, key, document: shape.document(), root }
    }

    /// The keys of these that have a row, by their places, each with its document; `{}` where only that was asked.
    pub(crate) fn rows(
        &self,
        connection: &Connection,
        converter: &Converter,
        load: &Load,
    ) -> Result<Vec<(usize, Vec<u8>)>> {
        let doing = |error| failed(&format!("reading from table {}", self.table), error);
        let mut select = connection.prepare_cached(&self.select).map_err(doing)?;
        let (mut found, mut values) = (Vec::new(), Vec::new());
        for (i, key) in load.keys().enumerate() {
            converter.key(key, &mut values).map_err(|misfit| {
                Error::data(
                    "sqlite.value",
                    format!("table {:?}, {misfit} in the key {}", self.table, String::from_utf8_lossy(key)),
                )
            })?;
            let mut rows = execute_query(&mut select, &values).map_err(doing)?;
            if let Some(row) = rows.next().map_err(doing)? {
                let document = if load.keys_only() { b"{}".to_vec() } else { self.document(row, key)? };
                found.push((i, document));
            }
        }
        Ok(found)
    }

    fn document(&self, row: &Row<'_>, key: &[u8]) -> Result<Vec<u8>> {
        if let Some(place) = self.document {
            return match row.get_ref(place) {
                Ok(ValueRef::Text(text)) => Ok(text.to_vec()),
                _ => Err(self
                    .altered(key, "the row was stored before whole documents were kept, or changed by somebody else")),
            };
        }
        let parts: Vec<&RawValue> = serde_json::from_slice(key)
            .map_err(|error| Error::internal("sqlite.key", format!("reading a key again: {error}")))?;
        let mut values = Vec::with_capacity(self.fields.len());
        for (place, field) in self.fields.iter().enumerate() {
            let part = self.key.iter().position(|of| *of == place).and_then(|part| parts.get(part));
            values.push(match part {
                Some(part) => Some(part.get().to_owned()),
                None => {
                    let value = row.get_ref(place).map_err(|error| failed("reading a row", error))?;
                    json(value, &field.types).map_err(|()| {
                        self.altered(
                            key,
                            &format!("column {:?} has a value that was not stored from a document", field.name),
                        )
                    })?
                }
            });
        }
        let mut document = Vec::new();
        if !self.root.write(&values, &mut document) {
            document.extend_from_slice(b"{}");
        }
        Ok(document)
    }

    fn altered(&self, key: &[u8], what: &str) -> Error {
        let key = String::from_utf8_lossy(key);
        let message =
            format!("table {:?}, the row with key {key} cannot be given back to be reduced: {what}", self.table);
        Error::data("sqlite.row", message).suggest("start the binding over with `run --fresh`, or correct the row")
    }
}

impl Node {
    fn child(&mut self, name: String) -> &mut Self {
        let place = self.inner.iter().position(|inner| inner.name == name).unwrap_or_else(|| {
            self.inner.push(Self { name, ..Self::default() });
            self.inner.len() - 1
        });
        &mut self.inner[place]
    }

    /// `false`: nothing of it is there, and nothing was written.
    fn write(&self, values: &[Option<String>], into: &mut Vec<u8>) -> bool {
        if let Some(value) = self.places.iter().find_map(|place| values[*place].as_ref()) {
            into.extend_from_slice(value.as_bytes());
            return true;
        }
        let before = into.len();
        for inner in &self.inner {
            let begun = into.len();
            into.push(if begun == before { b'{' } else { b',' });
            into.extend_from_slice(serde_json::Value::from(inner.name.as_str()).to_string().as_bytes());
            into.push(b':');
            if !inner.write(values, into) {
                into.truncate(begun);
            }
        }
        let written = into.len() > before;
        if written {
            into.push(b'}');
        }
        written
    }
}

/// The value that was stored; none: null.
pub(crate) fn json(value: ValueRef<'_>, types: &[JsonType]) -> Result<Option<String>, ()> {
    let has = |of: JsonType| types.contains(&of);
    Ok(match value {
        ValueRef::Null => None,
        ValueRef::Integer(integer) if has(JsonType::Boolean) => Some((integer != 0).to_string()),
        ValueRef::Integer(integer) => Some(integer.to_string()),
        ValueRef::Real(real) => Some(serde_json::Number::from_f64(real).ok_or(())?.to_string()),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(drop)?;
            match has(JsonType::Object) || has(JsonType::Array) {
                true => Some(serde_json::from_str::<&RawValue>(text).map_err(drop)?.get().to_owned()),
                false => Some(serde_json::Value::from(text).to_string()),
            }
        }
        ValueRef::Blob(_) => return Err(()),
    })
}
