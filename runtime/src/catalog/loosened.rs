//! A connector's schema as an editor may hold it against what a person writes. A catalog types scalars by the schema, not by their looks, and
//! fills in `${…}` anywhere: `0123` is a text where one is wanted, `"5432"` a number, and `${PORT:-5432}` is either.

use serde_json::{Map, Value, json};

/// What may stand for any scalar.
const VARIABLE: &str = r"\$\{";
/// Words under which schemas stand by a name, in a list, and by themselves.
const BY_NAME: [&str; 4] = ["properties", "patternProperties", "$defs", "dependentSchemas"];
const IN_LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const ALONE: [&str; 8] =
    ["items", "additionalProperties", "contains", "if", "then", "else", "not", "unevaluatedProperties"];

/// A text, whatever an editor takes it for.
pub(super) fn any_text() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

/// The schema at another place (`at`, such as `#/$defs/capture-files.config`), for what stands in a catalog.
pub(super) fn loosened(schema: &Value, at: &str) -> Value {
    let Value::Object(words) = schema else { return schema.clone() };
    let mut moved = Map::new();
    for (word, value) in words {
        let value = match (word.as_str(), value) {
            // The catalog's own, or nobody's.
            ("$schema" | "$id" | "title", _) => continue,
            ("$ref", Value::String(target)) if target.starts_with('#') => json!(format!("{at}{}", &target[1..])),
            (word, Value::Object(schemas)) if BY_NAME.contains(&word) => {
                schemas.iter().map(|(name, schema)| (name.clone(), loosened(schema, at))).collect::<Map<_, _>>().into()
            }
            (word, Value::Array(schemas)) if IN_LISTS.contains(&word) => {
                schemas.iter().map(|schema| loosened(schema, at)).collect()
            }
            (word, schema) if ALONE.contains(&word) => loosened(schema, at),
            (_, value) => value.clone(),
        };
        moved.insert(word.clone(), value);
    }
    scalar(moved)
}

/// A schema of a scalar becomes a choice between that and what a catalog may have in its place.
fn scalar(mut schema: Map<String, Value>) -> Value {
    let secret = ["secret", "airbyte_secret"].iter().any(|word| schema.get(*word) == Some(&Value::Bool(true)));
    if secret {
        schema.insert("writeOnly".into(), Value::Bool(true));
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let about = format!("{about} A secret: write it as \"${{NAME:?}}\".");
        schema.insert("description".into(), json!(about.trim()));
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    let has = |kind: &str| types.contains(&kind);
    let is_choice = schema.contains_key("const") || schema.contains_key("enum");
    let in_its_place = match () {
        () if is_choice => json!({ "type": "string", "pattern": VARIABLE }),
        () if has("string") => json!({ "type": ["number", "boolean"] }),
        () if has("integer") || has("number") => {
            json!({ "type": "string", "pattern": format!("^[-+0-9.eE]+$|{VARIABLE}") })
        }
        () if has("boolean") => json!({ "type": "string", "pattern": format!("^(true|false)$|{VARIABLE}") }),
        () => return schema.into(),
    };
    // A text with a rule of its own may still be a variable.
    let variable = json!({ "type": "string", "pattern": VARIABLE });
    let mut whole = Map::new();
    for word in ["description", "default", "examples", "writeOnly", "secret", "airbyte_secret", "deprecated"] {
        if let Some(value) = schema.remove(word) {
            whole.insert(word.into(), value);
        }
    }
    whole.insert("anyOf".into(), json!([schema, in_its_place, variable]));
    whole.into()
}
