//! The catalog that `init` writes, as text: what each line means, and what else could stand there.

use std::fmt::Write as _;

use serde_json::Value;

use super::config::{Config, Settings};
use super::known;
use super::paths::unique;
use crate::catalog::{about, flow, keys, word};
use crate::cli::discover::Found;
use crate::cli::specs::Described;

/// Comments are no wider than a terminal.
const COLUMNS: usize = 80;
/// Of a wide collection, so many fields are named in its comment.
const FIELDS_MAX: usize = 24;

/// A task to be written.
pub(super) struct Task<'a> {
    pub(super) name: &'a str,
    pub(super) described: &'a Described,
    pub(super) config: &'a Config,
}

/// Enough of a catalog to ask the source what there is; `resources` are those that are known already.
pub(super) fn draft(capture: &Task<'_>, resources: &[(Value, String)]) -> String {
    let mut text = format!("captures:\n  {}:\n    connector: {}\n", word(capture.name), word(&capture.described.name));
    if !capture.config.entries.is_empty() {
        text.push_str("    config:\n");
        for (key, value) in &capture.config.entries {
            text.push_str(&format!("      {}: {}\n", word(key), flow(value)));
        }
    }
    if !resources.is_empty() {
        text.push_str("    bindings:\n");
    }
    for (resource, collection) in resources {
        text.push_str(&format!("      - {{ resource: {}, collection: {} }}\n", flow(resource), word(collection)));
    }
    text
}

/// The whole catalog.
pub(super) fn catalog(capture: &Task<'_>, found: &[Found], materialization: &Task<'_>) -> Result<String, String> {
    let mut text = Text::default();
    text.comment("", "Written by `longshore init`; it is yours now. `longshore check` asks whether it will work, `longshore run` moves documents, `longshore schema` teaches an editor its keys.");
    text.line("");
    text.section("captures");
    text.task(capture);
    text.comment("    ", about("capture", "bindings"));
    text.others("    ", "capture binding", &["resource", "collection"]);
    text.line("    bindings:");
    for one in found {
        let dash = if one.discovered.disabled { "# - " } else { "- " };
        text.line(&format!(
            "      {dash}{{ resource: {}, collection: {} }}",
            flow(&one.resource),
            word(&one.collection)
        ));
    }
    text.line("");
    text.section("collections");
    text.others("  ", "collection", &["key"]);
    for one in found.iter().filter(|one| !one.discovered.disabled) {
        text.collection(one);
    }
    text.line("");
    text.section("materializations");
    text.task(materialization);
    text.comment("    ", about("materialization", "bindings"));
    text.others("    ", "materialization binding", &["collection", "resource"]);
    text.line("    bindings:");
    let delta = if known::is_delta_only(&materialization.described.name) { ", delta_updates: true" } else { "" };
    let mut taken = Vec::new();
    for one in found.iter().filter(|one| !one.discovered.disabled) {
        let name = one.collection.strip_prefix(&format!("{}/", capture.name)).unwrap_or(&one.collection);
        let name = unique(name.replace('/', "_"), &mut taken);
        let resource = resource(materialization.described, &name)?;
        text.line(&format!(
            "      - {{ collection: {}, resource: {}{delta} }}",
            word(&one.collection),
            flow(&resource)
        ));
    }
    Ok(text.0)
}

/// A resource of a destination that is told by one name.
fn resource(described: &Described, name: &str) -> Result<Value, String> {
    let keys: Vec<&str> = described.path_pointers.iter().filter_map(|pointer| pointer.strip_prefix('/')).collect();
    let key = keys.last().filter(|key| !key.contains('/')).copied();
    let needed = crate::catalog::settings(&described.resource);
    let more = needed.iter().find(|one| one.required && Some(one.name.as_str()) != key);
    match (key, more) {
        (Some(key), None) => Ok(serde_json::json!({ key: name })),
        (_, more) => Err(more.map_or_else(|| "what names it".to_owned(), |one| format!("`{}`", one.name))),
    }
}

/// Lines.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn comment(&mut self, indent: &str, text: &str) {
        for line in wrapped(text, COLUMNS - indent.len() - 2) {
            self.line(&format!("{indent}# {line}"));
        }
    }

    fn section(&mut self, key: &str) {
        self.comment("", about("the catalog", key));
        self.line(&format!("{key}:"));
    }

    fn task(&mut self, task: &Task<'_>) {
        self.line(&format!("  {}:", word(task.name)));
        self.line(&format!("    connector: {}", word(&task.described.name)));
        let settings = Settings::of(task.described);
        let set = |name: &str| task.config.entries.iter().find(|(key, _)| key == name);
        if task.config.entries.is_empty() {
            self.line("    config: {}");
        } else {
            self.line("    config:");
        }
        for one in settings.known() {
            let Some((key, value)) = set(&one.name) else { continue };
            self.comment("      ", &one.description);
            self.line(&format!("      {}: {}", word(key), flow(value)));
        }
        let others: Vec<_> = settings.known().iter().filter(|one| set(&one.name).is_none()).collect();
        if others.is_empty() {
            return;
        }
        let indent = "      ";
        self.comment(indent, "What else there is:");
        for one in others {
            let default = one.default.as_ref().map(|value| format!(" [default: {value}]")).unwrap_or_default();
            self.hanging(indent, &format!("{}: {}. {}{default}", one.name, one.kind, one.description));
        }
    }

    /// The keys of a mapping that are not written here.
    fn others(&mut self, indent: &str, mapping: &str, written: &[&str]) {
        self.comment(indent, "What else there is in one:");
        for (key, about) in keys(mapping) {
            if !written.contains(&key) {
                self.hanging(indent, &format!("{key}: {about}"));
            }
        }
    }

    fn hanging(&mut self, indent: &str, text: &str) {
        for (number, line) in wrapped(text, COLUMNS - indent.len() - 6).iter().enumerate() {
            let hang = if number == 0 { "" } else { "  " };
            self.line(&format!("{indent}#   {hang}{line}"));
        }
    }

    fn collection(&mut self, one: &Found) {
        let indent = "    ";
        self.line(&format!("  {}:", word(&one.collection)));
        if !one.discovered.note.is_empty() {
            self.comment(indent, &one.discovered.note);
        }
        self.comment(indent, &fields(&one.schema));
        let key: Vec<String> = one.discovered.key.iter().map(|pointer| word(pointer)).collect();
        if one.discovered.key_is_fallback {
            self.comment(
                indent,
                "A fallback: the source names no key, and this one only tells documents apart. Of a key the last document counts, so \
                 name the fields that tell one row from another, such as [/id].",
            );
        }
        self.line(&format!("{indent}key: [{}]", key.join(", ")));
    }
}

/// The names of the fields with their types.
fn fields(schema: &Value) -> String {
    let mut text = String::from("Fields: ");
    let properties: Vec<_> =
        schema["properties"].as_object().into_iter().flatten().filter(|(name, _)| *name != "_meta").collect();
    for (number, (name, field)) in properties.iter().take(FIELDS_MAX).enumerate() {
        let kind = match &field["type"] {
            Value::String(kind) => kind.clone(),
            Value::Array(kinds) => {
                let named = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                named.collect::<Vec<_>>().join(" or ")
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
        };
        let comma = if number == 0 { "" } else { ", " };
        write!(text, "{comma}{name} ({kind})").expect("a String takes everything");
    }
    match properties.len() {
        0 => "Its fields are not known yet.".to_owned(),
        all if all > FIELDS_MAX => format!("{text}, and {} more", all - FIELDS_MAX),
        _ => text,
    }
}

/// Lines of at most so many letters, where there is a space. What comes from elsewhere has no line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_wrapped_at_spaces() {
        assert_eq!(wrapped("a bb  ccc\ndddddd e", 5), ["a bb", "ccc", "dddddd", "e"]);
        assert_eq!(wrapped("", 5), Vec::<String>::new());
    }

    #[test]
    fn fields_are_named_with_their_types() {
        let schema = serde_json::json!({"properties": {"a": {"type": ["integer", "null"]}, "b": {}, "_meta": {"type": "object"}}});
        assert_eq!(fields(&schema), "Fields: a (integer), b (any)");
        assert_eq!(fields(&serde_json::json!({})), "Its fields are not known yet.");
    }
}
