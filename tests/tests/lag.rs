//! How far a capture is behind its source, as `longshore status` tells it, and what the source has to keep of its log meanwhile: with a
//! destination that is away, with a database where nothing happens beside a busy one, and with a connector that hangs.

use longshore_postgres::testing::Server;
use longshore_tests::busy::{self, Tireless};
use longshore_tests::scene::{Running, Scene};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const STATUS: [&str; 2] = ["status", "--json"];
/// So old may be what is told of a capture that is quiet, with room for a slow machine.
const QUIET_MS: u64 = 4_000;
/// A quiet database follows its neighbour every 10 s.
const FOLLOWS_MS: u64 = 20_000;
const MIB: u64 = 1 << 20;
/// What a server that nobody writes to adds to its log by itself.
const LITTLE: u64 = 64 << 10;

fn scene(from: &Server, to: &Server) -> Scene {
    let scene = Scene::new();
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  src:
    connector: postgres
    config: {{ url: \"{}\" }}
    bindings: [ {{ resource: {{ table: bench }}, collection: pg/bench }} ]
collections: {{ pg/bench: {{ key: [/id] }} }}
materializations:
  dst:
    connector: postgres
    config: {{ url: \"{}\" }}
    bindings: [ {{ collection: pg/bench, resource: {{ table: bench }} }} ]
",
            from.url("shop"),
            to.url("copy")
        ),
    );
    scene
}

fn source() -> Server {
    let server = Server::start("");
    server.run("postgres", "CREATE DATABASE shop");
    busy::make(&server, "shop", 2_000);
    server
}

fn destination() -> Server {
    let server = Server::start("");
    server.run("postgres", "CREATE DATABASE copy");
    server
}

/// Bytes of its log that the server keeps for the slot.
fn kept(server: &Server) -> u64 {
    let ask = "SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint FROM pg_replication_slots";
    server.run("postgres", ask).parse().expect("a number")
}

/// Where the server's log ends.
fn end(server: &Server) -> u64 {
    server.run("postgres", "SELECT (pg_current_wal_lsn() - '0/0')::bigint").parse().expect("a number")
}

fn task(scene: &Scene, name: &str) -> Option<Value> {
    scene.longshore(STATUS).objects("task").into_iter().find(|task| task["task"] == name)
}

/// Bytes and milliseconds that the capture says it is behind.
fn lag(scene: &Scene) -> Option<(u64, u64)> {
    let lag = &task(scene, "src")?["lag"];
    Some((lag["bytes"].as_u64()?, lag["ms"].as_u64()?))
}

#[track_caller]
fn until(running: &mut Running, what: &str, condition: impl FnMut() -> bool) {
    assert!(running.wait_until(condition), "{what}");
}

/// Waits until the capture is no further behind than this.
#[track_caller]
fn near(running: &mut Running, scene: &Scene, bytes: u64, ms: u64) {
    until(running, "the capture follows", || lag(scene).is_some_and(|lag| lag.0 <= bytes && lag.1 <= ms));
}

#[test]
fn a_destination_that_is_away_holds_nothing_of_the_sources_log_and_is_said_to_be_behind() {
    let (from, mut to) = (source(), destination());
    let scene = scene(&from, &to);
    let mut running = scene.start(["run"]);
    near(&mut running, &scene, 0, QUIET_MS);
    until(&mut running, "the copy is made", || task(&scene, "dst").is_some_and(|task| task["behind"] == 0));
    to.down();
    let begun = end(&from);
    let writer = Tireless::changing(&from, "shop", 4_000);
    until(&mut running, "the source writes 8 MiB", || end(&from) > begun + 8 * MIB);
    until(&mut running, "the server keeps little", || kept(&from) < MIB);
    near(&mut running, &scene, MIB, 5_000);
    let behind = task(&scene, "dst").expect("a task")["behind"].as_u64().expect("a number");
    assert!(behind > 1_000, "documents wait in the journal: {behind}");
    drop(writer);
    to.up();
    until(&mut running, "the copy follows", || task(&scene, "dst").is_some_and(|task| task["behind"] == 0));
    near(&mut running, &scene, 0, QUIET_MS);
    assert!(kept(&from) < LITTLE, "nothing that the capture said is durable is kept");
    running.kill();
}

#[test]
fn a_quiet_database_beside_a_busy_one_lets_go_of_the_log() {
    let (from, to) = (source(), destination());
    from.run("postgres", "CREATE DATABASE busy");
    busy::make(&from, "busy", 1_000);
    let scene = scene(&from, &to);
    let mut running = scene.start(["run"]);
    near(&mut running, &scene, 0, QUIET_MS);
    let begun = end(&from);
    let writer = Tireless::changing(&from, "busy", 4_000);
    until(&mut running, "the neighbour writes 8 MiB", || end(&from) > begun + 8 * MIB);
    let written = end(&from);
    // Its own question is at most some seconds old, and what it says is durable it has told the server.
    until(&mut running, "the slot is past that", || end(&from) - kept(&from) >= written);
    let told = lag(&scene).expect("it is known");
    assert!(told.1 <= FOLLOWS_MS, "{told:?}");
    drop(writer);
    near(&mut running, &scene, 0, QUIET_MS);
    running.kill();
}

#[test]
fn a_capture_that_hangs_is_said_to_fall_behind() {
    let (from, to) = (source(), destination());
    let scene = scene(&from, &to);
    let mut running = scene.start(["run"]);
    near(&mut running, &scene, 0, QUIET_MS);
    let connector = task(&scene, "src").and_then(|task| task["connector"]["pid"].as_u64()).expect("a process");
    let connector = Pid::from_raw(i32::try_from(connector).expect("a process id")).expect("a process id");
    kill_process(connector, Signal::STOP).expect("stopped");
    busy::change(&from, "shop", 4_000);
    until(&mut running, "the lag grows", || lag(&scene).is_some_and(|lag| lag.1 > 2 * QUIET_MS));
    kill_process(connector, Signal::CONT).expect("goes on");
    near(&mut running, &scene, 0, QUIET_MS);
    assert!(kept(&from) < LITTLE);
    running.kill();
    assert!(task(&scene, "src").is_none(), "nobody is there to say it");
}
