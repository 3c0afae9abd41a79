//! Fields under other names, in columns of their own by type, and whole documents: in real tables, over the life of one.

use super::*;

/// Applies these fields as the next run would, and stores these documents.
pub(super) async fn next(lake: &Lake, epoch: u64, bind: Bind, documents: &[&str]) -> Result<Vec<String>, Error> {
    let mut runtime = lake.runtime(bind);
    runtime.owner.epoch = epoch;
    let actions = runtime.apply().await?;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    session.transact(&[(0, documents)]).await?;
    session.close().await?;
    Ok(said(actions))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_is_named_otherwise_takes_its_column_along_the_key_too() {
    let lake = Lake::new();
    let (id, v) = (("/id", "id"), ("/v", "v"));
    next(&lake, 10, ids().fields(&[id, v], None), &[r#"{"id":1,"v":1}"#]).await.unwrap();
    let renamed = ids().fields(&[("/id", "Key"), ("/v", "value")], None);
    let actions = next(&lake, 20, renamed.clone(), &[r#"{"id":2,"v":2}"#, r#"{"id":1,"v":9}"#]).await.unwrap();
    let expected = [
        r#"rename column "id" of table "public"."t" to "Key""#,
        r#"rename column "v" of table "public"."t" to "value""#,
    ];
    assert_eq!(actions, expected);
    assert_eq!(lake.query(r#"SELECT "Key", value FROM t ORDER BY 1"#), ["1|9", "2|2"]);
    assert_eq!(next(&lake, 30, renamed, &[r#"{"id":3}"#]).await.unwrap(), [""; 0], "what is done is known to be done");
    let deleted = r#"{"id":3,"_meta":{"op":"d"}}"#;
    next(&lake, 40, ids().fields(&[("/id", "value"), ("/v", "Key")], None), &[deleted]).await.unwrap();
    assert_eq!(lake.query(r#"SELECT value, "Key" FROM t ORDER BY 1"#), ["1|9", "2|2"]);
    next(&lake, 50, ids().fields(&[id, v], None), &[r#"{"id":2,"v":null}"#]).await.unwrap();
    assert_eq!(lake.query("SELECT id, v FROM t ORDER BY 1"), ["1|9", "2|~"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_of_a_field_that_is_not_kept_any_more_stays_and_no_other_field_gets_it() {
    let lake = Lake::new();
    let with = |fields: &[(&str, &str)]| {
        let properties = json!({ "id": { "type": "integer" }, "v": { "type": "integer" }, "w": { "type": "string" } });
        ids().schema(schema(properties)).fields(fields, None)
    };
    let both = with(&[("/id", "id"), ("/v", "v")]);
    next(&lake, 10, both.clone(), &[r#"{"id":1,"v":1}"#]).await.unwrap();
    next(&lake, 20, with(&[("/id", "id")]), &[r#"{"id":2,"v":2}"#, r#"{"id":1,"v":3}"#]).await.unwrap();
    let rows = || lake.query("SELECT * FROM t ORDER BY 1");
    assert_eq!(rows(), ["1|1", "2|~"], "an old row keeps its old value, a new one has none");
    let error = next(&lake, 30, with(&[("/id", "id"), ("/w", "v")]), &[r#"{"id":3,"w":"x"}"#]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.column.taken"));
    assert_eq!(rows(), ["1|1", "2|~"]);
    next(&lake, 40, both, &[r#"{"id":2,"v":5}"#]).await.unwrap();
    assert_eq!(rows(), ["1|1", "2|5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_a_further_type_go_to_a_column_of_their_own() {
    let lake = Lake::new();
    let split = |fields: &[(&str, &str, JsonType)]| {
        let field = |(pointer, name, of): &(&str, &str, JsonType)| Field {
            pointer: (*pointer).to_owned(),
            name: (*name).to_owned(),
            types: vec![*of],
        };
        let fields = fields.iter().map(field).collect();
        Bind { selection: Some(Selection { fields, document: None, chosen: false }), ..ids() }
    };
    let (id, v) = (("/id", "id", JsonType::Integer), ("/v", "v", JsonType::Integer));
    next(&lake, 10, split(&[id, v]), &[r#"{"id":1,"v":7}"#]).await.unwrap();
    let further = split(&[id, v, ("/v", "v__string", JsonType::String)]);
    let documents = [r#"{"id":2,"v":""}"#, r#"{"id":3,"v":"007"}"#, r#"{"id":4,"v":8}"#, r#"{"id":5,"v":null}"#];
    let actions = next(&lake, 20, further, &documents).await.unwrap();
    assert_eq!(actions, [r#"add column "v__string" text to table "public"."t""#]);
    assert_eq!(lake.query("SELECT * FROM t ORDER BY 1"), ["1|7|~", "2|~|", "3|~|007", "4|8|~", "5|~|~"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_document_is_kept_as_it_came() {
    let lake = Lake::new();
    let documents = [r#"{"id": 1.0e0,"v":"x\\y\t", "u":"\u00e9",  "n":[1.10 ,{}]}"#, r#"{"v":null,"id":2}"#];
    let open = ids().schema(json!({ "properties": { "id": { "type": "integer" } } }));
    let bind = open.fields(&[("/id", "id")], Some("doc"));
    assert_eq!(lake.runtime(bind.clone()).validate().await.unwrap().findings, [], "nothing is left out");
    next(&lake, 10, bind, &documents).await.unwrap();
    assert_eq!(
        lake.query("SELECT * FROM t ORDER BY 1"),
        [format!("1|{}", documents[0]), format!("2|{}", documents[1])]
    );
}
