//! Ten thousand bindings in one task, a thousand tasks in one catalog: they run to their end, everything arrives once, within the memory, and
//! whoever asks meanwhile is answered.
//!
//! `LONGSHORE_BINDINGS` and `LONGSHORE_TASKS` set how many; by default there are fewer (`cargo xtask test --long` asks for all of them).

#![allow(clippy::disallowed_methods, reason = "what is measured is a time")]

use std::process::Command;
use std::time::{Duration, Instant};

use longshore_tests::destination;
use longshore_tests::dice::number;
use longshore_tests::memory::{Peaks, descriptors, peak, resident_bytes, runtime_max_bytes, threads};
use longshore_tests::scene::{Running, Scene, bin_dir, is_alive, is_connector};
use rustix::process::Signal;
use serde_json::json;

/// Documents of each binding or task.
const DOCUMENTS: u64 = 3;
/// What a binding may cost the runtime beyond the budget of its task.
const BINDING_BYTES: u64 = 80_000;
/// What a task may cost the runtime that has nothing to do.
const TASK_BYTES: u64 = 2_000_000;
/// An orderly stop of tasks that have nothing under way.
const STOP_MAX: Duration = Duration::from_secs(60);
/// No single run of a thousand tasks takes longer.
const RUN_MAX: Duration = Duration::from_secs(900);

fn each(count: u64, line: impl Fn(u64) -> String) -> String {
    (0..count).map(line).collect()
}

/// So many streams of one capture into so many tables of one database.
fn bindings(scene: &Scene, count: u64, documents: u64) {
    let streams = each(count, |i| format!("      - {{ resource: {{ stream: s{i} }}, collection: c/s{i} }}\n"));
    let collections = each(count, |i| format!("  c/s{i}: {{ key: [/id] }}\n"));
    // Rows by key, and every document, in turn.
    let target =
        |i| format!("      - {{ collection: c/s{i}, resource: {{ table: s{i} }}, delta_updates: {} }}\n", i % 2 == 1);
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  in:\n    connector: generator\n    config: {{ count: {documents}, documents: 1, keys: 100, body_bytes: [20] }}\n    \
             bindings:\n{streams}collections:\n{collections}materializations:\n  out:\n    connector: sqlite\n    config: {{ path: ./out.db }}\n    bindings:\n{targets}",
            targets = each(count, target)
        ),
    );
}

#[test]
fn ten_thousand_bindings_of_one_task_are_moved_within_the_memory() {
    let count = number("LONGSHORE_BINDINGS", 1_000);
    let scene = Scene::new();
    let mut found = Vec::new();
    let runs =
        [(DOCUMENTS, "3 documents, from nothing"), (DOCUMENTS, "nothing new"), (DOCUMENTS * 2, "3 documents more")];
    for (documents, what) in runs {
        bindings(&scene, count, documents);
        let begun = Instant::now();
        let mut running = scene.start(["run", "--until", "caught-up", "--json"]).within(RUN_MAX);
        let peaks = Peaks::of(&mut running);
        running.finish().expect_code(0);
        let seconds = begun.elapsed().as_secs_f64();
        found.push(json!({
            "what": what, "seconds": seconds,
            "runtime_rss_bytes": peaks.runtime_bytes, "connectors_rss_bytes": peaks.connectors_bytes,
        }));
        let budget = runtime_max_bytes(2) + count * BINDING_BYTES;
        assert!(peaks.runtime_bytes <= budget, "over {budget}: {found:?}");
        each_once(&scene, count, documents);
    }
    println!("ledger: {}", json!({ "test": "bindings", "bindings": count, "runs": found }));
}

/// Each table has each document, once.
#[track_caller]
fn each_once(scene: &Scene, tables: u64, documents: u64) {
    let database = rusqlite::Connection::open(scene.join("out.db")).expect("open the database");
    for i in 0..tables {
        let query = format!("SELECT count(*), sum(txn), sum(txn * txn) FROM s{i}");
        let row = database.query_row(&query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let row: (i64, i64, i64) = row.unwrap_or_else(|error| panic!("{query}: {error}"));
        let all = 1..=documents.cast_signed();
        let expected = (documents.cast_signed(), all.clone().sum(), all.map(|txn| txn * txn).sum());
        assert_eq!(row, expected, "table s{i}: documents, and what tells them apart");
    }
}

/// Of what is sent in one message no more fits than 40 MiB.
#[test]
fn bindings_that_do_not_fit_into_a_message_are_refused_by_name_and_with_the_way_out() {
    let scene = Scene::new();
    let (count, about) = (45, "x".repeat(1 << 20));
    let streams = each(count, |i| format!("      - {{ resource: {{ stream: s{i} }}, collection: c/s{i} }}\n"));
    let schema = format!("{{ type: object, description: {about}, properties: {{ id: {{ type: integer }} }} }}");
    let collections = each(count, |i| format!("  c/s{i}: {{ key: [/id], schema: {schema} }}\n"));
    let catalog = format!(
        "captures:\n  in:\n    connector: generator\n    config: {{ count: 1 }}\n    bindings:\n{streams}collections:\n{collections}"
    );
    scene.write("longshore.yaml", catalog);
    for words in [&["check"][..], &["run", "--until", "caught-up"]] {
        let refused = scene.longshore(words).expect_code(2);
        for named in ["connector.too_many_bindings", "Validate", "41943040", "among several tasks"] {
            assert!(refused.stderr.contains(named), "expected {named} in\n{}", refused.stderr);
        }
    }
}

/// So many tasks: half of them captures, each into a table of a database of its own.
fn tasks(scene: &Scene, count: u64, documents: u64) {
    let captures = each(count / 2, |i| {
        format!(
            "  in{i}: {{ connector: generator, config: {{ count: {documents}, documents: 1, keys: 100 }}, \
             bindings: [{{ resource: {{ stream: s }}, collection: c/s{i} }}] }}\n"
        )
    });
    let collections = each(count / 2, |i| format!("  c/s{i}: {{ key: [/id] }}\n"));
    let materializations = each(count / 2, |i| {
        format!(
            "  out{i}: {{ connector: sqlite, config: {{ path: ./out{i}.db }}, \
             bindings: [{{ collection: c/s{i}, resource: {{ table: s }}, delta_updates: true }}] }}\n"
        )
    });
    scene.write(
        "longshore.yaml",
        format!("captures:\n{captures}collections:\n{collections}materializations:\n{materializations}"),
    );
}

/// As a shell starts it that allows fewer open files than it needs, and more to who asks.
fn few_files(scene: &Scene, words: &str) -> Running {
    let mut command = Command::new("sh");
    let script = format!("ulimit -S -n 128 && exec \"$0\" {words}");
    command.args(["-c", &script]).arg(bin_dir().join("longshore"));
    scene.start_command(command)
}

/// What a runtime and its connectors take.
#[derive(Debug, Default)]
struct Costs {
    connectors: usize,
    connectors_bytes: u64,
    threads: usize,
    descriptors: usize,
}

impl Costs {
    fn of(running: &Running) -> Self {
        let connectors: Vec<u32> = running.children().into_iter().filter(|&child| is_connector(child)).collect();
        Self {
            connectors: connectors.len(),
            connectors_bytes: connectors.iter().map(|&process| resident_bytes(process)).sum(),
            threads: threads(running.id()),
            descriptors: descriptors(running.id()),
        }
    }
}

#[test]
fn a_thousand_tasks_of_one_catalog_come_to_their_end_and_stop_in_order() {
    let count = number("LONGSHORE_TASKS", 60);
    let scene = Scene::new();
    tasks(&scene, count, DOCUMENTS);
    let begun = Instant::now();
    let mut running = few_files(&scene, "run --until caught-up").within(RUN_MAX);
    let ended_peaks = Peaks::of(&mut running);
    running.finish().expect_code(0);
    let to_the_end = begun.elapsed();
    all_once(&scene, count, DOCUMENTS);

    // Again, with more, and without an end: until all of it is there, and nobody has anything more to do.
    tasks(&scene, count, DOCUMENTS * 2);
    let begun = Instant::now();
    let mut running = few_files(&scene, "run").within(RUN_MAX);
    let mut arrived = 0;
    let all = running.wait_until(|| {
        arrived += u64::from(arrived < count / 2 && rows(&scene, arrived) == DOCUMENTS * 2);
        arrived == count / 2
    });
    assert!(all && running.is_running(), "{arrived} of {} have arrived", count / 2);
    let to_rest = begun.elapsed();
    let costs = Costs::of(&running);
    let asked = Instant::now();
    let told = scene.longshore(["status", "--json"]).expect_code(0);
    let to_answer = asked.elapsed();
    assert_eq!(told.objects("task").len() as u64, count, "the status tells of each");
    let peak_bytes = peak(running.id()).map_or(0, |(_, bytes)| bytes);
    let connectors = running.children();
    let asked = Instant::now();
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    let to_stop = asked.elapsed();
    println!(
        "ledger: {}",
        json!({
            "test": "tasks", "tasks": count, "seconds_to_the_end": to_the_end.as_secs_f64(), "seconds_to_rest": to_rest.as_secs_f64(),
            "seconds_to_answer": to_answer.as_secs_f64(), "seconds_to_stop": to_stop.as_secs_f64(),
            "runtime_rss_bytes": peak_bytes.max(ended_peaks.runtime_bytes), "connectors": costs.connectors,
            "connectors_rss_bytes": costs.connectors_bytes, "threads": costs.threads, "descriptors": costs.descriptors,
        })
    );
    assert_eq!(costs.connectors as u64, count, "each task has its connector: {costs:?}");
    assert!(!connectors.iter().any(|&connector| is_alive(connector)), "a connector outlives an orderly stop");
    assert!(to_stop < STOP_MAX, "the stop took {to_stop:?}");
    let budget = runtime_max_bytes(1) + count * TASK_BYTES;
    assert!(peak_bytes <= budget, "the runtime had {peak_bytes} bytes, over {budget}");
    all_once(&scene, count, DOCUMENTS * 2);
}

fn rows(scene: &Scene, task: u64) -> u64 {
    destination::number(&scene.join(format!("out{task}.db")), "SELECT count(*) FROM s").cast_unsigned()
}

#[track_caller]
fn all_once(scene: &Scene, tasks: u64, documents: u64) {
    for task in 0..tasks / 2 {
        let database = scene.join(format!("out{task}.db"));
        let sum = destination::number(&database, "SELECT sum(txn) FROM s").cast_unsigned();
        assert_eq!((rows(scene, task), sum), (documents, (1..=documents).sum()), "of task {task}");
    }
}
