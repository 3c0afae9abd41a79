//! What happens to a table as a whole: it is emptied, or all of it comes anew and takes its place at once.

use longshore_sdk::testing::materialize::Session;
use longshore_sdk::testing::wholes::{Model, Step, story};

use super::*;

const STORIES: u64 = 60;
const TABLE: &str = "SELECT id, v FROM t ORDER BY id";
const ASIDE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = '_longshore_aside_t'";

async fn open(runtime: &mut Runtime<TransactionalDoor<Sqlite>>) -> Session {
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session
}

fn rows(of: &[(i64, i64)]) -> Vec<Vec<Sql>> {
    of.iter().map(|(id, v)| vec![Sql::Integer(*id), Sql::Integer(*v)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_refresh_takes_its_place_at_once_and_what_hangs_on_the_table_stays() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2)), (3, Some(3))]).transact(&mut session).await.unwrap();
    let others = Connection::open(lake.path()).unwrap();
    others
        .execute_batch(
            "CREATE VIEW seen AS SELECT * FROM t; CREATE TABLE touched (id); \
             CREATE TRIGGER touch AFTER UPDATE ON t BEGIN INSERT INTO touched VALUES (new.id); END",
        )
        .unwrap();
    Step { begins: true, ..Step::rows(&[(1, Some(10)), (2, Some(2))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query(TABLE), rows(&[(1, 1), (2, 2), (3, 3)]), "it is not complete");
    // Keys are looked up where rows are stored.
    session.ask(0, &["[1]", "[3]"], true).await.unwrap();
    assert_eq!(session.flush().await.unwrap().keys().collect::<Vec<_>>(), ["[1]"]);
    drop(session);
    let mut session = open(&mut runtime).await;
    assert_eq!(lake.query(ASIDE), [[Sql::Integer(1)]]);
    Step { completes: true, ..Step::rows(&[(5, Some(5))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM seen ORDER BY id"), rows(&[(1, 10), (2, 2), (5, 5)]));
    assert_eq!(lake.query("SELECT id FROM touched"), [[Sql::Integer(1)]], "a row that is as it was, is left alone");
    assert_eq!(lake.query(ASIDE), [[Sql::Integer(0)]]);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_aside_grows_with_its_table_and_goes_with_its_binding() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1))]).transact(&mut session).await.unwrap();
    Step { begins: true, ..Step::rows(&[(2, Some(2))]) }.transact(&mut session).await.unwrap();
    session.close().await.unwrap();
    let durable = runtime.durable();
    let properties = json!({ "id": { "type": "integer" }, "v": { "type": "number" }, "note": { "type": "string" } });
    let schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let wider = ids().schema(schema).fields(&[("/id", "id"), ("/v", "value"), ("/note", "note")], None);
    let mut runtime = lake.runtime(wider);
    runtime.set_durable(durable);
    assert!(runtime.open().await.is_err(), "an older epoch");
    let mut session = open(&mut runtime).await;
    session.flush().await.unwrap();
    session.backfill(0, false, true).await.unwrap();
    session.store(0, &[r#"{"id":3,"v":1.5,"note":"x"}"#]).await.unwrap();
    session.commit().await.unwrap();
    session.acknowledge().await.unwrap();
    let expected = [vec![Sql::Integer(2), Sql::Real(2.0), Sql::Null], vec![Sql::Integer(3), Sql::Real(1.5), text("x")]];
    assert_eq!(lake.query("SELECT id, value, note FROM t ORDER BY id"), expected);
    for what in ["remove", "fresh"] {
        Step { begins: true, ..Step::default() }.transact(&mut session).await.unwrap();
        assert_eq!(lake.query(ASIDE), [[Sql::Integer(1)]]);
        session.close().await.unwrap();
        match what {
            "fresh" => drop(runtime.apply_with(all_fresh).await.unwrap()),
            _ => {
                let removed = runtime.apply_with(|apply| (apply.remove, apply.bindings) = (true, Vec::new()));
                drop(removed.await.unwrap());
            }
        }
        assert_eq!(lake.query(ASIDE), [[Sql::Integer(0)]], "{what}");
        runtime.apply_with(all_fresh).await.unwrap();
        session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
    }
    session.close().await.unwrap();
}

/// Whatever comes in which order, and wherever a session dies: the table has what it has to have after every commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_10_random_stories_leave_the_table_as_a_model_has_it() {
    for seed in 0..STORIES {
        let lake = Lake::new();
        let (mut runtime, mut model) = (lake.runtime(ids()), Model::default());
        let mut session = open(&mut runtime).await;
        for step in story(seed) {
            if step.dies {
                step.store(&mut session).await.unwrap();
                drop(session);
                session = open(&mut runtime).await;
            }
            step.transact(&mut session).await.unwrap();
            model.take(&step);
            let expected: Vec<(i64, i64)> = model.rows.iter().map(|(id, v)| (*id, *v)).collect();
            assert_eq!(lake.query(TABLE), rows(&expected), "story {seed}, after {step:?}");
        }
    }
}
