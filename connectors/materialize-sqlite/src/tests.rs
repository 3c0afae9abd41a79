//! The connector against real databases, with a runtime end in memory.

use std::path::{Path, PathBuf};

use longshore_sdk::materialize::{Constraint, Field, JsonType, Loads, Selection, TransactionalDoor, transactional};
use longshore_sdk::testing::materialize::{Bind, Runtime, all_fresh, checkpoint_of};
use longshore_sdk::{Error, ErrorKind};
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sink::Sqlite;

mod aside;
mod fields;
mod load;
mod verify;

struct Lake {
    directory: TempDir,
}

impl Lake {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("lake.db")
    }

    fn runtime(&self, bind: Bind) -> Runtime<TransactionalDoor<Sqlite>> {
        runtime(&self.path(), bind)
    }

    fn query(&self, select: &str) -> Vec<Vec<Sql>> {
        let connection = Connection::open(self.path()).unwrap();
        let mut select = connection.prepare(select).unwrap();
        let width = select.column_count();
        let rows = select.query_map([], |row| (0..width).map(|i| row.get(i)).collect()).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn count(&self, table: &str) -> i64 {
        let connection = Connection::open(self.path()).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn execute(&self, statement: &str) {
        Connection::open(self.path()).unwrap().execute_batch(statement).unwrap();
    }
}

fn runtime(path: &Path, bind: Bind) -> Runtime<TransactionalDoor<Sqlite>> {
    Runtime::new(transactional(Sqlite), json!({ "path": path })).bind(bind)
}

fn schema(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn weather() -> Bind {
    let schema = schema(json!({
        "origin": { "type": "string" }, "hour": { "type": "integer" }, "wind_speed": { "type": ["number", "null"] },
        "pressure": { "type": ["number", "null"] }, "late": { "type": "boolean" }, "note": { "type": ["object", "null"] },
        "time_hour": { "type": "string", "format": "date-time" },
    }));
    Bind::new(json!({ "table": "weather" }), &["/origin", "/hour"]).schema(schema)
}

fn ids() -> Bind {
    Bind::new(json!({ "table": "t" }), &["/id"])
        .schema(schema(json!({ "id": { "type": "integer" }, "v": { "type": "integer" } })))
}

fn text(text: &str) -> Sql {
    Sql::Text(text.to_owned())
}

/// Applies, opens and runs these transactions.
async fn run(runtime: &mut Runtime<TransactionalDoor<Sqlite>>, transactions: &[&[&str]]) -> Result<(), Error> {
    runtime.apply().await?;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    for documents in transactions {
        session.transact(&[(0, documents)]).await?;
    }
    session.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_stored_as_what_they_are() {
    let lake = Lake::new();
    let documents = [
        r#"{"origin":"EWR","hour":1,"wind_speed":10.357019999999999,"pressure":1e3,"late":true,"note":{"a":1.10},"time_hour":"2013-01-01T06:00:00Z"}"#,
        r#"{"origin":"EWR","hour":2.0,"wind_speed":null,"pressure":1012,"late":false,"time_hour":"x"}"#,
    ];
    run(&mut lake.runtime(weather()), &[&documents]).await.unwrap();
    let rows = lake.query("SELECT * FROM weather ORDER BY origin, hour");
    let first = [
        text("EWR"),
        Sql::Integer(1),
        Sql::Real(10.357019999999999),
        Sql::Real(1000.0),
        Sql::Integer(1),
        text(r#"{"a":1.10}"#),
        text("2013-01-01T06:00:00Z"),
    ];
    let second = [text("EWR"), Sql::Integer(2), Sql::Null, Sql::Real(1012.0), Sql::Integer(0), Sql::Null, text("x")];
    assert_eq!(rows, [first, second]);
    assert_eq!(lake.query("PRAGMA journal_mode")[0][0], text("wal"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_14_a_key_is_one_row_until_it_is_deleted_and_what_is_not_there_may_be_deleted_too() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let (one, two) = (r#"{"id":1,"v":1}"#, r#"{"id":2,"v":1}"#);
    let (changed, gone) = (r#"{"id":1.0,"v":2}"#, r#"{"id":2,"_meta":{"op":"d"}}"#);
    run(&mut runtime, &[&[one, two], &[changed, gone], &[r#"{"id":9,"_meta":{"op":"d"}}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t"), [[Sql::Integer(1), Sql::Integer(2)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_8_a_delta_table_has_a_row_for_each_document() {
    let lake = Lake::new();
    let documents = [r#"{"id":1,"v":1}"#, r#"{"id":1,"v":1}"#, r#"{"id":1,"_meta":{"op":"d"}}"#, r#"{"v":3}"#];
    run(&mut lake.runtime(ids().delta()), &[&documents]).await.unwrap();
    let rows = lake.query("SELECT id, v, _meta FROM t ORDER BY rowid");
    let one = vec![Sql::Integer(1), Sql::Integer(1), Sql::Null];
    let gone = vec![Sql::Integer(1), Sql::Null, text(r#"{"op":"d"}"#)];
    assert_eq!(rows, [one.clone(), one, gone, vec![Sql::Null, Sql::Integer(3), Sql::Null]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_11_the_database_decides_where_to_resume_and_has_all_of_a_transaction_or_nothing() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids().delta());
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
    assert_eq!(runtime.open().await.unwrap().opened.recorded.as_ref().map(|recorded| recorded.transaction), Some(2));
    assert_eq!(lake.count("t"), 2, "what was stored and not committed is gone");
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
        runtime.restart_connector(transactional(Sqlite));
        let successor = runtime.open().await.unwrap();
        let stored = zombie.store(0, stores).await;
        let error = match stored {
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
async fn a_database_that_another_program_writes_is_unavailable_and_not_a_dead_lock() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    let other = Connection::open(lake.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = session.transact(&[(0, &[r#"{"id":1}"#])]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "sqlite.locked"));
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
        assert_eq!(
            (error.kind, error.code.as_str(), error.binding),
            (ErrorKind::Data, "sqlite.value", Some(0)),
            "{error}"
        );
        assert_eq!(lake.count("t"), 0, "a transaction is stored whole or not at all");
    }
    run(&mut runtime, &[&[r#"{"id":9223372036854775807,"v":1e3}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t"), [[Sql::Integer(i64::MAX), Sql::Integer(1000)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_transaction_cannot_store_is_told_at_once_and_leaves_nothing_behind() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session
        .store(0, &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":"x"}"#, r#"{"id":3,"v":0.5}"#, r#"{"id":4}"#])
        .await
        .unwrap();
    let rejected = session.rejected().await.unwrap();
    let told: Vec<_> = rejected.each().map(|(key, why)| (String::from_utf8_lossy(key).into_owned(), why)).collect();
    assert_eq!((rejected.binding, rejected.code.as_str(), told.len()), (0, "sqlite.value", 2));
    assert!(told[0].0 == "[2]" && told[0].1.contains("\"v\"") && told[1].0 == "[3]", "{told:?}");
    // The lock is gone with the session: whoever comes next can write.
    run(&mut runtime, &[&[r#"{"id":1,"v":1}"#, r#"{"id":4}"#]]).await.unwrap();
    assert_eq!(lake.count("t"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wider_type_leaves_old_values_as_they_are() {
    let lake = Lake::new();
    let with =
        |v: Value| ids().schema(schema(json!({ "id": { "type": "integer" }, "v": v, "w": { "type": "string" } })));
    run(&mut lake.runtime(ids()), &[&[r#"{"id":1,"v":7}"#, r#"{"id":2,"v":null}"#]]).await.unwrap();
    lake.execute("CREATE INDEX by_v ON t (v); CREATE VIEW sevens AS SELECT id FROM t WHERE v = 7");

    let mut widened = lake.runtime(with(json!({ "type": ["number", "null"] })));
    widened.owner.epoch = 10;
    let actions = widened.apply_with(|apply| apply.dry_run = true).await.unwrap();
    assert_eq!(
        actions,
        [r#"widen column "v" of table "t" from INTEGER to REAL"#, r#"add column "w" TEXT to table "t""#]
    );
    run(&mut widened, &[&[r#"{"id":3,"v":0.5,"w":"x"}"#]]).await.unwrap();
    let rows = [
        vec![Sql::Integer(1), Sql::Real(7.0), Sql::Null],
        vec![Sql::Integer(2), Sql::Null, Sql::Null],
        vec![Sql::Integer(3), Sql::Real(0.5), text("x")],
    ];
    assert_eq!(lake.query("SELECT * FROM t"), rows);

    let mut texts = lake.runtime(with(json!({ "type": ["string", "null"] })));
    texts.owner.epoch = 20;
    run(&mut texts, &[&[r#"{"id":4,"v":"007","w":"y"}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT v, typeof(v) FROM t WHERE id = 4"), [[text("007"), text("text")]]);
    assert_eq!(lake.query("SELECT v, typeof(v) FROM t WHERE id = 1"), [[Sql::Real(7.0), text("real")]]);
    assert_eq!(lake.query("SELECT id FROM sevens"), [[Sql::Integer(1)]], "a view of others reads on");
    assert_eq!(lake.query("SELECT name FROM sqlite_schema WHERE name = 'by_v'").len(), 1, "an index of others stays");
    texts.owner.epoch = 30;
    assert!(texts.apply().await.unwrap().is_empty(), "applied again it changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_integer_that_no_double_holds_keeps_its_digits_when_the_column_widens() {
    let lake = Lake::new();
    run(&mut lake.runtime(ids()), &[&[r#"{"id":1,"v":9007199254740993}"#]]).await.unwrap();
    let wider = schema(json!({ "id": { "type": "integer" }, "v": { "type": "number" } }));
    let mut runtime = lake.runtime(ids().schema(wider));
    runtime.owner.epoch = 10;
    run(&mut runtime, &[&[r#"{"id":2,"v":0.5}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT v FROM t"), [[Sql::Integer(9_007_199_254_740_993)], [Sql::Real(0.5)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_somebody_else_are_not_touched_until_the_user_says_so() {
    let lake = Lake::new();
    lake.execute("CREATE TABLE t (id INTEGER, theirs TEXT); INSERT INTO t VALUES (1, 'x')");
    let mut runtime = lake.runtime(ids());
    let validated = runtime.validate().await.unwrap();
    let whole = validated.bindings[0].fields.iter().find(|field| field.pointer.is_empty()).unwrap();
    assert!(whole.constraint == Constraint::Incompatible && whole.reason.contains("somebody else"), "{whole:?}");
    let error = runtime.apply().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "sqlite.table.foreign"));
    assert!(error.suggestion.contains("run --fresh test/test/documents"), "{error}");
    assert_eq!(lake.count("t"), 1);

    runtime.apply_with(all_fresh).await.unwrap();
    run(&mut runtime, &[&[r#"{"id":2,"v":2}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t"), [[Sql::Integer(2), Sql::Integer(2)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_13_apply_compares_the_fence_and_may_be_repeated() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1,"v":1}"#]]).await.unwrap();
    let fence = || lake.query("SELECT * FROM _longshore_tasks");
    let (before, schema) = (fence(), lake.query("SELECT name, sql FROM sqlite_schema"));
    assert_eq!(runtime.apply().await.unwrap(), [""; 0], "nothing is left to do");
    assert_eq!((fence(), lake.query("SELECT name, sql FROM sqlite_schema")), (before.clone(), schema));
    // As one whose session has been overtaken.
    let late = runtime.apply_with(|apply| apply.owner.epoch = 0).await;
    assert!(late.is_err(), "an old epoch alters nothing");
    assert_eq!(fence(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_or_an_index_is_no_table() {
    for statement in ["CREATE VIEW t AS SELECT 1 AS id", "CREATE TABLE other (id); CREATE INDEX t ON other (id)"] {
        let lake = Lake::new();
        lake.execute(statement);
        assert_eq!(lake.runtime(ids()).validate().await.unwrap().findings[0].code, "sqlite.table.taken");
        assert_eq!(lake.runtime(ids()).apply().await.unwrap_err().code, "sqlite.table.taken");
    }
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
    assert_eq!(error.code, "sqlite.table.older");

    let mut later = lake.runtime(ids().delta().generation(1));
    later.owner.epoch = 10;
    assert_eq!(later.apply().await.unwrap_err().code, "sqlite.table.older");
    assert_eq!(lake.count("t"), 1, "a refused Apply changes nothing");
    later.apply_with(all_fresh).await.unwrap();
    assert_eq!(lake.count("t"), 0);
    let mut older = lake.runtime(ids().delta());
    older.owner.epoch = 20;
    run(&mut later, &[&[r#"{"id":1}"#]]).await.unwrap();
    assert_eq!(older.apply().await.unwrap_err().code, "sqlite.table.newer");
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
    assert_eq!(apply(ids().delta()).await, Err("sqlite.table.delta".to_owned()));
    assert_eq!(apply(Bind { key: vec!["/v".to_owned()], ..ids() }).await, Err("sqlite.table.key".to_owned()));
    lake.execute("DELETE FROM t");
    assert!(apply(Bind { key: vec!["/v".to_owned()], ..ids() }).await.is_ok(), "an empty table is made again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_deleted_gets_its_tables_again_and_remembers_nothing() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1}"#]]).await.unwrap();
    for name in ["lake.db", "lake.db-wal", "lake.db-shm"] {
        let path = lake.directory.path().join(name);
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(runtime.apply().await.unwrap(), [r#"create table "t" with 2 columns"#]);
    assert_eq!(runtime.open().await.unwrap().opened.recorded, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_quoted_whatever_they_are() {
    let lake = Lake::new();
    let name = r#"we"ird; DROP TABLE x -- "#;
    let schema = schema(
        json!({ "select": { "type": "integer" }, "a\"b": { "type": "string" }, " ": { "type": "string" }, "ü?": {} }),
    );
    let bind = Bind::new(json!({ "table": name }), &["/select"]).schema(schema);
    run(&mut lake.runtime(bind), &[&[r#"{"select":1,"a\"b":"x"," ":"y","ü?":[1]}"#, r#"{"select":2}"#]]).await.unwrap();
    let rows = lake.query(r#"SELECT * FROM "we""ird; DROP TABLE x -- " WHERE "select" = 1"#);
    assert_eq!(rows, [[Sql::Integer(1), text("x"), text("y"), text("[1]")]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_found_before_anything_is_made() {
    let lake = Lake::new();
    let findings = async |bind: Bind, path: &Path| {
        let validated = runtime(path, bind).validate().await.unwrap();
        validated.findings.into_iter().map(|finding| (finding.code, finding.pointer)).collect::<Vec<_>>()
    };
    let found = |code: &str, pointer: &str| vec![(code.to_owned(), pointer.to_owned())];
    let table = |name: &str| Bind { resource: json!({ "table": name }), ..ids() };
    assert_eq!(findings(ids(), &lake.path()).await, []);
    assert_eq!(findings(table("SQLite_x"), &lake.path()).await, found("sqlite.table.name", "/table"));
    assert_eq!(findings(table("_longshore_tasks"), &lake.path()).await, found("sqlite.table.name", "/table"));
    assert_eq!(findings(ids(), &lake.directory.path().join("no/lake.db")).await, found("sqlite.open", "/path"));
    let cased = ids().schema(schema(json!({ "id": {}, "ID": {} })));
    assert_eq!(findings(cased, &lake.path()).await, found("sqlite.column.case", ""));
    let open = ids().schema(json!({ "properties": { "id": {} } }));
    assert_eq!(findings(open, &lake.path()).await, found("sqlite.open_schema", ""));
    assert!(!lake.path().exists(), "validating makes nothing");

    std::fs::write(
        lake.path(),
        "this is a text, and a long one at that; SQLite looks at the first hundred bytes of a file to know",
    )
    .unwrap();
    assert_eq!(findings(ids(), &lake.path()).await, found("sqlite.not_a_database", "/path"));
}

/// A journal that has to be played back lies beside the database then. Who dies while it is made leaves one, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_which_somebody_died_while_writing_is_looked_at_as_it_was_before() {
    let lake = Lake::new();
    let at = |name: &str| lake.directory.path().join(name);
    let writer = Connection::open(at("writing.db")).unwrap();
    // More than the cache holds, so that some of it is in the file before it is committed.
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO other SELECT randomblob(900) FROM n";
    writer
        .execute_batch(&format!(
            "CREATE TABLE other (v); {rows}; PRAGMA cache_size = 5; BEGIN; DELETE FROM other; {rows}; {rows}"
        ))
        .unwrap();
    std::fs::copy(at("writing.db"), lake.path()).unwrap();
    std::fs::copy(at("writing.db-journal"), at("lake.db-journal")).unwrap();
    let validated = lake.runtime(ids()).validate().await.unwrap();
    assert!(validated.findings.is_empty(), "{:?}", validated.findings);
    assert_eq!(lake.count("other"), 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_a_task_forgets_its_checkpoint_and_keeps_its_tables() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1}"#]]).await.unwrap();
    runtime.bindings.clear();
    runtime.apply_with(|apply| apply.remove = true).await.unwrap();
    assert_eq!((lake.count("t"), lake.count("_longshore_tasks"), lake.count("_longshore_tables")), (1, 0, 0));
}

#[test]
fn the_spec_is_a_promise() {
    insta::assert_snapshot!(runtime(Path::new("lake.db"), ids()).printed_spec());
}
