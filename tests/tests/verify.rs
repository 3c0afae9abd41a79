//! `longshore verify`: what is the same is said to be the same, also while the source is written to, and each kind of difference is found, by
//! its key, and explained.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_postgres::testing::Server;
use longshore_tests::busy::{self, Tireless};
use longshore_tests::dice::Dice;
use longshore_tests::nyc;
use longshore_tests::scene::{Finished, Scene};
use longshore_tests::shop::{self, Writer};
use serde_json::Value;

/// How each binding came out, by its collection.
fn outcomes(verified: &Finished) -> Vec<(String, String)> {
    let of = |object: Value| {
        let word = |name: &str| object[name].as_str().expect("a text").to_owned();
        (word("collection"), word("result"))
    };
    verified.objects("verified").into_iter().map(of).collect()
}

/// Key, what is wrong with it, and why.
fn differences(verified: &Finished) -> BTreeSet<(String, String, String)> {
    let of = |object: Value| {
        let word = |name: &str| object[name].as_str().expect("a text").to_owned();
        (object["key"].to_string(), word("what"), word("because"))
    };
    verified.objects("difference").into_iter().map(of).collect()
}

fn expected(of: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    of.iter().map(|(key, what, why)| ((*key).to_owned(), (*what).to_owned(), (*why).to_owned())).collect()
}

/// Changes a table without its capture seeing it.
fn unseen(scene: &Scene, change: &str) {
    let shop = shop::open(&scene.join("shop.db"));
    let log: String = shop
        .query_row("SELECT name FROM sqlite_schema WHERE name LIKE '\\_longshore\\_%\\_log' ESCAPE '\\'", [], |row| {
            row.get(0)
        })
        .expect("the capture's log");
    shop.execute_batch(&format!(
        "BEGIN IMMEDIATE; CREATE TEMP TABLE before AS SELECT max(rowid) AS last FROM {log}; {change};
         DELETE FROM {log} WHERE rowid > (SELECT coalesce(last, 0) FROM before); DROP TABLE before; COMMIT"
    ))
    .expect("a change that nobody notes");
}

#[test]
fn every_kind_of_difference_is_found_and_explained() {
    let scene = shop::scene(2_000);
    let verified = scene.longshore(["verify", "--json"]).expect_code(0);
    let same = |collection: &str| (collection.to_owned(), "same".to_owned());
    assert_eq!(outcomes(&verified), [same("shop/orders"), same("shop/lines")], "verify runs the flow itself");

    shop::open(&scene.join("out.db"))
        .execute_batch(
            "UPDATE orders SET total = 0, note = NULL WHERE id = 7; DELETE FROM orders WHERE id = 8;
             INSERT INTO orders VALUES (-1, 'of nobody', 1, NULL); DELETE FROM lines WHERE nr = 9",
        )
        .expect("changes in the destination");
    shop::open(&scene.join("shop.db")).execute_batch("DELETE FROM orders WHERE id = 15").expect("a deletion");
    unseen(&scene, "UPDATE orders SET note = 'unseen' WHERE id = 10");
    unseen(&scene, "DELETE FROM orders WHERE id = 11; INSERT INTO orders VALUES (-12, 'unseen', 1, NULL)");
    scene.longshore(["run", "--until", "caught-up"]).expect_code(0);
    shop::open(&scene.join("out.db"))
        .execute_batch("INSERT INTO orders VALUES (15, 'back again', 1, NULL)")
        .expect("a row that is back again");

    let verified = scene.longshore(["verify", "--json"]).expect_code(1);
    let differs = |collection: &str| (collection.to_owned(), "differs".to_owned());
    assert_eq!(outcomes(&verified), [differs("shop/orders"), differs("shop/lines")]);
    let all = [
        ("[7]", "differs", "not_in_destination"),
        ("[8]", "missing", "not_in_destination"),
        ("[-1]", "surplus", "never_captured"),
        ("[10]", "differs", "not_captured"),
        ("[11]", "surplus", "not_captured"),
        ("[-12]", "missing", "never_captured"),
        ("[15]", "surplus", "deleted_and_there"),
        ("[\"s2\",9]", "missing", "not_in_destination"),
    ];
    assert_eq!(differences(&verified), expected(&all));
    let seventh = verified.objects("difference").into_iter().find(|one| one["key"][0] == 7).expect("order 7");
    let fields: Vec<_> = seventh["fields"].as_array().expect("fields").iter().map(ToString::to_string).collect();
    let total = r#"{"pointer":"/total","source":3.5,"destination":0.0}"#;
    assert_eq!(fields, [total, r#"{"pointer":"/note","source":"note 7","destination":null}"#]);

    let told = scene.longshore(["verify", "out/shop/lines"]).expect_code(1);
    assert!(told.stdout.contains("key [\"s2\",9] is missing in the destination"), "{}", told.stdout);
    assert!(!told.stdout.contains("orders"), "only what was asked for: {}", told.stdout);
    let unknown = scene.longshore(["verify", "out/nothing"]).expect_code(2);
    assert!(unknown.stderr.contains("its materializations are: out"), "{}", unknown.stderr);
}

#[test]
fn what_is_on_its_way_is_no_difference_and_hides_none() {
    let scene = shop::scene(2_500);
    scene.longshore(["run", "--until", "caught-up"]).expect_code(0);
    let mut dice = Dice::of_environment();
    let writer = Writer::start(&scene, dice.below(u64::MAX));
    // Rows that the writer leaves alone.
    shop::open(&scene.join("out.db"))
        .execute_batch("INSERT INTO orders VALUES (-1, 'of nobody', 1, NULL)")
        .expect("a change in the destination");
    let mut looked_again = 0;
    for _ in 0..4 {
        let verified = scene.longshore(["verify", "--json"]).expect_code(1);
        assert_eq!(differences(&verified), expected(&[("[-1]", "surplus", "never_captured")]), "seed {}", dice.seed);
        looked_again += verified.objects("verified").iter().filter(|one| one["rounds"].as_u64() > Some(1)).count();
    }
    assert!(writer.stop() > 100, "it wrote all the while");
    assert!(looked_again > 0, "rows were on their way when they were read");
    shop::open(&scene.join("out.db")).execute_batch("DELETE FROM orders WHERE id = -1").expect("a repair");
    scene.longshore(["verify"]).expect_code(0);
}

/// More rows differ than are looked at one by one: of those that were on their way none is told as a difference, of the others all are counted.
#[test]
fn many_rows_on_their_way_are_no_difference_and_many_differences_are_told_as_such() {
    let scene = shop::scene(60_000);
    scene.longshore(["run", "--until", "caught-up"]).expect_code(0);
    // Ten rows at a time, and all of them again and again.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let shop = shop::open(&scene.join("shop.db"));
            for n in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let change =
                    format!("UPDATE orders SET total = {n} WHERE id BETWEEN {0} AND {0} + 9", n * 7919 % 60_000);
                shop.execute_batch(&change).expect("a change");
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        let verified = scene.longshore(["verify", "out/shop/orders", "--json"]);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(differences(&verified), BTreeSet::new(), "{}", verified.stdout);
        let one = &verified.objects("verified")[0];
        assert!(one["result"] == "same" || one["result"] == "changing", "{one}");
        assert!(one["rounds"].as_u64() > Some(1), "it was looked at again: {one}");
    });
    scene.longshore(["verify", "out/shop/orders"]).expect_code(0);

    shop::open(&scene.join("out.db")).execute_batch("UPDATE orders SET note = 'x' WHERE id % 2 = 0").expect("changes");
    let verified = scene.longshore(["verify", "out/shop/orders", "--json", "--limit", "3"]).expect_code(1);
    let one = &verified.objects("verified")[0];
    let (differ, ranges) = (one["differences"].as_u64(), one["ranges_not_looked_at"].as_u64());
    assert!(differ > Some(4_000) && ranges > Some(3_000), "{one}");
    assert_eq!(verified.objects("difference").len(), 3);
}

/// Real coordinates, some with more digits than a double holds.
#[test]
fn where_a_source_cannot_tell_the_journal_stands_for_it() {
    let scene = nyc::scene_with(2_000);
    scene.write(
        "longshore.yaml",
        "captures:
  nyc:
    connector: files
    config: { path: ./data, format: csv, null_values: [\"NA\", \"\"] }
    bindings:
      - { resource: { glob: flights.csv }, collection: nyc/flights }
      - { resource: { glob: weather.csv }, collection: nyc/weather }
      - { resource: { glob: airports.csv }, collection: nyc/airports }
collections:
  nyc/flights: { key: [/time_hour, /carrier, /flight] }
  nyc/weather: { key: [/origin, /time_hour] }
  nyc/airports: { key: [/faa] }
materializations:
  lake:
    connector: sqlite
    config: { path: ./lake.db }
    bindings:
      - { collection: nyc/flights, resource: { table: flights } }
      - { collection: nyc/weather, resource: { table: weather } }
      - { collection: nyc/airports, resource: { table: airports } }
",
    );
    let verified = scene.longshore(["verify", "--json"]).expect_code(0);
    for one in verified.objects("verified") {
        assert_eq!((&one["result"], &one["compared_with"]), (&"same".into(), &"journal".into()), "{one}");
    }
    let change = "UPDATE weather SET temp = temp + 1 WHERE origin = 'JFK' AND time_hour = '2013-07-04T12:00:00Z'";
    let lake = shop::open(&scene.join("lake.db"));
    assert_eq!(lake.execute(change, []).expect("a change"), 1);
    let verified = scene.longshore(["verify", "--json"]).expect_code(1);
    let key = r#"["JFK","2013-07-04T12:00:00Z"]"#;
    assert_eq!(differences(&verified), expected(&[(key, "differs", "not_in_destination")]));
}

#[test]
fn postgresql_is_compared_with_postgresql_and_sqlite_with_either() {
    let server = Server::start("");
    for database in ["shop", "copy"] {
        server.run("postgres", &format!("CREATE DATABASE {database}"));
    }
    busy::make(&server, "shop", 5_000);
    let scene = Scene::new();
    let shop = format!("postgres://postgres@127.0.0.1:{}/shop", server.port());
    let copy = format!("postgres://postgres@127.0.0.1:{}/copy", server.port());
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  src:
    connector: postgres
    config: {{ url: \"{shop}\" }}
    bindings:
      - {{ resource: {{ table: bench }}, collection: pg/bench }}
      - {{ resource: {{ table: accounts }}, collection: pg/accounts }}
collections:
  pg/bench: {{ key: [/id] }}
  pg/accounts: {{ key: [/id] }}
materializations:
  dst:
    connector: postgres
    config: {{ url: \"{copy}\" }}
    bindings:
      - {{ collection: pg/bench, resource: {{ table: bench, deletes: soft }} }}
      - {{ collection: pg/accounts, resource: {{ table: accounts }} }}
  lite:
    connector: sqlite
    config: {{ path: ./out.db }}
    bindings:
      - {{ collection: pg/bench, resource: {{ table: bench }}, fields: {{ document: whole }} }}
      - {{ collection: pg/accounts, resource: {{ table: accounts }} }}
  deltas:
    connector: sqlite
    config: {{ path: ./out.db }}
    bindings: [ {{ collection: pg/accounts, resource: {{ table: deltas }}, delta_updates: true }} ]
"
        ),
    );
    let writer = Tireless::changing(&server, "shop", 1_000);
    let verified = scene.longshore(["verify", "--json"]);
    drop(writer);
    assert!(matches!(verified.code, Some(0 | 1)), "{}{}", verified.stdout, verified.stderr);
    assert_eq!(differences(&verified), BTreeSet::new(), "nothing differs: {}", verified.stdout);

    server.run("shop", "DELETE FROM bench WHERE id % 10 = 0");
    let verified = scene.longshore(["verify", "--json"]).expect_code(0);
    let results: Vec<String> = outcomes(&verified).into_iter().map(|(_, result)| result).collect();
    assert_eq!(results, ["same", "same", "same", "same", "not_compared"], "a delta binding is no copy");

    server.run("copy", "UPDATE accounts SET balance = balance + 1 WHERE id = (SELECT min(id) FROM accounts)");
    server.run("copy", "UPDATE bench SET _deleted = true WHERE id = (SELECT min(id) FROM bench WHERE NOT _deleted)");
    let verified = scene.longshore(["verify", "--json"]).expect_code(1);
    let found: Vec<(String, String)> = verified
        .objects("difference")
        .iter()
        .map(|one| (one["collection"].to_string(), one["what"].to_string()))
        .collect();
    let found: Vec<(&str, &str)> = found.iter().map(|(one, other)| (one.as_str(), other.as_str())).collect();
    assert_eq!(found, [("\"pg/bench\"", "\"missing\""), ("\"pg/accounts\"", "\"differs\"")]);
}
