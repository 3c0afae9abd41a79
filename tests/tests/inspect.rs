//! Looking into journals and state: what the verbs say is what is there, nobody is disturbed, and damage is named by file and byte.

use std::path::PathBuf;

use longshore_tests::destination;
use longshore_tests::scene::Scene;
use rustix::process::Signal;

const RUN: [&str; 4] = ["run", "--until", "caught-up", "--json"];

const CATALOG: &str = "captures:
  in:
    connector: files
    config: { path: ./data, format: csv }
    bindings:
      - { resource: { glob: a.csv }, collection: t/a }
collections:
  t/a: { key: [/id] }
materializations:
  out:
    connector: sqlite
    config: { path: ./out.db }
    bindings:
      - { collection: t/a, resource: { table: a } }
";

/// Five hundred rows, captured and stored.
fn moved() -> Scene {
    let scene = Scene::new();
    let rows: String = (1..=500).map(|id| format!("{id},word {id}\n")).collect();
    scene.write("data/a.csv", format!("id,v\n{rows}")).write("longshore.yaml", CATALOG);
    scene.longshore(RUN).expect_code(0);
    scene
}

fn segment(scene: &Scene) -> PathBuf {
    let dir = scene.join(".longshore/journals/in");
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(&dir).expect("a journal").map(|entry| entry.expect("an entry").path()).collect();
    segments.sort();
    segments.remove(0)
}

/// Changes one bit of the byte in the middle of a segment and tells where that is.
fn damage(scene: &Scene) -> (PathBuf, u64) {
    let file = segment(scene);
    let mut bytes = std::fs::read(&file).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).expect("write the segment");
    (file, middle as u64)
}

#[test]
fn journal_list_tells_where_each_journal_ends_and_what_is_in_it() {
    let scene = moved();
    let list = scene.longshore(["journal", "list", "--json"]).expect_code(0).objects("journal");
    assert_eq!(list.len(), 1);
    let journal = &list[0];
    assert_eq!(journal["task"], "in");
    assert_eq!(journal["bindings"][0]["collection"], "t/a");
    assert_eq!(journal["bindings"][0]["binding"], "a.csv.v0");
    assert!(journal["end_offset"].as_u64().expect("an offset") >= 500, "{journal}");
    assert!(journal["transactions"].as_u64().expect("a number") >= 1, "{journal}");
    let bytes = std::fs::metadata(segment(&scene)).expect("a segment").len();
    assert_eq!(journal["bytes"], bytes);
    let text = scene.longshore(["journal", "list", "in", "longshore.yaml"]).expect_code(0).stdout;
    assert!(text.contains("in  1 segment") && text.contains("a.csv.v0 -> t/a, key /id"), "{text}");
}

#[test]
fn journal_check_says_ok_with_the_number_of_documents() {
    let scene = moved();
    let text = scene.longshore(["journal", "check"]).expect_code(0).stdout;
    assert!(text.starts_with("in  ok  500 documents"), "{text}");
    let checked = scene.longshore(["journal", "check", "in", "--json"]).expect_code(0).objects("journal");
    assert_eq!((&checked[0]["ok"], &checked[0]["documents"]), (&true.into(), &500.into()));
}

#[test]
fn one_flipped_bit_is_named_by_file_and_byte_and_the_run_stops_there() {
    let scene = moved();
    let (file, flipped) = damage(&scene);
    let name = file.file_name().expect("a name").to_str().expect("text");

    let check = scene.longshore(["journal", "check", "--json"]).expect_code(1).objects("journal");
    assert_eq!(check[0]["ok"], false);
    assert!(check[0]["file"].as_str().expect("a file").ends_with(name), "{}", check[0]);
    // The frame that holds the byte is what fails its checksum: it begins at or before it.
    let byte = check[0]["byte"].as_u64().expect("a byte");
    assert!(byte <= flipped, "byte {byte} was named, {flipped} was changed");
    let text = scene.longshore(["journal", "check"]).expect_code(1).stdout;
    assert!(text.contains("NOT OK") && text.contains(name) && text.contains(&format!("byte {byte}")), "{text}");

    scene.append("data/a.csv", "501,late\n");
    let run = scene.longshore(["run", "--until", "caught-up"]);
    assert_eq!(run.code, Some(1), "damage is not tried again\n{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("journal.corrupt"), "{}", run.stderr);
    assert!(run.stderr.contains(name) && run.stderr.contains(&format!("byte {byte}")), "{}", run.stderr);
    assert_eq!(
        destination::number(&scene.join("out.db"), "SELECT count(*) FROM a"),
        500,
        "nothing came past the damage"
    );

    // The others still say what they know.
    let list = scene.longshore(["journal", "list"]).expect_code(1).stdout;
    assert!(list.contains("NOT OK"), "{list}");
    let state = scene.longshore(["state", "show", "--json"]).expect_code(1).objects("task");
    assert_eq!(state.len(), 2, "both tasks are shown");
}

#[test]
fn what_a_crash_tore_off_is_no_damage() {
    let scene = moved();
    let file = segment(&scene);
    let mut bytes = std::fs::read(&file).expect("a segment");
    bytes.extend_from_slice(b"half a frame");
    std::fs::write(&file, &bytes).expect("write the segment");
    let text = scene.longshore(["journal", "check"]).expect_code(0).stdout;
    assert!(text.starts_with("in  ok  500 documents") && text.contains("do not count"), "{text}");
    scene.longshore(RUN).expect_code(0);
    scene.longshore(["journal", "check"]).expect_code(0);
}

#[test]
fn journal_read_prints_documents_from_an_offset_on() {
    let scene = moved();
    let all = scene.longshore(["journal", "read", "in", "-q"]).expect_code(0).stdout;
    let documents: Vec<serde_json::Value> =
        all.lines().map(|line| serde_json::from_str(line).expect("a line is a document")).collect();
    assert_eq!(documents.len(), 500);
    assert_eq!((&documents[0]["id"], &documents[499]["v"]), (&1.into(), &"word 500".into()));

    let read = scene.longshore(["journal", "read", "in", "--json"]).expect_code(0);
    assert_eq!(read.objects("binding").len(), 1);
    assert!(!read.objects("commit").is_empty());
    let document = &read.objects("document")[99];
    assert_eq!((&document["binding"], &document["collection"]), (&"a.csv.v0".into(), &"t/a".into()));
    assert_eq!(document["document"]["id"], 100);
    let offset = document["offset"].as_u64().expect("an offset").to_string();
    let some =
        scene.longshore(["journal", "read", "in", "--json", "--from", offset.as_str(), "--limit", "3"]).expect_code(0);
    let ids: Vec<_> = some.objects("document").iter().map(|d| d["document"]["id"].clone()).collect();
    assert_eq!(ids, [100, 101, 102]);

    scene.longshore(["journal", "read", "in", "--from", "100000"]).expect_code(2);
}

#[test]
fn state_show_tells_checkpoint_bindings_and_state_of_each_task() {
    let scene = moved();
    let shown = scene.longshore(["state", "show", "--json"]).expect_code(0);
    let end = scene.longshore(["journal", "list", "--json"]).expect_code(0).objects("journal")[0]["end_offset"].clone();
    let installation = std::fs::read_to_string(scene.join(".longshore/installation")).expect("an id");
    assert_eq!(shown.objects("state")[0]["installation"], installation.trim());
    let tasks = shown.objects("task");
    let [capture, materialization] = tasks.as_slice() else { panic!("two tasks\n{}", shown.stdout) };
    assert_eq!((&capture["task"], &capture["kind"]), (&"in".into(), &"capture".into()));
    assert_eq!(capture["journal"]["end_offset"], end);
    assert_eq!(capture["bindings"][0]["resource_path"], serde_json::json!(["a.csv"]));
    assert!(capture["state"]["bytes"].as_u64().expect("bytes") > 0, "{capture}");
    assert!(capture["state"]["parts"][0].get("content").is_none(), "content is for -v");
    assert_eq!((&materialization["task"], &materialization["kind"]), (&"out".into(), &"materialization".into()));
    assert!(materialization["checkpoint"]["transaction"].as_u64().expect("a number") >= 1, "{materialization}");
    let position = &materialization["checkpoint"]["positions"][0];
    assert_eq!((&position["capture"], &position["offset"]), (&"in".into(), &end));
    assert_eq!((&materialization["extent"], &materialization["pending"]), (&().into(), &().into()));
    assert_eq!(materialization["spec_version"], 1);
    assert_eq!(materialization["bindings"][0]["generation"], 0);

    let verbose = scene.longshore(["state", "show", "in", "-v", "--json"]).expect_code(0).objects("task");
    assert_eq!(verbose.len(), 1);
    assert!(verbose[0]["state"]["parts"][0]["content"].is_object(), "{}", verbose[0]);
    let text = scene.longshore(["state", "show"]).expect_code(0).stdout;
    assert!(text.contains("in (capture)") && text.contains("out (materialization)"), "{text}");
    assert!(text.contains(&format!("a.v0 up to offset {end} of in")), "{text}");
}

#[test]
fn a_running_runtime_is_not_disturbed_and_a_broken_catalog_is_no_hindrance() {
    let scene = moved();
    let mut running = scene.start(["run"]);
    scene.append("data/a.csv", "501,late\n");
    let database = scene.join("out.db");
    let arrived = |count: i64| destination::number(&database, "SELECT count(*) FROM a") == count;
    assert!(running.wait_until(|| arrived(501)), "the late row arrives");
    let text = scene.longshore(["journal", "check"]).expect_code(0).stdout;
    assert!(text.contains("501 documents"), "{text}");
    scene.write("longshore.yaml", "captures: [");
    scene.longshore(["state", "show"]).expect_code(0);
    scene.longshore(["journal", "list"]).expect_code(0);
    scene.append("data/a.csv", "502,later\n");
    assert!(running.wait_until(|| arrived(502)), "it goes on as if nobody had looked");
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let scene = Scene::new();
    let none = scene.longshore(["journal", "list"]).expect_code(2);
    assert!(none.stderr.contains(".longshore"), "{}", none.stderr);
    assert!(!scene.join(".longshore").exists(), "looking makes nothing");
    let scene = moved();
    let other = scene.longshore(["journal", "read", "out"]).expect_code(2);
    assert!(other.stderr.contains("`out`") && other.stderr.contains("there is in"), "{}", other.stderr);
    scene.longshore(["state", "show", "nobody"]).expect_code(2);
    scene.longshore(["journal", "read"]).expect_code(2);
}

#[test]
fn every_verb_teaches_with_an_example() {
    let scene = Scene::new();
    for words in [["journal", "list"], ["journal", "check"], ["journal", "read"], ["state", "show"]] {
        let help = scene.longshore(words.into_iter().chain(["--help"])).expect_code(0).stdout;
        assert!(help.contains(&format!("longshore {}", words.join(" "))) && help.contains("Example"), "{help}");
    }
}
