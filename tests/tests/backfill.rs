//! `longshore backfill`, and a source that empties a table at once: what destinations have in the end, and what they have meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longshore_postgres::testing::{Database, Server};
use longshore_tests::scene::Scene;

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
const ROWS: i64 = 20_000;

/// A table of one database, in another database, in SQLite, and every document in files.
struct Stage {
    scene: Scene,
    source: Database,
    copy: Database,
}

impl Stage {
    fn new() -> Self {
        let server = Arc::new(Server::start(""));
        let stage = Self { scene: Scene::new(), source: Database::on(&server), copy: Database::on(&server) };
        stage.source.run(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, {ROWS}) i"
        ));
        stage.catalog("");
        stage.scene.longshore(RUN).expect_code(0);
        stage
    }

    /// The binding of the files with this said of it.
    fn catalog(&self, files: &str) {
        self.scene.write(
            "longshore.yaml",
            format!(
                "captures:
  shop:
    connector: postgres
    config: {{ url: '{}' }}
    bindings: [ {{ resource: {{ table: t }}, collection: shop/t }} ]
collections:
  shop/t: {{ key: [/id] }}
materializations:
  copy:
    connector: postgres
    config: {{ url: '{}' }}
    bindings: [ {{ collection: shop/t, resource: {{ table: t }} }} ]
  lake:
    connector: sqlite
    config: {{ path: ./lake.db }}
    bindings: [ {{ collection: shop/t, resource: {{ table: t }} }} ]
  archive:
    connector: files
    config: {{ path: ./archive }}
    bindings: [ {{ collection: shop/t, resource: {{ name: t }}, delta_updates: true{files} }} ]
",
                self.source.url(),
                self.copy.url()
            ),
        );
    }

    fn lake(&self, sql: &str) -> String {
        let database = rusqlite::Connection::open(self.scene.join("lake.db")).expect("a database");
        database.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a text")
    }

    /// What no log will tell.
    fn spoil(&self) {
        self.copy.run(
            "INSERT INTO t VALUES (-1, 'never there'); DELETE FROM t WHERE id = 7; UPDATE t SET v = 'other' WHERE id = 8",
        );
        rusqlite::Connection::open(self.scene.join("lake.db"))
            .and_then(|lake| lake.execute_batch("INSERT INTO t VALUES (-1, 'never there'); DELETE FROM t WHERE id = 7"))
            .expect("written");
    }

    /// Runs until it is caught up; the fewest rows that anybody saw in the copy meanwhile.
    fn least_while_it_runs(&self) -> i64 {
        let is_over = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut least = i64::MAX;
                while !is_over.load(Ordering::Relaxed) {
                    least = least.min(self.copy.run("SELECT count(*) FROM t").parse().expect("a number"));
                }
                least
            });
            self.scene.longshore(RUN).expect_code(0);
            is_over.store(true, Ordering::Relaxed);
            looks.join().expect("it looked")
        })
    }

    /// Begins a run and kills it with something of it done, so many times; the source changes in between.
    fn kill(&self, times: usize) {
        for kill in 1..=times {
            let mut running = self.scene.start(["run"]);
            let rows = || {
                let status = self.scene.longshore(["status", "--json"]);
                let bindings =
                    status.objects("task").into_iter().filter_map(|task| task["bindings"].as_array().cloned());
                bindings.flatten().filter_map(|binding| binding["rows"].as_u64()).sum::<u64>()
            };
            assert!(running.wait_until(|| rows() > 0), "something of it is stored or captured");
            running.kill();
            self.source.run(&format!(
                "UPDATE t SET v = v || '-{kill}' WHERE id % 100 = {kill}; DELETE FROM t WHERE id = {kill}"
            ));
        }
    }

    #[track_caller]
    fn all_are_equal(&self) {
        let sum = "SELECT count(*) || ' ' || coalesce(md5(string_agg(id || v, ',' ORDER BY id)), '') FROM t";
        assert_eq!(self.copy.run(sum), self.source.run(sum), "the copy in PostgreSQL");
        let listed = "SELECT coalesce(group_concat(id || v), '') FROM (SELECT id, v FROM t ORDER BY id)";
        let source = self.source.run("SELECT coalesce(string_agg(id || v, ',' ORDER BY id), '') FROM t");
        assert!(self.lake(listed) == source, "the copy in SQLite");
    }
}

#[test]
fn rows_that_are_gone_at_the_source_are_gone_after_a_backfill_and_nobody_saw_less_meanwhile() {
    let stage = Stage::new();
    stage.all_are_equal();
    stage.spoil();
    let noted = stage.scene.longshore(["backfill", "shop/shop/t"]).expect_code(0);
    assert!(noted.stdout.contains("shop/public/t") && noted.stdout.contains("next run"), "{}", noted.stdout);
    assert_eq!(stage.least_while_it_runs(), ROWS, "a full table all the time");
    stage.all_are_equal();
    stage.source.run("UPDATE t SET v = 'later' WHERE id % 3 = 0; DELETE FROM t WHERE id = 5");
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
}

#[test]
fn a_backfill_that_is_killed_again_and_again_is_complete_in_the_end() {
    let stage = Stage::new();
    stage.copy.run("INSERT INTO t VALUES (-1, 'never there')");
    stage.scene.longshore(["backfill", "shop"]).expect_code(0);
    stage.kill(4);
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
}

/// The copy is spoiled, and stored again from a journal that holds a full refresh of the source among other things.
fn spoiled_and_noted() -> Stage {
    let stage = Stage::new();
    stage.source.run("DELETE FROM t WHERE id BETWEEN 100 AND 200; UPDATE t SET v = 'new' WHERE id % 9 = 0");
    stage.scene.longshore(["backfill", "shop"]).expect_code(0);
    stage.scene.longshore(RUN).expect_code(0);
    stage.source.run("UPDATE t SET v = 'newer' WHERE id % 11 = 0; INSERT INTO t VALUES (1000000, 'last')");
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
    stage.spoil();
    for task in ["copy", "lake"] {
        let noted = stage.scene.longshore(["backfill", task]).expect_code(0);
        assert!(noted.stdout.contains("stored again at the next run"), "{}", noted.stdout);
    }
    stage
}

#[test]
fn a_materialization_stores_its_journal_again_and_nobody_sees_the_past_or_half_of_it() {
    let stage = spoiled_and_noted();
    let rows = stage.copy.run("SELECT count(*) FROM t").parse::<i64>().expect("a number");
    stage.scene.longshore(["check"]).expect_code(0);
    // With a row more than it should have, and one less.
    assert_eq!(stage.least_while_it_runs(), rows, "a full table all the time");
    stage.all_are_equal();
    assert_eq!(stage.copy.run("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'aside%'"), "0", "nothing is left");
    stage.source.run("UPDATE t SET v = 'later' WHERE id % 3 = 0; DELETE FROM t WHERE id = 5");
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
}

#[test]
fn one_that_is_killed_while_it_stores_again_has_all_in_the_end() {
    let stage = spoiled_and_noted();
    stage.kill(4);
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
}

#[test]
fn sums_that_are_stored_again_do_not_count_twice() {
    let server = Arc::new(Server::start(""));
    let (scene, copy) = (Scene::new(), Database::on(&server));
    let lines: String = (1..=3_000).map(|i| format!("{},{i}\n", i % 100)).collect();
    scene.write("amounts.csv", format!("id,amount\n{lines}"));
    let catalog = format!(
        "captures:
  shop:
    connector: files
    config: {{ path: . }}
    bindings: [ {{ resource: {{ glob: amounts.csv }}, collection: shop/amounts }} ]
collections:
  shop/amounts:
    key: [/id]
    schema:
      type: object
      properties: {{ id: {{ type: integer }}, amount: {{ type: integer, reduce: {{ strategy: sum }} }} }}
      reduce: {{ strategy: merge }}
materializations:
  copy:
    connector: postgres
    config: {{ url: '{}' }}
    bindings: [ {{ collection: shop/amounts, resource: {{ table: t }} }} ]
",
        copy.url()
    );
    scene.write("longshore.yaml", catalog);
    scene.longshore(RUN).expect_code(0);
    let sum = || copy.run("SELECT count(*) || ' ' || sum(amount) FROM t");
    assert_eq!(sum(), "100 4501500");
    copy.run("UPDATE t SET amount = 0 WHERE id = 3; DELETE FROM t WHERE id = 4");
    scene.longshore(["backfill", "copy"]).expect_code(0);
    scene.longshore(["check"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(sum(), "100 4501500");
}

#[test]
fn a_truncate_goes_through_to_tables_and_stops_where_every_document_stays_unless_it_is_to_be_ignored() {
    let stage = Stage::new();
    stage.source.run("TRUNCATE t; INSERT INTO t SELECT i, 'new' || i FROM generate_series(5, 50) i");
    let stopped = stage.scene.longshore(RUN).expect_code(2);
    assert!(
        stopped.stderr.contains("the source emptied shop/t") && stopped.stderr.contains("on_truncate: ignore"),
        "{}",
        stopped.stderr
    );
    stage.catalog(", on_truncate: ignore");
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
    assert_eq!(stage.copy.run("SELECT count(*) FROM t"), "46");
}

#[test]
fn what_cannot_be_backfilled_is_said() {
    let stage = Stage::new();
    for (task, said) in [
        ("shops", "did you mean `shop`?"),
        ("archive", "longshore run --fresh archive/t"),
        ("copy/shop/tt", "did you mean `copy/shop/t`?"),
        ("shop/shop/tt", "did you mean `shop/shop/t`?"),
    ] {
        let refused = stage.scene.longshore(["backfill", task]).expect_code(2);
        assert!(refused.stderr.contains(said), "{task}: {}", refused.stderr);
    }
}
