//! Whether a document fits its collection's schema, and whether one schema is wider than another.
//!
//! Flat schemas, which is what sources of rows have, are checked member by member ([`flat`]) in the same pass that scans the document
//! (`longshore_proto::document`); everything else goes through `jsonschema` on a parsed value behind it. Widening is in
//! [`widen`](mod@widen); what a schema becomes when documents may widen it is in [`infer`]; how documents of one key become one, in
//! [`reduce`].

mod flat;
mod infer;
mod number;
pub mod reduce;
mod widen;

use std::fmt;

use longshore_proto::Error;
use serde_json::{Map, Value};

pub use infer::{INFERRED_PROPERTIES_MAX, NotInferred, admit};
pub use widen::{Widened, widen};

use flat::Flat;

/// A greater schema is refused, in bytes.
const SCHEMA_MAX_BYTES: usize = 1 << 20;
/// Of a value shown in an error, in bytes.
const SHOWN_MAX_BYTES: usize = 120;
/// What the program behind a compiled `pattern` may take, in bytes.
const PATTERN_MAX_BYTES: usize = 1 << 20;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema(Check);

#[derive(Debug)]
enum Check {
    /// It admits every object: costs nothing.
    Open,
    Flat(Flat),
    Full {
        validator: Box<jsonschema::Validator>,
        meta_declared: bool,
    },
}

/// What a document did against its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer of the value; empty: the document itself.
    pub pointer: String,
    /// What the schema says.
    pub expected: String,
    /// What was found, cut.
    pub got: String,
}

impl Schema {
    /// Compiles a schema that a person wrote: it admits what JSON Schema 2020-12 says it admits, and `/_meta`, which is ours.
    pub fn compile(json: &[u8]) -> Result<Self, Error> {
        Self::compile_value(&parse(json)?)
    }

    /// Compiles a schema that a source stated (Discover or SourcedSchema): it admits what was declared and nothing else, for what is not
    /// declared has no place in a destination, and dropping it silently would be loss.
    pub fn compile_stated(json: &[u8]) -> Result<Self, Error> {
        let mut schema = parse(json)?;
        if schema.get("properties").is_some() {
            close(&mut schema);
        }
        Self::compile_value(&schema)
    }

    /// Compiles a schema that documents widen ([`admit`]): it admits what is known and nothing else, so that what is new is noticed.
    pub fn compile_inferred(json: &[u8]) -> Result<Self, Error> {
        let mut schema = parse(json)?;
        if schema == Value::Bool(true) {
            schema = Value::Object(Map::new());
        }
        close(&mut schema);
        Self::compile_value(&schema)
    }

    fn compile_value(schema: &Value) -> Result<Self, Error> {
        if let Some(flat) = Flat::compile(schema) {
            return Ok(Self(if flat.is_open() { Check::Open } else { Check::Flat(flat) }));
        }
        let validator = jsonschema::options()
            .offline()
            .with_draft(jsonschema::Draft::Draft202012)
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(PATTERN_MAX_BYTES))
            .build(schema)
            .map_err(|error| {
                refuse(&format!("at {}: {}", shown_pointer(error.instance_path().as_str()), cut(&error.to_string())))
            })?;
        let meta_declared = schema.pointer("/properties/_meta").is_some();
        Ok(Self(Check::Full { validator: Box::new(validator), meta_declared }))
    }

    /// Begins the check of one document.
    pub fn begin(&self) -> Checking<'_> {
        Checking(match &self.0 {
            Check::Open => Progress::Open,
            Check::Flat(flat) => Progress::Flat(flat.begin()),
            Check::Full { validator, meta_declared } => Progress::Full { validator, meta_declared: *meta_declared },
        })
    }
}

/// The check of one document: tell it each member while the document is scanned, then the document.
#[derive(Debug)]
pub struct Checking<'s>(Progress<'s>);

#[derive(Debug)]
enum Progress<'s> {
    Open,
    Flat(flat::Walk<'s>),
    Full { validator: &'s jsonschema::Validator, meta_declared: bool },
}

impl Checking<'_> {
    /// The next member: its name, and its value as it is written.
    #[inline]
    pub fn member(&mut self, name: &[u8], value: &[u8]) {
        match &mut self.0 {
            Progress::Flat(walk) => walk.member(name, value),
            Progress::Open | Progress::Full { .. } => {}
        }
    }

    /// Whether the document fits, whose members all were told.
    pub fn end(self, document: &[u8]) -> Result<(), Violation> {
        match self.0 {
            Progress::Open => Ok(()),
            Progress::Flat(walk) => walk.end(),
            Progress::Full { validator, meta_declared } => check_fully(validator, meta_declared, document),
        }
    }
}

fn check_fully(validator: &jsonschema::Validator, meta_declared: bool, document: &[u8]) -> Result<(), Violation> {
    let mut value: Value = serde_json::from_slice(document).map_err(|error| Violation {
        pointer: String::new(),
        expected: "one JSON object".to_owned(),
        got: error.to_string(),
    })?;
    if !meta_declared && let Value::Object(members) = &mut value {
        members.shift_remove("_meta");
    }
    validator.validate(&value).map_err(|error| {
        // The validator says what is wrong and not what was expected.
        let keyword = error.schema_path().as_str().rsplit('/').next().unwrap_or_default().to_owned();
        Violation {
            pointer: error.instance_path().as_str().to_owned(),
            expected: format!("what `{keyword}` asks for ({})", cut(&error.masked().to_string())),
            got: cut(&error.instance().to_string()),
        }
    })
}

impl Violation {
    /// The `data` error of a document of `collection` with this key.
    #[must_use]
    pub fn into_error(self, collection: &str, key_json: &[u8]) -> Error {
        let key = cut(&String::from_utf8_lossy(key_json));
        let at = shown_pointer(&self.pointer);
        let message = format!(
            "a document of {collection} with key {key} does not fit the schema: at {at}: expected {}, got {}",
            self.expected, self.got
        );
        Error::data("document.schema", message)
            .at_pointer(self.pointer)
            .suggest("correct the document at its source, or widen the collection's schema in the catalog")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: expected {}, got {}", shown_pointer(&self.pointer), self.expected, self.got)
    }
}

fn parse(json: &[u8]) -> Result<Value, Error> {
    if json.len() > SCHEMA_MAX_BYTES {
        return Err(refuse(&format!("it has {} bytes, at most {SCHEMA_MAX_BYTES} are taken", json.len())));
    }
    serde_json::from_slice(json).map_err(|error| refuse(&error.to_string()))
}

/// What is not declared is not admitted, unless the schema says something about it.
fn close(schema: &mut Value) {
    const OTHERWISE: [&str; 7] =
        ["additionalProperties", "unevaluatedProperties", "patternProperties", "$ref", "anyOf", "oneOf", "allOf"];
    if let Value::Object(schema) = schema
        && !OTHERWISE.iter().any(|keyword| schema.contains_key(*keyword))
    {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

fn refuse(why: &str) -> Error {
    Error::config("schema.invalid", format!("the schema cannot be used: {why}"))
        .suggest("it must be JSON Schema 2020-12, complete in itself: references to other documents are not fetched")
}

fn shown_pointer(pointer: &str) -> &str {
    if pointer.is_empty() { "the document itself" } else { pointer }
}

fn cut(text: &str) -> String {
    match text.floor_char_boundary(SHOWN_MAX_BYTES) {
        end if end == text.len() => text.to_owned(),
        end => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests;
