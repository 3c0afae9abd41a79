//! The fast path: schemas whose properties are told by type alone are checked on the bytes of a document, without building a value.
//!
//! Which schemas those are is decided once, in [`Flat::compile`]; for any other it answers `None` and `jsonschema` takes over. The bytes
//! are known to be one JSON object; where they are not, the walk ends with a violation and never with a panic.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Violation, cut, number};

/// Keywords that say nothing about which documents fit. `format` is an annotation in 2020-12.
const ANNOTATIONS: [&str; 12] = [
    "$comment",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "reduce",
    "title",
    "writeOnly",
    "$id",
];
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// More required properties than this are not flat.
const REQUIRED_MAX: usize = 512;

/// An object's properties by type.
#[derive(Debug)]
pub(super) struct Flat {
    properties: Vec<Property>,
    by_name: HashMap<Box<[u8]>, usize>,
    required: usize,
    additional: bool,
}

#[derive(Debug)]
struct Property {
    name: Box<str>,
    /// How a member with this name begins: in quotes, with the colon.
    written: Box<[u8]>,
    types: Types,
    /// Its place among the required ones.
    required: Option<usize>,
}

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types(u8);

impl Types {
    const NONE: Self = Self(0);
    const NULL: Self = Self(1);
    const BOOLEAN: Self = Self(2);
    const INTEGER: Self = Self(4);
    /// Integers too.
    const NUMBER: Self = Self(8 | 4);
    const STRING: Self = Self(16);
    const OBJECT: Self = Self(32);
    const ARRAY: Self = Self(64);
    const ANY: Self = Self(127);

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "object" => Self::OBJECT,
            "array" => Self::ARRAY,
            _ => return None,
        })
    }

    fn parse(written: &Value) -> Option<Self> {
        match written {
            Value::String(name) => Self::named(name),
            Value::Array(names) if !names.is_empty() => {
                names.iter().try_fold(Self::NONE, |types, name| Some(Self(types.0 | Self::named(name.as_str()?)?.0)))
            }
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn words(self) -> String {
        let all = [
            (Self::NUMBER, "number"),
            (Self::INTEGER, "integer"),
            (Self::STRING, "string"),
            (Self::BOOLEAN, "boolean"),
            (Self::OBJECT, "object"),
            (Self::ARRAY, "array"),
            (Self::NULL, "null"),
        ];
        let number = self.has(Self::NUMBER);
        let words = all.iter().filter(|(types, word)| self.has(*types) && !(number && *word == "integer"));
        words.map(|(_, word)| *word).collect::<Vec<_>>().join(" or ")
    }
}

impl Flat {
    /// `None` if the schema says more than this can check.
    pub(super) fn compile(schema: &Value) -> Option<Self> {
        let nothing = Map::new();
        let schema = match schema {
            Value::Bool(true) => &nothing,
            Value::Object(schema) => schema,
            Value::Bool(false) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
        };
        only(schema, &["type", "properties", "required", "additionalProperties"])?;
        let draft = schema.get("$schema").and_then(Value::as_str).map(|uri| uri.trim_end_matches('#'));
        let is_object =
            schema.get("type").is_none_or(|types| Types::parse(types).is_some_and(|types| types.has(Types::OBJECT)));
        if draft.is_some_and(|draft| draft != DRAFT) || !is_object {
            return None;
        }
        let additional = match schema.get("additionalProperties") {
            None => true,
            Some(value) => value.as_bool()?,
        };
        let mut flat = Self { properties: Vec::new(), by_name: HashMap::new(), required: 0, additional };
        if let Some(properties) = schema.get("properties") {
            for (name, property) in properties.as_object()? {
                flat.declare(name, types_of(property)?);
            }
        }
        if let Some(required) = schema.get("required") {
            for name in required.as_array()? {
                flat.require(name.as_str()?);
            }
        }
        (flat.required <= REQUIRED_MAX).then_some(flat)
    }

    /// It admits every object.
    pub(super) fn is_open(&self) -> bool {
        self.additional && self.required == 0 && self.properties.iter().all(|property| property.types == Types::ANY)
    }

    fn declare(&mut self, name: &str, types: Types) -> usize {
        let index = self.properties.len();
        // A name that JSON escapes is found by its unescaped form; these bytes are never next.
        let plain = !name.contains(|c: char| c == '"' || c == '\\' || c.is_control());
        let written = if plain { format!("\"{name}\":") } else { "\0".to_owned() };
        self.properties.push(Property {
            name: name.into(),
            written: written.into_bytes().into(),
            types,
            required: None,
        });
        self.by_name.insert(name.as_bytes().into(), index);
        index
    }

    fn require(&mut self, name: &str) {
        let index = match self.by_name.get(name.as_bytes()) {
            Some(index) => *index,
            // Required and not declared: where nothing else is admitted it can only be missing, which `Types::NONE` says of any value.
            None => self.declare(name, if self.additional { Types::ANY } else { Types::NONE }),
        };
        if self.properties[index].required.is_none() {
            self.properties[index].required = Some(self.required);
            self.required += 1;
        }
    }

    /// Checks one JSON object.
    pub(super) fn check(&self, document: &[u8]) -> Result<(), Violation> {
        let mut walk = Walk { document, at: 0 };
        let mut seen = [0u64; REQUIRED_MAX / 64];
        let mut count = 0;
        // Documents of one source have their members in one order, mostly that of the schema.
        let mut guess = 0;
        walk.open().ok_or_else(|| walk.broken())?;
        while walk.member().ok_or_else(|| walk.broken())? {
            let index = match self.properties.get(guess) {
                Some(property) if walk.skip(&property.written) => guess,
                _ => {
                    let name = walk.name().ok_or_else(|| walk.broken())?;
                    match self.by_name.get(name.bytes()) {
                        Some(index) => *index,
                        None => {
                            let (_, value) = walk.value().ok_or_else(|| walk.broken())?;
                            self.check_undeclared(&name, value)?;
                            continue;
                        }
                    }
                }
            };
            let (found, value) = walk.value().ok_or_else(|| walk.broken())?;
            guess = index + 1;
            let property = &self.properties[index];
            let integer = || found == Types::NUMBER && property.types.has(Types::INTEGER) && number::is_integer(value);
            if !(property.types.has(found) || integer()) {
                return Err(property.mismatch(value));
            }
            if let Some(place) = property.required {
                let (word, bit) = (&mut seen[place / 64], 1 << (place % 64));
                count += usize::from(*word & bit == 0);
                *word |= bit;
            }
        }
        if count < self.required { Err(self.missing(&seen)) } else { Ok(()) }
    }

    fn check_undeclared(&self, name: &Name<'_>, value: &[u8]) -> Result<(), Violation> {
        // `_meta` is ours and needs no declaration.
        if self.additional || name.text() == "_meta" {
            return Ok(());
        }
        let pointer = pointer(&name.text());
        Err(Violation {
            pointer,
            expected: "no property that the schema does not declare".to_owned(),
            got: shown(value),
        })
    }

    fn missing(&self, seen: &[u64]) -> Violation {
        let is_missing = |p: &&Property| p.required.is_some_and(|place| seen[place / 64] & (1 << (place % 64)) == 0);
        let name = self.properties.iter().find(is_missing).map_or("", |property| &property.name);
        Violation {
            pointer: pointer(name),
            expected: "a value, for it is required".to_owned(),
            got: "nothing".to_owned(),
        }
    }
}

impl Property {
    fn mismatch(&self, value: &[u8]) -> Violation {
        let expected = match self.types {
            Types::NONE => "no property that the schema does not declare".to_owned(),
            types => types.words(),
        };
        Violation { pointer: pointer(&self.name), expected, got: shown(value) }
    }
}

/// The types a property's schema admits, if that is all it says.
fn types_of(schema: &Value) -> Option<Types> {
    match schema {
        Value::Bool(true) => Some(Types::ANY),
        Value::Object(schema) => {
            only(schema, &["type"])?;
            schema.get("type").map_or(Some(Types::ANY), Types::parse)
        }
        Value::Bool(false) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

fn only(schema: &Map<String, Value>, keywords: &[&str]) -> Option<()> {
    schema.keys().all(|key| keywords.contains(&key.as_str()) || ANNOTATIONS.contains(&key.as_str())).then_some(())
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn shown(value: &[u8]) -> String {
    cut(&String::from_utf8_lossy(value))
}

/// The name of a member.
enum Name<'a> {
    Plain(&'a [u8]),
    Escaped(String),
}

impl Name<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(name) => name,
            Self::Escaped(name) => name.as_bytes(),
        }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Plain(name) => String::from_utf8_lossy(name),
            Self::Escaped(name) => name.into(),
        }
    }
}

/// Walks over the members of an object. Every step answers `None` where the bytes are not what JSON wants.
struct Walk<'a> {
    document: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn open(&mut self) -> Option<()> {
        self.expect(b'{')
    }

    /// Goes to the quote before the next member's name; `false` at the end of the object.
    fn member(&mut self) -> Option<bool> {
        match self.next()? {
            b'}' => return Some(false),
            b',' => self.expect(b'"')?,
            b'"' => {}
            _ => return None,
        }
        self.at -= 1;
        Some(true)
    }

    /// Goes behind these bytes if they are next.
    fn skip(&mut self, bytes: &[u8]) -> bool {
        let next = self.document[self.at..].starts_with(bytes);
        if next {
            self.at += bytes.len();
        }
        next
    }

    /// The member's name, with the colon behind it.
    fn name(&mut self) -> Option<Name<'a>> {
        let start = self.at;
        self.at += 1;
        let escaped = self.string()?;
        let written = &self.document[start..self.at];
        self.expect(b':')?;
        Some(if escaped {
            Name::Escaped(serde_json::from_slice(written).ok()?)
        } else {
            Name::Plain(&written[1..written.len() - 1])
        })
    }

    fn value(&mut self) -> Option<(Types, &'a [u8])> {
        let first = self.next()?;
        let start = self.at - 1;
        let types = match first {
            b'"' => {
                self.string()?;
                Types::STRING
            }
            b'{' => {
                self.nested()?;
                Types::OBJECT
            }
            b'[' => {
                self.nested()?;
                Types::ARRAY
            }
            b'n' => self.word(3, Types::NULL)?,
            b't' => self.word(3, Types::BOOLEAN)?,
            b'f' => self.word(4, Types::BOOLEAN)?,
            b'-' | b'0'..=b'9' => self.number(),
            _ => return None,
        };
        Some((types, &self.document[start..self.at]))
    }

    fn word(&mut self, more: usize, types: Types) -> Option<Types> {
        self.at += more;
        (self.at <= self.document.len()).then_some(types)
    }

    /// Behind the first byte of a number: goes behind the last one.
    fn number(&mut self) -> Types {
        let mut types = Types::INTEGER;
        while let Some(byte) = self.document.get(self.at) {
            match byte {
                b'0'..=b'9' => {}
                b'.' | b'e' | b'E' | b'+' | b'-' => types = Types::NUMBER,
                _ => break,
            }
            self.at += 1;
        }
        types
    }

    /// Behind an opening quote: goes behind the closing one and tells whether there was an escape.
    fn string(&mut self) -> Option<bool> {
        // Shorter than this, a search by vectors costs more than it saves.
        const SHORT_BYTES: usize = 24;
        let is_end = |byte: &u8| matches!(byte, b'"' | b'\\');
        let mut escaped = false;
        loop {
            let rest = self.document.get(self.at..)?;
            let found = match rest.iter().take(SHORT_BYTES).position(is_end) {
                Some(found) => found,
                None => SHORT_BYTES + memchr::memchr2(b'"', b'\\', rest.get(SHORT_BYTES..)?)?,
            };
            self.at += found + 1;
            if rest[found] == b'"' {
                return Some(escaped);
            }
            escaped = true;
            self.at += 1;
        }
    }

    /// Behind an opening bracket: goes behind the closing one.
    fn nested(&mut self) -> Option<()> {
        let mut depth = 1;
        while depth > 0 {
            match *self.document.get(self.at)? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => {
                    self.at += 1;
                    self.string()?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        Some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// The next byte that is not white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.document.get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
        }
    }

    fn broken(&self) -> Violation {
        let got = format!("bytes that are no JSON at {}", self.at);
        Violation { pointer: String::new(), expected: "one JSON object".to_owned(), got }
    }
}
