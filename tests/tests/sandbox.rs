//! What holds a connector that is a process: limits always, walls of bubblewrap where they are there or required, and a refusal where they
//! are required and missing. Whatever ends the runtime ends the connector with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use longshore_tests::hostile::{program, told};
use longshore_tests::scene::{Finished, Scene, bin_dir, holds_within, is_alive};
use rustix::process::Signal;
use serde_json::Value;

const PREVIEW: [&str; 6] = ["preview", "source", "--json", "--documents", "100", "catalog.yaml"];
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_command_does_not_see_the_state_and_keeps_its_own_files() {
    let scene = scene(&["read=.longshore/state.db", "make=outside/file", "core-file"], "");
    fs::create_dir(scene.join("outside")).expect("make a directory");
    scene.write(".longshore/state.db", "ours");
    let told = told(scene.longshore(PREVIEW));
    let came: Vec<(&str, bool)> = told.iter().map(|one| (one.name.as_str(), one.succeeded)).collect();
    assert_eq!(came[1], ("make=outside/file", true), "its files are its own business: {told:?}");
    assert!(!came[0].1, "{told:?}");
    // Root may raise its limits again.
    assert!(!came[2].1 || rustix::process::geteuid().is_root(), "{told:?}");
    assert!(scene.join("outside/file").exists(), "what it wrote is there");
}

#[test]
fn one_that_is_required_to_be_held_reaches_nothing_but_the_catalogs_directory() {
    let secret = Scene::new();
    secret.write("secret", "of somebody else");
    let elsewhere = secret.join("secret").display().to_string();
    let words = [
        "make=inside",
        &format!("read={elsewhere}"),
        &format!("write={elsewhere}"),
        "make=/owned",
        "make=/usr/owned",
        "read=.longshore/state.db",
        "engine",
        "see-processes",
        "ptrace",
        "mount",
        "new-user-namespace",
        "raw-socket",
        "setuid",
        "read-disk",
        "fill-tmp",
        "interfaces",
        "reach=name:example.org",
    ];
    let scene = scene(&words, "sandbox: required\n    network: { allow: [] }");
    scene.write(".longshore/state.db", "ours");
    let told = told(scene.longshore(PREVIEW));
    assert_eq!(told.len(), words.len());
    assert!(told[0].succeeded && scene.join("inside").exists(), "{:?}", told[0]);
    for attempt in &told[1..] {
        assert!(!attempt.succeeded, "{attempt:?}");
    }
}

/// As where a build directory is a link into a home.
#[test]
fn one_that_is_called_by_a_link_into_what_is_hidden_is_found() {
    let hidden = Scene::new();
    fs::copy(program(), hidden.join("hostile")).expect("copy the program");
    let outside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("make a directory");
    let link = outside.path().join("link");
    symlink(hidden.path(), &link).expect("make a link");
    let scene = scene_of(&link.join("hostile"), &["make=inside", "make=/usr/owned"], "sandbox: required");
    let mut command = Command::new("env");
    command.arg("HOME=/nowhere").arg(bin_dir().join("longshore")).args(PREVIEW);
    let told = told(scene.start_command(command).finish());
    assert!(told[0].succeeded && !told[1].succeeded, "{told:?}");
}

#[test]
fn what_is_required_and_missing_is_refused_with_the_command_that_gets_it() {
    for asked in ["sandbox: required", "network: { allow: [] }"] {
        let scene = scene(&["core-file"], asked);
        let refused = without_bubblewrap(&scene, &["check", "catalog.yaml"]).expect_code(2).stderr;
        let says =
            [asked.split(": ").next().unwrap_or_default(), "it is not installed", "apt-get install -y bubblewrap"];
        assert!(says.iter().all(|part| refused.contains(part)), "{refused}");
        scene.longshore(["check", "catalog.yaml"]).expect_code(0);
    }
    let scene = scene(&["core-file"], "");
    let shown = without_bubblewrap(&scene, &["check", "catalog.yaml"]).expect_code(0).stdout;
    assert!(shown.contains("open: state and sockets, filesystem, network"), "{shown}");
}

#[test]
fn check_and_status_say_which_parts_hold_a_process() {
    let scene = scene(&["core-file"], "sandbox: required");
    let shown = scene.longshore(["check", "catalog.yaml"]).expect_code(0).stdout;
    assert!(
        shown.contains("held by: environment, ends with the runtime, no new privileges, limits, state and"),
        "{shown}"
    );
    assert!(shown.contains("open: network"), "{shown}");
    let mut run = scene.start(["run", "catalog.yaml"]);
    let mut pid = None;
    let part = |task: &Value, name: &str| {
        let parts = task["connector"]["sandbox"].as_array().cloned().unwrap_or_default();
        parts.iter().find(|part| part["name"] == name).map(|part| part["applied"] == true)
    };
    assert!(run.wait_until(|| {
        let tasks = scene.longshore(["status", "--json", "catalog.yaml"]).objects("task");
        let Some(task) = tasks.first() else { return false };
        pid = task["connector"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        part(task, "filesystem") == Some(true) && part(task, "network") == Some(false)
    }));
    // The one that is told is the connector, and the kernel says the same of it.
    let status = fs::read_to_string(format!("/proc/{}/status", pid.expect("a process"))).expect("its status");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!((line("Name:"), line("NoNewPrivs:"), line("CapEff:")), ("hostile", "1", "0000000000000000"));
    run.signal(Signal::TERM);
    let ended = run.finish().expect_code(0);
    assert!(!ended.stderr.contains("did not end in order"), "it was asked, and ended by itself\n{}", ended.stderr);
}

#[test]
fn nobody_is_left_when_a_runtime_that_held_them_is_killed() {
    for asked in ["", "sandbox: required"] {
        let scene = scene(&["make=started"], asked);
        let mut run = scene.start(["run", "catalog.yaml"]);
        assert!(run.wait_until(|| scene.join("started").exists()), "it runs");
        let held = descendants(run.id());
        assert!(held.len() >= 2, "what holds it, and itself: {held:?}");
        run.kill();
        assert!(holds_within(SOON, || !held.iter().any(|&process| is_alive(process))), "{asked}: {held:?}");
    }
}

/// All that a process has started, and what that has.
fn descendants(process: u32) -> Vec<u32> {
    let children = longshore_tests::scene::children_of(process);
    children.iter().flat_map(|&child| std::iter::once(child).chain(descendants(child))).collect()
}

/// The same, on a machine that has no such program.
fn without_bubblewrap(scene: &Scene, words: &[&str]) -> Finished {
    let mut command = Command::new("env");
    command.arg("PATH=/nowhere").arg(bin_dir().join("longshore")).args(words);
    scene.start_command(command).finish()
}

/// A catalog with one capture that tries these.
fn scene(words: &[&str], more: &str) -> Scene {
    scene_of(&program(), words, more)
}

fn scene_of(program: &Path, words: &[&str], more: &str) -> Scene {
    let scene = Scene::new();
    let command: Vec<String> =
        std::iter::once(program.display().to_string()).chain(words.iter().map(|&w| w.to_owned())).collect();
    scene.write(
        "catalog.yaml",
        format!(
            "captures:
  source:
    command: {}
    {more}
    config: {{}}
    bindings:
      - {{ resource: {{ stream: s }}, collection: a/s }}
collections:
  a/s: {{ key: [/id] }}
",
            serde_json::to_string(&command).expect("JSON")
        ),
    );
    scene
}
