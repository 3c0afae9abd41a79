//! How a row is encoded for its checksum, version 1: the key encoding of its key, and behind it each value that is compared.
//!
//! | value | bytes |
//! |---|---|
//! | null (or absent), false, true, a number, a string | as a part of a key has it ([`crate::key`]) |
//! | a number with a fraction or an exponent, but for [`Likeness::Exact`] | the same of the shortest decimal of the nearest double |
//! | a number whose exponent no key has | `21`, its literal, `00` |
//! | an array | `30`, its elements, `00` |
//! | an object | `40`, its members in the order of their names' bytes, each the name as a string and the value, `00` |
//! | a moment | `50`, the nanoseconds since 1970-01-01T00:00:00Z as a signed number of 16 bytes, big-endian |
//!
//! Of numbers inside of arrays and objects, 64 bits or a double are looked at, also where it is to be exact.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::Likeness;
use crate::document::json::Value;
use crate::error::Error;
use crate::key::encode_part;

const LITERAL: u8 = 0x21;
const ARRAY: u8 = 0x30;
const OBJECT: u8 = 0x40;
const MOMENT: u8 = 0x50;
const END: u8 = 0x00;

/// A part of a key, which is no array and no object.
pub(super) fn encode_key_part(text: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    encode_part(Value::of_checked(text.as_bytes()), out)
}

/// A value as it is written, without space around it.
pub(super) fn encode(text: &str, likeness: Likeness, out: &mut Vec<u8>) -> Result<(), Error> {
    let value = Value::of_checked(text.as_bytes());
    match (value, likeness) {
        (Value::String(_), Likeness::Moment) => match moment(text) {
            Some(moment) => {
                out.push(MOMENT);
                out.extend_from_slice(&moment.as_nanosecond().to_be_bytes());
                Ok(())
            }
            None => encode_part(value, out),
        },
        (Value::Number(_) | Value::Bool(_), Likeness::Text) => string(text, out),
        (Value::Number(literal), Likeness::Exact) => {
            exact(literal, out);
            Ok(())
        }
        (Value::Number(literal), Likeness::Value | Likeness::Moment) => {
            number(literal, out);
            Ok(())
        }
        (Value::Array | Value::Object, _) => {
            let json = serde_json::from_str(text)
                .map_err(|error| Error::data("verify.value", format!("a value is refused: expected JSON: {error}")))?;
            nested(&json, out)
        }
        (Value::Null | Value::Bool(_) | Value::String(_), _) => encode_part(value, out),
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let text: String = serde_json::from_str(text).ok()?;
    text.parse().ok()
}

fn number(literal: &[u8], out: &mut Vec<u8>) {
    let is_integer = !literal.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let double = std::str::from_utf8(literal).ok().and_then(|text| text.parse::<f64>().ok());
    match double.filter(|double| !is_integer && double.is_finite()) {
        Some(double) => exact(format!("{double:e}").as_bytes(), out),
        None => exact(literal, out),
    }
}

fn exact(literal: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    if encode_part(Value::Number(literal), out).is_err() {
        out.truncate(before);
        out.push(LITERAL);
        out.extend_from_slice(literal);
        out.push(END);
    }
}

/// A text that stands for itself.
fn string(text: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    nested(&Json::from(text), out)
}

fn nested(value: &Json, out: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Json::Array(elements) => {
            out.push(ARRAY);
            for element in elements {
                nested(element, out)?;
            }
            out.push(END);
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
            out.push(OBJECT);
            for (name, value) in members {
                string(name, out)?;
                nested(value, out)?;
            }
            out.push(END);
        }
        Json::Null | Json::Bool(_) | Json::String(_) => {
            encode_part(Value::of_checked(value.to_string().as_bytes()), out)?;
        }
        Json::Number(of) => number(of.to_string().as_bytes(), out),
    }
    Ok(())
}
