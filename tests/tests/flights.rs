//! The main job on real data: every flight from CSV through connector processes and the journal into SQLite and JSONL files, once.

use longshore_tests::destination;
use longshore_tests::nyc::{self, FLIGHTS};
use longshore_tests::scene::Scene;

#[test]
fn every_flight_arrives_exactly_once_and_a_second_run_moves_nothing() {
    let scene = nyc::scene();
    let first = scene.longshore(["run", "--until", "caught-up", "--json", "flights.yaml"]).expect_code(0);
    nyc::assert_everything_once(&scene);
    assert_eq!(first.rows("lake").iter().map(|(_, rows)| rows).sum::<u64>(), FLIGHTS + 1_458 + 26_115);
    types_are_what_they_are(&scene);

    let second = scene.longshore(["run", "--until", "caught-up", "--json", "flights.yaml"]).expect_code(0);
    for task in ["nyc", "lake", "archive"] {
        assert!(second.rows(task).iter().all(|(_, rows)| *rows == 0), "{task} moved rows again\n{}", second.stdout);
    }
    nyc::assert_everything_once(&scene);
    let third = scene.longshore(["run", "--until", "caught-up", "flights.yaml"]).expect_code(0);
    assert!(third.stdout.contains("nothing new"), "a run that moves nothing says so\n{}", third.stdout);
}

fn types_are_what_they_are(scene: &Scene) {
    let number = |query: &str| destination::number(&scene.join("nyc.db"), query);
    assert_eq!(number("SELECT count(*) FROM flights WHERE dep_time IS NULL"), 8_255, "NA is NULL");
    assert_eq!(number("SELECT count(*) FROM flights WHERE typeof(flight) <> 'integer'"), 0);
    let digits = "SELECT count(*) FROM weather WHERE wind_speed = 10.357019999999999";
    assert!(number(digits) > 0, "wind_speed keeps its digits");
    assert!(number("SELECT count(*) FROM weather WHERE pressure = 1000.0") >= 5, "1e3 is a number");
    assert_eq!(number("SELECT count(*) FROM weather WHERE typeof(pressure) NOT IN ('real', 'null')"), 0);
}
