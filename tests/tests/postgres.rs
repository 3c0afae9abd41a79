//! Flights and weather into PostgreSQL, while the runtime, the connectors and the server's sessions are killed and the server itself is
//! started again; compared with the CSV files after each run.
//!
//! `LONGSHORE_KILLS` sets how many are killed (five by default; `cargo xtask test --long` asks for more, of all flights), `LONGSHORE_SEED`
//! the seed.

use longshore_postgres::testing::Server;
use longshore_tests::killing::{self, nothing_lost_or_twice, wait};
use longshore_tests::nyc::{self, FLIGHTS};
use longshore_tests::scene::Scene;
use longshore_tests::{destination, postgres};

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
/// Flights of a short slice.
const FEW: usize = 20_000;
/// More deaths of a connector in one run would end it, and rightly.
const KILLS_A_RUN: u64 = 4;

fn catalog(server: &Server) -> String {
    format!(
        "captures:
  nyc:
    connector: files
    config: {{ path: ./data, format: csv, null_values: [\"NA\", \"\"] }}
    bindings:
      - {{ resource: {{ glob: flights.csv }}, collection: nyc/flights }}
      - {{ resource: {{ glob: weather.csv }}, collection: nyc/weather }}
collections:
  nyc/flights: {{ key: [/time_hour, /carrier, /flight] }}
  nyc/weather: {{ key: [/origin, /time_hour] }}
materializations:
  copy:
    connector: postgres
    config: {{ url: \"{}\" }}
    bindings:
      - {{ collection: nyc/flights, resource: {{ schema: public, table: flights }} }}
      - {{ collection: nyc/weather, resource: {{ schema: public, table: weather }} }}
",
        server.url("copy")
    )
}

#[track_caller]
fn everything_is_there_once(scene: &Scene, server: &Server, flights: u64) {
    for (table, rows) in [("flights", flights), ("weather", 26_115)] {
        let expected = destination::csv(&scene.join("data").join(format!("{table}.csv")));
        assert_eq!(expected.rows, rows, "{table}");
        assert_eq!(postgres::table(server, "copy", table), expected, "{table} in PostgreSQL");
    }
}

#[test]
fn what_is_killed_on_the_way_into_postgresql_loses_and_doubles_nothing() {
    let (kills, mut dice) = killing::plan();
    let mut server = Server::start("");
    let (mut killed, mut turn) = (0, 0);
    while killed < kills {
        let (scene, flights) = if kills < 20 { (nyc::scene_with(FEW), FEW as u64) } else { (nyc::scene(), FLIGHTS) };
        scene.write("longshore.yaml", catalog(&server));
        server.run("postgres", "DROP DATABASE IF EXISTS copy WITH (FORCE)");
        server.run("postgres", "CREATE DATABASE copy");
        let mut running = scene.start(RUN);
        let mut killed_here = 0;
        while killed_here < KILLS_A_RUN && wait(&mut running, dice.milliseconds(50, 700)) {
            let (goes_on, died) = postgres::kill_one(turn, (&scene, &RUN), running, &mut server, &mut dice);
            running = goes_on;
            killed_here += died;
            turn += 1;
        }
        running.finish().expect_code(0);
        killed += killed_here;
        everything_is_there_once(&scene, &server, flights);
    }
    println!("{}", nothing_lost_or_twice("materialize-postgres-kills", &dice, killed));
}
