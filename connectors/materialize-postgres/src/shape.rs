//! Which columns a binding's table has: one for each field that is kept, with the type that holds its values, and one for the document.

use std::collections::BTreeSet;

use longshore_postgres::{Scalar, SqlType, fault_in_name};
use longshore_sdk::materialize::{Collection, Field, JsonType, Selection};
use longshore_sdk::{Error, Result};
use serde_json::Value;

use crate::config::Deletes;
use crate::deleted;

/// What PostgreSQL takes.
const MAX_COLUMNS: usize = 1600;
/// Names of columns that each table has without being told.
pub(crate) const RESERVED: &[&str] = &["tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"];

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
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
    /// How rows go from the table.
    pub(crate) deletes: Deletes,
    /// The schema admits fields that it does not declare, and there is no column that would have them.
    pub(crate) leaves_out: bool,
}

impl Shape {
    pub(crate) fn of(collection: &Collection, selection: &Selection, delta: bool, deletes: Deletes) -> Result<Self> {
        let schema: Value = serde_json::from_slice(&collection.schema_json).map_err(|error| {
            Error::internal("postgres.schema", format!("reading the schema of {}: {error}", collection.name))
        })?;
        let column = |field: &Field| {
            let is_key = !delta && collection.key.contains(&field.pointer);
            let sql_type = type_of(&field.types, format_of(&schema, field), is_key);
            Column { name: field.name.clone(), sql_type }
        };
        let mut columns: Vec<Column> = selection.fields.iter().map(column).collect();
        // `json` keeps the text, byte for byte.
        let document = |name: &String| Column { name: name.clone(), sql_type: Scalar::Json.into() };
        columns.extend(selection.document.iter().map(document));
        let is_open = schema.get("additionalProperties") != Some(&Value::Bool(false));
        let shape = Self {
            columns,
            fields: selection.fields.clone(),
            key: collection.key.iter().filter_map(|pointer| selection.place(pointer)).collect(),
            delta,
            deletes,
            leaves_out: !selection.chosen && selection.document.is_none() && is_open,
        };
        shape.check(&collection.name)?;
        Ok(shape)
    }

    /// Names and number of the columns. A runtime names fields by what this connector says of names; here is what then is left.
    fn check(&self, collection: &str) -> Result<()> {
        let wrong = |code: &str, message: String| Error::config(code, format!("collection {collection}: {message}"));
        let rename = "name it otherwise, with `rename` of the binding's `fields`";
        let is_soft = self.deletes == Deletes::Soft;
        if self.delta && is_soft {
            let message =
                "expected `deletes: hard` for a delta binding, to which a delete is a row, got `deletes: soft`";
            return Err(wrong("postgres.deletes", message.to_owned())
                .at_pointer("/deletes")
                .suggest("leave `deletes` out, or make it a standard binding with `delta_updates: false`"));
        }
        let mut seen = BTreeSet::new();
        for Column { name, .. } in &self.columns {
            if let Some(fault) = fault_in_name(name) {
                let message = format!("expected a name for a column, got {fault}");
                return Err(wrong("postgres.column.name", message).suggest(rename));
            }
            if is_soft && name == deleted::COLUMN {
                let message = format!(
                    "expected a name for a column other than {name:?}, which marks deleted rows with `deletes: soft`, got it for a field"
                );
                return Err(
                    wrong("postgres.column.name", message).suggest(format!("{rename}, or have `deletes: hard`"))
                );
            }
            if RESERVED.contains(&name.as_str()) || !seen.insert(name) {
                let message = format!("expected a name for a column that no other has, got {name:?}");
                return Err(wrong("postgres.column.name", message).suggest(rename));
            }
        }
        let count = self.columns.len() + usize::from(is_soft);
        if count > MAX_COLUMNS {
            let message = format!("expected at most {MAX_COLUMNS} columns, got {count}");
            return Err(wrong("postgres.columns", message)
                .suggest("keep fewer, with `include` or `exclude` of the binding's `fields`"));
        }
        Ok(())
    }

    pub(crate) fn is_key(&self, place: usize) -> bool {
        self.key.contains(&place)
    }

    pub(crate) fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Names of the key's columns.
    pub(crate) fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|&place| self.columns[place].name.as_str()).collect()
    }

    /// Place of the column of the whole document.
    pub(crate) fn document(&self) -> Option<usize> {
        (self.columns.len() > self.fields.len()).then_some(self.fields.len())
    }
}

fn format_of<'s>(schema: &'s Value, field: &Field) -> Option<&'s str> {
    let inner = field.path().iter().try_fold(schema, |schema, name| schema.get("properties")?.get(name))?;
    inner.get("format")?.as_str()
}

/// The column for values of these types: what the format names, where it goes with them, else what holds them as they are.
fn type_of(types: &[JsonType], format: Option<&str>, is_key: bool) -> SqlType {
    use JsonType::{Boolean, Integer, Number, String};
    let named = format.and_then(SqlType::from_format).filter(|named| goes_with(*named, types));
    if let Some(named) = named.filter(|named| !is_key || can_be_key(*named)) {
        return named;
    }
    let is = |allowed: &[JsonType]| !types.is_empty() && types.iter().all(|of| allowed.contains(of));
    let scalar = if is(&[Integer]) {
        Scalar::BigInt
    } else if is(&[Boolean]) {
        Scalar::Boolean
    } else if is(&[Integer, Number]) {
        Scalar::Numeric(None)
    } else if is(&[String]) {
        Scalar::Text
    } else {
        // Objects, arrays, several types, any.
        Scalar::Jsonb
    };
    scalar.into()
}

/// Whether values of these JSON types can be of that SQL type.
fn goes_with(named: SqlType, types: &[JsonType]) -> bool {
    use JsonType::{Array, Boolean, Integer, Number, String};
    let is = |allowed: &[JsonType]| !types.is_empty() && types.iter().all(|of| allowed.contains(of));
    if named.array {
        // An array in an array of JSON could be an element or a further dimension.
        return is(&[Array]) && !matches!(named.scalar, Scalar::Json | Scalar::Jsonb);
    }
    match named.scalar {
        Scalar::Boolean => is(&[Boolean]),
        Scalar::SmallInt | Scalar::Integer | Scalar::BigInt => is(&[Integer]),
        // Strings beside numbers: NaN and the infinities.
        Scalar::Numeric(_) | Scalar::Real | Scalar::Double => is(&[Integer, Number, String]) && types != [String],
        Scalar::Json | Scalar::Jsonb => true,
        Scalar::Text
        | Scalar::Varchar(_)
        | Scalar::Char(_)
        | Scalar::Bytea
        | Scalar::Uuid
        | Scalar::Date
        | Scalar::Time { .. }
        | Scalar::Timestamp { .. }
        | Scalar::Interval { .. }
        | Scalar::Bit { .. }
        | Scalar::Plain(_) => is(&[String]),
    }
}

/// Whether its values are equal only where their texts are, so that no two keys become one. (A month and 30 days are equal intervals.)
pub(crate) fn can_be_key(of: SqlType) -> bool {
    !of.array
        && match of.scalar {
            Scalar::Boolean
            | Scalar::SmallInt
            | Scalar::Integer
            | Scalar::BigInt
            | Scalar::Numeric(_)
            | Scalar::Real
            | Scalar::Double
            | Scalar::Text
            | Scalar::Varchar(_)
            | Scalar::Char(Some(_))
            | Scalar::Bytea
            | Scalar::Uuid
            | Scalar::Jsonb
            | Scalar::Date
            | Scalar::Time { zone: false, .. }
            | Scalar::Timestamp { .. }
            | Scalar::Bit { .. } => true,
            Scalar::Plain(name) => matches!(name, "oid" | "inet" | "cidr" | "macaddr" | "macaddr8"),
            Scalar::Char(None) | Scalar::Json | Scalar::Time { zone: true, .. } | Scalar::Interval { .. } => false,
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
        Shape::of(
            &Collection { name: "a/b".to_owned(), key, schema_json, schema_version: 1 },
            &selection,
            delta,
            Deletes::Hard,
        )
    }

    fn check(schema: Value, is_key: bool, expected: &str) {
        let text = schema.to_string();
        let key: &[&str] = if is_key { &["/x"] } else { &["/id"] };
        let shape = shape(json!({ "properties": { "x": schema } }), key, false).unwrap();
        assert_eq!(shape.columns[0].sql_type.to_string(), expected, "{text}");
    }

    #[test]
    fn types_come_from_the_schema_and_its_formats() {
        for (schema, expected) in [
            (json!({ "type": "integer" }), "bigint"),
            (json!({ "type": ["number", "null"] }), "numeric"),
            (json!({ "type": "string" }), "text"),
            (json!({ "type": "boolean" }), "boolean"),
            (json!({ "type": ["object", "array"] }), "jsonb"),
            (json!({ "type": ["string", "integer"] }), "jsonb"),
            (json!({}), "jsonb"),
            (json!({ "enum": ["x", null] }), "text"),
            (json!({ "type": ["string", "null"], "format": "date-time" }), "timestamp with time zone"),
            (json!({ "type": "string", "format": "uuid" }), "uuid"),
            (json!({ "type": "string", "format": "email" }), "text"),
            (json!({ "type": "integer", "format": "pg:smallint" }), "smallint"),
            (json!({ "type": ["number", "string"], "format": "pg:numeric(12,2)" }), "numeric(12,2)"),
            (json!({ "format": "pg:json" }), "json"),
            (json!({ "type": "array", "format": "pg:integer[]" }), "integer[]"),
            (json!({ "type": "array", "format": "pg:jsonb[]" }), "jsonb"),
            (json!({ "type": "string", "format": "pg:inet" }), "inet"),
            // A format that does not go with the type, or is none of ours, says nothing.
            (json!({ "type": "string", "format": "pg:integer" }), "text"),
            (json!({ "type": ["integer", "string"], "format": "date" }), "jsonb"),
            (json!({ "type": "string", "format": "pg:text); drop table x; --" }), "text"),
        ] {
            check(schema, false, expected);
        }
        check(json!({ "type": "string", "format": "pg:interval" }), true, "text");
        check(json!({ "format": "pg:json" }), true, "jsonb");
        check(json!({ "type": "string", "format": "uuid" }), true, "uuid");
    }

    #[test]
    fn names_that_the_server_has_or_would_cut_are_refused() {
        for name in ["ctid", "xmin", &"ä".repeat(32), "a\0"] {
            assert_eq!(
                shape(json!({ "properties": { name: {} } }), &["/id"], false).unwrap_err().code,
                "postgres.column.name"
            );
        }
        assert!(shape(json!({ "properties": { "Id": {}, "id": {}, &"a".repeat(63): {} } }), &["/id"], false).is_ok());
    }
}
