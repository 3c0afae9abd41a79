//! Journals that are trimmed (`retention: consumed`): what every reader has goes, what anybody still needs stays, and who comes too late is told.

use longshore_tests::destination;
use longshore_tests::killing::{nothing_lost_or_twice, plan, run_into_a_kill};
use longshore_tests::scene::Scene;
use serde_json::{Value, json};

const RUN: [&str; 3] = ["run", "--until", "caught-up"];

/// Two files of rows into a table each, `b` also into files.
struct Flow<'a> {
    retention: &'a str,
    /// Of `a` and `b`, those that go into the database.
    tables: &'a [&'a str],
    has_log: bool,
    on_violation: &'a str,
}

impl Flow<'_> {
    const ALL: Flow<'static> = Flow { retention: "consumed", tables: &["a", "b"], has_log: true, on_violation: "stop" };

    fn write(&self, scene: &Scene) {
        let Self { retention, tables, has_log, on_violation } = self;
        let binding = |name: &&str| format!("      - {{ collection: t/{name}, resource: {{ table: {name} }} }}\n");
        let tables: String = tables.iter().map(binding).collect();
        let log = match has_log {
            true => {
                "  log:\n    connector: files\n    config: { path: ./out, format: jsonl }\n    bindings: [{ collection: t/b, resource: { name: b }, delta_updates: true }]\n"
            }
            false => "",
        };
        scene.write(
            "longshore.yaml",
            format!(
                "captures:\n  in:\n    connector: files\n    config: {{ path: ./data, format: jsonl }}\n    bindings:\n      \
                 - {{ resource: {{ glob: a.jsonl }}, collection: t/a, on_violation: {on_violation} }}\n      \
                 - {{ resource: {{ glob: b.jsonl }}, collection: t/b, on_violation: {on_violation} }}\ncollections:\n  \
                 t/a: {{ key: [/id], retention: {retention} }}\n  t/b: {{ key: [/id], retention: {retention} }}\nmaterializations:\n  \
                 db:\n    connector: sqlite\n    config: {{ path: ./out.db }}\n    bindings:\n{tables}{log}"
            ),
        );
    }
}

fn rows(scene: &Scene, file: &str, ids: std::ops::Range<u64>) {
    let lines: String = ids.map(|id| format!("{{\"id\":{id},\"body\":\"{:0200}\"}}\n", id * 7)).collect();
    scene.append(format!("data/{file}.jsonl"), &lines);
}

fn scene(flow: &Flow<'_>) -> Scene {
    let scene = Scene::new();
    scene.write("data/a.jsonl", "").write("data/b.jsonl", "");
    rows(&scene, "a", 0..50);
    rows(&scene, "b", 0..50);
    flow.write(&scene);
    scene
}

fn journal(scene: &Scene) -> Value {
    scene.longshore(["journal", "list", "--json"]).expect_code(0).objects("journal")[0].clone()
}

fn begins_at(scene: &Scene) -> u64 {
    journal(scene)["begin_offset"].as_u64().expect("an offset")
}

fn count(scene: &Scene, table: &str) -> i64 {
    destination::number(&scene.join("out.db"), &format!("SELECT count(*) FROM {table}"))
}

fn assert_all_there(scene: &Scene, a: i64, b: usize) {
    assert_eq!((count(scene, "a"), count(scene, "b")), (a, b as i64));
    let mut log: Vec<u64> =
        destination::documents(&scene.join("out/b")).iter().filter_map(|document| document["id"].as_u64()).collect();
    log.sort_unstable();
    assert!(log.iter().copied().eq(0..b as u64), "each once: {log:?}");
    scene.longshore(["journal", "check"]).expect_code(0);
}

#[test]
fn what_everybody_has_goes_and_the_flow_goes_on() {
    let scene = scene(&Flow::ALL);
    for round in 1..5 {
        scene.longshore(RUN).expect_code(0);
        assert_all_there(&scene, 50 * round, 50 * round as usize);
        let (from, to) = (50 * round as u64, 50 * (round + 1) as u64);
        rows(&scene, "a", from..to);
        rows(&scene, "b", from..to);
    }
    let journal = journal(&scene);
    assert!(journal["begin_offset"].as_u64() > Some(250), "the rounds before the last are gone: {journal}");
    assert_eq!(journal["segments"], 1, "{journal}");
    let text = scene.longshore(["journal", "list"]).expect_code(0).stdout;
    assert!(text.contains("begins at offset"), "{text}");
    let readers = scene.longshore(["journal", "readers", "--json"]).expect_code(0).objects("reader");
    assert_eq!(readers.len(), 3, "{readers:?}");
    assert!(
        readers.iter().all(|reader| reader["behind"] == 0),
        "what was only passed by is committed too: {readers:?}"
    );
}

#[test]
fn without_a_word_everything_stays() {
    let scene = scene(&Flow { retention: "all", ..Flow::ALL });
    scene.longshore(RUN).expect_code(0);
    rows(&scene, "a", 50..60);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(begins_at(&scene), 0);
}

#[test]
fn whoever_is_behind_holds_it_until_the_user_lets_it_go() {
    let scene = scene(&Flow::ALL);
    scene.longshore(RUN).expect_code(0);
    let grow = |round: u64| {
        rows(&scene, "b", 50 * round..50 * (round + 1));
        scene.longshore(RUN).expect_code(0);
        begins_at(&scene)
    };
    let before = grow(1);
    // Not in the catalog any more, it still counts.
    Flow { has_log: false, ..Flow::ALL }.write(&scene);
    let held = grow(2);
    assert_eq!(grow(3), held, "the files have not got it");
    assert!(held >= before);
    let behind = |scene: &Scene| {
        let readers = scene.longshore(["journal", "readers", "in", "--json"]).expect_code(0).objects("reader");
        readers.iter().find(|reader| reader["task"] == "log").expect("it").clone()
    };
    assert!(behind(&scene)["behind"].as_u64() > Some(90), "{}", behind(&scene));
    scene.longshore(["journal", "release", "in"]).expect_code(2);
    let released = scene.longshore(["journal", "release", "log", "--json"]).expect_code(0);
    assert_eq!(released.objects("released")[0]["task"], "log");
    assert!(grow(4) > held);
    assert_eq!(behind(&scene)["released"], true);

    // Put back, what it needs is gone, and nobody guesses.
    Flow::ALL.write(&scene);
    let stopped = scene.longshore(RUN).expect_code(1);
    assert!(stopped.stderr.contains("journal.trimmed") && stopped.stderr.contains("--fresh"), "{}", stopped.stderr);
}

#[test]
fn one_that_is_not_run_now_and_one_that_was_never_run_hold_it() {
    let scene = scene(&Flow { has_log: false, ..Flow::ALL });
    scene.longshore(RUN).expect_code(0);
    Flow::ALL.write(&scene);
    rows(&scene, "a", 50..60);
    scene.longshore(["run", "--until", "caught-up", "--only", "in"]).expect_code(0);
    rows(&scene, "a", 60..70);
    scene.longshore(["run", "--until", "caught-up", "--only", "db"]).expect_code(0);
    assert_eq!(begins_at(&scene), 0, "the files were never run, and will want all of it");
    scene.longshore(RUN).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    assert_all_there(&scene, 70, 50);
    assert!(begins_at(&scene) > 0);
}

#[test]
fn a_collection_that_nobody_reads_stays_and_a_binding_that_comes_too_late_is_told_by_check_too() {
    let scene = scene(&Flow { tables: &["a"], has_log: false, ..Flow::ALL });
    scene.longshore(RUN).expect_code(0);
    rows(&scene, "a", 50..60);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(begins_at(&scene), 0, "nobody has read b");
    Flow { has_log: false, ..Flow::ALL }.write(&scene);
    scene.longshore(RUN).expect_code(0);
    rows(&scene, "a", 60..70);
    scene.longshore(RUN).expect_code(0);
    let begins = begins_at(&scene);
    assert!(begins > 0);

    Flow::ALL.write(&scene);
    for verb in [&["check"][..], &RUN] {
        let refused = scene.longshore(verb).expect_code(1);
        for part in ["journal.trimmed", "retention: consumed", "--fresh CAPTURE/COLLECTION"] {
            assert!(refused.stderr.contains(part), "{verb:?}: {}", refused.stderr);
        }
    }
    // As it says: captured again, everybody gets it, and the table has it once by its key.
    scene.longshore(["run", "--until", "caught-up", "--yes", "--fresh", "in/t/b"]).expect_code(0);
    assert_all_there(&scene, 70, 50);
}

#[test]
fn a_letter_that_waits_holds_what_it_needs() {
    let scene = scene(&Flow { on_violation: "dead_letter", ..Flow::ALL });
    scene.append("data/a.jsonl", "{\"id\":[]}\n");
    scene.longshore(RUN).expect_code(0);
    for round in 1..3 {
        rows(&scene, "a", 50 * round..50 * (round + 1));
        scene.longshore(RUN).expect_code(0);
    }
    let letter = scene.longshore(["dlq", "list", "--json"]).expect_code(0).objects("letter")[0].clone();
    assert!(Some(begins_at(&scene)) <= letter["position"].as_u64(), "{letter}");
    scene.longshore(["dlq", "show", "in", &letter["position"].to_string()]).expect_code(0);
    scene.longshore(["dlq", "drop", "in", "--all"]).expect_code(0);
    rows(&scene, "a", 150..160);
    scene.longshore(RUN).expect_code(0);
    assert!(Some(begins_at(&scene)) > letter["position"].as_u64());
    let all = scene.longshore(["dlq", "list", "--all", "--json"]).expect_code(0).objects("letter");
    assert_eq!((all.len(), &all[0]["state"], &all[0]["document"]), (1, &json!("dropped"), &Value::Null));
}

/// Dropped first and refused then, its rows would be lost.
#[test]
fn a_table_that_is_to_start_over_is_left_alone_where_the_journal_cannot_fill_it_again() {
    let scene = scene(&Flow::ALL);
    for round in 1..3 {
        scene.longshore(RUN).expect_code(0);
        rows(&scene, "a", 50 * round..50 * (round + 1));
    }
    scene.longshore(RUN).expect_code(0);
    let refused = scene.longshore(["run", "--until", "caught-up", "--yes", "--fresh", "db"]).expect_code(1);
    assert!(refused.stderr.contains("journal.trimmed"), "{}", refused.stderr);
    assert_eq!((count(&scene, "a"), count(&scene, "b")), (150, 50));
    let both = ["run", "--until", "caught-up", "--yes", "--fresh", "db", "--fresh", "in"];
    scene.longshore(both).expect_code(0);
    assert_eq!((count(&scene, "a"), count(&scene, "b")), (150, 50), "captured again");
}

/// Rounds of new rows, in which runtime and connectors are killed; what everybody has goes in the meantime.
#[test]
fn trimmed_journals_killed_at_random_moments() {
    const ROUND: u64 = 400;
    let (kills, mut dice) = plan();
    let mut killed = 0;
    while killed < kills {
        let scene = scene(&Flow::ALL);
        let mut rows_there = 50;
        let mut trimmed = 0;
        for _ in 0..4 {
            rows(&scene, "a", rows_there..rows_there + ROUND);
            rows(&scene, "b", rows_there..rows_there + ROUND);
            rows_there += ROUND;
            for _ in 0..2 {
                killed += run_into_a_kill(&scene, &RUN, (20, 500), &mut dice);
            }
            scene.longshore(RUN).expect_code(0);
            assert_all_there(&scene, rows_there.cast_signed(), rows_there as usize);
            let begins = begins_at(&scene);
            assert!(begins >= trimmed, "it never goes back");
            trimmed = begins;
        }
        assert!(trimmed > 0, "nothing was trimmed");
    }
    println!("{}", nothing_lost_or_twice("retention-kills", &dice, killed));
}
