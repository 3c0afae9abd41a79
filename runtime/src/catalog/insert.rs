//! Adds to a catalog what `discover` found, by inserting lines: no line and no comment that a person wrote is touched.
//!
//! The result is read again and must say exactly what the old text said plus what was added; else nothing is changed and the caller shows
//! the lines instead.

use serde_json::Value as Json;

use super::node::{Node, Value};
use super::source::Source;
use super::typed::untyped;
use super::written::{flow, word, write_value};
use super::yaml;

/// A collection to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCollection {
    /// Its name.
    pub name: String,
    /// JSON pointers of its key.
    pub key: Vec<String>,
    /// JSON Schema of its documents.
    pub schema: Json,
}

/// A binding to add to a capture that has none.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBinding {
    /// The resource, as the connector told it.
    pub resource: Json,
    /// The collection it fills.
    pub collection: String,
}

/// What to add.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Addition {
    /// To this capture, which must have no `bindings` yet; may be empty.
    pub bindings: Vec<NewBinding>,
    /// None of which may be there already.
    pub collections: Vec<NewCollection>,
}

/// Why nothing was inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotInserted {
    /// Why.
    pub reason: String,
    /// What to put into the file by hand.
    pub lines: String,
}

impl std::fmt::Display for NotInserted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; add these lines yourself:\n{}", self.reason, self.lines)
    }
}

impl std::error::Error for NotInserted {}

impl Addition {
    /// As lines of YAML, the way they are inserted.
    #[must_use]
    pub fn lines(&self, task: &str) -> String {
        let mut lines = String::new();
        if !self.bindings.is_empty() {
            lines.push_str(&format!("captures:\n  {}:\n{}", word(task), self.binding_lines("    ")));
        }
        if !self.collections.is_empty() {
            lines.push_str(&format!("collections:\n{}", self.collection_lines("  ")));
        }
        lines
    }

    /// The catalog's text with the addition in it.
    pub fn insert(&self, source: &Source, task: &str) -> Result<String, NotInserted> {
        let refuse = |reason: &str| NotInserted { reason: reason.to_owned(), lines: self.lines(task) };
        let old = yaml::parse(source, &mut Vec::new()).ok_or_else(|| refuse("the catalog cannot be read"))?;
        let mut insertions = Vec::new();
        if !self.bindings.is_empty() {
            let insertion = self
                .place_bindings(source, &old, task)
                .ok_or_else(|| refuse("the capture is not written one key a line"))?;
            insertions.push(insertion);
        }
        if !self.collections.is_empty() {
            let insertion = self
                .place_collections(source, &old)
                .ok_or_else(|| refuse("`collections` is not written one name a line"))?;
            insertions.push(insertion);
        }
        let text = inserted(source.text(), insertions);
        let new_source = Source::new(source.path(), text);
        let mut findings = Vec::new();
        let new = yaml::parse(&new_source, &mut findings).filter(|_| findings.is_empty());
        if new.is_some_and(|new| untyped(&new) == self.expected(&old, task)) {
            Ok(new_source.text().to_owned())
        } else {
            Err(refuse("the lines do not fit into the catalog as it is written"))
        }
    }

    fn place_collections(&self, source: &Source, root: &Node) -> Option<(usize, String)> {
        let Some(entry) = root.entry("collections") else {
            let text = source.text();
            let before = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            return Some((text.len(), format!("{before}collections:\n{}", self.collection_lines("  "))));
        };
        match &entry.value.value {
            Value::Mapping(entries) => {
                let last = entries.last()?;
                let (start, line) = source.line(last.key_span.start);
                let indent = line.get(..last.key_span.start - start).filter(|before| before.trim().is_empty())?;
                Some(place_behind(source.text(), last.key_span.start, &self.collection_lines(indent)))
            }
            Value::Scalar(_) => Some(place_behind(source.text(), entry.key_span.start, &self.collection_lines("  "))),
            Value::Sequence(_) => None,
        }
    }

    fn place_bindings(&self, source: &Source, root: &Node, task: &str) -> Option<(usize, String)> {
        let entry = root.get("captures")?.entry(task)?;
        let Value::Mapping(entries) = &entry.value.value else { return None };
        let last = entries.last()?;
        let (start, line) = source.line(last.key_span.start);
        let indent = line.get(..last.key_span.start - start).filter(|before| before.trim().is_empty())?;
        Some(place_behind(source.text(), last.key_span.start, &self.binding_lines(indent)))
    }

    fn collection_lines(&self, indent: &str) -> String {
        let mut lines = String::new();
        for collection in &self.collections {
            let key: Vec<String> = collection.key.iter().map(|pointer| word(pointer)).collect();
            lines.push_str(&format!(
                "{indent}{}:\n{indent}  key: [{}]\n{indent}  schema:",
                word(&collection.name),
                key.join(", ")
            ));
            write_value(&collection.schema, &format!("{indent}    "), &mut lines);
        }
        lines
    }

    fn binding_lines(&self, indent: &str) -> String {
        let mut lines = format!("{indent}bindings:\n");
        for binding in &self.bindings {
            let (resource, collection) = (flow(&binding.resource), word(&binding.collection));
            lines.push_str(&format!("{indent}  - {{ resource: {resource}, collection: {collection} }}\n"));
        }
        lines
    }

    /// What the new text must say, written as YAML's own guess of types would read it.
    fn expected(&self, old: &Node, task: &str) -> Json {
        let mut expected = untyped(old);
        if !self.bindings.is_empty() {
            let bindings = self
                .bindings
                .iter()
                .map(|one| serde_json::json!({"resource": one.resource, "collection": one.collection}));
            expected["captures"][task]["bindings"] = bindings.collect();
        }
        for one in &self.collections {
            // A section without entries is null.
            expected["collections"][&one.name] = serde_json::json!({"key": one.key, "schema": one.schema});
        }
        expected
    }
}

/// Behind the last line that belongs to the block whose key begins at `key`: all that is indented deeper.
fn place_behind(text: &str, key: usize, lines: &str) -> (usize, String) {
    let key_line = text[..key].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = key - key_line;
    let mut end = key_line;
    let mut at = key_line;
    for (number, line) in text[key_line..].split_inclusive('\n').enumerate() {
        let depth = line.len() - line.trim_start().len();
        let blank = line.trim().is_empty();
        // A list may stand at the column of its key.
        if number > 0 && !blank && depth <= indent && !(depth == indent && line.trim_start().starts_with("- ")) {
            break;
        }
        at += line.len();
        if !blank {
            end = at;
        }
    }
    let before = if text[..end].ends_with('\n') { "" } else { "\n" };
    (end, format!("{before}{lines}"))
}

fn inserted(text: &str, mut insertions: Vec<(usize, String)>) -> String {
    insertions.sort_by_key(|(at, _)| *at);
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for (at, lines) in insertions {
        result.push_str(&text[from..at]);
        result.push_str(&lines);
        from = at;
    }
    result.push_str(&text[from..]);
    result
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn addition() -> Addition {
        let schema = json!({"type": "object", "properties": {"id": {"type": "integer"}, "no": {"type": ["string", "null"]}}, "required": ["id"]});
        Addition {
            bindings: Vec::new(),
            collections: vec![NewCollection { name: "b/c".into(), key: vec!["/id".into()], schema }],
        }
    }

    const ADDED: &str = "  b/c:\n    key: [/id]\n    schema:\n      type: object\n      properties:\n        id: { type: integer }\n        \"no\": { type: [string, \"null\"] }\n      required: [id]\n";

    fn insert(text: &str) -> Result<String, NotInserted> {
        addition().insert(&Source::new(Path::new("a.yaml"), text.into()), "t")
    }

    #[test]
    fn new_collections_go_behind_the_last_one_and_nothing_else_changes() {
        let before = "collections: # ours\n  a:   { key: [/x] }   # keep\n      # deeper\n";
        let after = "\n# about the rest\nmaterializations:\n  m: {connector: x}\n";
        assert_eq!(insert(&format!("{before}{after}")).unwrap(), format!("{before}{ADDED}{after}"));
    }

    #[test]
    fn a_catalog_without_collections_gets_them_at_its_end() {
        assert_eq!(insert("captures: {}").unwrap(), format!("captures: {{}}\ncollections:\n{ADDED}"));
        assert_eq!(insert("captures: {}\ncollections:\n").unwrap(), format!("captures: {{}}\ncollections:\n{ADDED}"));
    }

    #[test]
    fn what_would_mean_touching_a_line_is_left_to_the_user() {
        for text in
            ["collections: { a: { key: [/x] } }\n", "{ captures: {} }\n", "captures: {}\n...\n", "collections: []\n"]
        {
            let refused = insert(text).unwrap_err();
            assert!(refused.to_string().contains(&ADDED[..20]), "{text}: {refused}");
        }
    }

    #[test]
    fn bindings_are_added_to_a_capture_that_has_none() {
        let mut addition = addition();
        addition.bindings = vec![NewBinding { resource: json!({"glob": "*.csv"}), collection: "b/c".into() }];
        let text = "captures:\n  t:\n    connector: files # here\n    config:\n      path: .\n  u: {}\n";
        let expected = format!(
            "captures:\n  t:\n    connector: files # here\n    config:\n      path: .\n    bindings:\n      - {{ resource: {{ glob: \"*.csv\" }}, collection: b/c }}\n  u: {{}}\ncollections:\n{ADDED}"
        );
        assert_eq!(addition.insert(&Source::new(Path::new("a.yaml"), text.into()), "t").unwrap(), expected);
    }
}
