//! Whether a collection's key can lead to anything in its documents: a key that is always absent makes all documents one.

use longshore_proto::key::KeyPointers;
use longshore_proto::session::{Collection, Finding};
use serde_json::Value;

use super::fit::error;

/// The finding, if the schema rules a part of the key out; a schema that admits more than it declares rules out little.
pub(super) fn finding(index: usize, collection: &Collection) -> Option<Finding> {
    let schema: Value = serde_json::from_slice(&collection.schema_json).ok()?;
    let key = KeyPointers::compile(&collection.key).ok()?;
    let parts = key.pointers().iter().zip(key.tokens());
    let (pointer, why) = parts.into_iter().find_map(|(pointer, names)| Some((pointer, fault(&schema, names)?)))?;
    let message = format!("the key of collection `{}`: {pointer} leads to no value: {why}", collection.name);
    let suggestion = "correct the collection's key; `longshore discover TASK` shows what there is";
    Some(error(index, "collection.key", message, suggestion))
}

/// Why `names`, one inside the other, lead to nothing.
fn fault(schema: &Value, names: &[String]) -> Option<String> {
    let mut at = schema;
    for name in names {
        // What the runtime and connectors put there themselves is not declared.
        if name == "_meta" && std::ptr::eq(at, schema) {
            return None;
        }
        if !admits(at, "object") {
            return Some(format!("the schema has no object where {name:?} would be"));
        }
        let declared = at.get("properties").and_then(Value::as_object);
        match declared.and_then(|properties| properties.get(name)) {
            Some(inner) => at = inner,
            None if at.get("additionalProperties") == Some(&Value::Bool(false))
                && at.get("patternProperties").is_none() =>
            {
                return Some(format!("the schema has no field {name:?}"));
            }
            None => return None,
        }
    }
    let scalar = ["null", "boolean", "integer", "number", "string"].iter().any(|kind| admits(at, kind));
    (!scalar).then(|| "objects and arrays are no keys".to_owned())
}

fn admits(schema: &Value, kind: &str) -> bool {
    let is = |value: &Value| value.as_str() == Some(kind);
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is),
        Some(one) => is(one),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_schema_rules_out_is_no_key() {
        let schema = json!({
            "type": "object",
            "properties": { "id": { "type": ["integer", "null"] }, "in": { "type": "object", "properties": { "x": {} } }, "any": {} },
            "additionalProperties": false,
        });
        let fault = |schema: &Value, pointer: &str| {
            let key = KeyPointers::compile(&[pointer.to_owned()]).expect("a key");
            fault(schema, &key.tokens()[0])
        };
        for good in ["/id", "/in/x", "/in/y", "/any", "/any/x", "/_meta/source/file"] {
            assert_eq!(fault(&schema, good), None, "{good}");
        }
        for bad in ["/ID", "/id/x", "/in", "/none/x"] {
            assert!(fault(&schema, bad).is_some(), "{bad}");
        }
        assert_eq!(fault(&json!({ "properties": { "id": {} } }), "/other"), None, "an open schema rules nothing out");
    }
}
