//! Doubts stop: a server, a slot or a table that is not the one the state remembers is told, with both sides and the way out.

use capture_postgres::Postgres;
use longshore_sdk::ErrorKind;
use longshore_sdk::testing::CaptureTask;
use serde_json::Value;

use crate::base::{Base, Fold, Table, catch_up, failure};

const T: [Table<'static>; 1] = [("t", &["/id"])];

async fn begun(base: &Base) -> CaptureTask<Postgres> {
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    catch_up(&mut task, &mut Fold::default(), &T).await.unwrap();
    task
}

#[track_caller]
fn check(error: &longshore_sdk::Error, code: &str) {
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, code), "{error}");
    assert!(error.suggestion.contains("run --fresh test"), "{error}");
}

fn base() -> Base {
    Base::new("CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')")
}

#[tokio::test]
async fn a_slot_that_is_gone_is_a_stop_and_never_made_again() {
    let base = base();
    let mut task = begun(&base).await;
    base.run(&format!("SELECT pg_drop_replication_slot('{}')", base.slot()));
    check(&failure(&mut task).await, "postgres.slot.missing");
    check(&task.apply().await.unwrap_err(), "postgres.slot.missing");
    // Made again by hand it has let go of what was before.
    base.run(&format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", base.slot()));
    base.run("UPDATE t SET v = 'b'");
    check(&failure(&mut task).await, "postgres.slot.ahead");
    base.run(&format!(
        "SELECT pg_drop_replication_slot('{0}'); SELECT pg_create_logical_replication_slot('{0}', 'test_decoding')",
        base.slot()
    ));
    assert_eq!(failure(&mut task).await.code, "postgres.slot.other");
}

#[tokio::test]
async fn a_slot_that_somebody_moved_on_is_a_stop() {
    let base = base();
    let mut task = begun(&base).await;
    base.run("UPDATE t SET v = 'lost'");
    base.run(&format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", base.slot()));
    check(&failure(&mut task).await, "postgres.slot.ahead");
}

#[tokio::test]
async fn another_server_or_timeline_is_a_stop() {
    let base = base();
    let task = begun(&base).await;
    for (member, value, code) in [
        ("system", Value::from("7000000000000000000"), "postgres.system.other"),
        ("timeline", Value::from(77), "postgres.timeline.other"),
        ("slot", Value::from("another"), "postgres.slot.renamed"),
    ] {
        let mut json: Value = serde_json::from_slice(task.state().task_json().unwrap()).unwrap();
        json[member] = value;
        let parts = task.state().parts().map(|(key, part)| (key.clone(), part.clone())).collect::<Vec<_>>();
        let state = longshore_proto::state::State::from_parts(Some(json.to_string().into()), parts).unwrap();
        let mut other = base.task(&T).with_state(state);
        check(&failure(&mut other).await, code);
    }
}

#[tokio::test]
async fn a_table_that_was_made_again_or_left_the_publication_is_a_stop() {
    let base = base();
    let mut task = begun(&base).await;
    base.run("ALTER PUBLICATION longshore_test SET (publish = 'insert')");
    assert_eq!(failure(&mut task).await.code, "postgres.publication");
    task.apply().await.unwrap();
    base.run("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (v)");
    assert_eq!(failure(&mut task).await.code, "postgres.key.other");
    base.run("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, v text)");
    task.apply().await.unwrap();
    check(&failure(&mut task).await, "postgres.table.other");
}

#[tokio::test]
async fn a_server_that_does_not_keep_enough_in_its_log_is_told_by_validate() {
    let server = std::sync::Arc::new(longshore_postgres::testing::Server::start("wal_level = replica"));
    let base = Base::on(longshore_postgres::testing::Database::on(&server), "CREATE TABLE t (id bigint PRIMARY KEY)");
    let mut task = base.task(&T);
    let findings = task.validate().await.unwrap();
    assert_eq!(findings[0].code, "postgres.wal_level");
    assert!(findings[0].suggestion.contains("ALTER SYSTEM SET wal_level = logical"));
    assert_eq!(task.apply().await.unwrap_err().code, "postgres.wal_level");
}

#[tokio::test]
async fn a_log_that_was_removed_is_a_stop() {
    let settings = "max_slot_wal_keep_size = '1MB'\nmin_wal_size = '32MB'\nmax_wal_size = '32MB'\n";
    let server = std::sync::Arc::new(longshore_postgres::testing::Server::start(settings));
    let base =
        Base::on(longshore_postgres::testing::Database::on(&server), "CREATE TABLE t (id bigint PRIMARY KEY, v text)");
    let mut task = begun(&base).await;
    for _ in 0..5 {
        base.run("INSERT INTO t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET v = 'y'");
        base.run("SELECT pg_switch_wal()");
        base.run("CHECKPOINT");
    }
    check(&failure(&mut task).await, "postgres.slot.lost");
    check(&task.apply().await.unwrap_err(), "postgres.slot.lost");
    // Without a state it is made again.
    let mut fresh = base.task(&T);
    assert_eq!(fresh.apply().await.unwrap().len(), 2);
    let mut fold = Fold::default();
    catch_up(&mut fresh, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_server_that_goes_away_is_waited_for() {
    let mut server = longshore_postgres::testing::Server::start("");
    let url = server.url("postgres");
    let task = CaptureTask::new(Postgres::in_steps(3, usize::MAX), serde_json::json!({ "url": url }));
    let mut task = task.binding(serde_json::json!({ "schema": "public", "table": "t" }), "t", &["/id"]);
    run(&url, "CREATE TABLE public.t (id bigint PRIMARY KEY, v text)").await;
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    run(&url, "INSERT INTO public.t VALUES (1, 'a')").await;
    server.down();
    assert_eq!(failure(&mut task).await.kind, ErrorKind::Unavailable);
    server.up();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(fold.0[0].len(), 1);
    // And while a session is open.
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    server.down();
    let error = loop {
        match session.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if all were well"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

async fn run(url: &str, sql: &str) {
    let endpoint = longshore_postgres::Endpoint { url: url.to_owned(), password: None, sslrootcert: None };
    let client = longshore_postgres::Client::connect(&endpoint).await.unwrap();
    client.run("preparing a test", sql).await.unwrap();
}
