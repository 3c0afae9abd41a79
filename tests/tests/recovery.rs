//! How long it takes from the start of a runtime that was killed until something new is committed at the destination, with a hundred bindings
//! and a journal that has grown.
//!
//! `LONGSHORE_JOURNAL_MIB` sets how much is in the journal (32 by default; `cargo xtask test --long` asks for 1,024), and from 1,024 on the figures
//! are held to what is promised: elsewhere no test asserts a time.

#![allow(clippy::disallowed_methods, reason = "what is measured is a time")]

use std::time::{Duration, Instant};

use longshore_tests::destination;
use longshore_tests::dice::number;
use longshore_tests::scene::Scene;
use serde_json::json;

const BINDINGS: u64 = 100;
const BODY_BYTES: u64 = 8_000;
/// Of a hundred restarts 99 take no longer, with this much in the journal.
const P99_MAX: Duration = Duration::from_secs(3);
const PROMISED_MIB: u64 = 1_024;

/// A hundred streams into a hundred tables, up to this transaction of each; what fills the journal stays out of the tables.
fn catalog(scene: &Scene, transactions: u64, rate: &str) {
    let each = |binding: &dyn Fn(u64) -> String| (0..BINDINGS).map(binding).collect::<String>();
    let streams = each(&|i| format!("      - {{ resource: {{ stream: s{i} }}, collection: c/s{i} }}\n"));
    let collections = each(&|i| format!("  c/s{i}: {{ key: [/id] }}\n"));
    let tables = each(&|i| {
        format!(
            "      - {{ collection: c/s{i}, resource: {{ table: s{i} }}, delta_updates: true, fields: {{ exclude: [body] }} }}\n"
        )
    });
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  in:\n    connector: generator\n    config: {{ count: {transactions}, documents: 1, body_bytes: [{BODY_BYTES}]{rate} }}\n    \
             bindings:\n{streams}collections:\n{collections}materializations:\n  out:\n    connector: sqlite\n    config: {{ path: ./out.db }}\n    \
             bindings:\n{tables}"
        ),
    );
}

fn rows(scene: &Scene) -> i64 {
    destination::number(&scene.join("out.db"), "SELECT count(*) FROM s0")
}

fn journal_mib(scene: &Scene) -> u64 {
    let told = scene.longshore(["journal", "list", "--json"]).expect_code(0).objects("journal");
    told[0]["bytes"].as_u64().expect("bytes of the journal") >> 20
}

/// Starts it, waits for something new, and kills it: so many times. Sorted.
fn restarts(scene: &Scene, times: u64) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let before = rows(scene);
            let begun = Instant::now();
            let mut running = scene.start(["run"]);
            assert!(running.wait_until(|| rows(scene) > before), "something new arrives");
            let took = begun.elapsed();
            running.kill();
            took
        })
        .collect();
    took.sort_unstable();
    took
}

/// Of so many in a hundred, the slowest; of sorted times.
fn slowest(took: &[Duration], of_hundred: usize) -> Duration {
    took[(took.len() * of_hundred).div_ceil(100).max(1) - 1]
}

#[test]
fn who_was_killed_is_soon_back_however_much_there_is_in_the_journal() {
    let mib = number("LONGSHORE_JOURNAL_MIB", 32);
    let times = if mib < PROMISED_MIB { 3 } else { 100 };
    let scene = Scene::new();
    let mut found = Vec::new();
    let mut transactions = 0;
    for part in [mib / 8, mib] {
        transactions = transactions.max((part << 20) / (BINDINGS * BODY_BYTES));
        catalog(&scene, transactions, "");
        scene.longshore(["run", "--until", "caught-up"]).expect_code(0);
        catalog(&scene, u64::from(u32::MAX), ", rate: 20");
        let is = journal_mib(&scene);
        assert!(is >= part * 9 / 10, "{is} MiB in the journal, expected {part}");
        let took = restarts(&scene, times);
        let (p50, p99) = (slowest(&took, 50), slowest(&took, 99));
        found.push(json!({ "journal_mib": is, "restarts": times, "p50_ms": p50.as_millis() as u64, "p99_ms": p99.as_millis() as u64 }));
        assert!(mib < PROMISED_MIB || p99 <= P99_MAX, "{found:?}");
        transactions = rows(&scene).cast_unsigned();
    }
    println!("ledger: {}", json!({ "test": "recovery", "bindings": BINDINGS, "recovery": found }));
}
