//! What Validate finds, without touching anything; what it accepts, Apply and a session accept.

use longshore_sdk::finding::{Finding, Severity};
use longshore_sdk::testing::CaptureTask;
use serde_json::{Value, json};

use crate::base::Base;

async fn findings(config: Value, resource: Value, key: &[&str]) -> Vec<Finding> {
    CaptureTask::new(capture_sqlite::Sqlite::default(), config).binding(resource, "c", key).validate().await.unwrap()
}

#[track_caller]
fn check(found: &[Finding], code: &str, pointer: &str, suggestion: &str) {
    let [finding] = found else { panic!("expected one finding, got {found:?}") };
    let is = (finding.severity, finding.code.as_str(), finding.pointer.as_str());
    assert_eq!(is, (Severity::Error, code, pointer), "{finding:?}");
    assert!(finding.suggestion.contains(suggestion), "{finding:?}");
}

const SCHEMA: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, email TEXT UNIQUE, tenant, v); CREATE VIEW v AS SELECT * FROM orders;
    CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE TABLE bare (x, y); CREATE UNIQUE INDEX some ON bare (x) WHERE y;
    CREATE TABLE hidden (rowid, _rowid_, oid); CREATE TABLE meta (id INTEGER PRIMARY KEY, _meta);
    CREATE VIRTUAL TABLE search USING fts5(body);";

#[tokio::test]
async fn what_will_work_has_no_findings_and_nothing_is_changed() {
    let base = Base::new(SCHEMA);
    let version = base.number("PRAGMA schema_version");
    for (resource, key) in [
        (json!({ "table": "orders" }), vec!["/id"]),
        (json!({ "table": "orders", "columns": ["v"] }), vec!["/email"]),
        (json!({ "table": "orders" }), vec!["/tenant", "/id"]),
        (json!({ "table": "pairs" }), vec!["/b", "/a"]),
        (json!({ "table": "bare" }), vec!["/_meta/source/rowid"]),
        (json!({ "table": "meta", "columns": [] }), vec!["/id"]),
    ] {
        assert_eq!(findings(base.config(), resource.clone(), &key).await, [], "{resource} {key:?}");
        let task = CaptureTask::new(capture_sqlite::Sqlite::default(), base.config());
        let mut task = task.binding(resource, "c", &key);
        assert_eq!(base.number("PRAGMA schema_version"), version);
        task.apply().await.unwrap();
        task.open().await.unwrap().until_caught_up().await.unwrap();
        drop(task);
        return_to(&base, version);
    }
}

/// Undoes Apply, and looks the same again.
fn return_to(base: &Base, version: i64) {
    let list = "SELECT 'DROP ' || type || ' ' || name || ';' FROM sqlite_schema WHERE name GLOB '_longshore_*' AND type IN ('trigger', 'table') ORDER BY type DESC";
    let drops: Vec<String> =
        base.db.prepare(list).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    base.run(&drops.concat());
    base.run(&format!("PRAGMA schema_version = {version}"));
}

#[tokio::test]
async fn each_mistake_is_found_where_it_was_made() {
    let base = Base::new(SCHEMA);
    let table = |name: &str| json!({ "table": name });
    let with = |name: &str, value: Value| {
        let mut config = base.config();
        config[name] = value;
        config
    };
    let orders = table("orders");
    let found = findings(with("path", json!(base.dir.path().join("gone.db"))), orders.clone(), &["/id"]).await;
    check(&found, "sqlite.path.missing", "/path", "catalog");
    std::fs::write(
        base.dir.path().join("text.db"),
        "this is no database, and long enough to be told from one".repeat(40),
    )
    .unwrap();
    let found = findings(with("path", json!(base.dir.path().join("text.db"))), orders.clone(), &["/id"]).await;
    check(&found, "sqlite.not_a_database", "/path", "another file");
    let found = findings(with("path", json!(base.dir.path())), orders.clone(), &["/id"]).await;
    check(&found, "sqlite.path.no_file", "/path", "name the file");
    check(
        &findings(with("poll_interval", json!("1")), orders.clone(), &["/id"]).await,
        "sqlite.interval.invalid",
        "/poll_interval",
        "500ms",
    );
    check(
        &findings(with("busy_timeout", json!("0s")), orders.clone(), &["/id"]).await,
        "sqlite.interval.invalid",
        "/busy_timeout",
        "500ms",
    );
    for (name, key, code, suggestion) in [
        ("order", "/id", "sqlite.table.missing", "orders"),
        ("ORDERS", "/id", "sqlite.table.missing", "orders"),
        ("v", "/id", "sqlite.table.kind", "table behind it"),
        ("search", "/id", "sqlite.table.kind", "table behind it"),
        ("sqlite_schema", "/id", "sqlite.table.kind", "table behind it"),
        ("orders", "/idd", "sqlite.key.missing", "/id"),
        ("orders", "/tenant", "sqlite.key.not_unique", "/id"),
        ("pairs", "/a", "sqlite.key.not_unique", "/a, /b"),
        ("pairs", "/_meta/source/rowid", "sqlite.key.missing", "primary key"),
        ("bare", "/x", "sqlite.key.not_unique", "/_meta/source/rowid"),
        ("hidden", "/rowid", "sqlite.table.rowid", "rename"),
        ("meta", "/id", "sqlite.columns.meta", "leave it out"),
    ] {
        let found = findings(base.config(), table(name), &[key]).await;
        let [finding] = &found[..] else { panic!("{name} {key}: {found:?}") };
        assert_eq!((finding.code.as_str(), finding.pointer.as_str()), (code, "/table"), "{name} {key}: {finding:?}");
        assert!(finding.suggestion.contains(suggestion), "{finding:?}");
    }
    let columns = json!({ "table": "orders", "columns": ["v", "tennant"] });
    check(&findings(base.config(), columns, &["/id"]).await, "sqlite.columns.unknown", "/columns/1", "tenant");
}
