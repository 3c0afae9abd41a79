//! The verbs that ask and change nothing: check, discover, preview, connector; with their exit codes and both forms of output.

use longshore_tests::scene::Scene;

/// Two files with a header, and a catalog over them.
const CATALOG: &str = r#"captures:
  nyc: # the source
    connector: files
    config: { path: ./data, format: csv, null_values: ["NA", ""] }
    bindings:
      - { resource: { glob: "airports.csv" }, collection: nyc/airports } # small
      - { resource: { glob: "weather.csv" },  collection: nyc/weather }
collections:
  nyc/airports: { key: [/faa] }   # chosen by hand
  nyc/weather:  { key: [/origin, /hour] }

# where it goes
materializations:
  nowhere:
    connector: "null"
    config: { path: ./checkpoint }
    bindings:
      - { collection: nyc/airports, resource: { name: airports } }
"#;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("data/airports.csv", "faa,name,alt\n04G,Lansdowne,1044\n06A,NA,264\n");
    scene.write("data/weather.csv", "origin,hour,pressure\nEWR,1,1e3\nEWR,2,1012.5\nJFK,1,NA\n");
    scene.write("a.yaml", CATALOG);
    scene
}

#[test]
fn check_asks_every_connector_and_leaves_nothing_behind() {
    let scene = scene();
    let checked = scene.longshore(["check", "a.yaml"]).expect_code(0);
    assert!(checked.stdout.contains("ok      capture nyc (capture-files"), "{}", checked.stdout);
    assert!(checked.stdout.contains("a.yaml is ready: 2 tasks checked"), "{}", checked.stdout);
    assert_eq!(checked.stderr, "", "a catalog without a mistake needs no words");
    assert!(!scene.join(".longshore").exists() && !scene.join("checkpoint").exists(), "check makes nothing");
    let checked = scene.longshore(["check", "--json", "a.yaml"]).expect_code(0).objects("checked");
    assert_eq!(checked[0]["bindings"][1]["key"], serde_json::json!(["/origin", "/hour"]));
}

#[test]
fn what_the_schema_of_a_connector_forbids_is_shown_where_it_is_written() {
    let scene = scene();
    scene.write("a.yaml", CATALOG.replace("format: csv", "fromat: csv"));
    let refused = scene.longshore(["check", "a.yaml"]).expect_code(2);
    let mut lines = refused.stderr.lines();
    assert_eq!(lines.next(), Some("error[config.unknown-key]: there is no `fromat` in the config of capture `nyc`"));
    assert_eq!(lines.next(), Some("a.yaml:4:29"));
    assert!(refused.stderr.contains("help: did you mean `format`?"), "{}", refused.stderr);
    assert!(refused.stdout.contains("skipped nowhere"), "{}", refused.stdout);
    let finding = &scene.longshore(["check", "--json", "a.yaml"]).expect_code(2).objects("finding")[0];
    assert_eq!((&finding["line"], &finding["column"], &finding["file"]), (&4.into(), &29.into(), &"a.yaml".into()));
}

#[test]
fn what_only_the_connector_can_know_is_shown_there_too() {
    let scene = scene();
    scene.write("a.yaml", CATALOG.replace("./data", "./dtaa"));
    let refused = scene.longshore(["check", "a.yaml"]).expect_code(2);
    assert!(refused.stderr.starts_with("error[files.path.missing]: "), "{}", refused.stderr);
    assert!(refused.stderr.contains("a.yaml:4:21\n"), "{}", refused.stderr);
    scene.write("a.yaml", CATALOG.replace("connector: files", "connector: flies"));
    let refused = scene.longshore(["check", "a.yaml"]).expect_code(2);
    assert!(refused.stderr.contains("a.yaml:3:16\n") && refused.stderr.contains("did you mean"), "{}", refused.stderr);
}

#[test]
fn check_refuses_what_run_would_refuse_because_of_what_was_there_before() {
    let scene = scene();
    scene.longshore(["run", "--until", "caught-up", "a.yaml"]).expect_code(0);
    scene.longshore(["check", "a.yaml"]).expect_code(0);
    scene.write("a.yaml", CATALOG.replace("{ key: [/faa] }", "{ key: [/name] }"));
    let checked = scene.longshore(["check", "a.yaml"]).expect_code(2);
    assert!(checked.stderr.starts_with("error[binding.changed]: "), "{}", checked.stderr);
    assert!(checked.stderr.contains("a.yaml:6:11\n") && checked.stderr.contains("run --fresh"), "{}", checked.stderr);
    scene.longshore(["run", "--until", "caught-up", "a.yaml"]).expect_code(2);
}

#[test]
fn a_connector_that_cannot_be_reached_is_another_matter_than_a_mistake() {
    let scene = scene();
    scene.write("a.yaml", CATALOG.replace("connector: files", "address: unix:./nobody.sock"));
    let refused = scene.longshore(["check", "a.yaml"]).expect_code(3);
    assert!(refused.stderr.starts_with("error["), "{}", refused.stderr);
}

#[test]
fn discover_adds_what_is_missing_and_touches_no_line_that_was_there() {
    let scene = scene();
    let without = CATALOG.replace("  nyc/weather:  { key: [/origin, /hour] }\n", "");
    scene.write("a.yaml", &without);
    let refused = scene.longshore(["check", "a.yaml"]).expect_code(2);
    assert!(refused.stderr.contains("longshore discover"), "{}", refused.stderr);
    let shown = scene.longshore(["discover", "nyc", "a.yaml"]).expect_code(0);
    assert!(shown.stdout.contains("  nyc/weather:\n    key: ["), "{}", shown.stdout);
    assert_eq!(std::fs::read_to_string(scene.join("a.yaml")).unwrap(), without, "only --write writes");

    scene.longshore(["discover", "nyc", "--write", "a.yaml"]).expect_code(0);
    let written = std::fs::read_to_string(scene.join("a.yaml")).unwrap();
    let mut rest = written.lines();
    for line in without.lines() {
        assert!(rest.any(|new| new == line), "{line:?} is gone or has moved\n{written}");
    }
    let weather = "      properties:\n        origin: { type: string }\n        hour: { type: integer }\n        pressure: { type: [number, \"null\"] }\n";
    assert!(written.contains(weather), "{written}");
    scene.longshore(["check", "a.yaml"]).expect_code(0);
    let again = scene.longshore(["discover", "nyc", "--write", "--json", "a.yaml"]).expect_code(0);
    assert_eq!(again.objects("written")[0]["collections"], serde_json::json!([]));
    assert_eq!(std::fs::read_to_string(scene.join("a.yaml")).unwrap(), written);
}

#[test]
fn discover_fills_a_catalog_that_only_names_its_source() {
    let scene = scene();
    let start = "captures:\n  nyc:\n    connector: files\n    config: { path: ./data, format: csv } # all of it\n";
    scene.write("longshore.yaml", start);
    scene.longshore(["discover", "nyc", "--write"]).expect_code(0);
    let written = std::fs::read_to_string(scene.join("longshore.yaml")).unwrap();
    assert!(written.starts_with(start), "{written}");
    assert!(written.contains("      - { resource: { glob: weather.csv }, collection: nyc/weather }\n"), "{written}");
    scene.longshore(["check"]).expect_code(0);
}

#[test]
fn preview_shows_the_first_documents_as_they_are_and_keeps_nothing() {
    let scene = scene();
    let two = scene.longshore(["preview", "nyc", "-n", "2", "--json", "a.yaml"]).expect_code(0);
    let documents = two.objects("document");
    assert_eq!(documents.len(), 2, "{}", two.stdout);
    assert_eq!(documents[0]["collection"], "nyc/airports");
    assert_eq!(documents[1]["document"]["alt"], 264);
    let all = scene.longshore(["preview", "nyc", "--documents", "1000", "a.yaml"]).expect_code(0);
    assert_eq!(all.stdout.lines().count(), 5, "{}", all.stdout);
    assert!(all.stderr.contains("that is all there is now"), "{}", all.stderr);
    assert!(!scene.join(".longshore").exists());
    let unknown = scene.longshore(["preview", "nowhere", "a.yaml"]).expect_code(2);
    assert!(unknown.stderr.contains("is a materialization"), "{}", unknown.stderr);
}

#[test]
fn connectors_are_listed_and_tell_what_they_take() {
    let scene = scene();
    let list = scene.longshore(["connector", "list", "--json"]).expect_code(0).objects("connector");
    assert!(list.iter().any(|one| one["kind"] == "capture" && one["name"] == "files"), "{list:?}");
    let spec = scene.longshore(["connector", "spec", "capture-files"]).expect_code(0);
    assert!(spec.stdout.contains("null_values") && spec.stdout.contains("resource of a binding"), "{}", spec.stdout);
    let spec = scene.longshore(["connector", "spec", "capture-files", "--json"]).expect_code(0).objects("spec");
    assert_eq!(spec[0]["config_schema"]["additionalProperties"], false, "closed, so that typos are found");
    let unknown = scene.longshore(["connector", "spec", "fiels"]).expect_code(2);
    assert!(unknown.stderr.contains("there are: "), "{}", unknown.stderr);
}

#[test]
fn every_verb_teaches_by_example() {
    let scene = Scene::new();
    for verb in ["run", "check", "discover", "preview"] {
        let help = scene.longshore([verb, "--help"]).expect_code(0);
        assert!(
            help.stdout.contains(&format!("longshore {verb} ")) && help.stdout.contains("Examples:"),
            "{}",
            help.stdout
        );
    }
    scene.longshore(["check", "--no-such-flag"]).expect_code(2);
    scene.longshore(["discover"]).expect_code(2);
}
