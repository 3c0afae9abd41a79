//! Rows that lie behind all others are copied straight into their table; what looks like that and is not, is written all the same.

use std::time::Duration;

use super::*;

/// Notes of each row by which kind of statement it came.
const NOTING: &str = "CREATE TABLE ways (id text, way text); \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO public.ways VALUES (NEW.id::text, split_part(current_query(), ' ', 1)); RETURN NEW; END $$; \
    CREATE TRIGGER noting BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();";

fn ways(lake: &Lake) -> Vec<String> {
    let ways = lake.query("SELECT id, way FROM ways ORDER BY way, id");
    lake.query("TRUNCATE ways");
    ways
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_only_grow_are_copied_and_others_are_merged() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1}"#, r#"{"id":2,"v":2}"#]]).await.unwrap();
    lake.query(NOTING);
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    for (documents, expected) in [
        (vec![r#"{"id":3}"#, r#"{"id":4,"v":4}"#], vec!["3|COPY", "4|COPY"]),
        (vec![r#"{"id":5}"#, r#"{"id":6,"_meta":{"op":"d"}}"#, r#"{"id":7}"#], vec!["5|COPY", "7|COPY"]),
        // The one that is changed is written as a whole, and its row fires once more for the change.
        (vec![r#"{"id":7,"v":7}"#, r#"{"id":8}"#], vec!["7|INSERT", "7|INSERT", "8|INSERT"]),
        (vec![r#"{"id":0}"#], vec!["0|INSERT"]),
        (vec![r#"{"id":9}"#], vec!["9|COPY"]),
    ] {
        session.transact(&[(0, &documents)]).await.unwrap();
        assert_eq!(ways(&lake), expected, "{documents:?}");
    }
    session.close().await.unwrap();
    assert_eq!(lake.query("SELECT id, v FROM t ORDER BY id").join(" "), "0|~ 1|~ 2|2 3|~ 4|4 5|~ 7|7 8|~ 9|~");
}

/// The key was not there when it was looked for; somebody writes it, and ends before us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_somebody_else_writes_meanwhile_is_written_over() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1}"#]]).await.unwrap();
    let other = longshore_postgres::Client::connect(&lake.database.endpoint()).await.unwrap();
    other.run("writing too", "BEGIN; INSERT INTO public.t VALUES (6, 666)").await.unwrap();
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    let documents = [r#"{"id":5,"v":5}"#, r#"{"id":6,"v":6}"#, r#"{"id":7,"v":7}"#];
    let stores = [(0, &documents[..])];
    let ours = session.transact(&stores);
    let theirs = async {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while lake.query(waits) == ["0"] {
            tokio::task::yield_now().await;
        }
        other.run("writing too", "COMMIT").await
    };
    let (ours, theirs) =
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(ours, theirs) }).await.unwrap();
    ours.unwrap();
    theirs.unwrap();
    session.close().await.unwrap();
    assert_eq!(lake.query("SELECT id, v FROM t ORDER BY id"), ["1|~", "5|5", "6|6", "7|7"]);
}
