//! What the collection's schema says of a binding's columns, and what has to be stated because a value is of another type.
//!
//! Types only widen. Whether a value is admitted is asked for each value; the statement goes out before the first document that needs it.

use serde_json::{Map, Value, json};

use crate::kinds::{Form, Kinds, declared, is_firm};
use crate::plan::{KeyPart, Plan};

/// The types of a binding's columns, in the plan's order.
#[derive(Debug)]
pub(crate) struct Shape {
    columns: Vec<Column>,
    required: Vec<String>,
    has_rowid: bool,
    behind: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    form: Form,
    /// What the runtime's schema admits.
    admitted: Kinds,
    /// What is said of it when the schema is stated.
    known: Kinds,
}

impl Shape {
    /// `schema_json` is the collection's, as the session was opened with it.
    pub(crate) fn new(plan: &Plan, schema_json: &[u8]) -> Shape {
        let schema: Value = serde_json::from_slice(schema_json).unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_open = properties.is_none() || schema.get("additionalProperties") == Some(&Value::Bool(true));
        let columns: Vec<Column> = (plan.columns.iter())
            .map(|column| {
                let column = &plan.table.columns[*column];
                let expected = declared(column, plan.table.strict);
                let property = properties.and_then(|properties| properties.get(&column.name));
                let (admitted, known) = match property {
                    None if is_open => (Kinds::ANY, expected),
                    None => (Kinds::NONE, expected),
                    Some(property) => match property.get("type") {
                        Some(types) => (Kinds::of_schema(types), Kinds::of_schema(types)),
                        // What is said of it in other words (`anyOf`, say) is left as it is.
                        None => (Kinds::ANY, Kinds::ANY),
                    },
                };
                Column { name: column.name.clone(), form: Form::of(column), admitted, known }
            })
            .collect();
        let behind = columns.iter().any(|column| column.admitted == Kinds::NONE);
        let required = plan.key.iter().filter_map(|part| match part {
            KeyPart::Column(column) => Some(plan.table.columns[*column].name.clone()),
            KeyPart::Rowid => None,
        });
        Shape { required: required.collect(), columns, has_rowid: plan.has_rowid_key(), behind }
    }

    /// For Discover: what is declared, and what a sample showed of each column.
    pub(crate) fn discovered(plan: &Plan, seen: &[Kinds]) -> Shape {
        let mut shape = Shape::new(plan, b"{}");
        for ((column, seen), of) in shape.columns.iter_mut().zip(seen).zip(&plan.columns) {
            let of = &plan.table.columns[*of];
            // Of a declaration that SQLite does nothing with, the values alone tell, if there are any.
            let is_told = is_firm(of) || seen.without(Kinds::NULL) == Kinds::NONE;
            let null = if of.not_null { Kinds::NONE } else { Kinds::NULL };
            let declared = if is_told { column.known } else { null };
            column.known = declared.with(*seen);
        }
        shape
    }

    pub(crate) fn form(&self, place: usize) -> Form {
        self.columns[place].form
    }

    /// A value of this type is about to be sent; false: the schema has to be stated first.
    pub(crate) fn admits(&mut self, place: usize, kinds: Kinds) -> bool {
        let column = &mut self.columns[place];
        if column.admitted.has(kinds) {
            return true;
        }
        column.known = column.known.with(kinds);
        self.behind = true;
        false
    }

    /// The runtime's schema does not admit all that is known.
    pub(crate) fn behind(&self) -> bool {
        self.behind
    }

    /// The schema that admits all that is known; it counts as stated from here on.
    pub(crate) fn restate(&mut self) -> Value {
        self.behind = false;
        for column in &mut self.columns {
            column.admitted = column.admitted.with(column.known);
            if column.known.has(Kinds::NUMBER) {
                column.admitted = column.admitted.with(Kinds::INTEGER);
            }
        }
        self.to_schema()
    }

    /// As a JSON Schema. Only the key is required: a document of a row that is gone has no more.
    pub(crate) fn to_schema(&self) -> Value {
        let mut properties = Map::new();
        if self.has_rowid {
            properties.insert("_meta".to_owned(), meta_schema());
        }
        for column in &self.columns {
            let mut property = Map::new();
            if let Some(types) = column.known.to_schema().filter(|_| column.known != Kinds::ANY) {
                property.insert("type".to_owned(), types);
            }
            if column.form == Form::Base64 && !property.is_empty() {
                property.insert("contentEncoding".to_owned(), json!("base64"));
            }
            properties.insert(column.name.clone(), Value::Object(property));
        }
        let mut required = self.required.clone();
        if self.has_rowid {
            required.push("_meta".to_owned());
        }
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }
}

fn meta_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "op": { "type": "string" },
            "source": {
                "type": "object",
                "properties": { "rowid": { "type": "integer" } },
                "required": ["rowid"],
                "additionalProperties": false,
            },
        },
        "required": ["source"],
        "additionalProperties": false,
    })
}
