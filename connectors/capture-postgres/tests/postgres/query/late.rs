//! Transactions that are committed late, with values of the cursor below what was read already.

use longshore_postgres::Client;
use serde_json::{Value, json};

use super::story::{T, ops, rest, run, step, task_of_t};
use crate::base::{Base, Fold};

const NUMBERS: &str =
    "CREATE SEQUENCE numbers; CREATE TABLE t (id bigint PRIMARY KEY DEFAULT nextval('public.numbers'), v text);";

fn by_id(look_back: u64) -> Value {
    json!({ "cursor": "id", "look_back": look_back })
}

/// Two connections, as it happens: the number is taken first, and committed last.
#[tokio::test]
async fn what_is_committed_late_is_seen_within_the_look_back() {
    let base = Base::new(NUMBERS);
    let slow = Client::connect(&base.db.endpoint()).await.unwrap();
    let mut task = task_of_t(&base, &by_id(100));
    slow.run("taking numbers", "BEGIN; INSERT INTO public.t (v) VALUES ('slow'), ('slow, too')").await.unwrap();
    base.run("INSERT INTO t (v) SELECT 'fast' FROM generate_series(1, 20)");
    let mut fold = Fold::default();
    let first = run(&mut task).await.unwrap();
    assert_eq!(ops(&first).len(), 20);
    fold.take(&first, &T);
    slow.run("committing", "COMMIT").await.unwrap();
    let late = run(&mut task).await.unwrap();
    assert_eq!(ops(&late), ["u 1", "u 2"], "these, and not the rest of the look-back again");
    fold.take(&late, &T);
    fold.assert_is(&base, &T);
}

#[tokio::test]
async fn a_moment_is_looked_back_for_as_long_as_the_user_says() {
    let base = Base::new("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL)");
    base.run("INSERT INTO t VALUES (1, '2024-01-01 12:00:00+00')");
    for (resource, back) in [(json!({ "cursor": "at" }), "60 s"), (json!({ "cursor": "at", "look_back": "2h" }), "2 h")]
    {
        let mut task = task_of_t(&base, &resource);
        run(&mut task).await.unwrap();
        base.run(&format!("INSERT INTO t SELECT 2, max(at) - interval '{back}' FROM t"));
        base.run(&format!("INSERT INTO t SELECT 3, max(at) - interval '{back}' - interval '1 us' FROM t"));
        assert_eq!(ops(&run(&mut task).await.unwrap()), ["u 2"], "to the microsecond");
        base.run("DELETE FROM t WHERE id > 1");
    }
}

/// The mark of a walk that broke is the one from before it read anything: under a later one, what was committed behind its back would lie below
/// what is looked back for.
#[tokio::test]
async fn what_is_committed_behind_a_walk_that_broke_is_seen() {
    let base = Base::new(NUMBERS);
    base.run("INSERT INTO t (v) SELECT 'early' FROM generate_series(1, 10); DELETE FROM t WHERE id = 2");
    let mut task = task_of_t(&base, &by_id(20));
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    fold.take(&[step(&mut session).await], &T);
    drop(session);
    // Behind the place where it broke, and within the look-back of its mark; and then much comes ahead.
    base.run("INSERT INTO t VALUES (2, 'late'); INSERT INTO t (v) SELECT 'ahead' FROM generate_series(1, 50)");
    fold.take(&run(&mut task).await.unwrap(), &T);
    fold.take(&run(&mut task).await.unwrap(), &T);
    fold.assert_is(&base, &T);
}

/// The same for one that is not broken, and slow.
#[tokio::test]
async fn what_is_committed_behind_a_walk_under_way_is_seen_by_the_next() {
    let base = Base::new(NUMBERS);
    base.run("INSERT INTO t (v) SELECT 'early' FROM generate_series(1, 10); DELETE FROM t WHERE id = 2");
    let mut task = task_of_t(&base, &by_id(20));
    let mut fold = Fold::default();
    let mut session = task.open().await.unwrap();
    fold.take(&[step(&mut session).await], &T);
    base.run("INSERT INTO t VALUES (2, 'late'); INSERT INTO t (v) SELECT 'ahead' FROM generate_series(1, 50)");
    fold.take(&rest(&mut session).await.unwrap(), &T);
    drop(session);
    fold.take(&run(&mut task).await.unwrap(), &T);
    fold.assert_is(&base, &T);
}

/// A value from the future says nothing about what is committed now.
#[tokio::test]
async fn a_row_of_the_future_does_not_hide_those_of_today() {
    for ty in ["timestamptz", "timestamp", "date"] {
        let base = Base::new(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, at {ty} NOT NULL); INSERT INTO t VALUES (1, now() - interval '1 h'), (2, 'infinity'), (3, '2999-12-31')"
        ));
        let mut task = task_of_t(&base, &json!({ "cursor": "at", "look_back": "2d" }));
        let mut fold = Fold::default();
        fold.take(&run(&mut task).await.unwrap(), &T);
        base.run("INSERT INTO t VALUES (4, now()), (5, now() - interval '1 min')");
        let seen = run(&mut task).await.unwrap();
        assert_eq!(ops(&seen).len(), 2, "{ty}: {:?}", ops(&seen));
        fold.take(&seen, &T);
        assert_eq!(fold.0[0].len(), 5);
    }
}

/// All values lie in the future: then nothing of them is behind us.
#[tokio::test]
async fn a_table_of_the_future_is_read_again_and_its_rows_are_remembered() {
    let base = Base::new(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric NOT NULL); INSERT INTO t VALUES (1, 'NaN'), (2, 'Infinity')",
    );
    let mut task = task_of_t(&base, &json!({ "cursor": "n" }));
    let mut fold = Fold::default();
    fold.take(&run(&mut task).await.unwrap(), &T);
    base.run("INSERT INTO t VALUES (3, 7.5), (4, '-Infinity')");
    let seen = run(&mut task).await.unwrap();
    assert_eq!(ops(&seen), ["u 4", "u 3"]);
    fold.take(&seen, &T);
    assert_eq!(fold.0[0].len(), 4);
}

#[tokio::test]
async fn a_cursor_that_goes_back_is_begun_again() {
    let base = Base::new(NUMBERS);
    base.run("INSERT INTO t (v) SELECT 'before' FROM generate_series(1, 100)");
    let mut task = task_of_t(&base, &by_id(10));
    run(&mut task).await.unwrap();
    base.run("TRUNCATE t; ALTER SEQUENCE numbers RESTART");
    assert_eq!(ops(&run(&mut task).await.unwrap()), Vec::<String>::new(), "there is nothing");
    base.run("INSERT INTO t (v) SELECT 'after' FROM generate_series(1, 5)");
    assert_eq!(ops(&run(&mut task).await.unwrap()), ["c 1", "c 2", "c 3", "c 4", "c 5"]);
    base.run(
        "INSERT INTO t (v) SELECT 'after' FROM generate_series(1, 95); TRUNCATE t; ALTER SEQUENCE numbers RESTART",
    );
    base.run("INSERT INTO t (v) VALUES ('again')");
    // 100 was never seen, so 1 is not below what is looked back for: it is the same number with another text.
    assert_eq!(ops(&run(&mut task).await.unwrap()), ["u 1"]);
    base.run("INSERT INTO t VALUES (5000, 'far')");
    run(&mut task).await.unwrap();
    base.run("DELETE FROM t WHERE id = 5000; INSERT INTO t VALUES (700, 'below')");
    assert_eq!(
        ops(&run(&mut task).await.unwrap()),
        ["c 1", "c 700"],
        "all of it, as nobody knows what else came below"
    );
}
