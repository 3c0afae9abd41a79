//! Tables that are read by queries, all of them each time, into tables where rows go and where they are only marked: what is gone at the source is
//! gone or marked after the next look, whoever is killed on the way, and nobody sees less meanwhile.

use std::sync::Arc;

use longshore_postgres::testing::{Database, Server};
use longshore_tests::dice::Dice;
use longshore_tests::killing::wait;
use longshore_tests::scene::Scene;

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
const ROWS: i64 = 20_000;

/// A table and a view of it without one column, each into a table of two databases.
struct Stage {
    scene: Scene,
    source: Database,
    hard: Database,
    soft: Database,
}

impl Stage {
    fn new() -> Self {
        let server = Arc::new(Server::start(""));
        let database = || Database::on(&server);
        let stage = Self { scene: Scene::new(), source: database(), hard: database(), soft: database() };
        stage.source.run(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, v text, large text);
             INSERT INTO t SELECT i, 'v' || i, repeat(md5(i::text), 20) FROM generate_series(1, {ROWS}) i;
             CREATE VIEW w AS SELECT id, v FROM t WHERE id % 2 = 0"
        ));
        stage.scene.write(
            "longshore.yaml",
            format!(
                "captures:
  shop:
    connector: postgres-query
    config: {{ url: '{}' }}
    bindings:
      - {{ resource: {{ table: t }}, collection: shop/t }}
      - {{ resource: {{ table: w, key: [id] }}, collection: shop/w }}
collections: {{ shop/t: {{ key: [/id] }}, shop/w: {{ key: [/id] }} }}
materializations:
  hard:
    connector: postgres
    config: {{ url: '{}' }}
    bindings:
      - {{ collection: shop/t, resource: {{ table: t }} }}
      - {{ collection: shop/w, resource: {{ table: w }} }}
  soft:
    connector: postgres
    config: {{ url: '{}' }}
    bindings:
      - {{ collection: shop/t, resource: {{ table: t, deletes: soft }} }}
      - {{ collection: shop/w, resource: {{ table: w, deletes: soft }} }}
",
                stage.source.url(),
                stage.hard.url(),
                stage.soft.url()
            ),
        );
        stage
    }

    /// What is there is equal; `marked`: so many rows are marked as gone, with the values they had.
    #[track_caller]
    fn all_is_there(&self, marked: u64) {
        for (table, columns) in [("t", "id || v || large"), ("w", "id || v")] {
            let sum = |condition: &str| {
                format!(
                    "SELECT count(*) || ' ' || coalesce(md5(string_agg({columns}, ',' ORDER BY id)), '') FROM {table} WHERE {condition}"
                )
            };
            let expected = self.source.run(&sum("true"));
            assert_eq!(self.hard.run(&sum("true")), expected, "{table}, where rows go");
            assert_eq!(self.soft.run(&sum("NOT _deleted")), expected, "{table}, where they are marked");
        }
        let gone = "SELECT count(*) FROM t WHERE _deleted AND v IS NOT NULL AND large IS NOT NULL";
        assert_eq!(self.soft.run(gone), marked.to_string());
    }
}

#[test]
fn what_is_gone_at_the_source_is_gone_or_marked_after_the_next_look() {
    let stage = Stage::new();
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_is_there(0);
    stage.source.run(
        "DELETE FROM t WHERE id % 10 = 0; UPDATE t SET v = 'new' WHERE id % 7 = 0; INSERT INTO t VALUES (-5, 'low', ''), (1000000, 'high', '')",
    );
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_is_there(2_000);
    // Some come again, and all others go.
    stage.source.run("TRUNCATE t; INSERT INTO t SELECT i, 'again', '' FROM generate_series(1, 500) i");
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_is_there(19_502);
}

#[test]
fn a_look_that_is_killed_again_and_again_comes_to_the_same() {
    let stage = Stage::new();
    stage.scene.longshore(RUN).expect_code(0);
    let mut dice = Dice::of_environment();
    for round in 1..=4_u64 {
        stage
            .source
            .run(&format!("DELETE FROM t WHERE id % 50 = {round}; UPDATE t SET v = v || '{round}' WHERE id % 3 = 0"));
        let mut running = stage.scene.start(RUN);
        if wait(&mut running, dice.milliseconds(50, 900)) {
            running.kill();
        }
    }
    stage.scene.longshore(RUN).expect_code(0);
    // A look that was begun by one that was killed may be as old as that.
    stage.scene.longshore(RUN).expect_code(0);
    stage.all_is_there(4 * 400);
}
