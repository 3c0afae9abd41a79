//! What is known of a binding's columns: the collection's schema, what the state remembers, and what the values turn out to be.
//!
//! Types only widen. What the schema does not admit yet has to be stated to the runtime before a document needs it; `behind` says so and
//! `restate` makes the statement. How one value is judged is in `kind.rs`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::kind::{Kind, TypeSet};

/// The columns of one binding.
#[derive(Debug)]
pub(crate) struct Shape {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    schema: Map<String, Value>,
    /// The schema admits columns it does not name.
    open: bool,
    /// Documents carry `_meta.source`, and the schema has no place for it yet.
    source_unstated: bool,
    behind: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// What its values have been, here or in a session before, or are said to be.
    known: TypeSet,
    /// What the runtime's schema admits.
    stated: TypeSet,
    /// What the state says.
    saved: TypeSet,
}

impl Shape {
    /// `saved` holds the types in the state by column; `source`: documents will carry where they come from.
    pub(crate) fn new(schema_json: &[u8], saved: &BTreeMap<String, Value>, source: bool) -> serde_json::Result<Shape> {
        let schema = match serde_json::from_slice(schema_json)? {
            Value::Object(schema) => schema,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        };
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let open = schema.get("additionalProperties") != Some(&Value::Bool(false));
        let source_unstated = source && !open && !properties.contains_key("_meta");
        let mut shape = Shape {
            columns: Vec::new(),
            places: HashMap::new(),
            open,
            source_unstated,
            behind: source_unstated,
            schema: Map::new(),
        };
        for (name, property) in properties.iter().filter(|(name, _)| *name != "_meta") {
            let declared = property.get("type").map(TypeSet::from_json);
            let absent = if required.contains(&name.as_str()) { TypeSet::NONE } else { TypeSet::ABSENT };
            let stated = declared.unwrap_or(TypeSet::ANY).with(absent);
            // Where the schema names no type, the values do.
            shape.add(name, declared.unwrap_or(TypeSet::NONE), stated);
        }
        for (name, types) in saved {
            let place = shape.place(name);
            let types = TypeSet::from_json(types);
            let column = &mut shape.columns[place];
            column.saved = types;
            column.known = column.known.with(types).guessed();
            shape.behind |= !column.stated.has(column.known);
        }
        shape.schema = schema;
        Ok(shape)
    }

    /// The place of a column, which is made if it is new.
    pub(crate) fn place(&mut self, name: &str) -> usize {
        match self.places.get(name) {
            Some(place) => *place,
            None if self.open => self.add(name, TypeSet::NONE, TypeSet::ANY.with(TypeSet::ABSENT)),
            // The documents before had no such column.
            None => self.add(name, TypeSet::ABSENT, TypeSet::NONE),
        }
    }

    /// As [`Shape::place`], looking first where the column probably is.
    pub(crate) fn place_near(&mut self, name: &str, hint: usize) -> usize {
        match self.columns.get(hint) {
            Some(column) if column.name == name => hint,
            Some(_) | None => self.place(name),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn name(&self, place: usize) -> &str {
        &self.columns[place].name
    }

    /// How a guessed column's values are written.
    pub(crate) fn kind(&self, place: usize) -> Kind {
        self.columns[place].known.widest()
    }

    pub(crate) fn knows(&self, place: usize, types: TypeSet) -> bool {
        self.columns[place].known.has(types)
    }

    /// A value of this very type was met, or none at all.
    pub(crate) fn learn(&mut self, place: usize, types: TypeSet) {
        let known = self.columns[place].known;
        if !known.has(types) {
            self.set(place, known.with(types).actual());
        }
    }

    /// A value of a guessed column was met that its kind does not hold: from here on the column has the narrowest kind that holds both.
    pub(crate) fn widen(&mut self, place: usize, met: Kind) {
        let wider = match (self.kind(place), met) {
            (Kind::Integer, Kind::Long) => Kind::Integer,
            (kind, met) => kind.join(met),
        };
        self.set(place, self.columns[place].known.with(wider.into()).guessed());
    }

    fn set(&mut self, place: usize, known: TypeSet) {
        let column = &mut self.columns[place];
        column.known = known;
        self.behind |= !column.stated.has(known);
    }

    /// The runtime's schema does not admit all that is known.
    pub(crate) fn behind(&self) -> bool {
        self.behind
    }

    /// The schema that admits all that is known; it counts as stated from here on.
    pub(crate) fn restate(&mut self) -> Value {
        let properties = object_in(&mut self.schema, "properties");
        for column in &mut self.columns {
            // Of a column that no document has had yet there is nothing to state.
            if column.stated.has(column.known) || column.known == TypeSet::ABSENT {
                continue;
            }
            column.stated = column.stated.with(column.known);
            let property = object_in(properties, &column.name);
            match column.stated.guessed().to_schema() {
                Some(types) => drop(property.insert("type".to_owned(), types)),
                None => drop(property.shift_remove("type")),
            }
        }
        if self.source_unstated {
            properties.insert("_meta".to_owned(), source_schema());
        }
        if let Some(Value::Array(required)) = self.schema.get_mut("required") {
            let absent = |name: &Value| {
                let place = name.as_str().and_then(|name| self.places.get(name));
                place.is_some_and(|place| self.columns[*place].known.has(TypeSet::ABSENT))
            };
            required.retain(|name| !absent(name));
        }
        (self.source_unstated, self.behind) = (false, false);
        Value::Object(self.schema.clone())
    }

    /// The columns whose types the state does not hold yet, as a merge patch; they count as saved from here on.
    pub(crate) fn unsaved(&mut self) -> Map<String, Value> {
        let mut patch = Map::new();
        for column in &mut self.columns {
            if column.saved != column.known && column.known != TypeSet::ABSENT {
                column.saved = column.known;
                patch.insert(column.name.clone(), Value::from(column.known.names()));
            }
        }
        patch
    }

    fn add(&mut self, name: &str, known: TypeSet, stated: TypeSet) -> usize {
        let place = self.columns.len();
        self.places.insert(name.to_owned(), place);
        self.columns.push(Column { name: name.to_owned(), known, stated, saved: TypeSet::NONE });
        place
    }
}

/// The schema of documents with these columns, in order; `source`: they carry where they come from.
pub(crate) fn schema_of<'a>(columns: impl Iterator<Item = (&'a str, TypeSet)>, source: bool) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, types) in columns {
        let property = types.to_schema().map_or_else(|| json!({}), |types| json!({ "type": types }));
        properties.insert(name.to_owned(), property);
        if !types.has(TypeSet::ABSENT) {
            required.push(Value::from(name));
        }
    }
    if source {
        properties.insert("_meta".to_owned(), source_schema());
        required.push(Value::from("_meta"));
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn source_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "source": {
                "type": "object",
                "properties": { "file": { "type": "string" }, "record": { "type": "integer" } },
                "required": ["file", "record"],
                "additionalProperties": false,
            },
        },
        "required": ["source"],
        "additionalProperties": false,
    })
}

fn object_in<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let slot = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("made an object above")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{"id":{"type":"integer"},"at":{"type":["integer","null"],"title":"when"},"any":{}},
        "required":["id","at"],"additionalProperties":false}"#;

    fn shape(saved: Value) -> Shape {
        Shape::new(SCHEMA.as_bytes(), &serde_json::from_value(saved).unwrap(), false).unwrap()
    }

    #[test]
    fn a_wider_value_is_stated_once_as_a_schema_that_admits_old_and_new() {
        let mut shape = shape(json!({}));
        assert!(!shape.behind());
        let at = shape.place("at");
        shape.widen(at, Kind::Number);
        assert!(shape.behind());
        let schema = shape.restate();
        assert_eq!(schema["properties"]["at"], json!({ "type": ["number", "null"], "title": "when" }));
        assert!(!shape.behind());
        shape.widen(at, Kind::String);
        assert_eq!(shape.restate()["properties"]["at"]["type"], json!(["string", "null"]));
        assert_eq!(shape.kind(at), Kind::String);
        shape.widen(at, Kind::Integer);
        assert!(!shape.behind(), "text holds all");
    }

    #[test]
    fn a_new_column_may_be_absent_and_one_no_longer_there_is_not_required() {
        let mut shape = shape(json!({}));
        let extra = shape.place("extra");
        shape.widen(extra, Kind::Boolean);
        let id = shape.place("id");
        shape.learn(id, TypeSet::ABSENT);
        let schema = shape.restate();
        assert_eq!(schema["properties"]["extra"], json!({ "type": "boolean" }));
        assert_eq!(schema["required"], json!(["at"]));
        assert_eq!(schema["additionalProperties"], json!(false));
    }

    #[test]
    fn what_the_state_remembers_is_stated_again_and_saved_only_when_it_changes() {
        let mut shape = shape(json!({ "id": ["string"], "extra": ["integer", "absent"] }));
        assert!(shape.behind());
        let schema = shape.restate();
        assert_eq!(schema["properties"]["id"]["type"], json!("string"));
        assert_eq!(schema["properties"]["extra"]["type"], json!("integer"));
        let saved = shape.unsaved();
        assert_eq!(saved.get("at"), Some(&json!(["integer", "null"])));
        assert!(!saved.contains_key("id") && !saved.contains_key("extra"));
        assert!(shape.unsaved().is_empty());
    }

    #[test]
    fn types_that_are_not_guessed_stand_beside_each_other() {
        let mut shape = shape(json!({}));
        let at = shape.place("at");
        shape.learn(at, TypeSet::ARRAY);
        assert_eq!(shape.restate()["properties"]["at"]["type"], json!(["integer", "array", "null"]));
        shape.learn(at, TypeSet::STRING);
        assert_eq!(shape.restate()["properties"]["at"], json!({ "title": "when" }), "text and numbers: every value");
    }

    #[test]
    fn a_schema_that_admits_anything_needs_no_statement() {
        let mut shape = Shape::new(b"{}", &BTreeMap::new(), true).unwrap();
        let column = shape.place("x");
        assert_eq!(shape.kind(column), Kind::Null);
        shape.widen(column, Kind::Integer);
        shape.widen(column, Kind::String);
        assert!(!shape.behind());
        assert_eq!(shape.kind(column), Kind::String);
    }

    #[test]
    fn documents_that_carry_their_source_have_a_place_for_it_in_the_schema() {
        let mut shape = Shape::new(SCHEMA.as_bytes(), &BTreeMap::new(), true).unwrap();
        assert!(shape.behind());
        let schema = shape.restate();
        assert_eq!(schema["properties"]["_meta"]["properties"]["source"]["required"], json!(["file", "record"]));
        let mut again = Shape::new(schema.to_string().as_bytes(), &BTreeMap::new(), true).unwrap();
        assert!(!again.behind());
        assert_eq!(again.unsaved().get("_meta"), None);
    }
}
