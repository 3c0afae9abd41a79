//! Keys: the pointers that make one, and key encoding version 1, in whose byte order keys are compared, sorted and deduplicated
//! everywhere: runtime, SDK and conformance kit.
//!
//! The order is null < false < true < numbers by exact value (1 = 1.0 = 1e0, −0 = 0) < strings by their UTF-8 bytes, without any
//! normalisation. Keys of several parts compare part by part. Objects and arrays are not keys; absent is null.
//!
//! | part | bytes |
//! |---|---|
//! | null, false, true | `05`, `06`, `07` |
//! | number below 0 | `10`, then the complement of what its absolute value has behind its `12` |
//! | 0 | `11` |
//! | number above 0 | `12`, exponent, digits in pairs (each pair + 1), `00` |
//! | string | `20`, its UTF-8 bytes with each `00` written as `00 ff`, `00` |
//!
//! A number above 0 is 0.d₁d₂… × 10ᵉ with d₁ and the last digit not 0. An exponent from −64 to 63 is one byte, `80` + e; below and above,
//! `3f` or `c0` and the exponent as four bytes with its sign bit flipped. This encoding is on disk: it never changes, a new one gets a new
//! version.

mod number;
mod pointers;

pub use pointers::KeyPointers;
pub use pointers::parse as parse_pointer;

use crate::document::json::{Reader, Value};
use crate::error::Error;

const NULL: u8 = 0x05;
const FALSE: u8 = 0x06;
const TRUE: u8 = 0x07;
const STRING: u8 = 0x20;

/// Encodes a key given as a JSON array, such as `["JFK",12]`.
pub fn encode_json_key(key_json: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(key_json.len() + 8);
    encode_json_key_into(key_json, &mut out)?;
    Ok(out)
}

/// The same behind what `out` already holds. On an error `out` holds part of the key.
pub fn encode_json_key_into(key_json: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut reader = Reader::new(key_json)?;
    reader.array(|value| encode_part(value, out))
}

/// Encodes one part of a key.
pub(crate) fn encode_part(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(literal) => number::encode(literal, out)?,
        Value::String(text) => encode_string(text.unescaped().as_ref(), out),
        Value::Array | Value::Object => return Err(no_part()),
    }
    Ok(())
}

/// Whether a value can be part of a key: what [`encode_part`] would say, without the encoding.
pub(crate) fn check_part(value: Value<'_>) -> Result<(), Error> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        // Only an exponent can be too great.
        Value::Number(literal) if !literal.iter().any(|byte| matches!(byte, b'e' | b'E')) => Ok(()),
        Value::Number(literal) => number::encode(literal, &mut Vec::new()),
        Value::Array | Value::Object => Err(no_part()),
    }
}

fn no_part() -> Error {
    let message = "a key is refused: expected null, a boolean, a number or a string as its part (rule X-7), got an array or object";
    Error::data("key.type", message).suggest("choose a key of scalar values")
}

/// Encodes a part that is absent.
pub(crate) fn encode_absent(out: &mut Vec<u8>) {
    out.push(NULL);
}

fn encode_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(STRING);
    let mut rest = text;
    while let Some(nul) = rest.iter().position(|&byte| byte == 0) {
        out.extend_from_slice(&rest[..nul]);
        out.extend_from_slice(&[0x00, 0xff]);
        rest = &rest[nul + 1..];
    }
    out.extend_from_slice(rest);
    out.push(0x00);
}

#[cfg(test)]
mod tests;
