//! Apply: what it makes, what it says it would make, and that nothing is left where all is to go.

use longshore_sdk::binding::Bound;
use longshore_sdk::capture::{Apply, Capture as _};
use longshore_sdk::testing::TestOwner;

use crate::base::{Base, Fold, Table, catch_up};

const T: [Table<'static>; 1] = [("t", &["/id"])];

/// As the runtime asks for it, which the kit does not: with no bindings, or to say what would be done.
fn apply(base: &Base, dry_run: bool, remove: bool) -> Apply<capture_sqlite::Config, capture_sqlite::Resource> {
    let config = serde_json::from_value(base.config()).unwrap();
    let bindings: Vec<Bound<capture_sqlite::Resource>> = Vec::new();
    Apply {
        owner: TestOwner::new("test").current(),
        config,
        bindings,
        previous: Vec::new(),
        state: Default::default(),
        dry_run,
        remove,
    }
}

#[tokio::test]
async fn it_is_repeated_without_a_trace_and_removes_all_it_made() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); CREATE TABLE other (x);");
    let schema = "SELECT count(*) FROM sqlite_schema";
    let before = base.number(schema);
    let mut task = base.task(&T);
    let actions = task.apply().await.unwrap();
    assert!(
        actions[0].starts_with("make the log \"_longshore_") && actions[1] == "make triggers on \"t\"",
        "{actions:?}"
    );
    assert_eq!((base.number(schema), base.triggers()), (before + 2 + 5 + 1, 5), "and sqlite_sequence");
    let version = base.number("PRAGMA schema_version");
    assert!(task.apply().await.unwrap().is_empty());
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert!(task.apply().await.unwrap().is_empty());
    assert_eq!(base.number("PRAGMA schema_version"), version, "nothing was made again");

    let connector = capture_sqlite::Sqlite::default();
    let told = connector.apply(apply(&base, true, true)).await.unwrap().actions;
    assert_eq!(base.triggers(), 5, "only said");
    let done = connector.apply(apply(&base, false, true)).await.unwrap().actions;
    assert_eq!(told, done);
    assert_eq!(base.number(schema), before + 1, "sqlite_sequence is SQLite's own");
    assert!(connector.apply(apply(&base, false, true)).await.unwrap().actions.is_empty());
}

#[tokio::test]
async fn what_one_task_made_is_left_alone_when_another_goes() {
    let base = Base::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1);");
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let connector = capture_sqlite::Sqlite::default();
    let mut second = apply(&base, false, false);
    second.owner = TestOwner::new("second").current();
    connector.apply(second).await.unwrap();
    let logs = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB '_longshore_*_log'";
    assert_eq!(base.number(logs), 2);
    let mut fold = Fold::default();
    base.run("UPDATE t SET v = 2");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
    connector.apply(apply(&base, false, true)).await.unwrap();
    assert_eq!(base.number(logs), 1, "that of the other task stays");
    assert_eq!(base.triggers(), 0);
}
