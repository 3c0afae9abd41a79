//! What a connector in a container reaches: by default nothing, with an allow list exactly that, through a relay that never carries to
//! link-local or metadata addresses, whatever a name resolves to. And nothing of it is left behind.

use std::fs;
use std::time::Duration;

use longshore_tests::docker::{assert_nothing_left, containers, docker, images, networks, relays, running, state};
use longshore_tests::hostile::{Attempt, HostileImage, told};
use longshore_tests::scene::{Running, Scene, holds_within};
use longshore_tests::wires::{DockerNetwork, Listener, METADATA, Machine};
use rustix::process::Signal;
use serde_json::Value;

const PREVIEW: [&str; 6] = ["preview", "source", "--json", "--documents", "100", "catalog.yaml"];
const SOON: Duration = Duration::from_secs(60);

#[test]
fn an_allowed_pair_is_reached_and_no_other_host_or_port() {
    images();
    let outside = DockerNetwork::make("outside", &[]);
    let (host, other) = (Listener::on(&outside.gateway), Listener::on(&outside.gateway));
    let (open, closed, gateway) = (host.port, other.port, &outside.gateway);
    let image = HostileImage::of(&[
        &format!("reach=db.example:{open}"),
        &format!("reach=db.example:{closed}"),
        &format!("reach={gateway}:{open}"),
        "reach=name:other.example",
        // Its own gateway, were there one; the name server of the Engine; by UDP.
        "reach=198.18.0.1:53",
        &format!("reach=udp:db.example:{open}"),
        "reach=udp:198.51.100.1:53",
    ]);
    let scene = scene(&image, &format!("network: {{ allow: [\"db.example={gateway}:{open}\"] }}"));
    let told = told(scene.longshore(PREVIEW));
    let [allowed, refused @ ..] = told.as_slice() else { panic!("nothing is told") };
    assert_eq!((allowed.succeeded, allowed.detail.as_str()), (true, "welcome, hello"), "{allowed:?}");
    assert_eq!(refused.len(), 6);
    for attempt in refused {
        assert!(!attempt.succeeded, "{attempt:?}");
    }
    assert_eq!((host.count(), other.count()), (1, 0), "connections that came");

    // Without an allow list not even that.
    let scene = self::scene(&image, "");
    for attempt in self::told(scene.longshore(PREVIEW)) {
        assert!(!attempt.succeeded, "{attempt:?}");
    }
    assert_eq!((host.count(), other.count()), (1, 0), "connections that came");
}

#[test]
fn a_name_that_resolves_to_a_metadata_address_is_refused_by_the_relay() {
    images();
    let listens = HostileImage::of(&["listen", "8080"]);
    // Each a machine of its own, known by name to whoever is in its network: as the relay will be.
    let metadata = DockerNetwork::make("metadata", &["--internal", "--subnet", "169.254.169.0/24"]);
    let database = DockerNetwork::make("database", &[]);
    let cloud = Machine::start(&listens, &metadata, &["--ip", METADATA, "--network-alias", "cloud.example"]);
    let host = Machine::start(&listens, &database, &["--network-alias", "db.example"]);
    let image = HostileImage::of(&[
        "wait=/data/go",
        "reach=db.example:8080",
        "reach=cloud.example:8080",
        "reach=169.254.169.254:8080",
        "reach=[fd00:ec2::254]:8080",
    ]);
    let allow = "network: { allow: [\"db.example:8080\", \"cloud.example:8080\"] }\n    mounts: [{ path: ./data, at: /data, read_only: true }]";
    let scene = scene(&image, allow);
    fs::create_dir(scene.join("data")).expect("make a directory");
    let mut run = scene.start(["-v"].into_iter().chain(PREVIEW));
    let carrying = of_preview(&mut run, &scene);
    for (network, relay) in carrying.iter().flat_map(|relay| [(&metadata, relay), (&database, relay)]) {
        docker(["network", "connect", &network.name, relay]);
    }
    // A door that is open: only the relay itself is left to refuse.
    let reached =
        docker(["run", "--rm", "--network", &metadata.name, &HostileImage::of(&["ask", "cloud.example:8080"]).tag]);
    assert_eq!(reached, "welcome, hello");
    let before = cloud.reached();
    scene.write("data/go", "");
    let finished = run.finish();
    let log = finished.stderr.clone();
    let told = told(finished);
    assert_eq!((told[0].succeeded, told[0].detail.as_str()), (true, "welcome, hello"), "{told:?}\n{log}");
    for attempt in &told[1..] {
        assert!(!attempt.succeeded, "{attempt:?}");
    }
    assert_eq!((cloud.reached(), host.reached()), (before, 1), "connections that came");
    assert!(log.contains("169.254.169.254 is link-local"), "the relay says why\n{log}");
}

#[test]
fn another_tasks_network_is_not_reached() {
    images();
    let outside = DockerNetwork::make("tasks", &[]);
    let host = Listener::on(&outside.gateway);
    let allow = format!(
        "network: {{ allow: [\"db.example={}:{}\"] }}\n    mounts: [{{ path: ./data, at: /data, read_only: true }}]",
        outside.gateway, host.port
    );
    let image = HostileImage::of(&["wait=/data/go", "reach-listed=/data/targets"]);
    let scenes = [scene(&image, &allow), scene(&image, &allow)];
    let mut runs = Vec::new();
    for scene in &scenes {
        fs::create_dir(scene.join("data")).expect("make a directory");
        runs.push(scene.start(PREVIEW));
    }
    let relays: Vec<String> = runs.iter_mut().zip(&scenes).flat_map(|(run, scene)| of_preview(run, scene)).collect();
    assert_eq!(relays.len(), 2, "one each");
    // What each relay is called in both of its networks, its own and the one that leads outside.
    let addresses = |id: &String| {
        let listed = docker(["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", id]);
        listed.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let theirs: Vec<String> = addresses(&relays[1]).iter().map(|ip| format!("{ip}:{}", host.port)).collect();
    assert_eq!(theirs.len(), 2, "{theirs:?}");
    scenes[0].write("data/targets", theirs.join("\n"));
    scenes[1].write("data/targets", format!("db.example:{}", host.port));
    for scene in &scenes {
        scene.write("data/go", "");
    }
    let [first, second] = runs.into_iter().map(|run| told(run.finish())).collect::<Vec<_>>().try_into().expect("two");
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|attempt: &Attempt| !attempt.succeeded), "{first:?}");
    assert!(second[0].succeeded, "the other task goes on: {second:?}");
}

#[test]
fn check_and_status_show_what_it_may_reach() {
    images();
    let outside = DockerNetwork::make("shown", &[]);
    let host = Listener::on(&outside.gateway);
    let image = HostileImage::of(&[&format!("reach=db.example:{}", host.port)]);
    let pair = format!("db.example={}:{}", outside.gateway, host.port);
    let scene = scene(&image, &format!("network: {{ allow: [\"{pair}\"] }}"));
    let shown = format!("{pair} through a relay and nothing else");
    let people = scene.longshore(["check", "catalog.yaml"]).expect_code(0).stdout;
    assert!(people.contains(&format!("network {shown}")), "{people}");
    let checked = scene.longshore(["check", "--json", "catalog.yaml"]).expect_code(0).objects("sandbox");
    let sandbox = &checked[0]["sandbox"];
    assert_eq!((&sandbox["network"], &sandbox["allow"]), (&"relay".into(), &serde_json::json!([pair])), "{sandbox}");

    let mut run = scene.start(["run", "catalog.yaml"]);
    assert!(run.wait_until(|| running(&scene, "source").is_some()), "it runs");
    let told = |task: &Value| {
        let parts = task["connector"]["sandbox"].as_array().cloned().unwrap_or_default();
        parts.iter().any(|part| part["name"] == "network" && part["applied"] == true && part["detail"] == shown)
    };
    let status = || scene.longshore(["status", "--json", "catalog.yaml"]).objects("task");
    assert!(run.wait_until(|| status().iter().any(told)), "{:?}", status());
    let relay = relays(&scene, "source").pop().expect("a relay");
    assert_held_as_tight_as_a_connector(&relay);
    run.signal(Signal::TERM);
    run.finish().expect_code(0);
    assert_nothing_left(&scene);
}

#[test]
fn a_killed_runtime_leaves_no_network_and_a_relay_that_dies_ends_its_connector() {
    images();
    let outside = DockerNetwork::make("killed", &[]);
    let host = Listener::on(&outside.gateway);
    let image = HostileImage::of(&[&format!("reach=db.example:{}", host.port)]);
    let allow = format!("network: {{ allow: [\"db.example={}:{}\", \"x.example:1\"] }}", outside.gateway, host.port);
    let scene = scene(&image, &allow);
    let mut run = scene.start(["run", "catalog.yaml"]);
    assert!(run.wait_until(|| running(&scene, "source").is_some()), "it runs");
    assert_eq!((relays(&scene, "source").len(), networks(&scene).len()), (2, 2), "one a host; inside and outside");

    let before = running(&scene, "source").expect("it runs");
    docker(["kill", &relays(&scene, "source")[0]]);
    assert!(run.wait_until(|| running(&scene, "source").is_some_and(|now| now != before)), "it is started again");
    assert!(state(&before).is_empty() && relays(&scene, "source").len() == 2, "with relays of its own");

    let said = run.kill().stderr;
    assert!(said.contains("the relay to ") && said.contains("ended: killed by signal 9"), "it says why\n{said}");
    let ended = || containers(&scene, None).iter().all(|id| state(id) != "running");
    assert!(holds_within(SOON, ended), "a container outlives its runtime");
    assert!(!networks(&scene).is_empty(), "nobody could remove them");
    scene.longshore(["run", "--until", "caught-up", "catalog.yaml"]).expect_code(0);
    assert_nothing_left(&scene);
}

#[test]
fn without_the_image_of_relays_it_is_said_what_makes_it() {
    images();
    let image = HostileImage::of(&[]);
    let scene = scene(&image, "network: { allow: [\"db.example:1\"] }");
    for (name, says) in
        [("longshore-test/nobody:dev", "cargo xtask image relay"), (&image.tag, "dev.longshore.relay=v1")]
    {
        let mut command = std::process::Command::new(longshore_tests::scene::bin_dir().join("longshore"));
        command.args(["check", "catalog.yaml"]).env("LONGSHORE_RELAY_IMAGE", name);
        let refused = scene.start_command(command).finish().expect_code(2).stderr;
        assert!(refused.contains(says) && refused.contains(name), "{refused}");
    }
}

/// As the kernel sees it.
fn assert_held_as_tight_as_a_connector(relay: &str) {
    let pid = docker(["inspect", "--format", "{{.State.Pid}}", relay]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!((line("CapEff:"), line("CapBnd:")), ("0000000000000000", "0000000000000000"));
    assert_eq!((line("NoNewPrivs:"), line("Seccomp:")), ("1", "2"));
    assert!(!line("Uid:").split_whitespace().any(|uid| uid == "0"), "{}", line("Uid:"));
    let inspected: Value = serde_json::from_str(&docker(["inspect", relay])).expect("JSON");
    assert_eq!(inspected[0]["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(inspected[0]["Mounts"], serde_json::json!([]), "nothing of the host");
}

/// A catalog with one capture of an image.
fn scene(image: &HostileImage, more: &str) -> Scene {
    let scene = Scene::new();
    scene.write(
        "catalog.yaml",
        format!(
            "captures:
  source:
    image: {}
    {more}
    config: {{}}
    bindings:
      - {{ resource: {{ stream: s }}, collection: a/s }}
collections:
  a/s: {{ key: [/id] }}
",
            image.tag
        ),
    );
    scene
}

/// The relays of a preview, as soon as its connector runs.
fn of_preview(run: &mut Running, scene: &Scene) -> Vec<String> {
    // A preview has no state to be known by: it is the container that sees this scene's data.
    let of_scene = format!("volume={}", scene.join("data").display());
    let mut connector = String::new();
    let runs = run.wait_until(|| {
        connector = docker(["ps", "--quiet", "--no-trunc", "--filter", &of_scene]);
        !connector.is_empty()
    });
    assert!(runs, "its connector runs");
    let name = docker(["inspect", "--format", "{{.Name}}", &connector]);
    let relays = format!("name={}-relay-", name.trim_start_matches('/'));
    docker(["ps", "--quiet", "--no-trunc", "--filter", &relays]).lines().map(str::to_owned).collect()
}
