//! The rows that are there: whatever their key, in chunks, and on from where a session broke.

use serde_json::json;

use crate::base::{Base, Fold, Table, WHOLE, catch_up, documents, plain};

const T: [Table<'static>; 1] = [("t", &["/id"])];

#[tokio::test]
async fn rows_of_a_table_come_once_and_then_there_is_nothing_to_say() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, n numeric(12,2)); INSERT INTO t VALUES (2, 'b', 1.50), (1, NULL, NULL)",
    );
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let first = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(
        documents(&first),
        [
            json!({ "_meta": { "op": "c", "source": { "schema": "public", "table": "t", "snapshot": true } }, "id": 1, "v": null, "n": null }),
            json!({ "_meta": { "op": "c", "source": { "schema": "public", "table": "t", "snapshot": true } }, "id": 2, "v": "b", "n": 1.50 }),
        ]
    );
    let again = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(documents(&again).len(), 0);
    assert!(again.last().unwrap().caught_up);
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was_durable() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 10) i",
    );
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    let mut seen = Vec::new();
    while documents(&seen).len() < 6 {
        seen.push(session.next().await.unwrap().unwrap());
    }
    fold.take(&seen, &T);
    session.commit().unwrap();
    // Seen and not durable: it comes again.
    session.next().await.unwrap();
    drop(session);
    let rest = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(plain(&rest).len(), 4);
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn keys_of_any_type_are_walked_in_the_order_of_the_server() {
    let base = Base::new(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
         CREATE TABLE negative (id bigint PRIMARY KEY); INSERT INTO negative SELECT i * 3000000000 FROM generate_series(-5, 5) i;
         CREATE TABLE uuids (id uuid PRIMARY KEY); INSERT INTO uuids SELECT gen_random_uuid() FROM generate_series(1, 10);
         CREATE TABLE texts (id text COLLATE \"C\" PRIMARY KEY, v int);
         INSERT INTO texts SELECT t, 1 FROM unnest(ARRAY['', 'a', 'B', 'é', 'it''s', 'back\\slash', '\"q\"', E'tab\\t', 'zz', '~']) t;
         CREATE TABLE pairs (a text, b int, v text, PRIMARY KEY (b, a)); INSERT INTO pairs SELECT 'k' || i % 4, i / 4, i FROM generate_series(1, 20) i;
         CREATE TABLE moods (id mood PRIMARY KEY); INSERT INTO moods VALUES ('happy'), ('sad'), ('ok');
         CREATE TABLE chars (id character(4), n numeric, PRIMARY KEY (id, n)); INSERT INTO chars SELECT i % 3, i / 7.0 FROM generate_series(1, 9) i;
         CREATE TABLE addresses (id inet PRIMARY KEY); INSERT INTO addresses SELECT '10.0.0.0'::inet + i FROM generate_series(1, 7) i;
         CREATE TABLE moments (id timestamptz PRIMARY KEY, v int); INSERT INTO moments SELECT '2024-01-01'::timestamptz + i * '1 day'::interval FROM generate_series(1, 7) i;
         CREATE TABLE doubles (id double precision PRIMARY KEY); INSERT INTO doubles SELECT i * 1.5 FROM generate_series(-100, 100) i;
         CREATE TABLE \"Odd \"\"name\" (\"the id\" int PRIMARY KEY, \"a/b~\" text); INSERT INTO \"Odd \"\"name\" SELECT i, i FROM generate_series(1, 7) i;
         CREATE TABLE indexed (id int NOT NULL, v text); CREATE UNIQUE INDEX by_id ON indexed (id); ALTER TABLE indexed REPLICA IDENTITY USING INDEX by_id;
         INSERT INTO indexed SELECT i, i FROM generate_series(1, 7) i;
         CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (5);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (5) TO (50); INSERT INTO parts SELECT i, i FROM generate_series(1, 11) i;",
    );
    let tables: [Table<'_>; 12] = [
        ("negative", &["/id"]),
        ("uuids", &["/id"]),
        ("texts", &["/id"]),
        ("pairs", &["/a", "/b"]),
        ("moods", &["/id"]),
        ("chars", &["/id", "/n"]),
        ("addresses", &["/id"]),
        ("moments", &["/id"]),
        ("doubles", &["/id"]),
        ("Odd \"name", &["/the id"]),
        ("indexed", &["/id"]),
        ("parts", &["/id"]),
    ];
    let mut task = base.task(&tables);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    let first = session.until_caught_up().await.unwrap();
    session.acknowledge().await.unwrap();
    fold.take(&first, &tables);
    for (folded, (table, _)) in fold.0.iter().zip(&tables) {
        let count: usize =
            base.run(&format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""))).parse().unwrap();
        assert_eq!(folded.len(), count, "{table}");
    }
    assert_eq!(
        documents(&first).len(),
        fold.0.iter().map(std::collections::BTreeMap::len).sum::<usize>(),
        "each row once"
    );
    // And their changes are of the same keys: a partition's are those of the whole.
    base.run(
        "UPDATE texts SET v = 2; UPDATE pairs SET v = 'x'; UPDATE moments SET v = 7; DELETE FROM addresses; UPDATE \"Odd \"\"name\" SET \"a/b~\" = 'y';
         UPDATE indexed SET id = id + 100; UPDATE parts SET id = id + 20; DELETE FROM chars; DELETE FROM uuids; DELETE FROM moods; DELETE FROM negative",
    );
    session.stop().await.unwrap();
    catch_up(&mut task, &mut fold, &tables).await.unwrap();
    for (binding, (folded, (table, _))) in fold.0.iter().zip(&tables).enumerate() {
        let count: usize =
            base.run(&format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""))).parse().unwrap();
        assert_eq!(folded.len(), count, "{binding}: {table}");
    }
    for exact in
        [("texts", &["/id"][..]), ("pairs", &["/a", "/b"][..]), ("indexed", &["/id"][..]), ("parts", &["/id"][..])]
    {
        let binding = tables.iter().position(|table| table.0 == exact.0).unwrap();
        Fold(vec![fold.0[binding].clone()]).assert_is(&base, &[exact]);
    }
}

#[tokio::test]
async fn a_binding_that_is_added_later_walks_while_the_others_go_on() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a');
         CREATE TABLE u (id bigint PRIMARY KEY, v text); INSERT INTO u SELECT i, i FROM generate_series(1, 10) i;",
    );
    let both: [Table<'static>; 2] = [("t", &["/id"]), ("u", &["/id"])];
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("UPDATE t SET v = 'b'; UPDATE u SET v = 'before'; DELETE FROM u WHERE id = 3");
    let mut task = base.task(&both).with_state(task.state().clone());
    let actions = task.apply().await.unwrap();
    assert_eq!(actions, ["alter publication longshore_test for 2 tables"]);
    base.run("UPDATE u SET v = 'after' WHERE id < 5; INSERT INTO u VALUES (11, 'new'); UPDATE t SET v = 'c'");
    catch_up(&mut task, &mut fold, &both).await.unwrap();
    fold.assert_is(&base, &both);
}

/// The walk asks for as many rows as fill a chunk, judged by those before.
#[tokio::test]
async fn rows_that_are_suddenly_large_come_once_like_all_others() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 300) i;
         INSERT INTO t SELECT i, repeat('large ' || i || E'\\n', 300000) FROM generate_series(301, 310) i;
         INSERT INTO t SELECT i, NULL FROM generate_series(311, 1000) i",
    );
    let mut task = base.task_in_steps(&T, 100_000, WHOLE);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let transactions = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(documents(&transactions).len(), 1000);
    let first = transactions.iter().map(|transaction| transaction.documents.len()).find(|documents| *documents > 0);
    assert_eq!(first, Some(306), "with the sixth row of 3 MB it has more than 16 MiB, and is left in the middle");
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn without_a_snapshot_only_changes_come_and_their_large_values_are_looked_up() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, n int); ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
         INSERT INTO t SELECT i, repeat(i::text, 4000), 0 FROM generate_series(1, 9) i",
    );
    let mut task = base.partial_task(json!({ "snapshot": false }));
    task.apply().await.unwrap();
    base.run("UPDATE t SET n = 1 WHERE id = 7; INSERT INTO t VALUES (10, 'new', 1); DELETE FROM t WHERE id = 3");
    let mut fold = Fold::default();
    let seen = catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(documents(&seen).len(), 3, "{seen:?}");
    assert_eq!(fold.0[0]["7"]["v"], "7".repeat(4_000), "it was in no document before");
    base.run("UPDATE t SET n = 2 WHERE id > 6");
    assert_eq!(documents(&catch_up(&mut task, &mut fold, &T).await.unwrap()).len(), 4);
    base.run("DELETE FROM t WHERE id < 7");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn rows_that_were_left_out_once_do_not_come_when_the_binding_begins_anew_without_them() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let mut task = base.partial_task(json!({ "snapshot": false })).generation(1);
    task.apply().await.unwrap();
    base.run("INSERT INTO t VALUES (3)");
    let seen = catch_up(&mut task, &mut Fold::default(), &T).await.unwrap();
    assert_eq!(documents(&seen).len(), 1);
    assert!(
        seen.iter().all(|transaction| transaction.refreshes.is_empty()),
        "what a destination has is not replaced: {seen:?}"
    );
}

#[tokio::test]
async fn a_condition_chooses_rows_of_the_walk_and_no_changes() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, n int); ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
         INSERT INTO t SELECT i, repeat(i::text, 4000), i % 3 FROM generate_series(1, 30) i",
    );
    let mut task = base.partial_task(json!({ "where": "n = 0 OR id = 1 -- and no more" }));
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    let seen = catch_up(&mut task, &mut fold, &T).await.unwrap();
    let ids: Vec<_> = documents(&seen).iter().map(|document| document["id"].clone()).collect();
    assert_eq!(ids, [1, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
    base.run("UPDATE t SET n = n + 1 WHERE id IN (2, 3)");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(fold.0[0]["2"], json!({ "id": 2, "v": "2".repeat(4_000), "n": 3 }), "all of the row");
    base.run("DELETE FROM t WHERE NOT (n = 0 OR id IN (1, 2, 3))");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_condition_that_is_none_is_refused_before_anything_is_read() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY)");
    for wrong in ["nobody > 1", "id >", "id", "true); DROP TABLE t; SELECT (true", "true)) TO STDOUT --", "id = $1"] {
        let findings = base.partial_task(json!({ "where": wrong })).validate().await.unwrap();
        let [finding] = &findings[..] else { panic!("{wrong}: {findings:?}") };
        assert_eq!((finding.code.as_str(), finding.pointer.as_str()), ("postgres.where", "/where"), "{finding:?}");
        assert_eq!(finding.binding, Some(0));
    }
    assert_eq!(base.partial_task(json!({ "where": "id > 1 -- more" })).validate().await.unwrap(), []);
}
