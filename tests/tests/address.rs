//! A connector that somebody else runs: at an `address:` where nobody serves it is told who is missing and tried again, one that comes late is
//! taken, and a run that is asked to stop meanwhile does not wait for it. When waiting ends by itself is `runtime/src/supervise/retry.rs`.

#![allow(clippy::disallowed_methods, reason = "waiting is what is tested")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longshore_tests::destination;
use longshore_tests::scene::{Scene, bin_dir};
use rustix::process::Signal;

const CATALOG: &str = "captures:
  far:
    address: unix:./far.sock
    token_file: ./token
    config: { count: 5, documents: 1 }
    bindings:
      - { resource: { stream: s }, collection: far/s }
collections:
  far/s: { key: [/id] }
materializations:
  near:
    connector: sqlite
    config: { path: ./near.db }
    bindings:
      - { collection: far/s, resource: { table: s } }
";
/// As long as one look lasts, and a bit: the first one has failed by then.
const AFTER_THE_FIRST_LOOK: Duration = Duration::from_secs(12);
/// Nobody is waited for any more.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A connector that was started by hand; killed in the end.
struct Far(Child);

impl Far {
    fn start(scene: &Scene) -> Self {
        let child = Command::new(bin_dir().join("capture-generator"))
            .env("LONGSHORE_LISTEN", format!("unix:{}", scene.join("far.sock").display()))
            .env("LONGSHORE_TOKEN_FILE", scene.join("token"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the generator starts"))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.0.kill().expect("a child of ours");
        self.0.wait().expect("a child of ours");
    }
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("far.yaml", CATALOG).write("token", "a secret of some length, as it should be\n");
    std::fs::set_permissions(scene.join("token"), std::fs::Permissions::from_mode(0o600)).expect("private");
    scene
}

#[test]
fn one_that_comes_late_is_tried_again_until_it_is_there() {
    let scene = scene();
    let begun = Instant::now();
    let mut running = scene.start(["run", "--until", "caught-up", "far.yaml"]);
    assert!(running.wait_until(|| begun.elapsed() > AFTER_THE_FIRST_LOOK), "it waits for the connector");
    let _far = Far::start(&scene);
    let finished = running.finish().expect_code(0);
    for told in ["far.sock", "did not serve within", "trying again in"] {
        assert!(finished.stderr.contains(told), "expected {told:?} in\n{}", finished.stderr);
    }
    assert_eq!(destination::number(&scene.join("near.db"), "SELECT count(*) FROM s"), 5);
}

#[test]
fn a_run_that_is_stopped_does_not_wait_for_it() {
    let scene = scene();
    let begun = Instant::now();
    let mut running = scene.start(["run", "far.yaml"]);
    // The state is there when the tasks begin.
    assert!(running.wait_until(|| scene.join(".longshore/state.db").is_file() && begun.elapsed().as_millis() > 300));
    running.signal(Signal::TERM);
    let asked = Instant::now();
    running.finish().expect_code(0);
    assert!(asked.elapsed() < AT_ONCE, "it took {:?} to stop", asked.elapsed());
}

#[test]
fn another_token_is_refused_by_name() {
    let scene = scene();
    let _far = Far::start(&scene);
    let served = longshore_tests::scene::holds_within(AT_ONCE, || scene.join("far.sock").exists());
    assert!(served, "it serves");
    scene.write("token", "not the one that it was started with, by far\n");
    for words in [&["check", "far.yaml"][..], &["run", "--until", "caught-up", "far.yaml"]] {
        let refused = scene.longshore(words).expect_code(2);
        assert!(refused.stderr.contains("far.sock") && refused.stderr.contains("token_file"), "{}", refused.stderr);
    }
}
