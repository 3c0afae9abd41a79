//! Connectors that end at once, again and again: each is waited for longer and longer, says what happened, costs nothing meanwhile, and the
//! other tasks go on.
//!
//! `LONGSHORE_DEATHS` sets how many deaths there are in all (60 by default; `cargo xtask test --long` asks for 1,000).

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_tests::destination;
use longshore_tests::dice::number;
use longshore_tests::hostile::program;
use longshore_tests::memory::{descriptors, peak, resident_bytes};
use longshore_tests::scene::{Running, Scene, holds_within};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Lives of each before it is stopped: five waits lie between them.
const LIVES: usize = 6;
/// A wait doubles from this on; dice take at most half of it.
const FIRST_WAIT_MS: u64 = 200;
const LONGEST_WAIT_S: f64 = 30.0;
/// At the beginning of the protocol's ways: it never serves, it ends when it has said what it is, it ends when it has opened.
const HOW: [&str; 3] = ["exits-at-once", "dies-after-spec", "dies-in-the-middle"];
const DOCUMENTS: u64 = 5_000;
/// All that is waited for has happened by then; the waits alone come to 6 s.
const SOON: Duration = Duration::from_secs(200);
/// What the runtime may have more at the end than when each had died three times. Connectors come and go: nothing of them stays.
const MORE_BYTES: u64 = 16 << 20;
const MORE_DESCRIPTORS: usize = 16;

/// Captures that die each in its way, and two tasks that have nothing to do with them.
fn scene(mortals: u64) -> Scene {
    let scene = Scene::new();
    let (mut captures, mut collections) = (String::new(), String::new());
    for mortal in 0..mortals {
        let how = HOW[mortal as usize % HOW.len()];
        // It leaves a mark for each life, in nanoseconds.
        let script = format!("date +%s%N >> lives-{mortal}; exec '{}' abuse {how}", program().display());
        captures += &format!(
            "  mortal{mortal}:\n    command: {}\n    config: {{}}\n    bindings:\n      - {{ resource: {{ stream: s }}, collection: m/m{mortal} }}\n",
            json!(["sh", "-c", script])
        );
        collections += &format!("  m/m{mortal}: {{ key: [/id], schema: {{ type: object }} }}\n");
    }
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
{captures}  good:
    connector: generator
    config: {{ count: {DOCUMENTS}, documents: 1, keys: {DOCUMENTS} }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: g/s }}
collections:
{collections}  g/s: {{ key: [/id] }}
materializations:
  out:
    connector: sqlite
    config: {{ path: ./out.db }}
    bindings:
      - {{ collection: g/s, resource: {{ table: s }}, delta_updates: true }}
"
        ),
    );
    scene
}

/// When each life of a mortal began.
fn lives(scene: &Scene, mortal: u64) -> Vec<u64> {
    let text = std::fs::read_to_string(scene.join(format!("lives-{mortal}"))).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn status(scene: &Scene) -> BTreeMap<String, Value> {
    let tasks = scene.longshore(["status", "--json"]).expect_code(0).objects("task");
    tasks.into_iter().map(|task| (task["task"].as_str().expect("a name").to_owned(), task)).collect()
}

#[track_caller]
fn wait(running: &mut Running, what: &str, mut condition: impl FnMut() -> bool) {
    let held = holds_within(SOON, || condition() || !running.is_running());
    assert!(held && running.is_running(), "{what}");
}

#[test]
fn who_ends_at_once_is_waited_for_longer_and_longer_and_all_else_goes_on() {
    let mortals = number("LONGSHORE_DEATHS", 60).div_ceil(LIVES as u64);
    let scene = scene(mortals);
    let mut running = scene.start(["run"]);
    let all_lived = |times: usize| (0..mortals).all(|mortal| lives(&scene, mortal).len() >= times);
    wait(&mut running, "each has died three times", || all_lived(4));
    let costs = |running: &Running| (resident_bytes(running.id()), descriptors(running.id()));
    let before = costs(&running);
    wait(&mut running, "each has lived again", || all_lived(LIVES));
    wait(&mut running, "each has died again", || {
        let tasks = status(&scene);
        (0..mortals).all(|mortal| tasks[&format!("mortal{mortal}")]["restarts"].as_u64() >= Some(LIVES as u64))
    });
    let after = costs(&running);
    let rows = || destination::number(&scene.join("out.db"), "SELECT count(*) FROM s").cast_unsigned();
    wait(&mut running, "the others have come to their end", || rows() == DOCUMENTS);

    let tasks = status(&scene);
    for mortal in 0..mortals {
        let task = &tasks[&format!("mortal{mortal}")];
        let (error, how) = (&task["last_error"], HOW[mortal as usize % HOW.len()]);
        assert_eq!(
            (&error["kind"], &error["code"]),
            (&json!("unavailable"), &json!("connector.exited")),
            "{how}: {task}"
        );
        let exit = ["exit status 9", "exit status 4", "exit status 3"][mortal as usize % HOW.len()];
        for named in ["sh", exit] {
            assert!(
                error["message"].as_str().is_some_and(|message| message.contains(named)),
                "{how}: {named} in {error}"
            );
        }
        assert!(error["help"].as_str().is_some_and(|help| !help.is_empty()), "{how}: what to do, in {error}");
    }
    assert_eq!((&tasks["good"]["restarts"], &tasks["out"]["restarts"]), (&json!(0), &json!(0)), "nobody else died");

    let peak_bytes = peak(running.id()).map_or(0, |(_, bytes)| bytes);
    running.signal(Signal::TERM);
    let ended = running.finish().expect_code(0);
    // Between two lives lies at least half of a wait that doubles: a busy machine makes it only longer.
    for mortal in 0..mortals {
        let began = lives(&scene, mortal);
        for (n, pair) in began.windows(2).enumerate() {
            let (waited_ms, least_ms) = ((pair[1] - pair[0]) / 1_000_000, (FIRST_WAIT_MS << n.min(7)) / 2);
            assert!(waited_ms >= least_ms, "mortal{mortal}, wait {n}: {waited_ms} ms, expected {least_ms}: {began:?}");
        }
    }
    let waits: Vec<f64> = ended.stderr.lines().filter_map(told_wait).collect();
    assert!(waits.len() as u64 >= mortals * LIVES as u64, "{} waits are told", waits.len());
    assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT_S), "{waits:?}");
    let deaths: usize = (0..mortals).map(|mortal| lives(&scene, mortal).len()).sum();
    println!(
        "ledger: {}",
        json!({
            "test": "deaths", "tasks": mortals, "deaths": deaths, "runtime_rss_bytes": peak_bytes,
            "rss_bytes": [before.0, after.0], "descriptors": [before.1, after.1],
        })
    );
    assert!(after.0 <= before.0 + MORE_BYTES, "bytes resident: {} and later {}", before.0, after.0);
    assert!(after.1 <= before.1 + MORE_DESCRIPTORS, "descriptors: {} and later {}", before.1, after.1);
}

/// Of a line `…; trying again in 0.4 s`.
fn told_wait(line: &str) -> Option<f64> {
    line.split_once("trying again in ")?.1.split(' ').next()?.parse().ok()
}
