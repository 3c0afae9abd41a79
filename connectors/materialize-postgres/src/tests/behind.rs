//! Rows that lie behind all others are copied straight into their table; what looks like that and is not, is written all the same.

use std::time::Duration;

use super::*;

/// Notes of each row by which kind of statement it came.
const NOTING: &str = "CREATE TABLE ways (id text, way text); \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO public.ways VALUES (NEW.id::text, CASE WHEN current_query() LIKE 'COPY%' THEN 'COPY' ELSE 'INSERT' END); RETURN NEW; END $$; \
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

/// A row that goes makes room for one that comes, as an index of the user's wants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_where_all_rows_lie_before_they_are_copied_behind_what_was_merged() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    run(&mut runtime, &[&[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#, r#"{"id":3,"v":3}"#]]).await.unwrap();
    lake.query("CREATE UNIQUE INDEX ON t (v)");
    lake.query(NOTING);
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    let (changed, new) =
        ([r#"{"id":1,"v":10}"#, r#"{"id":2,"_meta":{"op":"d"}}"#], [r#"{"id":4,"v":2}"#, r#"{"id":6}"#]);
    session.transact(&[(0, &changed), (0, &new), (0, &[r#"{"id":7,"v":7}"#])]).await.unwrap();
    assert_eq!(ways(&lake), ["4|COPY", "6|COPY", "7|COPY", "1|INSERT", "1|INSERT"]);
    assert_eq!(lake.query("SELECT id, v FROM t ORDER BY id").join(" "), "1|10 3|3 4|2 6|~ 7|7");
    // The next transaction begins without what was staged in this one.
    session.transact(&[(0, &[r#"{"id":2,"v":5}"#]), (0, &[r#"{"id":5,"v":6}"#])]).await.unwrap();
    assert_eq!(ways(&lake), ["2|INSERT", "5|INSERT"]);
    session.close().await.unwrap();
    assert_eq!(lake.query("SELECT id, v FROM t ORDER BY id").join(" "), "1|10 2|5 3|3 4|2 5|6 6|~ 7|7");
}

/// Ours waits for a row that somebody else has written, and who commits then.
pub(super) async fn until_others_commit(
    lake: &Lake,
    other: &longshore_postgres::Client,
    ours: impl Future<Output = Result<(), Error>>,
) {
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
}

/// What was merged before is not merged again with what has to be staged after all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_behind_that_somebody_else_writes_is_written_over_and_parts_of_rows_before_stay_parts() {
    let lake = Lake::new();
    let nullable = json!({ "type": ["integer", "null"] });
    let bind = ids().schema(schema(json!({ "id": { "type": "integer" }, "v": nullable, "w": nullable })));
    let mut runtime = lake.runtime(bind);
    run(&mut runtime, &[&[r#"{"id":1,"v":1,"w":1}"#, r#"{"id":2,"v":2,"w":2}"#]]).await.unwrap();
    let other = longshore_postgres::Client::connect(&lake.database.endpoint()).await.unwrap();
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.update(0, &[r#"{"id":1,"v":10}"#, r#"{"id":2,"_meta":{"op":"d"}}"#]).await.unwrap();
    other.run("writing too", "BEGIN; INSERT INTO public.t VALUES (6, 666, 666)").await.unwrap();
    let ours = async {
        session.store(0, &[r#"{"id":5,"v":5}"#, r#"{"id":6,"w":6}"#]).await?;
        session.store(0, &[r#"{"id":7,"v":7}"#]).await?;
        session.commit().await
    };
    until_others_commit(&lake, &other, ours).await;
    session.acknowledge().await.unwrap();
    session.close().await.unwrap();
    assert_eq!(lake.query("SELECT id, v, w FROM t ORDER BY id").join(" "), "1|10|1 5|5|~ 6|~|6 7|7|~");
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
    until_others_commit(&lake, &other, ours).await;
    session.close().await.unwrap();
    assert_eq!(lake.query("SELECT id, v FROM t ORDER BY id"), ["1|~", "5|5", "6|6", "7|7"]);
}
