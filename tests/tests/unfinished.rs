//! A transaction that was begun under one version of its task and must be finished (semantics §3 and §6): the runtime is killed while it is
//! being stored, then the catalog or the data changes. The next run finishes it under the version it was begun under, with the same documents
//! in the same batches; only then is the new version applied.

use std::collections::BTreeMap;

use longshore_tests::scene::Scene;
use serde_json::{Value, json};

const UNTIL: [&str; 3] = ["run", "--until", "caught-up"];
/// Enough for several batches of a binding.
const ROWS: usize = 6_000;
/// Batches of the first session before its runtime is killed.
const STORED: usize = 3;

/// What a session of the destination saw.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    /// Name and schema version of each binding.
    bindings: Value,
    /// Apply came before it, after the session before.
    applied: bool,
    batches: Vec<Value>,
}

/// A catalog with a capture for each of `captured`, over a file of its name, and these names stored.
fn catalog(scene: &Scene, captured: &[&str], stored: &[(&str, bool)], config: &str) {
    let captures: String = captured
        .iter()
        .map(|n| {
            format!(
                "  in-{n}:\n    connector: files\n    config: {{ path: ./data, format: csv }}\n    bindings:\n      \
                 - {{ resource: {{ glob: {n}.csv }}, collection: t/{n} }}\n"
            )
        })
        .collect();
    let collections: String = captured.iter().map(|n| format!("  t/{n}: {{ key: [/id] }}\n")).collect();
    let bindings: String = stored
        .iter()
        .map(|(n, delta)| {
            format!("      - {{ collection: t/{n}, resource: {{ name: {n} }}, delta_updates: {delta} }}\n")
        })
        .collect();
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n{captures}collections:\n{collections}materializations:\n  out:\n    command: [diary]\n    \
             config: {{ path: ./diary.jsonl{config} }}\n    bindings:\n{bindings}"
        ),
    );
}

/// a, b and c are captured; a transaction of a (every document) and b (by key) was begun and partly stored when the runtime was killed.
fn killed_while_storing(asks: bool) -> Scene {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        let text = "x".repeat(400);
        let rows: String = (1..=ROWS).map(|id| format!("{id},{id},{text}\n")).collect();
        scene.write(format!("data/{name}.csv"), format!("id,v,text\n{rows}"));
    }
    let asks = if asks { ", asks: true" } else { "" };
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", false)], &format!("{asks}, hang_after: {STORED}"));
    for name in ["a", "b", "c"] {
        scene.longshore([UNTIL.as_slice(), &["--only", &format!("in-{name}")]].concat()).expect_code(0);
    }
    let mut running = scene.start(["run", "--only", "out"]);
    let stored = || sessions(&scene).last().is_some_and(|session| session.batches.len() == STORED);
    assert!(running.wait_until(stored), "some of it is stored");
    running.kill();
    scene
}

fn sessions(scene: &Scene) -> Vec<Session> {
    let text = std::fs::read_to_string(scene.join("diary.jsonl")).unwrap_or_default();
    let (mut sessions, mut applied) = (Vec::<Session>::new(), false);
    // The last line may still be on its way.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value = serde_json::from_str(line).expect("a line of the diary");
        if line.get("apply").is_some() {
            applied = true;
        } else if let Some(bindings) = line.get("open") {
            sessions.push(Session { bindings: bindings.clone(), applied, batches: Vec::new() });
            applied = false;
        } else {
            sessions.last_mut().expect("a session").batches.push(line);
        }
    }
    sessions
}

/// How often each document of a binding is in these sessions.
fn times(sessions: &[Session], name: &str) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for batch in sessions.iter().flat_map(|session| &session.batches).filter(|batch| batch["batch"] == name) {
        for id in batch["ids"].as_array().expect("ids") {
            *times.entry(id.as_u64().expect("an id")).or_default() += 1;
        }
    }
    times
}

/// The second session is the first one again, from its beginning to its end; gives what followed.
#[track_caller]
fn finished_first(sessions: &[Session]) -> &[Session] {
    let [first, again, after @ ..] = sessions else { panic!("expected two sessions or more, got {sessions:?}") };
    assert_eq!((&again.bindings, again.applied), (&first.bindings, false), "the same spec, and nothing applied before");
    assert_eq!(again.batches[..STORED], first.batches, "the same documents in the same batches, under the same number");
    let number = &first.batches[0]["transaction"];
    assert!(again.batches.iter().all(|batch| batch["transaction"] == *number), "and nothing else in that session");
    for session in after {
        assert!(session.batches.iter().all(|batch| batch["transaction"].as_u64() > number.as_u64()), "new numbers");
    }
    assert!(after.first().is_some_and(|session| session.applied), "then the new version is applied");
    after
}

#[track_caller]
fn each_once(sessions: &[Session], name: &str, rows: usize) {
    let expected: BTreeMap<u64, usize> = (1..=rows as u64).map(|id| (id, 1)).collect();
    assert_eq!(times(sessions, name), expected, "{name}: each document, once");
}

#[test]
fn a_binding_is_added_while_a_transaction_is_unfinished() {
    let scene = killed_while_storing(false);
    catalog(&scene, &["a", "b", "c"], &[("c", false), ("a", true), ("b", false)], "");
    let second = scene.longshore([UNTIL.as_slice(), &["--json"]].concat()).expect_code(0);
    let sessions = sessions(&scene);
    let after = finished_first(&sessions);
    assert_eq!(after[0].bindings, json!([["c", 1], ["a", 1], ["b", 1]]));
    for name in ["a", "b", "c"] {
        each_once(&sessions[1..], name, ROWS);
    }
    let rows = |name: &str| (format!("t/{name}"), ROWS as u64);
    assert_eq!(second.rows("out"), ["c", "a", "b"].map(rows), "each row is counted at its own binding");
}

#[test]
fn a_schema_is_widened_while_a_transaction_is_unfinished() {
    let scene = killed_while_storing(true);
    scene.append("data/a.csv", format!("{},many,x\n", ROWS + 1));
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", false)], ", asks: true");
    // The wider schema is in the journal before the materialization looks; else it would begin under the old one, and rightly.
    scene.longshore([UNTIL.as_slice(), &["--only", "in-a"]].concat()).expect_code(0);
    scene.longshore(UNTIL).expect_code(0);
    let sessions = sessions(&scene);
    let after = finished_first(&sessions);
    assert_eq!(sessions[1].bindings, json!([["a", 1], ["b", 1]]));
    assert_eq!(after.last().expect("a session").bindings, json!([["a", 2], ["b", 1]]));
    each_once(&sessions[1..], "a", ROWS + 1);
    each_once(&sessions[1..], "b", ROWS);
}

#[test]
fn a_binding_and_its_capture_are_taken_out_while_a_transaction_is_unfinished() {
    let scene = killed_while_storing(false);
    catalog(&scene, &["b", "c"], &[("b", false)], "");
    scene.longshore(UNTIL).expect_code(0);
    let sessions = sessions(&scene);
    let after = finished_first(&sessions);
    assert_eq!(after[0].bindings, json!([["b", 1]]));
    each_once(&sessions[1..], "a", ROWS);
    each_once(&sessions[1..], "b", ROWS);
}

#[test]
fn what_the_destination_asks_of_keys_is_part_of_the_version() {
    let scene = killed_while_storing(true);
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", false)], "");
    scene.longshore(UNTIL).expect_code(0);
    let sessions = sessions(&scene);
    finished_first(&sessions);
    each_once(&sessions[1..], "b", ROWS);
}

#[test]
fn nothing_changed_and_the_first_session_finishes_it() {
    let scene = killed_while_storing(false);
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", false)], "");
    scene.longshore(UNTIL).expect_code(0);
    let sessions = sessions(&scene);
    let [first, again] = sessions.as_slice() else { panic!("expected two sessions, got {}", sessions.len()) };
    assert_eq!((&again.bindings, again.applied), (&first.bindings, true), "a lost destination gets its tables again");
    assert_eq!(again.batches[..STORED], first.batches);
    each_once(&sessions[1..], "a", ROWS);
    each_once(&sessions[1..], "b", ROWS);
}

#[test]
fn a_catalog_that_is_refused_does_not_hold_it_up() {
    let scene = killed_while_storing(false);
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", true)], "");
    let refused = scene.longshore(UNTIL).expect_code(2);
    assert!(refused.stderr.contains("delta_updates"), "{}", refused.stderr);
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", false), ("c", true)], "");
    scene.longshore(UNTIL).expect_code(0);
    let sessions = sessions(&scene);
    finished_first(&sessions);
    for name in ["a", "b", "c"] {
        each_once(&sessions[1..], name, ROWS);
    }
}

#[test]
fn started_over_it_is_given_up() {
    let scene = killed_while_storing(false);
    catalog(&scene, &["a", "b", "c"], &[("a", true), ("b", false)], "");
    scene.longshore([UNTIL.as_slice(), &["--yes", "--fresh", "out"]].concat()).expect_code(0);
    let sessions = sessions(&scene);
    let [first, anew] = sessions.as_slice() else { panic!("expected two sessions, got {}", sessions.len()) };
    let number = |session: &Session| session.batches[0]["transaction"].as_u64();
    assert!(anew.applied && number(anew) > number(first), "its number is not used again");
    each_once(&sessions[1..], "a", ROWS);
    each_once(&sessions[1..], "b", ROWS);
}

#[test]
fn without_the_journal_it_was_read_from_it_stops_and_fresh_is_the_way_out() {
    let scene = killed_while_storing(false);
    catalog(&scene, &["b", "c"], &[("b", false)], "");
    std::fs::remove_dir_all(scene.join(".longshore/journals/in-a")).expect("delete a journal");
    let stopped = scene.longshore(UNTIL).expect_code(1);
    for named in ["transaction 1", "--fresh out", "put the journal back"] {
        assert!(stopped.stderr.contains(named), "expected {named} in\n{}", stopped.stderr);
    }
    scene.longshore([UNTIL.as_slice(), &["--yes", "--fresh", "out"]].concat()).expect_code(0);
    each_once(&sessions(&scene)[1..], "b", ROWS);
}
