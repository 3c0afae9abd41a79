//! Images: the same binary gives the same one, both Dockerfiles build, and what is not here is pulled and known by its digest.

#![allow(clippy::disallowed_methods, reason = "a registry is waited for with a limit")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use longshore_tests::docker::{docker, docker_did, images, xtask};
use longshore_tests::scene::{Scene, holds_within, repository};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const RUN: [&str; 5] = ["run", "--until", "caught-up", "--json", "generated.yaml"];
const GENERATOR: &str = "longshore/capture-generator:dev";

#[test]
fn the_same_binary_gives_the_same_image_and_says_what_it_is() {
    images();
    let made = |_| xtask(&["image", "capture-generator"]).split_whitespace().nth(1).expect("an id").to_owned();
    let ids = [0, 1].map(made);
    assert_eq!(ids[0], ids[1]);
    let inspected: Value = serde_json::from_str(&docker(["image", "inspect", GENERATOR])).expect("JSON");
    assert_eq!(inspected[0]["Id"], ids[0].as_str());
    let config = &inspected[0]["Config"];
    assert_eq!(config["User"], "65532:65532");
    let label = |name: &str| config["Labels"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!((label("dev.longshore.protocol"), label("dev.longshore.kind")), ("v1".into(), "capture".into()));
    assert_eq!(label("org.opencontainers.image.title"), "capture-generator");

    let scene = Scene::new();
    unpack(GENERATOR, &["spec.json", "capture-generator", "etc/passwd"], scene.path());
    unpack(GENERATOR, &["etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Europe/Berlin"], scene.path());
    let spec = fs::read(scene.join("spec.json")).expect("a spec");
    assert_eq!(label("dev.longshore.spec.sha256"), hex(&spec));
    let printed = Command::new(scene.join("capture-generator")).arg("--spec").output().expect("it runs");
    assert_eq!(printed.stdout, spec, "the spec can be read without running anything");
    let linked = Command::new("ldd").arg(scene.join("capture-generator")).output().expect("ldd");
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned() + &String::from_utf8_lossy(&linked.stderr);
    assert!(linked.contains("statically linked") || linked.contains("not a dynamic executable"), "{linked}");
    assert!(fs::read(scene.join("Berlin")).is_ok_and(|zone| zone.starts_with(b"TZif")), "time zones");
    assert!(fs::read_to_string(scene.join("ca-certificates.crt")).is_ok_and(|text| text.contains("BEGIN CERTIFICATE")));
}

#[test]
fn both_dockerfiles_build_a_connector_that_runs() {
    images();
    drop(xtask(&["image", "--base"]));
    let scene = Scene::new();
    let context = scene.join("context");
    fs::create_dir(&context).expect("make a directory");
    unpack(GENERATOR, &["spec.json", "capture-generator"], &context);
    fs::rename(context.join("capture-generator"), context.join("connector")).expect("rename a file");
    let sha256 = format!("SPEC_SHA256={}", hex(&fs::read(context.join("spec.json")).expect("a spec")));
    for file in ["Dockerfile.static", "Dockerfile.debian"] {
        let (path, context) = (repository().join("base-image").join(file), context.display().to_string());
        let tag = format!("longshore-test/{}-{}:dev", file.to_lowercase(), std::process::id());
        let mut words = vec!["build", "--quiet", "--network", "none", "--tag", &tag];
        let path = path.display().to_string();
        words.extend(["--file", &path]);
        for argument in ["SYSTEM=longshore/debian:base", "NAME=capture-generator", "KIND=capture", &sha256] {
            words.extend(["--build-arg", argument]);
        }
        words.push(&context);
        docker(words);
        assert_generates(&tag, "");
        docker(["rmi", "--force", &tag]);
    }
    let packages = Scene::new();
    unpack("longshore/debian:base", &["packages.txt"], packages.path());
    let packages = fs::read_to_string(packages.join("packages.txt")).expect("a list");
    assert!(packages.lines().any(|line| line.starts_with("libc6 ")), "{packages}");
}

#[test]
fn an_image_that_is_not_here_is_pulled_and_locked_by_its_digest() {
    images();
    let registry = Registry::start();
    let name = format!("127.0.0.1:{}/acme/capture-generator:1.0", registry.port);
    docker(["tag", GENERATOR, &name]);
    docker(["push", "--quiet", &name]);
    let forget = || docker(["rmi", &name]);
    forget();
    // What it is made of is here as another image's: what is pulled is its name.
    let told = assert_generates(&name, "");
    assert!(told.contains("pulling the image") && told.contains("pulled"), "{told}");

    let scene = generated(&name, "");
    let locked = scene.longshore(["lock", "--json", "generated.yaml"]).expect_code(0).objects("locked");
    let digest = locked[0]["is"].as_str().expect("a digest").to_owned();
    assert!(digest.starts_with(&format!("127.0.0.1:{}/acme/capture-generator@sha256:", registry.port)), "{digest}");
    forget();
    scene.longshore(RUN).expect_code(0);

    let refused = generated(&name, "production: true\n").longshore(RUN).expect_code(2);
    assert!(refused.stdout.contains("catalog.image-tag"), "{}", refused.stdout);
    assert_generates(&digest, "production: true\n");

    let missing = name.replace("capture-generator", "nobody");
    let refused = generated(&missing, "").longshore(RUN).expect_code(2);
    assert!(refused.stderr.contains("image.pull"), "{}", refused.stderr);
    assert!(docker_did(["rmi", "--force", &digest]), "it is here by its digest");
}

#[test]
fn an_image_that_is_no_connector_or_the_other_half_is_refused_before_it_runs() {
    images();
    let refused = generated("longshore/materialize-null:dev", "").longshore(RUN).expect_code(2).stderr;
    assert!(refused.contains("expected dev.longshore.kind=capture"), "{refused}");
    let scene = Scene::new();
    let tag = format!("longshore-test/stranger-{}:dev", std::process::id());
    scene.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\nENTRYPOINT [\"/Dockerfile\"]\n");
    docker(["build", "--quiet", "--tag", &tag, &scene.path().display().to_string()]);
    let refused = generated(&tag, "").longshore(RUN).expect_code(2).stderr;
    assert!(refused.contains("is no connector"), "{refused}");
    docker(["rmi", "--force", &tag]);
}

/// A catalog with one capture, of this image.
fn generated(image: &str, head: &str) -> Scene {
    let scene = Scene::new();
    scene.write(
        "generated.yaml",
        format!(
            "{head}captures:
  source:
    image: {image}
    config: {{ count: 5 }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: a/s }}
collections:
  a/s: {{ key: [/id] }}
"
        ),
    );
    scene
}

/// It runs to its end; gives what was logged.
#[track_caller]
fn assert_generates(image: &str, head: &str) -> String {
    let finished = generated(image, head).longshore(RUN).expect_code(0);
    assert!(finished.rows("source").iter().any(|(_, rows)| *rows > 0), "{}", finished.stdout);
    finished.stderr
}

/// Copies files out of an image without running it.
fn unpack(image: &str, paths: &[&str], into: &Path) {
    // An image without a command needs one to be made a container of; it is never started.
    let id = docker(["create", image, "none"]);
    for path in paths {
        docker(["cp", "--follow-link", &format!("{id}:/{path}"), &into.display().to_string()]);
    }
    docker(["rm", &id]);
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Debian's registry, on a port of this machine, in a directory that goes with it.
struct Registry {
    child: Child,
    port: u16,
    _scene: Scene,
}

impl Registry {
    fn start() -> Self {
        let scene = Scene::new();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let root = scene.join("data");
        scene.write(
            "registry.yaml",
            format!(
                "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\n  delete: {{ enabled: true }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n",
                root.display()
            ),
        );
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(scene.join("registry.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts: apt-get install -y docker-registry");
        let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(holds_within(Duration::from_secs(20), answers), "the registry answers");
        Self { child, port, _scene: scene }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
