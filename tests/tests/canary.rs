//! The canary: a unique value in each secret field, a connector that tells it wherever it can say anything, and every output searched for
//! it. `cargo xtask canary` runs this; `--plant` leaves one door open, and then it must fail.

#![allow(clippy::print_stdout, reason = "what was searched is part of what is shown")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore_tests::canary::{FORMS, Search, Searched, canary};
use longshore_tests::docker::{self, docker};
use longshore_tests::scene::{Finished, Running, Scene, bin_dir};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Where the connector tells it, and by which verbs one gets there. In a run, what is unavailable is tried again for minutes.
const LEAKS: [(&str, &[Verb]); 61] = {
    use Verb::{Check, Discover, Preview, Run, Write};
    const DISCOVER: &[Verb] = &[Discover, Check];
    const PREVIEW: &[Verb] = &[Preview, Run];
    const ONCE: &[Verb] = &[Preview];
    const RUN: &[Verb] = &[Run];
    [
        ("discover-config", DISCOVER),
        ("discover-unavailable", DISCOVER),
        ("discover-data", DISCOVER),
        ("discover-internal", DISCOVER),
        ("discover-long", DISCOVER),
        ("discover-panic", DISCOVER),
        ("discover-exit", DISCOVER),
        ("discover-note", &[Discover, Write]),
        ("discover-schema", &[Discover, Write, Run]),
        ("discover-resource", &[Discover, Write]),
        ("validate-config", &[Check, Run]),
        ("validate-unavailable", &[Check]),
        ("validate-data", &[Check, Run]),
        ("validate-protocol", &[Check, Run]),
        ("validate-finding-pointer", &[Check, Run]),
        ("validate-finding", &[Check, Run]),
        ("validate-warning", &[Check, Run]),
        ("validate-panic", &[Check, Preview]),
        ("validate-abort", &[Check]),
        ("apply-config", RUN),
        ("apply-data", RUN),
        ("apply-internal", RUN),
        ("apply-panic-debug", RUN),
        ("apply-actions", RUN),
        ("open-config", PREVIEW),
        ("open-unavailable", ONCE),
        ("open-fenced", ONCE),
        ("open-panic", PREVIEW),
        ("open-long", PREVIEW),
        ("pull-config", PREVIEW),
        ("pull-unavailable", ONCE),
        ("pull-data", PREVIEW),
        ("pull-internal", PREVIEW),
        ("pull-protocol", PREVIEW),
        ("pull-code", PREVIEW),
        ("pull-pointer", PREVIEW),
        ("pull-suggestion", PREVIEW),
        ("pull-long", PREVIEW),
        ("pull-panic", PREVIEW),
        ("pull-panic-debug", PREVIEW),
        ("pull-exit", ONCE),
        ("pull-abort", ONCE),
        ("pull-schema", RUN),
        ("pull-state", RUN),
        ("pull-state-key", RUN),
        ("log-raw", PREVIEW),
        ("log-json", PREVIEW),
        ("log-fields", PREVIEW),
        ("log-nested", PREVIEW),
        ("log-tracing", PREVIEW),
        ("log-cut", PREVIEW),
        ("log-json-cut", PREVIEW),
        ("log-long", PREVIEW),
        ("log-chunks", PREVIEW),
        ("log-control", PREVIEW),
        ("log-not-utf8", PREVIEW),
        ("log-unicode", PREVIEW),
        ("log-debug", PREVIEW),
        ("log-no-end", PREVIEW),
        ("log-flood", ONCE),
        ("log-stdout", PREVIEW),
    ]
};
/// Nobody reads what is written there.
const UNREAD: &str = "log-stdout";
/// What a connector keeps for itself is kept byte for byte; it is shown without secrets.
const KEPT: [&str; 2] = ["pull-state", "pull-state-key"];
/// Each is hidden in another of these.
const SOURCES: [&str; 5] = ["literal", "variable", "file", "exec", "age"];
const SEARCHED_LEAST: u64 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Discover,
    Write,
    Check,
    Preview,
    Run,
}

impl Verb {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Discover => &["discover", "t"],
            Self::Write => &["discover", "t", "--write"],
            Self::Check => &["check"],
            Self::Preview => &["preview", "t"],
            Self::Run => &["run", "--until", "caught-up"],
        }
    }
}

/// A scene with a canary.
struct Cage {
    scene: Scene,
    name: String,
    canary: String,
    allow_exec: bool,
}

impl Cage {
    fn new(number: usize, leak: &str, source: &str, form: &str) -> Self {
        let (scene, canary) = (Scene::new(), canary(number));
        scene.write("word", format!("{canary}\n"));
        let secret = match source {
            "literal" => json!(canary).to_string(),
            "variable" => "\"${CANARY}\"".to_owned(),
            "file" => "\"${file:word}\"".to_owned(),
            "age" => encrypted(&scene),
            _ => "\"${exec:cat word}\"".to_owned(),
        };
        let cage = Self { scene, name: format!("{leak}, {source}, {form}"), canary, allow_exec: source == "exec" };
        let schema =
            if leak.starts_with("discover") || leak.ends_with("schema") { "" } else { ", schema: { type: object }" };
        let bindings = match leak {
            "discover-resource" => "",
            _ => "    bindings: [{ resource: { stream: s }, collection: t/s }]\n",
        };
        cage.scene.write(
            "a.yaml",
            format!(
                "captures:\n  t:\n    command: [leaky]\n    config:\n      secret: {secret}\n      leak: {leak}\n      form: {form}\n\
                 {bindings}collections:\n  t/s: {{ key: [/id]{schema} }}\n"
            ),
        );
        cage
    }

    fn command(&self, words: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(bin_dir().join("longshore"));
        command.args(words).args(more);
        if self.allow_exec && !["check", "journal", "status"].contains(&words[0]) {
            command.arg("--allow-exec");
        }
        if self.scene.join("key").exists() {
            command.env("LONGSHORE_IDENTITY", "key");
        }
        command.arg("a.yaml").env("CANARY", &self.canary).env("RUST_BACKTRACE", "1");
        command
    }

    /// Runs a verb and searches what it prints.
    fn search(&self, search: &Search, words: &[&str], more: &[&str]) -> Finished {
        let finished = self.scene.start_command(self.command(words, more)).finish();
        let name = format!("{}: longshore {} {}", self.name, words.join(" "), more.join(" "));
        assert!(finished.code.is_some(), "{name} was killed\n{}\n{}", finished.stdout, finished.stderr);
        search.output(&format!("{name}, standard output"), &finished.stdout, &self.canary);
        search.output(&format!("{name}, standard error"), &finished.stderr, &self.canary);
        finished
    }
}

/// The word of a scene, encrypted to a new identity.
fn encrypted(scene: &Scene) -> String {
    scene.longshore(["secret", "keygen", "key"]).expect_code(0);
    let mut command = Command::new(bin_dir().join("longshore"));
    let word = std::fs::File::open(scene.join("word")).expect("the word");
    let output =
        command.args(["secret", "encrypt", "--identity", "key"]).current_dir(scene.path()).stdin(word).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    format!("\"{}\"", String::from_utf8_lossy(&output.stdout).trim())
}

/// A leak of every kind, told by every verb that gets there, for people and for programs; then what is kept of it.
fn leak(number: usize, search: &Search) {
    let (leak, verbs) = LEAKS[number];
    let source = match SOURCES[number % SOURCES.len()] {
        // Check runs no commands.
        "exec" if verbs.contains(&Verb::Check) => "file",
        source => source,
    };
    // What is cut within a secret is cut within its letters.
    let form = if leak.ends_with("long") || leak.ends_with("cut") {
        "plain"
    } else {
        FORMS[number / SOURCES.len() % FORMS.len()]
    };
    let cage = Cage::new(number, leak, source, form);
    let mut scrubbed = false;
    for verb in verbs {
        for more in [&["-vv"][..], &["--json", "--log-format", "json"]] {
            let finished = cage.search(search, verb.words(), more);
            scrubbed |= [&finished.stdout, &finished.stderr].iter().any(|text| text.contains("[secret]"));
        }
        if *verb == Verb::Write {
            let catalog = std::fs::read(cage.scene.join("a.yaml")).expect("the catalog");
            let behind = catalog.windows(11).position(|at| at == b"collections").expect("collections");
            search.output(
                &format!("{}: what was written into the catalog", cage.name),
                &catalog[behind..],
                &cage.canary,
            );
        }
    }
    if verbs.contains(&Verb::Run) {
        for words in [&["journal", "list"][..], &["journal", "read", "t"], &["state", "show"]] {
            let shown = cage.search(search, words, &["--json"]);
            scrubbed |= shown.stdout.contains("[secret]");
        }
        let shown = cage.search(search, &["state", "show"], &["-v"]);
        scrubbed |= shown.stdout.contains("[secret]");
        if !KEPT.contains(&leak) {
            search.files(&cage.name, &cage.scene.join(".longshore"), &cage.canary);
        }
    }
    if !scrubbed && leak != UNREAD {
        search.silent(&cage.name);
    }
}

/// A runtime that goes on, and whom one may ask how it does.
fn long_run(search: &Search) {
    for (number, source) in [(901, "literal"), (902, "age"), (903, "exec")] {
        let cage = Cage::new(number, "pull-wait", source, "plain");
        let mut run = cage.scene.start_command({
            let mut command = cage.command(&["run"], &["--log-format", "json"]);
            command.env_remove("CANARY");
            command
        });
        assert!(run.wait_until(|| told(&cage).is_some()), "{}: it never says what it does", cage.name);
        search.output(&format!("{}: status", cage.name), told(&cage).expect("told just now"), &cage.canary);
        cage.search(search, &["status"], &["--json"]);
        for process in run.children().into_iter().chain([run.id()]) {
            search.process(&cage.name, process, &cage.canary);
        }
        search.output(&format!("{}: the socket", cage.name), socket(&cage.scene), &cage.canary);
        end(&cage, run, search);
    }
    // Where the user puts it into the environment of the runtime, it is still in nobody else's.
    let cage = Cage::new(904, "pull-wait", "variable", "plain");
    let mut run = cage.scene.start_command(cage.command(&["run"], &[]));
    assert!(run.wait_until(|| told(&cage).is_some()), "{}: it never says what it does", cage.name);
    for process in run.children() {
        search.process(&cage.name, process, &cage.canary);
    }
    end(&cage, run, search);
}

/// A task that failed for good while another goes on: the status tells why.
fn failed_task(search: &Search) {
    let cage = Cage::new(906, "validate-finding", "file", "plain");
    let other = "  u:\n    command: [leaky]\n    config: { secret: \"${file:word}\", leak: pull-wait, form: plain }\n    \
        bindings: [{ resource: { stream: s }, collection: t/u }]\n\
        collections:\n  t/u: { key: [/id], schema: { type: object } }\n";
    let catalog = std::fs::read_to_string(cage.scene.join("a.yaml")).expect("the catalog");
    cage.scene.write("a.yaml", catalog.replace("collections:\n", other));
    let mut run = cage.scene.start_command(cage.command(&["run"], &[]));
    let failed = || told(&cage).is_some_and(|status| status.contains("last error, "));
    assert!(run.wait_until(failed), "{}: the status does not tell", cage.name);
    cage.search(search, &["status"], &[]);
    cage.search(search, &["status"], &["--json"]);
    let socket = socket(&cage.scene);
    if !socket.contains("\"code\":\"leaky.[secret]\"") {
        search.silent(&format!("{socket}: the socket"));
    }
    search.output(&format!("{}: the socket", cage.name), socket, &cage.canary);
    run.signal(Signal::TERM);
    let ended = run.finish().expect_code(2);
    search.output(&format!("{}: standard error", cage.name), &ended.stderr, &cage.canary);
}

/// The status, once the connector has said what it does.
fn told(cage: &Cage) -> Option<String> {
    let status = cage.scene.longshore(["status", "a.yaml"]);
    status.stdout.contains("says: using").then_some(status.stdout)
}

fn end(cage: &Cage, run: Running, search: &Search) {
    run.signal(Signal::TERM);
    let ended = run.finish().expect_code(0);
    search.output(&format!("{}: standard output", cage.name), &ended.stdout, &cage.canary);
    search.output(&format!("{}: standard error", cage.name), &ended.stderr, &cage.canary);
    search.files(&cage.name, &cage.scene.join(".longshore"), &cage.canary);
}

/// What the status socket answers, without our own reader behind it.
fn socket(scene: &Scene) -> String {
    let note = std::fs::read_to_string(scene.join(".longshore/control.json")).expect("a note");
    let note: Value = serde_json::from_str(&note).expect("JSON");
    let mut stream = UnixStream::connect(note["socket"].as_str().expect("a path")).expect("somebody listens");
    let request = json!({ "protocol": note["protocol"], "ask": "status" });
    writeln!(stream, "{request}").expect("it takes a request");
    BufReader::new(stream).lines().map_while(Result::ok).collect::<Vec<_>>().join("\n")
}

/// In a container: what anybody who may ask the Engine sees of it.
fn container(search: &Search) {
    let image = docker::leaky();
    let cage = Cage::new(905, "pull-wait", "file", "plain");
    let catalog = std::fs::read_to_string(cage.scene.join("a.yaml")).expect("the catalog");
    cage.scene.write("a.yaml", catalog.replace("command: [leaky]", &format!("image: {image}")));
    let mut run = cage.scene.start_command(cage.command(&["run"], &[]));
    assert!(run.wait_until(|| told(&cage).is_some()), "{}: it never says what it does", cage.name);
    let id = docker::running(&cage.scene, "t").expect("it runs");
    for words in [&["inspect", &id][..], &["inspect", &image], &["history", "--no-trunc", &image], &["top", &id]] {
        search.output(&format!("docker {}", words[0]), docker(words.iter().copied()), &cage.canary);
    }
    let process = docker(["inspect", "--format", "{{.State.Pid}}", &id]).parse().expect("a process id");
    search.process(&cage.name, process, &cage.canary);
    end(&cage, run, search);
    docker(["rmi", "--force", &image]);
}

#[test]
fn no_canary_gets_out() {
    let search = Search::default();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                0 => container(&search),
                1 => long_run(&search),
                2 => failed_task(&search),
                number if number - 3 < LEAKS.len() => leak(number - 3, &search),
                _ => break,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    let Searched { outputs, hits, silent } = search.result();
    for hit in &hits {
        println!("{hit}");
    }
    println!("{outputs} outputs searched, {} hits", hits.len());
    assert!(hits.is_empty(), "{} secrets got out", hits.len());
    assert!(silent.is_empty(), "nothing was told, so nothing was tried: {silent:#?}");
    assert!(outputs >= SEARCHED_LEAST, "only {outputs} outputs were searched");
}

/// What the canary rests on: with a door left open it finds what goes through. (The door of the status needs a run that goes on; `--plant
/// status` leaves it open.)
#[test]
fn a_door_left_open_is_found() {
    let doors: [(&str, &str, &[&str]); 5] = [
        ("words", "log-cut", &["preview", "t"]),
        ("answers", "pull-long", &["preview", "t"]),
        ("log", "validate-warning", &["preview", "t"]),
        ("results", "validate-finding", &["check", "--json"]),
        ("errors", "validate-finding", &["check"]),
    ];
    for (number, (door, leak, words)) in (910..).zip(doors) {
        let cage = Cage::new(number, leak, "literal", "plain");
        for (open, expected) in [("", false), (door, true)] {
            let search = Search::default();
            let mut command = cage.command(words, &[]);
            command.env("LONGSHORE_DOOR_LEFT_OPEN", open);
            let finished = cage.scene.start_command(command).finish();
            search.output("standard output", &finished.stdout, &cage.canary);
            search.output("standard error", &finished.stderr, &cage.canary);
            let hits = search.result().hits;
            assert_eq!(!hits.is_empty(), expected, "door {open:?}: {hits:?}\n{}\n{}", finished.stdout, finished.stderr);
        }
    }
}
