//! Deletes that mark rows: what a marked row is to everybody, and how a table comes to have such rows and gets rid of them.

use longshore_sdk::testing::wholes::Step;

use super::aside::{ASIDE, open};
use super::fields::next;
use super::*;

const GONE: &str = r#"{"id":1,"_meta":{"op":"d"}}"#;
const ROWS: &str = "SELECT id, v, _deleted FROM t ORDER BY id";
const SHAPE: &str = "SELECT attname, attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid \
                     AND adnum = attnum WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped AND attname LIKE '%deleted%'";

/// With this said of deletes.
pub(super) fn with(deletes: &str, bind: Bind) -> Bind {
    Bind { resource: json!({ "schema": "public", "table": "t", "deletes": deletes }), ..bind }
}

fn soft() -> Bind {
    with("soft", ids())
}

/// Which transaction wrote each row last.
fn written(lake: &Lake) -> Vec<String> {
    lake.query("SELECT id, xmin FROM t ORDER BY id")
}

/// Keys that have a row, as documents and as keys alone.
async fn found(session: &mut longshore_sdk::testing::materialize::Session, keys: &[&str]) -> Vec<String> {
    session.ask(0, keys, true).await.unwrap();
    session.ask(0, &["[99]"], false).await.unwrap();
    let alone: Vec<String> = session.flush().await.unwrap().into_keys().collect();
    session.store(0, &[]).await.unwrap();
    session.commit().await.unwrap();
    session.acknowledge().await.unwrap();
    session.ask(0, keys, false).await.unwrap();
    let documents: Vec<String> = session.flush().await.unwrap().into_keys().collect();
    session.commit().await.unwrap();
    session.acknowledge().await.unwrap();
    assert_eq!(alone, documents);
    alone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_row_is_marked_once_and_found_no_more_until_its_key_is_stored() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(soft());
    let mut session = open(&mut runtime).await;
    assert_eq!(lake.query(SHAPE), ["_deleted|t|false"]);
    session.transact(&[(0, &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#])]).await.unwrap();
    session.transact(&[(0, &[GONE, r#"{"id":7,"_meta":{"op":"d"}}"#])]).await.unwrap();
    assert_eq!(lake.query(ROWS), ["1|1|t", "2|2|f"], "it keeps its values, and what is not there is not marked");
    let before = written(&lake);
    session.transact(&[(0, &[GONE])]).await.unwrap();
    assert_eq!(written(&lake), before, "one that is marked is not written again");
    assert_eq!(found(&mut session, &["[1]", "[2]"]).await, ["[2]"]);
    session.transact(&[(0, &[r#"{"id":1,"v":10}"#])]).await.unwrap();
    assert_eq!(lake.query(ROWS), ["1|10|f", "2|2|f"]);
    assert_eq!(found(&mut session, &["[1]", "[2]"]).await, ["[1]", "[2]"]);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_to_a_marked_row_makes_of_it_what_an_insert_would() {
    let lake = Lake::new();
    let properties = json!({ "id": { "type": "integer" }, "v": { "type": "integer" }, "w": { "type": "string" } });
    let mut runtime = lake.runtime(with("soft", ids().schema(schema(properties))));
    let mut session = open(&mut runtime).await;
    lake.query("ALTER TABLE t ADD COLUMN note text DEFAULT 'new'");
    let rows = [1, 2, 3, 4].map(|id| format!(r#"{{"id":{id},"v":{id},"w":"w"}}"#));
    session.transact(&[(0, &rows.each_ref().map(String::as_str))]).await.unwrap();
    lake.query("UPDATE t SET note = 'seen'");
    session.transact(&[(0, &[GONE, r#"{"id":2,"_meta":{"op":"d"}}"#])]).await.unwrap();
    session.flush().await.unwrap();
    session.update(0, &[r#"{"id":1,"v":10}"#, r#"{"id":3,"v":30}"#]).await.unwrap();
    session.store(0, &[r#"{"id":2,"w":"x"}"#, r#"{"id":4,"w":"y"}"#]).await.unwrap();
    session.commit().await.unwrap();
    let rows = lake.query("SELECT id, v, w, note, _deleted FROM t ORDER BY id");
    assert_eq!(rows, ["1|10|~|new|f", "2|~|x|new|f", "3|30|w|seen|f", "4|~|y|seen|f"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_keys_alone_marks_its_rows_too() {
    let lake = Lake::new();
    let bind = with("soft", ids().schema(schema(json!({ "id": { "type": "integer" } }))));
    let mut runtime = lake.runtime(bind);
    let mut session = open(&mut runtime).await;
    session.transact(&[(0, &[r#"{"id":1}"#, r#"{"id":2}"#])]).await.unwrap();
    session.transact(&[(0, &[GONE])]).await.unwrap();
    let rows = || lake.query("SELECT id, _deleted FROM t ORDER BY id");
    assert_eq!(rows(), ["1|t", "2|f"]);
    let place = lake.query("SELECT xmin FROM t WHERE id = 2");
    session.transact(&[(0, &[r#"{"id":1}"#, r#"{"id":2}"#])]).await.unwrap();
    assert_eq!(rows(), ["1|f", "2|f"]);
    assert_eq!(lake.query("SELECT xmin FROM t WHERE id = 2"), place, "there was nothing to write over");
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_10_a_truncate_marks_all_rows_that_are_not_marked() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(soft());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2)), (3, Some(3))]).transact(&mut session).await.unwrap();
    Step::rows(&[(1, None)]).transact(&mut session).await.unwrap();
    let first = written(&lake)[0].clone();
    Step { truncates: true, ..Step::rows(&[(2, Some(20)), (4, Some(4))]) }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query(ROWS), ["1|1|t", "2|20|f", "3|3|t", "4|4|f"]);
    assert_eq!(written(&lake)[0], first, "it was marked already");
    Step { truncates: true, ..Step::default() }.transact(&mut session).await.unwrap();
    assert_eq!(lake.query("SELECT count(*) FROM t WHERE _deleted"), ["4"]);
    // None of these can be copied straight into the table: its rows are all marked, and there.
    Step::rows(&[(0, Some(0)), (4, Some(44)), (5, Some(5))]).transact(&mut session).await.unwrap();
    Step::rows(&[(2, Some(2))]).transact(&mut session).await.unwrap();
    assert_eq!(lake.query(ROWS), ["0|0|f", "1|1|t", "2|2|f", "3|3|t", "4|44|f", "5|5|f"]);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_refresh_marks_what_is_not_in_it_and_what_is_in_it_is_marked_no_more() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(soft());
    let mut session = open(&mut runtime).await;
    lake.query("ALTER TABLE t ADD COLUMN note text DEFAULT 'new'");
    Step::rows(&[1, 2, 3, 4, 5].map(|id| (id, Some(id)))).transact(&mut session).await.unwrap();
    lake.query("UPDATE t SET note = 'seen'");
    Step::rows(&[(1, None), (5, None)]).transact(&mut session).await.unwrap();
    let before = written(&lake);
    Step { begins: true, ..Step::rows(&[(1, Some(1)), (2, Some(2)), (3, Some(30)), (6, Some(6)), (7, Some(7))]) }
        .transact(&mut session)
        .await
        .unwrap();
    assert_eq!(found(&mut session, &["[1]", "[4]", "[7]"]).await, ["[1]", "[7]"], "it is found where it is stored");
    Step::rows(&[(7, None)]).transact(&mut session).await.unwrap();
    assert_eq!(lake.query("SELECT id FROM t WHERE _deleted ORDER BY id"), ["1", "5"], "it is not complete");
    Step { completes: true, ..Step::default() }.transact(&mut session).await.unwrap();
    let rows = lake.query("SELECT id, v, _deleted, note FROM t ORDER BY id");
    assert_eq!(rows, ["1|1|f|new", "2|2|f|seen", "3|30|f|seen", "4|4|t|seen", "5|5|t|seen", "6|6|f|new"]);
    let after = written(&lake);
    assert_eq!((&after[1], &after[4]), (&before[1], &before[4]), "rows that are as they were, are left alone");
    assert_eq!(lake.query(ASIDE), ["0"]);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_begins_to_mark_its_rows_and_ends_it_without_them() {
    let lake = Lake::new();
    next(&lake, 10, with("hard", ids()), &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#]).await.unwrap();
    let actions = next(&lake, 20, soft(), &[GONE]).await.unwrap();
    assert_eq!(actions, [r#"add column "_deleted" boolean NOT NULL DEFAULT false to table "public"."t""#]);
    assert_eq!(next(&lake, 30, soft(), &[]).await.unwrap(), [""; 0], "nothing is left to do");
    let mut runtime = lake.runtime(with("hard", ids()));
    runtime.owner.epoch = 40;
    let planned = runtime.apply_with(|apply| apply.dry_run = true).await.unwrap();
    assert!(planned[0].ends_with(r#": DELETE FROM "public"."t" WHERE _deleted"#), "{planned:?}");
    assert!(planned[1].ends_with(r#": ALTER TABLE "public"."t" DROP COLUMN _deleted"#), "{planned:?}");
    assert_eq!(lake.query(ROWS), ["1|1|t", "2|2|f"], "a dry run changes nothing");
    assert_eq!(runtime.apply().await.unwrap(), planned);
    assert_eq!(lake.query("SELECT * FROM t"), ["2|2"]);
    next(&lake, 50, with("hard", ids()), &[r#"{"id":2,"_meta":{"op":"d"}}"#]).await.unwrap();
    assert_eq!(lake.count("t"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_again_or_stored_aside_knows_what_marks_its_rows() {
    let lake = Lake::new();
    let mut runtime = lake.runtime(soft());
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2))]).transact(&mut session).await.unwrap();
    Step::rows(&[(1, None)]).transact(&mut session).await.unwrap();
    session.close().await.unwrap();
    runtime.apply_with(all_fresh).await.unwrap();
    assert_eq!((lake.count("t"), lake.query(SHAPE)), (0, vec!["_deleted|t|false".to_owned()]));
    let mut session = open(&mut runtime).await;
    Step::rows(&[(1, Some(1)), (2, Some(2)), (3, Some(3))]).transact(&mut session).await.unwrap();
    session.close().await.unwrap();
    // What is stored aside stays while the table begins to mark its rows, or ends it.
    for (deletes, next, expected) in [("soft", "hard", ["2|20"].as_slice()), ("hard", "soft", &["2|20|t", "3|3|f"])] {
        runtime.bindings = vec![with(deletes, ids())];
        let mut session = open(&mut runtime).await;
        let id = if deletes == "soft" { 2 } else { 3 };
        Step { begins: true, ..Step::rows(&[(id, Some(id)), (4, Some(4))]) }.transact(&mut session).await.unwrap();
        session.close().await.unwrap();
        runtime.bindings = vec![with(next, ids())];
        let mut session = open(&mut runtime).await;
        let rest = if deletes == "soft" { (2, Some(20)) } else { (3, Some(3)) };
        Step { completes: true, ..Step::rows(&[rest, (4, None)]) }.transact(&mut session).await.unwrap();
        assert_eq!(lake.query("SELECT * FROM t ORDER BY id"), expected, "{deletes} to {next}");
        session.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_table_of_somebody_else_has_the_column_and_keeps_it() {
    for (column, reason) in [
        ("_deleted boolean NOT NULL DEFAULT false", None),
        ("_deleted boolean DEFAULT false", Some("got another")),
        ("_deleted boolean NOT NULL DEFAULT true", Some("got another")),
        ("_deleted boolean NOT NULL", Some("got another")),
        ("_deleted text NOT NULL DEFAULT 'false'", Some("got another")),
        ("more text", Some("got none of that name")),
    ] {
        let lake = Lake::new();
        lake.query(&format!("CREATE TABLE t (id bigint PRIMARY KEY, v bigint, {column})"));
        let validated = lake.runtime(soft()).validate().await.unwrap();
        assert_eq!(validated.bindings[0].fields.iter().any(|field| field.pointer.is_empty()), reason.is_some());
        let ran = next(&lake, 10, soft(), &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#]).await;
        let (Err(error), Some(reason)) = (&ran, reason) else {
            assert_eq!((ran.is_ok(), reason), (true, None), "{column}: {ran:?}");
            next(&lake, 20, soft(), &[GONE]).await.unwrap();
            assert_eq!(lake.query(ROWS), ["1|1|t", "2|2|f"]);
            next(&lake, 30, with("hard", ids()), &[]).await.unwrap();
            assert_eq!(lake.query(ROWS), ["2|2|f"], "the column is not ours to drop");
            next(&lake, 40, soft(), &[r#"{"id":2,"_meta":{"op":"d"}}"#]).await.unwrap();
            assert_eq!(lake.query(ROWS), ["2|2|t"]);
            continue;
        };
        assert!(error.code == "postgres.table.foreign" && error.message.contains(reason), "{column}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_of_something_else_marks_no_rows() {
    let lake = Lake::new();
    next(&lake, 10, ids(), &[r#"{"id":1,"v":1}"#]).await.unwrap();
    for column in
        ["boolean NOT NULL DEFAULT true", "text", "boolean NOT NULL DEFAULT false; UPDATE t SET _deleted = true"]
    {
        lake.query(&format!("ALTER TABLE t ADD COLUMN _deleted {column}"));
        let error = next(&lake, 20, soft(), &[]).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.column.taken"), "{column}");
        lake.query("ALTER TABLE t DROP COLUMN _deleted");
    }
    next(&lake, 30, soft(), &[GONE]).await.unwrap();
    lake.query("ALTER TABLE t ALTER COLUMN _deleted DROP NOT NULL");
    assert_eq!(next(&lake, 40, soft(), &[]).await.unwrap_err().code, "postgres.table.altered");
    lake.query("ALTER TABLE t DROP COLUMN _deleted");
    next(&lake, 50, soft(), &[]).await.unwrap();
    assert_eq!(lake.query(ROWS), ["1|1|f"], "who drops the column has no marked rows");
}

/// A field goes out of the way of the column, comes into its place, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_column_is_of_no_field_whatever_fields_are_called() {
    let lake = Lake::new();
    let named = |name: &str| ids().fields(&[("/id", "id"), ("/v", name)], None);
    next(&lake, 10, named("_deleted"), &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#]).await.unwrap();
    let refused = lake.runtime(with("soft", named("_deleted"))).validate().await.unwrap().findings;
    assert_eq!((refused.len(), refused[0].code.as_str()), (1, "postgres.column.name"), "{refused:?}");
    assert!(refused[0].message.contains("marks deleted rows"), "{refused:?}");
    let kept = next(&lake, 20, with("soft", ids().fields(&[("/id", "id")], None)), &[]).await.unwrap_err();
    assert_eq!(kept.code, "postgres.column.taken", "the column of a field that is not kept any more stays its own");
    let actions = next(&lake, 30, with("soft", named("v")), &[GONE]).await.unwrap();
    assert_eq!(
        actions,
        [
            r#"rename column "_deleted" of table "public"."t" to "v""#,
            r#"add column "_deleted" boolean NOT NULL DEFAULT false to table "public"."t""#,
        ]
    );
    assert_eq!(lake.query(ROWS), ["1|1|t", "2|2|f"]);
    let actions = next(&lake, 40, with("hard", named("_deleted")), &[]).await.unwrap();
    assert_eq!(actions.len(), 3, "{actions:?}");
    assert_eq!(lake.query("SELECT id, _deleted FROM t"), ["2|2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_8_a_delta_binding_marks_no_rows() {
    let lake = Lake::new();
    let findings = lake.runtime(soft().delta()).validate().await.unwrap().findings;
    let told: Vec<_> = findings.iter().map(|one| (one.code.as_str(), one.pointer.as_str(), one.binding)).collect();
    assert_eq!(told, [("postgres.deletes", "/deletes", Some(0))], "{findings:?}");
    assert_eq!(lake.runtime(with("hard", ids()).delta()).validate().await.unwrap().findings, []);
    let unknown = lake.runtime(with("never", ids())).validate().await.unwrap().findings;
    assert!(unknown[0].message.contains("never"), "{unknown:?}");
}
