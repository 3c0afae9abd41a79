//! What is not admitted becomes a dead letter where the user says so: documents in are what was stored and what waits, always; replayed, each
//! letter arrives once.

use longshore_tests::scene::Scene;
use longshore_tests::verbatim::{Catalog, arrived, letters, source};
use rustix::process::Signal;
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "--json"];
const STRICT: &str = "schema: { type: object, properties: { id: { type: integer }, v: { type: integer } } }";
const RELAXED: &str = "schema: { type: object, properties: { id: { type: integer }, v: { type: [integer, string] } } }";

/// Ten documents: of every third `v` is a text, and the last is no JSON.
fn scene() -> Scene {
    let scene = Scene::new();
    let mut documents: Vec<String> =
        (0..9)
            .map(|id| {
                if id % 3 == 1 { format!("{{\"id\":{id},\"v\":\"x\"}}") } else { format!("{{\"id\":{id},\"v\":{id}}}") }
            })
            .collect();
    documents.push("not json".to_owned());
    source(&scene, &documents);
    Catalog::of(STRICT).write(&scene);
    scene
}

#[test]
fn letters_wait_are_counted_and_listed_and_nothing_else_is_held_up() {
    let scene = scene();
    let run = scene.longshore(RUN).expect_code(0);
    assert_eq!(run.rows("in"), [("t/a".to_owned(), 6)]);
    let summary = &run.objects("summary")[0]["tasks"][0];
    assert_eq!(
        (&summary["bindings"][0]["dead_letters"], &summary["letters_waiting"]),
        (&json!(4), &json!(4)),
        "{summary}"
    );
    let (rows, log) = arrived(&scene);
    assert_eq!((rows, log.len()), (6, 6));

    let listed = letters(&scene);
    assert_eq!(listed.len() as i64 + rows, 10, "documents in = stored + dead-lettered");
    let first = &listed[0];
    assert_eq!((&first["collection"], &first["binding"]), (&json!("t/a"), &json!("s.v0")));
    assert_eq!(first["document"], json!({ "id": 1, "v": "x" }));
    let reason = first["reason"].as_str().expect("a reason");
    assert!(reason.contains("t/a") && reason.contains("/v") && first["code"] == "document.schema", "{first}");
    assert_eq!((&listed[3]["document"], &listed[3]["code"]), (&json!("not json"), &json!("document.json")));
    let text = scene.longshore(["dlq", "list", "in"]).expect_code(0).stdout;
    assert_eq!(text.lines().filter(|line| line.contains("s.v0 -> t/a")).count(), 4, "{text}");

    let position = first["position"].to_string();
    let shown = scene.longshore(["dlq", "show", "in", position.as_str()]).expect_code(0);
    assert_eq!(shown.stdout, "{\"id\":1,\"v\":\"x\"}\n");
    assert!(shown.stderr.contains("does not fit"), "{}", shown.stderr);
    scene.longshore(["dlq", "show", "in", "100000"]).expect_code(2);

    let checked = &scene.longshore(["journal", "check", "in", "--json"]).expect_code(0).objects("journal")[0];
    assert_eq!((&checked["documents"], &checked["dead_letters"]), (&json!(6), &json!(4)));
    let read = scene.longshore(["journal", "read", "in", "--json"]).expect_code(0);
    assert_eq!((read.objects("document").len(), read.objects("dead_letter").len()), (6, 4));
    let again = &scene.longshore(RUN).expect_code(0).objects("summary")[0]["tasks"][0];
    assert_eq!(
        (&again["bindings"][0]["dead_letters"], &again["letters_waiting"]),
        (&json!(0), &json!(4)),
        "of this run; in all"
    );
}

#[test]
fn replayed_letters_arrive_once_and_those_that_still_do_not_fit_stay() {
    let scene = scene();
    scene.longshore(RUN).expect_code(0);
    let kept = scene.longshore(["dlq", "replay", "in", "--json"]).expect_code(0);
    assert_eq!(kept.objects("replayed")[0]["kept"], 4, "nothing has changed: {}", kept.stdout);

    Catalog::of(RELAXED).write(&scene);
    let one = letters(&scene)[1]["position"].to_string();
    let replayed = scene.longshore(["dlq", "replay", "in", "--position", one.as_str(), "--json"]).expect_code(0);
    assert_eq!(replayed.objects("replayed")[0]["letters"], 1, "{}", replayed.stdout);
    scene.longshore(["dlq", "replay", "in", "--position", one.as_str()]).expect_code(2);
    let replayed = scene.longshore(["dlq", "replay", "in", "--binding", "t/a", "--json"]).expect_code(0);
    let result = &replayed.objects("replayed")[0];
    assert_eq!((&result["letters"], &result["kept"]), (&json!(2), &json!(1)), "{}", replayed.stdout);
    assert!(replayed.objects("kept")[0]["reason"].as_str().expect("a reason").contains("JSON"), "{}", replayed.stdout);

    scene.longshore(RUN).expect_code(0);
    let (rows, log) = arrived(&scene);
    assert_eq!(rows, 9);
    assert!(log.len() == 9 && log.values().all(|times| *times == 1), "{log:?}");
    let waiting = letters(&scene);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let dropped = scene.longshore(["dlq", "drop", "in", "--all", "--json"]).expect_code(0);
    assert_eq!(dropped.objects("dropped")[0]["letters"], 1);
    assert!(letters(&scene).is_empty());
    let all = scene.longshore(["dlq", "list", "--all", "--json"]).expect_code(0).objects("letter");
    let states: Vec<&Value> = all.iter().map(|letter| &letter["state"]).collect();
    assert_eq!(states, ["replayed", "replayed", "replayed", "dropped"], "their bytes stay");
}

#[test]
fn the_index_is_derived_and_made_anew_from_the_journal() {
    let scene = scene();
    scene.longshore(RUN).expect_code(0);
    let before = letters(&scene);
    let database = || rusqlite::Connection::open(scene.join(".longshore/state.db")).expect("the store");
    let waiting =
        || database().query_row("SELECT count(*) FROM letter WHERE mark IS NULL", [], |row| row.get::<_, i64>(0));
    assert_eq!(waiting().expect("an index"), 4);
    for damage in [
        "DROP TABLE letter; DROP TABLE letter_index",
        "UPDATE letter_index SET chain_crc = chain_crc + 1; DELETE FROM letter",
    ] {
        database().execute_batch(damage).expect("no index any more");
        assert_eq!(letters(&scene), before, "{damage}");
        scene.longshore(RUN).expect_code(0);
        assert_eq!(waiting().expect("an index"), 4, "{damage}");
    }
}

#[test]
fn nobody_replays_while_a_runtime_runs() {
    let scene = scene();
    scene.longshore(RUN).expect_code(0);
    let mut running = scene.start(["run"]);
    assert!(running.wait_until(|| scene.longshore(["status"]).code == Some(0)));
    for verb in [&["dlq", "replay", "in"][..], &["dlq", "drop", "in", "--all"]] {
        let refused = scene.longshore(verb).expect_code(1);
        assert!(
            refused.stderr.contains("is in use by") && refused.stderr.contains("longshore stop"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(letters(&scene).len(), 4, "looking disturbs nobody");
    let waiting =
        || scene.longshore(["status", "--json"]).objects("task").first().map(|task| task["letters_waiting"].clone());
    assert!(running.wait_until(|| waiting() == Some(json!(4))), "{:?}", waiting());
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
}

#[test]
fn without_a_word_a_violation_stops() {
    let scene = scene();
    Catalog { on_violation: "stop", ..Catalog::of(STRICT) }.write(&scene);
    let run = scene.longshore(RUN).expect_code(1);
    assert!(run.stderr.contains("document.schema"), "{}", run.stderr);
    assert!(letters(&scene).is_empty());
}

#[test]
fn an_inferred_schema_grows_columns_while_running_and_off_checks_nothing() {
    let scene = Scene::new();
    source(
        &scene,
        &[r#"{"id":1,"a":1}"#, r#"{"id":2,"a":"x","b":[1]}"#, r#"{"id":3,"c":null}"#, r#"{"id":4,"a":0.5}"#],
    );
    Catalog { per_checkpoint: 1, ..Catalog::of("validation: infer") }.write(&scene);
    scene.longshore(RUN).expect_code(0);
    let (rows, log) = arrived(&scene);
    assert_eq!((rows, log.len(), letters(&scene).len()), (4, 4, 0));
    let cell = |query: &str| {
        let database = rusqlite::Connection::open(scene.join("out.db")).expect("a database");
        database.query_row(query, [], |row| row.get::<_, rusqlite::types::Value>(0)).expect("a row")
    };
    assert_eq!(cell("SELECT a FROM a WHERE id = 1"), rusqlite::types::Value::Integer(1));
    assert_eq!(cell("SELECT a FROM a WHERE id = 2"), rusqlite::types::Value::Text("x".into()));
    assert_eq!(cell("SELECT b FROM a WHERE id = 2"), rusqlite::types::Value::Text("[1]".into()));

    let scene = Scene::new();
    source(&scene, &[r#"{"id":1,"v":1}"#, r#"{"id":2,"w":"x"}"#, r#"{"v":1,"id":[]}"#]);
    Catalog::of(&STRICT.replace("schema:", "validation: off, schema:")).write(&scene);
    scene.longshore(RUN).expect_code(0);
    assert_eq!((arrived(&scene).0, letters(&scene).len()), (2, 1), "only the key is looked at");
}
