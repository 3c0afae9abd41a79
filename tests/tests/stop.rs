//! Asked to stop, it finishes what is under way; asked twice, it ends at once; killed, it leaves nobody behind; and each time the next run
//! finds every row exactly once. Connectors that die or are not there end a run that is to end by itself.
//!
//! `LONGSHORE_STOPS` sets how many moments are tried (5 by default), `LONGSHORE_SEED` the seed.

#![allow(clippy::disallowed_methods, reason = "a stop comes at a moment of the clock, and must be over in time")]

use std::time::{Duration, Instant};

use longshore_tests::dice::{Dice, number};
use longshore_tests::scene::{Running, Scene, holds_within, is_alive, is_connector, one_capture, process_name};
use longshore_tests::{destination, nyc};
use rustix::process::Signal;

const RUN: [&str; 4] = ["run", "--until", "caught-up", "flights.yaml"];
/// Without end: it stops when it is told.
const RUN_ON: [&str; 2] = ["run", "flights.yaml"];
/// The grace period of what is under way, and the connectors' own after it.
const STOP_MAX: Duration = Duration::from_secs(45);
/// Nobody waits for anything any more.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn stopped_at_random_moments_it_drains_and_loses_nothing() {
    let (stops, mut dice) = (number("LONGSHORE_STOPS", 5), Dice::of_environment());
    let scene = nyc::scene_with(60_000);
    let mut slowest = Duration::ZERO;
    for stop in 0..stops {
        let mut running = scene.start(RUN_ON);
        let moment = Instant::now() + dice.milliseconds(100, 1_500);
        assert!(running.wait_until(|| Instant::now() >= moment), "it goes on until it is stopped");
        assert!(connectors_start(&mut running), "connectors start");
        let connectors = running.children();
        let asked = Instant::now();
        running.signal(if stop % 2 == 0 { Signal::TERM } else { Signal::INT });
        running.finish().expect_code(0);
        slowest = slowest.max(asked.elapsed());
        assert!(asked.elapsed() < STOP_MAX, "stop {stop} took {:?}", asked.elapsed());
        assert!(!connectors.iter().any(|&connector| is_alive(connector)), "a connector outlives an orderly stop");
    }
    scene.longshore(RUN).expect_code(0);
    nyc::assert_everything_once(&scene);
    println!(
        "ledger: {}",
        serde_json::json!({ "test": "stops", "seed": dice.seed, "stops": stops, "slowest_seconds": slowest.as_secs_f64() })
    );
}

#[test]
fn a_second_signal_ends_it_at_once_and_leaves_nobody() {
    let scene = nyc::scene_with(60_000);
    // An orderly stop has to wait for a destination that takes its time.
    scene.write("flights.yaml", nyc::CATALOG.to_owned() + nyc::SLOW);
    let mut running = scene.start(RUN_ON);
    let id = running.id();
    let connectors = || longshore_tests::scene::children_of(id);
    let stores = || nyc::slow_is_storing(&scene.longshore(["status", "--json", "flights.yaml"]));
    assert!(running.wait_until(stores), "the slow destination is given documents");
    let before = connectors();
    running.signal(Signal::TERM);
    // The capture is soon at its end: the first signal was heard.
    let is_capture = |child: u32| process_name(child).is_some_and(|name| name.starts_with("capture-"));
    assert!(running.wait_until(|| !connectors().into_iter().any(is_capture)), "the capture ends in order");
    assert!(running.is_running(), "it waits for the slow destination");
    let asked = Instant::now();
    running.signal(Signal::TERM);
    running.finish().expect_code(1);
    assert!(asked.elapsed() < AT_ONCE, "it ended {:?} after the second signal", asked.elapsed());
    nobody_is_left(&before);

    scene.write("flights.yaml", nyc::CATALOG);
    scene.longshore(RUN).expect_code(0);
    nyc::assert_everything_once(&scene);
}

#[test]
fn killed_it_leaves_no_connector_behind() {
    let scene = nyc::scene_with(2_000);
    let mut running = scene.start(RUN_ON);
    assert!(connectors_start(&mut running), "connectors start");
    let connectors = running.children();
    running.kill();
    nobody_is_left(&connectors);
}

#[test]
fn a_catalog_deep_below_runs() {
    let scene = nyc::scene_with(2_000);
    let deep = format!("{}/{}", "d".repeat(100), "e".repeat(100));
    std::fs::create_dir_all(scene.join(&deep)).expect("make directories");
    for name in ["data", "flights.yaml"] {
        std::fs::rename(scene.join(name), scene.join(&deep).join(name)).expect("move the project");
    }
    scene.longshore(["run", "--until", "caught-up", &format!("{deep}/flights.yaml")]).expect_code(0);
    assert_eq!(destination::number(&scene.join(&deep).join("nyc.db"), "SELECT count(*) FROM flights"), 2_000);
}

#[test]
fn a_connector_that_ends_at_once_ends_the_run_after_five_deaths() {
    let scene = Scene::new();
    // It leaves a mark for each life, and a last word.
    scene.write("flights.yaml", one_capture("command: [sh, -c, \"echo . >> lives; echo no licence >&2; exit 7\"]"));
    let ended = scene.longshore(RUN).expect_code(1);
    assert!(ended.stderr.contains("no licence"), "the last words are told\n{}", ended.stderr);
    let lives = std::fs::read_to_string(scene.join("lives")).expect("marks");
    assert_eq!(lives.lines().count(), 5);
}

#[test]
fn a_connector_that_fails_is_told_of_in_one_line() {
    let scene = nyc::scene_with(2_000);
    scene.write("flights.yaml", format!("{}{}", nyc::CATALOG, nyc::SLOW.replace("delay: 5s", "fail_after: 10")));
    let mut running = scene.start(RUN_ON);
    let opened = || {
        let record = std::fs::read_to_string(scene.join("null.json")).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&record).is_ok_and(|record| record["epoch"].as_u64() > Some(3))
    };
    assert!(running.wait_until(opened), "it is started again and again");
    running.signal(Signal::TERM);
    let ended = running.finish().expect_code(0);
    let with = |words: &str| ended.stderr.lines().filter(|line| line.contains(words)).count();
    let failures = with("trying again");
    assert!(failures >= 3, "{}", ended.stderr);
    // The last one may have come after the stop, and is then nobody's concern.
    assert_eq!((with("as `fail_after` says"), with("asked to leave")), (failures, 0), "{}", ended.stderr);
}

#[test]
fn an_address_nobody_listens_at_is_told_soon() {
    let scene = Scene::new();
    scene.write("flights.yaml", one_capture("address: \"unix:./nobody.sock\""));
    let asked = Instant::now();
    let checked = scene.longshore(["check", "flights.yaml"]).expect_code(3);
    assert!(asked.elapsed() < Duration::from_secs(20), "check took {:?}", asked.elapsed());
    assert!(checked.stderr.contains("nobody.sock"), "names the address\n{}", checked.stderr);
}

/// Waits until connectors run (not only our own process, before it becomes one).
fn connectors_start(running: &mut Running) -> bool {
    let id = running.id();
    running.wait_until(|| longshore_tests::scene::children_of(id).into_iter().any(is_connector))
}

#[track_caller]
fn nobody_is_left(connectors: &[u32]) {
    assert!(!connectors.is_empty(), "there were connectors");
    let gone = holds_within(AT_ONCE, || !connectors.iter().any(|&connector| is_alive(connector)));
    assert!(gone, "connectors outlive the runtime: {connectors:?}");
}
