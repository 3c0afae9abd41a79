//! Connectors that mean harm, all at once, in one run beside one that works: what each tried, and whether it succeeded.
//!
//! What happens inside a sandbox the hostile connector tells itself, in documents; how it broke the protocol is judged by what the runtime
//! says of it. Then the run itself is judged: it is up, the good task went on, and it ends when it is told to. [`plant`] weakens the sandbox,
//! to see that a success is found.

pub mod plant;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::destination;
use crate::docker::{assert_nothing_left, docker, images, relays};
use crate::hostile::{Attempt, HostileImage, program};
use crate::memory::peak;
use crate::scene::{Running, Scene, bin_dir};
use crate::wires::{DockerNetwork, Listener, METADATA, Machine};
use plant::Plant;

/// All that is tried has been tried by then.
const TRIED: Duration = Duration::from_secs(120);
/// What is told to stop ends within this time.
const STOPS: &str = "60s";
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(500);
/// More deaths than these are told as silence.
const DEATHS: u64 = 3;
/// More memory than this is no runtime's, whatever connectors do, in bytes.
const RUNTIME_MAX_BYTES: u64 = 1 << 30;

/// Inside any sandbox; `SECRET` stands for a file of somebody else, `ROOT` for the root of the first process that is seen.
const ESCAPES: [&str; 30] = [
    "read=SECRET",
    "write=SECRET",
    "read=ROOTSECRET",
    "write=/etc/passwd",
    "make=/owned",
    "make=/usr/owned",
    "read-disk",
    "kernel-settings",
    "engine",
    "see-processes",
    "ptrace",
    "kill-runtime",
    "enter-namespace",
    "mount",
    "unmount",
    "chroot",
    "setuid",
    "setgid",
    "mknod",
    "set-clock",
    "set-hostname",
    "load-module",
    "bpf",
    "open-by-handle",
    "raw-socket",
    "interfaces",
    "fill-tmp",
    "new-user-namespace",
    "other-sockets",
    "reach=169.254.169.254:8080",
];
/// Inside a container besides.
const IN_CONTAINER: [&str; 12] = [
    "cgroup",
    "make=/open/owned",
    "write=/hostile",
    "write=/etc/hosts",
    "run-from-tmp",
    "perf",
    "keyring",
    "packet-socket",
    "new-mount-namespace",
    "fork-bomb",
    "memory-bomb",
    "open-files",
];
/// In the protocol or the launch contract, by a process: each has to be named with what it did.
const ABUSES: [&str; 23] = [
    "never-serves",
    "never-answers",
    "garbage",
    "exits-at-once",
    "unknown-version",
    "broken-schema",
    "validates-too-much",
    "wrong-order",
    "opens-twice",
    "says-nothing",
    "ends-in-the-middle",
    "dies-in-the-middle",
    "huge-state",
    "wrong-index",
    "no-json",
    "no-object",
    "object-for-a-key",
    "no-text",
    "deep",
    "huge-document",
    "huge-message",
    "ends-beyond-arena",
    "wrong-count",
];
/// The same by an image.
const ABUSES_OF_IMAGE: [&str; 2] = ["link-for-a-socket", "fills-socket-directory"];
/// These go on: the runtime goes on too, and says so when it has something to say.
const STUBBORN: [&str; 3] = ["log-flood", "never-stops", "answers-after-half-close"];

/// Lets all of them loose. With a plant, only what a container does in its sandbox, weakened.
#[must_use]
pub fn siege(plant: Option<Plant>) -> Vec<Attempt> {
    images();
    let secret = Scene::new();
    secret.write("secret", "of somebody else");
    let words = Words::about(&secret.join("secret"));
    let mut besieged = Besieged::new();
    let contained = HostileImage::of(&words.refs(&words.container));
    besieged.telling("container", &format!("image: {}", contained.tag), words.container.len());
    if let Some(plant) = plant {
        let socket = besieged.scene.join("engine");
        plant.lay(&socket);
        let attempts = besieged.hold_out(Some(&socket), |_| {});
        return named(attempts, &[(secret.join("secret").display().to_string(), "SECRET")]);
    }
    besieged.telling(
        "process",
        &format!("command: {}\n    sandbox: required\n    network: {{ allow: [] }}", command(&words.process)),
        words.process.len(),
    );

    let listens = HostileImage::of(&["listen", "8080"]);
    let (outside, metadata) = (
        DockerNetwork::make("siege", &[]),
        DockerNetwork::make("cloud", &["--internal", "--subnet", "169.254.170.0/24"]),
    );
    let cloud_address = METADATA.replace(".169.", ".170.");
    let cloud = Machine::start(&listens, &metadata, &["--ip", &cloud_address, "--network-alias", "cloud.example"]);
    let (open, closed) = (Listener::on(&outside.gateway), Listener::on(&outside.gateway));
    let gateway = &outside.gateway;
    let wired = [
        "wait=/data/go".to_owned(),
        format!("reach={gateway}:{}", open.port),
        format!("reach=db.example:{}", closed.port),
        format!("reach=udp:db.example:{}", open.port),
        "reach=name:other.example".to_owned(),
        "reach=cloud.example:8080".to_owned(),
        format!("reach={METADATA}:8080"),
        "reach=[fd00:ec2::254]:80".to_owned(),
        "reach=198.18.0.1:22".to_owned(),
    ];
    let wired_image = HostileImage::of(&words.refs(&wired));
    besieged.telling(
        "network",
        &format!(
            "image: {}\n    mounts: [{{ path: ./data, at: /data, read_only: true }}]\n    \
             network: {{ allow: [\"db.example={gateway}:{}\", \"cloud.example:8080\"] }}",
            wired_image.tag, open.port
        ),
        wired.len() - 1,
    );
    for how in ABUSES.iter().chain(&STUBBORN) {
        besieged.abusing("protocol", how, &format!("command: {}", command(&["abuse".to_owned(), (*how).to_owned()])));
    }
    let images: Vec<HostileImage> = ABUSES_OF_IMAGE.iter().map(|how| HostileImage::of(&["abuse", how])).collect();
    for (how, image) in ABUSES_OF_IMAGE.iter().zip(&images) {
        besieged.abusing("image", how, &format!("image: {}", image.tag));
    }
    let mut joined = BTreeSet::new();
    let mut attempts = besieged.hold_out(None, |scene| {
        // The relays are led to where the metadata listen: only they themselves are left to refuse.
        let relays = relays(scene, "network");
        if joined.is_empty() && relays.len() == 2 {
            for relay in relays {
                docker(["network", "connect", &metadata.name, &relay]);
                joined.insert(relay);
            }
            scene.write("data/go", "");
        }
    });
    let touched = cloud.reached() + open.count() + closed.count();
    attempts.push(Attempt {
        name: "network/listeners".into(),
        succeeded: touched > 0 || joined.is_empty(),
        detail: format!("{touched} connections came to where none may come"),
    });
    let names = [
        (secret.join("secret").display().to_string(), "SECRET"),
        (gateway.clone(), "HOST"),
        (format!(":{}", open.port), ":OPEN"),
        (format!(":{}", closed.port), ":CLOSED"),
    ];
    named(attempts, &names)
}

/// The same attempts under names that are the same in every run.
fn named(mut attempts: Vec<Attempt>, names: &[(String, &str)]) -> Vec<Attempt> {
    for attempt in &mut attempts {
        attempt.name = names.iter().fold(attempt.name.clone(), |name, (written, said)| name.replace(written, said));
    }
    attempts
}

/// What is tried where, with the secret's place in it.
struct Words {
    container: Vec<String>,
    process: Vec<String>,
}

impl Words {
    fn about(secret: &Path) -> Self {
        let secret = secret.display().to_string();
        let fill = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| word.replace("SECRET", &secret).replace("ROOT", "/proc/1/root")).collect()
        };
        let mut container = fill(&ESCAPES);
        container.extend(fill(&IN_CONTAINER));
        Self { container, process: fill(&ESCAPES) }
    }

    fn refs<'a>(&self, words: &'a [String]) -> Vec<&'a str> {
        words.iter().map(String::as_str).collect()
    }
}

fn command(words: &[String]) -> String {
    let all: Vec<String> = std::iter::once(program().display().to_string()).chain(words.iter().cloned()).collect();
    serde_json::to_string(&all).expect("JSON")
}

/// A run with a good task, and others.
struct Besieged {
    scene: Scene,
    captures: String,
    collections: String,
    bindings: String,
    /// Tasks that tell what they tried, and how often.
    telling: Vec<(&'static str, usize)>,
    /// Tasks that break the protocol: group, name.
    abusing: Vec<(&'static str, &'static str)>,
}

impl Besieged {
    fn new() -> Self {
        let scene = Scene::new();
        std::fs::create_dir(scene.join("data")).expect("make a directory");
        let mut besieged = Self {
            scene,
            captures: String::new(),
            collections: String::new(),
            bindings: String::new(),
            telling: Vec::new(),
            abusing: Vec::new(),
        };
        besieged.task("good", "connector: generator", "{ rate: 20 }", true);
        besieged
    }

    fn telling(&mut self, task: &'static str, endpoint: &str, count: usize) {
        self.task(task, endpoint, "{}", true);
        self.telling.push((task, count));
    }

    fn abusing(&mut self, group: &'static str, how: &'static str, endpoint: &str) {
        self.task(&format!("bad-{how}"), endpoint, "{}", false);
        self.abusing.push((group, how));
    }

    fn task(&mut self, name: &str, endpoint: &str, config: &str, read: bool) {
        self.captures += &format!(
            "  {name}:\n    {endpoint}\n    config: {config}\n    bindings:\n      - {{ resource: {{ stream: s }}, collection: siege/{name} }}\n"
        );
        self.collections +=
            &format!("  siege/{name}: {{ key: [/id], schema: {{ type: object, properties: {{ id: {{}} }} }} }}\n");
        if read {
            self.bindings +=
                &format!("      - {{ collection: siege/{name}, resource: {{ name: {name} }}, delta_updates: true }}\n");
        }
    }

    /// Runs until everything was tried, or for as long as that may take, and judges.
    fn hold_out(self, engine: Option<&Path>, mut meanwhile: impl FnMut(&Scene)) -> Vec<Attempt> {
        let scene = &self.scene;
        scene.write(
            "catalog.yaml",
            format!(
                "captures:\n{}collections:\n{}materializations:\n  told:\n    connector: files\n    config: {{ path: ./out, format: jsonl }}\n    bindings:\n{}",
                self.captures, self.collections, self.bindings
            ),
        );
        let mut command = Command::new(bin_dir().join("longshore"));
        command.args(["run", "catalog.yaml"]);
        if let Some(engine) = engine {
            command.env("DOCKER_HOST", format!("unix://{}", engine.display()));
        }
        let mut run = scene.start_command(command);
        let (begun, mut looked) = (Instant::now(), Instant::now());
        let mut first_good = None;
        run.wait_until(|| {
            if looked.elapsed() < LOOK {
                return false;
            }
            looked = Instant::now();
            meanwhile(scene);
            let status = status(scene);
            let good = rows(&status, "good");
            first_good = first_good.or(good.filter(|rows| *rows > 0));
            begun.elapsed() > TRIED || self.is_tried(&status)
        });
        let status = status(scene);
        let good_moved = rows(&status, "good") > first_good.or(Some(u64::MAX));
        let up = run.is_running();
        let peak_bytes = peak(run.id()).map_or(0, |(_, bytes)| bytes);
        let mut attempts: Vec<Attempt> =
            self.telling.iter().flat_map(|(task, count)| told(scene, task, *count)).collect();
        attempts.extend(self.abusing.iter().filter(|(_, how)| !STUBBORN.contains(how)).map(|(group, how)| {
            // By its program or image, or by its task where what it said was no more than wrong.
            let task = format!("siege/bad-{how}");
            let named =
                last_error(&status, how).filter(|message| message.contains("hostile") || message.contains(&task));
            let name = format!("{group}/{how}");
            match named {
                Some(message) => Attempt { name, succeeded: false, detail: message },
                None => Attempt { name, succeeded: true, detail: "the status does not name it".into() },
            }
        }));
        let own = |name: &str, failed: bool, detail: String| Attempt { name: name.into(), succeeded: failed, detail };
        attempts.push(own("runtime/end-it", !up, "it is up".into()));
        attempts.push(own(
            "runtime/stall-others",
            !good_moved,
            format!("the good task moved {:?} rows", rows(&status, "good")),
        ));
        attempts.push(own(
            "runtime/fill-its-memory",
            peak_bytes > RUNTIME_MAX_BYTES || peak_bytes == 0,
            format!("{} MiB at most", peak_bytes >> 20),
        ));
        attempts.extend(self.ended(run));
        attempts
    }

    /// Every task has told what it tried, or is named for what it did.
    fn is_tried(&self, status: &[Value]) -> bool {
        // Published, and not only captured: then it is in the files.
        let told = |(task, count): &(&str, usize)| arrived(status, task) >= Some(*count as u64);
        let is_named = |how: &str| STUBBORN.contains(&how) || last_error(status, how).is_some();
        // One that dies of what it tries, again and again, tells no more.
        let dies = |task: &str| of_task(status, task).and_then(|task| task["restarts"].as_u64()) > Some(DEATHS);
        self.telling.iter().all(|one| told(one) || dies(one.0)) && self.abusing.iter().all(|(_, how)| is_named(how))
    }

    /// Those that do not want to end end with the run.
    fn ended(&self, run: Running) -> Vec<Attempt> {
        let stopped = self.scene.longshore(["stop", "--timeout", STOPS, "catalog.yaml"]);
        let in_time = stopped.code == Some(0);
        let log = if in_time { run.finish().stderr } else { run.kill().stderr };
        if in_time {
            assert_nothing_left(&self.scene);
        }
        let said = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        let judge = |how: &str, blocked: bool| Attempt {
            name: format!("protocol/{how}"),
            succeeded: !blocked,
            detail: if in_time {
                "it ended with the run".into()
            } else {
                format!("the run did not end: {}", stopped.stderr.trim())
            },
        };
        let stubborn = self.abusing.iter().filter(|(_, how)| STUBBORN.contains(how));
        stubborn
            .map(|(_, how)| match *how {
                "log-flood" => judge(how, in_time && said(&["bad-log-flood", "log lines dropped"])),
                "never-stops" => judge(how, in_time && said(&["hostile", "killed by signal 9"])),
                _ => judge(how, in_time),
            })
            .collect()
    }
}

fn status(scene: &Scene) -> Vec<Value> {
    scene.longshore(["status", "--json", "catalog.yaml"]).objects("task")
}

fn of_task<'a>(status: &'a [Value], name: &str) -> Option<&'a Value> {
    status.iter().find(|task| task["task"] == name)
}

/// What a task moved in this run.
fn rows(status: &[Value], task: &str) -> Option<u64> {
    let bindings = of_task(status, task)?["bindings"].as_array()?;
    Some(bindings.iter().filter_map(|binding| binding["rows"].as_u64()).sum())
}

/// What of a task is in the files.
fn arrived(status: &[Value], task: &str) -> Option<u64> {
    let bindings = of_task(status, "told")?["bindings"].as_array()?;
    let collection = format!("siege/{task}");
    bindings.iter().find(|binding| binding["collection"] == collection)?["rows"].as_u64()
}

fn last_error(status: &[Value], how: &str) -> Option<String> {
    let task = of_task(status, &format!("bad-{how}"))?;
    task["last_error"]["message"].as_str().map(str::to_owned)
}

/// What a task told, each once; what it did not tell counts as a success.
fn told(scene: &Scene, task: &str, count: usize) -> Vec<Attempt> {
    let mut seen = BTreeSet::new();
    let text = |document: &Value, key: &str| document[key].as_str().unwrap_or_default().to_owned();
    let directory = scene.join("out").join(task);
    let documents = if directory.exists() { destination::documents(&directory) } else { Vec::new() };
    let mut attempts: Vec<Attempt> = documents
        .iter()
        .filter(|document| seen.insert(text(document, "attempt")))
        .map(|document| Attempt {
            name: format!("{task}/{}", text(document, "attempt")),
            succeeded: document["succeeded"] != false,
            detail: text(document, "detail"),
        })
        .collect();
    if attempts.len() != count {
        attempts.push(Attempt {
            name: format!("{task}/silence"),
            succeeded: true,
            detail: format!("{} of {count} attempts were told", attempts.len()),
        });
    }
    attempts
}
