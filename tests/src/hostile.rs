//! The connector that means harm (`src/bin/hostile`) as images, and what it says of its attempts.
//!
//! The binary is the one of this build with the libraries it is linked to, so nothing is built for the image but a layer. What it is to try
//! are the words behind its entry point: each image tries something else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::docker::{docker, docker_did};
use crate::scene::{Finished, Scene, bin_dir};

/// An image of the hostile connector, gone when dropped.
#[derive(Debug)]
pub struct HostileImage {
    /// Its name.
    pub tag: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The word that asked for it.
    pub name: String,
    /// It did what it wanted to.
    pub succeeded: bool,
    /// How, or what stopped it.
    pub detail: String,
}

/// The program, for `command:`.
#[must_use]
pub fn program() -> PathBuf {
    bin_dir().join("hostile")
}

impl HostileImage {
    /// An image that tries these.
    #[must_use]
    pub fn of(words: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = base();
        let tag = format!("longshore-test/hostile-{}-{}:dev", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let scene = Scene::new();
        let entry: Vec<&str> = ["/hostile"].into_iter().chain(words.iter().copied()).collect();
        let entry = serde_json::to_string(&entry).expect("JSON");
        scene.write("Dockerfile", format!("FROM {base}\nENTRYPOINT {entry}\n"));
        docker(["build", "--quiet", "--tag", &tag, &scene.path().display().to_string()]);
        Self { tag }
    }
}

impl Drop for HostileImage {
    fn drop(&mut self) {
        docker_did(["rmi", "--force", &self.tag]);
    }
}

/// The binary and what it is linked to, in an image with the labels of a connector.
fn base() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| {
        let scene = Scene::new();
        let program = program();
        let copied = Command::new("strip").arg("-o").arg(scene.join("hostile")).arg(&program).status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "strip {}: apt-get install -y binutils",
            program.display()
        );
        let linked = Command::new("ldd").arg(&program).output().expect("ldd lists libraries");
        for word in String::from_utf8_lossy(&linked.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            let inside = format!("root{word}");
            scene.write(&inside, fs::read(word).expect("a library"));
            fs::set_permissions(scene.join(&inside), fs::Permissions::from_mode(0o755)).expect("set a mode");
        }
        // Where anybody may write, were the root not read-only.
        scene.write("root/open/door", "");
        fs::set_permissions(scene.join("root/open"), fs::Permissions::from_mode(0o777)).expect("set a mode");
        let labels = "LABEL dev.longshore.protocol=v1 dev.longshore.kind=capture";
        scene.write("Dockerfile", format!("FROM scratch\nCOPY root /\nCOPY hostile /hostile\n{labels}\n"));
        let tag = "longshore-test/hostile:base".to_owned();
        docker(["build", "--quiet", "--tag", &tag, &scene.path().display().to_string()]);
        tag
    })
}

/// The attempts that a connector told of in documents, as `preview --json` prints them.
#[must_use]
pub fn attempts(finished: &Finished) -> Vec<Attempt> {
    let told = |object: &Value| {
        let document = &object["document"];
        let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
        Attempt { name: text("attempt"), succeeded: document["succeeded"] != false, detail: text("detail") }
    };
    finished.objects("document").iter().map(told).collect()
}

/// The same of a preview that ended well and told of some.
#[track_caller]
#[must_use]
pub fn told(finished: Finished) -> Vec<Attempt> {
    let finished = finished.expect_code(0);
    let told = attempts(&finished);
    assert!(!told.is_empty(), "{}\n{}", finished.stdout, finished.stderr);
    told
}
