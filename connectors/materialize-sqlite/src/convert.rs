//! From a document to the values of a row, without changing one: what a column cannot hold as it is, is an error of that document.
//!
//! A document is read once, from its bytes: each value is found as a slice and turned into what its column takes. Numbers are read from
//! their digits; nothing passes through a tree of values.

use std::borrow::Cow;
use std::fmt;

use longshore_sdk::materialize::Projector;
use longshore_sdk::materialize::exact::{integer, is_integral, text};
use serde_json::value::RawValue;

use crate::shape::{ColumnType, Shape};

/// A value as SQLite takes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SqlValue<'d> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'d, str>),
}

/// Why a document is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Empty: it is about the whole document.
    pub(crate) column: String,
    pub(crate) expected: &'static str,
    pub(crate) got: String,
}

impl Misfit {
    fn new(column: &str, expected: &'static str, raw: &str) -> Self {
        let got = if raw.len() > 80 { format!("{}…", &raw[..raw.floor_char_boundary(80)]) } else { raw.to_owned() };
        Self { column: column.to_owned(), expected, got }
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

/// Turns the documents of one binding into rows.
#[derive(Debug)]
pub(crate) struct Converter {
    projector: Projector,
    columns: Vec<(String, ColumnType)>,
    not_null: Vec<bool>,
    key_types: Vec<(String, ColumnType)>,
    /// Place of the whole document.
    document: Option<usize>,
}

impl Converter {
    /// The types are those of the table, which may be wider than the schema's.
    pub(crate) fn new(shape: &Shape, types: &[ColumnType]) -> Self {
        let columns: Vec<_> = shape.columns.iter().zip(types).map(|(column, &of)| (column.name.clone(), of)).collect();
        let not_null = (0..columns.len()).map(|place| !shape.delta && shape.is_key(place)).collect();
        let key_types = shape.key.iter().map(|&place| columns[place].clone()).collect();
        let projector = Projector::new(&shape.fields);
        Self { projector, columns, not_null, key_types, document: shape.document() }
    }

    /// Fills `row` with a value for each column. `found` is room that is used again.
    pub(crate) fn row<'d>(
        &self,
        document: &'d [u8],
        found: &mut Vec<Option<&'d str>>,
        row: &mut Vec<SqlValue<'d>>,
    ) -> Result<(), Misfit> {
        row.clear();
        self.projector.project(document, found).map_err(|error| not_json(&error))?;
        for (((name, of), raw), is_key) in self.columns.iter().zip(found).zip(&self.not_null) {
            let value = if *is_key { key_value } else { value };
            row.push(raw.map_or(Ok(SqlValue::Null), |raw| value(name, *of, raw))?);
        }
        if self.document.is_some() {
            let text = std::str::from_utf8(document).map_err(|error| not_json(&error))?;
            row.push(SqlValue::Text(Cow::Borrowed(text)));
        }
        let missing =
            self.not_null.iter().zip(row.iter()).position(|(not_null, value)| *not_null && *value == SqlValue::Null);
        match missing {
            None => Ok(()),
            Some(place) => Err(no_null(&self.columns[place].0)),
        }
    }

    /// Fills `row` with a value for each part of a key.
    pub(crate) fn key<'d>(&self, key: &'d [u8], row: &mut Vec<SqlValue<'d>>) -> Result<(), Misfit> {
        row.clear();
        let parts: Vec<&'d RawValue> = serde_json::from_slice(key).map_err(|error| not_json(&error))?;
        if parts.len() != self.key_types.len() {
            let got = format!("{} parts", parts.len());
            return Err(Misfit { column: String::new(), expected: "a key with a value for each key column", got });
        }
        for ((name, of), part) in self.key_types.iter().zip(parts) {
            let value = key_value(name, *of, part.get())?;
            if value == SqlValue::Null {
                return Err(no_null(name));
            }
            row.push(value);
        }
        Ok(())
    }
}

/// The same for a part of a key: a number and a text with its digits are two keys, and must not become one.
fn key_value<'d>(column: &str, of: ColumnType, raw: &'d str) -> Result<SqlValue<'d>, Misfit> {
    if of == ColumnType::Text && !raw.starts_with(['"', 'n']) {
        return Err(Misfit::new(column, "a text", raw));
    }
    value(column, of, raw)
}

/// What a column of this type holds of a JSON value. `raw` has no whitespace around it.
fn value<'d>(column: &str, of: ColumnType, raw: &'d str) -> Result<SqlValue<'d>, Misfit> {
    let misfit = |expected: &'static str| Misfit::new(column, expected, raw);
    let first = raw.as_bytes().first().copied().unwrap_or_default();
    match (first, of) {
        (b'n', _) => Ok(SqlValue::Null),
        // A value of before its column's schema widened to text, which holds it as it is written.
        (b't' | b'f' | b'-' | b'0'..=b'9', ColumnType::Text) => Ok(SqlValue::Text(Cow::Borrowed(raw))),
        (b'"', ColumnType::Text | ColumnType::Any) => text(raw).ok_or_else(|| misfit("a text")).map(SqlValue::Text),
        (b'{' | b'[', ColumnType::Text | ColumnType::Any) => Ok(SqlValue::Text(Cow::Borrowed(raw))),
        (b't', ColumnType::Integer | ColumnType::Any) => Ok(SqlValue::Integer(1)),
        (b'f', ColumnType::Integer | ColumnType::Any) => Ok(SqlValue::Integer(0)),
        (b'-' | b'0'..=b'9', ColumnType::Integer) => {
            integer(raw).map(SqlValue::Integer).ok_or_else(|| misfit("an integer of 64 bits"))
        }
        (b'-' | b'0'..=b'9', ColumnType::Real) => {
            real(raw).map(SqlValue::Real).ok_or_else(|| misfit("a number that a double holds as it is"))
        }
        (b'-' | b'0'..=b'9', ColumnType::Any) => match (integer(raw), is_integral(raw)) {
            (Some(integer), _) => Ok(SqlValue::Integer(integer)),
            (None, false) => real(raw).map(SqlValue::Real).ok_or_else(|| misfit("a number that a double holds")),
            (None, true) => Err(misfit("an integer of 64 bits")),
        },
        (_, ColumnType::Integer) => Err(misfit("an integer")),
        (_, ColumnType::Real) => Err(misfit("a number")),
        (_, ColumnType::Text) => Err(misfit("a text")),
        (_, ColumnType::Any) => Err(misfit("a value")),
    }
}

/// The nearest double; an integer must be one exactly.
fn real(raw: &str) -> Option<f64> {
    let number: f64 = raw.parse().ok().filter(|number: &f64| number.is_finite())?;
    let digits = raw.trim_start_matches('-');
    if digits.len() > 15 && is_integral(raw) && format!("{:.0}", number.abs()) != digits {
        return None;
    }
    Some(number)
}

fn no_null(column: &str) -> Misfit {
    Misfit { column: column.to_owned(), expected: "a value for a part of the key", got: "null or nothing".to_owned() }
}

fn not_json(error: &impl fmt::Display) -> Misfit {
    Misfit { column: String::new(), expected: "a JSON document", got: error.to_string() }
}

#[cfg(test)]
mod tests {
    use longshore_sdk::materialize::{Collection, Selection};
    use serde_json::json;

    use super::*;

    fn check(of: ColumnType, raw: &str, expected: Option<SqlValue<'_>>) {
        assert_eq!(value("c", of, raw).ok(), expected, "{raw} in {}", of.as_sql());
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (raw, number) in [
            ("0", 0),
            ("-0", 0),
            ("7", 7),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("1.0", 1),
            ("-2.50e1", -25),
            ("0.0", 0),
            ("0e99", 0),
            ("120e-1", 12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9.223372036854775807e18", i64::MAX),
        ] {
            check(ColumnType::Integer, raw, Some(SqlValue::Integer(number)));
            check(ColumnType::Any, raw, Some(SqlValue::Integer(number)));
        }
        for raw in ["1.5", "9223372036854775808", "1e19", "1e-1", "1e400", "12345678901234567890123", "\"7\"", "{}"] {
            check(ColumnType::Integer, raw, None);
        }
    }

    #[test]
    fn a_real_keeps_its_digits() {
        check(ColumnType::Real, "10.357019999999999", Some(SqlValue::Real(10.357019999999999)));
        check(ColumnType::Real, "1e3", Some(SqlValue::Real(1000.0)));
        check(ColumnType::Real, "9007199254740992", Some(SqlValue::Real(9_007_199_254_740_992.0)));
        check(ColumnType::Real, "18446744073709551616", Some(SqlValue::Real(18_446_744_073_709_551_616.0)));
        check(ColumnType::Real, "9007199254740993", None);
        check(ColumnType::Real, "1e400", None);
        check(ColumnType::Real, "true", None);
        check(ColumnType::Real, "\"1\"", None);
        check(ColumnType::Any, "1.5", Some(SqlValue::Real(1.5)));
        check(ColumnType::Any, "9223372036854775808", None);
    }

    #[test]
    fn texts_booleans_and_nested_values_are_what_they_are() {
        let text = |text: &'static str| Some(SqlValue::Text(Cow::Borrowed(text)));
        check(ColumnType::Text, r#""007""#, text("007"));
        check(ColumnType::Any, r#""007""#, text("007"));
        check(ColumnType::Text, r#""a\"b\u00e9\u0000""#, Some(SqlValue::Text("a\"bé\0".into())));
        check(ColumnType::Text, r#"{"a":1.10}"#, text(r#"{"a":1.10}"#));
        check(ColumnType::Text, "7.10", text("7.10"));
        check(ColumnType::Text, "true", text("true"));
        check(ColumnType::Integer, "true", Some(SqlValue::Integer(1)));
        check(ColumnType::Integer, "false", Some(SqlValue::Integer(0)));
        for of in [ColumnType::Integer, ColumnType::Real, ColumnType::Text, ColumnType::Any] {
            check(of, "null", Some(SqlValue::Null));
        }
    }

    #[test]
    fn a_number_and_a_text_of_its_digits_are_two_keys_and_do_not_become_one() {
        assert_eq!(key_value("c", ColumnType::Text, "\"7\"").ok(), Some(SqlValue::Text("7".into())));
        assert!(key_value("c", ColumnType::Text, "7").is_err() && key_value("c", ColumnType::Text, "true").is_err());
        assert_eq!(key_value("c", ColumnType::Any, "7").ok(), Some(SqlValue::Integer(7)));
    }

    #[test]
    fn a_row_takes_fields_in_any_order_and_deep_key_parts() {
        let schema = json!({ "properties": { "a": { "type": "integer" }, "b": { "type": "string" } } });
        let key = vec!["/a".to_owned(), "/_meta/source/file".to_owned()];
        let selection = Selection { document: Some("doc".to_owned()), ..Selection::plain(&schema, &key, false) };
        let collection =
            Collection { name: "t".to_owned(), key, schema_json: schema.to_string().into(), schema_version: 1 };
        let shape = Shape::of(&collection, &selection, false).unwrap();
        let types: Vec<_> = shape.columns.iter().map(|column| column.column_type).collect();
        let converter = Converter::new(&shape, &types);
        let (mut found, mut row) = (Vec::new(), Vec::new());
        let document = r#"{"x":[1], "b":"y","_meta":{"op":"c","source":{"file":"f"}},"a":1}"#;
        converter.row(document.as_bytes(), &mut found, &mut row).unwrap();
        let text = |text: &'static str| SqlValue::Text(text.into());
        assert_eq!(row, [text("f"), SqlValue::Integer(1), text("y"), text(document)]);
        assert_eq!(converter.row(br#"{"a":1}"#, &mut found, &mut row).unwrap_err().column, "_meta/source/file");
        converter.key(br#"[1, "f"]"#, &mut row).unwrap();
        assert_eq!(row, [SqlValue::Integer(1), SqlValue::Text("f".into())]);
        assert!(converter.key(b"[1,null]", &mut row).is_err());
        assert!(converter.key(b"[1]", &mut row).is_err());
    }
}
