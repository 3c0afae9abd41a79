//! Connections that are cut, servers that go, others who hold locks, documents that are rejected: a transaction is there whole or not at all.

use std::sync::Arc;

use longshore_postgres::testing::Server;

use super::*;

async fn opened(runtime: &mut Runtime<TransactionalDoor<Postgres>>) -> longshore_sdk::testing::materialize::Session {
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session
}

/// Waits until the connector's session has done what it was sent: it is idle inside of its transaction.
fn until_idle_in_transaction(lake: &Lake) {
    let select = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' \
                  AND query LIKE 'RELEASE%'";
    let is_idle = (0..2_000).any(|_| lake.query(select) == ["1"]);
    assert!(is_idle, "the session took its rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_leaves_nothing_and_the_next_session_goes_on() {
    for bind in [ids().delta(), ids()] {
        let lake = Lake::new();
        let mut runtime = lake.runtime(bind);
        runtime.apply().await.unwrap();
        let mut session = opened(&mut runtime).await;
        session.transact(&[(0, &[r#"{"id":1}"#])]).await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &[r#"{"id":2}"#]).await.unwrap();
        until_idle_in_transaction(&lake);
        lake.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        let error = match session.store(0, &[r#"{"id":3}"#]).await {
            Ok(()) => session.commit().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert_eq!(lake.count("t"), 1);

        let mut session = opened(&mut runtime).await;
        assert_eq!(session.opened.recorded.as_ref().map(|recorded| recorded.transaction), Some(1));
        session.transact(&[(0, &[r#"{"id":2}"#, r#"{"id":3}"#])]).await.unwrap();
        assert_eq!(lake.count("t"), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_has_what_was_committed() {
    let mut server = Server::start("");
    let config = json!({ "url": server.url("postgres") });
    let mut runtime = Runtime::new(transactional(Postgres), config).bind(ids());
    runtime.apply().await.unwrap();
    let mut session = opened(&mut runtime).await;
    session.transact(&[(0, &[r#"{"id":1}"#])]).await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[r#"{"id":2}"#]).await.unwrap();
    server.down();
    let error = session.commit().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(runtime.open().await.unwrap_err().kind, ErrorKind::Unavailable);
    let error = runtime.validate().await.unwrap_err();
    assert_eq!(
        (error.kind, error.code.as_str()),
        (ErrorKind::Unavailable, "postgres.unreachable"),
        "no finding: {error}"
    );

    server.up();
    let mut session = opened(&mut runtime).await;
    session.transact(&[(0, &[r#"{"id":2}"#])]).await.unwrap();
    let database = Database::on(&Arc::new(server));
    let url = database.server().url("postgres");
    let mut again = Runtime::new(transactional(Postgres), json!({ "url": url })).bind(ids());
    again.owner.epoch = 10;
    let recorded = again.open().await.unwrap().opened.recorded.clone();
    assert_eq!(recorded.map(|recorded| recorded.transaction), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_in_the_middle_of_its_transaction_keeps_its_successor_waiting_and_neither_loses_a_row() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    runtime.apply().await.unwrap();
    let mut zombie = opened(&mut runtime).await;
    zombie.flush().await.unwrap();
    zombie.store(0, &[r#"{"id":1}"#]).await.unwrap();
    until_idle_in_transaction(&lake);
    runtime.restart_connector(transactional(Postgres));
    let (successor, committed) = tokio::join!(runtime.open(), zombie.commit_unrecorded());
    committed.unwrap();
    let mut successor = successor.unwrap();
    let recorded = successor.opened.recorded.as_ref().map(|recorded| recorded.transaction);
    assert_eq!(recorded, Some(1), "it waited, and sees what was committed");
    let error = match zombie.acknowledge().await {
        Ok(()) => zombie.transact(&[(0, &[r#"{"id":2}"#])]).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    successor.acknowledge().await.unwrap();
    successor.transact(&[(0, &[r#"{"id":3}"#])]).await.unwrap();
    assert_eq!(lake.query("SELECT id FROM t ORDER BY id"), ["1", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_somebody_else_is_unavailable_and_not_waited_for_for_ever() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    runtime.apply().await.unwrap();
    let mut session = opened(&mut runtime).await;
    let other = longshore_postgres::Client::connect(&lake.database.endpoint()).await.unwrap();
    other.run("locking", "BEGIN; SELECT * FROM _longshore.tasks FOR UPDATE").await.unwrap();
    let error = session.transact(&[(0, &[r#"{"id":1}"#])]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.busy"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_begin_at_once_in_an_empty_database_do_not_get_into_each_others_way() {
    let lake = Lake::new();
    let bind = |table: &str| Bind { resource: json!({ "schema": "public", "table": table }), ..ids() };
    let (mut one, mut two) = (lake.runtime(bind("a")), lake.runtime(bind("b")));
    two.owner.task = "other".to_owned();
    let (one, two) = tokio::join!(one.apply(), two.apply());
    one.unwrap();
    two.unwrap();
    assert_eq!((lake.count("a"), lake.count("b"), lake.count("_longshore.tables")), (0, 0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_transaction_cannot_store_is_told_at_once_and_leaves_nothing_behind() {
    let properties = json!({
        "id": { "type": "integer" }, "v": { "type": "integer" }, "at": { "type": "string", "format": "date" },
        "any": {}, "ip": { "type": "string", "format": "pg:inet" },
    });
    // Into an empty table, beside a filled one, and a delta binding.
    for (bind, before) in [(ids(), false), (ids(), true), (ids().delta(), false)] {
        let lake = Lake::new();
        let mut runtime = lake.runtime(bind.schema(schema(properties.clone())));
        runtime.apply().await.unwrap();
        let mut session = opened(&mut runtime).await;
        let good = r#"{"id":100,"v":1,"at":"2024-02-29","any":"\u00e9","ip":"10.0.0.1"}"#;
        if before {
            session.transact(&[(0, &[good])]).await.unwrap();
        }
        let bad = [
            r#"{"id":1,"v":"x"}"#,
            r#"{"id":2,"at":"2023-02-29"}"#,
            r#"{"id":3,"any":"\u0000"}"#,
            r#"{"id":4,"ip":"10.0.0.1/32"}"#,
            r#"{"id":5,"at":"2024-13-01"}"#,
            r#"{"id":6,"at":"0000-01-01"}"#,
        ];
        let mut documents: Vec<&str> = Vec::new();
        let fine: Vec<String> = (10..15).map(|id| format!("{{\"id\":{id}}}")).collect();
        bad.iter().zip(fine.iter().chain(&fine)).for_each(|(bad, fine)| documents.extend([fine.as_str(), bad]));
        session.flush().await.unwrap();
        session.store(0, &documents).await.unwrap();
        let rejected = session.rejected().await.unwrap();
        let mut keys: Vec<_> = rejected.each().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
        keys.sort();
        assert_eq!((rejected.binding, rejected.code.as_str()), (0, "postgres.value"));
        assert_eq!(keys, ["[1]", "[2]", "[3]", "[4]", "[5]", "[6]"]);
        assert_eq!(lake.count("t"), usize::from(before));
        // Without them the rest is stored.
        let mut session = opened(&mut runtime).await;
        let rest: Vec<&str> = fine.iter().map(String::as_str).chain([good]).collect();
        session.transact(&[(0, &rest)]).await.unwrap();
        assert_eq!(lake.count("t"), 6);
    }
}
