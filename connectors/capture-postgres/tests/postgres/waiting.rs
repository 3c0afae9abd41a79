//! Transactions that are under way while a session begins: the walk begins when they have ended, and finds what the log will never tell.

use futures_util::FutureExt as _;
use longshore_postgres::Client;
use longshore_sdk::Result;

use crate::base::{Base, Fold, Table, documents, next};

const T: [Table<'static>; 1] = [("t", &["/id"])];

async fn client(base: &Base) -> Client {
    Client::connect(&base.db.endpoint()).await.unwrap()
}

async fn say(client: &Client, sql: &str) -> Result<()> {
    client.run("writing in a test", sql).await
}

#[tokio::test]
async fn who_wrote_before_the_table_was_published_is_waited_for() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'); CREATE TABLE first (id bigint PRIMARY KEY)",
    );
    // A slot is made when nobody is under way, so this task has one before.
    let mut task = base.task(&[("first", &["/id"])]);
    task.apply().await.unwrap();
    let mut session = task.open().await.unwrap();
    session.until_caught_up().await.unwrap();
    session.acknowledge().await.unwrap();
    session.stop().await.unwrap();
    let writer = client(&base).await;
    say(&writer, "BEGIN; UPDATE public.t SET v = 'from before' WHERE id = 1").await.unwrap();
    let both: [Table<'static>; 2] = [("first", &["/id"]), ("t", &["/id"])];
    let mut task = base.task(&both).with_state(task.state().clone());
    task.apply().await.unwrap();
    let mut session = task.open().await.unwrap();
    // The log goes on meanwhile.
    base.run("INSERT INTO first VALUES (7)");
    let seen = next(&mut session).await.unwrap();
    assert_eq!(seen.documents.iter().map(|(binding, _)| *binding).collect::<Vec<_>>(), [0]);
    base.run("UPDATE t SET v = 'by another' WHERE id = 2");
    let mut fold = Fold::default();
    fold.take(&[seen], &both);
    let seen = next(&mut session).await.unwrap();
    assert_eq!(documents(std::slice::from_ref(&seen))[0]["_meta"]["op"], "u", "a change, as no row was walked yet");
    fold.take(&[seen], &both);
    say(&writer, "COMMIT").await.unwrap();
    fold.take(&session.until_caught_up().await.unwrap(), &both);
    session.stop().await.unwrap();
    fold.assert_is(&base, &both);
}

/// With a synchronous standby that never answers, a commit is in the log, and nobody sees it.
#[tokio::test]
async fn a_commit_that_waits_for_a_standby_is_emitted_and_not_walked_over() {
    let server = std::sync::Arc::new(longshore_postgres::testing::Server::start(""));
    // So many that the walk, of three at a time, is still far from the last one when that is changed.
    let base = Base::on(
        longshore_postgres::testing::Database::on(&server),
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT i, 'old' FROM generate_series(1, 900) i",
    );
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let writer = who_waits_for_a_standby(&base).await;
    let mut session = task.open().await.unwrap();
    let first = session.next().await.unwrap().unwrap();
    assert_eq!(first.documents.len(), 3);
    let mut fold = Fold::default();
    fold.take(&[first], &T);
    let process: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let waits = say(&writer, "UPDATE public.t SET v = 'new' WHERE id = 900");
    let reads = async {
        // Emitted as the log has it.
        let mut seen = Vec::new();
        while !documents(&seen).iter().any(|document| document["v"] == "new") {
            seen.push(session.next().await?.unwrap());
        }
        // And while the log goes on, nobody walks over it.
        for round in 0..6 {
            base.run(&format!("SET synchronous_commit = local; UPDATE t SET v = 'tick {round}' WHERE id = 1"));
            while !documents(&seen).iter().any(|document| document["v"] == format!("tick {round}")) {
                seen.push(session.next().await?.unwrap());
            }
        }
        fold.take(&seen, &T);
        let is_seen = base.run("SET synchronous_commit = local; SELECT v FROM t WHERE id = 900");
        // Let it end: it is committed, whatever the standby says.
        base.run(&format!("SET synchronous_commit = local; SELECT pg_cancel_backend({process})"));
        fold.take(&session.until_caught_up().await?, &T);
        Ok::<_, longshore_sdk::Error>(is_seen)
    };
    let (waited, read) = tokio::join!(waits, reads);
    waited.unwrap();
    assert_eq!(read.unwrap(), "old", "nobody saw it while the log had it");
    session.stop().await.unwrap();
    fold.assert_is(&base, &T);
}

/// The large value of a row that moved is not in the log. Looked up before the move is seen, there would be none.
#[tokio::test]
async fn a_large_value_of_a_row_that_moved_is_looked_up_when_the_move_is_seen() {
    let server = std::sync::Arc::new(longshore_postgres::testing::Server::start(""));
    let base = Base::on(
        longshore_postgres::testing::Database::on(&server),
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); \
         INSERT INTO t SELECT 9, string_agg(md5(i::text), '') FROM generate_series(1, 150) i",
    );
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut session = task.open().await.unwrap();
    let mut fold = Fold::default();
    fold.take(&session.until_caught_up().await.unwrap(), &T);
    let writer = who_waits_for_a_standby(&base).await;
    let process: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let moves = say(&writer, "UPDATE public.t SET id = 10 WHERE id = 9");
    let lets_go = async {
        let looks = "SET synchronous_commit = local; SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_current_snapshot(), r.%' \
                     AND datname = current_database()";
        while base.run(looks) == "0" {
            tokio::task::yield_now().await;
        }
        base.run(&format!("SET synchronous_commit = local; SELECT pg_cancel_backend({process})"));
    };
    let (moved, seen, ()) = tokio::join!(moves, next(&mut session), lets_go);
    moved.unwrap();
    fold.take(&[seen.unwrap()], &T);
    session.stop().await.unwrap();
    fold.assert_is(&base, &T);
}

/// Whose commits wait from now on until somebody cancels the wait. Others of this database do not.
async fn who_waits_for_a_standby(base: &Base) -> Client {
    base.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    base.run("SELECT pg_reload_conf()");
    base.run("SET synchronous_commit = local; ALTER DATABASE postgres SET synchronous_commit = local");
    let writer = client(base).await;
    say(&writer, "SET synchronous_commit = on").await.unwrap();
    until_commits_wait(base, &writer).await;
    writer
}

/// Settings that are loaded again count a moment later: until then a commit waits for nobody.
async fn until_commits_wait(base: &Base, writer: &Client) {
    let process: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    // A cancel ends the wait alone; the statement is committed.
    let cancel = format!(
        "SET synchronous_commit = local; SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
         WHERE pid = {process} AND wait_event = 'SyncRep'"
    );
    let mut has_waited = false;
    while !has_waited {
        let mut commit = std::pin::pin!(say(writer, "CREATE TABLE public.probe (); DROP TABLE public.probe"));
        while commit.as_mut().now_or_never().is_none() {
            has_waited |= base.run(&cancel) == "1";
            tokio::task::yield_now().await;
        }
    }
}
