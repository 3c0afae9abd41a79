//! Backlogs: what is far behind is read by SQL, the stream goes on behind it, and the slot keeps what is not durable.

use std::sync::Arc;

use capture_postgres::Postgres;
use longshore_postgres::testing::{Database, Server};
use longshore_sdk::ErrorKind;
use longshore_sdk::testing::{CaptureSession, CaptureTask};

use crate::base::{Base, Fold, Table, WHOLE, catch_up, documents, failure, next};

const T: [Table<'static>; 1] = [("t", &["/id"])];

/// Slices of three changes.
fn task(base: &Base) -> CaptureTask<Postgres> {
    base.task_of(CaptureTask::new(Postgres::in_steps(3, WHOLE).with_backlogs(3), base.config()), &T)
}

/// A table that was walked, and nothing has happened since.
async fn begun(base: &Base) -> (CaptureTask<Postgres>, Fold) {
    base.run("CREATE TABLE t (id bigint PRIMARY KEY, v text)");
    let (mut task, mut fold) = (task(base), Fold::default());
    task.apply().await.unwrap();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    (task, fold)
}

fn insert(base: &Base, first: u64, last: u64) {
    (first..=last).for_each(|id| drop(base.run(&format!("INSERT INTO t VALUES ({id}, 'a')"))));
}

fn copies(base: &Base) -> String {
    base.run("SELECT count(*) FROM pg_replication_slots WHERE temporary AND database = current_database()")
}

/// The server ends a connection in its own time.
fn no_copy_stays(base: &Base) {
    while copies(base) != "0" {}
}

/// However long nobody takes what was read, the server may clear dead rows away.
fn no_snapshot_stays(base: &Base) {
    let ask = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()";
    while base.run(ask) != "0" {}
}

fn is_streamed(base: &Base) -> bool {
    base.run(&format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{}'", base.slot())) == "t"
}

fn ids(documents: &[serde_json::Value]) -> Vec<u64> {
    documents.iter().map(|document| document["id"].as_u64().unwrap()).collect()
}

async fn is_told(base: &Base, session: &mut CaptureSession<'_>) {
    let (mut id, before) = (1_000, base.confirmed());
    while base.confirmed() == before {
        id += 1;
        insert(base, id, id);
        next(session).await.unwrap();
        session.acknowledge().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_durable_the_slot_keeps_and_a_stop_moves_it() {
    let base = Base::new("");
    let (mut task, mut fold) = begun(&base).await;
    let before = base.confirmed();
    insert(&base, 1, 10);
    let mut session = task.open().await.unwrap();
    let mut seen = vec![next(&mut session).await.unwrap()];
    assert_eq!((copies(&base).as_str(), is_streamed(&base)), ("1", false));
    no_snapshot_stays(&base);
    seen.extend(session.until_caught_up().await.unwrap());
    assert_eq!(ids(&documents(&seen)), (1..=10).collect::<Vec<_>>());
    drop(session);
    assert_eq!(base.confirmed(), before, "nobody said that any of it is durable");

    let seen = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(ids(&documents(&seen)), (1..=10).collect::<Vec<_>>(), "so it comes again");
    fold.assert_is(&base, &T);
    assert!(base.confirmed() > before, "a stop tells what is durable");
    assert_eq!(documents(&catch_up(&mut task, &mut fold, &T).await.unwrap()).len(), 0);
}

#[tokio::test]
async fn a_stop_in_the_middle_leaves_the_rest() {
    let base = Base::new("");
    let (mut task, mut fold) = begun(&base).await;
    insert(&base, 1, 5);
    base.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(100, 40000) i");
    let mut session = task.open().await.unwrap();
    let first = next(&mut session).await.unwrap();
    no_snapshot_stays(&base);
    session.acknowledge().await.unwrap();
    session.stop().await.unwrap();
    fold.take(&[first], &T);
    no_copy_stays(&base);
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

/// What is read in a backlog may not be durable yet when the stream begins behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_goes_on_behind_it_and_lets_nothing_go() {
    let base = Base::new("");
    let (mut task, mut fold) = begun(&base).await;
    let before = base.confirmed();
    insert(&base, 1, 10);
    let mut session = task.open().await.unwrap();
    let mut seen = session.until_caught_up().await.unwrap();
    insert(&base, 11, 12);
    while ids(&documents(&seen)).len() < 12 {
        seen.extend(session.next().await.unwrap());
    }
    assert_eq!(ids(&documents(&seen)), (1..=12).collect::<Vec<_>>(), "each once, in order");
    assert!(is_streamed(&base));
    no_copy_stays(&base);
    base.run("SELECT pg_sleep(0.5)");
    assert_eq!(base.confirmed(), before, "nobody said that any of it is durable");
    drop(session);
    let mut session = task.open().await.unwrap();
    fold.take(&session.until_caught_up().await.unwrap(), &T);
    fold.assert_is(&base, &T);
    session.acknowledge().await.unwrap();
    is_told(&base, &mut session).await;
    session.stop().await.unwrap();
}

#[tokio::test]
async fn a_slot_that_somebody_moves_meanwhile_is_a_stop() {
    let base = Base::new("");
    let (mut task, _) = begun(&base).await;
    insert(&base, 1, 10);
    let mut session = task.open().await.unwrap();
    next(&mut session).await.unwrap();
    session.acknowledge().await.unwrap();
    base.run(&format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_flush_lsn())", base.slot()));
    let error = loop {
        match session.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if all were well"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.slot.busy"), "{error}");
    drop(session);
    let error = failure(&mut task).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.slot.ahead"), "{error}");
}

/// Without room for a copy of the slot, and with a transaction that does not fit into the server's temporary files, the stream brings it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_server_cannot_it_is_streamed() {
    for (setting, refusal) in [
        ("max_replication_slots = 1", "all replication slots are in use"),
        ("temp_file_limit = '1MB'\nwork_mem = '64kB'", "temporary file size exceeds"),
    ] {
        let server = Arc::new(Server::start(setting));
        let base = Base::on(Database::on(&server), "");
        let (mut task, mut fold) = begun(&base).await;
        insert(&base, 1, 4);
        base.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(100, 5000) i");
        insert(&base, 5, 6);
        let mut session = task.open().await.unwrap();
        fold.take(&session.until_caught_up().await.unwrap(), &T);
        fold.assert_is(&base, &T);
        assert!(server.log().contains(refusal), "{setting}");
        insert(&base, 7, 7);
        fold.take(&[next(&mut session).await.unwrap()], &T);
        fold.assert_is(&base, &T);
        assert!(is_streamed(&base), "{setting}");
        session.stop().await.unwrap();
    }
}
