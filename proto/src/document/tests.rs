//! What a scan takes out, and the edge cases of JSON, each pinned with its policy.

use super::*;
use proptest::prelude::*;

fn scanner(pointers: &[&str]) -> Scanner {
    let pointers: Vec<String> = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
    Scanner::new(&KeyPointers::compile(&pointers).expect("pointers"))
}

fn scan(pointers: &[&str], document: &str) -> Result<Scanned, Error> {
    let mut scanned = Scanned::default();
    scanner(pointers).scan(document.as_bytes(), &mut scanned).map(|()| scanned)
}

/// The key that is found, as JSON; its encoding must be that of the JSON.
fn key_of(pointers: &[&str], document: &str) -> String {
    let scanned = scan(pointers, document).unwrap_or_else(|error| panic!("{document}: {error}"));
    let encoded = crate::key::encode_json_key(&scanned.key_json).expect("a key");
    assert_eq!(scanned.key_encoded, encoded);
    String::from_utf8(scanned.key_json).expect("UTF-8")
}

/// How a document is refused; `None`: it is not.
fn refusal(document: &[u8]) -> Option<String> {
    scanner(&["/id"]).scan(document, &mut Scanned::default()).err().map(|error| error.to_string())
}

#[track_caller]
fn check_refused(document: impl AsRef<[u8]>, expected: &str) {
    let message = refusal(document.as_ref()).expect("a refusal");
    assert!(message.contains(expected), "expected `{expected}`, got: {message}");
}

#[track_caller]
fn check_kept(document: impl AsRef<[u8]>) {
    assert_eq!(refusal(document.as_ref()), None);
}

#[test]
fn x_7_the_key_is_found_wherever_it_is() {
    let document = r#"{"x":[{"id":9}],"b":{"c":"q","id":8},"id":1.50,"a/b":{"~":true},"z":null}"#;
    assert_eq!(key_of(&["/id", "/b/c", "/a~1b/~0"], document), r#"[1.50,"q",true]"#);
    assert_eq!(key_of(&["/b/c", "/b/id"], document), r#"["q",8]"#);
}

#[test]
fn x_7_absent_is_null() {
    assert_eq!(
        key_of(&["/no", "/id/deeper", "/list/0", "/nil"], r#"{"id":1,"list":[5],"nil":null}"#),
        "[null,null,null,null]"
    );
}

#[test]
fn x_7_names_with_escapes_are_the_names_they_say() {
    assert_eq!(key_of(&["/id"], r#"{"\u0069d":"\u0041"}"#), r#"["\u0041"]"#);
}

#[test]
fn x_7_objects_and_arrays_are_no_keys() {
    for document in [r#"{"id":{}}"#, r#"{"id":[1]}"#] {
        assert_eq!(scan(&["/id"], document).expect_err(document).code, "key.type");
    }
}

#[test]
fn the_operation_is_create_unless_said_otherwise() {
    let op = |document| scan(&["/id"], document).map(|scanned| scanned.op).map_err(|error| error.code.clone());
    assert_eq!(op(r#"{"id":1}"#), Ok(Op::Create));
    assert_eq!(op(r#"{"_meta":{"source":{}}}"#), Ok(Op::Create));
    assert_eq!(op(r#"{"_meta":{"op":"c"}}"#), Ok(Op::Create));
    assert_eq!(op(r#"{"_meta":{"op":"u"}}"#), Ok(Op::Update));
    assert_eq!(op(r#"{"_meta":{"op":"d"},"id":1}"#), Ok(Op::Delete));
    for bad in
        [r#"{"_meta":{"op":"x"}}"#, r#"{"_meta":{"op":1}}"#, r#"{"_meta":{"op":null}}"#, r#"{"_meta":{"op":{}}}"#]
    {
        assert_eq!(op(bad), Err("document.op".to_owned()), "{bad}");
    }
}

#[test]
fn the_operation_may_be_part_of_the_key() {
    assert_eq!(key_of(&["/_meta/op", "/id"], r#"{"id":1,"_meta":{"op":"d"}}"#), r#"["d",1]"#);
    assert_eq!(scan(&["/_meta/op"], r#"{"_meta":{"op":"d"}}"#).expect("scans").op, Op::Delete);
}

#[test]
fn one_scanner_forgets_the_document_before() {
    let (mut scanner, mut scanned) = (scanner(&["/id"]), Scanned::default());
    scanner.scan(br#"{"id":"first","_meta":{"op":"d"}}"#, &mut scanned).expect("scans");
    scanner.scan(br#"{}"#, &mut scanned).expect("scans");
    assert_eq!((scanned.op, scanned.key_json.as_slice()), (Op::Create, b"[null]".as_slice()));
}

#[test]
fn x_6_a_document_is_one_object() {
    for not_one in [
        "",
        " ",
        "1",
        "[]",
        "null",
        "\"{}\"",
        "{}{}",
        "{},",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
    ] {
        check_refused(not_one, "expected");
    }
    check_kept(" {\t\"a\" : [ 1 , { } , [ ] ] } ");
    check_refused("\u{feff}{}", "an object at byte 0");
}

#[test]
fn x_6_a_document_is_one_line() {
    check_refused("{\n\"a\":1}", "a line break (a document is one line)");
    check_refused("{\"a\":1}\r", "a line break");
    check_kept(r#"{"a":"\n\r"}"#);
    assert_eq!(check_object(b"{\r\n  \"a\": 1\n}\n"), Ok(()), "configs and schemas may have many lines");
}

#[test]
fn x_6_a_name_comes_once_in_an_object() {
    check_refused(r#"{"a":1,"b":2,"a":3}"#, "each name once in an object at byte 14");
    check_refused(r#"{"x":{"a":1,"\u0061":1}}"#, "each name once");
    check_refused(r#"{"x":[{"a":1,"a":1}]}"#, "each name once");
    check_kept("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1},\"A\":1,\"\u{e1}\":1,\"a\u{301}\":1}");
}

#[test]
fn x_6_many_names_are_compared_too() {
    let members = |names: &[String]| {
        format!("{{{}}}", names.iter().map(|name| format!("\"{name}\":1")).collect::<Vec<_>>().join(","))
    };
    let mut names: Vec<String> = (0..10_000).map(|i| format!("field_{i}")).collect();
    check_kept(members(&names));
    names[9_999] = "fiel\\u0064_17".to_owned();
    check_refused(members(&names), "each name once");
}

#[test]
fn x_6_nesting_ends_where_serde_json_ends() {
    let nested = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth - 1), "{}", "}".repeat(depth - 1));
    let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    for shape in [nested, arrays] {
        check_kept(shape(127));
        assert!(serde_json::from_str::<serde_json::Value>(&shape(127)).is_ok());
        for depth in [128, 129, 100_000] {
            check_refused(shape(depth), "at most 127");
            assert!(serde_json::from_str::<serde_json::Value>(&shape(depth)).is_err());
        }
    }
}

#[test]
fn x_6_numbers_keep_their_digits_within_the_range_of_a_double() {
    for literal in [
        "18446744073709551616",
        "-170141183460469231731687303715884105728",
        "0.12345678901234567890123456789012345678",
        "1e-400",
        "-0",
        "1E+5",
    ] {
        assert_eq!(key_of(&["/id"], &format!(r#"{{"id":{literal}}}"#)), format!("[{literal}]"));
    }
    check_kept(format!(r#"{{"a":{}}}"#, "9".repeat(308)));
    check_kept(r#"{"a":1.7976931348623157e308}"#);
    for beyond in ["1e400", "-1e400", "1.8e308", &"9".repeat(400), "1e99999999999999999999"] {
        check_refused(format!(r#"{{"a":{beyond}}}"#), "within the range of a double");
    }
    for no_number in ["01", "+1", ".5", "1.", "1e", "-", "0x1", "NaN", "Infinity", "1_000"] {
        check_refused(format!(r#"{{"a":{no_number}}}"#), "expected");
    }
}

#[test]
fn x_6_strings_are_unicode() {
    check_kept(r#"{"a":"\u0000\ud83d\ude00\"\\\/\b\f\n\r\t","":{"":1}}"#);
    for half in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x", r"\udbff\u0041"] {
        check_refused(format!(r#"{{"a":"{half}"}}"#), "both halves of a surrogate pair");
    }
    check_refused(b"{\"a\":\"\xff\"}", "UTF-8 at byte 6");
    check_refused(b"{\"a\":\"\xed\xa0\x80\"}", "UTF-8");
    check_refused(b"{\"a\":\"\x00\"}", "control characters");
    check_refused(b"{\"a\":\"\x1f\"}", "control characters");
    check_refused(b"{\"a\":\"line\nbreak\"}", "control characters");
    check_refused(r#"{"a":"\x"}"#, "an escape that JSON has");
    check_refused(r#"{"a":"\u12g4"}"#, "four hex digits");
}

#[test]
fn x_4_a_document_has_a_limit() {
    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    check_kept(sized(DOCUMENT_MAX_BYTES));
    let error = scan(&["/id"], &sized(DOCUMENT_MAX_BYTES + 1)).expect_err("one byte over");
    assert_eq!((error.kind, error.code.as_str()), (crate::ErrorKind::Data, "document.too_large"));
}

/// Objects with few names, so that they share some, miss some, repeat some and write some with escapes.
fn members() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-d]",
        Just("long_name_1".to_owned()),
        Just("long_name_2".to_owned()),
        Just("\\u0061".to_owned()),
        Just("id".to_owned())
    ];
    let object = |value: BoxedStrategy<String>| {
        proptest::collection::vec((name.clone(), value), 0..5).prop_map(|members| {
            let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    };
    let leaf = Just("1".to_owned()).boxed();
    let inner = prop_oneof![2 => leaf.clone(), 1 => object(leaf)].boxed();
    object(inner)
}

#[test]
fn strings_end_where_they_end_however_long_they_are() {
    for length in 0..150 {
        let plain = "x".repeat(length);
        for (text, good) in
            [("", true), ("\\n", true), ("\n", false), ("\u{1f}", false), ("é", true), (" ", true), ("\u{7f}", true)]
        {
            for behind in ["", "y", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"] {
                let document = format!("{{\"id\":\"{plain}{text}{behind}\",\"z\":1}}");
                assert_eq!(refusal(document.as_bytes()).is_none(), good, "{document:?}");
            }
        }
        check_refused(format!("{{\"id\":\"{plain}"), "the end of a string");
    }
}

fn json_text() -> impl Strategy<Value = String> {
    // Text that is often JSON and often nearly so.
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\"a\""),
        Just("\"b\""),
        Just("\"\\u00e9\""),
        Just("1"),
        Just("-0.5e3"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\"id\""),
        Just("{\"id\":"),
        Just("\\"),
        Just("\""),
    ];
    proptest::collection::vec(token, 0..16).prop_map(|tokens| tokens.concat())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(".{0,10}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn x_6_what_passes_is_an_object_to_serde_json(text in json_text()) {
        if check_object(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok(), "{}", text);
        } else {
            // The other way round, only what serde_json is silent about is refused.
            let read = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
            prop_assert!(read.is_err() || text.matches("\"a\"").count() + text.matches("\"b\"").count() + text.matches("id").count() + text.matches("00e9").count() > 1, "{}", text);
        }
    }

    #[test]
    fn x_6_what_serde_json_writes_passes_and_its_key_is_found(id in value(), rest in value()) {
        let document = serde_json::json!({ "rest": rest, "id": id }).to_string();
        let scanned = scan(&["/id"], &document);
        if id.is_object() || id.is_array() {
            prop_assert_eq!(scanned.expect_err("no key").code.clone(), "key.type");
        } else {
            let expected = serde_json::json!([id]).to_string().into_bytes();
            prop_assert_eq!(scanned.expect("scans").key_json, expected);
        }
    }

    #[test]
    fn a_scanner_with_a_past_decides_like_a_new_one(documents in proptest::collection::vec(members(), 1..12)) {
        let (mut used, mut scanned) = (scanner(&["/a/b", "/id"]), Scanned::default());
        // What it has learned first is learned anew only after many misses; both are to be seen.
        for document in documents.iter().cycle().take(200) {
            let outcome = used.scan(document.as_bytes(), &mut scanned).map(|()| scanned.clone());
            prop_assert_eq!(&outcome, &scan(&["/a/b", "/id"], document), "{}", document);
            let mut members = Vec::new();
            let checked = used.check(document.as_bytes(), |name, value| members.push((name.to_vec(), value.to_vec())));
            prop_assert_eq!(&checked, &outcome.as_ref().map(|scanned| scanned.op).map_err(Clone::clone), "{}", document);
            if let Ok(scanned) = outcome {
                prop_assert_eq!(used.key_json(document.as_bytes()), scanned.key_json);
                let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(document).expect("it was checked");
                prop_assert_eq!(members.len(), parsed.len(), "{}", document);
                for (name, value) in members {
                    let name = String::from_utf8(name).expect("UTF-8");
                    let value: serde_json::Value = serde_json::from_slice(&value).expect("one value");
                    prop_assert_eq!(parsed.get(&name), Some(&value), "{}", document);
                }
            }
        }
    }

    #[test]
    fn what_was_checked_is_taken_out_by_reading_no_further(documents in proptest::collection::vec(members(), 1..12)) {
        for pointers in [&["/a/b", "/id"][..], &["/id"], &["/a", "/_meta/op"], &["/a", "/a/b"], &["/none"]] {
            let (mut used, mut taken) = (scanner(pointers), Scanned::default());
            for document in documents.iter().cycle().take(100) {
                let Ok(scanned) = scan(pointers, document) else { continue };
                prop_assert_eq!(used.take(document.as_bytes(), &mut taken), Ok(()), "{}", document);
                prop_assert_eq!(&taken, &scanned, "{}", document);
            }
        }
    }

    #[test]
    fn a_finder_finds_what_serde_json_finds(documents in proptest::collection::vec(members(), 1..12)) {
        let paths: [&[&str]; 5] = [&["a"], &["a", "b"], &["id"], &["_meta", "op"], &["a", "b", "c"]];
        let names: Vec<Vec<String>> = paths.iter().map(|path| path.iter().map(|name| (*name).to_owned()).collect()).collect();
        let mut finder = Finder::new(names.iter().map(Vec::as_slice));
        for document in documents.iter().cycle().take(100) {
            let mut found = [None; 5];
            let is_read = finder.find(document, |path, raw| found[path] = Some(raw)).is_ok();
            if check_object(document.as_bytes()).is_err() {
                continue;
            }
            prop_assert!(is_read, "{}", document);
            let whole: serde_json::Value = serde_json::from_str(document).expect("it was read");
            for (path, raw) in paths.iter().zip(found) {
                let wanted = path.iter().try_fold(&whole, |value, name| value.as_object()?.get(*name));
                let raw = raw.map(|raw| serde_json::from_str::<serde_json::Value>(raw).expect("one value"));
                prop_assert_eq!(raw.as_ref(), wanted, "{}", document);
            }
        }
    }

    #[test]
    fn what_serde_json_writes_is_found_whole(first in value(), second in value()) {
        let document = serde_json::json!({ "first": first, "in": { "second": second, "x": [{}, "]"] }, "last": 1 }).to_string();
        let names = [vec!["first".to_owned()], vec!["in".to_owned(), "second".to_owned()], vec!["last".to_owned()]];
        let mut found = Vec::new();
        let mut finder = Finder::new(names.iter().map(Vec::as_slice));
        finder.find(&document, |path, raw| found.push((path, raw.to_owned()))).expect("it is one object");
        prop_assert_eq!(found, [(0, first.to_string()), (1, second.to_string()), (2, "1".to_owned())]);
    }

    #[test]
    fn no_text_makes_a_finder_panic(text in json_text(), any in ".{0,30}") {
        let mut finder = Finder::new([vec!["a".to_owned(), "b".to_owned()], vec!["id".to_owned()]].iter().map(Vec::as_slice));
        for text in [text.as_str(), &any, &format!("{{\"a\":{any}"), &format!("{{\"a\":{{\"b\":{any}}}}}")] {
            finder.find(text, |_, _| ()).ok();
            scanner(&["/a/b", "/id"]).take(text.as_bytes(), &mut Scanned::default()).ok();
        }
    }

    #[test]
    fn x_6_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0..80_usize) {
        let document = br#"{"id":"\ud83d\ude00","a":[1.5e3,true,{"b":null}],"_meta":{"op":"d"}}"#;
        let mut mixed = document[..cut.min(document.len())].to_vec();
        mixed.extend(bytes);
        refusal(&mixed);
    }
}

/// What we take is JSON to others too, its key is the same every time, and nothing makes it fail.
#[test]
fn a_fuzzed_document_is_refused_or_is_json() {
    let fuzz = longshore_fuzz::Fuzz::new("document", env!("CARGO_MANIFEST_DIR"))
        .input(r#"{"x":[{"id":9}],"b":{"c":"q","id":8},"id":1.50,"a/b":{"~":true},"z":null}"#)
        .input(r#"{"_meta":{"op":"d","source":{"lsn":"0/1"}},"id":-12e+3,"t":"\ud83d\ude00 \u0041\n"}"#)
        .words([
            "{\"id\":",
            "\"_meta\":",
            "\"op\":\"u\"",
            "\\ud800",
            "\\u0000",
            "1e400",
            "18446744073709551616",
            "-0.0",
            "[[[[[[[[",
            "}}",
            "null",
            "\u{feff}",
        ]);
    let mut scanner = scanner(&["/id", "/b/c"]);
    fuzz.run(|bytes| {
        let (mut scanned, mut again) = (Scanned::default(), Scanned::default());
        if let Err(error) = scanner.scan(bytes, &mut scanned) {
            return (error.code.clone(), error.message.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
        }
        scanner.take(bytes, &mut again).expect("what was checked");
        let text = std::str::from_utf8(bytes).expect("what is taken is UTF-8");
        serde_json::from_str::<serde::de::IgnoredAny>(text).expect("what is taken is JSON");
        assert_eq!(scanned.key_encoded, again.key_encoded);
        assert_eq!(crate::key::encode_json_key(&scanned.key_json).expect("a key"), scanned.key_encoded);
        (format!("{:?}", scanned.op), String::from_utf8_lossy(&scanned.key_json).chars().take(8).collect())
    });
}
