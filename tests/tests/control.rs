//! `longshore status` and `longshore stop` against real runs: what they tell, how they end one, and what they say where there is none.

#![allow(clippy::disallowed_methods, reason = "a stop must be over in time")]

use std::time::Duration;

use longshore_tests::scene::{Finished, Running, Scene, holds_within, is_alive, one_capture, process_name};
use longshore_tests::{destination, nyc};
use rustix::process::Signal;
use serde_json::Value;

const RUN_ON: [&str; 2] = ["run", "flights.yaml"];
const STATUS: [&str; 3] = ["status", "--json", "flights.yaml"];
const SOON: Duration = Duration::from_secs(60);

#[test]
fn status_tells_how_each_task_does_and_stop_drains_it() {
    let scene = nyc::scene_with(2_000);
    let mut running = scene.start(RUN_ON);
    let moved = |task: &Value| task["bindings"].as_array().is_some_and(|all| all.iter().all(|b| b["rows"] != 0));
    let status = until(&scene, &mut running, |status| {
        let tasks = status.objects("task");
        tasks.len() == 3 && tasks.iter().all(|task| moved(task) && task["connector"]["pid"].is_u64())
    });
    let runtime = status.objects("runtime").pop().expect("the runtime is told");
    assert_eq!((&runtime["pid"], &runtime["stopping"]), (&running.id().into(), &false.into()), "{runtime}");
    assert_eq!(runtime["catalog"], scene.join("flights.yaml").display().to_string());

    let tasks = status.objects("task");
    let words: Vec<_> = tasks.iter().map(|task| (task["task"].as_str(), task["kind"].as_str())).collect();
    let expected = [("nyc", "capture"), ("lake", "materialization"), ("archive", "materialization")];
    assert_eq!(words, expected.map(|(task, kind)| (Some(task), Some(kind))));
    assert_eq!(
        tasks[0]["bindings"][0],
        serde_json::json!({"collection": "nyc/flights", "rows": 2_000, "bytes": tasks[0]["bindings"][0]["bytes"], "dead_letters": 0})
    );
    for task in &tasks {
        assert_eq!((&task["restarts"], &task["last_error"]), (&0.into(), &Value::Null), "{task}");
        let connector = &task["connector"];
        assert_eq!(connector["way"], "process", "{task}");
        let pid = u32::try_from(connector["pid"].as_u64().expect("a process")).expect("a process id");
        let name = connector["name"].as_str().expect("a name");
        assert!(process_name(pid).is_some_and(|found| name.starts_with(&found)), "{pid} is not {name}");
        let sandbox = connector["sandbox"].as_array().expect("the parts of a sandbox");
        assert!(sandbox.iter().all(|part| part["name"].is_string() && part["applied"].is_boolean()), "{connector}");
        assert!(!sandbox.is_empty(), "{connector}");
    }
    let people = scene.longshore(["status", "flights.yaml"]).expect_code(0).stdout;
    for part in ["nyc  capture  ", "2,000 rows", "connector: capture-files, process ", "yes  environment"] {
        assert!(people.contains(part), "no `{part}` in\n{people}");
    }

    let connectors = running.children();
    let stopped = scene.longshore(["stop", "flights.yaml"]).expect_code(0);
    assert!(stopped.stdout.contains(&format!("stopped: process {} is gone", running.id())), "{}", stopped.stdout);
    assert!(!is_alive(running.id()), "stop returns when the runtime is gone");
    assert!(!connectors.iter().any(|&connector| is_alive(connector)), "with its connectors");
    let ended = running.finish().expect_code(0);
    assert!(ended.stderr.contains("asked to by `longshore stop`"), "{}", ended.stderr);
    assert!(!scene.join(".longshore/control.json").exists(), "its note is gone");
    // The state directory is free at once, and nothing was lost.
    scene.longshore(["run", "--until", "caught-up", "flights.yaml"]).expect_code(0);
    assert_eq!(destination::number(&scene.join("nyc.db"), "SELECT count(*) FROM flights"), 2_000);
}

#[test]
fn a_runtime_deep_below_is_reached() {
    let scene = nyc::scene_with(10);
    let deep = format!("{}/{}", "d".repeat(100), "e".repeat(100));
    std::fs::create_dir_all(scene.join(&deep)).expect("make directories");
    for name in ["data", "flights.yaml"] {
        std::fs::rename(scene.join(name), scene.join(&deep).join(name)).expect("move the project");
    }
    let catalog = format!("{deep}/flights.yaml");
    let mut running = scene.start(["run", &catalog]);
    assert!(running.wait_until(|| scene.longshore(["status", &catalog]).code == Some(0)), "it answers");
    scene.longshore(["stop", "--json", &catalog]).expect_code(0);
    running.finish().expect_code(0);
}

#[test]
fn a_connector_that_keeps_dying_is_told_with_its_restarts_and_last_words() {
    let scene = Scene::new();
    scene.write("flights.yaml", one_capture("command: [sh, -c, \"echo no licence >&2; exit 7\"]"));
    let mut running = scene.start(RUN_ON);
    let status = until(&scene, &mut running, |status| status.objects("task")[0]["restarts"].as_u64() > Some(1));
    let task = status.objects("task").remove(0);
    assert_eq!((&task["last_error"]["code"], &task["connector"]), (&"connector.exited".into(), &Value::Null), "{task}");
    assert!(task["last_error"]["message"].as_str().is_some_and(|text| text.contains("no licence")), "{task}");
    let people = scene.longshore(["status", "flights.yaml"]).expect_code(0).stdout;
    assert!(people.contains("restarts") && people.contains("no licence"), "{people}");
    scene.longshore(["stop", "flights.yaml"]).expect_code(0);
    running.finish().expect_code(0);
}

#[test]
fn where_nothing_runs_status_and_stop_say_so() {
    let scene = nyc::scene_with(10);
    for verb in ["status", "stop"] {
        let refused = scene.longshore([verb, "flights.yaml"]).expect_code(2);
        assert!(refused.stderr.contains("expected a state directory at .longshore, found none"), "{}", refused.stderr);
    }
    scene.longshore(["run", "--until", "caught-up", "flights.yaml"]).expect_code(0);
    nobody_runs(&scene);
    // What a killed runtime left behind names nobody.
    let mut running = scene.start(RUN_ON);
    until(&scene, &mut running, |_| true);
    running.kill();
    assert!(scene.join(".longshore/control.json").exists(), "it could not clean up");
    nobody_runs(&scene);
}

#[test]
fn a_runtime_of_another_version_is_told_as_such() {
    let scene = nyc::scene_with(10);
    let mut running = scene.start(RUN_ON);
    until(&scene, &mut running, |_| true);
    let note = scene.join(".longshore/control.json");
    let text = std::fs::read_to_string(&note).expect("the note");
    let mut other: Value = serde_json::from_str(&text).expect("JSON");
    (other["protocol"], other["version"]) = (99.into(), "9.9.9 (future)".into());
    std::fs::write(&note, other.to_string()).expect("write the note");
    for verb in ["status", "stop"] {
        let refused = scene.longshore([verb, "flights.yaml"]).expect_code(1).stderr;
        for part in ["longshore 9.9.9 (future), this is longshore ", &format!("kill {}", running.id())] {
            assert!(refused.contains(part), "no `{part}` in\n{refused}");
        }
    }
    std::fs::remove_file(&note).expect("remove the note");
    let refused = scene.longshore(["status", "flights.yaml"]).expect_code(3).stderr;
    assert!(refused.contains(&format!("process {} owns the state directory", running.id())), "{refused}");
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
}

#[test]
fn a_stop_that_takes_longer_than_allowed_says_so_and_goes_on() {
    let scene = nyc::scene_with(60_000);
    scene.write("flights.yaml", nyc::CATALOG.to_owned() + nyc::SLOW);
    let mut running = scene.start(RUN_ON);
    until(&scene, &mut running, nyc::slow_is_storing);
    let late = scene.longshore(["stop", "--timeout", "100ms", "flights.yaml"]).expect_code(1);
    assert!(late.stderr.contains("still there after 0.1 s"), "{}", late.stderr);
    let status = scene.longshore(STATUS);
    // It may have ended in the meantime; if not, it says what it is at.
    if status.code == Some(0) {
        assert_eq!(status.objects("runtime")[0]["stopping"], true);
    }
    assert!(holds_within(SOON, || !running.is_running()), "it goes on ending");
    running.finish().expect_code(0);
}

#[track_caller]
fn nobody_runs(scene: &Scene) {
    let refused = scene.longshore(["status", "flights.yaml"]).expect_code(3);
    assert!(refused.stderr.contains("no runtime runs"), "{}", refused.stderr);
    let refused = scene.longshore(STATUS).expect_code(3).objects("error");
    assert_eq!(refused[0]["exit"], 3);
    let nothing = scene.longshore(["stop", "flights.yaml"]).expect_code(0);
    assert!(nothing.stdout.contains("nothing to stop"), "{}", nothing.stdout);
    assert_eq!(scene.longshore(["stop", "--json", "flights.yaml"]).objects("stopped")[0]["pid"], Value::Null);
}

/// Asks until the answer is as wanted, and gives it.
#[track_caller]
fn until(scene: &Scene, running: &mut Running, mut wanted: impl FnMut(&Finished) -> bool) -> Finished {
    let mut found = None;
    let came = running.wait_until(|| {
        let status = scene.longshore(STATUS);
        let good = status.code == Some(0) && wanted(&status);
        found = Some(status);
        good
    });
    let found = found.expect("asked at least once");
    assert!(came, "this never came\n--- stdout\n{}\n--- stderr\n{}", found.stdout, found.stderr);
    found
}
