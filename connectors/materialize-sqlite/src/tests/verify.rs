//! What is there is told as it was stored.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_18_rows_are_told_as_they_were_stored_and_changed_by_others() {
    let properties = json!({
        "id": { "type": "integer" }, "yes": { "type": "boolean" }, "x": { "type": "number" }, "in": { "type": "object" },
        "deep": { "type": "object", "properties": { "a": { "type": ["integer", "string"] } } }, "any": {},
    });
    let bind = Bind::new(json!({ "table": "t" }), &["/id"]).schema(schema(properties));
    let lake = Lake::new();
    let mut runtime = lake.runtime(bind.clone());
    let documents = [
        r#"{"id":2,"yes":true,"x":0.1,"in":{"a": 1.10},"any":"text"}"#,
        r#"{"id":1,"yes":false,"x":5,"any":7}"#,
        r#"{"id":3}"#,
    ];
    run(&mut runtime, &[&documents]).await.unwrap();
    let told = || async { lake.runtime(bind.clone()).verify(&["/yes", "/x", "/in", "/any"]).await };
    let expected = ["[1,false,5.0,null,7]", r#"[2,true,0.1,{"a": 1.10},"text"]"#, "[3,null,null,null,null]"];
    assert_eq!(told().await.unwrap(), expected);

    lake.execute("DELETE FROM t WHERE id = 1; UPDATE t SET yes = 0 WHERE id = 2");
    let expected = [r#"[2,false,0.1,{"a": 1.10},"text"]"#, "[3,null,null,null,null]"];
    assert_eq!(told().await.unwrap(), expected);

    lake.execute("UPDATE t SET \"any\" = 1 WHERE id = 3");
    let unclear = told().await.unwrap_err();
    assert_eq!((unclear.kind, unclear.code.as_str()), (ErrorKind::Config, "sqlite.column.unclear"), "true, or 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_18_renamed_and_split_fields_are_told_by_their_pointers_and_whole_documents_as_they_are() {
    let field =
        |pointer: &str, name: &str, of: JsonType| Field { pointer: pointer.into(), name: name.into(), types: vec![of] };
    let fields = vec![
        field("/id", "key", JsonType::Integer),
        field("/deep/a", "n", JsonType::Integer),
        field("/deep/a", "t", JsonType::String),
    ];
    let plain = Bind::new(json!({ "table": "t" }), &["/id"]);
    let documents = [r#"{"id":1,"deep":{"a":7}}"#, r#"{"id":2,"deep":{"a":"7"}}"#];
    let selection = Selection { fields, document: None, chosen: true };
    let whole = Selection { document: Some("whole".to_owned()), ..selection.clone() };
    for selection in [selection, whole] {
        let lake = Lake::new();
        let bind = Bind { selection: Some(selection), ..plain.clone() };
        run(&mut lake.runtime(bind.clone()), &[&documents]).await.unwrap();
        let told = lake.runtime(bind).verify(&["/deep/a"]).await.unwrap();
        assert_eq!(told, ["[1,7]", r#"[2,"7"]"#]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_ever_ran_nothing_is_told_and_nothing_made() {
    let lake = Lake::new();
    let missing = lake.runtime(ids()).verify(&[]).await.unwrap_err();
    assert_eq!(missing.code, "sqlite.path.missing");
    assert!(!lake.path().exists());
}
