//! The null destination through each door, with a runtime end in memory and real files.

use std::path::Path;

use longshore_sdk::ErrorKind;
use longshore_sdk::materialize::{Door, at_least_once, idempotent, transactional};
use longshore_sdk::testing::materialize::{Bind, Runtime, checkpoint_of};
use serde_json::json;

use crate::config::{Config, Promise};
use crate::record::RecordFile;
use crate::sink::Null;

const ROWS: &[&str] = &[r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#];

fn runtime<D: Door>(door: D, path: &Path) -> Runtime<D> {
    Runtime::new(door, json!({ "path": path })).bind(Bind::new(json!({ "name": "a" }), &["/id"]))
}

fn transactional_null() -> longshore_sdk::materialize::TransactionalDoor<Null> {
    transactional(Null::new(Promise::Transactional))
}

fn idempotent_null() -> longshore_sdk::materialize::IdempotentDoor<Null> {
    idempotent(Null::new(Promise::Idempotent))
}

fn documents(path: &Path) -> u64 {
    RecordFile::new(path.to_owned()).read().expect("a readable file").expect("a file").documents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactional_the_file_decides_where_to_resume() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("null.json");
    let mut runtime = runtime(transactional_null(), &path);
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    assert_eq!(session.opened.recorded, None);
    session.acknowledge().await.unwrap();
    session.transact(&[(0, ROWS)]).await.unwrap();
    session.flush().await.unwrap();
    session.store(0, ROWS).await.unwrap();
    session.commit_unrecorded().await.unwrap();
    drop(session);

    let session = runtime.open().await.unwrap();
    let recorded = session.opened.recorded.clone().unwrap();
    assert_eq!((recorded.transaction, recorded.checkpoint), (2, checkpoint_of(2)));
    assert_eq!(documents(&path), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_2_a_zombie_is_fenced_at_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("null.json");
    let mut runtime = runtime(transactional_null(), &path);
    let mut zombie = runtime.open().await.unwrap();
    zombie.acknowledge().await.unwrap();
    zombie.flush().await.unwrap();
    zombie.store(0, ROWS).await.unwrap();
    runtime.restart_connector(transactional_null());
    let _successor = runtime.open().await.unwrap();
    let error = zombie.commit().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced);
    assert_eq!(error.recorded.as_ref().map(|recorded| recorded.epoch), Some(2));
    assert_eq!(documents(&path), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_a_plan_counts_once_however_often_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("null.json");
    let mut runtime = runtime(idempotent_null(), &path);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, ROWS).await.unwrap();
    session.commit().await.unwrap();
    let committed = runtime.durable();
    assert_eq!(documents(&path), 0, "committed is not published");
    session.acknowledge().await.unwrap();
    assert_eq!(documents(&path), 3);
    drop(session);

    for _ in 0..2 {
        runtime.set_durable(committed.clone());
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        runtime.set_durable(committed.clone());
        drop(session);
        runtime.apply().await.unwrap();
        assert_eq!(documents(&path), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("null.json");
    let mut runtime = runtime(at_least_once(Null::new(Promise::AtLeastOnce)), &path);
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.transact(&[(0, ROWS)]).await.unwrap();
    session.close().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_installation_is_refused_until_it_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("null.json");
    let mut first = runtime(transactional_null(), &path);
    let mut session = first.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.transact(&[(0, ROWS)]).await.unwrap();
    session.close().await.unwrap();

    let mut second = runtime(transactional_null(), &path).of_installation(2);
    assert_eq!(second.validate().await.unwrap().recorded.unwrap().installation, first.owner.installation);
    assert_eq!(second.apply().await.unwrap_err().code, "state.installation");
    assert_eq!(second.open().await.unwrap_err().code, "state.installation");
    second.apply_with(|apply| apply.take_over = true).await.unwrap();
    let session = second.open().await.unwrap();
    assert_eq!(session.opened.recorded.as_ref().map(|recorded| recorded.transaction), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fail_after_fails_as_a_destination_that_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("null.json");
    let mut runtime = runtime(transactional_null(), &path);
    runtime.config = json!({ "path": path, "fail_after": 4, "delay": "1ms", "delay_per": "document" });
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.transact(&[(0, ROWS)]).await.unwrap();
    let error = session.transact(&[(0, ROWS)]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "null.fail_after"));
    assert_eq!(documents(&path), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarantee_it_was_not_started_with_is_a_finding() {
    let directory = tempfile::tempdir().unwrap();
    let mut runtime = runtime(transactional_null(), &directory.path().join("null.json"));
    runtime.config["guarantee"] = json!("idempotent");
    let findings = runtime.validate().await.unwrap().findings;
    assert_eq!(findings[0].pointer, "/guarantee");
    assert!(findings[0].suggestion.contains("--guarantee=idempotent"));
}

#[test]
fn a_delay_has_a_unit() {
    let delay = |text: &str| {
        serde_json::from_value::<Config>(json!({ "path": "a", "delay": text })).map(|config| config.delay.0)
    };
    assert_eq!(delay("5ms").unwrap().as_millis(), 5);
    assert_eq!(delay("2m").unwrap().as_secs(), 120);
    for wrong in ["5", "ms", "", "5 ms", "5w", "-1s"] {
        assert!(delay(wrong).unwrap_err().to_string().contains("a time with its unit"), "{wrong}");
    }
}

#[test]
fn the_spec_is_a_promise() {
    let runtime = runtime(transactional_null(), Path::new("null.json"));
    insta::assert_snapshot!(runtime.printed_spec());
}
