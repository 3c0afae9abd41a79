//! From a document to the values of a row, without changing one: what a column cannot hold as it is, is an error of that document.

use std::borrow::Cow;

use longshore_sdk::materialize::whole_files::Kept;
use longshore_sdk::materialize::{Selection, exact};
use longshore_sdk::{Error, Result};

use crate::shape::{Kind, Shape};

/// A value as its column takes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'d> {
    Null,
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Text(Cow<'d, str>),
}

/// Makes rows of one binding's documents.
#[derive(Debug)]
pub(crate) struct Rows {
    kept: Kept,
    pub(crate) shape: Shape,
}

impl Rows {
    pub(crate) fn new(selection: &Selection, shape: Shape) -> Self {
        Self { kept: Kept::new(selection), shape }
    }

    /// Fills `row` with a value for each column.
    pub(crate) fn row<'d>(&self, document: &'d [u8], row: &mut Vec<Value<'d>>) -> Result<()> {
        let mut found = Vec::with_capacity(self.shape.columns.len() + 1);
        self.kept.values(document, &mut found)?;
        row.clear();
        for ((name, kind), raw) in self.shape.columns.iter().zip(found) {
            row.push(raw.map_or(Ok(Value::Null), |raw| value(name, *kind, raw))?);
        }
        Ok(())
    }
}

/// What a column of this kind holds of a JSON value. `raw` has no whitespace around it. Null is null in every column.
fn value<'d>(column: &str, kind: Kind, raw: &'d str) -> Result<Value<'d>> {
    let first = raw.as_bytes().first().copied().unwrap_or_default();
    let is_number = matches!(first, b'-' | b'0'..=b'9');
    let (held, expected) = match (kind, first) {
        (_, b'n') => (Some(Value::Null), ""),
        (Kind::Integer, _) => (exact::integer(raw).filter(|_| is_number).map(Value::Integer), "an integer of 64 bits"),
        (Kind::Double, _) => {
            let held = exact::double(raw).filter(|_| is_number).map(Value::Double);
            (held, "a number that a double gives back as it is (`numbers: text` keeps all digits)")
        }
        (Kind::Boolean, b't') => (Some(Value::Boolean(true)), ""),
        (Kind::Boolean, b'f') => (Some(Value::Boolean(false)), ""),
        (Kind::Boolean, _) => (None, "true or false"),
        (Kind::Text, b'"') => (exact::text(raw).map(Value::Text), "a text"),
        (Kind::Text, _) => (None, "a text"),
        (Kind::Digits, _) => (is_number.then_some(Value::Text(Cow::Borrowed(raw))), "a number"),
        (Kind::Json, _) => (Some(Value::Text(Cow::Borrowed(raw))), ""),
    };
    held.ok_or_else(|| {
        let shown = if raw.len() > 80 { format!("{}…", &raw[..raw.floor_char_boundary(80)]) } else { raw.to_owned() };
        Error::data("parquet.value", format!("writing column {column:?}: expected {expected}, got {shown}"))
    })
}

#[cfg(test)]
mod tests {
    use longshore_sdk::ErrorKind;

    use super::*;

    #[track_caller]
    fn check(kind: Kind, raw: &str, expected: Option<Value<'_>>) {
        let got = value("c", kind, raw);
        assert_eq!(got.as_ref().ok(), expected.as_ref(), "{raw} in {kind:?}");
        assert!(got.err().is_none_or(|error| error.kind == ErrorKind::Data && error.message.contains(raw)), "{raw}");
    }

    #[test]
    fn a_column_holds_a_value_as_it_is_or_refuses_it() {
        let text = |text: &'static str| Some(Value::Text(Cow::Borrowed(text)));
        for kind in [Kind::Integer, Kind::Double, Kind::Boolean, Kind::Text, Kind::Digits, Kind::Json] {
            check(kind, "null", Some(Value::Null));
        }
        check(Kind::Integer, "-9223372036854775808", Some(Value::Integer(i64::MIN)));
        check(Kind::Integer, "1e3", Some(Value::Integer(1000)));
        for raw in ["9223372036854775808", "1.5", "\"7\"", "true", "[1]"] {
            check(Kind::Integer, raw, None);
        }
        check(Kind::Double, "1e308", Some(Value::Double(1e308)));
        check(Kind::Double, "7", Some(Value::Double(7.0)));
        for raw in ["9007199254740993", "0.100000000000000005", "true", "\"1\"", "{}"] {
            check(Kind::Double, raw, None);
        }
        check(Kind::Boolean, "true", Some(Value::Boolean(true)));
        check(Kind::Boolean, "1", None);
        check(Kind::Text, "\"\"", text(""));
        check(Kind::Text, r#""a\u0000é""#, Some(Value::Text("a\0é".into())));
        check(Kind::Text, "7", None);
        check(Kind::Digits, "123456789012345678901234567890.10", text("123456789012345678901234567890.10"));
        check(Kind::Digits, "\"7\"", None);
        check(Kind::Json, "\"007\"", text("\"007\""));
        check(Kind::Json, "1.10", text("1.10"));
        check(Kind::Json, "{\"a\":[1]}", text("{\"a\":[1]}"));
    }
}
