//! Apply: makes what a task needs on the server once, and takes all of it away again.

use longshore_sdk::ErrorKind;

use crate::base::{Base, Fold, Table, catch_up};

const T: [Table<'static>; 1] = [("t", &["/id"])];

#[tokio::test]
async fn publication_and_slot_are_made_once_and_changed_with_the_bindings() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE u (id bigint PRIMARY KEY)");
    let mut task = base.task(&T);
    let slot = base.slot();
    let first = task.apply().await.unwrap();
    assert_eq!(
        first,
        ["create publication longshore_test for 1 tables".to_owned(), format!("create replication slot {slot}")]
    );
    assert_eq!(task.apply().await.unwrap(), Vec::<String>::new());
    let mut task = base.task(&[("u", &["/id"])]);
    assert_eq!(task.apply().await.unwrap(), ["alter publication longshore_test for 1 tables"]);
    assert_eq!(base.run("SELECT tablename FROM pg_publication_tables WHERE pubname = 'longshore_test'"), "u");
    // Somebody made it send less.
    base.run("ALTER PUBLICATION longshore_test SET (publish = 'insert')");
    assert_eq!(task.apply().await.unwrap().len(), 1);
    assert_eq!(task.apply().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_user_who_may_not_is_told_what_is_missing() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
    let user = format!("user_{}", base.db.name());
    base.run(&format!("CREATE ROLE {user} LOGIN"));
    let url = base.db.url().replace("postgres@", &format!("{user}@"));
    let config = serde_json::json!({ "url": url, "slot": base.slot() });
    let task = longshore_sdk::testing::CaptureTask::new(capture_postgres::Postgres::default(), config);
    let mut task = base.task_of(task, &T);
    let findings = task.validate().await.unwrap();
    let said: Vec<_> = findings.iter().map(|finding| finding.suggestion.clone()).collect();
    assert_eq!(said.len(), 2, "{findings:?}");
    assert!(said[0].contains("REPLICATION") && said[1].contains("GRANT SELECT"), "{said:?}");
    base.run(&format!("ALTER ROLE {user} REPLICATION; GRANT SELECT ON t TO {user}"));
    assert_eq!(task.validate().await.unwrap(), []);
    let error = task.apply().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.permission"), "{error}");
    assert!(error.suggestion.contains("CREATE PUBLICATION"), "{error}");
    // The owner did so; nothing more than these rights is needed.
    base.run("CREATE PUBLICATION longshore_test FOR TABLE ONLY t WITH (publish_via_partition_root = true)");
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("UPDATE t SET v = 'b'");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
    base.run(&format!(
        "SELECT pg_drop_replication_slot('{}'); REVOKE ALL ON t FROM {user}; DROP ROLE {user}",
        base.slot()
    ));
}
