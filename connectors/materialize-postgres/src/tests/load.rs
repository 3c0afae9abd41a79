//! What was stored comes back as it was, so that a reduction in the runtime goes on from it.

use super::*;

fn every_kind() -> Bind {
    let schema = schema(json!({
        "id": { "type": "integer" }, "n": { "type": ["integer", "null"] }, "x": { "type": "number", "format": "pg:double precision" },
        "yes": { "type": "boolean" }, "text": { "type": "string" }, "in": { "type": "object" }, "all": { "type": "array" },
        "bytes": { "type": "string", "format": "pg:bytea" }, "any": {}, "day": { "type": "string", "format": "date" },
        "deep": { "type": "object", "properties": { "a": { "type": "integer" }, "b": { "type": "string" } } },
    }));
    Bind::new(json!({ "schema": "public", "table": "t" }), &["/id"]).schema(schema)
}

const ROW: &str = r#"{"id":1,"n":9223372036854775807,"x":0.1,"yes":false,"text":"007 \"q\"\n","in":{"a": 1.10},"all":[1, "b"],"bytes":"AP8=","any":"x","day":"2024-02-29","deep":{"a": 1, "b": "2"}}"#;

/// Stores these, and asks for those keys in the next session.
async fn loaded(
    lake: &Lake,
    bind: Bind,
    documents: &[&str],
    keys: &[&str],
    keys_only: bool,
) -> Result<Vec<(String, String)>, Error> {
    run(&mut lake.runtime(bind.clone()), &[documents]).await?;
    let mut runtime = lake.runtime(bind);
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    session.ask(0, keys, keys_only).await?;
    Ok(session.flush().await?.into_iter().collect())
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(key, document)| (key.to_owned(), document.to_owned())).to_vec()
}

fn same(found: &[(String, String)], expected: &[(String, String)]) {
    let parsed = |rows: &[(String, String)]| -> Vec<(String, Value)> {
        rows.iter().map(|(key, document)| (key.clone(), serde_json::from_str(document).unwrap())).collect()
    };
    assert_eq!(parsed(found), parsed(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_15_a_row_comes_back_as_the_document_it_was_stored_from() {
    let empty = r#"{"id":2,"n":null,"text":""}"#;
    let found = loaded(&Lake::new(), every_kind(), &[ROW, empty], &["[1]", "[2.0]", "[3]"], false).await.unwrap();
    same(&found, &pairs([("[1]", ROW), ("[2.0]", r#"{"id":2.0,"text":""}"#)]));
    assert!(found[0].1.contains("1.10"), "digits are kept");
    let found = loaded(&Lake::new(), every_kind(), &[ROW, empty], &["[1]", "[3]"], true).await.unwrap();
    assert_eq!(found, pairs([("[1]", "{}")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_found_by_keys_of_several_parts_and_types() {
    let lake = Lake::new();
    let schema = schema(json!({
        "a": { "type": "string" }, "b": { "type": "string", "format": "date-time" }, "c": {}, "v": { "type": "integer" },
    }));
    let bind = Bind::new(json!({ "schema": "public", "table": "t" }), &["/a", "/b", "/c"]).schema(schema);
    let documents = [
        r#"{"a":"x'\\","b":"2024-01-01T00:00:00Z","c":7,"v":1}"#,
        r#"{"a":"x'\\","b":"2024-01-01T00:00:00Z","c":"7","v":2}"#,
        r#"{"a":"X'\\","b":"2024-01-01T00:00:00Z","c":true,"v":3}"#,
    ];
    let keys = [
        r#"["X'\\","2024-01-01T00:00:00Z",true]"#,
        r#"["x'\\","2024-01-01T00:00:00Z","7"]"#,
        r#"["x'\\","2024-01-01T00:00:00Z",8]"#,
    ];
    let found = loaded(&lake, bind, &documents, &keys, false).await.unwrap();
    same(&found, &pairs([(keys[0], documents[2]), (keys[1], documents[1])]));
    assert_eq!(lake.count("t"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renamed_deep_and_split_fields_come_back_under_their_pointers() {
    let field =
        |pointer: &str, name: &str, of: JsonType| Field { pointer: pointer.into(), name: name.into(), types: vec![of] };
    let fields = vec![
        field("/id", "key", JsonType::Integer),
        field("/deep/b", "b", JsonType::String),
        field("/deep/a", "a", JsonType::Integer),
        field("/n", "n", JsonType::Integer),
        field("/n", "n__string", JsonType::String),
    ];
    let bind = Bind { selection: Some(Selection { fields, document: None, chosen: true }), ..every_kind() };
    let documents = [ROW, r#"{"id":2,"n":"x","deep":{}}"#];
    let found = loaded(&Lake::new(), bind, &documents, &["[1]", "[2]"], false).await.unwrap();
    let first = r#"{"id":1,"deep":{"b":"2","a":1},"n":9223372036854775807}"#;
    assert_eq!(found, pairs([("[1]", first), ("[2]", r#"{"id":2,"n":"x"}"#)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_document_comes_back_byte_for_byte_and_one_that_was_not_kept_is_told() {
    let lake = Lake::new();
    run(&mut lake.runtime(ids()), &[&[r#"{"id":7,"v":1}"#]]).await.unwrap();
    let whole = ids().fields(&[("/id", "id"), ("/v", "v")], Some("doc"));
    let document = r#"{"id":1, "v":1.0, "_meta":{"op":"u"}}"#;
    let mut runtime = lake.runtime(whole);
    runtime.owner.epoch = 20;
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.transact(&[(0, &[document])]).await.unwrap();
    session.ask(0, &["[1]"], false).await.unwrap();
    assert_eq!(session.flush().await.unwrap()["[1]"], document);
    drop(session);
    runtime.owner.epoch = 30;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.ask(0, &["[7]"], false).await.unwrap();
    let error = session.flush().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "postgres.row"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_column_cannot_tell_is_said_at_validate() {
    let lake = Lake::new();
    for (properties, expected) in [
        (json!({ "id": { "type": "integer" }, "v": { "type": ["integer", "string"] } }), Loads::Fields),
        (json!({ "v": {} }), Loads::Fields),
        (json!({ "v": { "type": "string", "format": "uuid" } }), Loads::Fields),
        (json!({ "v": { "type": "string", "format": "date-time" } }), Loads::Nothing),
        (json!({ "v": { "type": "string", "format": "pg:inet" } }), Loads::Nothing),
        (json!({ "v": { "type": "array", "format": "pg:integer[]" } }), Loads::Nothing),
        (json!({ "id": { "type": "string", "format": "date-time" } }), Loads::Fields),
    ] {
        let runtime = lake.runtime(ids().schema(schema(properties.clone())));
        let said = runtime.validate().await.unwrap().bindings.remove(0);
        assert_eq!(said.loads, expected, "{properties}");
        assert_eq!(said.loads_reason.is_empty(), expected == Loads::Fields);
    }
}
