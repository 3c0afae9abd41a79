//! JSON Schemas of config and resource types: draft 2020-12, closed, everything in place.
//!
//! Titles and descriptions come from doc comments, `oneOf` from enums. A schema is closed (`additionalProperties: false`) so that a
//! misspelt key is a finding and not a silence.

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// The schema of a type that is read from JSON.
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    Close.transform(&mut schema);
    schema.to_value()
}

/// [`of`], written as JSON.
pub fn json<T: JsonSchema>() -> Bytes {
    of::<T>().to_string().into()
}

/// Closes every object schema that says nothing about further properties.
#[derive(Debug, Clone)]
struct Close;

/// Keywords beside `properties` whose schemas look at the same object, so that neither may close it alone.
const SAME_OBJECT: [&str; 4] = ["oneOf", "anyOf", "allOf", "$ref"];

impl Transform for Close {
    fn transform(&mut self, schema: &mut Schema) {
        let composed = SAME_OBJECT.iter().any(|keyword| schema.get(*keyword).is_some());
        let open = schema.get("additionalProperties").is_none() && schema.get("unevaluatedProperties").is_none();
        let described = schema.get("properties").is_some();
        if described && open && !composed {
            schema.insert("additionalProperties".to_owned(), false.into());
        } else if described && composed {
            schema.remove("additionalProperties");
            schema.insert("unevaluatedProperties".to_owned(), false.into());
            for keyword in SAME_OBJECT {
                reopen(schema.get_mut(keyword));
            }
            return;
        }
        transform_subschemas(self, schema);
    }
}

/// The parts of a composed object must not refuse each other's properties; what lies in those properties is closed as ever.
fn reopen(parts: Option<&mut Value>) {
    for part in parts.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(part) = part.as_object_mut() else { continue };
        part.remove("additionalProperties");
        let properties = part.get_mut("properties").and_then(Value::as_object_mut);
        for property in properties.into_iter().flat_map(|properties| properties.values_mut()) {
            if let Ok(schema) = <&mut Schema>::try_from(property) {
                Close.transform(schema);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;

    /// Where to read.
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Config {
        /// The directory.
        path: String,
        how: How,
    }

    #[derive(JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    #[allow(dead_code)]
    enum How {
        /// One line, one document.
        Lines {
            limit: Option<u32>,
        },
        Whole,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Flat {
        name: String,
        #[serde(flatten)]
        how: How,
    }

    #[test]
    fn a_schema_is_closed_in_place_and_described() {
        let schema = of::<Config>();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["description"], "Where to read.");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["path"]["description"], "The directory.");
        let variants = schema["properties"]["how"]["oneOf"].as_array().expect("an enum is a oneOf");
        assert_eq!(variants.len(), 2);
        for variant in variants {
            assert_eq!(variant["additionalProperties"], false, "{variant}");
        }
        assert!(schema.get("$defs").is_none());
    }

    #[test]
    fn a_flattened_enum_is_closed_as_a_whole() {
        let schema = of::<Flat>();
        assert_eq!(schema["unevaluatedProperties"], false, "{schema}");
        assert_eq!(schema.get("additionalProperties"), None);
        for variant in schema["oneOf"].as_array().expect("variants") {
            assert_eq!(variant.get("additionalProperties"), None, "{variant}");
        }
        assert_eq!(schema["required"], json!(["name"]));
    }
}
