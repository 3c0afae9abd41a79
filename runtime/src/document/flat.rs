//! The fast path: schemas whose properties are told by type alone are checked while the document is scanned, without building a value and
//! without a walk of their own.
//!
//! Which schemas those are is decided once, in [`Flat::compile`]; for any other it answers `None` and `jsonschema` takes over.

use std::collections::HashMap;

use longshore_proto::selection::pointer_to;
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

    /// Whether a value, as it is written, is of one of them. It is known to be JSON, so its first byte tells its type.
    #[inline]
    fn admit(self, value: &[u8]) -> bool {
        match value.first() {
            Some(b'"') => self.has(Self::STRING),
            Some(b'{') => self.has(Self::OBJECT),
            Some(b'[') => self.has(Self::ARRAY),
            Some(b'n') => self.has(Self::NULL),
            Some(b't' | b'f') => self.has(Self::BOOLEAN),
            Some(_) => self.has(Self::NUMBER) || self.has(Self::INTEGER) && number::is_integer(value),
            None => false,
        }
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
        self.properties.push(Property { name: name.into(), types, required: None });
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

    /// Checks one JSON object, whose members are then told in order.
    pub(super) fn begin(&self) -> Walk<'_> {
        Walk { flat: self, seen: [0; REQUIRED_MAX / 64], count: 0, guess: 0, violation: None }
    }

    fn missing(&self, seen: &[u64]) -> Violation {
        let is_missing = |p: &&Property| p.required.is_some_and(|place| seen[place / 64] & (1 << (place % 64)) == 0);
        let name = self.properties.iter().find(is_missing).map_or("", |property| &property.name);
        Violation {
            pointer: pointer_to(name),
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
        Violation { pointer: pointer_to(&self.name), expected, got: shown(value) }
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

fn shown(value: &[u8]) -> String {
    cut(&String::from_utf8_lossy(value))
}

/// How far the check of one document is.
#[derive(Debug)]
pub(super) struct Walk<'f> {
    flat: &'f Flat,
    /// Required properties that were there, and how many of them.
    seen: [u64; REQUIRED_MAX / 64],
    count: usize,
    /// Documents of one source have their members in one order, mostly that of the schema: the property that is likely next.
    guess: usize,
    /// The first one. Boxed: it is rarely there, and a check is begun for every document.
    violation: Option<Box<Violation>>,
}

impl Walk<'_> {
    /// The next member: its name, and its value as it is written.
    #[inline]
    pub(super) fn member(&mut self, name: &[u8], value: &[u8]) {
        let index = match self.flat.properties.get(self.guess) {
            Some(property) if *property.name.as_bytes() == *name => self.guess,
            Some(_) | None => match self.flat.by_name.get(name) {
                Some(index) => *index,
                None => return self.undeclared(name, value),
            },
        };
        self.guess = index + 1;
        let property = &self.flat.properties[index];
        if !property.types.admit(value) && self.violation.is_none() {
            self.violation = Some(Box::new(property.mismatch(value)));
        }
        if let Some(place) = property.required {
            let (word, bit) = (&mut self.seen[place / 64], 1 << (place % 64));
            self.count += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// There are no more. Of several violations the first counts.
    pub(super) fn end(self) -> Result<(), Violation> {
        match self.violation {
            Some(violation) => Err(*violation),
            None if self.count < self.flat.required => Err(self.flat.missing(&self.seen)),
            None => Ok(()),
        }
    }

    fn undeclared(&mut self, name: &[u8], value: &[u8]) {
        // `_meta` is ours and needs no declaration.
        if self.flat.additional || name == b"_meta" || self.violation.is_some() {
            return;
        }
        self.violation = Some(Box::new(Violation {
            pointer: pointer_to(&String::from_utf8_lossy(name)),
            expected: "no property that the schema does not declare".to_owned(),
            got: shown(value),
        }));
    }
}
