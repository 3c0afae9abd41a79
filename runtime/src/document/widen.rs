//! Whether what a source states now is wider than what was known, and the schema that admits both.
//!
//! Versions of a schema only widen (integer → number → string, null beside each, new properties, fewer required ones), so each version
//! admits what a source sends from then on, and destinations only ever have to widen. Schemas are compared by what they say about types;
//! titles and other annotations do not make a version.

use longshore_proto::Error;
use serde_json::{Map, Value};

use super::{cut, parse, refuse};

/// What a newly stated schema means beside the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Widened {
    /// The current version admits it already.
    Same,
    /// A new version is needed; this is it, as JSON. It admits what either admits, in the wider type.
    Wider(Vec<u8>),
}

/// Joins the current version of a schema with what the source states now.
pub fn widen(current_json: &[u8], stated_json: &[u8]) -> Result<Widened, Error> {
    let (current, stated) = (parse(current_json)?, parse(stated_json)?);
    let joined = join(&current, &stated);
    if same(&joined, &current) {
        return Ok(Widened::Same);
    }
    match serde_json::to_vec(&joined) {
        Ok(json) => Ok(Widened::Wider(json)),
        Err(error) => Err(refuse(&format!("joining {} with what was known: {error}", cut(&stated.to_string())))),
    }
}

/// Keywords this knows how to join; with any other that asserts something, schemas that differ are only put side by side.
const JOINED: [&str; 5] = ["type", "properties", "required", "additionalProperties", "items"];
const ANNOTATIONS: [&str; 11] = [
    "$comment",
    "$schema",
    "$id",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "reduce",
    "title",
    "writeOnly",
];

/// The least schema we can write that admits both. What `current` says stays as it is wherever it admits `stated`.
fn join(current: &Value, stated: &Value) -> Value {
    if same(current, stated) {
        return current.clone();
    }
    match (current, stated) {
        // `false` admits nothing and so adds nothing.
        (_, Value::Bool(false)) => current.clone(),
        (Value::Bool(false), _) => stated.clone(),
        (Value::Bool(true), _) => Value::Bool(true),
        (Value::Object(current), _) if asserts_nothing(current) => Value::Object(current.clone()),
        (_, Value::Bool(true)) => Value::Bool(true),
        (Value::Object(a), Value::Object(b)) if joinable(a) && joinable(b) => Value::Object(join_objects(a, b)),
        _ => side_by_side(current, stated),
    }
}

fn join_objects(current: &Map<String, Value>, stated: &Map<String, Value>) -> Map<String, Value> {
    let mut joined = current.clone();
    match (current.get("type"), stated.get("type")) {
        (Some(a), Some(b)) => drop(joined.insert("type".to_owned(), join_types(a, b))),
        (Some(_), None) => drop(joined.shift_remove("type")),
        (None, _) => {}
    }
    // A format is a promise about every value.
    if current.get("format").is_some() && current.get("format") != stated.get("format") {
        joined.shift_remove("format");
    }
    join_properties(&mut joined, stated);
    join_required(&mut joined, stated);
    match (current.get("items"), stated.get("items")) {
        (Some(a), Some(b)) => drop(joined.insert("items".to_owned(), join(a, b))),
        (Some(_), None) if may_be(stated, "array") => drop(joined.shift_remove("items")),
        (None, Some(b)) if !may_be(current, "array") => drop(joined.insert("items".to_owned(), b.clone())),
        (Some(_), None) | (None, _) => {}
    }
    joined
}

fn join_properties(joined: &mut Map<String, Value>, stated: &Map<String, Value>) {
    let empty = Map::new();
    let declared = |schema: &Map<String, Value>| schema.get("properties").and_then(Value::as_object).cloned();
    let theirs = declared(stated);
    let mut ours = declared(joined);
    for (name, property) in theirs.as_ref().unwrap_or(&empty) {
        let ours = ours.get_or_insert_with(Map::new);
        let wider = match ours.get(name) {
            Some(known) => join(known, property),
            None => property.clone(),
        };
        ours.insert(name.clone(), wider);
    }
    if let Some(ours) = ours {
        joined.insert("properties".to_owned(), Value::Object(ours));
    }
    // What is not said about further properties admits them; `false` stays only if both say it, or the other cannot be an object.
    match (joined.get("additionalProperties").cloned(), stated.get("additionalProperties")) {
        (Some(a), Some(b)) => drop(joined.insert("additionalProperties".to_owned(), join(&a, b))),
        (Some(_), None) if stated.contains_key("properties") => drop(joined.shift_remove("additionalProperties")),
        (Some(_), None) | (None, _) => {}
    }
}

fn join_required(joined: &mut Map<String, Value>, stated: &Map<String, Value>) {
    if !may_be(stated, "object") {
        return;
    }
    let empty = Vec::new();
    let theirs = stated.get("required").and_then(Value::as_array).unwrap_or(&empty);
    if let Some(Value::Array(ours)) = joined.get_mut("required") {
        ours.retain(|name| theirs.contains(name));
        if ours.is_empty() {
            joined.shift_remove("required");
        }
    }
}

/// Types on the ladder integer → number → string give way to the highest; all others stand beside each other. `current` keeps its order.
/// Where one of the two has numbers and text side by side, both are really there, and they stay side by side.
fn join_types(current: &Value, stated: &Value) -> Value {
    const LADDER: [&str; 3] = ["integer", "number", "string"];
    let mut names: Vec<&str> = words(current);
    for name in words(stated) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mixed = |names: &[&str]| names.contains(&"string") && (names.contains(&"integer") || names.contains(&"number"));
    if mixed(&words(current)) || mixed(&words(stated)) {
        if names.contains(&"number") {
            names.retain(|name| *name != "integer");
        }
    } else if let Some(highest) = LADDER.iter().rposition(|step| names.contains(step)) {
        let place = names.iter().position(|name| LADDER.contains(name)).unwrap_or(0);
        names.retain(|name| !LADDER.contains(name));
        names.insert(place.min(names.len()), LADDER[highest]);
    }
    match names.as_slice() {
        [one] => Value::from(*one),
        several => Value::from(several),
    }
}

fn words(types: &Value) -> Vec<&str> {
    match types {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::String(name) => vec![name],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn may_be(schema: &Map<String, Value>, kind: &str) -> bool {
    schema.get("type").is_none_or(|types| words(types).contains(&kind))
}

/// For what cannot be joined; a schema that stands there already is not added again.
fn side_by_side(current: &Value, stated: &Value) -> Value {
    let mut all = match current.get("anyOf").and_then(Value::as_array) {
        Some(all) if current.as_object().is_some_and(|schema| schema.len() == 1) => all.clone(),
        _ => vec![current.clone()],
    };
    if !all.iter().any(|one| same(one, stated)) {
        all.push(stated.clone());
    }
    match all.as_slice() {
        [one] => one.clone(),
        several => serde_json::json!({ "anyOf": several }),
    }
}

/// Whether a schema can be widened where it stands.
pub(super) fn in_place(schema: &Map<String, Value>) -> bool {
    let known = |key: &String| {
        JOINED.contains(&key.as_str()) || key == "format" || key == "$defs" || ANNOTATIONS.contains(&key.as_str())
    };
    schema.keys().all(known)
}

fn joinable(schema: &Map<String, Value>) -> bool {
    let known = |key: &String| JOINED.contains(&key.as_str()) || key == "format" || ANNOTATIONS.contains(&key.as_str());
    schema.keys().all(known)
}

fn asserts_nothing(schema: &Map<String, Value>) -> bool {
    schema.keys().all(|key| key == "format" || ANNOTATIONS.contains(&key.as_str()))
}

/// Equal in what they assert. Only the order of names in `type` and `required` and of members is free.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let said = |schema: &Map<String, Value>| -> Vec<String> {
                schema.keys().filter(|key| !ANNOTATIONS.contains(&key.as_str())).cloned().collect()
            };
            let (keys, others) = (said(a), said(b));
            keys.len() == others.len()
                && keys.iter().all(|key| b.get(key).is_some_and(|other| same_keyword(key, &a[key], other)))
        }
        _ => a == b,
    }
}

fn same_keyword(key: &str, a: &Value, b: &Value) -> bool {
    match (key, a, b) {
        ("type", ..) => sorted(words(a)) == sorted(words(b)),
        ("required", ..) => sorted(words(a)) == sorted(words(b)),
        // Names of properties are no keywords: `title` counts there.
        ("properties", Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, schema)| b.get(name).is_some_and(|other| same(schema, other)))
        }
        ("items" | "additionalProperties", ..) => same(a, b),
        _ => a == b,
    }
}

fn sorted(mut words: Vec<&str>) -> Vec<&str> {
    words.sort_unstable();
    words.dedup();
    words
}
