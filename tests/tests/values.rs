//! JSON and numbers at their edges: for each one the outcome is pinned, the same whatever the collection's policy, in the runtime and in two
//! destinations. A document is stored as it is, or becomes a letter that says why; documents in = stored + dead-lettered.

use std::collections::BTreeMap;

use longshore_tests::scene::Scene;
use longshore_tests::verbatim::{Catalog, letters, source};
use rusqlite::types::Value as Sql;

const RUN: [&str; 4] = ["run", "--until", "caught-up", "--json"];
/// `v` takes anything, and so do other fields.
const SCHEMA: &str =
    "schema: { type: object, properties: { id: { type: integer }, v: {} }, additionalProperties: true }";

/// What becomes of a document.
enum Outcome {
    /// In files byte for byte; in SQLite this.
    Stored(Sql),
    /// A dead letter of this code.
    Letter(&'static str),
}
use Outcome::{Letter, Stored};

fn text(text: &str) -> Outcome {
    Stored(Sql::Text(text.to_owned()))
}

const JSON: &str = "document.json";

/// Values of `v`, as they are written, and what becomes of their document.
fn values() -> Vec<(Vec<u8>, Outcome)> {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let mut values: Vec<(Vec<u8>, Outcome)> = vec![
        (b"1,\"v\":2".to_vec(), Letter(JSON)),
        (b"1,\"\\u0076\":2".to_vec(), Letter(JSON)),
        (b"{\"a\":1,\"a\":2}".to_vec(), Letter(JSON)),
        (b"\"\xff\"".to_vec(), Letter(JSON)),
        (b"\"\x00\"".to_vec(), Letter(JSON)),
        (b"1\n".to_vec(), Letter(JSON)),
    ];
    let texts = [
        ("9223372036854775807", Stored(Sql::Integer(i64::MAX))),
        ("-9223372036854775808", Stored(Sql::Integer(i64::MIN))),
        ("1.0", Stored(Sql::Integer(1))),
        ("1e3", Stored(Sql::Integer(1000))),
        ("-0", Stored(Sql::Integer(0))),
        ("-0.0", Stored(Sql::Integer(0))),
        ("0.1", Stored(Sql::Real(0.1))),
        ("0.1000000000000000055511151231257827", Stored(Sql::Real(0.1))),
        ("123456789.12345678901234567890", Stored(Sql::Real(123_456_789.123_456_79))),
        ("1e308", Stored(Sql::Real(1e308))),
        ("1e-400", Stored(Sql::Real(0.0))),
        ("1e400", Letter(JSON)),
        ("-1e400", Letter(JSON)),
        ("1e99999999999999999999", Letter(JSON)),
        ("01", Letter(JSON)),
        (".5", Letter(JSON)),
        ("NaN", Letter(JSON)),
        ("-Infinity", Letter(JSON)),
        ("\"\"", text("")),
        ("\"\\u0000\"", text("\0")),
        ("\"\\ud83d\\ude00\"", text("😀")),
        ("\"\\ud83d\"", Letter(JSON)),
        ("\"\\ude00\\ud83d\"", Letter(JSON)),
        ("null", Stored(Sql::Null)),
        ("true", Stored(Sql::Integer(1))),
        ("{\"\":{\"\":[]}}", text("{\"\":{\"\":[]}}")),
        ("'x'", Letter(JSON)),
        ("1}", Letter(JSON)),
    ];
    values.extend(texts.into_iter().map(|(value, outcome)| (value.as_bytes().to_vec(), outcome)));
    // The document itself is the first of 127 objects and arrays.
    values.push((deep(126).into_bytes(), text(&deep(126))));
    values.extend([127, 100_000].map(|depth| (deep(depth).into_bytes(), Letter(JSON))));
    let fields: Vec<String> = (0..10_000).map(|n| format!("\"f{n}\":{n}")).collect();
    values.push((format!("1,{}", fields.join(",")).into_bytes(), Stored(Sql::Integer(1))));
    values
}

fn documents() -> Vec<(Vec<u8>, Outcome)> {
    let whole = |(id, (value, outcome)): (usize, (Vec<u8>, Outcome))| {
        (["{\"id\":".as_bytes(), id.to_string().as_bytes(), b",\"v\":", &value, b"}"].concat(), outcome)
    };
    let mut documents: Vec<_> = values().into_iter().enumerate().map(whole).collect();
    for (document, code) in [
        (&b"[1]"[..], JSON),
        (b"\"text\"", JSON),
        (b"\xef\xbb\xbf{\"id\":1}", JSON),
        (b"{\"id\":1", JSON),
        (b"{\"id\":[1]}", "key.type"),
        (b"{\"id\":7,\"_meta\":{\"op\":\"x\"}}", "document.op"),
    ] {
        documents.push((document.to_vec(), Letter(code)));
    }
    documents
}

#[test]
fn every_edge_has_one_outcome_whatever_the_policy() {
    for policy in ["enforce", "infer", "off"] {
        let scene = Scene::new();
        let documents = documents();
        let bytes: Vec<&[u8]> = documents.iter().map(|(document, _)| &document[..]).collect();
        source(&scene, &bytes);
        Catalog::of(&format!("validation: {policy}, {SCHEMA}")).write(&scene);
        scene.longshore(RUN).expect_code(0);

        let codes: Vec<String> =
            letters(&scene).iter().map(|letter| letter["code"].as_str().expect("a code").to_owned()).collect();
        let expected: Vec<&str> =
            documents.iter().filter_map(|(_, o)| if let Letter(code) = o { Some(*code) } else { None }).collect();
        assert_eq!(codes, expected, "{policy}");
        let (rows, lines) = (rows(&scene), lines(&scene));
        let mut stored = 0;
        for (id, (document, outcome)) in documents.iter().enumerate() {
            let Stored(value) = outcome else { continue };
            stored += 1;
            let shown = String::from_utf8_lossy(&document[..document.len().min(80)]);
            assert_eq!(rows.get(&(id as i64)), Some(value), "{policy}, SQLite: {shown}");
            assert!(lines.contains(document), "{policy}, files: {shown} is not there byte for byte");
        }
        assert_eq!(
            (rows.len(), lines.len(), stored + codes.len()),
            (stored, stored, documents.len()),
            "{policy}: in = stored + letters"
        );
    }
}

/// What no column of SQLite holds as it is: the runtime and files keep its digits, and SQLite's refusal names document and column.
#[test]
fn integers_beyond_64_bits_are_kept_exactly_or_refused() {
    for value in [
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "12345678901234567890123456789012345678",
    ] {
        let scene = Scene::new();
        let document = format!("{{\"id\":1,\"v\":{value}}}");
        source(&scene, &[&document]);
        Catalog::of(SCHEMA).write(&scene);
        let run = scene.longshore(RUN).expect_code(1);
        assert!(run.stderr.contains("\"v\"") && run.stderr.contains("an integer of 64 bits"), "{}", run.stderr);
        assert!(letters(&scene).is_empty(), "it is a document all the same");
        scene.longshore(["run", "--until", "caught-up", "--only", "log"]).expect_code(0);
        assert_eq!(lines(&scene), [document.into_bytes()]);
    }
}

#[test]
fn a_document_at_its_limit_is_stored_and_one_byte_more_is_refused_by_its_size() {
    const LIMIT: usize = 16 << 20;
    let of = |bytes: usize| {
        let frame = "{\"id\":1,\"v\":\"\"}".len();
        format!("{{\"id\":1,\"v\":\"{}\"}}", "x".repeat(bytes - frame))
    };
    let scene = Scene::new();
    source(&scene, &[of(LIMIT - 1), of(LIMIT)]);
    Catalog::of(SCHEMA).write(&scene);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(lines(&scene).iter().map(Vec::len).collect::<Vec<_>>(), [LIMIT - 1, LIMIT]);
    for (bytes, code) in [(LIMIT + 1, "document.too_large"), (64 << 20, "too_large")] {
        let scene = Scene::new();
        source(&scene, &[of(bytes)]);
        Catalog { on_violation: "stop", ..Catalog::of(SCHEMA) }.write(&scene);
        let run = scene.longshore(RUN).expect_code(1);
        assert!(run.stderr.contains(code), "{bytes}: {}", run.stderr);
    }
    // Up to what a message holds, it can be told whose it is.
    let scene = Scene::new();
    source(&scene, &[of(100), of(LIMIT + 1), of(35 << 20), of(101)]);
    Catalog { per_checkpoint: 1, ..Catalog::of(SCHEMA) }.write(&scene);
    scene.longshore(RUN).expect_code(0);
    let letters = letters(&scene);
    let told: Vec<_> = letters.iter().map(|letter| (letter["code"].as_str(), letter["bytes"].as_u64())).collect();
    assert_eq!(told, [LIMIT + 1, 35 << 20].map(|bytes| (Some("document.too_large"), Some(bytes as u64))));
    assert!(letters.iter().all(|letter| letter["document"].is_object()), "all of it is there");
    assert_eq!(lines(&scene).iter().map(Vec::len).collect::<Vec<_>>(), [100, 101]);
}

fn rows(scene: &Scene) -> BTreeMap<i64, Sql> {
    let database = rusqlite::Connection::open(scene.join("out.db")).expect("a database");
    let mut select = database.prepare("SELECT id, v FROM a").expect("a table");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

fn lines(scene: &Scene) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        std::fs::read_dir(scene.join("out/a")).expect("files").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let content: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    content.concat().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}
