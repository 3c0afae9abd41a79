//! However large the documents and however slow the destination: it goes on, within its memory, and what is too large is refused by name.
//!
//! By default each case moves a few times what the runtime may hold in memory; `LONGSHORE_BOUNDS=full` moves ten times that. The slow destination
//! takes its time for `LONGSHORE_SLOW_SECONDS` (`cargo xtask test --long` asks for 300), under a limit of memory.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "times of runs are part of what is shown")]

use std::time::{Duration, Instant};

use longshore_tests::destination;
use longshore_tests::dice::number;
use longshore_tests::memory::{Peaks, runtime_max_bytes};
use longshore_tests::memory_limit::MemoryLimit;
use longshore_tests::scene::{Finished, Running, Scene};

const RUN: [&str; 5] = ["run", "--until", "caught-up", "--json", "bounds.yaml"];
const DOCUMENT_MAX_BYTES: usize = 16 << 20;
/// Bytes of a body, and how many of them are moved.
const BODIES: [(u64, u64); 4] = [(200, 50_000), (64 << 10, 3_000), (1 << 20, 200), (8 << 20, 25)];
/// How much slower a destination is than the source, measured.
const SLOWER: f64 = 100.0;
/// So many tell how fast the source is.
const PLAIN_DOCUMENTS: u64 = 6_000;
/// A capture and a materialization.
const TASKS: u64 = 2;
/// What a runtime with a slow destination may have, together with its connectors.
const LIMIT_BYTES: u64 = 256 << 20;

#[test]
fn bodies_of_any_size_pass_as_they_are_within_the_budget() {
    for (body_bytes, documents) in BODIES {
        let documents = documents * times();
        let in_one = if body_bytes < 1_000 { 1_000 } else { 1 };
        let scene = Scene::new();
        let generator = format!(
            "mode: \"null\", body_bytes: [{body_bytes}], documents: {in_one}, count: {count}",
            count = documents / in_one
        );
        into_null(&scene, &generator, "delay: 0ms");
        within_the_budget(&scene, "null", body_bytes).expect_code(0);
        assert_eq!(counted(&scene), documents, "bodies of {body_bytes} bytes");
    }
}

#[test]
fn bodies_of_any_size_become_rows_within_the_budget() {
    for (body_bytes, documents) in BODIES {
        // These are made one by one, and sorted by key.
        let documents = documents / 2 * times();
        let scene = Scene::new();
        scene.write(
            "bounds.yaml",
            format!(
                "captures:
  source:
    connector: generator
    config: {{ count: {documents}, documents: 1, keys: {documents}, body_bytes: [{body_bytes}], transactions_per_checkpoint: {pace} }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: bounds/s }}
collections:
  bounds/s: {{ key: [/id] }}
materializations:
  sink:
    connector: sqlite
    config: {{ path: ./bounds.db }}
    bindings:
      - {{ collection: bounds/s, resource: {{ table: s }} }}
",
                pace = if body_bytes < 1_000 { 1_000 } else { 1 },
            ),
        );
        within_the_budget(&scene, "sqlite", body_bytes).expect_code(0);
        let number = |query: &str| destination::number(&scene.join("bounds.db"), query).cast_unsigned();
        let stored = (number("SELECT count(*) FROM s"), number("SELECT sum(length(body)) FROM s"));
        assert_eq!(stored, (documents, documents * body_bytes), "rows and bytes of bodies");
    }
}

#[test]
fn a_destination_a_hundred_times_slower_neither_stalls_nor_fills_the_memory() {
    let body_bytes = 64 << 10;
    let of = |documents: u64| format!("mode: \"null\", body_bytes: [{body_bytes}], documents: 1, count: {documents}");
    let plain = Scene::new();
    into_null(&plain, &of(PLAIN_DOCUMENTS), "delay: 0ms");
    let seconds = seconds_of(&plain);
    // Nothing is new the second time: what is left is to start and to end.
    let to_move = (seconds - seconds_of(&plain)).max(f64::MIN_POSITIVE);
    assert_eq!(counted(&plain), PLAIN_DOCUMENTS);
    let plain_rate = PLAIN_DOCUMENTS as f64 / to_move;

    // More than the runtime may hold in memory. Each document waits, so the destination is never faster than this.
    let delay_us = (1e6 * SLOWER * 1.1 / plain_rate).ceil();
    let lasts = number("LONGSHORE_SLOW_SECONDS", 0);
    let documents = (1_100 * times()).max((lasts as f64 * 1e6 / delay_us).ceil() as u64);
    let scene = Scene::new();
    into_null(&scene, &of(documents), &format!("delay: {delay_us}us, delay_per: document"));
    let limit = MemoryLimit::new(LIMIT_BYTES);
    let begun = Instant::now();
    let running = scene.start_command(limit.longshore(&RUN)).within(Duration::from_secs(300 + 2 * lasts));
    let (finished, peaks) = watched(running, "slow", body_bytes);
    assert_eq!(
        (finished.code, limit.kills()),
        (Some(0), 0),
        "under a {} of {LIMIT_BYTES} bytes\n{}",
        limit.kind(),
        finished.stderr
    );
    let seconds = begun.elapsed().as_secs_f64();
    let slow_rate = documents as f64 / seconds;
    println!(
        "ledger: {}",
        serde_json::json!({
            "test": "slower", "plain_per_second": plain_rate, "slow_per_second": slow_rate, "ratio": plain_rate / slow_rate,
            "seconds": seconds, "documents": documents, "body_bytes": body_bytes, "limit": limit.kind(), "limit_bytes": LIMIT_BYTES,
            "runtime_rss_bytes": peaks.runtime_bytes, "connectors_rss_bytes": peaks.connectors_bytes,
        })
    );
    assert!(seconds >= lasts as f64, "it took {seconds} s");
    assert!(peaks.runtime_bytes <= LIMIT_BYTES / 10 * 11, "the runtime had {} bytes", peaks.runtime_bytes);
    assert!(
        plain_rate / slow_rate >= SLOWER,
        "expected a destination {SLOWER} times slower: {plain_rate} and {slow_rate}"
    );
    assert_eq!(counted(&scene), documents);
    let summary = finished.objects("summary").pop().expect("a summary");
    assert!(summary["tasks"].as_array().is_some_and(|tasks| tasks.len() == 2), "{summary}");
}

fn seconds_of(scene: &Scene) -> f64 {
    let begun = Instant::now();
    scene.longshore(RUN).expect_code(0);
    begun.elapsed().as_secs_f64()
}

#[test]
fn a_document_at_the_limit_passes_and_one_byte_more_is_refused_by_name() {
    let scene = Scene::new();
    scene.write(
        "bounds.yaml",
        "captures:
  source:
    connector: files
    config: { path: ./data, format: jsonl, poll_interval: 50ms }
    bindings:
      - { resource: { glob: \"*.jsonl\" }, collection: bounds/s }
collections:
  bounds/s: { key: [/id] }
materializations:
  sink:
    connector: sqlite
    config: { path: ./bounds.db }
    bindings:
      - { collection: bounds/s, resource: { table: s } }
",
    );
    scene.write(
        "data/a.jsonl",
        format!("{}\n{}\n{}\n", of_size(1, 100), of_size(2, DOCUMENT_MAX_BYTES), of_size(3, 100)),
    );
    within_the_budget(&scene, "limit", DOCUMENT_MAX_BYTES as u64).expect_code(0);
    assert_eq!(rows(&scene), (3, 6));

    scene.write("data/b.jsonl", format!("{}\n{}\n", of_size(4, 100), of_size(5, DOCUMENT_MAX_BYTES + 1)));
    let refused = within_the_budget(&scene, "over", DOCUMENT_MAX_BYTES as u64 + 1).expect_code(1);
    let error = refused.objects("error").pop().expect("an error, told");
    assert_eq!((error["kind"].as_str(), error["task"].as_str()), (Some("data"), Some("source")), "{error}");
    let message = error["message"].as_str().expect("a message");
    for named in ["b.jsonl", "bounds/s"] {
        assert!(message.contains(named), "expected {named} in {message}");
    }
    assert!(message.contains("16777217") || message.contains("16 MiB"), "expected the size in {message}");

    // The document is made shorter, and everything is there once.
    scene.write("data/b.jsonl", format!("{}\n{}\n", of_size(4, 100), of_size(5, DOCUMENT_MAX_BYTES)));
    scene.longshore(RUN).expect_code(0);
    assert_eq!(rows(&scene), (5, 15));
}

#[test]
fn a_document_over_the_limit_from_any_connector_is_refused_by_name() {
    let scene = Scene::new();
    into_null(&scene, &format!("count: 2, documents: 1, body_bytes: [{DOCUMENT_MAX_BYTES}]"), "delay: 0ms");
    let refused = within_the_budget(&scene, "over", DOCUMENT_MAX_BYTES as u64).expect_code(1);
    let error = refused.objects("error").pop().expect("an error, told");
    assert_eq!(error["kind"], "data", "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("16777216") || message.contains("16 MiB"), "expected the limit in {message}");
    assert!(message.contains("bounds/s"), "expected the collection in {message}");
}

/// Documents with one key each and exactly so many bytes.
fn of_size(id: u32, bytes: usize) -> String {
    let around = format!("{{\"id\":{id},\"body\":\"\"}}").len();
    format!("{{\"id\":{id},\"body\":\"{}\"}}", "x".repeat(bytes - around))
}

fn into_null(scene: &Scene, generator: &str, null: &str) {
    scene.write(
        "bounds.yaml",
        format!(
            "captures:
  source:
    connector: generator
    config: {{ {generator} }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: bounds/s }}
collections:
  bounds/s: {{ key: [/id] }}
materializations:
  sink:
    connector: \"null\"
    config: {{ path: ./null.json, {null} }}
    bindings:
      - {{ collection: bounds/s, resource: {{ name: s }}, delta_updates: true }}
"
        ),
    );
}

/// Runs it, says what memory it took, and that of the runtime was within its budget.
fn within_the_budget(scene: &Scene, case: &str, body_bytes: u64) -> Finished {
    watched(scene.start(RUN), case, body_bytes).0
}

fn watched(mut running: Running, case: &str, body_bytes: u64) -> (Finished, Peaks) {
    let started = Instant::now();
    let peaks = Peaks::of(&mut running);
    let finished = running.finish();
    println!(
        "ledger: {}",
        serde_json::json!({
            "test": "bounds", "case": case, "body_bytes": body_bytes, "seconds": started.elapsed().as_secs_f64(),
            "runtime_rss_bytes": peaks.runtime_bytes, "connectors_rss_bytes": peaks.connectors_bytes,
        })
    );
    let budget = runtime_max_bytes(TASKS);
    for (process, bytes) in peaks.connectors_bytes.iter().map(|(name, bytes)| (name.as_str(), *bytes)) {
        assert!(bytes <= budget, "{case}, bodies of {body_bytes} bytes: {process} had {bytes} bytes, over {budget}");
    }
    let bytes = peaks.runtime_bytes;
    assert!(bytes <= budget, "{case}, bodies of {body_bytes} bytes: the runtime had {bytes} bytes, over {budget}");
    (finished, peaks)
}

fn counted(scene: &Scene) -> u64 {
    let kept = std::fs::read(scene.join("null.json")).expect("what the destination keeps");
    let kept: serde_json::Value = serde_json::from_slice(&kept).expect("JSON");
    kept["documents"].as_u64().unwrap_or_else(|| panic!("no number of documents in {kept}"))
}

/// How many rows there are, and the sum of their keys.
fn rows(scene: &Scene) -> (i64, i64) {
    let number = |query: &str| destination::number(&scene.join("bounds.db"), query);
    (number("SELECT count(*) FROM s"), number("SELECT sum(id) FROM s"))
}

fn times() -> u64 {
    if std::env::var("LONGSHORE_BOUNDS").is_ok_and(|value| value == "full") { 10 } else { 1 }
}
