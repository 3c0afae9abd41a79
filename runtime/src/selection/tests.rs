//! What is kept and how it is called, over the life of a binding.

use longshore_proto::session::Collection;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::catalog::{Include, NamedField, Span};

fn named(written: &str) -> NamedField {
    let pointer = if written.starts_with('/') { written.to_owned() } else { format!("/{written}") };
    NamedField { pointer, written: written.to_owned(), span: Span::default() }
}

fn include(fields: &[&str]) -> FieldsDecl {
    let all = fields.contains(&"*");
    let fields = fields.iter().filter(|field| **field != "*").map(|field| named(field)).collect();
    FieldsDecl { include: Some(Include { all, fields }), ..FieldsDecl::default() }
}

fn exclude(fields: &[&str]) -> FieldsDecl {
    FieldsDecl { exclude: fields.iter().map(|field| named(field)).collect(), ..FieldsDecl::default() }
}

fn rename(names: &[(&str, &str)]) -> FieldsDecl {
    let rename = names.iter().map(|(field, name)| (named(field), (*name).to_owned())).collect();
    FieldsDecl { rename, ..FieldsDecl::default() }
}

fn sql() -> Rules {
    Rules {
        max_bytes: Some(20),
        case_insensitive: true,
        forbidden: "\0".to_owned(),
        reserved: vec!["rowid".to_owned()],
        keeps_meta: true,
    }
}

/// A binding through its life.
struct Life {
    key: Vec<String>,
    schema: Value,
    on_conflict: OnConflict,
    given: Vec<Given>,
}

impl Life {
    fn new(key: &[&str], schema: Value) -> Self {
        let key = key.iter().map(|pointer| (*pointer).to_owned()).collect();
        Self { key, schema, on_conflict: OnConflict::Widen, given: Vec::new() }
    }

    fn fields(properties: Value) -> Self {
        Self::new(&["/id"], json!({ "properties": properties, "additionalProperties": false }))
    }

    fn try_next(&mut self, fields: &FieldsDecl) -> Result<Selection, Undecided> {
        let collection = Collection {
            name: "a/b".to_owned(),
            key: self.key.clone(),
            schema_json: self.schema.to_string().into(),
            schema_version: 1,
        };
        let on_conflict = self.on_conflict;
        let wanted = Wanted { collection: &collection, fields, on_conflict, delta_updates: false, before: &self.given };
        let resolved = resolve(wanted, &sql())?;
        self.given = resolved.given;
        Ok(resolved.selection)
    }

    /// Pointers and names after the next run.
    fn next(&mut self, fields: &FieldsDecl) -> Vec<(String, String)> {
        let selection = self.try_next(fields).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        selection.fields.into_iter().map(|field| (field.pointer, field.name)).collect()
    }

    fn names(&mut self, fields: &FieldsDecl) -> Vec<String> {
        self.next(fields).into_iter().map(|(_, name)| name).collect()
    }

    fn code(&mut self, fields: &FieldsDecl) -> String {
        match self.try_next(fields) {
            Ok(selection) => panic!("{selection:?}"),
            Err(Undecided::Wrong(found)) => found[0].code.to_string(),
            Err(Undecided::Conflict(error)) => error.code.clone(),
        }
    }
}

fn nothing() -> FieldsDecl {
    FieldsDecl::default()
}

#[test]
fn the_key_and_all_top_level_fields_are_kept_unless_the_user_says_otherwise() {
    let mut life = Life::new(&["/id", "/k/y"], json!({ "properties": { "a": {}, "id": {}, "k": {} } }));
    assert_eq!(life.names(&nothing()), ["k/y", "a", "id", "k"]);
    assert_eq!(life.names(&exclude(&["a", "/k"])), ["k/y", "id"]);
    assert_eq!(life.names(&include(&["k"])), ["k/y", "id", "k"]);
    assert_eq!(life.names(&include(&[])), ["k/y", "id"]);
    assert_eq!(
        life.names(&include(&["*", "/k/z", "_meta", "other"])),
        ["k/y", "a", "id", "k", "k/z", "_meta", "other"]
    );
}

#[test]
fn what_is_wrong_with_a_choice_is_told() {
    let mut life = Life::fields(json!({ "id": {}, "a": { "type": "object", "properties": { "x": {} } } }));
    assert_eq!(life.code(&exclude(&["id"])), "fields.key");
    assert_eq!(life.code(&exclude(&["aa"])), "fields.unknown");
    assert_eq!(life.code(&include(&["/b/x"])), "fields.unknown");
    assert_eq!(life.code(&rename(&[("b", "c")])), "fields.unknown");
    assert_eq!(life.code(&exclude(&["/a/x"])), "fields.pointer");
    assert_eq!(life.code(&rename(&[("a", "RowId")])), "fields.name");
    assert_eq!(life.code(&rename(&[("a", "a\0")])), "fields.name");
    assert_eq!(life.code(&rename(&[("a", "a-name-of-more-than-20-bytes")])), "fields.name");
    assert_eq!(life.code(&rename(&[("a", "x"), ("id", "X")])), "fields.name");
    life.schema = json!({ "properties": { "id": {} } });
    assert_eq!(life.names(&rename(&[("later", "l")])), ["id"], "an open schema may get it");
}

#[test]
fn names_that_a_destination_does_not_take_are_changed_the_same_way_each_time() {
    let long = "a-name-of-more-than-20-bytes";
    let properties = json!({ "id": {}, "Id": {}, "ROWID": {}, "": {}, "a\0b": {}, long: {}, "a-name-of-more-than-20-BYTES": {}, "é": {}, "É": {} });
    let mut life = Life::fields(properties);
    let names = life.names(&nothing());
    assert_eq!(names[..5], ["id", "Id_2", "ROWID_", "_", "a_b"]);
    assert_eq!(names[7..], ["é", "É_2"]);
    for name in &names[5..7] {
        assert!(name.len() == 20 && name.starts_with("a-name-of-m"), "{name}");
    }
    assert_ne!(names[5], names[6]);
    assert_eq!(life.names(&nothing()), names);
}

#[test]
fn a_name_once_given_stays_whatever_comes_before_it_later() {
    let mut life = Life::fields(json!({ "id": {}, "Amount": {} }));
    assert_eq!(life.names(&nothing()), ["id", "Amount"]);
    life.schema = json!({ "properties": { "AMOUNT": {}, "amount": {}, "id": {}, "Amount": {} } });
    assert_eq!(life.names(&nothing()), ["AMOUNT_2", "amount_3", "id", "Amount"]);
    life.schema = json!({ "properties": { "id": {}, "amount": {}, "AMOUNT": {} } });
    assert_eq!(life.names(&nothing()), ["id", "amount_3", "AMOUNT_2"], "what is gone keeps its name to itself");
    assert_eq!(life.names(&exclude(&["amount"])), ["id", "AMOUNT_2"]);
    assert_eq!(life.names(&nothing()), ["id", "amount_3", "AMOUNT_2"]);
}

#[test]
fn a_field_is_renamed_there_and_back() {
    let mut life = Life::fields(json!({ "id": {}, "a": {}, "b": {} }));
    assert_eq!(life.names(&nothing()), ["id", "a", "b"]);
    assert_eq!(life.names(&rename(&[("a", "x"), ("id", "key")])), ["key", "x", "b"]);
    assert_eq!(life.names(&nothing()), ["id", "a", "b"]);
    assert_eq!(life.names(&rename(&[("a", "b")])), ["id", "b", "b_2"], "what the user names comes first");
    assert_eq!(life.names(&rename(&[("a", "b"), ("b", "a")])), ["id", "b", "a"]);
    assert_eq!(life.names(&nothing()), ["id", "a", "b"]);
}

#[test]
fn split_gives_values_of_another_kind_a_field_of_their_own() {
    let amount = |schema: Value| json!({ "properties": { "id": {}, "amount": schema } });
    let mut life = Life::new(&["/id"], amount(json!({ "type": "integer" })));
    life.on_conflict = OnConflict::Split;
    let mut next = |schema: Value| {
        life.schema = amount(schema);
        let fields = life.try_next(&nothing()).expect("decided").fields;
        let shown = fields[1..].iter().map(|field| {
            format!("{} {}", field.name, field.types.iter().map(|of| of.as_str()).collect::<Vec<_>>().join("+"))
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(next(json!({ "type": "integer" })), ["amount integer"]);
    assert_eq!(next(json!({ "type": "number" })), ["amount number"], "of one kind: it widens");
    let both = ["amount number", "amount__string string"];
    assert_eq!(next(json!({ "type": "string" })), both, "the schema's ladder forgets numbers, the column does not");
    assert_eq!(next(json!({ "type": ["string", "null"] })), both);
    assert_eq!(
        next(json!({ "type": ["string", "array"] })),
        ["amount number", "amount__string string", "amount__json array"]
    );
    assert_eq!(
        next(json!({ "type": ["object", "boolean"] })),
        ["amount number", "amount__string string", "amount__json object+array", "amount__boolean boolean"]
    );
    assert_eq!(next(json!({})).len(), 4, "values without a stated type go where their type is");
    let mut any = Life::new(&["/id"], amount(json!({ "type": "integer" })));
    any.on_conflict = OnConflict::Split;
    any.names(&nothing());
    any.schema = amount(json!({}));
    assert_eq!(any.names(&nothing()), ["id", "amount", "amount__boolean", "amount__string", "amount__json"]);
    life.on_conflict = OnConflict::Widen;
    life.schema = amount(json!({ "type": ["string", "number"] }));
    assert_eq!(life.names(&nothing()), ["id", "amount"]);
    life.on_conflict = OnConflict::Split;
    let renamed = ["id", "sum", "sum__json", "sum__boolean"];
    assert_eq!(life.names(&rename(&[("amount", "sum")])), renamed, "the column is one of numbers and texts by now");
}

#[test]
fn split_leaves_alone_what_had_no_type_and_the_key() {
    let mut life = Life::fields(json!({ "id": { "type": ["integer", "string"] }, "any": {} }));
    life.on_conflict = OnConflict::Split;
    assert_eq!(life.names(&nothing()), ["id", "any"]);
    life.schema = json!({ "properties": { "id": {}, "any": { "type": ["integer", "string"] }, "new": { "type": ["integer", "string"] } } });
    assert_eq!(life.names(&nothing()), ["id", "any", "new", "new__string"]);
}

#[test]
fn stop_stops_at_a_type_that_the_column_was_not_made_for_and_at_nothing_else() {
    let mut life = Life::fields(json!({ "id": {}, "a": { "type": "number" } }));
    life.on_conflict = OnConflict::Stop;
    life.names(&nothing());
    life.schema =
        json!({ "properties": { "id": {}, "a": { "type": ["integer", "null"] }, "new": { "type": "string" } } });
    assert_eq!(life.names(&nothing()), ["id", "a", "new"]);
    for wider in [json!({ "type": ["integer", "string"] }), json!({}), json!({ "type": "number" })] {
        life.schema = json!({ "properties": { "id": {}, "a": wider, "new": { "type": "string" } } });
        assert_eq!(life.code(&nothing()), "binding.conflict", "{wider}: the column is one of integers by now");
    }
    assert_eq!(life.names(&exclude(&["a"])), ["id", "new"]);
    life.on_conflict = OnConflict::Widen;
    assert_eq!(life.names(&nothing()), ["id", "a", "new"]);
}

fn property_name() -> impl Strategy<Value = String> {
    prop_oneof!["[aA]{1,3}(_2)?", "[éÉb\0]{0,4}", "rowid|RowId|ROWID_", "[xX]{19,24}"]
}

proptest! {
    /// Whatever a schema has and gets, names are legal, each is one field's, and no field ever gets the name that another had.
    #[test]
    fn names_are_legal_distinct_and_stable(steps in proptest::collection::vec(proptest::collection::btree_set(property_name(), 0..8), 1..6)) {
        let rules = sql();
        let mut life = Life::fields(json!({}));
        let mut owners: std::collections::HashMap<String, String> = std::collections::HashMap::new();
        for names in steps {
            let properties: serde_json::Map<String, Value> = names.into_iter().map(|name| (name, json!({}))).collect();
            life.schema = json!({ "properties": properties });
            let decided = life.next(&nothing());
            prop_assert!(decided.iter().all(|(_, name)| !name.is_empty() && name.len() <= 20 && !name.contains('\0')));
            for (pointer, name) in decided {
                let folded = name.to_lowercase();
                prop_assert!(!rules.reserved.contains(&folded));
                let owner = owners.entry(folded).or_insert_with(|| pointer.clone());
                prop_assert_eq!(&*owner, &pointer);
            }
        }
    }
}
