//! A folder of files to capture, and the few words the stories need.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use capture_files::Files;
use longshore_sdk::testing::{CaptureSession, CaptureTask, Transaction};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder that is gone with its test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file anew, as a copy put into place would be: in one go.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let aside = self.path(".aside");
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, path).unwrap();
    }

    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        OpenOptions::new().append(true).open(self.path(name)).unwrap().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn truncate(&self, name: &str, bytes: u64) {
        File::options().write(true).open(self.path(name)).unwrap().set_len(bytes).unwrap();
    }

    /// A task with `more` beside the path in its config; it looks at the files often.
    pub(crate) fn task(&self, more: Value) -> CaptureTask<Files> {
        let mut config = json!({ "path": self.0.path(), "poll_interval": "20ms" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        CaptureTask::new(Files, config)
    }

    /// A task with one binding, as a runtime would set it up: with the schema that Discover tells.
    pub(crate) async fn discovered(&self, more: Value, glob: &str, key: &[&str]) -> CaptureTask<Files> {
        let task = || self.task(more.clone()).binding(json!({ "glob": glob }), "c", key);
        let found = task().discover_bindings().await.unwrap();
        task().schema(&serde_json::from_slice(&found[0].schema_json).unwrap())
    }
}

/// The documents of these transactions, in order.
pub(crate) fn documents(transactions: &[Transaction]) -> Vec<Value> {
    transactions.iter().flat_map(|transaction| &transaction.documents).map(|(_, document)| document.clone()).collect()
}

/// Opens a session, lets it catch up, makes it all durable and stops.
pub(crate) async fn catch_up(task: &mut CaptureTask<Files>) -> Vec<Value> {
    let mut session = task.open().await.unwrap();
    let transactions = session.until_caught_up().await.unwrap();
    session.stop().await.unwrap();
    documents(&transactions)
}

/// The code of the error that the session ends with, and what it says.
pub(crate) async fn failure(session: &mut CaptureSession<'_>) -> (String, String) {
    loop {
        match session.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the session ended without an error"),
            Err(error) => return (error.code.clone(), error.to_string()),
        }
    }
}

/// Checks the code of an error and that it says all of these.
pub(crate) fn check_failure((code, text): (String, String), expected: &str, says: &[&str]) {
    assert_eq!(code, expected, "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}
