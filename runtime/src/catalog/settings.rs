//! A connector's JSON Schema as a list of settings, for `connector spec` and for READMEs.

use serde_json::Value;

use super::node::Node;
use super::shape::{Shape, Types, text_of};
use super::source::Span;

/// One key that a config or a resource may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: String,
    /// Its type or its choices, for people.
    pub kind: String,
    /// It must be there.
    pub required: bool,
    /// What it is when nothing is written, as YAML.
    pub default: Option<String>,
    /// What it is for, in a sentence.
    pub description: String,
    /// Its value is not to be shown.
    pub secret: bool,
}

/// The settings a schema has at its top, those that must be there first.
#[must_use]
pub fn settings(schema: &Value) -> Vec<Setting> {
    let shape = Shape::of(schema, &Node::absent(Span::default()));
    let one = |name: &str| {
        let property = shape.property(name, None);
        Setting {
            name: name.to_owned(),
            kind: kind(&property),
            required: shape.requires(name),
            default: property.default().map(text_of),
            description: property.description().unwrap_or_default().to_owned(),
            secret: property.is_secret(),
        }
    };
    let mut settings: Vec<Setting> = shape.keys().into_iter().map(one).collect();
    settings.sort_by_key(|setting| !setting.required);
    settings
}

fn kind(shape: &Shape<'_>) -> String {
    let choices: Vec<String> = shape.choices().into_iter().filter(|value| !value.is_null()).map(text_of).collect();
    if !choices.is_empty() {
        return choices.join(" | ");
    }
    if shape.is_secret() {
        return "secret text".into();
    }
    let Types { boolean, integer, number, string, array, object, .. } = shape.types();
    let words = [
        (string, "text"),
        (integer, "whole number"),
        (number, "number"),
        (boolean, "true or false"),
        (array, "list"),
        (object, "mapping"),
    ];
    let named: Vec<&str> = words.iter().filter_map(|(has, word)| has.then_some(*word)).collect();
    if named.is_empty() { "anything".into() } else { named.join(" or ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_listed_with_type_default_and_purpose() {
        let schema = json!({
            "type": "object", "required": ["path"],
            "properties": {
                "format": {"anyOf": [{"$ref": "#/$defs/F"}, {"type": "null"}], "default": null},
                "rows": {"type": ["integer", "null"], "default": 5, "description": "How many. And more."},
                "path": {"type": "string"},
            },
            "$defs": {"F": {"oneOf": [{"const": "csv"}, {"const": "tsv"}]}},
        });
        let rows: Vec<_> =
            settings(&schema).into_iter().map(|s| (s.name, s.kind, s.required, s.default, s.description)).collect();
        let row = |name: &str, kind: &str, required, default: Option<&str>, description: &str| {
            (name.to_owned(), kind.to_owned(), required, default.map(str::to_owned), description.to_owned())
        };
        assert_eq!(
            rows,
            [
                row("path", "text", true, None, ""),
                row("format", "csv | tsv", false, None, ""),
                row("rows", "whole number", false, Some("5"), "How many"),
            ]
        );
    }
}
