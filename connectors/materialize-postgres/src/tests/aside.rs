//! What happens to a table as a whole: it is emptied, or all of it comes anew and takes its place at once.

use longshore_sdk::testing::materialize::Session;
use longshore_sdk::testing::wholes::{Model, Step, story};

use super::*;

const STORIES: u64 = 40;

pub(super) async fn open(runtime: &mut Runtime<TransactionalDoor<Postgres>>) -> Session {
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session
}

const TABLE: &str = "SELECT id, v FROM t ORDER BY id";
pub(super) const ASIDE: &str = "SELECT count(*) FROM pg_class WHERE relnamespace = '_longshore'::regnamespace AND relname LIKE 'aside%' AND relkind = 'r'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_10_a_truncate_removes_what_was_there_and_not_what_comes_behind_it() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2)), (3, Some(3))]).transact(&mut session).await.unwrap();
    let emptied = Step { truncates: true, ..Step::rows(&[(2, Some(20)), (4, None)]) };
    emptied.transact(&mut session).await.unwrap();
    assert_eq!(lake.query(TABLE), ["2|20"]);
    Step { truncates: true, ..Step::default() }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query(TABLE), [""; 0]);
    Step::rows(&[(1, Some(5))]).transact(&mut session).await.unwrap();
    assert_eq!(lake.query(TABLE), ["1|5"]);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_refresh_takes_its_place_at_once_and_what_hangs_on_the_table_stays() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2)), (3, Some(3)), (4, Some(4))]).transact(&mut session).await.unwrap();
    lake.query(
        "CREATE VIEW seen AS SELECT * FROM t; CREATE TABLE of_t (t bigint REFERENCES t); INSERT INTO of_t VALUES (1); \
         CREATE ROLE looks; GRANT SELECT ON t TO looks; CREATE INDEX ON t (v)",
    );
    let place = lake.query("SELECT 't'::regclass::oid, xmin FROM t WHERE id = 2");
    Step { begins: true, ..Step::rows(&[(1, Some(10)), (2, Some(2))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query(TABLE), ["1|1", "2|2", "3|3", "4|4"], "it is not complete");
    // Keys are looked up where rows are stored.
    session.ask(0, &["[1]", "[3]"], true).await.unwrap();
    let found = session.flush().await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["[1]"]);
    drop(session);
    let mut session = open(&mut runtime).await;
    assert_eq!(lake.query(ASIDE), ["1"]);
    Step::rows(&[(5, Some(5)), (4, Some(40))]).transact(&mut session).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM seen ORDER BY id"), ["1|1", "2|2", "3|3", "4|4"]);
    Step { completes: true, ..Step::rows(&[(4, None), (6, Some(6))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM seen ORDER BY id"), ["1|10", "2|2", "5|5", "6|6"]);
    assert_eq!(
        lake.query("SELECT 't'::regclass::oid, xmin FROM t WHERE id = 2"),
        place,
        "a row that is as it was, is left alone"
    );
    assert_eq!(
        lake.query(
            "SELECT has_table_privilege('looks', 't', 'SELECT'), count(*) FROM pg_indexes WHERE tablename = 't'"
        ),
        ["t|2"]
    );
    assert_eq!(lake.query(ASIDE), ["0"]);
    Step::rows(&[(7, Some(7))]).transact(&mut session).await.unwrap();
    assert_eq!(lake.count("t"), 5);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_complete_and_that_nobody_saw_begin_removes_nothing() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1))]).transact(&mut session).await.unwrap();
    Step { completes: true, ..Step::rows(&[(2, Some(2))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query(TABLE), ["1|1", "2|2"]);
    session.close().await.unwrap();
}

/// Columns are renamed, added and widened while rows are stored aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_aside_grows_with_its_table() {
    let lake = Lake::new();
    let bind = |properties: Value, fields: &[(&str, &str)]| ids().schema(schema(properties)).fields(fields, None);
    let id = json!({ "type": "integer" });
    let mut runtime = lake.runtime(bind(
        json!({ "id": id, "v": { "type": "integer", "format": "pg:smallint" } }),
        &[("/id", "id"), ("/v", "v")],
    ));
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2))]).transact(&mut session).await.unwrap();
    Step { begins: true, ..Step::rows(&[(2, Some(20))]) }.transact(&mut session).await.unwrap();
    session.close().await.unwrap();
    let wider = json!({ "id": id, "v": { "type": "integer" }, "note": { "type": "string" } });
    let durable = runtime.durable();
    let mut runtime = lake.runtime(bind(wider, &[("/id", "id"), ("/v", "value"), ("/note", "note")]));
    runtime.set_durable(durable);
    let mut session = open_next(&mut runtime).await;
    Step { completes: true, ..Step::rows(&[(3, Some(3_000_000_000))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query("SELECT id, value, note FROM t ORDER BY id"), ["2|20|~", "3|3000000000|~"]);
    session.close().await.unwrap();
}

/// Of a runtime that was made anew: its epochs begin at one that the destination saw.
async fn open_next(runtime: &mut Runtime<TransactionalDoor<Postgres>>) -> Session {
    let refused = runtime.open().await.expect_err("an older epoch");
    assert_eq!(refused.kind, ErrorKind::Fenced, "{refused}");
    open(runtime).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_aside_goes_with_its_binding() {
    for what in ["fresh", "remove", "generation"] {
        let lake = Lake::new();
        let mut runtime = lake.runtime(ids());
        let mut session = open(&mut runtime).await;
        Step::rows(&[(1, Some(1))]).transact(&mut session).await.unwrap();
        Step { begins: true, ..Step::rows(&[(2, Some(2))]) }.transact(&mut session).await.unwrap();
        session.close().await.unwrap();
        assert_eq!(lake.query(ASIDE), ["1"]);
        match what {
            "fresh" => drop(runtime.apply_with(all_fresh).await.unwrap()),
            "remove" => {
                let removed = runtime.apply_with(|apply| (apply.remove, apply.bindings) = (true, Vec::new()));
                drop(removed.await.unwrap());
            }
            _ => {
                let mut next = lake.runtime(ids().generation(1));
                drop(open_next(&mut next).await);
            }
        }
        assert_eq!(lake.query(ASIDE), ["0"], "{what}");
        assert_eq!(lake.count("t"), usize::from(what != "fresh"), "{what}");
    }
}

/// Whatever comes in which order, and wherever a session dies: the table has what it has to have after every commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_stories_leave_the_table_as_a_model_has_it() {
    let lake = Lake::new();
    for seed in 0..STORIES {
        lake.query("DROP SCHEMA IF EXISTS _longshore CASCADE; DROP TABLE IF EXISTS t");
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
            let expected: Vec<String> = model.rows.iter().map(|(id, v)| format!("{id}|{v}")).collect();
            assert_eq!(lake.query(TABLE), expected, "story {seed}, after {step:?}");
        }
    }
}
