//! One JSON value as the text that the server reads for a column's type, without changing it. What the server would take and make something
//! else of, is found here; what it refuses, it refuses itself.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_postgres::{Scalar, SqlType};
use longshore_sdk::materialize::exact::{double, integer, text};
use serde_json::value::RawValue;

use crate::canonical;
use crate::decimal::{Decimal, is_real, is_shortest};

/// Numbers that JSON has no digits for.
const BEYOND_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// What was expected instead.
pub(crate) type Expected = Cow<'static, str>;

/// A text for the server.
enum Told<'d> {
    Null,
    Text(Cow<'d, str>),
    /// Kept as it is only if the server prints it so, which it is to be asked: there are too many ways to write such a value.
    IfPrinted(Cow<'d, str>),
}

/// The text of a value for a column of this type; none: NULL. In `doubts` go texts that the server must be asked about ([`crate::copy`]).
/// `raw` has no whitespace around it.
pub(crate) fn value<'d>(
    of: SqlType,
    is_key: bool,
    raw: &'d str,
    doubts: &mut Vec<String>,
) -> Result<Option<Cow<'d, str>>, Expected> {
    if of.array {
        if raw == "null" {
            return Ok(None);
        }
        let mut literal = String::with_capacity(raw.len() + 2);
        array(of.scalar, raw, &mut literal, doubts)?;
        return Ok(Some(Cow::Owned(literal)));
    }
    Ok(match scalar(of.scalar, is_key, raw)? {
        Told::Null => None,
        Told::Text(text) => Some(text),
        Told::IfPrinted(text) => {
            doubts.push(text.clone().into_owned());
            Some(text)
        }
    })
}

fn scalar(of: Scalar, is_key: bool, raw: &str) -> Result<Told<'_>, Expected> {
    let first = raw.as_bytes().first().copied().unwrap_or_default();
    match (first, of) {
        (b'n', _) => Ok(Told::Null),
        (_, Scalar::Json | Scalar::Jsonb) => Ok(Told::Text(Cow::Borrowed(raw))),
        (b'-' | b'0'..=b'9', _) => number(of, is_key, raw).map(|()| Told::Text(whole(of, raw))),
        (b't' | b'f', Scalar::Boolean) => Ok(Told::Text(Cow::Borrowed(raw))),
        // A value of before its column's schema widened to text, which holds it as it is written; in a key it would meet a text.
        (b't' | b'f', Scalar::Text) if !is_key => Ok(Told::Text(Cow::Borrowed(raw))),
        (b'"', _) => string(of, is_key, text(raw).ok_or("a text")?),
        (_, of) => Err(expected(of)),
    }
}

/// Whether a column of this type keeps the number.
fn number(of: Scalar, is_key: bool, raw: &str) -> Result<(), Expected> {
    let between = |least: i64, most: i64| integer(raw).is_some_and(|number| (least..=most).contains(&number));
    let keeps = match of {
        Scalar::SmallInt => between(i16::MIN.into(), i16::MAX.into()),
        Scalar::Integer => between(i32::MIN.into(), i32::MAX.into()),
        Scalar::BigInt => between(i64::MIN, i64::MAX),
        Scalar::Numeric(None) => true,
        Scalar::Numeric(Some((_, scale))) => Decimal::of(raw).is_some_and(|decimal| decimal.fits_scale(scale)),
        Scalar::Real => {
            is_real(raw) && (!is_key || raw.parse().is_ok_and(|number: f32| is_shortest(raw, &format!("{number:e}"))))
        }
        Scalar::Double => double(raw).is_some_and(|number| !is_key || is_shortest(raw, &format!("{number:e}"))),
        Scalar::Text => !is_key,
        Scalar::Boolean
        | Scalar::Varchar(_)
        | Scalar::Char(_)
        | Scalar::Bytea
        | Scalar::Uuid
        | Scalar::Json
        | Scalar::Jsonb
        | Scalar::Date
        | Scalar::Time { .. }
        | Scalar::Timestamp { .. }
        | Scalar::Interval { .. }
        | Scalar::Bit { .. }
        | Scalar::Plain(_) => false,
    };
    if keeps { Ok(()) } else { Err(expected(of)) }
}

/// The server reads `1e3` and `7.0` as no integers.
fn whole(of: Scalar, raw: &str) -> Cow<'_, str> {
    let is_integer = matches!(of, Scalar::SmallInt | Scalar::Integer | Scalar::BigInt);
    match integer(raw).filter(|_| is_integer) {
        Some(number) => Cow::Owned(number.to_string()),
        None => Cow::Borrowed(raw),
    }
}

fn string(of: Scalar, is_key: bool, text: Cow<'_, str>) -> Result<Told<'_>, Expected> {
    if text.contains('\0') {
        return Err("a text without NUL characters, which PostgreSQL does not keep".into());
    }
    let characters =
        |max: Option<u32>| max.is_none_or(|max| u32::try_from(text.chars().count()).is_ok_and(|count| count <= max));
    let keeps = match of {
        Scalar::Text => true,
        Scalar::Varchar(max) => characters(max),
        // A shorter one would be filled up with spaces.
        Scalar::Char(Some(length)) => u32::try_from(text.chars().count()) == Ok(length),
        Scalar::Char(None) => true,
        Scalar::Numeric(_) | Scalar::Real | Scalar::Double => BEYOND_NUMBERS.contains(&text.as_ref()),
        Scalar::Uuid => is_uuid(&text),
        Scalar::Date => canonical::is_date(&text),
        Scalar::Time { zone, precision } => {
            let keeps = canonical::is_time(&text, zone, precision);
            return if keeps { Ok(Told::IfPrinted(text)) } else { Err(expected(of)) };
        }
        Scalar::Timestamp { zone, precision } => {
            let told = canonical::timestamp(&text, zone, precision, is_key).map(Cow::into_owned).ok_or_else(|| {
                match is_key && zone {
                    true => "a timestamp in a key as `2024-01-01T00:00:00.5Z`, in UTC and without zeros behind".into(),
                    false => expected(of),
                }
            })?;
            return Ok(Told::Text(Cow::Owned(told)));
        }
        Scalar::Bytea => {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| expected(of))?;
            let hex = bytes.iter().fold(String::from("\\x"), |hex, byte| hex + &format!("{byte:02x}"));
            return Ok(Told::Text(Cow::Owned(hex)));
        }
        Scalar::Interval { .. } | Scalar::Bit { .. } | Scalar::Plain(_) => return Ok(Told::IfPrinted(text)),
        Scalar::Boolean | Scalar::SmallInt | Scalar::Integer | Scalar::BigInt | Scalar::Json | Scalar::Jsonb => false,
    };
    if keeps { Ok(Told::Text(text)) } else { Err(expected(of)) }
}

/// As the server prints it: other spellings would come back changed.
fn is_uuid(text: &str) -> bool {
    let is_place_of_dash = |place| matches!(place, 8 | 13 | 18 | 23);
    let fits = |(place, byte)| match is_place_of_dash(place) {
        true => byte == b'-',
        false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// An array literal; arrays in it are further dimensions.
fn array(of: Scalar, raw: &str, literal: &mut String, doubts: &mut Vec<String>) -> Result<(), Expected> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| Expected::from(format!("an array for {of}[]")))?;
    literal.push('{');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            // The one type whose own texts have commas between them.
            literal.push(if of == Scalar::Plain("box") { ';' } else { ',' });
        }
        let element = element.get();
        if element.starts_with('[') {
            // The server reads `{{}}` as an array of no dimension.
            if serde_json::from_str::<Vec<&RawValue>>(element).is_ok_and(|inner| inner.is_empty()) {
                return Err("no empty array inside of another, which PostgreSQL does not keep".into());
            }
            array(of, element, literal, doubts)?;
            continue;
        }
        match scalar(of, false, element)? {
            Told::Null => literal.push_str("NULL"),
            Told::Text(text) => quote(&text, literal),
            Told::IfPrinted(text) => {
                quote(&text, literal);
                doubts.push(text.into_owned());
            }
        }
    }
    literal.push('}');
    Ok(())
}

fn quote(text: &str, literal: &mut String) {
    literal.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push('"');
}

fn expected(of: Scalar) -> Expected {
    match of {
        Scalar::Boolean => "true or false".into(),
        Scalar::SmallInt => "an integer of 16 bits".into(),
        Scalar::Integer => "an integer of 32 bits".into(),
        Scalar::BigInt => "an integer of 64 bits".into(),
        Scalar::Numeric(Some((_, scale))) => {
            format!("a number that {of} keeps as it is, with at most {scale} digits behind the point").into()
        }
        Scalar::Numeric(None) => "a number, NaN, Infinity or -Infinity".into(),
        Scalar::Real | Scalar::Double => format!("a number that {of} holds as it is").into(),
        Scalar::Text => "a text".into(),
        Scalar::Varchar(Some(max)) => format!("a text of at most {max} characters").into(),
        Scalar::Char(Some(length)) => format!("a text of {length} characters").into(),
        Scalar::Varchar(None) | Scalar::Char(None) => "a text".into(),
        Scalar::Bytea => "bytes as base64".into(),
        Scalar::Uuid => "a UUID as 8-4-4-4-12 lower-case hexadecimal digits".into(),
        Scalar::Date => "a date as 2024-01-31, or infinity".into(),
        Scalar::Timestamp { zone: true, .. } => {
            "a timestamp as RFC 3339 has it, of whole microseconds and without a leap second".into()
        }
        Scalar::Time { .. } | Scalar::Timestamp { .. } => format!("a text as PostgreSQL prints {of}").into(),
        Scalar::Interval { .. } | Scalar::Bit { .. } | Scalar::Plain(_) => {
            format!("a text as PostgreSQL prints {of}").into()
        }
        Scalar::Json | Scalar::Jsonb => "a JSON value".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(of: &str, raw: &str, is_key: bool) -> Result<Option<String>, Expected> {
        let of = SqlType::parse(of).expect("a type");
        value(of, is_key, raw, &mut Vec::new()).map(|told| told.map(Cow::into_owned))
    }

    #[test]
    fn a_value_is_told_as_it_is() {
        for (of, raw, expected) in [
            ("bigint", "1e3", "1000"),
            ("smallint", "-32768", "-32768"),
            ("numeric", "1e3", "1e3"),
            ("numeric(12,2)", "1.500", "1.500"),
            ("numeric", "\"NaN\"", "NaN"),
            ("double precision", "\"-Infinity\"", "-Infinity"),
            ("real", "0.1", "0.1"),
            ("boolean", "true", "true"),
            ("text", r#""a\"b\u00e9""#, "a\"bé"),
            ("text", "7.10", "7.10"),
            ("bytea", "\"AP8=\"", "\\x00ff"),
            ("json", r#"{"a": 1.10}"#, r#"{"a": 1.10}"#),
            ("character(3)", "\"a  \"", "a  "),
            ("integer[]", "[1,null,[2]]", r#"{"1",NULL,{"2"}}"#),
            ("box[]", r#"[["(1,1),(0,0)"],[null]]"#, r#"{{"(1,1),(0,0)"};{NULL}}"#),
            ("text[]", r#"["a\"b\\c","NULL",""]"#, r#"{"a\"b\\c","NULL",""}"#),
        ] {
            assert_eq!(told(of, raw, false).unwrap().as_deref(), Some(expected), "{raw} in {of}");
            assert_eq!(told(of, "null", false), Ok(None));
        }
    }

    #[test]
    fn what_the_server_would_change_is_a_misfit() {
        for (of, raw) in [
            ("smallint", "32768"),
            ("integer", "1.5"),
            ("bigint", "9223372036854775808"),
            ("bigint", "\"7\""),
            ("numeric(12,2)", "1.555"),
            ("numeric", "\"1\""),
            ("real", "0.123456789012"),
            ("double precision", "9007199254740993"),
            ("boolean", "1"),
            ("boolean", "\"true\""),
            ("text", r#""a\u0000""#),
            ("text", "{}"),
            ("character varying(2)", "\"ab \""),
            ("character(3)", "\"a\""),
            ("uuid", "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\""),
            ("date", "\"now\""),
            ("bytea", "\"AP9=\""),
            ("bytea", "\"AP8\""),
            ("integer[]", "[[]]"),
            ("integer[]", "[1.5]"),
            ("integer[]", "1"),
        ] {
            assert!(told(of, raw, false).is_err(), "{raw} in {of}");
        }
        for (of, raw) in [
            ("text", "7"),
            ("double precision", "0.10000000000000001"),
            ("timestamp with time zone", "\"2024-01-01T00:00:00.0Z\""),
        ] {
            assert!(told(of, raw, true).is_err() && told(of, raw, false).is_ok(), "{raw} in a key of {of}");
        }
    }
}
