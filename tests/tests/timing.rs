//! What is written once and used by several tasks, a part of a resource, and when things are done: `connection`, `columns`, `schedule`, `every`.

use longshore_tests::destination;
use longshore_tests::scene::{Finished, Running, Scene, process_name};
use serde_json::Value;

const RUN: [&str; 4] = ["run", "--until", "caught-up", "flow.yaml"];

/// Two captures of one folder, into one database.
fn scene(task: &str, capture: &str, materialization: &str) -> Scene {
    let scene = Scene::new();
    scene.write("data/ships.csv", "id,name,note\n1,Ada,x\n2,NA,y\n");
    scene.write("data/ports.csv", "id,name\n7,Oslo\n");
    scene.write(
        "flow.yaml",
        format!(
            "connections:
  folder: {{ path: ./data, null_values: [\"NA\"], poll_interval: 50ms }}
  base: {{ path: ./harbour.db }}
captures:
  ships:
    connector: files
    connection: folder
    config: {{ format: csv }}
{capture}    bindings: [{{ resource: {{ glob: ships.csv }}, collection: ships{task} }}]
  ports:
    connector: files
    connection: folder
    bindings: [{{ resource: {{ glob: ports.csv }}, collection: ports }}]
collections:
  ships: {{ key: [/id] }}
  ports: {{ key: [/id] }}
materializations:
  lake:
    connector: sqlite
    connection: base
{materialization}    bindings:
      - {{ collection: ships, resource: {{ table: ships }} }}
      - {{ collection: ports, resource: {{ table: ports }} }}
"
        ),
    );
    scene
}

fn task(status: &Finished, name: &str) -> Value {
    let found = status.objects("task").into_iter().find(|task| task["task"] == name);
    found.unwrap_or_default()
}

/// Asks until a task is as wanted.
#[track_caller]
fn until(scene: &Scene, running: &mut Running, name: &str, wanted: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let came = running.wait_until(|| {
        let status = scene.longshore(["status", "--json", "flow.yaml"]);
        last = if status.code == Some(0) { task(&status, name) } else { Value::Null };
        wanted(&last)
    });
    assert!(came, "this never came; it was {last}");
}

#[test]
fn what_a_connection_says_counts_for_every_task_that_names_it_and_its_own_config_before_that() {
    let scene = scene("", "", "");
    scene.longshore(["check", "flow.yaml"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    let database = scene.join("harbour.db");
    assert_eq!(destination::number(&database, "SELECT count(*) FROM ships WHERE name IS NULL"), 1);
    assert_eq!(destination::number(&database, "SELECT count(*) FROM ports"), 1);
    let catalog = std::fs::read_to_string(scene.join("flow.yaml")).expect("the catalog");
    scene.write("flow.yaml", catalog.replace("{ format: csv }", "{ format: csv, null_values: [\"x\"] }"));
    scene.write("data/ships.csv", "id,name,note\n1,Ada,x\n2,NA,y\n3,NA,x\n");
    scene.longshore(RUN).expect_code(0);
    assert_eq!(destination::number(&database, "SELECT count(*) FROM ships WHERE name = 'NA' AND note IS NULL"), 1);
}

#[test]
fn of_a_resource_only_the_columns_that_are_wanted_arrive() {
    let scene = scene(", columns: [name]", "", "");
    let discovered = scene.longshore(["discover", "--json", "ships", "flow.yaml"]).expect_code(0);
    let properties = &discovered.objects("discovered")[0]["schema"]["properties"];
    assert!(properties["name"].is_object() && properties["note"].is_null(), "{properties}");
    scene.longshore(["check", "flow.yaml"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    let database = scene.join("harbour.db");
    let columns = "SELECT count(*) FROM pragma_table_info('ships') WHERE name IN ('id', 'name')";
    assert_eq!(destination::number(&database, columns), 2);
    assert_eq!(destination::number(&database, "SELECT count(*) FROM pragma_table_info('ships')"), 2);
    assert_eq!(destination::number(&database, "SELECT count(*) FROM ships"), 2);

    let catalog = std::fs::read_to_string(scene.join("flow.yaml")).expect("the catalog");
    scene.write("flow.yaml", catalog.replace("[name]", "[nam]"));
    let refused = scene.longshore(["check", "flow.yaml"]).expect_code(2);
    assert!(
        refused.stderr.contains("did you mean name?") && refused.stderr.contains("flow.yaml:9:"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_capture_with_a_schedule_is_not_there_between_its_times() {
    let scene = scene("", "    schedule: 1s\n", "");
    let mut running = scene.start(["run", "flow.yaml"]);
    let is_waiting = |task: &Value| {
        let doing = task["doing"].as_str().unwrap_or_default();
        task["phase"] == "waiting" && doing.starts_with("waiting for its schedule, until 20")
    };
    until(&scene, &mut running, "ships", is_waiting);
    let catalog = std::fs::read_to_string(scene.join("flow.yaml")).expect("the catalog");
    // What comes in between is found when it comes round again, and again.
    for (id, rows) in [(3, 3), (4, 4)] {
        scene.append("data/ships.csv", format!("{id},Bob,z\n"));
        until(&scene, &mut running, "lake", |task| task["bindings"][0]["rows"] == rows);
    }
    scene.longshore(["stop", "flow.yaml"]).expect_code(0);
    running.finish().expect_code(0);

    scene.write("flow.yaml", catalog.replace("schedule: 1s", "schedule: \"0 0 1 1 *\""));
    scene.append("data/ships.csv", "5,Eve,z\n");
    let mut running = scene.start(["run", "flow.yaml"]);
    until(&scene, &mut running, "ships", is_waiting);
    let captures = running.children().into_iter().filter_map(process_name).filter(|name| name.starts_with("capture-"));
    assert_eq!(captures.count(), 1, "of the one that follows its source");
    until(&scene, &mut running, "lake", |task| task["bindings"][0]["rows"] == 1);
    scene.longshore(["stop", "flow.yaml"]).expect_code(0);
    running.finish().expect_code(0);
    assert_eq!(
        destination::number(&scene.join("harbour.db"), "SELECT count(*) FROM ships"),
        5,
        "a run begins with one"
    );
    // One that ends by itself asks once.
    scene.append("data/ships.csv", "6,Zoe,z\n");
    scene.longshore(RUN).expect_code(0);
    assert_eq!(destination::number(&scene.join("harbour.db"), "SELECT count(*) FROM ships"), 6);
}

#[test]
fn documents_wait_for_the_time_of_their_materialization_and_not_where_a_run_is_to_end() {
    let scene = scene("", "", "    every: 1h\n");
    let mut running = scene.start(["run", "flow.yaml"]);
    until(&scene, &mut running, "lake", |task| task["phase"] == "waiting" && task["behind"].as_u64() >= Some(3));
    scene.append("data/ships.csv", "3,Bob,z\n");
    until(&scene, &mut running, "lake", |task| task["phase"] == "waiting" && task["behind"].as_u64() >= Some(4));
    let status = scene.longshore(["status", "--json", "flow.yaml"]).expect_code(0);
    assert_eq!(task(&status, "lake")["transactions"], 0, "{}", status.stdout);
    scene.longshore(["stop", "flow.yaml"]).expect_code(0);
    running.finish().expect_code(0);
    assert_eq!(destination::number(&scene.join("harbour.db"), "SELECT count(*) FROM ships"), 0, "it was not time");
    scene.longshore(RUN).expect_code(0);
    assert_eq!(destination::number(&scene.join("harbour.db"), "SELECT count(*) FROM ships"), 3);
}
