//! What a value of the server becomes in a document: from the text that its type's output function writes, which is the same for a row that
//! was read and for one that came by the log, so that both give the same bytes. Nothing is rounded, cut or guessed.
//!
//! It counts on the settings that every session of ours makes: UTC, ISO dates, `extra_float_digits` 3, `bytea_output` hex.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kinds::Kinds;

/// How the text of a type is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `t` or `f`.
    Boolean,
    /// Digits.
    Integer,
    /// With NaN and the infinities as strings.
    Number,
    /// As it is.
    Text,
    /// RFC 3339.
    Timestamp,
    /// The JSON itself.
    Json,
    /// In base64.
    Bytes,
    /// Of values of a form, with the letter that stands between them.
    Array(Box<Form>, char),
}

impl Form {
    /// What its values are in JSON, but for those that have no other form than a string.
    pub fn kinds(&self) -> Kinds {
        match self {
            Form::Boolean => Kinds::BOOLEAN,
            Form::Integer => Kinds::INTEGER,
            Form::Number => Kinds::NUMBER,
            Form::Text | Form::Timestamp | Form::Bytes => Kinds::STRING,
            Form::Json => Kinds::ANY,
            Form::Array(..) => Kinds::ARRAY,
        }
    }
}

/// Appends the JSON of a value and says of which type it is; an error says what was expected.
pub fn write(form: &Form, text: &str, arena: &mut Vec<u8>) -> Result<Kinds, String> {
    match form {
        Form::Boolean => match text {
            "t" => arena.extend_from_slice(b"true"),
            "f" => arena.extend_from_slice(b"false"),
            _ => return Err(unexpected("t or f", text)),
        },
        Form::Integer => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(unexpected("digits", text));
            }
            arena.extend_from_slice(text.as_bytes());
        }
        Form::Number if matches!(text, "NaN" | "Infinity" | "-Infinity") => {
            string(text, arena);
            return Ok(Kinds::STRING);
        }
        Form::Number => {
            if !is_json_number(text.as_bytes()) {
                return Err(unexpected("a number", text));
            }
            arena.extend_from_slice(text.as_bytes());
        }
        Form::Text => string(text, arena),
        Form::Timestamp => timestamp(text, arena),
        Form::Json => {
            let text = text.trim_ascii();
            arena.extend_from_slice(text.as_bytes());
            return Ok(kind_of_json(text));
        }
        Form::Bytes => base64_of_hex(text, arena)?,
        Form::Array(element, between) => array(element, *between, text, arena)?,
    }
    Ok(form.kinds())
}

fn unexpected(expected: &str, text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    format!("expected {expected}, got {cut:?}")
}

/// Appends a text as JSON has it.
pub fn string(text: &str, arena: &mut Vec<u8>) {
    arena.push(b'"');
    escaped(text, arena);
    arena.push(b'"');
}

/// What stands between the quotes.
fn escaped(text: &str, arena: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_to_escape(rest) {
        arena.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => arena.extend_from_slice(b"\\\""),
            b'\\' => arena.extend_from_slice(b"\\\\"),
            b'\n' => arena.extend_from_slice(b"\\n"),
            b'\t' => arena.extend_from_slice(b"\\t"),
            b'\r' => arena.extend_from_slice(b"\\r"),
            8 => arena.extend_from_slice(b"\\b"),
            12 => arena.extend_from_slice(b"\\f"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                arena.extend_from_slice(b"\\u00");
                arena.extend([DIGITS[usize::from(control >> 4)], DIGITS[usize::from(control & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    arena.extend_from_slice(rest);
}

/// Where the first quote, backslash or control character is. Looks at eight bytes at once.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let marked = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        let (quote, slash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        // A byte below 32, or zero after the exclusive or, borrows into its highest bit; the lowest mark is right, one above it may not be.
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (control | (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & HIGH;
        (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
    };
    let (words, short) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = marked(word) {
            return Some(index * 8 + at);
        }
    }
    match bytes.last_chunk::<8>() {
        // Looks at some bytes again, in which there is none.
        Some(last) => marked(last).map(|at| bytes.len() - 8 + at),
        None => short.iter().position(|byte| matches!(byte, 0..32 | b'"' | b'\\')),
    }
}

fn is_json_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}

/// `2024-01-01 00:00:00.5+00` is `2024-01-01T00:00:00.5Z`; an era stays behind it, and what has neither time nor zone is left alone.
fn timestamp(text: &str, arena: &mut Vec<u8>) {
    let (moment, era) = match text.strip_suffix(" BC") {
        Some(moment) => (moment, " BC"),
        None => (text, ""),
    };
    let parts = moment.strip_suffix("+00").and_then(|moment| {
        let space = moment.bytes().position(|byte| byte == b' ')?;
        Some((&moment[..space], &moment[space + 1..]))
    });
    match parts {
        Some((day, time)) if first_to_escape(text.as_bytes()).is_none() => {
            arena.push(b'"');
            for part in [day, "T", time, "Z", era, "\""] {
                arena.extend_from_slice(part.as_bytes());
            }
        }
        Some(_) | None => string(text, arena),
    }
}

fn kind_of_json(text: &str) -> Kinds {
    match text.as_bytes().first() {
        Some(b'{') => Kinds::OBJECT,
        Some(b'[') => Kinds::ARRAY,
        Some(b'"') => Kinds::STRING,
        Some(b't' | b'f') => Kinds::BOOLEAN,
        Some(b'n') | None => Kinds::NULL,
        Some(_) => Kinds::NUMBER,
    }
}

fn base64_of_hex(text: &str, arena: &mut Vec<u8>) -> Result<(), String> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let read = || {
        let pairs = text.strip_prefix("\\x")?.as_bytes().chunks(2);
        pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect::<Option<Vec<u8>>>()
    };
    let bytes = read().ok_or_else(|| unexpected("bytes in hex, such as \\x00ff", text))?;
    string(&STANDARD.encode(bytes), arena);
    Ok(())
}

/// `{1,NULL,"a \"b\""}`, perhaps nested, perhaps with bounds before it (`[0:1]={…}`), which JSON has no place for.
fn array(element: &Form, between: char, text: &str, arena: &mut Vec<u8>) -> Result<(), String> {
    let body = match text.strip_prefix('[').and_then(|rest| rest.split_once('=')) {
        Some((_, body)) => body,
        None => text,
    };
    let mut letters = body.char_indices().peekable();
    let mut depth = 0_usize;
    let fault = || unexpected("an array", text);
    let mut unquoted = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '{' => {
                depth += 1;
                arena.push(b'[');
            }
            '}' => {
                depth = depth.checked_sub(1).ok_or_else(fault)?;
                arena.push(b']');
                if depth == 0 && at + 1 != body.len() {
                    return Err(fault());
                }
            }
            _ if depth == 0 => return Err(fault()),
            letter if letter == between => arena.push(b','),
            '"' => {
                unquoted.clear();
                loop {
                    match letters.next().ok_or_else(fault)?.1 {
                        '"' => break,
                        '\\' => unquoted.push(letters.next().ok_or_else(fault)?.1),
                        letter => unquoted.push(letter),
                    }
                }
                write(element, &unquoted, arena)?;
            }
            letter => {
                unquoted.clear();
                unquoted.push(letter);
                while let Some((_, letter)) = letters.next_if(|(_, letter)| *letter != between && *letter != '}') {
                    match letter {
                        '\\' => unquoted.push(letters.next().ok_or_else(fault)?.1),
                        letter => unquoted.push(letter),
                    }
                }
                match unquoted.as_str() {
                    "NULL" => arena.extend_from_slice(b"null"),
                    value => drop(write(element, value, arena)?),
                }
            }
        }
    }
    if depth == 0 && body.starts_with('{') { Ok(()) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(form: &Form, text: &str, wanted: &str, kinds: Kinds) {
        let mut arena = b"x".to_vec();
        assert_eq!(write(form, text, &mut arena), Ok(kinds), "{text}");
        assert_eq!(std::str::from_utf8(&arena[1..]).unwrap(), wanted);
        serde_json::from_str::<serde_json::Value>(wanted).unwrap();
    }

    #[track_caller]
    fn refused(form: &Form, texts: &[&str]) {
        for text in texts {
            assert!(write(form, text, &mut Vec::new()).is_err(), "{text}");
        }
    }

    fn array_of(form: Form) -> Form {
        Form::Array(Box::new(form), ',')
    }

    #[test]
    fn numbers_keep_their_digits() {
        check(&Form::Integer, "-9223372036854775808", "-9223372036854775808", Kinds::INTEGER);
        for number in ["12.50", "-0.5", "1e+20", "1e-05", "0", "99999999999999999999999999.000000000000000001"] {
            check(&Form::Number, number, number, Kinds::NUMBER);
        }
        for word in ["NaN", "Infinity", "-Infinity"] {
            check(&Form::Number, word, &format!("{word:?}"), Kinds::STRING);
        }
        refused(&Form::Integer, &["", "-", "1.5", "1 "]);
        refused(&Form::Number, &["", "1.", ".5", "01", "1e", "inf", "--1"]);
        check(&Form::Boolean, "t", "true", Kinds::BOOLEAN);
        refused(&Form::Boolean, &["true", ""]);
    }

    #[test]
    fn moments_are_rfc_3339_in_utc() {
        for (text, wanted) in [
            ("2024-01-01 00:00:00.123456+00", "2024-01-01T00:00:00.123456Z"),
            ("0044-03-15 12:00:00+00 BC", "0044-03-15T12:00:00Z BC"),
            ("12024-01-01 00:00:00+00", "12024-01-01T00:00:00Z"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
        ] {
            check(&Form::Timestamp, text, &format!("{wanted:?}"), Kinds::STRING);
        }
    }

    #[test]
    fn text_bytes_and_json_are_what_they_are() {
        check(&Form::Text, "a\"b\n ü", r#""a\"b\n ü""#, Kinds::STRING);
        check(&Form::Bytes, "\\x00ff", r#""AP8=""#, Kinds::STRING);
        check(&Form::Bytes, "\\x", r#""""#, Kinds::STRING);
        refused(&Form::Bytes, &["", "abc", "\\x0", "\\xzz", "\\x+1"]);
        check(&Form::Json, " {\"a\" : 1.50}\n", "{\"a\" : 1.50}", Kinds::OBJECT);
        check(&Form::Json, "null", "null", Kinds::NULL);
        check(&Form::Json, "\"x\"", "\"x\"", Kinds::STRING);
    }

    #[test]
    fn arrays_nest_and_hold_nulls() {
        let (text, number) = (array_of(Form::Text), array_of(Form::Number));
        check(&text, "{}", "[]", Kinds::ARRAY);
        check(&text, r#"{a,NULL,"NULL","x,\"y\\",""}"#, r#"["a",null,"NULL","x,\"y\\",""]"#, Kinds::ARRAY);
        check(&number, "{{1,2.50},{NaN,NULL}}", r#"[[1,2.50],["NaN",null]]"#, Kinds::ARRAY);
        check(&number, "[0:1]={1,2}", "[1,2]", Kinds::ARRAY);
        check(&array_of(Form::Timestamp), r#"{"2024-01-01 00:00:00+00"}"#, r#"["2024-01-01T00:00:00Z"]"#, Kinds::ARRAY);
        let boxes = Form::Array(Box::new(Form::Text), ';');
        check(&boxes, "{(1,1),(0,0);(2,2),(0,0)}", r#"["(1,1),(0,0)","(2,2),(0,0)"]"#, Kinds::ARRAY);
        refused(&text, &["", "a", "{a", "{a}}", "{a}b", "{\"a}", "}"]);
    }

    proptest! {
        #[test]
        fn texts_are_escaped_as_json_has_it(text in "[ -~\\x00-\\x20\"\\\\é]{0,30}") {
            let mut arena = Vec::new();
            string(&text, &mut arena);
            prop_assert_eq!(String::from_utf8(arena).unwrap(), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            for form in [Form::Number, Form::Bytes, Form::Timestamp, array_of(Form::Text), array_of(array_of(Form::Integer))] {
                drop(write(&form, &text, &mut Vec::new()));
            }
        }
    }
}
