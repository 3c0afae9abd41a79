//! What README.md tells people to type works as it stands there: its five minutes, its commands, its links.

use std::path::Path;
use std::process::Command;

use longshore_tests::destination;
use longshore_tests::nyc::FLIGHTS;
use longshore_tests::scene::{Finished, Scene, repository};

/// What takes the place of building: the binaries under test are on PATH already.
const BUILDING: [&str; 2] = ["cargo build --release", r#"export PATH="$PWD/target/release:$PATH""#];

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("cannot read {file}: {error}"))
}

/// The files that git tracks.
fn tracked() -> Vec<String> {
    let listed = Command::new("git").current_dir(repository()).args(["ls-files", "-z"]).output().expect("git lists");
    let names = String::from_utf8(listed.stdout).expect("file names are text");
    names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A copy of what git tracks, as a clone would have it.
fn clone() -> Scene {
    let scene = Scene::new();
    for name in tracked() {
        // A file that was deleted and not committed yet is not there.
        if let Ok(content) = std::fs::read(repository().join(&name)) {
            scene.write(&name, content);
        }
    }
    scene
}

/// The shell blocks below a heading, up to the next one of its level.
fn shell_blocks(text: &str, heading: &str) -> Vec<String> {
    let section = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}")).1;
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in section.lines() {
        match (&mut block, line) {
            (None, line) if line.starts_with("## ") => break,
            (None, "```sh") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// The blocks as one script: each says where it begins, building is left to whoever built the tests.
fn script(blocks: &[String]) -> String {
    let mut script = String::from("set -euo pipefail\n");
    for (number, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '=== block {number}'\n{block}"));
    }
    for line in BUILDING {
        let line = format!("{line}\n");
        assert_eq!(script.matches(&line).count(), 1, "README builds with `{}`", line.trim());
        script = script.replace(&line, "");
    }
    script
}

/// What the block with these words printed.
fn printed<'a>(run: &'a Finished, blocks: &[String], words: &str) -> &'a str {
    let number = blocks.iter().position(|block| block.contains(words)).unwrap_or_else(|| panic!("no block `{words}`"));
    let from = run.stdout.split_once(&format!("=== block {number}\n")).expect("the block began").1;
    from.split_once("=== block ").map_or(from, |(printed, _)| printed)
}

#[test]
fn the_five_minutes_of_the_readme_work_as_written() {
    let blocks = shell_blocks(&read("README.md"), "Five minutes");
    let scene = clone();
    scene.write("tour.sh", script(&blocks));
    let mut bash = Command::new("bash");
    bash.arg("tour.sh");
    let run = scene.start_command(bash).finish().expect_code(0);

    let database = scene.join("target/tour/nyc.db");
    assert_eq!(destination::number(&database, "SELECT count(*) FROM flights").cast_unsigned(), FLIGHTS);
    assert_eq!(destination::number(&database, "SELECT count(*) FROM airports"), 1_458);
    assert_eq!(destination::documents(&scene.join("target/tour/out/flights")).len() as u64, FLIGHTS);

    let preview = printed(&run, &blocks, "longshore preview");
    assert_eq!(preview.lines().filter(|line| line.contains("carrier")).count(), 3, "three documents\n{preview}");
    let second = printed(&run, &blocks, "ls out/flights");
    assert!(second.contains("nothing new"), "a second run moves nothing\n{second}");
    assert!(second.contains(".jsonl"), "the archive is listed\n{second}");
    let verified = printed(&run, &blocks, "longshore verify");
    assert!(verified.contains("2 of 3 bindings have what they should"), "the tables are whole\n{verified}");
    let look = printed(&run, &blocks, "longshore journal check");
    assert!(look.contains("nyc  ok  "), "the journal is whole\n{look}");
    for task in ["nyc (capture)", "lake (materialization)", "archive (materialization)"] {
        assert!(look.contains(task), "state show tells of {task}\n{look}");
    }
}

#[test]
fn every_cargo_xtask_command_that_is_written_down_exists() {
    let help = |words: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(["run", "-q", "--locked", "-p", "xtask", "--"]).args(words).arg("--help").current_dir(repository());
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "{cargo:?}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("help is text")
    };
    let all = help(&[]);
    let commands: Vec<&str> =
        all.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    let mut missing = Vec::new();
    let mut told = 0;
    for name in readmes() {
        for said in read(&name).split("`cargo xtask ").skip(1).filter_map(|rest| rest.split('`').next()) {
            let mut words = said.split_whitespace();
            let Some(command) = words.next().filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())) else {
                continue;
            };
            told += 1;
            let known = commands.contains(&command);
            let flag_is_known = |flag: &str| !flag.starts_with("--") || help(&[command]).contains(flag);
            if !known || !words.all(flag_is_known) {
                missing.push(format!("{name}: cargo xtask {said}"));
            }
        }
    }
    assert!(told >= 4, "demo and test are told in the README: {told} commands found");
    assert!(missing.is_empty(), "mend these, or build what they name:\n  {}", missing.join("\n  "));
}

#[test]
fn every_link_of_a_readme_points_to_something() {
    let mut broken = Vec::new();
    let mut links = 0;
    for name in readmes() {
        let dir = Path::new(&name).parent().expect("a file has a directory").to_path_buf();
        for link in relative_links(&read(&name)) {
            links += 1;
            if !repository().join(&dir).join(&link).exists() {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(links > 10, "only {links} links were found: is the reader of this test broken?");
    assert!(broken.is_empty(), "these lead nowhere:\n  {}", broken.join("\n  "));
}

fn readmes() -> Vec<String> {
    tracked().into_iter().filter(|name| name.ends_with(".md") && repository().join(name).is_file()).collect()
}

/// Where `[text](target)` goes outside of code blocks, other sites and places within the page left out.
fn relative_links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let here = targets.map(|target| target.split('#').next().unwrap_or_default());
        links.extend(here.filter(|target| !target.is_empty() && !target.contains(':')).map(str::to_owned));
    }
    links
}
