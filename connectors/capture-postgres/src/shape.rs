//! What the collection's schema says of a binding's columns, and what has to be stated because columns or values are of another type.
//!
//! Whether a value is admitted is asked for each value; the statement goes out before the first document that needs it. What was stated in a
//! session before is in the schema that the next one is opened with, so nothing of it is kept in the state.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::kinds::Kinds;
use crate::layout::Layout;

/// The types of a binding's columns.
#[derive(Debug)]
pub(crate) struct Shape {
    /// By name.
    known: HashMap<String, Known>,
    /// The schema admits columns that it does not name.
    is_open: bool,
    columns: Vec<Column>,
    required: Vec<String>,
    behind: bool,
}

/// What the runtime's schema says of a column.
#[derive(Debug, Clone)]
struct Known {
    admitted: Kinds,
    format: Option<String>,
}

/// A column as documents have it now.
#[derive(Debug)]
struct Column {
    name: String,
    format: Option<String>,
    admitted: Kinds,
    /// What is said of it when the schema is stated.
    stated: Kinds,
}

impl Shape {
    /// `schema_json` is the collection's, as the session was opened with it.
    pub(crate) fn new(schema_json: &[u8]) -> Shape {
        let schema: Value = serde_json::from_slice(schema_json).unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_open = properties.is_none() || schema.get("additionalProperties") == Some(&Value::Bool(true));
        let known = |(name, property): (&String, &Value)| {
            let format = property.get("format").and_then(Value::as_str).map(str::to_owned);
            (name.clone(), Known { admitted: Kinds::of_schema(property.get("type")), format })
        };
        let known = properties.into_iter().flatten().map(known).collect();
        Shape { known, is_open, columns: Vec::new(), required: Vec::new(), behind: false }
    }

    /// Documents have these columns from here on.
    pub(crate) fn adopt(&mut self, layout: &Layout) {
        self.behind = false;
        self.required = layout.key_names().map(str::to_owned).collect();
        self.columns.clear();
        for column in &layout.columns {
            let declared = column.ty.form.kinds().with(if column.nullable { Kinds::NULL } else { Kinds::NONE });
            let format = column.ty.format.clone();
            let column = match self.known.get(&column.name) {
                Some(known) => {
                    // Where texts and numbers are both there, both are said, or the join of the two would be text alone.
                    let is_mixed = known.admitted.has(Kinds::STRING) && declared.meets(Kinds::NUMBER);
                    let mixed = if is_mixed { Kinds::STRING } else { Kinds::NONE };
                    let stays_null = if known.admitted.has(Kinds::NULL) { Kinds::NULL } else { Kinds::NONE };
                    let stated = declared.with(mixed).with(stays_null);
                    self.behind |= !known.admitted.has(declared) || (known.format.is_some() && known.format != format);
                    Column { name: column.name.clone(), format, admitted: known.admitted, stated }
                }
                None => {
                    self.behind |= !self.is_open;
                    let admitted = if self.is_open { Kinds::ANY } else { Kinds::NONE };
                    Column { name: column.name.clone(), format, admitted, stated: declared }
                }
            };
            self.columns.push(column);
        }
    }

    /// A value of this type is about to be sent.
    #[inline]
    pub(crate) fn meet(&mut self, place: usize, kinds: Kinds) {
        let column = &mut self.columns[place];
        if !column.admitted.has(kinds) {
            column.stated = column.stated.with(kinds);
            self.behind = true;
        }
    }

    /// The runtime's schema does not admit all that is about to be sent.
    pub(crate) fn behind(&self) -> bool {
        self.behind
    }

    /// The schema that admits it; it counts as stated from here on.
    pub(crate) fn restate(&mut self) -> Value {
        self.behind = false;
        for column in &mut self.columns {
            column.admitted = column.stated;
            let known = Known { admitted: column.stated, format: column.format.clone() };
            self.known.insert(column.name.clone(), known);
        }
        let columns = self.columns.iter().map(|column| (column.name.as_str(), column.stated, column.format.as_deref()));
        schema_of(columns, &self.required, false)
    }
}

/// A schema of documents with these columns. Only the key is required: a document of a row that is gone has no more.
pub(crate) fn schema_of<'a>(
    columns: impl Iterator<Item = (&'a str, Kinds, Option<&'a str>)>,
    required: &[String],
    merges: bool,
) -> Value {
    let mut properties = Map::new();
    for (name, kinds, format) in columns {
        let mut property = Map::new();
        property.extend(kinds.to_schema().map(|types| ("type".to_owned(), types)));
        property.extend(format.map(|format| ("format".to_owned(), json!(format))));
        properties.insert(name.to_owned(), Value::Object(property));
    }
    let mut schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    if merges {
        schema["reduce"] = json!({ "strategy": "merge" });
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;
    use crate::value::Form;

    fn layout(columns: &[(&str, Form, Option<&str>, bool)]) -> Layout {
        let columns = columns.iter().map(|(name, form, format, nullable)| {
            (*name, Type { form: form.clone(), format: format.map(str::to_owned) }, *nullable)
        });
        Layout::for_tests(columns, &["id"])
    }

    const SCHEMA: &[u8] =
        br#"{"type":"object","properties":{"id":{"type":"integer"},"n":{"type":["number","null"],"format":"pg:real"}},
        "required":["id"],"additionalProperties":false}"#;

    #[test]
    fn what_the_schema_admits_is_not_stated_again() {
        let mut shape = Shape::new(SCHEMA);
        shape.adopt(&layout(&[("id", Form::Integer, None, false), ("n", Form::Number, Some("pg:real"), true)]));
        shape.meet(1, Kinds::NUMBER);
        shape.meet(1, Kinds::NULL);
        assert!(!shape.behind());
        shape.meet(1, Kinds::STRING);
        assert!(shape.behind());
        let n = &shape.restate()["properties"]["n"];
        assert_eq!(n, &json!({ "type": ["number", "string", "null"], "format": "pg:real" }));
        assert!(!shape.behind());
    }

    #[test]
    fn a_new_column_and_a_new_type_are_stated_before_any_value() {
        let mut shape = Shape::new(SCHEMA);
        shape.adopt(&layout(&[("id", Form::Integer, None, false), ("new", Form::Boolean, None, true)]));
        assert!(shape.behind());
        assert_eq!(shape.restate()["properties"]["new"], json!({ "type": ["boolean", "null"] }));
        shape.adopt(&layout(&[("id", Form::Integer, None, false), ("n", Form::Text, None, true)]));
        assert_eq!(shape.restate()["properties"]["n"], json!({ "type": ["string", "null"] }));
        shape.adopt(&layout(&[("id", Form::Integer, None, false), ("n", Form::Integer, None, true)]));
        assert_eq!(
            shape.restate()["properties"]["n"]["type"],
            json!(["integer", "string", "null"]),
            "texts came before"
        );
    }

    #[test]
    fn a_schema_that_admits_anything_needs_no_statement() {
        let mut shape = Shape::new(br#"{"type":"object"}"#);
        shape.adopt(&layout(&[("id", Form::Integer, None, false), ("x", Form::Json, Some("pg:jsonb"), true)]));
        shape.meet(1, Kinds::OBJECT);
        assert!(!shape.behind());
    }
}
