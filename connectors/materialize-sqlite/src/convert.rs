//! From a document to the values of a row, without changing one: what a column cannot hold as it is, is an error of that document.
//!
//! A document is read once, from its bytes: each top-level value is found as a slice and turned into what its column takes. Numbers are
//! read from their digits; nothing passes through a tree of values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
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
    columns: Vec<(String, ColumnType)>,
    not_null: Vec<bool>,
    key_types: Vec<(String, ColumnType)>,
    fields: HashMap<String, Field>,
    /// Names of top-level fields in the order in which documents usually have them, with their columns.
    usual: Vec<(String, usize)>,
}

/// What a top-level field is for.
#[derive(Debug)]
struct Field {
    column: Option<usize>,
    /// Columns whose value stands deeper in it.
    deeper: Vec<(Vec<String>, usize)>,
}

impl Converter {
    /// The types are those of the table, which may be wider than the schema's.
    pub(crate) fn new(shape: &Shape, types: &[ColumnType]) -> Self {
        let mut fields: HashMap<String, Field> = HashMap::new();
        let mut usual = Vec::new();
        for (place, column) in shape.columns.iter().enumerate() {
            let field = fields.entry(column.path[0].clone()).or_insert(Field { column: None, deeper: Vec::new() });
            match column.path.len() {
                1 => {
                    field.column = Some(place);
                    usual.push((column.name.clone(), place));
                }
                _ => field.deeper.push((column.path[1..].to_vec(), place)),
            }
        }
        // Only plain fields take the short way.
        usual.retain(|(name, _)| fields.get(name).is_some_and(|field| field.deeper.is_empty()));
        let columns: Vec<_> = shape.columns.iter().zip(types).map(|(column, &of)| (column.name.clone(), of)).collect();
        let not_null = (0..columns.len()).map(|place| !shape.delta && shape.is_key(place)).collect();
        let key_types = shape.key.iter().map(|&place| columns[place].clone()).collect();
        Self { columns, not_null, key_types, fields, usual }
    }

    /// Fills `row` with a value for each column.
    pub(crate) fn row<'d>(&self, document: &'d [u8], row: &mut Vec<SqlValue<'d>>) -> Result<(), Misfit> {
        row.clear();
        row.resize(self.columns.len(), SqlValue::Null);
        let mut misfit = None;
        let fill = Fill { converter: self, row, misfit: &mut misfit, next: 0 };
        let read = serde_json::Deserializer::from_slice(document).deserialize_map(fill);
        if let Some(misfit) = misfit {
            return Err(misfit);
        }
        read.map_err(|error| not_json(&error))?;
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
            let value = value(name, *of, part.get())?;
            if value == SqlValue::Null {
                return Err(no_null(name));
            }
            row.push(value);
        }
        Ok(())
    }

    fn place<'d>(&self, place: usize, raw: &'d str, row: &mut [SqlValue<'d>]) -> Result<(), Misfit> {
        let (name, of) = &self.columns[place];
        row[place] = value(name, *of, raw)?;
        Ok(())
    }
}

/// Walks over the top-level fields.
struct Fill<'c, 'r, 'd> {
    converter: &'c Converter,
    row: &'r mut Vec<SqlValue<'d>>,
    misfit: &'r mut Option<Misfit>,
    next: usize,
}

/// What the name of a field says of its value.
enum Wanted<'c> {
    Column(usize),
    Field(&'c Field),
    Nothing,
}

impl<'d> Visitor<'d> for Fill<'_, '_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'d>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(wanted) = map.next_key_seed(Name { converter: self.converter, next: &mut self.next })? {
            let raw: &'d RawValue = map.next_value()?;
            if let Err(misfit) = self.take(&wanted, raw.get()) {
                *self.misfit = Some(misfit);
                return Err(A::Error::custom("misfit"));
            }
        }
        Ok(())
    }
}

impl<'d> Fill<'_, '_, 'd> {
    fn take(&mut self, wanted: &Wanted<'_>, raw: &'d str) -> Result<(), Misfit> {
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::Column(place) => self.converter.place(*place, raw, self.row),
            Wanted::Field(field) => {
                for (path, place) in &field.deeper {
                    if let Some(raw) = at(raw, path) {
                        self.converter.place(*place, raw, self.row)?;
                    }
                }
                field.column.map_or(Ok(()), |place| self.converter.place(place, raw, self.row))
            }
        }
    }
}

/// Reads the name of a field and looks it up; documents of one collection mostly have their fields in one order.
struct Name<'c, 'n> {
    converter: &'c Converter,
    next: &'n mut usize,
}

impl<'c, 'd> DeserializeSeed<'d> for Name<'c, '_> {
    type Value = Wanted<'c>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Wanted<'c>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'c> Visitor<'_> for Name<'c, '_> {
    type Value = Wanted<'c>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Wanted<'c>, E> {
        let usual = &self.converter.usual;
        if let Some((_, place)) = usual.get(*self.next).filter(|(usual, _)| usual == name) {
            *self.next += 1;
            return Ok(Wanted::Column(*place));
        }
        if let Some(found) = usual.iter().position(|(usual, _)| usual == name) {
            *self.next = found + 1;
            return Ok(Wanted::Column(usual[found].1));
        }
        Ok(self.converter.fields.get(name).map_or(Wanted::Nothing, Wanted::Field))
    }
}

/// The value at a path inside of an object.
fn at<'d>(raw: &'d str, path: &[String]) -> Option<&'d str> {
    let Some((first, rest)) = path.split_first() else { return Some(raw) };
    let fields: HashMap<Cow<'d, str>, &'d RawValue> = serde_json::from_str(raw).ok()?;
    at(fields.get(first.as_str())?.get(), rest)
}

/// What a column of this type holds of a JSON value. `raw` has no whitespace around it.
fn value<'d>(column: &str, of: ColumnType, raw: &'d str) -> Result<SqlValue<'d>, Misfit> {
    let misfit = |expected: &'static str| {
        let got = if raw.len() > 80 { format!("{}…", &raw[..raw.floor_char_boundary(80)]) } else { raw.to_owned() };
        Misfit { column: column.to_owned(), expected, got }
    };
    let first = raw.as_bytes().first().copied().unwrap_or_default();
    match (first, of) {
        (b'n', _) => Ok(SqlValue::Null),
        (b'"', ColumnType::Text | ColumnType::Any) => string(raw).ok_or_else(|| misfit("a text")).map(SqlValue::Text),
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

/// The text between the quotes; copied only where something is escaped.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.get(1..raw.len() - 1)?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

/// A number written without fraction and exponent.
fn is_integral(raw: &str) -> bool {
    !raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The integer that a number is, however it is written (`1e3`, `7.0`), if 64 bits hold it.
fn integer(raw: &str) -> Option<i64> {
    if is_integral(raw) {
        return raw.parse().ok();
    }
    let (negative, unsigned) = raw.strip_prefix('-').map_or((false, raw), |unsigned| (true, unsigned));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let fraction_len = i64::try_from(fraction.len()).ok()?;
    let trailing = i64::try_from(digits.len() - significant.len()).ok()?;
    let zeros = exponent.parse::<i64>().ok()?.checked_sub(fraction_len)?.checked_add(trailing)?;
    // A 64-bit integer has at most 19 digits; below zero there is a fraction.
    let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros < 20)?;
    let sign = if negative { "-" } else { "" };
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().ok()
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

fn not_json(error: &serde_json::Error) -> Misfit {
    Misfit { column: String::new(), expected: "a JSON document", got: error.to_string() }
}

#[cfg(test)]
mod tests {
    use longshore_sdk::materialize::Collection;
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
        check(ColumnType::Text, "7", None);
        check(ColumnType::Integer, "true", Some(SqlValue::Integer(1)));
        check(ColumnType::Integer, "false", Some(SqlValue::Integer(0)));
        for of in [ColumnType::Integer, ColumnType::Real, ColumnType::Text, ColumnType::Any] {
            check(of, "null", Some(SqlValue::Null));
        }
    }

    #[test]
    fn a_row_takes_fields_in_any_order_and_deep_key_parts() {
        let schema = json!({ "properties": { "a": { "type": "integer" }, "b": { "type": "string" } } });
        let key = vec!["/a".to_owned(), "/_meta/source/file".to_owned()];
        let collection =
            Collection { name: "t".to_owned(), key, schema_json: schema.to_string().into(), schema_version: 1 };
        let shape = Shape::of(&collection, false).unwrap();
        let types: Vec<_> = shape.columns.iter().map(|column| column.column_type).collect();
        let converter = Converter::new(&shape, &types);
        let mut row = Vec::new();
        let document = br#"{"x":[1], "b":"y","_meta":{"op":"c","source":{"file":"f"}},"a":1}"#;
        converter.row(document, &mut row).unwrap();
        assert_eq!(row, [SqlValue::Text("f".into()), SqlValue::Integer(1), SqlValue::Text("y".into())]);
        assert_eq!(converter.row(br#"{"a":1}"#, &mut row).unwrap_err().column, "_meta/source/file");
        converter.key(br#"[1, "f"]"#, &mut row).unwrap();
        assert_eq!(row, [SqlValue::Integer(1), SqlValue::Text("f".into())]);
        assert!(converter.key(b"[1,null]", &mut row).is_err());
        assert!(converter.key(b"[1]", &mut row).is_err());
    }
}
