//! What is inferred admits the document, and everything that fitted before.

use longshore_proto::document::Scanner;
use longshore_proto::key::KeyPointers;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::document::{Schema, Widened, widen};

fn fits(schema: &[u8], document: &str) -> bool {
    let schema = Schema::compile_inferred(schema).unwrap();
    let key = KeyPointers::compile(&["/no/part/of/these".to_owned()]).unwrap();
    let mut fit = schema.begin();
    Scanner::new(&key).check(document.as_bytes(), |name, value| fit.member(name, value)).unwrap();
    fit.end(document.as_bytes()).is_ok()
}

fn admitted(schema: &Value, document: &str) -> Value {
    let wider = admit(schema.to_string().as_bytes(), document.as_bytes()).unwrap();
    assert!(fits(&wider, document), "{document} against {}", String::from_utf8_lossy(&wider));
    serde_json::from_slice(&wider).unwrap()
}

#[test]
fn fields_come_with_their_types_in_the_order_of_the_document() {
    let wider = admitted(
        &json!({}),
        r#"{"z":1,"a":"x","n":null,"o":{"deep":[1]},"l":[1],"f":1.5,"t":true,"_meta":{"op":"c"}}"#,
    );
    let types = json!({ "z": { "type": "integer" }, "a": { "type": "string" }, "n": { "type": "null" }, "o": { "type": "object" },
        "l": { "type": "array" }, "f": { "type": "number" }, "t": { "type": "boolean" } });
    assert_eq!(wider["properties"], types);
    assert_eq!(
        wider["properties"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["z", "a", "n", "o", "l", "f", "t"]
    );
}

#[test]
fn numbers_widen_and_everything_else_stands_beside() {
    let column = |types: Value| json!({ "type": "object", "properties": { "x": { "type": types } } });
    for (known, document, wider) in [
        (json!("integer"), r#"{"x":1.5}"#, json!("number")),
        (json!(["integer", "null"]), r#"{"x":1.5}"#, json!(["number", "null"])),
        (json!("integer"), r#"{"x":"7"}"#, json!(["integer", "string"])),
        (json!(["integer", "string"]), r#"{"x":0.5}"#, json!(["number", "string"])),
        (json!("string"), r#"{"x":123456789012345678901234567890}"#, json!(["string", "integer"])),
        (json!("number"), r#"{"x":{"y":1}}"#, json!(["number", "object"])),
    ] {
        assert_eq!(admitted(&column(known.clone()), document), column(wider), "{known} and {document}");
    }
}

#[test]
fn only_what_does_not_fit_is_touched() {
    let written = json!({
        "type": "object",
        "properties": {
            "id": { "type": "integer", "minimum": 1 },
            "state": { "enum": ["open", "closed"] },
            "at": { "type": "object", "properties": { "lat": { "type": "number" } }, "required": ["lat"] },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["id", "state"],
    });
    let wider = admitted(&written, r#"{"id":5,"state":"gone","at":{"lat":1},"tags":["x",7]}"#);
    let mut expected = written;
    expected["properties"]["state"] = json!({ "anyOf": [{ "enum": ["open", "closed"] }, { "type": "string" }] });
    expected["properties"]["tags"]["items"] = json!({ "type": ["string", "integer"] });
    assert_eq!(wider, expected);
    let wider = admitted(&wider, r#"{"id":5,"state":7,"new":1,"at":{}}"#);
    expected["properties"]["state"] =
        json!({ "anyOf": [{ "enum": ["open", "closed"] }, { "type": ["string", "integer"] }] });
    expected["properties"]["new"] = json!({ "type": "integer" });
    expected["properties"]["at"].as_object_mut().unwrap().shift_remove("required");
    assert_eq!(wider, expected);
}

#[test]
fn a_schema_of_another_kind_gets_what_was_seen_beside_it() {
    let written = json!({ "type": "object", "minProperties": 2, "properties": { "id": { "type": "integer" } } });
    let wider = admitted(&written, r#"{"id":"x"}"#);
    let wider = admitted(&wider, r#"{"new":1}"#);
    assert_eq!(wider["anyOf"][0], written);
    assert_eq!(wider["anyOf"].as_array().unwrap().len(), 2, "one place for all that was seen: {wider}");
    let refers = json!({ "$ref": "#/$defs/row", "$defs": { "row": { "type": "object", "required": ["id"] } } });
    assert_eq!(admit(refers.to_string().as_bytes(), b"{}"), Err(NotInferred::References));
    let inside = json!({ "properties": { "x": { "$ref": "#/$defs/n" } }, "$defs": { "n": { "minimum": 3 } } });
    admitted(&inside, r#"{"x":1}"#);
}

#[test]
fn names_that_are_data_come_to_an_end() {
    let many: Vec<String> = (0..=INFERRED_PROPERTIES_MAX).map(|n| format!("\"n{n}\":1")).collect();
    let document = |many: &[String]| format!("{{{}}}", many.join(","));
    assert_eq!(admit(b"{}", document(&many).as_bytes()), Err(NotInferred::TooWide));
    let most = admitted(&json!({}), &document(&many[1..]));
    assert_eq!(admit(most.to_string().as_bytes(), br#"{"one more":1}"#), Err(NotInferred::TooWide));
    admitted(&most, r#"{"n7":"of another type"}"#);
    let long = format!("{{\"{}\":1}}", "x".repeat(SCHEMA_MAX_BYTES));
    assert_eq!(admit(b"{}", long.as_bytes()), Err(NotInferred::TooWide));
}

#[test]
fn what_the_source_states_again_takes_nothing_back() {
    let stated = json!({ "type": "object", "properties": { "x": { "type": "integer" } }, "required": ["x"] });
    let wider = admitted(&stated, r#"{"x":"a","y":1}"#);
    assert_eq!(widen(wider.to_string().as_bytes(), stated.to_string().as_bytes()).unwrap(), Widened::Same);
}

fn property() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "object", "array"]);
    prop_oneof![
        4 => name.clone().prop_map(|name| json!({ "type": name })),
        2 => prop::collection::btree_set(name, 1..3).prop_map(|names| json!({ "type": names })),
        1 => Just(json!(true)),
        1 => Just(json!(false)),
        1 => Just(json!({ "type": "integer", "minimum": 3 })),
        1 => Just(json!({ "enum": ["a", 1] })),
        1 => Just(json!({ "type": "array", "items": { "type": "integer" } })),
        1 => Just(json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"], "additionalProperties": false })),
        1 => Just(json!({ "$ref": "#/$defs/small" })),
    ]
}

const NAMES: [&str; 5] = ["a", "b", "", "é", "_meta"];

fn known() -> impl Strategy<Value = Value> {
    let names = || prop::sample::select(&NAMES[..]);
    let additional = prop_oneof![3 => Just(None), 1 => Just(Some(json!(true))), 1 => Just(Some(json!(false))), 1 => Just(Some(json!({ "type": "string" })))];
    (
        prop::collection::btree_map(names(), property(), 0..4),
        prop::collection::btree_set(names(), 0..3),
        additional,
        0..5_u8,
    )
        .prop_map(|(properties, required, additional, more)| {
            let mut schema = json!({ "type": "object", "$defs": { "small": { "maximum": 2 } } });
            if !properties.is_empty() || more == 0 {
                schema["properties"] = json!(properties);
            }
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            if let Some(additional) = additional {
                schema["additionalProperties"] = additional;
            }
            // No references beside these: they are refused.
            let refers = schema.to_string().contains("$ref");
            match more {
                1 if !refers => json!({ "type": "object", "minProperties": 1, "properties": properties }),
                2 if !refers => json!({ "anyOf": [{ "required": ["a"] }, { "required": ["b"] }] }),
                _ => schema,
            }
        })
}

fn document() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "7",
        "-1.0",
        "1e3",
        "0.5",
        "1e-400",
        "18446744073709551616",
        "\"\"",
        "\"a\"",
        "[]",
        "[1,\"x\"]",
        "{}",
        "{\"a\":1}",
        "{\"a\":\"x\",\"b\":[]}",
    ]);
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), value, 0..5).prop_map(|members| {
        let member = |(name, value): (&&str, &&str)| format!("{}:{value}", serde_json::to_string(name).unwrap());
        let members: Vec<String> = members.iter().filter(|(name, _)| **name != "_meta").map(member).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_inferred_admits_the_document_and_never_narrows(known in known(), documents in prop::collection::vec(document(), 1..6)) {
        let mut schema = known.to_string().into_bytes();
        let mut versions = vec![schema.clone()];
        for document in &documents {
            if !fits(&schema, document) {
                schema = admit(&schema, document.as_bytes()).unwrap();
                versions.push(schema.clone());
            }
            prop_assert!(fits(&schema, document), "{} against {}", document, String::from_utf8_lossy(&schema));
        }
        for document in &documents {
            let before = versions.iter().any(|version| fits(version, document));
            prop_assert!(before && fits(&schema, document), "{} fitted before {}", document, String::from_utf8_lossy(&schema));
        }
    }
}
