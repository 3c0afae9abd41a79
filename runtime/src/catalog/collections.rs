//! `collections:`: names, keys and schemas.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::advice::{did_you_mean, one_of};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Keys, check_name, choice, entries, fields, list, text};
use super::node::{Node, Value};
use super::schema::Schema;
use super::typed::untyped;
use super::{CollectionDecl, Retention, Validation};
use crate::document::reduce;

pub(super) const COLLECTION: Keys =
    Keys { known: &["key", "schema", "validation", "retention"], example: "`key: [/id]`" };
pub(super) const RETENTIONS: [(&str, Retention); 2] = [("all", Retention::All), ("consumed", Retention::Consumed)];
pub(super) const VALIDATIONS: [(&str, Validation); 3] =
    [("enforce", Validation::Enforce), ("infer", Validation::Infer), ("off", Validation::Off)];
const KEY: &str = "key: [/id]";

/// All collections of the catalog.
pub(super) fn read(root: Option<&Node>, findings: &mut Vec<Diagnostic>) -> BTreeMap<String, CollectionDecl> {
    let mut collections = BTreeMap::new();
    let Some(root) = root else { return collections };
    let example = "`shop/orders: { key: [/id] }`";
    for entry in entries(root, "`collections`", example, findings).unwrap_or_default() {
        check_name(&entry.key, "collection", entry.key_span, findings);
        let who = format!("collection `{}`", entry.key);
        let (mut key, mut schema, mut validation, mut retention) = (None, None, None, Retention::default());
        if let Some(fields) = fields(&entry.value, &who, COLLECTION, findings) {
            schema = fields.optional("schema").and_then(|node| read_schema(node, &who, findings));
            key = fields.optional("key").and_then(|node| read_key(node, &who, schema.as_ref(), findings));
            if let (Some(schema), Some(node)) = (&schema, fields.optional("schema")) {
                check_reductions(node, schema, key.as_deref().unwrap_or_default(), findings);
            }
            validation = choice(&fields, "validation", &VALIDATIONS, findings);
            retention = choice(&fields, "retention", &RETENTIONS, findings).unwrap_or_default();
        }
        let span = entry.key_span;
        collections.insert(entry.key.clone(), CollectionDecl { key, schema, validation, retention, span });
    }
    collections
}

fn read_key(node: &Node, who: &str, schema: Option<&Json>, findings: &mut Vec<Diagnostic>) -> Option<Vec<String>> {
    let who = format!("the key of {who}");
    if let Value::Scalar(scalar) = &node.value
        && !node.is_null()
    {
        let help = format!("write a list: `key: [{}]`", pointer_like(&scalar.text));
        findings.push(Diagnostic::error(
            Code::Key,
            node.span,
            format!("{who}: expected a list of JSON pointers, got text"),
            help,
        ));
        return None;
    }
    let items = list(node, &who, KEY, findings)?;
    if items.is_empty() {
        let help =
            format!("write at least one pointer, such as `{KEY}`, or remove `key` to take the one that Discover finds");
        findings.push(Diagnostic::error(Code::Key, node.name_span(), format!("{who} is empty"), help));
        return None;
    }
    let mut pointers: Vec<String> = Vec::new();
    for item in items {
        let Some(pointer) = text(item, &who, KEY, findings) else { continue };
        if let Err(why) = check_pointer(pointer) {
            let help = format!("write `{}`", pointer_like(pointer));
            findings.push(Diagnostic::error(
                Code::Key,
                item.span,
                format!("{who}: `{pointer}` is no JSON pointer: {why}"),
                help,
            ));
        } else if pointers.iter().any(|other| other == pointer) {
            let message = format!("{who} names `{pointer}` twice");
            findings.push(Diagnostic::error(Code::Key, item.span, message, "remove one of the two"));
        } else {
            if let Some(schema) = schema {
                check_against_schema(item, pointer, &who, schema, findings);
            }
            pointers.push(pointer.to_owned());
        }
    }
    Some(pointers)
}

fn check_pointer(pointer: &str) -> Result<(), &'static str> {
    if !pointer.starts_with('/') {
        return Err("it does not begin with a slash");
    }
    if pointer.len() == 1 {
        return Err("it names no field");
    }
    let mut rest = pointer;
    while let Some(tilde) = rest.find('~') {
        if !rest[tilde + 1..].starts_with(['0', '1']) {
            return Err("a `~` is written ~0 and a slash in a name ~1");
        }
        rest = &rest[tilde + 2..];
    }
    Ok(())
}

/// What the user most likely meant.
fn pointer_like(text: &str) -> String {
    let text = text.trim().trim_start_matches('$').trim_start_matches(['.', '/']);
    if text.is_empty() { "/id".into() } else { format!("/{}", text.replace('.', "/").replace('~', "~0")) }
}

/// A schema that lists its fields and not this one: a typo, unless it admits others on purpose.
fn check_against_schema(item: &Node, pointer: &str, who: &str, schema: &Json, findings: &mut Vec<Diagnostic>) {
    let Some(first) = pointer.split('/').nth(1) else { return };
    let name = first.replace("~1", "/").replace("~0", "~");
    let Some(properties) =
        schema.get("properties").and_then(Json::as_object).filter(|properties| !properties.is_empty())
    else {
        return;
    };
    if name == "_meta" || properties.contains_key(&name) {
        return;
    }
    let near = did_you_mean(&name, properties.keys().map(String::as_str));
    let known = format!("the schema has {}", one_of(properties.keys().map(String::as_str)));
    let help = near.map_or(known.clone(), |near| format!("did you mean `/{near}`?\n{known}"));
    let message = format!("{who}: `{pointer}` leads to nothing in the collection's schema");
    let closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
    findings.push(if closed || near.is_some() {
        Diagnostic::error(Code::KeyNotInSchema, item.span, message, help)
    } else {
        Diagnostic::warning(Code::KeyNotInSchema, item.span, message, help)
    });
}

fn read_schema(node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Option<Json> {
    if node.is_null() {
        return None;
    }
    let who = format!("the schema of {who}");
    let help = "write a JSON Schema, such as `schema: { type: object, properties: { id: { type: integer } } }`, or remove it to take the one that Discover finds";
    if !matches!(node.value, Value::Mapping(_)) {
        let message = format!("{who}: expected a mapping, got {}", node.shape());
        findings.push(Diagnostic::error(Code::Schema, node.span, message, help));
        return None;
    }
    let before = findings.len();
    refuse_references(node, findings);
    if let Some(kind) = node.get("type")
        && let Value::Scalar(scalar) = &kind.value
        && scalar.text != "object"
        && ["string", "integer", "number", "boolean", "array", "null"].contains(&scalar.text.as_str())
    {
        let message = format!("{who}: documents are JSON objects, so its type cannot be `{}`", scalar.text);
        findings.push(Diagnostic::error(Code::Schema, kind.span, message, "write `type: object`"));
    }
    if findings.len() > before {
        return None;
    }
    let json = untyped(node);
    if let Err(bad) = Schema::compile(json.clone()) {
        let at = node.nearest(&bad.pointer);
        let word = if let Value::Scalar(scalar) = &at.value { scalar.text.as_str() } else { "" };
        let near = did_you_mean(word, ["object", "string", "integer", "number", "boolean", "array", "null"])
            .filter(|_| !word.is_empty());
        let help = near.map_or_else(|| help.to_owned(), |near| format!("did you mean `{near}`?"));
        let span = if matches!(at.value, Value::Scalar(_)) { at.span } else { at.name_span() };
        findings.push(Diagnostic::error(Code::Schema, span, format!("{who}: {}", bad.message), help));
    }
    (findings.len() == before).then_some(json)
}

/// A schema that lies elsewhere would change under a running task, and reading it would be a request in the user's name.
fn refuse_references(node: &Node, findings: &mut Vec<Diagnostic>) {
    match &node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                match &entry.value.value {
                    Value::Scalar(target) if entry.key == "$ref" && !target.text.starts_with('#') => {
                        let message = "a schema may refer only into itself, such as `#/$defs/name`; nothing is fetched from elsewhere";
                        let help = "copy the schema into `$defs` and refer to it there";
                        findings.push(Diagnostic::error(Code::Schema, entry.value.span, message, help));
                    }
                    Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => {
                        refuse_references(&entry.value, findings)
                    }
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| refuse_references(item, findings)),
        Value::Scalar(_) => {}
    }
}

/// What is wrong with the `reduce` annotations of a schema.
fn check_reductions(root: &Node, schema: &Json, key: &[String], findings: &mut Vec<Diagnostic>) {
    for fault in reduce::faults(schema, key) {
        let at = root.nearest(&fault.pointer);
        let span = if matches!(at.value, Value::Scalar(_)) { at.span } else { at.name_span() };
        findings.push(Diagnostic::error(Code::Reduce, span, fault.message, fault.help));
    }
}
