//! The Docker Engine in tests: the images of the workspace's connectors, made once, and what runs for a scene.
//!
//! Talks to it through its own command line, as a user would; `DOCKER_HOST` says which Engine, as it does for the runtime.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::nyc;
use crate::scene::{Scene, bin_dir, repository};

/// Who a connector is when root runs the runtime, and owns what is mounted.
const NOBODY: u32 = 65532;

/// Sees that the Engine has the images of the connectors as they are now.
pub fn images() {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        let printed = xtask(&["image", "--all"]);
        assert!(printed.contains("longshore/capture-files:dev"), "{printed}");
    });
}

/// An image with the capture that cannot keep a secret: it is built like any other test's program, so its libraries come along.
#[must_use]
pub fn leaky() -> String {
    let context = tempfile::tempdir().expect("a temporary directory");
    let program = bin_dir().join("leaky");
    let linked = output(Command::new("ldd").arg(&program));
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries {
        let to = context.path().join("root").join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().expect("a file has a directory")).expect("make a directory");
        std::fs::copy(file, to).expect("copy a library");
    }
    let stripped = context.path().join("root/leaky");
    drop(output(Command::new("strip").arg("-o").arg(&stripped).arg(&program)));
    let dockerfile = "FROM scratch\nCOPY root/ /\nLABEL dev.longshore.protocol=v1 dev.longshore.kind=capture\nENTRYPOINT [\"/leaky\"]\n";
    std::fs::write(context.path().join("Dockerfile"), dockerfile).expect("write a file");
    let name = format!("longshore-test/leaky-{}:dev", std::process::id());
    docker(["build", "--quiet", "--tag", &name, &context.path().display().to_string()]);
    name
}

/// Runs `cargo xtask` with these words; gives what it prints.
#[must_use]
pub fn xtask(words: &[&str]) -> String {
    let mut command = Command::new(bin_dir().join("xtask"));
    output(command.args(words).current_dir(repository()))
}

/// Runs `docker` with these words; gives what it prints.
#[track_caller]
pub fn docker<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    output(Command::new("docker").args(words))
}

/// The same where it may fail, because what is meant may be gone: whether it did not.
pub fn docker_did<'a>(words: impl IntoIterator<Item = &'a str>) -> bool {
    let mut command = Command::new("docker");
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.trim().to_owned()
}

/// The flights with every connector as an image: nothing else of the catalog is another.
#[must_use]
pub fn flights(rows: Option<usize>) -> Scene {
    images();
    let scene = rows.map_or_else(nyc::scene, nyc::scene_with);
    let contained = [
        ("nyc", "files", "capture-files", "{ path: ./data, at: /data, read_only: true }"),
        ("lake", "sqlite", "materialize-sqlite", "{ path: ., at: /catalog }"),
        ("archive", "files", "materialize-files", "{ path: ./out, at: /out }"),
    ];
    let mut catalog = nyc::CATALOG.to_owned();
    for (task, name, image, mount) in contained {
        let (from, to) = (
            format!("  {task}:\n    connector: {name}\n"),
            format!("  {task}:\n    image: longshore/{image}:dev\n    mounts: [{mount}]\n"),
        );
        assert!(catalog.contains(&from), "{catalog}");
        catalog = catalog.replace(&from, &to);
    }
    scene.write("flights.yaml", catalog);
    std::fs::create_dir(scene.join("out")).expect("make a directory");
    give(scene.path());
    give(&scene.join("out"));
    // The data are whoever's who unpacked them; connectors only read them.
    for file in std::fs::read_dir(scene.join("data")).expect("the data").flatten() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("open a data file");
    }
    scene
}

/// Gives a directory to whom connectors run as: as root to nobody in particular; else that is who runs the test.
pub fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("give a directory away");
    }
}

/// Ids of the containers of a scene, of one task or of all, whatever they do.
#[must_use]
pub fn containers(scene: &Scene, task: Option<&str>) -> Vec<String> {
    let Some(of_scene) = label(scene) else { return Vec::new() };
    let of_task = task.map(|task| format!("label=dev.longshore.task={task}"));
    let mut words = vec!["ps", "--all", "--quiet", "--no-trunc", "--filter", &of_scene];
    words.extend(of_task.iter().flat_map(|label| ["--filter", label]));
    docker(words).lines().map(str::to_owned).collect()
}

/// The running connector of a task, if there is one.
#[must_use]
pub fn running(scene: &Scene, task: &str) -> Option<String> {
    containers(scene, Some(task)).into_iter().find(|id| state(id) == "running" && part(id) == "connector")
}

/// The running relays of a task.
#[must_use]
pub fn relays(scene: &Scene, task: &str) -> Vec<String> {
    containers(scene, Some(task)).into_iter().filter(|id| state(id) == "running" && part(id) == "relay").collect()
}

/// What a container is for: `connector`, `relay`, or nothing if it is gone.
fn part(id: &str) -> String {
    let output = Command::new("docker")
        .args(["inspect", "--format", "{{index .Config.Labels \"dev.longshore.part\"}}", id])
        .output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Ids of the networks of a scene.
#[must_use]
pub fn networks(scene: &Scene) -> Vec<String> {
    let Some(of_scene) = label(scene) else { return Vec::new() };
    docker(["network", "ls", "--quiet", "--no-trunc", "--filter", &of_scene]).lines().map(str::to_owned).collect()
}

/// What everything of a scene is labelled with; before its first run it has nothing.
fn label(scene: &Scene) -> Option<String> {
    let installation = std::fs::read_to_string(scene.join(".longshore/installation")).ok()?;
    Some(format!("label=dev.longshore.installation={}", installation.trim()))
}

/// What it does: `created`, `running`, `paused`, `exited`, or nothing if it is gone.
#[must_use]
pub fn state(id: &str) -> String {
    let output = Command::new("docker").args(["inspect", "--format", "{{.State.Status}}", id]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Nothing of a scene is left in the Engine.
#[track_caller]
pub fn assert_nothing_left(scene: &Scene) {
    let left = containers(scene, None);
    assert!(left.is_empty(), "containers are left: {left:?}");
    let left = networks(scene);
    assert!(left.is_empty(), "networks are left: {left:?}");
}
