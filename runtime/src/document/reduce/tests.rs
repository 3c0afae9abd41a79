//! Whatever the pieces, the same documents come to the same; and a fault in an annotation is told where it stands.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Misfit, Reducer, faults};

/// A field for each strategy.
fn schema() -> Value {
    let of = |kind: Value, strategy: &str| json!({ "type": kind, "reduce": { "strategy": strategy } });
    json!({
        "type": "object",
        "reduce": { "strategy": "merge" },
        "properties": {
            "last": {},
            "first": { "reduce": { "strategy": "firstWriteWins" } },
            "sum": of(json!(["number", "null"]), "sum"),
            "least": of(json!(["string", "number", "null"]), "minimize"),
            "greatest": of(json!("number"), "maximize"),
            "newest": { "type": "object", "reduce": { "strategy": "maximize", "key": ["/at"] } },
            "all": of(json!("array"), "append"),
            "tags": { "type": "array", "items": { "type": ["string", "number"] }, "reduce": { "strategy": "set" } },
            "lines": { "type": "array", "items": { "type": "object" }, "reduce": { "strategy": "set", "key": ["/n"] } },
            "in": {
                "type": "object",
                "reduce": { "strategy": "merge" },
                "additionalProperties": { "type": "integer", "reduce": { "strategy": "sum" } },
            },
        },
    })
}

fn reducer(schema: &Value) -> Reducer {
    Reducer::compile(schema.to_string().as_bytes()).expect("a schema").expect("something to reduce")
}

fn reduced(reducer: &Reducer, documents: &[impl AsRef<[u8]>]) -> Result<String, Misfit> {
    let documents: Vec<&[u8]> = documents.iter().map(AsRef::as_ref).collect();
    let mut into = b"before ".to_vec();
    reducer.reduce(&documents, &mut into)?;
    Ok(String::from_utf8(into).expect("text").strip_prefix("before ").expect("what was there stays").to_owned())
}

#[test]
fn each_strategy_does_what_it_says() {
    let of = reducer(&schema());
    for (documents, expected) in [
        (&[r#"{"last":1}"#, r#"{"last":null}"#][..], r#"{"last":null}"#),
        (&[r#"{"last":1, "x":1.10}"#, r#"{"y":2}"#], r#"{"last":1,"x":1.10,"y":2}"#),
        (&[r#"{"first":null}"#, r#"{"first":2}"#], r#"{"first":null}"#),
        (&[r#"{"sum":9223372036854775807}"#, r#"{"sum":0.5}"#, r#"{"sum":null}"#], r#"{"sum":9223372036854775807.5}"#),
        (&[r#"{"sum":1.50}"#, r#"{"sum":null}"#], r#"{"sum":1.50}"#),
        (&[r#"{"least":"b"}"#, r#"{"least":null}"#, r#"{"least":7}"#, r#"{"least":7.0}"#], r#"{"least":7}"#),
        (&[r#"{"greatest":7}"#, r#"{"greatest":7.0}"#, r#"{"greatest":-1}"#], r#"{"greatest":7.0}"#),
        (
            &[r#"{"newest":{"at":2,"v":1}}"#, r#"{"newest":{"at":2,"v":2}}"#, r#"{"newest":{"v":3}}"#],
            r#"{"newest":{"at":2,"v":2}}"#,
        ),
        (&[r#"{"all":[1, 2]}"#, r#"{"all":[ ]}"#, r#"{"all":[{"a":3}]}"#], r#"{"all":[1, 2,{"a":3}]}"#),
        (&[r#"{"tags":["b","a","b"]}"#, r#"{"tags":[1,"a",1.0]}"#], r#"{"tags":[1.0,"a","b"]}"#),
        (
            &[r#"{"lines":[{"n":2,"v":1},{"n":1}]}"#, r#"{"lines":[{"n":2,"v":2}]}"#],
            r#"{"lines":[{"n":1},{"n":2,"v":2}]}"#,
        ),
        (&[r#"{"in":{"a":1,"b":2}}"#, r#"{"in":{"b":3,"c\u0041":4}}"#], r#"{"in":{"a":1,"b":5,"cA":4}}"#),
        (&[r#"{"in":{"a":1}}"#, r#"{"in":null}"#, r#"{}"#], r#"{"in":{"a":1}}"#),
    ] {
        assert_eq!(reduced(&of, documents).as_deref(), Ok(expected), "{documents:?}");
    }
}

#[test]
fn a_value_of_another_type_is_told_with_its_place() {
    let of = reducer(&schema());
    for (documents, expected) in [
        ([r#"{"sum":"1"}"#, r#"{"sum":1}"#], r#"sum at /sum: expected a number, got "1""#),
        ([r#"{"in":{"a/b":true}}"#, r#"{"in":{"a/b":1}}"#], "sum at /in/a~1b: expected a number, got true"),
        ([r#"{"in":[]}"#, r#"{"in":{}}"#], "merge at /in: expected an object, got []"),
        ([r#"{"all":{}}"#, r#"{"all":[]}"#], "append at /all: expected an array, got {}"),
        ([r#"{"least":[]}"#, r#"{"least":1}"#], "minimize at /least: expected text, a number or a boolean, got []"),
        (
            [r#"{"newest":{"at":{}}}"#, r#"{"newest":{"at":1}}"#],
            r#"maximize at /newest: expected an object with scalars where `key` leads, got {"at":{}}"#,
        ),
        ([r#"{"sum":1e5000}"#, r#"{"sum":1}"#], "sum at /sum: expected a number of at most 1,100 places, got 1e5000"),
    ] {
        let misfit = reduced(&of, &documents).expect_err(documents[0]);
        assert_eq!(misfit.to_string(), expected);
    }
    assert!(reduced(&of, &[r#"{"sum":"1"}"#]).is_ok(), "alone nothing is reduced");
}

#[test]
fn the_newest_of_whole_documents_wins() {
    let of = reducer(&json!({ "reduce": { "strategy": "maximize", "key": ["/at"] } }));
    let documents = [r#"{"at":"2026-02","v":1}"#, r#"{"at":"2026-01","v":2}"#];
    assert_eq!(reduced(&of, &documents).as_deref(), Ok(documents[0]));
    assert_eq!(of.locations(), ["/at"]);
}

#[test]
fn without_an_annotation_there_is_nothing_to_do() {
    for schema in ["{}", r#"{"reduce":{"strategy":"lastWriteWins"}}"#, r#"{"properties":{"reduce":{"type":"string"}}}"#]
    {
        assert!(Reducer::compile(schema.as_bytes()).expect(schema).is_none(), "{schema}");
    }
}

#[test]
fn what_was_widened_is_reduced_as_before() {
    let sum = json!({ "type": "integer", "minimum": 0, "reduce": { "strategy": "sum" } });
    let written = json!({ "type": "object", "reduce": { "strategy": "merge" }, "properties": { "n": sum } });
    let field = json!({ "type": "object", "reduce": { "strategy": "merge" }, "properties": { "n": { "anyOf": [{ "type": "null" }, sum] } } });
    let whole = json!({ "anyOf": [written, { "type": "object", "properties": { "n": { "type": "integer" } } }] });
    let inferred = crate::document::infer::admit(written.to_string().as_bytes(), br#"{"n":-1,"new":{"a":1}}"#);
    let inferred: Value = serde_json::from_slice(&inferred.expect("a wider schema")).expect("JSON");
    for schema in [written, field, whole, inferred] {
        let reduced = reduced(&reducer(&schema), &[r#"{"n":5,"a":1}"#, r#"{"n":-1}"#]);
        assert_eq!(reduced.as_deref(), Ok(r#"{"n":4,"a":1}"#), "{schema}");
    }
}

#[test]
fn locations_are_where_the_old_value_is_needed() {
    let found = reducer(&schema()).locations();
    let expected = ["/all", "/first", "/greatest", "/in/*", "/in", "/least", "/lines", "/newest", "/sum", "/tags"]
        .map(str::to_owned);
    assert_eq!(found, expected);
    assert!(!reducer(&schema()).is_idempotent());
}

#[test]
fn a_fault_is_told_where_it_stands() {
    let annotated = |kind: Value, reduce: Value| json!({ "reduce": { "strategy": "merge" }, "properties": { "a": { "type": kind, "reduce": reduce } } });
    let of = |strategy: &str| json!({ "strategy": strategy });
    for (schema, pointer, says) in [
        (json!({ "reduce": "sum" }), "/reduce", "expected a mapping"),
        (json!({ "reduce": { "strategy": "add" } }), "/reduce/strategy", "expected a strategy, got \"add\""),
        (json!({ "reduce": { "strategy": "sum" } }), "/reduce/strategy", "got the document"),
        (json!({ "reduce": { "strategy": "maximize" } }), "/reduce/strategy", "values with an order"),
        (json!({ "reduce": { "strategy": "merge", "kee": [] } }), "/reduce/kee", "no `kee`"),
        (json!({ "reduce": { "strategy": "merge", "key": ["/a"] } }), "/reduce/key", "takes no `key`"),
        (annotated(json!("integer"), of("merge")), "/properties/a/reduce/strategy", "merge is for objects"),
        (annotated(json!(["integer", "string"]), of("sum")), "/properties/a/reduce/strategy", "sum is for numbers"),
        (annotated(Value::Null, of("sum")), "/properties/a/reduce/strategy", "got type null"),
        (annotated(json!("array"), of("set")), "/properties/a/reduce/strategy", "`items`"),
        (
            annotated(json!("object"), json!({ "strategy": "minimize", "key": ["id"] })),
            "/properties/a/reduce/key",
            "JSON pointer",
        ),
        (
            json!({ "properties": { "a": { "type": "integer", "reduce": of("sum") } } }),
            "/properties/a/reduce",
            "never count",
        ),
        (json!({ "allOf": [{ "reduce": of("firstWriteWins") }] }), "/allOf/0/reduce", "never count"),
        (
            json!({ "reduce": of("merge"), "patternProperties": { "a/b": { "type": "integer", "reduce": of("sum") } } }),
            "/patternProperties/a~1b/reduce",
            "never count",
        ),
        (annotated(json!("integer"), of("sum")), "", ""),
    ] {
        let found = faults(&schema, &["/id".to_owned()]);
        match found.as_slice() {
            [] => assert!(says.is_empty(), "{schema}: nothing was found"),
            [fault, ..] => {
                assert_eq!(fault.pointer, pointer, "{fault:?}");
                assert!(!says.is_empty() && fault.message.contains(says), "{fault:?}");
            }
        }
    }
    let key = faults(&annotated(json!("integer"), of("sum")), &["/a".to_owned()]);
    assert!(key[0].message.contains("a part of the key"), "{key:?}");
    assert_eq!(key[0].pointer, "/properties/a/reduce");
}

/// A value that may stand in a field; now and then one of another type.
fn value(field: &'static str) -> BoxedStrategy<Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| json!(n)),
        (-1000..1000i32).prop_map(|n| json!(f64::from(n) / 8.0)),
        Just(json!(7)),
        Just(json!(7.0)),
    ];
    let small = (0..4u8).prop_map(|n| json!(n));
    let right = match field {
        "sum" | "greatest" => number.boxed(),
        "least" => prop_oneof![number, "[ab]{0,2}".prop_map(|text| json!(text))].boxed(),
        "newest" => (0..4u8, any::<u8>()).prop_map(|(at, v)| json!({ "at": at, "v": v })).boxed(),
        "all" => proptest::collection::vec(small, 0..3).prop_map(|all| json!(all)).boxed(),
        "tags" => proptest::collection::vec(prop_oneof![small, "[ab]".prop_map(|text| json!(text))], 0..4)
            .prop_map(|all| json!(all))
            .boxed(),
        "lines" => proptest::collection::vec((0..3u8, any::<u8>()).prop_map(|(n, v)| json!({ "n": n, "v": v })), 0..3)
            .prop_map(|all| json!(all))
            .boxed(),
        "in" => proptest::collection::btree_map("[a-c]", small, 0..3).prop_map(|all| json!(all)).boxed(),
        _ => any::<u8>().prop_map(|n| json!(n)).boxed(),
    };
    prop_oneof![12 => right, 3 => Just(Value::Null), 1 => Just(json!(true))].boxed()
}

fn document() -> impl proptest::strategy::Strategy<Value = String> {
    const FIELDS: [&str; 10] = ["last", "first", "sum", "least", "greatest", "newest", "all", "tags", "lines", "in"];
    proptest::sample::subsequence(&FIELDS[..], 0..=FIELDS.len()).prop_flat_map(|fields| {
        let values: Vec<BoxedStrategy<Value>> = fields.iter().map(|field| value(field)).collect();
        (Just(fields), values).prop_map(|(fields, values)| {
            let document: serde_json::Map<String, Value> = fields.into_iter().map(str::to_owned).zip(values).collect();
            Value::Object(document).to_string()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn in_whatever_pieces_the_same_documents_come_to_the_same(
        documents in proptest::collection::vec(document(), 1..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let of = reducer(&schema());
        let whole = reduced(&of, &documents);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(documents.len())).collect();
        cuts.extend([0, documents.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let pieces: Result<Vec<String>, Misfit> =
            cuts.windows(2).map(|cut| reduced(&of, &documents[cut[0]..cut[1]])).collect();
        let in_pieces = pieces.and_then(|pieces| reduced(&of, &pieces));
        match (whole, in_pieces) {
            (Ok(whole), Ok(in_pieces)) => prop_assert_eq!(whole, in_pieces),
            (Err(_), Err(_)) => {}
            (whole, in_pieces) => prop_assert!(false, "whole: {:?}\nin pieces: {:?}", whole, in_pieces),
        }
    }
}

#[test]
fn many_documents_of_one_key_are_reduced_in_groups() {
    let of = reducer(&schema());
    let documents: Vec<String> = (0..10_000).map(|n| format!(r#"{{"sum":{n},"all":[{n}],"last":{n}}}"#)).collect();
    let all: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let expected = format!(r#"{{"sum":49995000,"all":[{}],"last":9999}}"#, all.join(","));
    assert_eq!(reduced(&of, &documents), Ok(expected));
}
