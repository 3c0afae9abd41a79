//! Rows that are there, as the documents they were stored from: for collections that are reduced onto them.
//!
//! A column gives back what its field stored only where its type keeps every value as it was written or as another spelling of the same
//! number. A moment forgets its zone, an address its mask: such columns do not, and then whole documents have a column of their own, or rows
//! are not given back at all ([`loads`]).

use longshore_postgres::{Client, Scalar, SqlType, failed, quoted};
use longshore_sdk::materialize::{Field, Load, Loads};
use longshore_sdk::{Error, Result};
use serde_json::value::RawValue;

use crate::config::Deletes;
use crate::convert::Converter;
use crate::shape::{Column, Shape};
use crate::table::TableName;

/// What this shape's rows give back, and why it is no more.
pub(crate) fn loads(shape: &Shape) -> (Loads, String) {
    if shape.document().is_some() {
        return (Loads::Document, String::new());
    }
    let unclear = |(place, column): &(usize, &Column)| !shape.is_key(*place) && !gives_back(column.sql_type);
    match shape.columns.iter().enumerate().find(unclear) {
        None => (Loads::Fields, String::new()),
        Some((_, Column { name, sql_type })) => {
            let reason = format!(
                "column {name:?} of type {sql_type} keeps what a value means and not how the document wrote it"
            );
            (Loads::Nothing, reason)
        }
    }
}

fn gives_back(of: SqlType) -> bool {
    !of.array
        && match of.scalar {
            Scalar::Boolean
            | Scalar::SmallInt
            | Scalar::Integer
            | Scalar::BigInt
            | Scalar::Numeric(_)
            | Scalar::Real
            | Scalar::Double
            | Scalar::Text
            | Scalar::Varchar(_)
            | Scalar::Bytea
            | Scalar::Uuid
            | Scalar::Json
            | Scalar::Jsonb
            | Scalar::Date => true,
            Scalar::Char(_)
            | Scalar::Time { .. }
            | Scalar::Timestamp { .. }
            | Scalar::Interval { .. }
            | Scalar::Bit { .. }
            | Scalar::Plain(_) => false,
        }
}

/// Looks rows of a table up.
#[derive(Debug)]
pub(crate) struct Lookup {
    table: String,
    /// By the texts of keys, an array for each part: place of the key, then the columns as texts in the order of the shape.
    select: String,
    /// The place of the key alone.
    select_existing: String,
    fields: Vec<Field>,
    types: Vec<SqlType>,
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
    /// `deletes`: how rows go from this table. One that is marked is not found.
    pub(crate) fn new(name: &TableName, shape: &Shape, types: &[SqlType], deletes: Deletes) -> Self {
        let mut root = Node::default();
        for (place, field) in shape.fields.iter().enumerate() {
            let node = field.path().into_iter().fold(&mut root, Node::child);
            node.places.push(place);
        }
        let text = |(column, of): (&Column, &SqlType)| match of.scalar == Scalar::Bytea && !of.array {
            true => format!("translate(encode(t.{}, 'base64'), E'\\n', '')", quoted(&column.name)),
            false => format!("t.{}::text", quoted(&column.name)),
        };
        let columns: Vec<String> = shape.columns.iter().zip(types).map(text).collect();
        let parts: Vec<String> = (1..=shape.key.len()).map(|part| format!("${part}::text[]")).collect();
        let names: Vec<String> = (1..=shape.key.len()).map(|part| format!("k{part}")).collect();
        let same = shape
            .key
            .iter()
            .zip(&names)
            .map(|(&place, part)| format!("t.{} = k.{part}::{}", quoted(&shape.columns[place].name), types[place]));
        let from = format!(
            "FROM unnest({}) WITH ORDINALITY AS k ({}, n) JOIN {} t ON {}{} ORDER BY k.n",
            parts.join(", "),
            names.join(", "),
            name.sql(),
            same.collect::<Vec<_>>().join(" AND "),
            deletes.and_is_there()
        );
        Self {
            table: name.to_string(),
            select: format!("SELECT k.n, {} {from}", columns.join(", ")),
            select_existing: format!("SELECT k.n {from}"),
            fields: shape.fields.clone(),
            types: types.to_vec(),
            key: shape.key.clone(),
            document: shape.document(),
            root,
        }
    }

    /// The keys of these that have a row, by their places, each with its document; `{}` where only that was asked.
    pub(crate) async fn rows(
        &self,
        client: &Client,
        converter: &Converter,
        load: &Load,
    ) -> Result<Vec<(usize, Vec<u8>)>> {
        let doing = format!("reading from table {}", self.table);
        let keys: Vec<&[u8]> = load.keys().collect();
        let mut parts: Vec<Vec<String>> = vec![Vec::with_capacity(keys.len()); self.key.len()];
        let mut doubts = converter.no_doubts();
        for key in &keys {
            let told = converter.key(key, &mut doubts).map_err(|misfit| {
                let message = format!("table {}, {misfit} in the key {}", self.table, String::from_utf8_lossy(key));
                Error::data("postgres.value", message)
            })?;
            parts.iter_mut().zip(told).for_each(|(part, text)| part.push(text.into_owned()));
        }
        let values: Vec<&(dyn longshore_postgres::tokio_postgres::types::ToSql + Sync)> =
            parts.iter().map(|part| part as _).collect();
        let select = if load.keys_only() { &self.select_existing } else { &self.select };
        let rows = client.query(select.as_str(), &values).await.map_err(|error| failed(&doing, &error))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let at = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or_default();
            let document = if load.keys_only() { b"{}".to_vec() } else { self.document(&row, keys[at])? };
            found.push((at, document));
        }
        Ok(found)
    }

    fn document(&self, row: &longshore_postgres::tokio_postgres::Row, key: &[u8]) -> Result<Vec<u8>> {
        if let Some(place) = self.document {
            return match row.get::<_, Option<&str>>(place + 1) {
                Some(text) => Ok(text.as_bytes().to_vec()),
                None => Err(self
                    .altered(key, "the row was stored before whole documents were kept, or changed by somebody else")),
            };
        }
        let parts: Vec<&RawValue> = serde_json::from_slice(key)
            .map_err(|error| Error::internal("postgres.key", format!("reading a key again: {error}")))?;
        let mut values = Vec::with_capacity(self.fields.len());
        for place in 0..self.fields.len() {
            let part = self.key.iter().position(|of| *of == place).and_then(|part| parts.get(part));
            values.push(match part {
                Some(part) => Some(part.get().to_owned()),
                None => row.get::<_, Option<&str>>(place + 1).map(|text| json(self.types[place].scalar, text)),
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
            format!("table {}, the row with key {key} cannot be given back to be reduced: {what}", self.table);
        Error::data("postgres.row", message).suggest("start the binding over with `run --fresh`, or correct the row")
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

/// The value that was stored.
fn json(of: Scalar, text: &str) -> String {
    let is_number = !text.ends_with(|last: char| last.is_alphabetic());
    match of {
        Scalar::Boolean | Scalar::SmallInt | Scalar::Integer | Scalar::BigInt | Scalar::Json | Scalar::Jsonb => {
            text.to_owned()
        }
        Scalar::Numeric(_) | Scalar::Real | Scalar::Double if is_number => text.to_owned(),
        // NaN, Infinity.
        Scalar::Numeric(_) | Scalar::Real | Scalar::Double => serde_json::Value::from(text).to_string(),
        Scalar::Text
        | Scalar::Varchar(_)
        | Scalar::Char(_)
        | Scalar::Bytea
        | Scalar::Uuid
        | Scalar::Date
        | Scalar::Time { .. }
        | Scalar::Timestamp { .. }
        | Scalar::Interval { .. }
        | Scalar::Bit { .. }
        | Scalar::Plain(_) => serde_json::Value::from(text).to_string(),
    }
}
