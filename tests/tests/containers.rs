//! Every connector as an image, in its sandbox and without a network: the same rows, whatever is killed, paused or starved, and nothing left.

#![allow(clippy::disallowed_methods, reason = "a kill comes at a moment of the clock")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use longshore_tests::dice::{Dice, number};
use longshore_tests::docker::{assert_nothing_left, docker, docker_did, flights, give, images, running, state};
use longshore_tests::scene::{Scene, holds_within};
use longshore_tests::{destination, nyc};
use rustix::process::Signal;
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "flights.yaml"];
/// Without end: it stops when it is told.
const RUN_ON: [&str; 2] = ["run", "flights.yaml"];
const TASKS: [&str; 3] = ["nyc", "lake", "archive"];
/// Enough for a run to be in the middle of something when it is hit.
const ROWS: usize = 60_000;
const SOON: Duration = Duration::from_secs(30);

#[test]
fn every_flight_arrives_once_through_containers_without_a_network() {
    let scene = flights(None);
    let first = scene.longshore(["run", "--until", "caught-up", "--json", "flights.yaml"]).expect_code(0);
    nyc::assert_everything_once(&scene);
    assert_eq!(first.rows("lake").iter().map(|(_, rows)| rows).sum::<u64>(), nyc::FLIGHTS + 1_458 + 26_115);
    let second = scene.longshore(["run", "--until", "caught-up", "--json", "flights.yaml"]).expect_code(0);
    assert!(TASKS.iter().all(|task| second.rows(task).iter().all(|(_, rows)| *rows == 0)), "{}", second.stdout);
    assert_nothing_left(&scene);
}

#[test]
fn a_container_has_what_the_contract_says_and_nothing_more() {
    let scene = flights(Some(100));
    let mut run = scene.start(RUN_ON);
    assert!(run.wait_until(|| TASKS.iter().all(|task| running(&scene, task).is_some())), "all three run");
    for task in TASKS {
        let id = running(&scene, task).expect("it runs");
        let inspected: Value = serde_json::from_str(&docker(["inspect", &id])).expect("JSON");
        let (config, host) = (&inspected[0]["Config"], &inspected[0]["HostConfig"]);
        let limits = (&host["Memory"], &host["MemorySwap"], &host["NanoCpus"], &host["PidsLimit"]);
        assert_eq!(limits, (&json!(256 << 20), &json!(256 << 20), &json!(1_000_000_000), &json!(128)), "{task}");
        assert_eq!((&host["ReadonlyRootfs"], &host["CapDrop"]), (&json!(true), &json!(["ALL"])), "{task}");
        assert_eq!((&host["NetworkMode"], &host["LogConfig"]["Type"]), (&json!("none"), &json!("none")), "{task}");
        assert_eq!(config["User"], json!(user()), "{task}");
        let mounts = inspected[0]["Mounts"].as_array().expect("mounts");
        assert_eq!(mounts.len(), 2, "its socket and what the catalog mounts: {mounts:?}");

        // As the kernel sees it.
        let pid = inspected[0]["State"]["Pid"].as_u64().expect("a process");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(line(capabilities), "0000000000000000", "{task} {capabilities}");
        }
        assert_eq!((line("NoNewPrivs:"), line("Seccomp:")), ("1", "2"), "{task}");
        assert!(!line("Uid:").split_whitespace().any(|uid| uid == "0"), "{task}: {}", line("Uid:"));
        let interfaces = fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("its interfaces");
        assert_eq!(interfaces.lines().filter(|line| line.contains(':')).count(), 1, "loopback alone:\n{interfaces}");
        let root = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("its mounts");
        let root = root.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("a root");
        assert!(root.split(' ').nth(5).is_some_and(|options| options.starts_with("ro")), "{task}: {root}");
    }
    let lake = running(&scene, "lake").expect("it runs");
    let inside = docker(["inspect", "--format", "{{json .HostConfig.Tmpfs}}", &lake]);
    assert!(inside.contains("/catalog/.longshore"), "the state is masked where a mount holds it: {inside}");
    run.signal(Signal::TERM);
    run.finish().expect_code(0);
    assert_nothing_left(&scene);
}

#[test]
fn a_killed_runtime_leaves_nothing_that_goes_on_and_the_next_one_removes_it() {
    let mut dice = Dice::of_environment();
    let scene = flights(Some(ROWS));
    for _ in 0..number("LONGSHORE_KILLS", 3) {
        let mut run = scene.start(RUN);
        if !run.wait_until(|| running(&scene, "nyc").is_some()) {
            // It got through.
            run.finish().expect_code(0);
            break;
        }
        let moment = Instant::now() + dice.milliseconds(0, 1_500);
        run.wait_until(|| Instant::now() >= moment);
        run.kill();
        // The lifeline: they end by themselves.
        let ended = || TASKS.iter().all(|task| running(&scene, task).is_none());
        assert!(holds_within(SOON, ended), "a connector outlives its runtime");
    }
    scene.longshore(RUN).expect_code(0);
    nyc::assert_everything_once(&scene);
    assert_nothing_left(&scene);
}

#[test]
fn a_connector_that_is_killed_is_started_again() {
    let mut dice = Dice::of_environment();
    let scene = flights(Some(ROWS));
    let mut run = scene.start(RUN);
    let mut killed = 0;
    while killed < 3 {
        let victim = TASKS[dice.below(3) as usize];
        let mut hit = || running(&scene, victim).is_some_and(|id| docker_did(["kill", &id]));
        if !run.wait_until(&mut hit) {
            break;
        }
        killed += 1;
        let moment = Instant::now() + dice.milliseconds(100, 600);
        run.wait_until(|| Instant::now() >= moment);
    }
    run.finish().expect_code(0);
    assert!(killed > 0, "nothing was killed");
    nyc::assert_everything_once(&scene);
    assert_nothing_left(&scene);
}

#[test]
fn a_paused_container_of_a_killed_runtime_is_gone_before_its_successor_begins() {
    let scene = flights(Some(ROWS));
    let mut run = scene.start(RUN);
    let mut paused = None;
    run.wait_until(|| {
        paused = running(&scene, "lake").filter(|id| docker_did(["pause", id]));
        paused.is_some()
    });
    run.kill();
    let paused = paused.expect("it was paused");
    assert_eq!(state(&paused), "paused", "its lifeline cannot reach it");
    scene.longshore(RUN).expect_code(0);
    assert_eq!(state(&paused), "", "it is gone");
    nyc::assert_everything_once(&scene);
    assert_nothing_left(&scene);
}

/// The successor knows nothing of the Engine, so it cannot kill its predecessor: the fence alone keeps the rows single.
#[test]
fn a_zombie_that_wakes_up_behind_its_successor_is_fenced() {
    let scene = flights(Some(1_000));
    let mut first = scene.start(RUN_ON);
    let journal = || {
        let listed = scene.longshore(["journal", "list", "nyc", "--json", "flights.yaml"]);
        listed.objects("journal").first().and_then(|journal| journal["end_offset"].as_u64()).unwrap_or(0)
    };
    let all = 1_000 + 1_458 + 26_115;
    assert!(first.wait_until(|| journal() >= all && nyc::stored(&scene) == Some(1_000)), "the first rows arrive");
    let zombie = running(&scene, "lake").expect("the lake runs");
    docker(["pause", &zombie]);
    let before = journal();
    scene.append("data/flights.csv", nyc::flights_behind(1_000, 500));
    assert!(first.wait_until(|| journal() >= before + 500), "the journal has the new rows");

    // A second runtime with the same state, on the same database, without containers.
    copy(&scene.join(".longshore"), &scene.join("copy"));
    scene.write("successor.yaml", nyc::CATALOG);
    let mut second = Command::new(longshore_tests::scene::bin_dir().join("longshore"));
    second
        .args(["run", "--until", "caught-up", "--only", "lake", "--state-dir", "copy", "successor.yaml"])
        .env("DOCKER_HOST", "unix:///nowhere.sock");
    scene.start_command(second).finish().expect_code(0);
    assert_eq!(nyc::stored(&scene), Some(1_500), "the successor has stored them");

    docker(["unpause", &zombie]);
    assert!(holds_within(SOON, || state(&zombie).is_empty()), "the zombie ends");
    first.signal(Signal::TERM);
    let told = first.finish();
    assert!(told.stderr.contains("fenc"), "it says that it was fenced:\n{}", told.stderr);
    assert_eq!(
        destination::table(&scene.join("nyc.db"), "flights"),
        destination::csv(&scene.join("data/flights.csv")),
        "every row is there once"
    );
    assert_nothing_left(&scene);
}

#[test]
fn memory_that_runs_out_is_named_and_costs_no_row() {
    images();
    let scene = Scene::new();
    fs::create_dir(scene.join("out")).expect("make a directory");
    give(&scene.join("out"));
    let catalog = |memory: &str| {
        format!(
            "captures:
  source:
    image: longshore/capture-generator:dev
    limits: {{ memory: 1GiB }}
    config: {{ count: 8, documents: 1, keys: 8, body_bytes: [15728640] }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: big/s }}
collections:
  big/s: {{ key: [/id] }}
materializations:
  lake:
    image: longshore/materialize-sqlite:dev
    limits: {{ memory: {memory} }}
    mounts: [{{ path: ./out, at: /out }}]
    config: {{ path: ./out/big.db }}
    bindings:
      - {{ collection: big/s, resource: {{ table: s }} }}
"
        )
    };
    scene.write("flights.yaml", catalog("64MiB"));
    let starved = scene.longshore(RUN).expect_code(1);
    assert!(starved.stderr.contains("out of memory: it wanted more than its 64 MiB"), "{}", starved.stderr);
    assert!(starved.stderr.contains("limits: { memory: … }"), "it says what to do\n{}", starved.stderr);
    scene.write("flights.yaml", catalog("512MiB"));
    scene.longshore(RUN).expect_code(0);
    let stored = destination::number(&scene.join("out/big.db"), "SELECT count(*) FROM s WHERE length(body) = 15728640");
    assert_eq!(stored, 8);
    assert_nothing_left(&scene);
}

#[test]
fn check_shows_what_a_container_may_do_and_a_mount_it_cannot_use_is_refused() {
    let scene = flights(Some(100));
    let shown = scene.longshore(["check", "flights.yaml"]).expect_code(0).stdout;
    for line in [
        format!("runs as {}, network none, capabilities none, root read-only", user()),
        "memory 256 MiB, 1 CPU, 128 processes, /tmp 64 MiB".to_owned(),
        format!("mounts {} at /data, read-only", scene.join("data").display()),
        format!("mounts {} at /out, writable", scene.join("out").display()),
    ] {
        assert!(shown.contains(&line), "expected {line:?} in\n{shown}");
    }
    fs::remove_dir(scene.join("out")).expect("remove a directory");
    let refused = scene.longshore(RUN).expect_code(2).stderr;
    assert!(refused.contains("mkdir -p ./out"), "{refused}");
    fs::create_dir(scene.join("out")).expect("make a directory");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(scene.join("out"), fs::Permissions::from_mode(0o555)).expect("close a directory");
    let refused = scene.longshore(RUN).expect_code(2).stderr;
    assert!(refused.contains(&format!("chown -R {} ./out", user())), "{refused}");
    assert_nothing_left(&scene);
}

#[test]
fn what_was_locked_is_what_runs() {
    images();
    let scene = Scene::new();
    let name = format!("longshore-test/locked-{}:dev", std::process::id());
    let tag = |from: &str| docker(["tag", from, &name]);
    tag("longshore/capture-generator:dev");
    scene.write(
        "flights.yaml",
        format!(
            "captures:
  source:
    image: {name}
    config: {{ count: 3 }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: a/s }}
collections:
  a/s: {{ key: [/id] }}
"
        ),
    );
    let locked = scene.longshore(["lock", "flights.yaml"]).expect_code(0).stdout;
    assert!(locked.contains("sha256:"), "{locked}");
    scene.longshore(RUN).expect_code(0);
    // Another image under the same name, as after a new build.
    let context = scene.join("context");
    fs::create_dir(&context).expect("make a directory");
    fs::write(context.join("Dockerfile"), format!("FROM {name}\nLABEL other=yes\n")).expect("write a file");
    docker(["build", "--quiet", "--tag", &name, &context.display().to_string()]);
    let refused = scene.longshore(RUN).expect_code(2).stderr;
    assert!(refused.contains("is not the one that was locked") && refused.contains("longshore lock"), "{refused}");
    scene.longshore(["lock", "flights.yaml"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    docker(["rmi", "--force", &name]);
    assert_nothing_left(&scene);
}

/// Whom connectors run as here.
fn user() -> String {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() { "65532:65532".into() } else { format!("{}:{}", uid.as_raw(), gid.as_raw()) }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let kind = entry.file_type().expect("a kind");
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).expect("copy a file");
        }
    }
}
