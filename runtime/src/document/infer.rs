//! The schema that admits one more document: what inference does when a document does not fit what is known.
//!
//! Only what does not fit is touched, so whatever fitted before fits after. New fields are described by their type alone, nested values as
//! `object` or `array`: that is what makes columns, it keeps the fast path, and field names that are data deep inside add nothing. A schema that
//! describes nested values is widened where the value stands. It is asked for documents that do not fit and for no others.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::widen::in_place;
use super::{PATTERN_MAX_BYTES, SCHEMA_MAX_BYTES, number};

/// Inference gives an object of a schema no more properties than this.
pub const INFERRED_PROPERTIES_MAX: usize = 1000;

/// Why no wider schema was inferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotInferred {
    /// It would describe more than [`INFERRED_PROPERTIES_MAX`] fields of an object, or be larger than a schema may be.
    TooWide,
    /// The document does not fit a schema whose references would lead elsewhere if it were put beside another.
    References,
    /// The known schema, or the document, is not what it must be.
    Unreadable(String),
}

/// A schema that admits what `schema_json` admits, and this document.
pub fn admit(schema_json: &[u8], document: &[u8]) -> Result<Vec<u8>, NotInferred> {
    let unreadable = |error: serde_json::Error| NotInferred::Unreadable(error.to_string());
    let root: Value = serde_json::from_slice(schema_json).map_err(unreadable)?;
    let document = std::str::from_utf8(document).map_err(|error| NotInferred::Unreadable(error.to_string()))?;
    let members = members(document)?;
    let wider = Inference { root: &root }.whole(&members)?;
    let wider = serde_json::to_vec(&wider).map_err(unreadable)?;
    if wider.len() > SCHEMA_MAX_BYTES { Err(NotInferred::TooWide) } else { Ok(wider) }
}

/// Members of an object in their order, each value as it is written.
type Members<'d> = Vec<(String, &'d RawValue)>;

/// Where a schema of an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the schema of documents: what it does not declare is new, unless it says otherwise.
    Whole,
    /// It stands beside others that describe documents.
    Beside,
    /// It describes a value inside a document.
    Inside,
}

struct Inference<'r> {
    root: &'r Value,
}

impl Inference<'_> {
    fn whole(&self, members: &Members<'_>) -> Result<Value, NotInferred> {
        match self.root {
            Value::Object(known) if in_place(known) => self.object(known, members, Place::Whole).map(Value::Object),
            Value::Object(known) if !refers(self.root) => {
                let (mut all, last) = alternatives(known);
                all.push(Value::Object(self.object(&last.unwrap_or_else(nothing_known), members, Place::Beside)?));
                Ok(json!({ "anyOf": all }))
            }
            Value::Object(_) => Err(NotInferred::References),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.object(&Map::new(), members, Place::Whole).map(Value::Object)
            }
        }
    }

    fn object(
        &self,
        known: &Map<String, Value>,
        members: &Members<'_>,
        place: Place,
    ) -> Result<Map<String, Value>, NotInferred> {
        let mut wider = known.clone();
        add_type(&mut wider, "object");
        if let Some(Value::Array(required)) = wider.get_mut("required") {
            required.retain(|name| members.iter().any(|(member, _)| name.as_str() == Some(member)));
            if required.is_empty() {
                wider.shift_remove("required");
            }
        }
        let mut properties = match wider.get_mut("properties") {
            Some(Value::Object(properties)) => std::mem::take(properties),
            _ => Map::new(),
        };
        let before = properties.len();
        let (closed, additional) = (place == Place::Whole, known.get("additionalProperties"));
        for (name, value) in members {
            if let Some(property) = properties.get(name) {
                let property = self.value(property, value)?;
                properties.insert(name.clone(), property);
            } else if (place == Place::Inside || name != "_meta") && !self.has_place(additional, closed, value) {
                // What fitted before under this name has to fit still.
                let property = match additional {
                    Some(schema @ Value::Object(_)) => self.value(schema, value)?,
                    _ => json!({ "type": kind(value) }),
                };
                properties.insert(name.clone(), property);
            }
        }
        if properties.len() > before.max(INFERRED_PROPERTIES_MAX) {
            return Err(NotInferred::TooWide);
        }
        if !properties.is_empty() || known.contains_key("properties") {
            wider.insert("properties".to_owned(), Value::Object(properties));
        }
        Ok(wider)
    }

    /// Whether a field that is not declared is admitted.
    fn has_place(&self, additional: Option<&Value>, closed: bool, value: &RawValue) -> bool {
        match additional {
            None => !closed,
            Some(Value::Bool(admits)) => *admits,
            Some(schema) => self.fits(schema, value),
        }
    }

    fn value(&self, known: &Value, value: &RawValue) -> Result<Value, NotInferred> {
        let schema = match known {
            Value::Object(schema) => schema,
            Value::Bool(false) => return Ok(json!({ "type": kind(value) })),
            Value::Null | Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Ok(known.clone());
            }
        };
        if !in_place(schema) {
            if self.fits(known, value) {
                return Ok(known.clone());
            }
            let (mut all, last) = alternatives(schema);
            let last = last.map_or(Value::Bool(false), Value::Object);
            all.push(self.value(&last, value)?);
            return Ok(json!({ "anyOf": all }));
        }
        let mut wider = schema.clone();
        add_type(&mut wider, kind(value));
        let describes = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
        match kind(value) {
            "object" if describes(&["properties", "required", "additionalProperties"]) => {
                wider = self.object(&wider, &members(value.get())?, Place::Inside)?;
            }
            "array" if describes(&["items"]) => {
                let items: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(unreadable)?;
                let mut one = schema["items"].clone();
                for item in items {
                    one = self.value(&one, item)?;
                }
                wider.insert("items".to_owned(), one);
            }
            _ => {}
        }
        Ok(Value::Object(wider))
    }

    /// What cannot be decided here is as if it did not fit: then the value's type stands beside it, which admits more and never less.
    fn fits(&self, schema: &Value, value: &RawValue) -> bool {
        let mut whole = json!({ "allOf": [schema] });
        if let Some(definitions) = self.root.get("$defs") {
            whole["$defs"] = definitions.clone();
        }
        let patterns = jsonschema::PatternOptions::regex().size_limit(PATTERN_MAX_BYTES);
        let compiled = jsonschema::options()
            .offline()
            .with_draft(jsonschema::Draft::Draft202012)
            .with_pattern_options(patterns)
            .build(&whole);
        let value: Result<Value, _> = serde_json::from_str(value.get());
        matches!((compiled, value), (Ok(schema), Ok(value)) if schema.is_valid(&value))
    }
}

/// What stands side by side in a schema, and the one that was inferred: the last one, if there are several.
fn alternatives(schema: &Map<String, Value>) -> (Vec<Value>, Option<Map<String, Value>>) {
    let mut all = match schema.get("anyOf") {
        Some(Value::Array(all)) if schema.len() == 1 => all.clone(),
        _ => vec![Value::Object(schema.clone())],
    };
    let inferred = match all.last() {
        Some(Value::Object(last)) if all.len() > 1 && in_place(last) => Some(last.clone()),
        _ => None,
    };
    if inferred.is_some() {
        all.pop();
    }
    (all, inferred)
}

/// Stands beside a schema that describes documents in a way of its own.
fn nothing_known() -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

/// The type of a value that is known to be JSON.
fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes() {
        [b'"', ..] => "string",
        [b'{', ..] => "object",
        [b'[', ..] => "array",
        [b'n', ..] => "null",
        [b't' | b'f', ..] => "boolean",
        digits if number::is_integer(digits) => "integer",
        _ => "number",
    }
}

/// Types stand beside each other; a number is an integer or another one.
fn add_type(schema: &mut Map<String, Value>, kind: &'static str) {
    let mut names: Vec<Value> = match schema.get("type") {
        None => return,
        Some(Value::Array(names)) => names.clone(),
        Some(name) => vec![name.clone()],
    };
    if names.iter().any(|name| name == kind || name == "number" && kind == "integer") {
        return;
    }
    match names.iter_mut().find(|name| *name == "integer" && kind == "number") {
        Some(integer) => *integer = kind.into(),
        None => names.push(kind.into()),
    }
    let types = match names.as_slice() {
        [one] => one.clone(),
        several => Value::from(several),
    };
    schema.insert("type".to_owned(), types);
}

fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.starts_with('$') && name.ends_with("ef") || refers(value))
        }
        Value::Array(items) => items.iter().any(refers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn unreadable(error: serde_json::Error) -> NotInferred {
    NotInferred::Unreadable(error.to_string())
}

fn members(object: &str) -> Result<Members<'_>, NotInferred> {
    struct Ordered<'d>(Members<'d>);
    struct Collect;
    impl<'d> Visitor<'d> for Collect {
        type Value = Members<'d>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    impl<'d> Deserialize<'d> for Ordered<'d> {
        fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Collect).map(Ordered)
        }
    }
    serde_json::from_str::<Ordered<'_>>(object).map(|Ordered(members)| members).map_err(unreadable)
}

#[cfg(test)]
#[path = "infer_tests.rs"]
mod tests;
