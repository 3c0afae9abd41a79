//! What a connector's JSON Schema says about one value the user wrote: types, settings, choices. A guide for reading and for
//! suggestions; whether the result is right is decided by [`super::schema`].
//!
//! A value may be spoken about in several places (`$ref`, `allOf`, the branches of `oneOf`); a [`Shape`] is all of them together.
//! Branches that a constant of the user's own text rules out are left away: with `format: csv` only the csv branch speaks.

use serde_json::Value;

use super::node::{self, Node};

/// A schema may refer to itself.
const DEPTH_AT_MOST: usize = 24;

/// Everything a schema says about one value.
#[derive(Debug, Clone)]
pub(super) struct Shape<'s> {
    root: &'s Value,
    schemas: Vec<&'s Value>,
}

/// The types a value may have. None of them said: any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Types {
    pub(super) null: bool,
    pub(super) boolean: bool,
    pub(super) integer: bool,
    pub(super) number: bool,
    pub(super) string: bool,
    pub(super) array: bool,
    pub(super) object: bool,
}

impl Types {
    pub(super) fn any(self) -> bool {
        self == Self::default()
    }

    fn add(&mut self, name: &str) {
        match name {
            "null" => self.null = true,
            "boolean" => self.boolean = true,
            "integer" => self.integer = true,
            "number" => self.number = true,
            "string" => self.string = true,
            "array" => self.array = true,
            "object" => self.object = true,
            _ => {}
        }
    }

    fn add_type_of(&mut self, value: &Value) {
        self.add(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
    }
}

impl<'s> Shape<'s> {
    /// What the whole schema says about the whole value.
    pub(super) fn of(root: &'s Value, node: &Node) -> Self {
        let mut shape = Self { root, schemas: Vec::new() };
        shape.gather(root, Some(node), 0);
        shape
    }

    /// What it says about the value at a JSON pointer below `node`, which may not be there.
    pub(super) fn at(root: &'s Value, node: &Node, pointer: &str) -> Self {
        let mut shape = Self::of(root, node);
        let mut reached = Some(node);
        for part in pointer.split('/').skip(1) {
            let child = reached.and_then(|node| node.at(&format!("/{part}")));
            let list = matches!(reached.map(|node| &node.value), Some(node::Value::Sequence(_)));
            let name = part.replace("~1", "/").replace("~0", "~");
            shape = match (list, name.parse()) {
                (true, Ok(index)) => shape.item(index, child),
                _ => shape.property(&name, child),
            };
            reached = child;
        }
        shape
    }

    /// What it says about the value of a key.
    pub(super) fn property(&self, key: &str, child: Option<&Node>) -> Self {
        let mut shape = Self { root: self.root, schemas: Vec::new() };
        for schema in &self.schemas {
            match schema.get("properties").and_then(|properties| properties.get(key)) {
                Some(schema) => shape.gather(schema, child, 0),
                None => {
                    let others = schema
                        .get("patternProperties")
                        .and_then(Value::as_object)
                        .into_iter()
                        .flatten()
                        .map(|(_, schema)| schema);
                    for schema in others.chain(schema.get("additionalProperties")) {
                        shape.gather(schema, child, 0);
                    }
                }
            }
        }
        shape
    }

    /// What it says about an entry of a list.
    pub(super) fn item(&self, index: usize, child: Option<&Node>) -> Self {
        let mut shape = Self { root: self.root, schemas: Vec::new() };
        for schema in &self.schemas {
            if let Some(schema) =
                schema.get("prefixItems").and_then(|items| items.get(index)).or_else(|| schema.get("items"))
            {
                shape.gather(schema, child, 0);
            }
        }
        shape
    }

    /// The types it allows.
    pub(super) fn types(&self) -> Types {
        let mut types = Types::default();
        for schema in &self.schemas {
            match schema.get("type") {
                Some(Value::String(name)) => types.add(name),
                Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(|name| types.add(name)),
                Some(_) | None => values_of(schema).for_each(|value| types.add_type_of(value)),
            }
        }
        types
    }

    /// The values it allows, where it lists them.
    pub(super) fn choices(&self) -> Vec<&'s Value> {
        let mut choices: Vec<&Value> = Vec::new();
        for value in self.schemas.iter().flat_map(|schema| values_of(schema)) {
            if !choices.contains(&value) {
                choices.push(value);
            }
        }
        choices
    }

    /// The keys it knows.
    pub(super) fn keys(&self) -> Vec<&'s str> {
        let mut keys: Vec<&str> = Vec::new();
        for properties in self.schemas.iter().filter_map(|schema| schema.get("properties")?.as_object()) {
            keys.extend(properties.keys().map(String::as_str).filter(|key| !keys.contains(key)).collect::<Vec<_>>());
        }
        keys
    }

    /// Whether a key must be there.
    pub(super) fn requires(&self, key: &str) -> bool {
        self.schemas.iter().any(|schema| list(schema, "required").any(|name| name == key))
    }

    /// What it is when nothing is written.
    pub(super) fn default(&self) -> Option<&'s Value> {
        self.schemas.iter().find_map(|schema| schema.get("default")).filter(|value| !value.is_null())
    }

    /// What it is for, in the connector's words: the first sentence.
    pub(super) fn description(&self) -> Option<&'s str> {
        let text = self.schemas.iter().find_map(|schema| schema.get("description")?.as_str())?;
        let line = text.lines().next()?;
        Some(line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches('.'))
    }

    /// A value it gives as an example or takes when nothing is written.
    pub(super) fn example(&self) -> Option<&'s Value> {
        let given = |schema: &&'s Value| {
            let examples = schema.get("examples").and_then(|examples| examples.get(0));
            examples.or_else(|| schema.get("default")).filter(|value| !value.is_null())
        };
        self.schemas.iter().find_map(given).or_else(|| self.choices().into_iter().find(|value| !value.is_null()))
    }

    /// Its value is not to be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.schemas.iter().any(|schema| {
            ["secret", "airbyte_secret", "writeOnly"].iter().any(|word| schema.get(word) == Some(&Value::Bool(true)))
                || schema.get("format").and_then(Value::as_str) == Some("password")
        })
    }

    fn gather(&mut self, schema: &'s Value, node: Option<&Node>, depth: usize) {
        if depth > DEPTH_AT_MOST || !schema.is_object() {
            return;
        }
        self.schemas.push(schema);
        if let Some(target) = referred(self.root, schema) {
            self.gather(target, node, depth + 1);
        }
        for part in list(schema, "allOf").chain(["then", "else"].iter().filter_map(|word| schema.get(word))) {
            self.gather(part, node, depth + 1);
        }
        for word in ["anyOf", "oneOf"] {
            let fitting = |branch: &&Value| node.is_none_or(|node| fits(self.root, branch, node, 0));
            let mut branches: Vec<&Value> = list(schema, word).filter(fitting).collect();
            if branches.is_empty() {
                branches = list(schema, word).collect();
            }
            for branch in branches {
                self.gather(branch, node, depth + 1);
            }
        }
    }
}

/// No constant of this branch contradicts what the user wrote, and its type is of the same shape.
fn fits(root: &Value, branch: &Value, node: &Node, depth: usize) -> bool {
    if depth > DEPTH_AT_MOST {
        return true;
    }
    if let Some(target) = referred(root, branch)
        && !fits(root, target, node, depth + 1)
    {
        return false;
    }
    if let Some(kind) = branch.get("type").and_then(Value::as_str)
        && !same_shape(kind, node)
    {
        return false;
    }
    let properties = branch.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().all(|(key, schema)| match node.get(key).map(|child| &child.value) {
        Some(node::Value::Scalar(scalar)) => {
            let mut allowed = values_of(schema).peekable();
            allowed.peek().is_none() || scalar.text.contains("${") || allowed.any(|value| text_of(value) == scalar.text)
        }
        Some(node::Value::Sequence(_) | node::Value::Mapping(_)) | None => true,
    })
}

fn same_shape(kind: &str, node: &Node) -> bool {
    match &node.value {
        node::Value::Scalar(_) => !matches!(kind, "object" | "array"),
        node::Value::Sequence(_) => kind == "array",
        node::Value::Mapping(_) => kind == "object",
    }
}

/// `const` and `enum`.
fn values_of(schema: &Value) -> impl Iterator<Item = &Value> {
    schema.get("const").into_iter().chain(list(schema, "enum"))
}

fn list<'s>(schema: &'s Value, word: &str) -> impl Iterator<Item = &'s Value> {
    schema.get(word).and_then(Value::as_array).into_iter().flatten()
}

fn referred<'s>(root: &'s Value, schema: &Value) -> Option<&'s Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// As a user would write it.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
