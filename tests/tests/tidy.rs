//! What a machine can check about how the project is kept, so that review is for thought. Each failure says what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_tests::scene::repository;

/// A file longer than this has a second job.
const LINES_MAX: usize = 600;

/// Files git tracks or would, with their contents.
fn files(wanted: fn(&str) -> bool) -> Vec<(String, String)> {
    let root = repository();
    let output = Command::new("git")
        .current_dir(&root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git lists the files");
    let names = String::from_utf8(output.stdout).expect("file names are text");
    let read = |name: &str| fs::read_to_string(root.join(name)).ok().map(|text| (name.to_owned(), text));
    let found: Vec<_> = names.lines().filter(|name| wanted(name)).filter_map(read).collect();
    assert!(!found.is_empty(), "nothing to check: is this a git checkout?");
    found
}

fn is_rust(name: &str) -> bool {
    name.ends_with(".rs")
}

#[track_caller]
fn none(found: &[String], what_to_do: &str) {
    assert!(found.is_empty(), "{what_to_do}:\n  {}", found.join("\n  "));
}

#[test]
fn every_file_says_at_its_top_what_it_is_for() {
    let silent = |(name, text): (String, String)| (!text.starts_with("//!")).then_some(name);
    let found: Vec<_> = files(is_rust).into_iter().filter_map(silent).collect();
    none(&found, "open these with `//!`: what the file is for, what it does not do, where to go next");
}

#[test]
fn no_file_has_a_second_job() {
    let long = |(name, text): (String, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{name}: {lines} lines"))
    };
    let found: Vec<_> = files(is_rust).into_iter().filter_map(long).collect();
    none(&found, "split these by job");
}

#[test]
fn nothing_is_left_unfinished_or_skipped() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ign", "ore")];
    none(&lines_with(files(is_rust), &marks), "finish these, or leave them out and say so");
}

#[test]
fn tests_wait_for_events_and_never_sleep() {
    let of_tests = |name: &str| is_rust(name) && (name.starts_with("tests/tests/") || name.contains("/tests/"));
    let sleeps = [concat!("thread::sl", "eep("), concat!("time::sl", "eep(")];
    none(&lines_with(files(of_tests), &sleeps), "wait for what should happen instead");
}

#[test]
fn nothing_names_a_place_of_one_machine() {
    let text = |name: &str| !name.ends_with(".zst") && !name.ends_with(".csv") && !name.ends_with("tidy.rs");
    let places = ["/home/", "/Users/", concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    none(&lines_with(files(text), &places), "these paths exist on one machine only");
}

#[test]
fn every_crate_has_a_readme_at_its_door() {
    let manifests = files(|name| name.ends_with("/Cargo.toml"));
    let door = |name: &str| Path::new(name).with_file_name("README.md");
    let missing: Vec<_> =
        manifests.iter().map(|(name, _)| door(name)).filter(|readme| !repository().join(readme).exists()).collect();
    let missing: Vec<String> = missing.iter().map(|path: &PathBuf| path.display().to_string()).collect();
    none(&missing, "write these");
}

/// connectors → sdk → proto ← runtime → relay; nothing but other tests depends on the tests. Tests of a connector may play the runtime, so they may see proto.
#[test]
fn dependencies_point_one_way() {
    let ours = ["longshore", "longshore-proto", "longshore-relay", "longshore-sdk", "longshore-tests"];
    let allowed = |manifest: &str| -> &[&str] {
        match manifest {
            "proto/Cargo.toml" | "xtask/Cargo.toml" | "base-image/relay/Cargo.toml" => &[],
            "runtime/Cargo.toml" => &["longshore-proto", "longshore-relay"],
            "connector-sdk/Cargo.toml" => &["longshore-proto"],
            "tests/Cargo.toml" => &["longshore", "longshore-proto", "longshore-sdk"],
            "tests/netsim/Cargo.toml" => &["longshore", "longshore-proto", "longshore-sdk", "longshore-tests"],
            _ => &["longshore-sdk"],
        }
    };
    let mut found = Vec::new();
    for (name, text) in files(|name| name.ends_with("/Cargo.toml")) {
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_own_name = line.starts_with("name");
            let plays_the_runtime = section == "[dev-dependencies]" && dependency == "longshore-proto";
            if !is_own_name && !plays_the_runtime && ours.contains(&dependency) && !allowed(&name).contains(&dependency)
            {
                found.push(format!("{name}: {line}"));
            }
        }
    }
    none(&found, "runtime and connector-sdk meet in proto and nowhere else");
}

/// The contract spawns nothing, never sleeps, reads no clock and no file.
#[test]
fn the_contract_does_nothing() {
    let of_proto = |name: &str| name.starts_with("proto/src/") && is_rust(name) && !name.ends_with("tests.rs");
    let doing = ["std::fs", "std::net", "std::thread", "Instant::now", "SystemTime", "tokio::"];
    none(&lines_with(files(of_proto), &doing), "proto only says what may be said");
}

/// What the runtime prints is scrubbed of secrets.
#[test]
fn what_leaves_the_runtime_goes_through_a_door() {
    let of_runtime = |name: &str| name.starts_with("runtime/src/") && is_rust(name) && !name.contains("tests");
    let writes = ["stdout().lock()", "stderr().lock()"];
    let past = |(name, text): (String, String)| {
        let prints = writes.iter().any(|write| text.contains(write));
        (prints && !text.contains("Door::")).then_some(name)
    };
    let found: Vec<_> = files(of_runtime).into_iter().filter_map(past).collect();
    none(&found, "write what these print through a `Door` of runtime/src/secret");
}

fn lines_with(files: Vec<(String, String)>, marks: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// A rule that no test is named after may be broken without anybody noticing.
#[test]
fn every_rule_of_the_protocol_has_a_test_of_its_name() {
    use longshore_proto::rules::{CAPTURE, COMMON, MATERIALIZE};
    let tests: Vec<String> = files(is_rust).into_iter().flat_map(|(_, text)| names_of_tests(&text)).collect();
    assert!(tests.len() > 100, "{} tests found", tests.len());
    // `x_1_and_x_2_…` is named after both.
    let is_named = |id: &str| {
        let id = format!("_{}_", id.to_lowercase().replace('-', "_"));
        tests.iter().any(|test| format!("_{test}").contains(&id))
    };
    let unnamed: Vec<String> = [COMMON, CAPTURE, MATERIALIZE]
        .into_iter()
        .flatten()
        .filter(|rule| !is_named(rule.id))
        .map(|rule| format!("{}: {}", rule.id, rule.text))
        .collect();
    none(&unnamed, "write a test for each of these whose name begins with the rule's id, such as `m_5_…`");
}

fn names_of_tests(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let name = |at: usize| {
        let function = lines[at + 1..].iter().find(|line| !line.starts_with("#["))?;
        let name = function.split_once("fn ")?.1.split_once('(')?.0;
        Some(name.to_owned())
    };
    (0..lines.len()).filter(|&at| is_test(lines[at])).filter_map(name).collect()
}
