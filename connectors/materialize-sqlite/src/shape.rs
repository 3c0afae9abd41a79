//! Which columns a binding's table has: one for each field that is kept, with the type that holds its values, and one for the document.

use std::collections::BTreeMap;

use longshore_sdk::materialize::{Collection, Field, JsonType, Selection};
use longshore_sdk::{Error, Result};
use serde_json::Value;

use crate::identifier::{fault_in_column, folded};

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

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
}

/// What a binding's table must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// One for each field, in order, and one more for the whole document where it is kept.
    pub(crate) columns: Vec<Column>,
    /// The fields, whose places are those of their columns.
    pub(crate) fields: Vec<Field>,
    /// Places of the key's columns, in the order of the key.
    pub(crate) key: Vec<usize>,
    /// A row for each document, and no key constraint.
    pub(crate) delta: bool,
    /// The schema admits fields that it does not declare, and there is no column that would have them.
    pub(crate) leaves_out: bool,
}

impl Shape {
    pub(crate) fn of(collection: &Collection, selection: &Selection, delta: bool) -> Result<Self> {
        let column = |field: &Field| Column { name: field.name.clone(), column_type: type_of(&field.types) };
        let mut columns: Vec<Column> = selection.fields.iter().map(column).collect();
        let document = |name: &String| Column { name: name.clone(), column_type: ColumnType::Text };
        columns.extend(selection.document.iter().map(document));
        let shape = Self {
            columns,
            fields: selection.fields.clone(),
            key: collection.key.iter().filter_map(|pointer| selection.place(pointer)).collect(),
            delta,
            leaves_out: !selection.chosen && selection.document.is_none() && is_open(collection)?,
        };
        shape.check(&collection.name)?;
        Ok(shape)
    }

    /// Names and number of the columns. A runtime names fields by what this connector says of names; here is what then is left.
    fn check(&self, collection: &str) -> Result<()> {
        let wrong = |code: &str, message: String| Error::config(code, format!("collection {collection}: {message}"));
        let mut seen = BTreeMap::new();
        for column in &self.columns {
            if let Some(fault) = fault_in_column(&column.name) {
                return Err(wrong("sqlite.column.name", format!("expected a name for a column, got {fault}")));
            }
            if let Some(other) = seen.insert(folded(&column.name), &column.name) {
                let message =
                    format!("expected fields that differ in more than case, got {other:?} and {:?}", column.name);
                return Err(wrong("sqlite.column.case", message)
                    .suggest("name one of them otherwise, with `rename` of the binding's `fields`"));
            }
        }
        if self.columns.len() > MAX_COLUMNS {
            let message = format!("expected at most {MAX_COLUMNS} columns, got {}", self.columns.len());
            return Err(wrong("sqlite.columns", message)
                .suggest("keep fewer, with `include` or `exclude` of the binding's `fields`"));
        }
        Ok(())
    }

    pub(crate) fn is_key(&self, place: usize) -> bool {
        self.key.contains(&place)
    }

    /// Place of the column of the whole document.
    pub(crate) fn document(&self) -> Option<usize> {
        (self.columns.len() > self.fields.len()).then_some(self.fields.len())
    }
}

fn is_open(collection: &Collection) -> Result<bool> {
    let schema: Value = serde_json::from_slice(&collection.schema_json).map_err(|error| {
        Error::internal("sqlite.schema", format!("reading the schema of {}: {error}", collection.name))
    })?;
    Ok(schema.get("additionalProperties") != Some(&Value::Bool(false)))
}

/// The column for values of these types; several that no other type holds, and any, keep a type each.
fn type_of(types: &[JsonType]) -> ColumnType {
    use JsonType::{Array, Boolean, Integer, Number, Object, String};
    let is = |allowed: &[JsonType]| !types.is_empty() && types.iter().all(|of| allowed.contains(of));
    if is(&[Integer]) || is(&[Boolean]) {
        ColumnType::Integer
    } else if is(&[Integer, Number]) {
        ColumnType::Real
    } else if is(&[String]) || is(&[Object, Array]) {
        ColumnType::Text
    } else {
        ColumnType::Any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(schema: Value, key: &[&str], delta: bool) -> Result<Shape> {
        let key: Vec<String> = key.iter().map(|pointer| (*pointer).to_owned()).collect();
        let selection = Selection::plain(&schema, &key, delta);
        let schema_json = schema.to_string().into();
        Shape::of(&Collection { name: "a/b".to_owned(), key, schema_json, schema_version: 1 }, &selection, delta)
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
