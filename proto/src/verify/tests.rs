//! Equal rows give equal sums whatever their spelling and order; rows that differ do not.

use proptest::prelude::*;

use super::*;
use crate::name::{InstallationId, StateKey};
use crate::pb::common::v1 as pb;
use crate::selection::Selection;
use crate::session::Collection;

fn values(of: &[(&str, Likeness)]) -> Vec<ComparedValue> {
    of.iter().map(|(pointer, likeness)| ComparedValue { pointer: (*pointer).to_owned(), likeness: *likeness }).collect()
}

fn hasher() -> Hasher {
    let values = values(&[
        ("/v", Likeness::Value),
        ("/at/x", Likeness::Moment),
        ("/t", Likeness::Text),
        ("/x", Likeness::Exact),
    ]);
    Hasher::new(&["/id".to_owned()], &values).expect("a key")
}

fn hash(document: &str) -> RowHash {
    let (mut hasher, mut row) = (hasher(), Vec::new());
    hasher.of_document(document, &mut row).expect("a document");
    hasher.hash(&row).expect("a row")
}

#[test]
fn what_is_the_same_has_one_hash_however_it_is_written() {
    for (one, other) in [
        (r#"{"id":1,"v":1.50}"#, r#"{ "v" : 15e-1, "id" : 1.0 }"#),
        (r#"{"id":1,"v":null}"#, r#"{"id":1,"other":7}"#),
        (r#"{"id":1,"v":{"b":[1,2.0],"a":"é"}}"#, r#"{"id":1,"v":{"a":"\u00e9","b":[1.0,2]}}"#),
        (r#"{"id":1,"at":{"x":"2024-01-01T00:00:00.50Z"}}"#, r#"{"id":1,"at":{"x":"2024-01-01T02:00:00.5+02:00"}}"#),
        (r#"{"id":1,"t":7.10}"#, r#"{"id":1,"t":"7.10"}"#),
        (r#"{"id":1,"t":true}"#, r#"{"id":1,"t":"true"}"#),
        (r#"{"id":1,"v":-0}"#, r#"{"id":1,"v":0.0}"#),
        (r#"{"id":1,"v":48.05380859999999}"#, r#"{"id":1,"v":48.05380859999999001}"#),
        (r#"{"id":1,"v":5}"#, r#"{"id":1,"v":5.0}"#),
        (r#"{"id":1,"x":1.50}"#, r#"{"id":1,"x":15e-1}"#),
    ] {
        assert_eq!(hash(one), hash(other), "{one} {other}");
    }
}

#[test]
fn what_is_not_the_same_has_another() {
    for (one, other) in [
        (r#"{"id":1,"v":1}"#, r#"{"id":1,"v":"1"}"#),
        (r#"{"id":1,"v":9007199254740993}"#, r#"{"id":1,"v":9007199254740992}"#),
        (r#"{"id":1,"v":0.1}"#, r#"{"id":1,"v":0.10000000000000003}"#),
        (r#"{"id":1,"x":0.1}"#, r#"{"id":1,"x":0.10000000000000001}"#),
        (r#"{"id":1,"v":[1,[2]]}"#, r#"{"id":1,"v":[1,2]}"#),
        (r#"{"id":1,"v":[]}"#, r#"{"id":1,"v":{}}"#),
        (r#"{"id":1,"v":{"a":null}}"#, r#"{"id":1,"v":{}}"#),
        (r#"{"id":1,"v":"2024-01-01T00:00:00Z"}"#, r#"{"id":1,"v":"2024-01-01T00:00:00.0Z"}"#),
        (r#"{"id":1,"at":{"x":"infinity"}}"#, r#"{"id":1,"at":{"x":"-infinity"}}"#),
        (r#"{"id":1,"t":7.10}"#, r#"{"id":1,"t":7.1}"#),
        (r#"{"id":1,"v":"a","t":""}"#, r#"{"id":1,"v":"","t":"a"}"#),
        (r#"{"id":1,"v":1}"#, r#"{"id":2,"v":1}"#),
    ] {
        assert_ne!(hash(one), hash(other), "{one} {other}");
    }
}

#[test]
fn a_hash_is_a_promise() {
    // Both ends may be of different versions: what changes here needs a new version of the encoding.
    let row = hash(r#"{"id":"JFK","v":[1,{"a":null}],"at":{"x":"2024-01-01T00:00:00Z"},"t":"x"}"#);
    assert_eq!((row.range, format!("{:032x}", row.hash).as_str()), (2142, "b5bb6050f8c6da3a352705964460c70d"));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let (mut hasher, mut row) = (hasher(), Vec::new());
    hasher.of_document(r#"{"id":[1]}"#, &mut row).expect("a document");
    assert_eq!(hasher.hash(&row).expect_err("no key").code, "key.type");
}

#[test]
fn rows_that_are_told_can_be_compared_value_by_value() {
    let mut hasher = hasher();
    let mut told = |document: &str| {
        let mut row = Vec::new();
        hasher.of_document(document, &mut row).expect("a document");
        hasher.told(&row).expect("a row")
    };
    let long = "x".repeat(TOLD_MAX_BYTES);
    let one = told(r#"{"id":1,"v":1.0,"t":7}"#);
    let other = told(&format!(r#"{{"id":1.0,"v":1,"t":"{long}"}}"#));
    assert_eq!(&one[..], b"[1,1.0,null,7,null]");
    assert!(other.len() < 200, "long values are told by their hash: {}", String::from_utf8_lossy(&other));
    let ((key, one), (same_key, other)) = (hasher.read_told(&one).unwrap(), hasher.read_told(&other).unwrap());
    assert_eq!(key, same_key);
    assert_eq!(hasher.unlike(&one, &other), Ok(vec![2]), "the third value");
    assert!(hasher.read_told(b"[1,2]").is_err() && hasher.read_told(b"[[],1,2,3,4]").is_err());
}

#[test]
fn what_is_asked_and_told_comes_back_from_the_wire() {
    let path = vec!["t".to_owned()];
    let collection =
        Collection { name: "t".to_owned(), key: vec!["/id".to_owned()], schema_json: "{}".into(), schema_version: 1 };
    let verify = Verify {
        owner: Owner { task: "lake".to_owned(), installation: InstallationId::from_bytes([1; 16]), epoch: 0 },
        config_json: "{}".into(),
        binding: Binding {
            state_key: StateKey::new(&path, 0),
            resource_path: path,
            resource_json: "{}".into(),
            selection: Selection::default(),
            collection,
            delta_updates: false,
        },
        values: values(&[
            ("/v", Likeness::Value),
            ("/t", Likeness::Text),
            ("/m", Likeness::Moment),
            ("/x", Likeness::Exact),
        ]),
        ranges: vec![0, 4095],
    };
    let wire = pb::VerifyRequest::from(verify.clone());
    assert_eq!(Verify::of_capture(wire.clone()), Ok(verify));
    let refused = |change: &dyn Fn(&mut pb::VerifyRequest)| {
        let mut wire = wire.clone();
        change(&mut wire);
        Verify::of_capture(wire).expect_err("refused").code.clone()
    };
    assert_eq!(refused(&|wire| wire.ranges = vec![1, 1]), "X-18");
    assert_eq!(refused(&|wire| wire.ranges = vec![4096]), "X-18");
    assert_eq!(refused(&|wire| wire.values[1].pointer = "/v".to_owned()), "X-18");
    assert_eq!(refused(&|wire| wire.values[1].pointer = "/id".to_owned()), "X-18", "the key is compared anyway");
    assert_eq!(refused(&|wire| wire.values[1].pointer = String::new()), "X-10");
    assert_eq!(refused(&|wire| wire.values[1].likeness = 0), "X-1");
    assert_eq!(refused(&|wire| wire.binding = None), "X-1");

    let mut sums = Checksums::default();
    sums.add(hash(r#"{"id":1}"#));
    for told in [Told::Checksums(sums), Told::Rows(vec!["[1]".into()]), Told::Progress(Progress::default())] {
        assert_eq!(Told::try_from(pb::VerifyResponse::from(told.clone())), Ok(told));
    }
    let short = pb::Checksums { counts: vec![0; RANGES], sums: vec![0; 7].into() };
    let short = pb::VerifyResponse { kind: Some(pb::verify_response::Kind::Checksums(short)) };
    assert_eq!(Told::try_from(short).expect_err("refused").code, "X-18");
}

proptest! {
    #[test]
    fn sums_do_not_depend_on_the_order_and_tell_one_row_more(ids in prop::collection::hash_set(0_u32..500, 1..40), seed: u64) {
        let rows: Vec<RowHash> = ids.iter().map(|id| hash(&format!(r#"{{"id":{id},"v":{seed}}}"#))).collect();
        let sum = |rows: &[RowHash]| rows.iter().fold(Checksums::default(), |mut sums, row| { sums.add(*row); sums });
        let all = sum(&rows);
        let backwards: Vec<RowHash> = rows.iter().rev().copied().collect();
        prop_assert_eq!(&all, &sum(&backwards));
        let (some, others) = rows.split_at(rows.len() / 2);
        let mut added = sum(some);
        added += &sum(others);
        prop_assert_eq!(&all, &added);
        let without = sum(&rows[1..]);
        prop_assert_eq!(all.differing(&without).collect::<Vec<_>>(), [rows[0].range]);
        prop_assert_eq!(all.rows(), without.rows() + 1);
    }
}
