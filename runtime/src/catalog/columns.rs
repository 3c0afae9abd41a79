//! `columns` of a capture's binding: the part of a resource that is wanted. The connector gets them as `columns` of the resource, so only one
//! whose resources have that key can be asked for a part; what is not wanted is not read, and is no part of the collection's schema.

use std::collections::BTreeSet;

use bytes::Bytes;
use longshore_proto::Error;
use serde_json::Value as Json;

use super::CaptureBinding;
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, list, text};
use super::node::{Entry, Node, Value};
use super::shape::Shape;
use super::source::Span;

/// The key, in a binding and in a connector's resource.
const COLUMNS: &str = "columns";

/// Which fields of a resource are wanted, beside those of the key.
#[derive(Debug, Clone)]
pub struct Columns {
    names: Vec<String>,
    /// Where they are written.
    pub span: Span,
    node: Node,
}

/// As the binding says; what is wrong is reported.
pub(super) fn read(fields: &Fields<'_>, resource: &Node, findings: &mut Vec<Diagnostic>) -> Option<Columns> {
    const EXAMPLE: &str = "columns: [id, name]";
    let node = fields.optional(COLUMNS)?;
    let who = format!("`{COLUMNS}` of {}", fields.who);
    let key_span = fields.key_span(COLUMNS);
    let mut wrong =
        |span: Span, message: String, help: &str| findings.push(Diagnostic::error(Code::Columns, span, message, help));
    if resource.get(COLUMNS).is_some() {
        let message = format!("{who}: its resource has `{COLUMNS}` too");
        wrong(key_span, message, "write them once, beside `resource`");
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for item in list(node, &who, EXAMPLE, findings)? {
        let Some(name) = text(item, &who, EXAMPLE, findings) else { continue };
        if names.iter().any(|other| other == name) {
            let message = format!("{who}: `{name}` stands there twice");
            findings.push(Diagnostic::error(Code::Columns, item.span, message, "remove one of the two"));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        let message = format!("{who}: expected the names of some columns, got none");
        let help = "name those that are wanted, or remove it: without it all of them are";
        findings.push(Diagnostic::error(Code::Columns, key_span, message, help));
        return None;
    }
    Some(Columns { names, span: key_span, node: Node { key_span: Some(key_span), ..node.clone() } })
}

/// The resource as the connector shall get it.
pub(super) fn within(resource: &Node, columns: Option<&Columns>) -> Node {
    match (columns, &resource.value) {
        (Some(columns), Value::Mapping(entries)) => {
            let own = Entry { key: COLUMNS.into(), key_span: columns.span, value: columns.node.clone() };
            let entries = entries.iter().cloned().chain([own]).collect();
            Node { value: Value::Mapping(entries), ..resource.clone() }
        }
        (_, Value::Mapping(_) | Value::Scalar(_) | Value::Sequence(_)) => resource.clone(),
    }
}

impl CaptureBinding {
    /// A discovered schema of its resource, without what it does not want.
    ///
    /// # Errors
    /// `protocol`: it is no JSON.
    pub fn wanted_of(&self, schema_json: Bytes, key: &[String]) -> Result<Bytes, Error> {
        match &self.columns {
            Some(columns) => columns.part_of(&schema_json, key),
            None => Ok(schema_json),
        }
    }
}

impl Columns {
    /// What to tell of a connector whose resources cannot be taken in part; none: these can.
    #[must_use]
    pub fn refused_by(&self, connector: &str, resource_schema_json: &[u8]) -> Option<Diagnostic> {
        let schema: Json = serde_json::from_slice(resource_schema_json).ok()?;
        let shape = Shape::of(&schema, &self.node);
        if shape.keys().contains(&COLUMNS) {
            return None;
        }
        let message = format!("{connector} takes no part of a resource: it knows no `{COLUMNS}`");
        let help = "remove it here; which fields arrive can be said with `fields` of a materialization's binding";
        Some(Diagnostic::error(Code::Columns, self.span, message, help))
    }

    /// The key's fields are wanted always, and what a document says of itself.
    fn part_of(&self, schema_json: &Bytes, key: &[String]) -> Result<Bytes, Error> {
        let mut schema: Json = serde_json::from_slice(schema_json).map_err(|error| {
            Error::protocol("capture.schema", format!("a discovered schema: expected JSON, got {error}"))
        })?;
        let of_key = key.iter().filter_map(|pointer| Some(unescaped(pointer.split('/').nth(1)?)));
        let kept: BTreeSet<String> = self.names.iter().cloned().chain(of_key).chain(["_meta".to_owned()]).collect();
        if let Some(Json::Object(properties)) = schema.get_mut("properties") {
            properties.retain(|name, _| kept.contains(name));
        }
        if let Some(Json::Array(required)) = schema.get_mut("required") {
            required.retain(|name| name.as_str().is_some_and(|name| kept.contains(name)));
        }
        Ok(schema.to_string().into())
    }
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
