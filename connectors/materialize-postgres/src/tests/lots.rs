//! Batches that come while the server is busy go to it together: all of their rows, and each that is refused, as if they had gone alone.

use std::collections::BTreeSet;

use longshore_sdk::testing::materialize::Session;

use super::behind::until_others_commit;
use super::*;

/// Batches of a row each.
const BATCHES: i64 = 200;

async fn opened(lake: &Lake, runtime: &mut Runtime<TransactionalDoor<Postgres>>, before: &str) -> Session {
    run(runtime, &[&[before]]).await.unwrap();
    assert_eq!(lake.count("t"), 1);
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session
}

/// The first of them waits for somebody else, and the others come meanwhile.
async fn store_all(session: &mut Session, documents: impl Iterator<Item = String>) {
    for document in documents {
        session.store(0, &[&document]).await.unwrap();
    }
}

async fn other(lake: &Lake, statements: &str) -> longshore_postgres::Client {
    let other = longshore_postgres::Client::connect(&lake.database.endpoint()).await.unwrap();
    other.run("writing too", &format!("BEGIN; {statements}")).await.unwrap();
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_server_is_busy_goes_together() {
    // Behind all rows there are, and before one.
    for before in [1, 10_000] {
        let lake = Lake::new();
        let mut runtime = lake.runtime(ids());
        let mut session = opened(&lake, &mut runtime, &format!(r#"{{"id":{before}}}"#)).await;
        let other = other(&lake, "LOCK TABLE public.t IN SHARE MODE").await;
        // Some of them are not plain, and written as texts.
        let document = |id: i64| format!(r#"{{"id":{id},"v":{}}}"#, if id % 40 == 0 { "7.0" } else { "7" });
        store_all(&mut session, (100..100 + BATCHES).map(document)).await;
        until_others_commit(&lake, &other, session.commit()).await;
        session.acknowledge().await.unwrap();
        session.close().await.unwrap();
        let stored = "SELECT count(*), count(DISTINCT id), sum(v) FROM t WHERE id <> ";
        assert_eq!(lake.query(&format!("{stored} {before}")), [format!("{BATCHES}|{BATCHES}|{}", 7 * BATCHES)]);
        if before == 1 {
            // Each copy is a transaction within ours.
            let copies: i64 = lake.query("SELECT count(DISTINCT xmin::text) FROM t")[0].parse().unwrap();
            assert!(copies < BATCHES, "{copies} copies of {BATCHES} batches");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_refused_of_them_is_told() {
    let lake = Lake::new();
    let bind = ids().schema(schema(json!({ "id": { "type": "integer" }, "any": {} })));
    let mut runtime = lake.runtime(bind);
    let mut session = opened(&lake, &mut runtime, r#"{"id":1}"#).await;
    let other = other(&lake, "LOCK TABLE public.t IN SHARE MODE").await;
    let bad = [100, 101, 150, 151, 152, 298];
    // The server alone knows that it cannot have this.
    let any = |id: i64| if bad.contains(&id) { r#""\u0000""# } else { "1.50" };
    let document = |id: i64| format!(r#"{{"id":{id},"any":{}}}"#, any(id));
    store_all(&mut session, (100..100 + BATCHES).map(document)).await;
    let mut keys = BTreeSet::new();
    let rejected = async {
        let rejected = session.rejected().await?;
        keys.extend(rejected.each().map(|(key, _)| String::from_utf8_lossy(key).into_owned()));
        Ok(())
    };
    until_others_commit(&lake, &other, rejected).await;
    assert_eq!(keys, bad.iter().map(|id| format!("[{id}]")).collect());
    assert_eq!(lake.query("SELECT id FROM t"), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_them_that_somebody_else_writes_is_written_over() {
    // Of the one that is on its way, and of one that waits.
    for taken in [100, 201] {
        let lake = Lake::new();
        let mut runtime = lake.runtime(ids());
        let mut session = opened(&lake, &mut runtime, r#"{"id":1}"#).await;
        let other = other(&lake, &format!("INSERT INTO public.t VALUES ({taken}, 666)")).await;
        store_all(&mut session, (100..100 + BATCHES).map(|id| format!(r#"{{"id":{id},"v":7}}"#))).await;
        until_others_commit(&lake, &other, session.commit()).await;
        session.acknowledge().await.unwrap();
        session.close().await.unwrap();
        let stored = "SELECT count(*), count(DISTINCT id), sum(v) FROM t WHERE id <> 1";
        assert_eq!(lake.query(stored), [format!("{BATCHES}|{BATCHES}|{}", 7 * BATCHES)], "{taken}");
    }
}
