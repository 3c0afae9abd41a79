//! From a document to a line of `COPY … FROM STDIN` (text format), without changing a value: what a column cannot hold as it is, is an error of
//! that document.
//!
//! A document is read once, from its bytes: each value is found as a slice and turned into what the server reads for its column
//! ([`crate::value`]); nothing passes through a tree of values.

use std::borrow::Cow;
use std::fmt;

use longshore_postgres::{Scalar, SqlType};
use longshore_sdk::materialize::Projector;
use serde_json::value::RawValue;

use crate::binary::{self, Unusual};
use crate::shape::{Column, Shape};
use crate::value::{Expected, value};

const NULL: &[u8] = b"\\N";

/// Why a document is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Empty: it is about the whole document.
    pub(crate) column: String,
    pub(crate) expected: Expected,
    pub(crate) got: String,
}

impl Misfit {
    pub(crate) fn new(column: &str, expected: impl Into<Expected>, raw: &str) -> Self {
        let got = if raw.len() > 80 { format!("{}…", &raw[..raw.floor_char_boundary(80)]) } else { raw.to_owned() };
        Self { column: column.to_owned(), expected: expected.into(), got }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.column.is_empty() {
            write!(f, "column {:?}: ", self.column)?;
        }
        write!(f, "expected {}, got {}", self.expected, self.got)
    }
}

/// Turns the documents of one binding into lines.
#[derive(Debug)]
pub(crate) struct Converter {
    projector: Projector,
    /// With the types of the table.
    columns: Vec<Column>,
    is_key: Vec<bool>,
    /// Places of the key's columns, in the order of the key.
    key: Vec<usize>,
    has_document: bool,
    /// Of types that can be written in binary.
    is_plain: bool,
}

/// Texts of which only the server can say whether it keeps them, by column.
pub(crate) type Doubts = Vec<Vec<String>>;

impl Converter {
    /// The types are those of the table, which may be wider than the schema's.
    pub(crate) fn new(shape: &Shape, types: &[SqlType]) -> Self {
        let columns = shape.columns.iter().zip(types);
        let columns: Vec<_> =
            columns.map(|(column, &sql_type)| Column { name: column.name.clone(), sql_type }).collect();
        let is_key = (0..columns.len()).map(|place| !shape.delta && shape.is_key(place)).collect();
        let (projector, key) = (Projector::new(&shape.fields), shape.key.clone());
        let is_plain = columns.iter().all(|column| binary::knows(column.sql_type));
        Self { projector, columns, is_key, key, has_document: shape.document().is_some(), is_plain }
    }

    /// Lines may be written in binary.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(crate) fn column(&self, place: usize) -> &Column {
        &self.columns[place]
    }

    pub(crate) fn no_doubts(&self) -> Doubts {
        vec![Vec::new(); self.columns.len()]
    }

    /// Appends a document's line without its end. `found` is room that is used again. After an error, what was appended is to be cut off.
    pub(crate) fn row<'d>(
        &self,
        document: &'d [u8],
        found: &mut Vec<Option<&'d str>>,
        line: &mut Vec<u8>,
        doubts: &mut Doubts,
    ) -> Result<(), Misfit> {
        self.projector.project(document, found).map_err(|error| not_json(&error))?;
        for (place, raw) in found.iter().enumerate() {
            let told = match raw {
                Some(raw) => self.value(place, raw, &mut doubts[place])?,
                None => None,
            };
            if told.is_none() && self.is_key[place] {
                return Err(no_null(&self.columns[place].name));
            }
            field(line, place, told.as_deref());
        }
        if self.has_document {
            let text = std::str::from_utf8(document).map_err(|error| not_json(&error))?;
            field(line, found.len(), Some(text));
        }
        Ok(())
    }

    /// Appends which columns a partial update leaves as they are, a bit for each of the table's: those whose fields the document does not say.
    /// Nothing if it says all of them.
    pub(crate) fn kept(
        &self,
        document: &[u8],
        found: &[Option<&str>],
        room: &mut Vec<bool>,
        line: &mut Vec<u8>,
    ) -> Result<bool, Misfit> {
        room.clear();
        if found.iter().any(Option::is_none) {
            self.projector.absent(document, room).map_err(|error| not_json(&error))?;
        }
        let has_kept = room.contains(&true);
        if has_kept {
            line.push(b'\t');
            line.extend(room.iter().map(|kept| if *kept { b'1' } else { b'0' }));
        } else {
            field(line, found.len(), None);
        }
        Ok(has_kept)
    }

    /// Appends a document's row in binary, without its width. What is wrong with a document is said where its line is written.
    pub(crate) fn plain_row<'d>(
        &self,
        document: &'d [u8],
        found: &mut Vec<Option<&'d str>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unusual> {
        self.projector.project(document, found).map_err(|_| Unusual)?;
        for (place, raw) in found.iter().enumerate() {
            self.plain_value(place, *raw, out)?;
        }
        match self.columns.get(found.len()).filter(|_| self.has_document).map(|column| column.sql_type.scalar) {
            Some(Scalar::Json) => binary::bytes(document, out),
            Some(_) => return Err(Unusual),
            None => {}
        }
        Ok(())
    }

    /// As [`Converter::gone`], in binary.
    pub(crate) fn plain_gone(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Unusual> {
        let parts: Vec<&RawValue> = serde_json::from_slice(key).map_err(|_| Unusual)?;
        if parts.len() != self.key.len() {
            return Err(Unusual);
        }
        for place in 0..self.columns.len() {
            match self.key.iter().position(|of| *of == place) {
                Some(part) => self.plain_value(place, Some(parts[part].get()), out)?,
                None => binary::null(out),
            }
        }
        Ok(())
    }

    /// As [`Converter::kept`], in binary.
    pub(crate) fn plain_kept(
        &self,
        document: &[u8],
        found: &[Option<&str>],
        room: &mut Vec<bool>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unusual> {
        room.clear();
        if found.iter().any(Option::is_none) {
            self.projector.absent(document, room).map_err(|_| Unusual)?;
        }
        let has_kept = room.contains(&true);
        if has_kept {
            binary::bits(room, out)
        } else {
            binary::null(out)
        }
        Ok(has_kept)
    }

    fn plain_value(&self, place: usize, raw: Option<&str>, out: &mut Vec<u8>) -> Result<(), Unusual> {
        match raw.filter(|raw| *raw != "null") {
            Some(raw) => binary::value(self.columns[place].sql_type.scalar, self.is_key[place], raw, out),
            None if self.is_key[place] => Err(Unusual),
            None => {
                binary::null(out);
                Ok(())
            }
        }
    }

    /// The texts of a key's parts.
    pub(crate) fn key<'d>(&self, key: &'d [u8], doubts: &mut Doubts) -> Result<Vec<Cow<'d, str>>, Misfit> {
        let parts: Vec<&'d RawValue> = serde_json::from_slice(key).map_err(|error| not_json(&error))?;
        if parts.len() != self.key.len() {
            return Err(Misfit::new("", "a key with a value for each key column", &format!("{} parts", parts.len())));
        }
        let told = |(&place, part): (&usize, &'d RawValue)| {
            self.value(place, part.get(), &mut doubts[place])?.ok_or_else(|| no_null(&self.columns[place].name))
        };
        self.key.iter().zip(parts).map(told).collect()
    }

    /// Appends the line of a row that goes: its key, and NULL everywhere else.
    pub(crate) fn gone(&self, key: &[u8], line: &mut Vec<u8>, doubts: &mut Doubts) -> Result<(), Misfit> {
        let parts = self.key(key, doubts)?;
        for place in 0..self.columns.len() {
            let part = self.key.iter().position(|of| *of == place).and_then(|part| parts.get(part));
            field(line, place, part.map(AsRef::as_ref));
        }
        Ok(())
    }

    fn value<'d>(&self, place: usize, raw: &'d str, doubts: &mut Vec<String>) -> Result<Option<Cow<'d, str>>, Misfit> {
        let Column { name, sql_type } = &self.columns[place];
        value(*sql_type, self.is_key[place], raw, doubts).map_err(|expected| Misfit::new(name, expected, raw))
    }
}

/// Appends a field; the first has no tab before it.
pub(crate) fn field(line: &mut Vec<u8>, place: usize, text: Option<&str>) {
    if place > 0 {
        line.push(b'\t');
    }
    let Some(text) = text else { return line.extend_from_slice(NULL) };
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t')) {
        line.extend_from_slice(&rest[..at]);
        line.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    line.extend_from_slice(rest);
}

fn no_null(column: &str) -> Misfit {
    Misfit::new(column, "a value for a part of the key", "null or nothing")
}

fn not_json(error: &impl fmt::Display) -> Misfit {
    Misfit::new("", "a JSON document", &error.to_string())
}

#[cfg(test)]
mod tests {
    use longshore_sdk::materialize::{Collection, Selection};
    use serde_json::json;

    use super::*;
    use crate::config::Deletes;

    fn converter(delta: bool) -> Converter {
        let schema = json!({ "properties": { "a": { "type": "integer" }, "b": { "type": "string" }, "c": { "format": "pg:inet", "type": "string" } } });
        let key = vec!["/a".to_owned(), "/_meta/source/file".to_owned()];
        let selection = Selection { document: Some("doc".to_owned()), ..Selection::plain(&schema, &key, false) };
        let collection =
            Collection { name: "t".to_owned(), key, schema_json: schema.to_string().into(), schema_version: 1 };
        let shape = Shape::of(&collection, &selection, delta, Deletes::Hard).unwrap();
        let types: Vec<_> = shape.columns.iter().map(|column| column.sql_type).collect();
        Converter::new(&shape, &types)
    }

    #[test]
    fn a_line_takes_fields_in_any_order_and_escapes_what_copy_would_read_otherwise() {
        let (converter, mut line) = (converter(false), Vec::new());
        let mut doubts = converter.no_doubts();
        let document = r#"{"x":[1], "b":"t\t n\n r\r b\\ \\N","_meta":{"op":"c","source":{"file":"f"}},"a":1}"#;
        converter.row(document.as_bytes(), &mut Vec::new(), &mut line, &mut doubts).unwrap();
        let line_text = String::from_utf8(line.clone()).unwrap();
        let fields: Vec<&str> = line_text.split('\t').collect();
        assert_eq!(
            fields[..4],
            ["\"f\"", "1", r"t\t n\n r\r b\\ \\N", r"\N"],
            "a key part that the schema does not say is jsonb"
        );
        assert_eq!(fields[4].replace("\\\\", "\\"), document);
        let error = converter.row(br#"{"a":1}"#, &mut Vec::new(), &mut line, &mut doubts).unwrap_err();
        assert_eq!(error.column, "_meta/source/file");
    }

    #[test]
    fn a_row_that_goes_is_its_key() {
        let (converter, mut line) = (converter(false), Vec::new());
        let mut doubts = converter.no_doubts();
        converter.gone(br#"[1.0, "f"]"#, &mut line, &mut doubts).unwrap();
        assert_eq!(line, b"\"f\"\t1\t\\N\t\\N\t\\N");
        assert!(converter.key(b"[1,null]", &mut doubts).is_err() && converter.key(b"[1]", &mut doubts).is_err());
    }

    #[test]
    fn texts_that_only_the_server_knows_are_kept_for_asking() {
        let converter = converter(true);
        let mut doubts = converter.no_doubts();
        converter.row(br#"{"c":"10.0.0.1/32"}"#, &mut Vec::new(), &mut Vec::new(), &mut doubts).unwrap();
        assert_eq!(doubts[3], ["10.0.0.1/32"]);
    }
}
