//! What a destination refuses becomes a dead letter where the user says so, and all else goes on: documents in are what was stored and what
//! waits, of each binding; sent again, each arrives once, at that binding alone.

use longshore_tests::scene::Scene;
use longshore_tests::verbatim::{Catalog, arrived, letters, source};
use longshore_tests::{destination, scene::Finished};
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "--json"];
/// One more than 64 bits hold.
const BIG: &str = "9223372036854775808";

fn catalog(collection: &str, on_conflict: &'static str) -> Catalog {
    Catalog { on_conflict, ..Catalog::of(collection) }
}

/// Ten documents, of every third the number is too large for the table; the files take them all.
fn scene(on_conflict: &'static str) -> Scene {
    let scene = Scene::new();
    let v = |id: u64| if id % 3 == 1 { BIG.to_owned() } else { id.to_string() };
    let documents: Vec<String> = (0..10).map(|id| format!("{{\"id\":{id},\"v\":{}}}", v(id))).collect();
    source(&scene, &documents);
    catalog("schema: { type: object, properties: { id: { type: integer }, v: { type: integer } } }", on_conflict)
        .write(&scene);
    scene
}

/// Of the summary.
fn task(run: &Finished, name: &str) -> Value {
    let tasks = run.objects("summary")[0]["tasks"].as_array().expect("tasks").clone();
    tasks.into_iter().find(|task| task["task"] == name).expect("the task")
}

fn ids(letters: &[Value]) -> Vec<i64> {
    letters.iter().map(|letter| letter["document"]["id"].as_i64().expect("an id")).collect()
}

fn table(scene: &Scene, select: &str) -> i64 {
    destination::number(&scene.join("out.db"), select)
}

#[test]
fn what_is_refused_waits_is_counted_and_listed_and_nothing_else_is_held_up() {
    let scene = scene("dead_letter");
    let run = scene.longshore(RUN).expect_code(0);
    let (rows, log) = arrived(&scene);
    assert_eq!((rows, log.len()), (7, 10), "the files take what the table refuses");
    assert!(log.values().all(|times| *times == 1), "{log:?}");
    let summary = task(&run, "table");
    let counted = (&summary["bindings"][0]["dead_letters"], &summary["letters_waiting"]);
    assert_eq!(counted, (&json!(3), &json!(3)), "{summary}");
    assert_eq!(task(&run, "log")["letters_waiting"], 0);

    let listed = letters(&scene);
    assert_eq!(ids(&listed), [1, 4, 7]);
    let first = &listed[0];
    assert_eq!((&first["task"], &first["binding"]), (&json!("table"), &json!("a.v0")));
    assert_eq!((&first["collection"], &first["code"]), (&json!("t/a"), &json!("sqlite.value")));
    for part in ["column \"v\"", "64 bits", "[1]"] {
        assert!(first["reason"].as_str().expect("a reason").contains(part), "{first}");
    }
    let position = first["position"].to_string();
    let shown = scene.longshore(["dlq", "show", "table", &position]).expect_code(0);
    assert_eq!(shown.stdout, format!("{{\"id\":1,\"v\":{BIG}}}\n"));
    assert!(scene.longshore(["dlq", "list", "in"]).expect_code(0).stdout.is_empty());
    scene.longshore(["dlq", "list", "nobody"]).expect_code(2);

    let again = scene.longshore(RUN).expect_code(0);
    let summary = task(&again, "table");
    let counted = (&summary["bindings"][0]["dead_letters"], &summary["letters_waiting"]);
    assert_eq!(counted, (&json!(0), &json!(3)), "of this run; in all");
    let text = scene.longshore(["status"]).stdout;
    assert!(!text.contains("table"), "nothing runs: {text}");
}

#[test]
fn without_a_word_the_task_stops() {
    for on_conflict in ["widen", "stop", "split"] {
        let scene = scene(on_conflict);
        let run = scene.longshore(RUN).expect_code(1);
        assert!(run.stderr.contains("sqlite.value") && run.stderr.contains("64 bits"), "{}", run.stderr);
        assert!(letters(&scene).is_empty());
    }
}

#[test]
fn sent_again_to_a_destination_that_still_refuses_them_they_wait_again() {
    let scene = scene("dead_letter");
    scene.longshore(RUN).expect_code(0);
    let before: Vec<Value> = letters(&scene).iter().map(|letter| letter["position"].clone()).collect();
    let replayed = scene.longshore(["dlq", "replay", "table", "--json"]).expect_code(0);
    assert_eq!(replayed.objects("replayed")[0]["letters"], 3, "{}", replayed.stdout);
    assert!(letters(&scene).is_empty(), "they are on their way");
    let replayed = scene.longshore(["dlq", "replay", "table", "--json"]).expect_code(0);
    assert_eq!(replayed.objects("replayed")[0]["letters"], 0, "each once");
    let run = scene.longshore(RUN).expect_code(0);
    assert_eq!(task(&run, "table")["letters_waiting"], 3);
    let listed = letters(&scene);
    assert_eq!(ids(&listed), [1, 4, 7]);
    assert!(listed.iter().all(|letter| !before.contains(&letter["position"])), "at new positions");
    assert_eq!(arrived(&scene).1.len(), 10, "nobody else gets them again");
    let dropped = scene.longshore(["dlq", "drop", "table", "--all", "--json"]).expect_code(0);
    assert_eq!(dropped.objects("dropped")[0]["letters"], 3);
    assert!(letters(&scene).is_empty());
    let all = scene.longshore(["dlq", "list", "--all", "--json"]).expect_code(0).objects("letter");
    let states: Vec<&Value> = all.iter().map(|letter| &letter["state"]).collect();
    assert_eq!(states, ["replayed", "replayed", "replayed", "dropped", "dropped", "dropped"]);
    let run = scene.longshore(RUN).expect_code(0);
    assert_eq!(task(&run, "table")["letters_waiting"], 0);
}

/// The column was made for integers; what comes later does not fit, until it is widened.
#[test]
fn a_column_keeps_its_type_until_the_user_widens_it() {
    let scene = Scene::new();
    let of_first = [r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#];
    let later = [r#"{"id":2,"v":"two"}"#, r#"{"id":3,"v":"three"}"#, r#"{"id":4,"v":4}"#, r#"{"id":2,"v":22}"#];
    source(&scene, &of_first);
    let infer = |on_conflict| catalog("validation: infer", on_conflict).write(&scene);
    infer("dead_letter");
    scene.longshore(RUN).expect_code(0);
    source(&scene, &[&of_first[..], &later].concat());
    scene.longshore(RUN).expect_code(0);
    // What is stored and what waits is decided by transactions: the last document of a key, and all of the key in it.
    let waiting = letters(&scene);
    assert!(ids(&waiting).contains(&3), "{waiting:?}");
    assert_eq!((table(&scene, "SELECT count(*) FROM a"), arrived(&scene).1.len()), (3, 4));
    assert_eq!(table(&scene, "SELECT v FROM a WHERE id = 2"), 22);
    assert_eq!(table(&scene, "SELECT count(*) FROM pragma_table_info('a') WHERE name = 'v' AND type = 'INTEGER'"), 1);

    infer("widen");
    scene.longshore(RUN).expect_code(0);
    let replayed = scene.longshore(["dlq", "replay", "table", "--json"]).expect_code(0);
    let kept = replayed.objects("kept");
    assert_eq!(replayed.objects("replayed")[0]["letters"], 1, "{}", replayed.stdout);
    if waiting.len() > 1 {
        assert_eq!(kept[0]["code"], "letters.newer", "id 2 was stored since: {}", replayed.stdout);
    }
    scene.longshore(RUN).expect_code(0);
    assert_eq!(table(&scene, "SELECT count(*) FROM a WHERE id = 3 AND v = 'three'"), 1);
    assert_eq!(table(&scene, "SELECT v FROM a WHERE id = 2"), 22);
    assert_eq!(letters(&scene).len(), kept.len());
    if !kept.is_empty() {
        scene.longshore(["dlq", "replay", "table", "--force"]).expect_code(0);
        scene.longshore(RUN).expect_code(0);
        assert_eq!(table(&scene, "SELECT count(*) FROM a WHERE id = 2 AND v = 'two'"), 1, "the user said so");
    }
    assert!(letters(&scene).is_empty());
    assert_eq!(arrived(&scene).1.values().sum::<u64>(), 6, "nobody else gets them again");
}

/// Reduced onto what the letter would have made, they would come to something else.
#[test]
fn documents_behind_a_letter_of_a_reduced_key_wait_with_it_and_keep_their_order() {
    let scene = Scene::new();
    let sums = "schema: { type: object, reduce: { strategy: merge }, properties: { id: { type: integer }, \
                note: { type: [integer, string] }, seen: { type: array, reduce: { strategy: append } } } }";
    let first = [r#"{"id":1,"note":1,"seen":[1]}"#.to_owned(), r#"{"id":2,"note":1,"seen":[1]}"#.to_owned()];
    source(&scene, &first);
    let write = |on_conflict, per_checkpoint| {
        Catalog { per_checkpoint, ..catalog(sums, on_conflict) }.write(&scene);
    };
    write("dead_letter", 1);
    scene.longshore(RUN).expect_code(0);
    let poison = format!("{{\"id\":1,\"note\":{BIG},\"seen\":[2]}}");
    let behind = [r#"{"id":1,"seen":[3]}"#.to_owned(), r#"{"id":2,"seen":[3]}"#.to_owned()];
    source(&scene, &[&first[..], std::slice::from_ref(&poison)].concat());
    scene.longshore(RUN).expect_code(0);
    assert_eq!(ids(&letters(&scene)), [1]);
    source(&scene, &[&first[..], &[poison], &behind].concat());
    let run = scene.longshore(RUN).expect_code(0);
    assert_eq!(task(&run, "table")["letters_waiting"], 2, "{}", run.stdout);
    let listed = letters(&scene);
    assert_eq!((ids(&listed), &listed[1]["code"]), (vec![1, 1], &json!("materialize.joined")));
    assert_eq!(table(&scene, "SELECT count(*) FROM a WHERE id = 2 AND seen = '[1,3]'"), 1);
    assert_eq!(table(&scene, "SELECT count(*) FROM a WHERE id = 1 AND seen = '[1]'"), 1);

    let second = listed[1]["position"].to_string();
    let alone = scene.longshore(["dlq", "replay", "table", "--position", &second, "--json"]).expect_code(0);
    assert_eq!(alone.objects("kept")[0]["code"], "letters.order", "{}", alone.stdout);
    let first = listed[0]["position"].to_string();
    scene.longshore(["dlq", "drop", "table", "--position", &first]).expect_code(0);
    let replayed = scene.longshore(["dlq", "replay", "table", "--json"]).expect_code(0);
    assert_eq!(replayed.objects("replayed")[0]["letters"], 1, "{}", replayed.stdout);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(table(&scene, "SELECT count(*) FROM a WHERE id = 1 AND seen = '[1,3]'"), 1, "without what was dropped");
    assert!(letters(&scene).is_empty());
}

#[test]
fn letters_of_a_reduced_key_that_are_sent_again_together_come_in_their_order() {
    let scene = Scene::new();
    let write = |types: &str, on_conflict| {
        let schema = format!(
            "schema: {{ type: object, reduce: {{ strategy: merge }}, properties: {{ id: {{ type: integer }}, note: {{ type: {types} }}, \
             seen: {{ type: array, reduce: {{ strategy: append }} }} }} }}"
        );
        Catalog { per_checkpoint: 1, ..catalog(&schema, on_conflict) }.write(&scene);
    };
    let documents = [
        r#"{"id":1,"note":1,"seen":[1]}"#,
        r#"{"id":1,"note":"two","seen":[2]}"#,
        r#"{"id":1,"seen":[3]}"#,
        r#"{"id":1,"note":4,"seen":[4]}"#,
    ];
    write("integer", "dead_letter");
    source(&scene, &documents[..1]);
    scene.longshore(RUN).expect_code(0);
    write("[integer, string]", "dead_letter");
    for until in 2..=4 {
        source(&scene, &documents[..until]);
        scene.longshore(RUN).expect_code(0);
    }
    assert_eq!(letters(&scene).len(), 3);
    write("[integer, string]", "widen");
    scene.longshore(RUN).expect_code(0);
    let replayed = scene.longshore(["dlq", "replay", "table", "--json"]).expect_code(0);
    assert_eq!(replayed.objects("replayed")[0]["letters"], 3, "{}", replayed.stdout);
    scene.longshore(RUN).expect_code(0);
    assert!(letters(&scene).is_empty());
    assert_eq!(table(&scene, "SELECT count(*) FROM a WHERE id = 1 AND seen = '[1,2,3,4]' AND note = 4"), 1);
}

#[test]
fn a_destination_that_refuses_nearly_everything_is_broken_and_stops_the_task() {
    let scene = Scene::new();
    let documents: Vec<String> = (0..150).map(|id| format!("{{\"id\":{id},\"v\":{BIG}}}")).collect();
    source(&scene, &documents);
    let schema = "schema: { type: object, properties: { id: { type: integer }, v: { type: integer } } }";
    Catalog { per_checkpoint: 150, ..catalog(schema, "dead_letter") }.write(&scene);
    let run = scene.longshore(RUN).expect_code(1);
    assert!(run.stderr.contains("materialize.too_many_letters") && run.stderr.contains("t/a"), "{}", run.stderr);
    assert!(letters(&scene).is_empty(), "nothing of that transaction");
}

/// A delete that no field of the file would tell; the documents of its key in that transaction wait with it.
#[test]
fn files_refuse_documents_too() {
    let scene = Scene::new();
    source(&scene, &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#, r#"{"id":1,"_meta":{"op":"d"}}"#, r#"{"id":3,"v":3}"#]);
    let text = "captures:
  in:
    command: [verbatim]
    config: { path: in.txt }
    bindings: [{ resource: { stream: s }, collection: t/a }]
collections:
  t/a: { key: [/id] }
materializations:
  sheet:
    connector: files
    config: { path: ./out, format: csv }
    bindings: [{ collection: t/a, resource: { name: a }, delta_updates: true, fields: { include: [v] }, on_conflict: dead_letter }]
";
    scene.write("longshore.yaml", text);
    scene.longshore(RUN).expect_code(0);
    let listed = letters(&scene);
    assert!(listed.iter().any(|letter| letter["code"] == "files.delete"), "{listed:?}");
    assert!(listed.iter().all(|letter| letter["document"]["id"] == 1), "{listed:?}");
    let lines = |scene: &Scene| {
        let files = std::fs::read_dir(scene.join("out/a")).expect("a directory");
        let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"));
        texts.map(|text| text.lines().count() - 1).sum::<usize>()
    };
    assert_eq!(lines(&scene) + listed.len(), 4, "documents in = stored + dead-lettered");
    scene.write("longshore.yaml", text.replace("include: [v]", "include: [v, _meta]"));
    scene.longshore(RUN).expect_code(0);
    scene.longshore(["dlq", "replay", "sheet"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    assert_eq!((lines(&scene), letters(&scene).len()), (4, 0));
}
