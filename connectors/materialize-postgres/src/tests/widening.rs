//! Schemas that widen, and what became of the values that were there.

use super::fields::next;
use super::*;

fn with(v: Value) -> Bind {
    ids().schema(schema(json!({ "id": { "type": "integer" }, "v": v })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wider_type_leaves_old_values_as_they_are() {
    let lake = Lake::new();
    next(&lake, 10, with(json!({ "type": "integer", "format": "pg:smallint" })), &[r#"{"id":1,"v":7}"#, r#"{"id":2}"#])
        .await
        .unwrap();
    lake.query("CREATE INDEX by_v ON t (v)");
    for (epoch, of, document, to) in [
        (20, json!({ "type": "integer", "format": "pg:integer" }), r#"{"id":3,"v":2147483647}"#, "integer"),
        (30, json!({ "type": "integer" }), r#"{"id":4,"v":9223372036854775807}"#, "bigint"),
        (40, json!({ "type": ["number", "null"] }), r#"{"id":5,"v":0.50}"#, "numeric"),
        (50, json!({ "type": ["number", "string"] }), r#"{"id":6,"v":"007"}"#, "jsonb"),
    ] {
        let actions = next(&lake, epoch, with(of), &[document]).await.unwrap();
        assert!(actions[0].ends_with(&format!("to {to}")) && actions.len() == 1, "{actions:?}");
    }
    assert_eq!(
        lake.query("SELECT v FROM t ORDER BY id"),
        ["7", "~", "2147483647", "9223372036854775807", "0.50", "\"007\""]
    );
    assert_eq!(lake.query("SELECT count(*) FROM pg_class WHERE relname = 'by_v'"), ["1"], "an index of others stays");
    assert_eq!(next(&lake, 60, with(json!({})), &[]).await.unwrap(), [""; 0], "nothing is left to widen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_becomes_text_or_json_with_the_value_a_document_had() {
    for (of, value, as_json, as_text) in [
        ("pg:double precision", "0.1", "0.1", "0.1"),
        ("pg:real", "16777216", "16777216", "1.6777216e+07"),
        ("pg:numeric(12,2)", "1.50", "1.50", "1.50"),
        ("pg:character(3)", "\"a  \"", "\"a  \"", "a  "),
        ("pg:inet", "\"10.0.0.1\"", "\"10.0.0.1\"", "10.0.0.1"),
        ("pg:bytea", "\"AP8=\"", "\"AP8=\"", "AP8="),
        ("date-time", "\"2024-01-01T00:00:00.5Z\"", "\"2024-01-01T00:00:00.5Z\"", "2024-01-01T00:00:00.5Z"),
        ("date-time", "\"0044-03-15T00:00:00Z BC\"", "\"0044-03-15T00:00:00Z BC\"", "0044-03-15T00:00:00Z BC"),
        ("date", "\"infinity\"", "\"infinity\"", "infinity"),
        ("pg:interval", "\"P1DT2H\"", "\"P1DT2H\"", "P1DT2H"),
    ] {
        let kind = if value.starts_with('"') { "string" } else { "number" };
        for (wider, expected) in [(json!({}), as_json), (json!({ "type": "string" }), as_text)] {
            let lake = Lake::new();
            let document = format!("{{\"id\":1,\"v\":{value}}}");
            next(&lake, 10, with(json!({ "type": kind, "format": of })), &[&document, r#"{"id":2}"#]).await.unwrap();
            next(&lake, 20, with(wider.clone()), &[]).await.unwrap();
            assert_eq!(lake.query("SELECT v FROM t ORDER BY id"), [expected, "~"], "{of} to {wider}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_widens_too_and_two_kinds_of_key_stay_two() {
    let lake = Lake::new();
    let key = |of: Value| ids().schema(schema(json!({ "id": of, "v": { "type": "integer" } })));
    next(&lake, 10, key(json!({ "type": "integer" })), &[r#"{"id":7,"v":1}"#]).await.unwrap();
    next(&lake, 20, key(json!({ "type": ["integer", "string"] })), &[r#"{"id":"7","v":2}"#, r#"{"id":7.0,"v":3}"#])
        .await
        .unwrap();
    assert_eq!(lake.query("SELECT * FROM t ORDER BY v"), ["\"7\"|2", "7|3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_its_sql_and_changes_nothing() {
    let lake = Lake::new();
    let state = || {
        lake.query(
            "SELECT n.nspname, c.relname, a.attname, a.atttypid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             JOIN pg_attribute a ON attrelid = c.oid WHERE nspname NOT LIKE 'pg_%' AND nspname <> 'information_schema' ORDER BY 1, 2, 3",
        )
    };
    let mut runtime = lake.runtime(Bind { resource: json!({ "schema": "s", "table": "t" }), ..ids() });
    let actions = runtime.apply_with(|apply| apply.dry_run = true).await.unwrap();
    let create = r#"create table "s"."t" with 2 columns: CREATE TABLE "s"."t" ("id" bigint NOT NULL, "v" bigint, PRIMARY KEY ("id"))"#;
    assert_eq!(actions, [r#"create schema "s": CREATE SCHEMA "s""#, create]);
    assert_eq!(state(), [""; 0]);

    run(&mut lake.runtime(ids()), &[&[r#"{"id":1,"v":7}"#]]).await.unwrap();
    let before = state();
    let properties = json!({ "id": { "type": "integer" }, "v": { "type": "number" }, "w": { "type": "string" } });
    let mut wider = lake.runtime(ids().schema(schema(properties)));
    wider.owner.epoch = 10;
    let actions = wider.apply_with(|apply| apply.dry_run = true).await.unwrap();
    let expected = [
        r#"widen column "v" of table "public"."t" from bigint to numeric: ALTER TABLE "public"."t" ALTER COLUMN "v" TYPE numeric USING "v"::numeric"#,
        r#"add column "w" text to table "public"."t": ALTER TABLE "public"."t" ADD COLUMN "w" text"#,
    ];
    assert_eq!(actions, expected);
    assert_eq!(state(), before);
}
