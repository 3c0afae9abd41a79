//! States and patches against RFC 7396 and against themselves.

use super::*;
use proptest::prelude::*;

fn key(name: &str) -> StateKey {
    StateKey::new(&[name.to_owned()], 0)
}

fn state(task: &str) -> State {
    State::from_parts(Some(Bytes::copy_from_slice(task.as_bytes())), []).expect("a state")
}

/// Applies a patch of the task part and shows what became of it.
fn patched(before: &str, patch: &str) -> String {
    let mut state = state(before);
    state.apply(&StatePatch::new().with_task(patch.as_bytes()).expect("a patch")).expect("applies");
    state.task_json().map_or("none".to_owned(), |json| String::from_utf8_lossy(json).into_owned())
}

#[test]
fn x_9_patches_merge_as_rfc_7396_says() {
    // The appendix of the RFC, as far as both are objects.
    let check = |before, patch, after: &str| assert_eq!(patched(before, patch), after, "{before} + {patch}");
    check(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
    check(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
    check(r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#);
    check(r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#);
    check(r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
    check(r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#);
    check(r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#);
    check(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
    check(r#"{"a":"foo"}"#, "null", "none");
    check("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#);
}

#[test]
fn x_9_a_state_is_canonical_and_keeps_every_digit() {
    assert_eq!(
        patched(r#"{ "b" : 18446744073709551617, "a" : [ 1 , " x " ] }"#, r#"{"c": 0.10000000000000000000000001}"#),
        r#"{"a":[1," x "],"b":18446744073709551617,"c":0.10000000000000000000000001}"#
    );
}

#[test]
fn x_9_null_drops_one_part_and_leaves_the_others() {
    let mut state =
        State::from_parts(None, [(key("a"), "{\"x\":1}".into()), (key("b"), "{\"x\":2}".into())]).expect("a state");
    state.apply(&StatePatch::new().with_dropped(key("a"))).expect("applies");
    assert_eq!(state.parts().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b.v0"]);
}

#[test]
fn x_9_a_part_that_is_no_object_is_refused() {
    for bad in ["", "1", "[]", "{", "{\"a\":1,\"a\":2}", "{\"a\":\"\\ud800\"}"] {
        let error = StatePatch::new().with_task(bad.as_bytes()).expect_err(bad);
        assert_eq!(error.code, "X-9", "{bad}");
    }
}

#[test]
fn x_9_a_state_over_the_limit_is_refused_and_stays_what_it_was() {
    let half = format!("{{\"x\":\"{}\"}}", "y".repeat(STATE_MAX_BYTES / 2));
    let mut state = State::new();
    state.apply(&StatePatch::new().with_part(key("a"), half.as_bytes()).expect("a patch")).expect("applies");
    let before = state.clone();
    let error =
        state.apply(&StatePatch::new().with_part(key("b"), half.as_bytes()).expect("a patch")).expect_err("too large");
    assert_eq!(error.code, "X-9");
    assert_eq!(state, before);
    assert!(state.is_large());
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i8>().prop_map(Into::into),
        "[ab\"\\\\]{0,3}".prop_map(Into::into)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    proptest::collection::btree_map("[abc]", json(), 0..3)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()).to_string())
}

/// The pseudo-code of RFC 7396, on whole values.
fn oracle(target: serde_json::Value, patch: serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(patch) = patch else { return patch };
    let mut members = if let serde_json::Value::Object(members) = target { members } else { serde_json::Map::new() };
    for (name, change) in patch {
        if change.is_null() {
            members.remove(&name);
        } else {
            let old = members.remove(&name).unwrap_or_default();
            members.insert(name, oracle(old, change));
        }
    }
    serde_json::Value::Object(members)
}

proptest! {
    #[test]
    fn x_9_patching_agrees_with_the_pseudo_code_of_the_rfc(before in object(), patch in object()) {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        let clean = oracle(serde_json::Value::Null, value(&before));
        prop_assert_eq!(value(&patched(&before, &patch)), oracle(clean, value(&patch)));
    }

    #[test]
    fn x_9_one_patch_leads_from_any_state_to_any_other(before in object(), after in object(), dropped: bool) {
        let mut from = State::from_parts(Some(before.clone().into()), [(key("p"), before.into())]).expect("a state");
        let parts = (!dropped).then(|| (key("p"), after.clone().into()));
        let to = State::from_parts(Some(after.into()), parts).expect("a state");
        from.apply(&StatePatch::between(&from, &to)).expect("applies");
        prop_assert_eq!(from, to);
    }
}
