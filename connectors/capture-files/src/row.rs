//! A delimited record as a JSON document, written byte by byte: no value is built on the way.
//!
//! A document is either written whole, every field in its column's kind, or not at all; then `judge` says what the fields are and the caller
//! widens the columns first.

use std::io::Write;

use crate::config::Dialect;
use crate::kind::{Kind, TypeSet, classify};
use crate::records::Fields;
use crate::shape::Shape;
use crate::wanted::Wanted;

/// How the records of one file are written.
pub(crate) struct Row {
    /// By column of the file; none: it is not wanted.
    cells: Vec<Option<Cell>>,
    nulls: NullWords,
    source: Option<Vec<u8>>,
}

struct Cell {
    /// `"name":` or `,"name":`
    lead: Vec<u8>,
    place: usize,
    kind: Kind,
    nullable: bool,
}

impl Row {
    /// `names` are the file's columns in order; `source`: the file's name, where documents carry it.
    pub(crate) fn new(
        names: &[String],
        wanted: &Wanted,
        shape: &mut Shape,
        dialect: &Dialect,
        source: Option<&str>,
    ) -> Row {
        let mut is_first = true;
        let cell = |name: &String| {
            wanted.has(name).then(|| {
                let mut lead = if std::mem::take(&mut is_first) { Vec::new() } else { vec![b','] };
                write_string(name.as_bytes(), &mut lead);
                lead.push(b':');
                Cell { lead, place: shape.place(name), kind: Kind::Null, nullable: false }
            })
        };
        let cells = names.iter().map(cell).collect();
        let mut row = Row { cells, nulls: NullWords::new(dialect), source: source.map(source_lead) };
        row.refresh(shape);
        row
    }

    /// Takes over what the shape has learnt.
    pub(crate) fn refresh(&mut self, shape: &Shape) {
        for cell in self.cells.iter_mut().flatten() {
            cell.kind = shape.kind(cell.place);
            cell.nullable = shape.knows(cell.place, TypeSet::NULL);
        }
    }

    /// Number of fields a record must have.
    pub(crate) fn width(&self) -> usize {
        self.cells.len()
    }

    /// Writes the document; false if a field does not fit its column, and then `out` holds part of it. The fields must be UTF-8.
    pub(crate) fn write(&self, fields: Fields<'_>, number: u64, out: &mut Vec<u8>) -> bool {
        out.push(b'{');
        let begin = out.len();
        for (cell, field) in self.cells.iter().zip(fields) {
            let Some(cell) = cell else { continue };
            out.extend_from_slice(&cell.lead);
            let fits = if self.nulls.contains(field) {
                out.extend_from_slice(b"null");
                cell.nullable
            } else {
                write_value(cell.kind, field, out)
            };
            if !fits {
                return false;
            }
        }
        if let Some(lead) = &self.source {
            let separator: &[u8] = if out.len() == begin { b"" } else { b"," };
            write_source(separator, lead, number, out);
        }
        out.push(b'}');
        true
    }

    /// Tells the shape what these fields are.
    pub(crate) fn judge(&self, fields: Fields<'_>, shape: &mut Shape) {
        for (cell, field) in self.cells.iter().zip(fields) {
            let Some(cell) = cell else { continue };
            match self.nulls.contains(field) {
                true => shape.learn(cell.place, TypeSet::NULL),
                false => shape.widen(cell.place, classify(field)),
            }
        }
    }
}

/// The words that mean "no value".
pub(crate) struct NullWords {
    empty: bool,
    words: Vec<Vec<u8>>,
}

impl NullWords {
    pub(crate) fn new(dialect: &Dialect) -> NullWords {
        let (empty, words): (Vec<_>, Vec<_>) = dialect.null_values.iter().cloned().partition(Vec::is_empty);
        NullWords { empty: !empty.is_empty(), words }
    }

    #[inline]
    pub(crate) fn contains(&self, field: &[u8]) -> bool {
        match field.is_empty() {
            true => self.empty,
            false => self.words.iter().any(|word| word == field),
        }
    }
}

/// The beginning of `"_meta"` for documents of one file, up to the record number.
pub(crate) fn source_lead(file: &str) -> Vec<u8> {
    let mut lead = br#""_meta":{"source":{"file":"#.to_vec();
    write_string(file.as_bytes(), &mut lead);
    lead.extend_from_slice(br#","record":"#);
    lead
}

/// Writes `separator`, then the whole of `"_meta"`.
pub(crate) fn write_source(separator: &[u8], lead: &[u8], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(separator);
    out.extend_from_slice(lead);
    // Writing to a vector cannot fail.
    write!(out, "{number}").ok();
    out.extend_from_slice(b"}}");
}

#[inline]
fn write_value(kind: Kind, field: &[u8], out: &mut Vec<u8>) -> bool {
    match kind {
        Kind::Integer | Kind::Long => {
            out.extend_from_slice(field);
            is_short_integer(field) || matches!(classify(field), Kind::Integer | Kind::Long)
        }
        Kind::Number => {
            let fits = is_short_integer(field) || matches!(classify(field), Kind::Integer | Kind::Number);
            if fits {
                write_number(field, out);
            }
            fits
        }
        Kind::String => {
            write_string(field, out);
            true
        }
        Kind::Boolean => {
            out.extend_from_slice(field);
            matches!(field, b"true" | b"false")
        }
        Kind::Null => false,
    }
}

/// Few digits without a leading zero: what most integers are.
#[inline]
fn is_short_integer(field: &[u8]) -> bool {
    matches!(field, [b'0'] | [b'1'..=b'9', ..]) && field.len() < 16 && field.iter().all(u8::is_ascii_digit)
}

/// JSON knows neither `.5` nor `5.`: these get their zero, every other number stays as it is.
fn write_number(field: &[u8], out: &mut Vec<u8>) {
    let (sign, digits) = match field {
        [b'-', digits @ ..] => (&field[..1], digits),
        digits => (&field[..0], digits),
    };
    out.extend_from_slice(sign);
    if digits.first() == Some(&b'.') {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
    if digits.last() == Some(&b'.') {
        out.push(b'0');
    }
}

/// Writes UTF-8 text as a JSON string.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(place) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.extend_from_slice(&rest[..place]);
        match rest[place] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                write!(out, "\\u{control:04x}").ok();
            }
        }
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind, field: &str) -> Option<String> {
        let mut out = Vec::new();
        write_value(kind, field.as_bytes(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_keep_their_digits_and_text_is_escaped() {
        let check = |kind, field, json: &str| {
            assert_eq!(value(kind, field).as_deref(), Some(json));
            serde_json::from_str::<serde_json::Value>(json).unwrap();
        };
        check(Kind::Number, "10.357019999999999", "10.357019999999999");
        check(Kind::Number, "1e3", "1e3");
        check(Kind::Number, "7", "7");
        check(Kind::Number, ".5", "0.5");
        check(Kind::Number, "-.5e-3", "-0.5e-3");
        check(Kind::Number, "-5.", "-5.0");
        check(Kind::Integer, "-12", "-12");
        check(Kind::Integer, "9223372036854775807", "9223372036854775807");
        check(Kind::Boolean, "true", "true");
        check(Kind::String, "007", "\"007\"");
        check(Kind::String, "a\"b\\c\n\u{1}é", "\"a\\\"b\\\\c\\n\\u0001é\"");
    }

    #[test]
    fn a_value_that_does_not_fit_its_column_is_not_written_as_something_else() {
        for (kind, field) in [
            (Kind::Integer, "1.0"),
            (Kind::Integer, "007"),
            (Kind::Integer, "9223372036854775808"),
            (Kind::Number, "NaN"),
            (Kind::Number, "9007199254740993"),
            (Kind::Boolean, "TRUE"),
            (Kind::Boolean, "1"),
            (Kind::Null, "x"),
        ] {
            assert_eq!(value(kind, field), None, "{kind:?} {field}");
        }
    }
}
