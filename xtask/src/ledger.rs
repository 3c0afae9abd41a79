//! `tests/ledger.jsonl`: what the long tests came to, a line each, with the commit. It is committed.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::test::{Counts, watch};
use crate::{Problem, repository};

/// As it was when it was opened.
pub(crate) struct Ledger {
    path: PathBuf,
    entries: Vec<Value>,
}

impl Ledger {
    pub(crate) fn open() -> Result<Self, Problem> {
        let path = repository().join("tests/ledger.jsonl");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| Problem(format!("cannot read {}: {error}", path.display())))?,
        };
        Ok(Self { path, ..Self::of(&text) })
    }

    /// As this text has it, in no file.
    pub(crate) fn of(text: &str) -> Self {
        let entries = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { path: PathBuf::new(), entries }
    }

    /// All that is in it.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter()
    }

    /// What is in it of a test.
    pub(crate) fn entries(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.all().filter(move |entry| entry["test"] == name)
    }

    /// Writes what a test that passed came to.
    pub(crate) fn add(&self, name: &str, found: Value) -> Result<(), Problem> {
        let mut entry = json!({ "test": name });
        if let (Some(entry), Value::Object(found)) = (entry.as_object_mut(), found) {
            entry.extend(found);
            entry.insert("commit".to_owned(), json!(commit()));
            entry.insert("result".to_owned(), json!("passed"));
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| writeln!(file, "{entry}"))
            .map_err(|error| Problem(format!("cannot write {}: {error}", self.path.display())))
    }
}

/// Runs what prints a line `ledger: {…}` when it is through, and gives that back with what its runners counted. `None`: it failed, or
/// printed none.
pub(crate) fn told(command: Command) -> Result<Option<(Value, Counts)>, Problem> {
    let mut entry = None;
    let counts = watch(command, |line| {
        if let Some((_, found)) = line.split_once("ledger: ") {
            entry = serde_json::from_str(found).ok();
        }
    })?;
    Ok(entry.filter(|_| counts.failed == 0).map(|entry| (entry, counts)))
}

fn commit() -> String {
    let output = Command::new("git").current_dir(repository()).args(["rev-parse", "--short=12", "HEAD"]).output();
    output.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
