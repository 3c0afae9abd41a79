//! All flights of 2013 reduced to one row a carrier, beside every document in a table of its own: what the one must come to, SQL says of
//! the other.

use rusqlite::Connection;

use crate::nyc;
use crate::scene::Scene;

/// Rows of the reduced table.
pub const CARRIERS: i64 = 16;

const CATALOG: &str = r#"captures:
  nyc:
    connector: files
    config: { path: ./data, format: csv, null_values: ["NA", ""] }
    bindings:
      - { resource: { glob: "flights.csv" }, collection: nyc/carriers }
collections:
  nyc/carriers:
    key: [/carrier]
    schema:
      type: object
      reduce: { strategy: merge }
      properties:
        carrier: { type: string }
        distance: { type: integer, reduce: { strategy: sum } }
        air_time: { type: [integer, "null"], reduce: { strategy: sum } }
        dep_delay: { type: [integer, "null"], reduce: { strategy: minimize } }
        arr_delay: { type: [integer, "null"], reduce: { strategy: maximize } }
        time_hour: { type: string, reduce: { strategy: firstWriteWins } }
        flight: { type: integer }
materializations:
  lake:
    connector: sqlite
    config: { path: ./nyc.db }
    bindings:
      - { collection: nyc/carriers, resource: { table: carriers } }
      - { collection: nyc/carriers, resource: { table: every }, delta_updates: true }
"#;

/// What both tables say of each carrier.
const SUMS: &str = "sum(distance), sum(air_time), min(dep_delay), max(arr_delay)";

/// A scene with this many flights, and the catalog as `carriers.yaml`.
#[must_use]
pub fn scene_with(flights: usize) -> Scene {
    let scene = nyc::scene_with(flights);
    scene.write("carriers.yaml", CATALOG);
    scene
}

/// Asserts that all flights came, once, and that each carrier's row is what they come to.
#[track_caller]
pub fn assert_reduced_once(scene: &Scene, flights: u64) {
    let connection = Connection::open(scene.join("nyc.db")).expect("a database");
    let number = |select: &str| -> i64 { connection.query_row(select, [], |row| row.get(0)).expect(select) };
    assert_eq!(number("SELECT count(*) FROM every").cast_unsigned(), flights, "documents");
    // Both ways, row by row: what is in one and not in the other.
    let sums = format!("SELECT carrier, {SUMS} FROM every GROUP BY carrier");
    let rows = "SELECT carrier, distance, air_time, dep_delay, arr_delay FROM carriers";
    for (these, others) in [(sums.as_str(), rows), (rows, &sums)] {
        assert_eq!(number(&format!("SELECT count(*) FROM ({these} EXCEPT {others})")), 0, "{these}");
    }
    let ends = "SELECT count(*) FROM carriers AS c WHERE
        c.time_hour <> (SELECT time_hour FROM every WHERE carrier = c.carrier ORDER BY rowid LIMIT 1)
        OR c.flight <> (SELECT flight FROM every WHERE carrier = c.carrier ORDER BY rowid DESC LIMIT 1)";
    assert_eq!(number(ends), 0, "the first hour and the last flight");
}

/// How many carriers have a row; none: no table yet.
#[must_use]
pub fn rows(scene: &Scene) -> i64 {
    let rows = Connection::open(scene.join("nyc.db"))
        .and_then(|connection| connection.query_row("SELECT count(*) FROM carriers", [], |row| row.get(0)));
    rows.unwrap_or(0)
}
