//! Discover and Validate: what could be captured, and why something cannot.

use serde_json::{Value, json};

use crate::base::{Base, Table};

#[tokio::test]
async fn tables_are_found_with_their_keys_and_types() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v varchar(20), n numeric(12,2) NOT NULL, doubled bigint GENERATED ALWAYS AS (id * 2) STORED);
         CREATE TABLE small (id int PRIMARY KEY, at timestamptz); CREATE SCHEMA sales; CREATE TABLE sales.f (a int, b int, t text, PRIMARY KEY (b, a));
         ALTER TABLE sales.f REPLICA IDENTITY FULL; CREATE TABLE keyless (v text); CREATE VIEW v AS SELECT * FROM t; CREATE UNLOGGED TABLE loose (id int PRIMARY KEY);
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (5);",
    );
    let found = base.task(&[]).discover().await.unwrap();
    let names: Vec<_> = found.iter().map(|found| (found.recommended_collection.as_str(), found.key.clone())).collect();
    let key = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        names,
        [("parts", key(&["/id"])), ("small", key(&["/id"])), ("t", key(&["/id"])), ("sales/f", key(&["/b", "/a"]))]
    );
    let schema = |index: usize| serde_json::from_slice::<Value>(&found[index].schema_json).unwrap();
    assert_eq!(
        schema(2),
        json!({
            "type": "object",
            "properties": {
                "id": { "type": "integer" },
                "v": { "type": ["string", "null"], "format": "pg:character varying(20)" },
                "n": { "type": "number", "format": "pg:numeric(12,2)" },
            },
            "required": ["id"],
            "additionalProperties": false,
            "reduce": { "strategy": "merge" },
        })
    );
    assert_eq!(schema(1)["properties"]["at"], json!({ "type": ["string", "null"], "format": "date-time" }));
    assert_eq!(schema(1)["reduce"], Value::Null, "no value of it is ever left out");
    assert_eq!(schema(3)["reduce"], Value::Null, "the log has the rows before");
    assert_eq!(schema(3)["required"], json!(["b", "a"]));
}

#[tokio::test]
async fn what_cannot_be_captured_is_said_with_the_way_out() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE TABLE keyless (v text); CREATE VIEW seen AS SELECT * FROM t; CREATE UNLOGGED TABLE loose (id int PRIMARY KEY);
         CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING; CREATE TABLE meta (id int PRIMARY KEY, _meta int);
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (5);",
    );
    let id: &[&str] = &["/id"];
    let cases: [(Table<'_>, &str); 9] = [
        (("absent", id), "postgres.table.missing"),
        (("keyless", &["/v"]), "postgres.key.missing"),
        (("seen", id), "postgres.table.kind"),
        (("loose", id), "postgres.table.unlogged"),
        (("nothing", id), "postgres.identity.nothing"),
        (("meta", id), "postgres.columns.meta"),
        (("part", id), "postgres.table.partition"),
        (("t", &["/v"]), "postgres.key.other"),
        (("t", &["/id", "/v"]), "postgres.key.other"),
    ];
    for (table, code) in cases {
        let mut task = base.task(&[table]);
        let findings = task.validate().await.unwrap();
        let said: Vec<_> =
            findings.iter().map(|finding| (finding.code.as_str(), finding.binding, finding.pointer.as_str())).collect();
        assert_eq!(said, [(code, Some(0), "/table")], "{}", table.0);
        assert!(!findings[0].suggestion.is_empty(), "{}", table.0);
        // It never reaches a publication, where it might refuse the writes of others.
        assert_eq!(task.apply().await.unwrap_err().code, code);
    }
    assert_eq!(base.run("SELECT count(*) FROM pg_publication"), "0");
}

#[tokio::test]
async fn one_table_has_one_binding_however_it_is_written() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY)");
    let mut task = base.task(&[("t", &["/id"])]).binding(json!({ "table": "t" }), "again", &["/id"]);
    let findings = task.validate().await.unwrap();
    assert_eq!((findings[0].code.as_str(), findings[0].binding), ("sdk.resource.twice", Some(1)));
    // Who applies without asking is told by the connector itself.
    assert_eq!(task.apply().await.unwrap_err().code, "postgres.table.twice");
}

#[tokio::test]
async fn the_config_is_read_strictly() {
    let base = Base::new("");
    for (name, value) in [("slot", json!("Größe")), ("publication", json!("a,b")), ("url", json!("mysql://x"))] {
        let mut config = base.config();
        config[name] = value;
        let task = longshore_sdk::testing::CaptureTask::new(capture_postgres::Postgres::default(), config);
        let findings = task.validate().await.unwrap();
        assert_eq!(findings[0].pointer, format!("/{name}"), "{findings:?}");
    }
    let mut config = base.config();
    config["slut"] = json!("x");
    let task = longshore_sdk::testing::CaptureTask::new(capture_postgres::Postgres::default(), config);
    assert!(task.validate().await.unwrap()[0].message.contains("slut"));
}
