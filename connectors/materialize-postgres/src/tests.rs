//! The connector against a real server, with a runtime end in memory.

use longshore_postgres::testing::Database;
use longshore_sdk::materialize::{Constraint, Field, JsonType, Loads, Selection, TransactionalDoor, transactional};
use longshore_sdk::testing::materialize::{Bind, Runtime, all_fresh, checkpoint_of};
use longshore_sdk::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::sink::Postgres;

mod aside;
mod behind;
mod binary;
mod deleted;
mod faults;
mod fields;
mod foreign;
mod load;
mod lots;
mod partial;
mod random;
mod soft;
mod values;
mod widening;

struct Lake {
    database: Database,
}

impl Lake {
    fn new() -> Self {
        Self { database: Database::new() }
    }

    fn runtime(&self, bind: Bind) -> Runtime<TransactionalDoor<Postgres>> {
        Runtime::new(transactional(Postgres), json!({ "url": self.database.url() })).bind(bind)
    }

    /// Rows as lines, `|` between columns, `~` for NULL.
    fn query(&self, select: &str) -> Vec<String> {
        self.database.run(select).lines().map(str::to_owned).collect()
    }

    fn count(&self, table: &str) -> usize {
        self.database.run(&format!("SELECT count(*) FROM {table}")).parse().unwrap()
    }
}

fn schema(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn ids() -> Bind {
    Bind::new(json!({ "schema": "public", "table": "t" }), &["/id"])
        .schema(schema(json!({ "id": { "type": "integer" }, "v": { "type": "integer" } })))
}

/// Applies, opens and runs these transactions.
async fn run(runtime: &mut Runtime<TransactionalDoor<Postgres>>, transactions: &[&[&str]]) -> Result<(), Error> {
    runtime.apply().await?;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    for documents in transactions {
        session.transact(&[(0, documents)]).await?;
    }
    session.close().await
}

/// What was done, without the SQL.
fn said(actions: Vec<String>) -> Vec<String> {
    actions.iter().map(|action| action.split(": ").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_stored_as_what_they_are() {
    let schema = schema(json!({
        "origin": { "type": "string" }, "hour": { "type": "integer" }, "wind_speed": { "type": ["number", "null"] },
        "late": { "type": "boolean" }, "note": { "type": ["object", "null"] }, "time_hour": { "type": "string", "format": "date-time" },
    }));
    let bind = Bind::new(json!({ "schema": "public", "table": "weather" }), &["/origin", "/hour"]).schema(schema);
    let documents = [
        r#"{"origin":"EWR","hour":1,"wind_speed":10.357019999999999,"late":true,"note":{"a":1.10},"time_hour":"2013-01-01T06:00:00+02:00"}"#,
        r#"{"origin":"EWR","hour":2.0,"wind_speed":1e3,"late":false,"note":null}"#,
    ];
    let lake = Lake::new();
    run(&mut lake.runtime(bind), &[&documents]).await.unwrap();
    let rows = lake.query("SET timezone = 'UTC'; SELECT * FROM weather ORDER BY origin, hour");
    assert_eq!(rows, ["EWR|1|10.357019999999999|t|{\"a\": 1.10}|2013-01-01 04:00:00+00", "EWR|2|1000|f|~|~"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_14_a_key_is_one_row_until_it_is_deleted_and_what_is_not_there_may_be_deleted_too() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let (one, two) = (r#"{"id":1,"v":1}"#, r#"{"id":2,"v":1}"#);
    let (changed, gone) = (r#"{"id":1.0,"v":2}"#, r#"{"id":2,"_meta":{"op":"d"}}"#);
    let missing = r#"{"id":9,"_meta":{"op":"d"}}"#;
    run(&mut runtime, &[&[missing, one, two], &[changed, gone], &[missing], &[r#"{"id":3}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t ORDER BY id"), ["1|2", "3|~"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_keys_alone_is_written_too_and_texts_are_compared_by_their_bytes() {
    let lake = Lake::new();
    let bind = Bind::new(json!({ "schema": "other one", "table": "alone" }), &["/id"]);
    let bind = bind.schema(schema(json!({ "id": { "type": "string" } })));
    run(&mut lake.runtime(bind), &[&[r#"{"id":"b"}"#], &[r#"{"id":"b"}"#, r#"{"id":"B"}"#, r#"{"id":"ä"}"#]])
        .await
        .unwrap();
    assert_eq!(lake.query("SELECT id FROM \"other one\".alone ORDER BY id"), ["B", "b", "ä"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_8_a_delta_table_has_a_row_for_each_document() {
    let lake = Lake::new();
    let documents = [r#"{"id":1,"v":1}"#, r#"{"id":1,"v":1}"#, r#"{"id":1,"_meta":{"op":"d"}}"#, r#"{"v":3}"#];
    run(&mut lake.runtime(ids().delta()), &[&documents, &[r#"{"id":5}"#]]).await.unwrap();
    let rows = lake.query("SELECT id, v, _meta FROM t ORDER BY ctid");
    assert_eq!(rows, ["1|1|~", "1|1|~", "1|~|{\"op\": \"d\"}", "~|3|~", "5|~|~"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_11_the_database_decides_where_to_resume_and_has_all_of_a_transaction_or_nothing() {
    for bind in [ids().delta(), ids()] {
        let lake = Lake::new();
        let mut runtime = lake.runtime(bind);
        runtime.apply().await.unwrap();
        let mut session = runtime.open().await.unwrap();
        assert_eq!(session.opened.recorded, None);
        session.acknowledge().await.unwrap();
        session.transact(&[(0, &[r#"{"id":1}"#])]).await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &[r#"{"id":2}"#]).await.unwrap();
        session.commit_unrecorded().await.unwrap();
        drop(session);

        let mut session = runtime.open().await.unwrap();
        let recorded = session.opened.recorded.clone().unwrap();
        assert_eq!((recorded.transaction, recorded.epoch, recorded.checkpoint), (2, 1, checkpoint_of(2)));
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &[r#"{"id":3}"#]).await.unwrap();
        drop(session);
        let reopened = runtime.open().await.unwrap();
        assert_eq!(reopened.opened.recorded.as_ref().map(|recorded| recorded.transaction), Some(2));
        assert_eq!(lake.count("t"), 2, "what was stored and not committed is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_2_a_zombie_is_fenced_before_its_first_row_and_at_its_commit() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids().delta());
    runtime.apply().await.unwrap();
    for stores in [&[r#"{"id":1}"#][..], &[]] {
        let mut zombie = runtime.open().await.unwrap();
        zombie.acknowledge().await.unwrap();
        zombie.flush().await.unwrap();
        runtime.restart_connector(transactional(Postgres));
        let successor = runtime.open().await.unwrap();
        let error = match zombie.store(0, stores).await {
            Ok(()) => zombie.commit().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
        assert_eq!(error.recorded.as_ref().map(|recorded| recorded.epoch), Some(runtime.owner.epoch));
        drop(successor);
    }
    assert_eq!(lake.count("t"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_a_column_cannot_hold_is_an_error_of_that_document() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    for document in [
        r#"{"id":1,"v":9223372036854775808}"#,
        r#"{"id":1,"v":1.5}"#,
        r#"{"id":1,"v":"7"}"#,
        r#"{"id":null,"v":1}"#,
        r#"{"v":1}"#,
    ] {
        let error = run(&mut runtime, &[&[r#"{"id":5,"v":5}"#, document]]).await.unwrap_err();
        let told = (error.kind, error.code.as_str(), error.binding);
        assert_eq!(told, (ErrorKind::Data, "postgres.value", Some(0)), "{error}");
        assert_eq!(lake.count("t"), 0, "a transaction is stored whole or not at all");
    }
    run(&mut runtime, &[&[r#"{"id":9223372036854775807,"v":1e3}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t"), [format!("{}|1000", i64::MAX)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_13_apply_compares_the_fence_and_may_be_repeated() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1,"v":1}"#]]).await.unwrap();
    let fence = || lake.query("SELECT * FROM _longshore.tasks");
    let tables =
        || lake.query("SELECT oid, relname, relfilenode FROM pg_class WHERE relname NOT LIKE 'pg_%' ORDER BY 1");
    let before = (fence(), tables());
    assert_eq!(runtime.apply().await.unwrap(), [""; 0], "nothing is left to do");
    assert_eq!((fence(), tables()), before);
    // As one whose session has been overtaken.
    let late = runtime.apply_with(|apply| apply.owner.epoch = 0).await;
    assert!(late.is_err(), "an old epoch alters nothing");
    assert_eq!(fence(), before.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_installation_takes_over_and_keeps_the_rows_of_a_standard_binding() {
    let lake = Lake::new();
    run(&mut lake.runtime(ids()), &[&[r#"{"id":1}"#]]).await.unwrap();
    let mut other = lake.runtime(ids().generation(1)).of_installation(2);
    assert_eq!(other.validate().await.unwrap().recorded.map(|recorded| recorded.transaction), Some(1));
    let error = other.apply().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "state.installation"));
    assert_eq!(other.open().await.unwrap_err().code, "state.installation");

    other.apply_with(|apply| apply.take_over = true).await.unwrap();
    let session = other.open().await.unwrap();
    let recorded = session.opened.recorded.clone().unwrap();
    assert_eq!((&recorded.installation, recorded.transaction), (&other.owner.installation, 0));
    assert!(recorded.checkpoint.is_empty());
    assert_eq!(lake.count("t"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_table_with_content_is_not_taken_over_and_not_begun_again() {
    let lake = Lake::new();
    run(&mut lake.runtime(ids().delta()), &[&[r#"{"id":1}"#]]).await.unwrap();
    let mut other = lake.runtime(ids().delta().generation(1)).of_installation(2);
    let error = other.apply_with(|apply| apply.take_over = true).await.unwrap_err();
    assert_eq!(error.code, "postgres.table.older");

    let mut later = lake.runtime(ids().delta().generation(1));
    later.owner.epoch = 10;
    assert_eq!(later.apply().await.unwrap_err().code, "postgres.table.older");
    assert_eq!(lake.count("t"), 1, "a refused Apply changes nothing");
    later.apply_with(all_fresh).await.unwrap();
    assert_eq!(lake.count("t"), 0);
    let mut older = lake.runtime(ids().delta());
    older.owner.epoch = 20;
    run(&mut later, &[&[r#"{"id":1}"#]]).await.unwrap();
    assert_eq!(older.apply().await.unwrap_err().code, "postgres.table.newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_or_kind_is_refused_while_there_are_rows() {
    let lake = Lake::new();
    run(&mut lake.runtime(ids()), &[&[r#"{"id":1,"v":1}"#]]).await.unwrap();
    let apply = async |bind: Bind| {
        let mut runtime = lake.runtime(bind.generation(1));
        runtime.owner.epoch = 10;
        runtime.apply().await.map_err(|error| error.code.clone())
    };
    assert_eq!(apply(ids().delta()).await, Err("postgres.table.delta".to_owned()));
    assert_eq!(apply(Bind { key: vec!["/v".to_owned()], ..ids() }).await, Err("postgres.table.key".to_owned()));
    lake.query("DELETE FROM t");
    assert!(apply(Bind { key: vec!["/v".to_owned()], ..ids() }).await.is_ok(), "an empty table of ours is made again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_tables_were_dropped_gets_them_again_and_remembers_nothing() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1}"#]]).await.unwrap();
    lake.query("DROP SCHEMA _longshore CASCADE; DROP TABLE t");
    assert_eq!(said(runtime.apply().await.unwrap()), [r#"create table "public"."t" with 2 columns"#]);
    assert_eq!(runtime.open().await.unwrap().opened.recorded, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_quoted_whatever_they_are_up_to_63_bytes() {
    let lake = Lake::new();
    let (table, long) = (r#"a"b; drop table x; --"#, "ü".repeat(31) + "x");
    let schema = schema(json!({
        "select": { "type": "integer" }, "a\"b; drop table x; --": { "type": "string" }, " ": { "type": "string" }, "$1?": {}, &long: { "type": "string" },
    }));
    let bind = Bind::new(json!({ "schema": "s'\"; --", "table": table }), &["/select"]).schema(schema.clone());
    lake.query("CREATE TABLE x (id integer)");
    let first = json!({ "select": 1, "a\"b; drop table x; --": "x'\t", " ": "y", "$1?": [1], &long: "z" }).to_string();
    let mut runtime = lake.runtime(bind);
    run(&mut runtime, &[&[&first, r#"{"select":2}"#], &[&first]]).await.unwrap();
    let select = format!(r#"SELECT " ", "$1?", "{long}" FROM "s'""; --"."a""b; drop table x; --" WHERE "select" = 1"#);
    assert_eq!(lake.query(&select), ["y|[1]|z"]);
    assert_eq!(lake.count("x"), 0, "it is still there");
    let longest = Bind::new(json!({ "schema": "s'\"; --", "table": long }), &["/select"]).schema(schema);
    let mut runtime = lake.runtime(longest);
    runtime.owner.epoch = 10;
    run(&mut runtime, &[&[&first]]).await.unwrap();
    assert_eq!(lake.count(&format!(r#""s'""; --"."{long}""#)), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_found_before_anything_is_made() {
    let lake = Lake::new();
    let findings = async |bind: Bind| {
        let validated = lake.runtime(bind).validate().await.unwrap();
        validated.findings.into_iter().map(|finding| (finding.code, finding.pointer)).collect::<Vec<_>>()
    };
    let found = |code: &str, pointer: &str| vec![(code.to_owned(), pointer.to_owned())];
    let table = |name: &str| Bind { resource: json!({ "schema": "public", "table": name }), ..ids() };
    assert_eq!(findings(ids()).await, []);
    assert_eq!(findings(table(&"x".repeat(64))).await, found("postgres.table.name", "/table"));
    for schema in ["_longshore", "pg_catalog", "information_schema"] {
        let bind = Bind { resource: json!({ "schema": schema, "table": "t" }), ..ids() };
        assert_eq!(findings(bind).await, found("postgres.table.name", "/schema"));
    }
    let open = ids().schema(json!({ "properties": { "id": {} } }));
    assert_eq!(findings(open).await, found("postgres.open_schema", ""));
    assert_eq!(
        lake.query("SELECT count(*) FROM pg_namespace WHERE nspname = '_longshore'"),
        ["0"],
        "validating makes nothing"
    );

    let url = lake.database.url().replace(lake.database.name(), "no_such");
    let runtime = |config: Value| Runtime::new(transactional(Postgres), config).bind(ids());
    let validated = runtime(json!({ "url": url })).validate().await.unwrap();
    assert_eq!((validated.findings[0].code.as_str(), validated.bindings.len()), ("postgres.database", 1));
    let validated = runtime(json!({ "url": url, "pasword": "x" })).validate().await.unwrap();
    assert!(validated.findings[0].message.contains("pasword"), "an unknown key is refused: {:?}", validated.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_a_task_forgets_its_checkpoint_and_keeps_its_tables() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1}"#]]).await.unwrap();
    runtime.bindings.clear();
    runtime.apply_with(|apply| apply.remove = true).await.unwrap();
    let left = ["t", "_longshore.tasks", "_longshore.tables", "_longshore.columns"].map(|table| lake.count(table));
    assert_eq!(left, [1, 0, 0, 0]);
}

#[test]
fn the_spec_is_a_promise() {
    let runtime = Runtime::new(transactional(Postgres), json!({ "url": "postgres://me@db/shop" })).bind(ids());
    insta::assert_snapshot!(runtime.printed_spec());
}
