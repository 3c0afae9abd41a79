//! Which columns a collection makes: its key and its top-level fields, with types from its JSON Schema.

use std::collections::{BTreeMap, BTreeSet};

use longshore_sdk::materialize::Collection;
use longshore_sdk::{Error, Result};
use serde_json::{Map, Value};

use crate::identifier::{fault_in_column, folded};

/// Change metadata of a document. A column of its own in delta tables, where a delete is a row like any other.
pub(crate) const META_FIELD: &str = "_meta";
/// What SQLite takes unless it was built otherwise.
const MAX_COLUMNS: usize = 2000;

/// A column type of a STRICT table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Integers of 64 bits; booleans as 0 and 1.
    Integer,
    /// IEEE doubles.
    Real,
    /// Texts; objects and arrays as JSON.
    Text,
    /// Each value with a type of its own.
    Any,
}

impl ColumnType {
    pub(crate) fn as_sql(self) -> &'static str {
        match self {
            ColumnType::Integer => "INTEGER",
            ColumnType::Real => "REAL",
            ColumnType::Text => "TEXT",
            ColumnType::Any => "ANY",
        }
    }

    pub(crate) fn from_sql(text: &str) -> Option<Self> {
        [ColumnType::Integer, ColumnType::Real, ColumnType::Text, ColumnType::Any]
            .into_iter()
            .find(|column_type| column_type.as_sql().eq_ignore_ascii_case(text))
    }

    /// The narrowest type that holds the values of both as they are. Text does not hold numbers: what was `7` must stay a number, and what
    /// comes as `007` a text.
    pub(crate) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (one, another) if one == another => one,
            (ColumnType::Integer, ColumnType::Real) | (ColumnType::Real, ColumnType::Integer) => ColumnType::Real,
            (_, _) => ColumnType::Any,
        }
    }
}

/// A column and where its value stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Tokens of the JSON pointer; one for a top-level field.
    pub(crate) path: Vec<String>,
    pub(crate) column_type: ColumnType,
}

/// What a binding's table must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) columns: Vec<Column>,
    /// Places of the key's columns, in the order of the key.
    pub(crate) key: Vec<usize>,
    /// A row for each document, and no key constraint.
    pub(crate) delta: bool,
    /// The schema admits fields that it does not declare, and so there is no column for them.
    pub(crate) open: bool,
}

impl Shape {
    pub(crate) fn of(collection: &Collection, delta: bool) -> Result<Self> {
        let schema: Value = serde_json::from_slice(&collection.schema_json).map_err(|error| {
            Error::internal("sqlite.schema", format!("reading the schema of {}: {error}", collection.name))
        })?;
        let mut columns = Vec::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        let key_paths: Vec<Vec<String>> = collection.key.iter().map(|pointer| tokens(pointer)).collect();
        for path in key_paths.iter().filter(|path| path.len() > 1) {
            columns.push(Column { name: path.join("/"), path: path.clone(), column_type: type_at(&schema, path) });
        }
        for (name, property) in properties.into_iter().flatten().filter(|(name, _)| *name != META_FIELD) {
            columns.push(Column { name: name.clone(), path: vec![name.clone()], column_type: type_of(property) });
        }
        for path in key_paths.iter().filter(|path| path.len() == 1) {
            if !columns.iter().any(|column| column.path == *path) {
                columns.push(Column { name: path[0].clone(), path: path.clone(), column_type: ColumnType::Any });
            }
        }
        if delta {
            columns.push(Column {
                name: META_FIELD.to_owned(),
                path: vec![META_FIELD.to_owned()],
                column_type: ColumnType::Text,
            });
        }
        let place = |path: &Vec<String>| columns.iter().position(|column| column.path == *path);
        let key = key_paths.iter().filter_map(place).collect();
        let open = schema.get("additionalProperties") != Some(&Value::Bool(false));
        let shape = Self { columns, key, delta, open };
        shape.check(&collection.name)?;
        Ok(shape)
    }

    /// Names and number of the columns.
    fn check(&self, collection: &str) -> Result<()> {
        let wrong = |code: &str, message: String| Error::config(code, format!("collection {collection}: {message}"));
        let mut seen = BTreeMap::new();
        for column in &self.columns {
            if let Some(fault) = fault_in_column(&column.name) {
                return Err(wrong(
                    "sqlite.column.name",
                    format!("expected a field that can name a column, got {fault}"),
                ));
            }
            if let Some(other) = seen.insert(folded(&column.name), &column.name) {
                let message =
                    format!("expected fields that differ in more than case, got {other:?} and {:?}", column.name);
                return Err(wrong("sqlite.column.case", message)
                    .suggest("rename one of them at the source: to SQLite they are one column"));
            }
        }
        if self.columns.len() > MAX_COLUMNS {
            return Err(wrong(
                "sqlite.columns",
                format!("expected at most {MAX_COLUMNS} top-level fields, got {}", self.columns.len()),
            ));
        }
        Ok(())
    }

    pub(crate) fn is_key(&self, place: usize) -> bool {
        self.key.contains(&place)
    }
}

/// The parts of a JSON pointer, unescaped.
fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

fn type_at(schema: &Value, path: &[String]) -> ColumnType {
    let inner = path.iter().try_fold(schema, |schema, token| schema.get("properties")?.get(token));
    inner.map_or(ColumnType::Any, type_of)
}

/// What a property's schema says of its values; anything but `type`, `const` and `enum` is left to the values themselves.
fn type_of(property: &Value) -> ColumnType {
    let Some(property) = property.as_object() else { return ColumnType::Any };
    let kinds = kinds(property);
    let is = |allowed: &[&str]| !kinds.is_empty() && kinds.iter().all(|kind| allowed.contains(kind));
    if is(&["integer"]) || is(&["boolean"]) {
        ColumnType::Integer
    } else if is(&["integer", "number"]) {
        ColumnType::Real
    } else if is(&["string"]) || is(&["object", "array"]) {
        ColumnType::Text
    } else {
        ColumnType::Any
    }
}

/// The JSON types a value can have, beside null.
fn kinds(property: &Map<String, Value>) -> BTreeSet<&str> {
    let named: Vec<&str> = match property.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => {
            let listed = property.get("enum").and_then(Value::as_array).into_iter().flatten();
            listed.chain(property.get("const")).map(kind_of).collect()
        }
    };
    named.into_iter().filter(|kind| *kind != "null").collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(schema: Value, key: &[&str], delta: bool) -> Result<Shape> {
        let key = key.iter().map(|pointer| (*pointer).to_owned()).collect();
        let schema_json = schema.to_string().into();
        Shape::of(&Collection { name: "a/b".to_owned(), key, schema_json, schema_version: 1 }, delta)
    }

    fn types(shape: &Shape) -> Vec<(&str, ColumnType)> {
        shape.columns.iter().map(|column| (column.name.as_str(), column.column_type)).collect()
    }

    #[test]
    fn types_come_from_the_schema_in_the_order_of_the_fields() {
        let schema = json!({ "properties": {
            "z": { "type": "integer" }, "a": { "type": ["number", "null"] }, "b": { "type": ["integer", "number"] },
            "c": { "type": "string", "format": "date-time" }, "d": { "type": "boolean" }, "e": { "type": ["object", "array"] },
            "f": { "type": ["string", "integer"] }, "g": {}, "h": { "enum": ["x", null] }, "i": { "const": 1.5 }, "j": { "$ref": "#/x" },
            "_meta": { "type": "object" },
        }});
        use ColumnType::{Any, Integer, Real, Text};
        let expected = [
            ("z", Integer),
            ("a", Real),
            ("b", Real),
            ("c", Text),
            ("d", Integer),
            ("e", Text),
            ("f", Any),
            ("g", Any),
            ("h", Text),
            ("i", Real),
            ("j", Any),
        ];
        assert_eq!(types(&shape(schema.clone(), &["/z"], false).unwrap()), expected);
        let delta = shape(schema, &["/z"], true).unwrap();
        assert_eq!(types(&delta).last(), Some(&("_meta", Text)));
    }

    #[test]
    fn a_key_has_columns_wherever_it_stands() {
        let source = json!({ "properties": { "file": { "type": "string" }, "record": { "type": "integer" } } });
        let schema =
            json!({ "properties": { "_meta": { "properties": { "source": source } }, "a": { "type": "integer" } } });
        let shape = shape(schema, &["/_meta/source/file", "/_meta/source/record", "/b~1c"], false).unwrap();
        use ColumnType::{Any, Integer, Text};
        let expected = [("_meta/source/file", Text), ("_meta/source/record", Integer), ("a", Integer), ("b/c", Any)];
        assert_eq!(types(&shape), expected);
        assert_eq!(shape.key, [0, 1, 3]);
    }

    #[test]
    fn names_that_are_one_to_sqlite_are_refused() {
        let schema = json!({ "properties": { "Id": {}, "id": {} } });
        let error = shape(schema, &["/id"], false).unwrap_err();
        assert_eq!(error.code, "sqlite.column.case");
        assert!(error.message.contains("\"Id\" and \"id\""), "{error}");
        assert!(shape(json!({ "properties": { "a\u{0}": {} } }), &["/id"], false).is_err());
    }
}
