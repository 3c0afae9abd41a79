//! What a value of SQLite becomes in a document, exactly: nothing is rounded, cut or guessed.
//!
//! | value | JSON |
//! |---|---|
//! | NULL, INTEGER | `null`, the integer, all 64 bits |
//! | REAL | the shortest number that is this double, always with a fraction or an exponent |
//! | TEXT | the string |
//! | BLOB in a column declared BLOB | its base64 as a string |
//!
//! What has no form of its own is an object with one member that says what it is, so that no two values look alike: a BLOB elsewhere
//! (`{"base64": …}`), a TEXT in a column declared BLOB (`{"text": …}`), a TEXT that is not UTF-8 (`{"text_base64": …}`), an infinity
//! (`{"real": "Infinity"}`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::ValueRef;

use crate::kinds::{Form, Kinds};

/// Appends the JSON of a value and says of which type it is.
pub(crate) fn write(value: ValueRef<'_>, form: Form, arena: &mut Vec<u8>) -> Kinds {
    match value {
        ValueRef::Null => {
            arena.extend_from_slice(b"null");
            Kinds::NULL
        }
        ValueRef::Integer(value) => {
            json(&value, arena);
            Kinds::INTEGER
        }
        ValueRef::Real(value) if value.is_finite() => {
            json(&value, arena);
            Kinds::NUMBER
        }
        ValueRef::Real(value) => {
            let name = if value > 0.0 { "Infinity" } else { "-Infinity" };
            member("real", arena, |arena| json(name, arena))
        }
        ValueRef::Text(bytes) => match (std::str::from_utf8(bytes), form) {
            (Ok(text), Form::Text) => {
                json(text, arena);
                Kinds::STRING
            }
            (Ok(text), Form::Base64) => member("text", arena, |arena| json(text, arena)),
            (Err(_), _) => member("text_base64", arena, |arena| base64(bytes, arena)),
        },
        ValueRef::Blob(bytes) => match form {
            Form::Base64 => {
                base64(bytes, arena);
                Kinds::STRING
            }
            Form::Text => member("base64", arena, |arena| base64(bytes, arena)),
        },
    }
}

fn member(name: &str, arena: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Kinds {
    arena.extend_from_slice(b"{\"");
    arena.extend_from_slice(name.as_bytes());
    arena.extend_from_slice(b"\":");
    write(arena);
    arena.push(b'}');
    Kinds::OBJECT
}

fn base64(bytes: &[u8], arena: &mut Vec<u8>) {
    let length = bytes.len().div_ceil(3) * 4;
    arena.push(b'"');
    let begin = arena.len();
    arena.resize(begin + length, 0);
    // The room is exactly what was asked for.
    let written = STANDARD.encode_slice(bytes, &mut arena[begin..]).unwrap_or(0);
    arena.truncate(begin + written);
    arena.push(b'"');
}

/// Into memory, so it cannot fail.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T, arena: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(&mut *arena, value) {
        unreachable!("a number or a text is JSON: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: ValueRef<'_>, form: Form, wanted: &str) {
        let mut arena = b"x".to_vec();
        write(value, form, &mut arena);
        assert_eq!(std::str::from_utf8(&arena[1..]).expect("text"), wanted);
    }

    #[test]
    fn every_value_has_a_form_of_its_own() {
        check(ValueRef::Null, Form::Text, "null");
        check(ValueRef::Integer(i64::MIN), Form::Text, "-9223372036854775808");
        check(ValueRef::Real(5.0), Form::Text, "5.0");
        check(ValueRef::Real(-0.0), Form::Text, "-0.0");
        check(ValueRef::Real(0.1 + 0.2), Form::Text, "0.30000000000000004");
        check(ValueRef::Real(5e-324), Form::Text, "5e-324");
        check(ValueRef::Real(f64::INFINITY), Form::Text, r#"{"real":"Infinity"}"#);
        check(ValueRef::Real(f64::NEG_INFINITY), Form::Text, r#"{"real":"-Infinity"}"#);
        check(ValueRef::Text(b"a\0\"b"), Form::Text, r#""a\u0000\"b""#);
        check(ValueRef::Text(b"text"), Form::Base64, r#"{"text":"text"}"#);
        check(ValueRef::Text(b"\xff"), Form::Text, r#"{"text_base64":"/w=="}"#);
        check(ValueRef::Blob(b""), Form::Base64, r#""""#);
        check(ValueRef::Blob(b"\x00\x01\x02\x03"), Form::Base64, r#""AAECAw==""#);
        check(ValueRef::Blob(b"text"), Form::Text, r#"{"base64":"dGV4dA=="}"#);
    }
}
