//! The fast path and `jsonschema` say the same, errors name what they should, and widening only widens.

use longshore_proto::document::Scanner;
use longshore_proto::key::KeyPointers;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn compile(schema: &Value) -> Schema {
    Schema::compile(schema.to_string().as_bytes()).unwrap()
}

/// As a capture's documents are checked: while they are scanned.
fn check(schema: &Schema, document: &[u8]) -> Result<(), Violation> {
    let key = KeyPointers::compile(&["/no/part/of/these".to_owned()]).unwrap();
    let mut fit = schema.begin();
    Scanner::new(&key).check(document, |name, value| fit.member(name, value)).unwrap();
    fit.end(document)
}

fn violation(schema: &Value, document: &str) -> String {
    check(&compile(schema), document.as_bytes()).unwrap_err().to_string()
}

fn row() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "integer" },
            "name": { "type": ["string", "null"], "title": "who" },
            "a/b~c": { "type": "number" },
            "more": {},
        },
        "required": ["id"],
        "additionalProperties": false,
    })
}

#[test]
fn a_schema_of_rows_takes_the_fast_path_and_an_open_one_costs_nothing() {
    assert!(matches!(compile(&row()).0, Check::Flat(_)));
    for open in [json!(true), json!({}), json!({ "type": "object", "properties": { "x": true }, "title": "t" })] {
        assert!(matches!(compile(&open).0, Check::Open), "{open}");
    }
    for full in [
        json!({ "properties": { "x": { "minimum": 1 } } }),
        json!({ "not": {} }),
        json!(false),
        json!({ "type": "string" }),
    ] {
        assert!(matches!(compile(&full).0, Check::Full { .. }), "{full}");
    }
}

#[test]
fn documents_that_fit_pass() {
    for document in [
        r#"{"id":1}"#,
        r#" { "name" : null , "id" : -1.0 , "more" : [ { "x" : "]}\"" } ] } "#,
        r#"{"id":1e3,"name":"q\\","a/b~c":0.5}"#,
        r#"{"id":123456789012345678901234567890,"_meta":{"op":"d"}}"#,
        "{\"\\u0069d\":7}",
    ] {
        check(&compile(&row()), document.as_bytes()).unwrap();
    }
}

#[test]
fn a_violation_names_place_expectation_and_value() {
    assert_eq!(violation(&row(), r#"{"id":"x"}"#), "at /id: expected integer, got \"x\"");
    assert_eq!(violation(&row(), r#"{"id":0.5}"#), "at /id: expected integer, got 0.5");
    assert_eq!(violation(&row(), r#"{"id":1,"name":7}"#), "at /name: expected string or null, got 7");
    assert_eq!(violation(&row(), r#"{"id":1,"a/b~c":"q"}"#), "at /a~1b~0c: expected number, got \"q\"");
    assert_eq!(violation(&row(), "{}"), "at /id: expected a value, for it is required, got nothing");
    assert_eq!(
        violation(&row(), r#"{"id":1,"z":2}"#),
        "at /z: expected no property that the schema does not declare, got 2"
    );
    let full = json!({ "properties": { "x": { "properties": { "y": { "minimum": 5 } } } } });
    assert_eq!(
        violation(&full, r#"{"x":{"y":3}}"#),
        "at /x/y: expected what `minimum` asks for (value is less than the minimum of 5), got 3"
    );
}

#[test]
fn a_violation_as_an_error_names_collection_binding_and_key() {
    let violation = check(&compile(&row()), br#"{"id":"x"}"#).unwrap_err();
    let error = violation.into_error("shop/orders", b"[\"x\"]");
    assert_eq!((error.kind, error.pointer.as_str()), (longshore_proto::ErrorKind::Data, "/id"));
    assert!(error.message.contains("shop/orders") && error.message.contains("[\"x\"]"), "{}", error.message);
}

#[test]
fn a_long_value_is_cut() {
    let document = format!("{{\"id\":\"{}\"}}", "é".repeat(10_000));
    assert!(violation(&row(), &document).len() < 300);
}

#[test]
fn our_meta_needs_no_declaration() {
    let document = br#"{"id":1,"_meta":{"op":"u"}}"#;
    check(&compile(&row()), document).unwrap();
    let full = json!({ "properties": { "id": { "minimum": 0 } }, "additionalProperties": false });
    check(&compile(&full), document).unwrap();
    let declared = json!({ "properties": { "_meta": { "type": "string", "minLength": 1 } } });
    assert!(check(&compile(&declared), document).is_err(), "what is declared counts");
}

#[test]
fn what_a_source_stated_admits_nothing_undeclared() {
    let stated = json!({ "type": "object", "properties": { "id": { "type": "integer" } } });
    check(&compile(&stated), br#"{"id":1,"x":2}"#).unwrap();
    let closed = Schema::compile_stated(stated.to_string().as_bytes()).unwrap();
    assert_eq!(check(&closed, br#"{"id":1,"x":2}"#).unwrap_err().pointer, "/x");
    check(&Schema::compile_stated(b"{\"type\":\"object\"}").unwrap(), br#"{"x":2}"#).unwrap();
}

#[test]
fn nothing_is_fetched_and_nothing_is_taken_half() {
    for schema in [
        r#"{"$ref":"http://127.0.0.1:9/schema.json"}"#,
        r#"{"$ref":"file:///etc/hostname"}"#,
        r#"{"type":"strin"}"#,
        r#"{"properties":[]}"#,
        r#"{"pattern":"(a)\\1"}"#,
        "{",
        "7",
    ] {
        let error = Schema::compile(schema.as_bytes()).unwrap_err();
        assert_eq!(error.code, "schema.invalid", "{schema}");
    }
    assert!(Schema::compile(&[b' '; SCHEMA_MAX_BYTES + 1]).is_err());
}

fn types() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "object", "array"]);
    prop_oneof![
        3 => name.clone().prop_map(|name| json!({ "type": name })),
        2 => prop::collection::btree_set(name, 1..4).prop_map(|names| json!({ "type": names })),
        1 => Just(json!({})),
        1 => Just(json!(true)),
    ]
}

const NAMES: [&str; 7] = ["a", "b", "c\"d", "ü/~", "x\u{8}y", "x\\by", "_meta"];

fn schema() -> impl Strategy<Value = Value> {
    let properties = prop::collection::hash_map(prop::sample::select(&NAMES[..6]), types(), 0..5);
    let required = prop::collection::btree_set(prop::sample::select(&NAMES[..6]), 0..3);
    (properties, required, prop::option::of(any::<bool>())).prop_map(|(properties, required, additional)| {
        let mut schema = json!({ "type": "object", "properties": properties, "required": required });
        if let Some(additional) = additional {
            schema["additionalProperties"] = json!(additional);
        }
        schema
    })
}

/// As sources state them: what is not declared is not there.
fn stated() -> impl Strategy<Value = Value> {
    schema().prop_map(|mut schema| {
        schema.as_object_mut().unwrap().remove("additionalProperties");
        schema
    })
}

/// Values as they are written, so that numbers keep their form.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1",
            "-7",
            "1.0",
            "1.5",
            "1e3",
            "1.5e1",
            "25e-1",
            "100e-2",
            "18446744073709551616",
            "1e-3",
        ])
        .prop_map(str::to_owned),
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let member = (".{0,3}", inner.clone())
            .prop_map(|(name, value)| format!("{}: {value}", serde_json::to_string(&name).unwrap()));
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member, 0..2).prop_map(|members| format!("{{ {} }}", members.join(","))),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), value(), 0..5).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap())).collect();
        format!("{{{}}}", members.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_and_jsonschema_agree(schema in schema(), document in document()) {
        let flat = Flat::compile(&schema).expect("this shape is flat");
        let slow = jsonschema::options().offline().build(&schema).unwrap();
        let slow = check_fully(&slow, false, document.as_bytes());
        let is_open = flat.is_open();
        let fast = check(&Schema(Check::Flat(flat)), document.as_bytes());
        prop_assert_eq!(fast.is_ok(), slow.is_ok(), "{} against {}: fast {:?}, jsonschema {:?}", document, schema, fast, slow);
        prop_assert!(!is_open || fast.is_ok());
    }

    #[test]
    fn what_is_joined_admits_what_the_source_states_and_is_wider_for_good(current in stated(), stated in stated(), document in document()) {
        let (current, stated) = (current.to_string(), stated.to_string());
        let joined = match widen(current.as_bytes(), stated.as_bytes()).unwrap() {
            Widened::Same => current.clone().into_bytes(),
            Widened::Wider(joined) => joined,
        };
        // Where a number became text, the source sends text from then on: only the other documents say something about the join.
        let admits = |schema: &[u8]| check(&Schema::compile_stated(schema).unwrap(), document.as_bytes());
        let before = admits(current.as_bytes()).is_ok() || admits(stated.as_bytes()).is_ok();
        let ladder = admits(&joined).err().is_some_and(|v| v.expected.contains("string") && v.got.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
        prop_assert!(!before || ladder || admits(&joined).is_ok(), "{} with {} became {}", current, stated, String::from_utf8_lossy(&joined));
        prop_assert_eq!(widen(&joined, stated.as_bytes()).unwrap(), Widened::Same, "stated again, it changes nothing");
        prop_assert_eq!(widen(&joined, current.as_bytes()).unwrap(), Widened::Same, "nor does what was there before");
    }
}

fn widened(current: &Value, stated: &Value) -> Option<Value> {
    match widen(current.to_string().as_bytes(), stated.to_string().as_bytes()).unwrap() {
        Widened::Same => None,
        Widened::Wider(json) => Some(serde_json::from_slice(&json).unwrap()),
    }
}

fn column(types: &Value) -> Value {
    json!({ "type": "object", "properties": { "x": { "type": types } } })
}

#[test]
fn types_climb_integer_number_string_with_null_beside() {
    for (current, stated, joined) in [
        (json!("integer"), json!("number"), Some(json!("number"))),
        (json!("integer"), json!("string"), Some(json!("string"))),
        (json!("number"), json!(["null", "string"]), Some(json!(["string", "null"]))),
        (json!(["integer", "null"]), json!("string"), Some(json!(["string", "null"]))),
        (json!("integer"), json!(["integer", "null"]), Some(json!(["integer", "null"]))),
        (json!("boolean"), json!("string"), Some(json!(["boolean", "string"]))),
        (json!("string"), json!("integer"), None),
        (json!("number"), json!("integer"), None),
        (json!(["null", "number"]), json!(["integer", "null"]), None),
    ] {
        assert_eq!(
            widened(&column(&current), &column(&stated)),
            joined.map(|types| column(&types)),
            "{current} and {stated}"
        );
    }
}

#[test]
fn a_new_property_is_added_at_the_end_and_one_left_out_stays() {
    let current = json!({ "type": "object", "properties": { "b": { "type": "integer" }, "a": { "type": "integer" } }, "required": ["a", "b"] });
    let stated = json!({ "type": "object", "properties": { "a": { "type": "integer" }, "0": { "type": "string" } }, "required": ["a"] });
    let joined = widened(&current, &stated).unwrap();
    assert_eq!(joined["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "a", "0"]);
    assert_eq!(joined["required"], json!(["a"]));
    assert_eq!(
        widened(&stated, &json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] })),
        None
    );
}

#[test]
fn titles_make_no_version_and_a_lost_format_does() {
    let plain = json!({ "properties": { "t": { "type": "string" }, "title": { "type": "string" } } });
    let titled = json!({ "title": "T", "properties": { "title": { "type": "string" }, "t": { "type": "string", "description": "d" } } });
    assert_eq!(widened(&plain, &titled), None);
    let dated = json!({ "properties": { "t": { "type": "string", "format": "date-time" } } });
    assert_eq!(widened(&dated, &plain).unwrap()["properties"]["t"], json!({ "type": "string" }));
}

#[test]
fn what_cannot_be_joined_stands_side_by_side_once() {
    let (a, b) = (json!({ "type": "object", "minProperties": 1 }), json!({ "type": "object", "minProperties": 2 }));
    let joined = widened(&a, &b).unwrap();
    assert_eq!(joined, json!({ "anyOf": [a, b] }));
    assert_eq!(widened(&joined, &b), None);
}

#[test]
fn nested_objects_and_items_are_joined_in_place() {
    let nest = |types: &str| json!({ "properties": { "o": { "type": "object", "properties": { "x": { "type": types } } }, "l": { "type": "array", "items": { "type": types } } } });
    assert_eq!(widened(&nest("integer"), &nest("number")), Some(nest("number")));
}
