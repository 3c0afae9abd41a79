//! What becomes of a field whose values have several types, or get another one than before: one field of all types (`widen`), a field for each
//! (`split`), the task stops (`stop`), or the field stays as it was and what does not fit becomes a dead letter (`dead_letter`). An integer and a number with a fraction are one kind of value here, and so are objects and arrays:
//! both widen. A part of the key is always one field.

use longshore_proto::Error;
use longshore_proto::selection::{JsonType, field_types};
use serde_json::Value;

use super::{Given, Part, Wanted};
use crate::catalog::OnConflict;

/// One type of each kind of value.
const EACH_KIND: [JsonType; 4] = [JsonType::Boolean, JsonType::Integer, JsonType::String, JsonType::Object];
/// What stands behind the names of further fields.
const SUFFIXES: [&str; 4] = ["__boolean", "__number", "__string", "__json"];

/// The fields that a pointer makes.
///
/// # Errors
/// `data`: the types changed, and the user wants to be asked.
pub(super) fn parts(pointer: &str, is_key: bool, wanted: Wanted<'_>, schema: &Value) -> Result<Vec<Part>, Error> {
    let types = field_types(schema, pointer);
    let before: Vec<&Given> = wanted.before.iter().filter(|old| old.pointer == *pointer).collect();
    let one = |types: Vec<JsonType>| vec![Part { pointer: pointer.to_owned(), types, suffix: String::new() }];
    match wanted.on_conflict {
        OnConflict::Widen => Ok(one(types)),
        OnConflict::Split if is_key => Ok(one(types)),
        OnConflict::Split => Ok(split(pointer, types, &before)),
        OnConflict::Stop => match before.last() {
            Some(old) if !covers(&old.types, &types) => Err(conflict(pointer, wanted, &old.types, &types)),
            Some(_) | None => Ok(one(types)),
        },
        // What was made for some types refuses the others.
        OnConflict::DeadLetter => match before.last() {
            Some(old) if !covers(&old.types, &types) => Ok(one(old.types.clone())),
            Some(_) | None => Ok(one(types)),
        },
    }
}

/// A field for each kind of value. The first one that a pointer ever had goes on under its name; what was without a type takes all.
fn split(pointer: &str, types: Vec<JsonType>, before: &[&Given]) -> Vec<Part> {
    let mut groups: Vec<Vec<JsonType>> = Vec::new();
    let is_further = |old: &&&Given| SUFFIXES.iter().any(|suffix| old.name.contains(suffix));
    for old in before.iter().filter(|old| !is_further(old)).chain(before.iter().filter(is_further)) {
        match groups.iter_mut().find(|group| same_kind(group, &old.types)) {
            Some(group) => *group = joined(group, &old.types),
            None => groups.push(old.types.clone()),
        }
    }
    if groups.iter().any(Vec::is_empty) || groups.is_empty() && types.is_empty() {
        groups = vec![Vec::new()];
    } else {
        // Any type is all of them: a value of one that the columns were not made for must have a place too.
        let types = if types.is_empty() { EACH_KIND.to_vec() } else { types };
        for of in types {
            match groups.iter_mut().find(|group| same_kind(group, &[of])) {
                Some(group) => *group = joined(group, &[of]),
                None => groups.push(vec![of]),
            }
        }
    }
    let part = |(place, types): (usize, Vec<JsonType>)| {
        let suffix = if place == 0 { String::new() } else { format!("__{}", word(&types)) };
        Part { pointer: pointer.to_owned(), types, suffix }
    };
    groups.into_iter().enumerate().map(part).collect()
}

fn same_kind(one: &[JsonType], other: &[JsonType]) -> bool {
    one.iter().any(|a| other.iter().any(|b| a.is_kind_of(*b)))
}

/// All types of both; a number is an integer too.
fn joined(one: &[JsonType], other: &[JsonType]) -> Vec<JsonType> {
    let mut types = [one, other].concat();
    types.sort_unstable();
    types.dedup();
    if types.contains(&JsonType::Number) {
        types.retain(|of| *of != JsonType::Integer);
    }
    types
}

/// What stands behind the name of a further field.
fn word(types: &[JsonType]) -> &'static str {
    match types.first() {
        Some(JsonType::Boolean) => "boolean",
        Some(JsonType::Integer | JsonType::Number) => "number",
        Some(JsonType::String) => "string",
        Some(JsonType::Object | JsonType::Array) => "json",
        None => "any",
    }
}

/// What was made for the old types takes the new ones as they are.
fn covers(old: &[JsonType], new: &[JsonType]) -> bool {
    let takes = |of: &JsonType| old.contains(of) || *of == JsonType::Integer && old.contains(&JsonType::Number);
    old.is_empty() || !new.is_empty() && new.iter().all(takes)
}

fn conflict(pointer: &str, wanted: Wanted<'_>, old: &[JsonType], new: &[JsonType]) -> Error {
    let words = |types: &[JsonType]| match types {
        [] => "any type".to_owned(),
        types => types.iter().map(|of| of.as_str()).collect::<Vec<_>>().join(" or "),
    };
    let message = format!(
        "field {pointer} of {}: expected {}, as its column was made for, got {}; `on_conflict` of the binding is `stop`",
        wanted.collection.name,
        words(old),
        words(new)
    );
    Error::data("binding.conflict", message).suggest(
        "set `on_conflict: widen` (the column takes both) or `split` (a further column for the further type), or leave the field out with `fields: { exclude: […] }`",
    )
}
