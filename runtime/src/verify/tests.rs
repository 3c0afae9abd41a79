//! Which bindings are compared, what differs, and what the journal says of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use longshore_proto::document::Op;
use longshore_proto::name::StateKey;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection};
use longshore_proto::verify::{ComparedValue, Hasher, Likeness, range_of};
use serde_json::{Value, json};

use super::compare::{Difference, Rows, by_key, compare};
use super::explain::{Because, because};
use super::history::Said;
use super::subject::{Subject, is_named};

fn binding(schema: &Value, delta_updates: bool) -> Binding {
    let path = vec!["public".to_owned(), "t".to_owned()];
    let key = vec!["/id".to_owned()];
    Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: Bytes::from_static(b"{}"),
        selection: Selection::plain(schema, &key, delta_updates),
        collection: Collection {
            name: "shop/t".to_owned(),
            key,
            schema_json: schema.to_string().into(),
            schema_version: 1,
        },
        delta_updates,
    }
}

fn captures() -> Vec<(String, Vec<Binding>)> {
    let other = |name: &str| {
        let mut binding = binding(&json!({}), false);
        binding.collection.name = name.to_owned();
        binding
    };
    vec![
        ("one".to_owned(), vec![other("shop/t"), other("shop/u")]),
        ("two".to_owned(), vec![other("shop/t")]),
        ("three".to_owned(), vec![]),
    ]
}

#[test]
fn a_binding_is_compared_with_all_that_its_collection_comes_from() {
    let schema = json!({ "properties": {
        "_meta": { "type": "object" },
        "id": { "type": "integer" },
        "n": { "type": "number" },
        "at": { "type": ["string", "null"], "format": "date-time" },
        "day": { "type": "string", "format": "date" },
        "wide": { "type": ["integer", "string"] },
        "when": { "type": "integer", "format": "date-time" },
        "fee": { "type": ["number", "null"], "format": "pg:numeric(12,2)" },
        "any": {},
    }});
    let mut destination = binding(&schema, false);
    destination.selection = Selection::plain(&schema, &destination.collection.key, true);
    let subject = Subject::new("lake", &destination, &captures()).expect("comparable");
    let sources: Vec<&str> = subject.sources.iter().map(|(task, _)| task.as_str()).collect();
    assert_eq!(sources, ["one", "two"]);
    let values: Vec<(&str, Likeness)> =
        subject.values.iter().map(|value| (value.pointer.as_str(), value.likeness)).collect();
    let expected = [
        ("/n", Likeness::Value),
        ("/at", Likeness::Moment),
        ("/day", Likeness::Value),
        ("/wide", Likeness::Text),
        ("/when", Likeness::Value),
        ("/fee", Likeness::Exact),
        ("/any", Likeness::Value),
    ];
    assert_eq!(values, expected, "not the key, which is compared anyway, and not what a capture says of a change");
    for (name, named) in [
        ("lake", true),
        ("lake/shop/t", true),
        ("lake/public/t", true),
        ("lake/t", false),
        ("lak", false),
        ("lake/", false),
    ] {
        assert_eq!(is_named("lake", &subject.destination, name), named, "{name}");
    }
}

#[test]
fn what_is_no_copy_by_design_is_not_compared() {
    let why = |destination: Binding, captures: &[(String, Vec<Binding>)]| {
        Subject::new("lake", &destination, captures).expect_err("not comparable")
    };
    let plain = json!({ "properties": { "id": { "type": "integer" } } });
    assert!(why(binding(&plain, true), &captures()).contains("every document"));
    assert!(why(binding(&plain, false), &[]).contains("no capture"));
    let merged = |strategy: &str| json!({ "reduce": { "strategy": "merge" }, "properties": { "n": { "type": "integer", "reduce": { "strategy": strategy } } } });
    assert!(why(binding(&merged("sum"), false), &captures()).contains("reduced"));
    Subject::new("lake", &binding(&merged("lastWriteWins"), false), &captures()).expect("parts of rows make rows");
}

fn hasher() -> Hasher {
    let value = |pointer: &str| ComparedValue { pointer: pointer.to_owned(), likeness: Likeness::Value };
    Hasher::new(&["/id".to_owned()], &[value("/a"), value("/b")]).expect("a key")
}

fn rows(of: &[&str]) -> Rows {
    let rows = of.iter().map(|row| Bytes::copy_from_slice(row.as_bytes())).collect();
    by_key(&hasher(), rows).expect("rows")
}

fn key(id: &str) -> Vec<u8> {
    longshore_proto::key::encode_json_key(format!("[{id}]").as_bytes()).expect("a key")
}

#[test]
fn rows_that_differ_are_found_by_their_keys_and_what_was_touched_says_nothing() {
    let source = rows(&["[1,1,1]", "[2,2,2]", "[3,3,3]", "[5,5,5]", "[6,1,1]"]);
    let destination = rows(&["[1.0,1.0,1]", "[2,2,9]", "[4,4,4]", "[5,0,0]", "[7,1,1]"]);
    let touched = BTreeSet::from([key("5"), key("6")]);
    let found = compare(&hasher(), &source, &destination, Some(&touched)).expect("rows");
    let told: Vec<(Vec<u8>, bool, bool, &[usize])> = found
        .differences
        .iter()
        .map(|one| (one.key.clone(), one.source.is_some(), one.destination.is_some(), one.places.as_slice()))
        .collect();
    let expected: [(Vec<u8>, bool, bool, &[usize]); 4] = [
        (key("2"), true, true, &[1]),
        (key("3"), true, false, &[]),
        (key("4"), false, true, &[]),
        (key("7"), false, true, &[]),
    ];
    assert_eq!(told, expected);
    assert_eq!(found.undecided, BTreeSet::from([range_of(&key("5")), range_of(&key("6"))]));

    let nothing_known = compare(&hasher(), &source, &destination, None).expect("rows");
    assert!(nothing_known.differences.is_empty() && nothing_known.undecided.len() == 6, "{nothing_known:?}");
    assert!(by_key(&hasher(), vec![Bytes::from_static(b"[1,2]")]).is_err());
}

#[test]
fn the_journal_tells_on_which_side_a_difference_came_about() {
    let row = |row: Option<&str>| row.map(|row| Bytes::copy_from_slice(row.as_bytes()));
    let why = |source: Option<&str>, destination: Option<&str>, said: Option<(Op, &str)>| {
        let places = if source.is_some() && destination.is_some() { vec![0] } else { Vec::new() };
        let difference = Difference { key: key("1"), source: row(source), destination: row(destination), places };
        let said =
            said.map(|(op, document)| Said { offset: 8, op, document: Bytes::copy_from_slice(document.as_bytes()) });
        because(&mut hasher(), &difference, said.as_ref(), 0, |_| false).expect("a row")
    };
    let (one, other) = (Some("[1,1,1]"), Some("[1,2,1]"));
    let said = |document| Some((Op::Update, document));
    assert_eq!(why(one, other, said(r#"{"id":1,"a":1,"b":1}"#)), Because::NotInDestination(8));
    assert_eq!(why(one, None, said(r#"{"id":1,"a":1,"b":1}"#)), Because::NotInDestination(8));
    assert_eq!(why(one, other, said(r#"{"id":1,"a":2,"b":1}"#)), Because::NotCaptured(8));
    assert_eq!(why(None, other, said(r#"{"id":1,"a":2,"b":1}"#)), Because::NotCaptured(8));
    assert_eq!(why(one, other, said(r#"{"id":1,"a":3,"b":1}"#)), Because::NeitherOne(8));
    assert_eq!(why(one, other, said(r#"{"id":1,"a":2}"#)), Because::NotCaptured(8), "it says nothing of the rest");
    let deleted = Some((Op::Delete, r#"{"id":1}"#));
    assert_eq!(why(None, other, deleted), Because::DeletedAndThere(8));
    assert_eq!(why(one, None, deleted), Because::NotCaptured(8));
    assert_eq!(why(one, other, deleted), Because::NeitherOne(8));
    assert_eq!(why(one, other, None), Because::NeverCaptured);

    let difference = Difference { key: key("1"), source: row(one), destination: None, places: Vec::new() };
    assert_eq!(because(&mut hasher(), &difference, None, 3, |_| false), Ok(Because::NotKept));
    let said = Said { offset: 8, op: Op::Create, document: Bytes::from_static(br#"{"id":1,"a":1,"b":1}"#) };
    assert_eq!(because(&mut hasher(), &difference, Some(&said), 0, |offset| offset == 8), Ok(Because::SetAside(8)));
}
