//! Flights and weather through every pair of connectors that needs no server: from files, from SQLite, and by way of webhooks; into SQLite,
//! JSON lines and Parquet, all at once. Everybody is killed in turn; what arrived is compared with the CSV files, in each destination.
//!
//! `LONGSHORE_KILLS` sets how many kills each pair gets (three by default; `cargo xtask test --long` asks for 20, of all flights),
//! `LONGSHORE_SEED` the seed.

use std::path::Path;

use longshore_tests::dice::{Dice, number};
use longshore_tests::hooks::free_port;
use longshore_tests::killing::{kill, nothing_lost_or_twice, wait};
use longshore_tests::lake::Lake;
use longshore_tests::nyc::{self, FLIGHTS};
use longshore_tests::scene::{Running, Scene, process_name};
use longshore_tests::{destination, killing};
use serde_json::json;

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
const TABLES: [(&str, &str); 2] =
    [("flights", "[/time_hour, /carrier, /flight]"), ("weather", "[/origin, /time_hour]")];
const DESTINATIONS: [&str; 3] = ["sqlite", "files", "parquet"];
/// Flights of a short slice.
const FEW: usize = 20_000;
/// More deaths of a connector in one run would end it, and rightly.
const KILLS_A_RUN: usize = 4;

/// How much a test does, and what comes of it.
struct Work {
    dice: Dice,
    kills: u64,
    /// By destination.
    killed: [u64; 3],
    /// Of everybody.
    all: u64,
    turn: usize,
}

impl Work {
    fn planned() -> Self {
        let dice = Dice::of_environment();
        Self { dice, kills: number("LONGSHORE_KILLS", 3), killed: [0; 3], all: 0, turn: 0 }
    }

    fn is_done(&self) -> bool {
        self.killed.iter().all(|killed| *killed >= self.kills)
    }

    fn scene(&self) -> Scene {
        if self.kills < 20 { nyc::scene_with(FEW) } else { nyc::scene() }
    }

    fn flights(&self) -> u64 {
        if self.kills < 20 { FEW as u64 } else { FLIGHTS }
    }

    /// Lets a run go on until a moment and kills whose turn it is: the runtime, the capture, or one of the destinations. None: it got to its end.
    fn kill_one(&mut self, scene: &Scene, mut running: Running, words: &[&str]) -> Result<Running, Running> {
        if !wait(&mut running, self.dice.milliseconds(50, 900)) {
            return Err(running);
        }
        self.turn += 1;
        match self.turn % 5 {
            0 => {
                running.kill();
                self.count(None);
                return Ok(scene.start(words));
            }
            1 => {
                if a_child(&running, "capture-").is_some_and(kill) {
                    self.count(None);
                }
            }
            destination => {
                let at = destination - 2;
                if a_child(&running, &format!("materialize-{}", DESTINATIONS[at])).is_some_and(kill) {
                    self.count(Some(at));
                }
            }
        }
        Ok(running)
    }

    /// A kill of the runtime or the capture is one of each pair.
    fn count(&mut self, destination: Option<usize>) {
        self.all += 1;
        for (at, killed) in self.killed.iter_mut().enumerate() {
            *killed += u64::from(destination.is_none_or(|only| only == at));
        }
    }

    fn told(&self, test: &str) -> String {
        nothing_lost_or_twice(test, &self.dice, self.all)
    }
}

/// The kernel keeps 15 bytes of a name.
fn a_child(running: &Running, name: &str) -> Option<u32> {
    let wanted = &name[..name.len().min(15)];
    running.children().into_iter().find(|&child| process_name(child).is_some_and(|found| found.starts_with(wanted)))
}

/// A capture, and everything that it fills.
fn catalog(capture: &str) -> String {
    let mut text = format!("captures:\n  nyc:\n{capture}collections:\n");
    for (table, key) in TABLES {
        text += &format!("  nyc/{table}: {{ key: {key} }}\n");
    }
    text += "materializations:\n";
    let into = [("sqlite", "./copy.db", "table", ""), ("files", "./out", "name", ", delta_updates: true")];
    for (connector, path, resource, delta) in
        into.into_iter().chain([("parquet", "./lake", "name", ", delta_updates: true")])
    {
        text +=
            &format!("  to-{connector}:\n    connector: {connector}\n    config: {{ path: {path} }}\n    bindings:\n");
        for (table, _) in TABLES {
            text += &format!("      - {{ collection: nyc/{table}, resource: {{ {resource}: {table} }}{delta} }}\n");
        }
    }
    text
}

fn from_files() -> String {
    let mut text =
        "    connector: files\n    config: { path: ./data, format: csv, null_values: [\"NA\", \"\"] }\n    bindings:\n"
            .to_owned();
    for (table, _) in TABLES {
        text += &format!("      - {{ resource: {{ glob: {table}.csv }}, collection: nyc/{table} }}\n");
    }
    text
}

fn from_sqlite() -> String {
    let mut text =
        "    connector: sqlite\n    config: { path: ./nyc.db, poll_interval: 100ms }\n    bindings:\n".to_owned();
    for (table, _) in TABLES {
        text += &format!("      - {{ resource: {{ table: {table} }}, collection: nyc/{table} }}\n");
    }
    text
}

/// A database with the flights and the weather: what the demo makes of the files.
fn lay_database(scene: &Scene) {
    let kept = nyc::CATALOG.split("  archive:").next().expect("a catalog");
    scene.write("flights.yaml", kept);
    scene.longshore(["run", "--until", "caught-up", "flights.yaml"]).expect_code(0);
    std::fs::remove_dir_all(scene.join(".longshore")).expect("forget how it was made");
}

#[track_caller]
fn everything_is_there_once(data: &Path, scene: &Scene, flights: u64) {
    let lake = Lake::directory(scene);
    for (table, rows) in [("flights", flights), ("weather", 26_115)] {
        let csv = data.join(format!("{table}.csv"));
        let expected = destination::csv(&csv);
        assert_eq!(expected.rows, rows, "{table}");
        assert_eq!(destination::table(&scene.join("copy.db"), table), expected, "{table} in SQLite");
        assert_eq!(destination::jsonl_of(&scene.join("out").join(table), &csv), expected, "{table} in JSON lines");
        let found = lake.ask(&["compare", csv.to_str().expect("a path")], table);
        assert_eq!(found["duckdb"], json!({ "rows": rows, "missing": 0, "extra": 0 }), "{table} in Parquet: {found}");
    }
}

/// Kills until every pair had its share, and compares after each run. The ledger's line.
fn kill_and_compare(test: &str, lay: impl Fn(&Scene)) -> String {
    let mut work = Work::planned();
    while !work.is_done() {
        let scene = work.scene();
        lay(&scene);
        let mut running = scene.start(RUN);
        for _ in 0..KILLS_A_RUN {
            running = match work.kill_one(&scene, running, &RUN) {
                Ok(running) => running,
                Err(ended) => {
                    running = ended;
                    break;
                }
            };
        }
        running.finish().expect_code(0);
        everything_is_there_once(&scene.join("data"), &scene, work.flights());
    }
    work.told(test)
}

#[test]
fn from_files_to_every_destination() {
    let told = kill_and_compare("pairs-from-files", |scene| {
        scene.write("longshore.yaml", catalog(&from_files()));
    });
    println!("{told}");
}

#[test]
fn from_sqlite_to_every_destination() {
    let told = kill_and_compare("pairs-from-sqlite", |scene| {
        lay_database(scene);
        scene.write("longshore.yaml", catalog(&from_sqlite()));
    });
    println!("{told}");
}

/// One runtime posts what it captures from SQLite, another takes it and fills the destinations.
#[test]
fn by_way_of_webhooks_to_every_destination() {
    let mut work = Work::planned();
    while !work.is_done() {
        let (sender, receiver, port) = (work.scene(), Scene::new(), free_port());
        lay_database(&sender);
        sender.write("longshore.yaml", posting(port));
        receiver.write("longshore.yaml", catalog(&taking(port)));
        let mut takes = receiver.start(["run"]);
        let mut posts = sender.start(RUN);
        for _ in 0..KILLS_A_RUN {
            takes = match work.kill_one(&receiver, takes, &["run"]) {
                Ok(takes) => takes,
                Err(ended) => panic!("it ended:\n{}", ended.finish().stderr),
            };
            // Who posts is killed with whom it posts to.
            if posts.is_running() && work.dice.below(2) == 0 {
                killing::kill_a_connector(&posts, &mut work.dice);
            }
        }
        posts.finish().expect_code(0);
        takes.kill();
        receiver.longshore(RUN).expect_code(0);
        everything_is_there_once(&sender.join("data"), &receiver, work.flights());
    }
    println!("{}", work.told("pairs-by-webhook"));
}

fn posting(port: u16) -> String {
    let captured = catalog(&from_sqlite());
    let (before, _) = captured.split_once("materializations:").expect("a catalog");
    let mut text = format!(
        "{before}materializations:\n  hooks:\n    connector: webhook\n    config: {{ url: 'http://127.0.0.1:{port}/in', token: fairly-secret, \
         batch_documents: 2000 }}\n    bindings:\n"
    );
    for (table, _) in TABLES {
        text +=
            &format!("      - {{ collection: nyc/{table}, resource: {{ path: /{table} }}, delta_updates: true }}\n");
    }
    text
}

fn taking(port: u16) -> String {
    let mut text = format!(
        "    connector: webhook\n    config: {{ listen: '127.0.0.1:{port}', token: fairly-secret }}\n    bindings:\n"
    );
    for (table, _) in TABLES {
        text += &format!("      - {{ resource: {{ path: /in/{table} }}, collection: nyc/{table} }}\n");
    }
    text
}
