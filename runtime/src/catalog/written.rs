//! JSON values as lines of YAML, the way they are put into a catalog.

use serde_json::Value as Json;

use super::node;

/// A mapping that holds mappings goes on lines of its own, everything else on this line.
pub(super) fn write_value(value: &Json, indent: &str, lines: &mut String) {
    match value {
        Json::Object(entries) if entries.values().any(Json::is_object) => {
            lines.push('\n');
            for (key, value) in entries {
                lines.push_str(&format!("{indent}{}:", word(key)));
                write_value(value, &format!("{indent}  "), lines);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
            lines.push_str(&format!(" {}\n", flow(value)));
        }
    }
}

/// On one line.
#[must_use]
pub fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => word(text),
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) if entries.is_empty() => "{}".into(),
        Json::Object(entries) => {
            format!(
                "{{ {} }}",
                entries
                    .iter()
                    .map(|(key, value)| format!("{}: {}", word(key), flow(value)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
    }
}

/// A text, without quotes where every reader of YAML, also one of version 1.1, takes it for the same text.
#[must_use]
pub fn word(text: &str) -> String {
    let taken = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_lowercase().as_str());
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        || text.starts_with("./")
        || text.starts_with("../");
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c));
    if begins && plain && !taken && !node::is_null_word(text) {
        text.to_owned()
    } else {
        // A JSON text is a YAML text.
        Json::String(text.to_owned()).to_string()
    }
}
