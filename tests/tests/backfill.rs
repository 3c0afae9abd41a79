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
    // What no log will tell.
    stage.copy.run(
        "INSERT INTO t VALUES (-1, 'never there'); DELETE FROM t WHERE id = 7; UPDATE t SET v = 'other' WHERE id = 8",
    );
    rusqlite::Connection::open(stage.scene.join("lake.db"))
        .and_then(|lake| lake.execute_batch("INSERT INTO t VALUES (-1, 'never there'); DELETE FROM t WHERE id = 7"))
        .expect("written");
    let noted = stage.scene.longshore(["backfill", "shop/shop/t"]).expect_code(0);
    assert!(noted.stdout.contains("shop/public/t") && noted.stdout.contains("next run"), "{}", noted.stdout);
    let is_over = Arc::new(AtomicBool::new(false));
    let least = std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut least = ROWS;
            while !is_over.load(Ordering::Relaxed) {
                least = least.min(stage.copy.run("SELECT count(*) FROM t").parse().expect("a number"));
            }
            least
        });
        stage.scene.longshore(RUN).expect_code(0);
        is_over.store(true, Ordering::Relaxed);
        looks.join().expect("it looked")
    });
    assert_eq!(least, ROWS, "a full table all the time");
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
    for kill in 1..=4 {
        let mut running = stage.scene.start(["run"]);
        let rows = || {
            let status = stage.scene.longshore(["status", "--json"]);
            let bindings = status.objects("task").into_iter().filter_map(|task| task["bindings"].as_array().cloned());
            bindings.flatten().filter_map(|binding| binding["rows"].as_u64()).sum::<u64>()
        };
        assert!(running.wait_until(|| rows() > 0), "something of it is stored or captured");
        running.kill();
        stage
            .source
            .run(&format!("UPDATE t SET v = v || '-{kill}' WHERE id % 100 = {kill}; DELETE FROM t WHERE id = {kill}"));
    }
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_are_equal();
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
        ("copy", "longshore backfill shop"),
        ("shop/shop/tt", "did you mean `shop/shop/t`?"),
    ] {
        let refused = stage.scene.longshore(["backfill", task]).expect_code(2);
        assert!(refused.stderr.contains(said), "{task}: {}", refused.stderr);
    }
}
