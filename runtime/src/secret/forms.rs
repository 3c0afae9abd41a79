//! The ways in which a value may be written: plain, quoted in JSON up to five times, encoded for a URL, as base64 wherever it stands in
//! what was encoded, as hex. And its parts that are secrets themselves: lines, the password in a URL, the texts of a JSON document.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::VALUE_LEAST_BYTES;

/// Nothing behind this is looked for: a secret is a password, a key or a certificate.
const VALUE_MAX_BYTES: usize = 64 << 10;
/// A longer text is looked for in pieces of this.
const PIECE_BYTES: usize = 1 << 10;
/// Shorter lines of a text of several lines say nothing.
const LINE_LEAST_BYTES: usize = 8;
/// Shorter texts in a secret that is a JSON document are mostly words of its format.
const LEAF_LEAST_BYTES: usize = 16;

/// A text in JSON in JSON in JSON: an error that quotes an answer that quotes a request, in a log line. Each time doubles the backslashes.
const QUOTED_TIMES: usize = 5;

/// What encoders of URLs leave as it is beside letters and digits: nothing, RFC 3986, encodeURIComponent, forms, the user part of a URL,
/// a whole URL.
const KEPT_IN_URLS: [&[u8]; 6] = [b"", b"-_.~", b"-_.!~*'()", b"*-._", b"!$%&'()*+,-._~", b";,/?:@&=+$-_.!~*'()#"];

/// Without padding, which says nothing.
const BASE64: [GeneralPurpose; 2] = [STANDARD_NO_PAD, URL_SAFE_NO_PAD];

/// Every way in which a secret may be written.
pub(super) fn of(value: &str) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    parts(value, &mut texts);
    let mut forms = BTreeSet::new();
    for text in texts.iter().filter(|text| text.len() >= VALUE_LEAST_BYTES) {
        let quoted = quoted(text, Quoting::PLAIN);
        for text in [text.as_str(), &quoted] {
            encoded(text, &mut forms);
        }
        let mut inner = quoted;
        for _ in 1..QUOTED_TIMES {
            inner = self::quoted(&inner, Quoting::PLAIN);
            forms.insert(inner.clone());
        }
        forms.extend(Quoting::OTHERS.map(|quoting| self::quoted(text, quoting)));
        forms.insert(format!("{text:?}").trim_matches('"').to_owned());
        forms.insert(text.escape_default().to_string());
    }
    forms.retain(|form| form.len() >= VALUE_LEAST_BYTES);
    forms
}

/// The value, and what in it is a secret without the rest.
fn parts(value: &str, texts: &mut BTreeSet<String>) {
    let value = &value[..value.floor_char_boundary(VALUE_MAX_BYTES)];
    if value.len() <= PIECE_BYTES {
        texts.insert(value.to_owned());
    } else {
        let mut rest = value;
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
            texts.insert(piece.to_owned());
            rest = more;
        }
    }
    // Logs are written line by line. The first and last lines of keys and certificates are the same in all of them.
    let lines = value.split(char::is_control).map(str::trim);
    texts.extend(lines.filter(|line| line.len() >= LINE_LEAST_BYTES && !line.starts_with("-----")).map(str::to_owned));
    if let Some(password) = password_of(value) {
        texts.insert(percent_decode_str(password).decode_utf8_lossy().into_owned());
        texts.insert(password.to_owned());
    }
    if value.trim_start().starts_with(['{', '['])
        && let Ok(document) = serde_json::from_str(value)
    {
        leaves(&document, texts);
    }
}

/// Of a URL with a user and a password in front of the host.
fn password_of(url: &str) -> Option<&str> {
    let (_, behind) = url.split_once("://")?;
    let authority = behind.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

fn leaves(document: &Value, texts: &mut BTreeSet<String>) {
    match document {
        Value::String(text) if text.len() >= LEAF_LEAST_BYTES => {
            let lines = text.split(char::is_control).map(str::trim);
            texts.extend(lines.filter(|l| l.len() >= LEAF_LEAST_BYTES && !l.starts_with("-----")).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| leaves(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As it is, for URLs, as base64 and as hex.
fn encoded(text: &str, forms: &mut BTreeSet<String>) {
    forms.insert(text.to_owned());
    for upper in [true, false] {
        for kept in KEPT_IN_URLS {
            let form = percent(text, |byte| byte.is_ascii_alphanumeric() || kept.contains(&byte), upper);
            forms.insert(form.replace("%20", "+"));
            forms.insert(percent(&form, |byte| byte != b'%', upper));
            forms.insert(form);
        }
        forms.insert(percent(text, |_| false, upper));
        let hex = text.bytes().fold(String::new(), |hex, byte| hex + &hex_of(byte, upper));
        forms.insert(hex);
    }
    for alphabet in &BASE64 {
        let whole = alphabet.encode(text);
        forms.insert(whole.clone() + &"=".repeat((4 - whole.len() % 4) % 4));
        forms.insert(whole);
        for before in 0..3 {
            forms.insert(inner_base64(text, before, alphabet));
        }
    }
}

fn percent(text: &str, keep: impl Fn(u8) -> bool, upper: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        let mut bytes = [0; 4];
        for &byte in character.encode_utf8(&mut bytes).as_bytes() {
            if byte.is_ascii() && keep(byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push('%');
                encoded.push_str(&hex_of(byte, upper));
            }
        }
    }
    encoded
}

fn hex_of(byte: u8, upper: bool) -> String {
    if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }
}

/// What stands for a text, whatever stands before and behind it: the letters that hold bits of nothing else.
fn inner_base64(text: &str, before: usize, alphabet: &GeneralPurpose) -> String {
    let whole = alphabet.encode(["\0".repeat(before).as_str(), text].concat());
    let (first, last) = ((before * 8).div_ceil(6), (before + text.len()) * 8 / 6);
    whole.get(first..last).unwrap_or_default().to_owned()
}

/// How a writer of JSON quotes.
#[derive(Debug, Clone, Copy)]
struct Quoting {
    /// `é` as `\u00e9`.
    ascii: bool,
    /// `\u00E9` instead.
    upper: bool,
    /// `<` as `\u003c`, for HTML.
    html: bool,
    /// `/` as `\/`.
    slash: bool,
}

impl Quoting {
    const PLAIN: Self = Self { ascii: false, upper: false, html: false, slash: false };
    const OTHERS: [Self; 5] = [
        Self { ascii: true, ..Self::PLAIN },
        Self { ascii: true, upper: true, ..Self::PLAIN },
        Self { html: true, ..Self::PLAIN },
        Self { slash: true, ..Self::PLAIN },
        Self { ascii: true, slash: true, ..Self::PLAIN },
    ];
}

/// The text between the quotes of a JSON string.
fn quoted(text: &str, quoting: Quoting) -> String {
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '/' if quoting.slash => json.push_str("\\/"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            c if c < ' '
                || (quoting.ascii && !c.is_ascii())
                || (quoting.html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) =>
            {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let digits = if quoting.upper { format!("{unit:04X}") } else { format!("{unit:04x}") };
                    // Writing into a String cannot fail.
                    write!(json, "\\u{digits}").unwrap_or_default();
                }
            }
            c => json.push(c),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_quoted_as_serde_quotes_it() {
        let text = "a\"b\\c\n\u{1}é/<\u{1f600}";
        assert_eq!(format!("\"{}\"", quoted(text, Quoting::PLAIN)), serde_json::to_string(text).unwrap());
        for quoting in Quoting::OTHERS {
            let read: String = serde_json::from_str(&format!("\"{}\"", quoted(text, quoting))).unwrap();
            assert_eq!(read, text, "{quoting:?}");
        }
    }

    #[test]
    fn base64_is_found_wherever_the_secret_stands_in_what_was_encoded() {
        let secret = "pa$$ word?>~é";
        let forms = of(secret);
        for alphabet in &BASE64 {
            for before in 0..7 {
                for behind in 0..4 {
                    let text = format!("{}{secret}{}", "xyzuvwq".get(..before).unwrap(), "123".get(..behind).unwrap());
                    let whole = alphabet.encode(text);
                    let found = forms.iter().filter(|form| whole.contains(form.as_str())).map(String::len).max();
                    assert!(found >= Some(secret.len()), "{whole}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn urls_are_encoded_in_many_ways() {
        let forms = of("a b/ü@+");
        for form in [
            "a%20b%2F%C3%BC%40%2B",
            "a%20b%2f%c3%bc%40%2b",
            "a+b%2F%C3%BC%40%2B",
            "a%20b/%C3%BC@+",
            "a%2520b%252F%25C3%25BC%2540%252B",
        ] {
            assert!(forms.contains(form), "{form}");
        }
    }

    #[test]
    fn parts_that_are_secrets_themselves_are_found_too() {
        let forms = of("postgres://shop:hunt%2Fer2@db.example:5432/shop?x=y");
        assert!(forms.contains("hunt/er2") && forms.contains("hunt%2Fer2"));
        let forms = of("-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n-----END KEY-----");
        assert!(forms.contains("MIIEvQIBADANBg") && !forms.contains("short") && !forms.contains("-----END KEY-----"));
        let forms = of(r#"{ "type": "account", "private": { "key": "0123456789abcdef" } }"#);
        assert!(forms.contains("0123456789abcdef") && !forms.contains("account"));
    }

    #[test]
    fn a_secret_as_large_as_a_file_may_be_costs_a_bounded_number_of_bytes() {
        let large: String = (0..200_000).map(|n: u32| char::from(b'a' + (n * 7 % 26) as u8)).collect();
        let bytes: usize = of(&large).iter().map(String::len).sum();
        assert!(bytes < 4 << 20, "{bytes}");
    }
}
