//! Values as records of a CSV file (RFC 4180): a header of the fields' names, then a record for each document.
//!
//! Null and absent are empty, an empty text is `""`; numbers keep their digits, objects and arrays are JSON.

use std::borrow::Cow;

/// What stands in a record for a JSON value; none: nothing.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') if raw.contains('\\') => serde_json::from_str(raw).ok().map(Cow::Owned),
        Some(b'"') => raw.get(1..raw.len() - 1).map(Cow::Borrowed),
        Some(_) | None => Some(Cow::Borrowed(raw)),
    }
}

pub(crate) fn record<'d>(values: impl Iterator<Item = Option<Cow<'d, str>>>, out: &mut Vec<u8>) {
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let Some(value) = value else { continue };
        if value.is_empty() || value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
            out.push(b'"');
            out.extend_from_slice(value.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(value.as_bytes());
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_the_values_say() {
        let check = |values: &[Option<&str>], expected: &str| {
            let mut out = Vec::new();
            record(values.iter().map(|raw| raw.and_then(text)), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{values:?}");
        };
        check(&[Some("1"), Some("\"x\""), Some("10.357019999999999")], "1,x,10.357019999999999\n");
        check(&[Some("\"\""), None, Some("\"a\\\"b\\nc\"")], "\"\",,\"a\"\"b\nc\"\n");
        check(&[Some("null"), None, None], ",,\n");
        check(&[Some("{\"x\":[1,2]}"), None, Some("true")], "\"{\"\"x\"\":[1,2]}\",,true\n");
    }
}
