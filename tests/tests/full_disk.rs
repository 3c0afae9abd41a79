//! A disk that fills up, under the journal or under a destination: the task says so and waits, what is durable stays, and when there is
//! room it goes on by itself, with each document there once. A task store that fails otherwise ends the run: nobody knows what is on disk.

use std::time::Duration;

use longshore_tests::destination;
use longshore_tests::killing::kill;
use longshore_tests::scene::{Running, Scene, holds_within, is_connector};
use longshore_tests::small_disk::SmallDisk;
use rustix::process::Signal;
use serde_json::Value;

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 64 * MIB;
/// Until room is made, less is free than all documents need.
const TAKEN_BYTES: u64 = 54 * MIB;
const DOCUMENTS: u64 = 400;
const BODY_BYTES: u64 = 64 << 10;
/// What is told of a full disk is there by then.
const TOLD: Duration = Duration::from_secs(60);
/// It goes on by itself: no wait between two tries is longer than 30 s.
const GOES_ON: Duration = Duration::from_secs(120);

/// Documents of 64 KiB from a generator; all that is written to them stands in `destination`.
fn scene(materialization: &str) -> Scene {
    let scene = Scene::new();
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  in:
    connector: generator
    config: {{ count: {DOCUMENTS}, documents: 1, keys: {DOCUMENTS}, body_bytes: [{BODY_BYTES}] }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: full/s }}
collections:
  full/s: {{ key: [/id] }}
materializations:
  out:
{materialization}"
        ),
    );
    scene
}

const SQLITE: &str = "    connector: sqlite
    config: { path: PATH/out.db }
    bindings:
      - { collection: full/s, resource: { table: s }, delta_updates: true }
";
const FILES: &str = "    connector: files
    config: { path: PATH/out, format: jsonl }
    bindings:
      - { collection: full/s, resource: { name: s }, delta_updates: true }
";

/// What a task of the running one says of its last failure.
fn last_error(disk: &SmallDisk, scene: &Scene, words: &[&str], task: &str) -> Option<Value> {
    let status = scene.start_command(disk.longshore(&[&["status", "--json"], words].concat())).finish();
    let found = status.objects("task").into_iter().find(|one| one["task"] == task)?;
    Some(found["last_error"].clone()).filter(|error| !error.is_null())
}

/// Waits until the disk is full and a task says so, and what to do about it.
#[track_caller]
fn says_so(running: &mut Running, disk: &SmallDisk, scene: &Scene, words: &[&str], task: &str) -> Value {
    let mut said = None;
    holds_within(TOLD, || {
        said = last_error(disk, scene, words, task);
        said.is_some() || !running.is_running()
    });
    let said = said.unwrap_or_else(|| panic!("nothing is told of a full disk; {} bytes are free", disk.free_bytes()));
    assert_eq!(said["kind"], "unavailable", "{said}");
    assert!(said["help"].as_str().is_some_and(|help| help.contains("make room")), "{said}");
    assert!(running.is_running(), "it waits");
    said
}

#[track_caller]
fn all_once_in_table(path: &std::path::Path) {
    let number = |query: &str| destination::number(path, query).cast_unsigned();
    let found = (
        number("SELECT count(*) FROM s"),
        number("SELECT count(DISTINCT txn) FROM s"),
        number("SELECT sum(length(body)) FROM s"),
    );
    assert_eq!(found, (DOCUMENTS, DOCUMENTS, DOCUMENTS * BODY_BYTES), "documents, different ones, bytes of bodies");
}

/// What the destination is said to hold.
fn told_rows(disk: &SmallDisk, scene: &Scene) -> u64 {
    let status = scene.start_command(disk.longshore(&["status", "--json"])).finish();
    let out = status.objects("task").into_iter().find(|task| task["task"] == "out");
    out.and_then(|task| task["bindings"][0]["rows"].as_u64()).unwrap_or(0)
}

fn rows(path: &std::path::Path) -> u64 {
    if !path.exists() {
        return 0;
    }
    let connection = rusqlite::Connection::open(path).expect("open the table");
    connection.query_row("SELECT count(*) FROM s", [], |row| row.get::<_, i64>(0)).map_or(0, i64::cast_unsigned)
}

#[test]
fn a_full_disk_under_the_journal_is_told_and_waited_for() {
    let scene = scene(&SQLITE.replace("PATH", "."));
    let disk = SmallDisk::new(&scene, DISK_BYTES, TAKEN_BYTES);
    let state = ["--state-dir", "disk/state"];
    let mut running = scene.start_command(disk.longshore(&[&["run"], &state[..]].concat()));
    says_so(&mut running, &disk, &scene, &state, "in");
    assert!(disk.free_bytes() < MIB, "{} bytes are free", disk.free_bytes());
    disk.make_room();
    let out = scene.join("out.db");
    let mut arrived = 0;
    let all = holds_within(GOES_ON, || {
        arrived = rows(&out);
        arrived >= DOCUMENTS || !running.is_running()
    });
    assert!(all, "{arrived} of {DOCUMENTS} documents arrived");
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    all_once_in_table(&out);
    let again = [&["run", "--until", "caught-up"], &state[..]].concat();
    scene.start_command(disk.longshore(&again)).finish().expect_code(0);
    all_once_in_table(&out);
}

#[test]
fn stopped_or_killed_while_the_disk_is_full_nothing_is_lost() {
    for killed in [false, true] {
        let scene = scene(&SQLITE.replace("PATH", "."));
        let disk = SmallDisk::new(&scene, DISK_BYTES, TAKEN_BYTES);
        let state = ["--state-dir", "disk/state"];
        let mut running = scene.start_command(disk.longshore(&[&["run"], &state[..]].concat()));
        says_so(&mut running, &disk, &scene, &state, "in");
        if killed {
            running.kill();
        } else {
            running.signal(Signal::TERM);
            running.finish().expect_code(0);
        }
        disk.make_room();
        let again = [&["run", "--until", "caught-up"], &state[..]].concat();
        scene.start_command(disk.longshore(&again)).finish().expect_code(0);
        all_once_in_table(&scene.join("out.db"));
    }
}

#[test]
fn a_full_disk_under_a_database_is_told_and_waited_for() {
    let scene = scene(&SQLITE.replace("PATH", "./disk"));
    let disk = SmallDisk::new(&scene, DISK_BYTES * 2, TAKEN_BYTES * 2);
    let mut running = scene.start_command(disk.longshore(&["run"]));
    let said = says_so(&mut running, &disk, &scene, &[], "out");
    assert_eq!(said["code"], "sqlite.full", "{said}");
    disk.make_room();
    let all = holds_within(GOES_ON, || told_rows(&disk, &scene) >= DOCUMENTS || !running.is_running());
    assert!(all && running.is_running(), "{} of {DOCUMENTS} documents arrived", told_rows(&disk, &scene));
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    scene.start_command(disk.longshore(&["run", "--until", "caught-up"])).finish().expect_code(0);
    all_once_in_table(&disk.copy_database("out.db"));
}

#[test]
fn a_full_disk_under_files_is_told_and_waited_for() {
    let scene = scene(&FILES.replace("PATH", "./disk"));
    let disk = SmallDisk::new(&scene, DISK_BYTES, TAKEN_BYTES);
    let mut running = scene.start_command(disk.longshore(&["run"]));
    let said = says_so(&mut running, &disk, &scene, &[], "out");
    assert_eq!(said["code"], "files.full", "{said}");
    disk.make_room();
    let transactions = || -> Vec<u64> {
        let documents = destination::documents(&disk.join("out/s"));
        let mut found: Vec<u64> = documents.iter().filter_map(|document| document["txn"].as_u64()).collect();
        found.sort_unstable();
        found
    };
    assert!(
        holds_within(GOES_ON, || transactions().len() as u64 >= DOCUMENTS || !running.is_running()),
        "all documents arrive"
    );
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    scene.start_command(disk.longshore(&["run", "--until", "caught-up"])).finish().expect_code(0);
    assert_eq!(transactions(), (1..=DOCUMENTS).collect::<Vec<_>>(), "each document, once");
}

#[test]
fn a_task_store_that_fails_ends_the_run_and_says_so() {
    let scene = scene(&SQLITE.replace("PATH", "."));
    let mut running = scene.start(["run"]);
    let out = scene.join("out.db");
    assert!(running.wait_until(|| rows(&out) == DOCUMENTS), "all documents arrive");
    let store = rusqlite::Connection::open(scene.join(".longshore/state.db")).expect("open the task store");
    store.busy_timeout(TOLD).expect("a time limit");
    store.execute_batch("ALTER TABLE task RENAME TO elsewhere").expect("break the task store");
    // The session that follows takes an epoch, and cannot.
    let capture = running.children().into_iter().find(|&child| is_connector(child)).expect("a connector");
    assert!(kill(capture));
    let ended = running.finish().expect_code(1);
    assert!(ended.stderr.contains("see that the disk is well, then start again"), "{}", ended.stderr);
    store.execute_batch("ALTER TABLE elsewhere RENAME TO task").expect("mend the task store");
    scene.longshore(["run", "--until", "caught-up"]).expect_code(0);
    all_once_in_table(&out);
}
