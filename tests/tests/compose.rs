//! The runtime as an image, started as `examples/compose` says: with its bundled connectors, and with connectors that are images themselves.

#![allow(clippy::disallowed_methods, reason = "a service is waited for")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use longshore_tests::docker::{assert_nothing_left, flights, images};
use longshore_tests::nyc;
use longshore_tests::scene::{Scene, holds_within, repository};

const SOON: Duration = Duration::from_secs(60);

/// A directory that is a project of compose; taken down in the end.
struct Project<'s> {
    scene: &'s Scene,
    file: &'static str,
    name: String,
}

impl<'s> Project<'s> {
    /// With the file as it is in the repository, and the catalog under the name that needs no word.
    fn new(scene: &'s Scene, file: &'static str) -> Self {
        std::fs::copy(repository().join("examples/compose").join(file), scene.join(file)).expect("the compose file");
        std::fs::rename(scene.join("flights.yaml"), scene.join("longshore.yaml")).expect("the catalog");
        std::fs::create_dir(scene.join("sockets")).expect("a directory for sockets");
        std::fs::set_permissions(scene.join("sockets"), Permissions::from_mode(0o700)).expect("private");
        let name = scene.path().file_name().expect("a name").to_string_lossy().to_lowercase();
        Self { scene, file, name }
    }

    fn compose(&self, words: &[&str]) -> Output {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Command::new("docker-compose")
            .args(["--file", self.file, "--project-name", &self.name])
            .args(words)
            .current_dir(self.scene.path())
            .env("PWD", self.scene.path())
            .env("LONGSHORE_USER", format!("{uid}:{gid}"))
            .env("LONGSHORE_SOCKETS", self.scene.join("sockets"))
            .output()
            .expect("docker-compose")
    }

    #[track_caller]
    fn did(&self, words: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.compose(words);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{words:?}: {status}\n{stdout}\n{stderr}");
        stdout.into_owned()
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        self.compose(&["down", "--timeout", "0"]);
    }
}

#[test]
fn a_service_with_bundled_connectors_goes_on_where_it_was() {
    images();
    let scene = nyc::scene_with(2_000);
    let project = Project::new(&scene, "compose.yaml");
    project.did(&["up", "--detach"]);
    let rows = |count| holds_within(SOON, || nyc::stored(&scene) == Some(count));
    assert!(rows(2_000), "the rows arrive: {}", project.did(&["logs"]));
    let status = project.did(&["exec", "-T", "longshore", "/longshore", "status"]);
    assert!(status.contains("connector: materialize-sqlite, process "), "{status}");
    project.did(&["stop"]);
    let logs = project.did(&["logs"]);
    assert!(logs.contains("stopping: finishing the transactions under way"), "{logs}");

    scene.append("data/flights.csv", nyc::flights_behind(2_000, 500));
    project.did(&["run", "--rm", "longshore", "run", "--until", "caught-up"]);
    nyc::assert_everything_once(&scene);
}

#[test]
fn a_service_starts_connectors_that_are_images() {
    let scene = flights(Some(2_000));
    let project = Project::new(&scene, "compose.images.yaml");
    project.did(&["run", "--rm", "longshore", "run", "--until", "caught-up"]);
    nyc::assert_everything_once(&scene);
    assert_nothing_left(&scene);
}
