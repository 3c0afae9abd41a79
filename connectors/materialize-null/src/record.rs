//! The one thing that is kept: a small file that says whose it is, how far it is and with which checkpoint. Each change compares and
//! writes under a file lock, aside, synced and renamed, so that a crash leaves the old file or the new one and a zombie changes nothing.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use longshore_sdk::materialize::{InstallationId, Marker, Recorded};
use longshore_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

/// The file at the config's `path`.
#[derive(Debug, Clone)]
pub(crate) struct RecordFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Written {
    installation: String,
    epoch: u64,
    transaction: u64,
    documents: u64,
    checkpoint: Vec<u8>,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) recorded: Recorded,
    /// Documents counted in all committed transactions.
    pub(crate) documents: u64,
}

impl RecordFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// None: there is no file.
    pub(crate) fn read(&self) -> Result<Option<Record>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("reading", &error)),
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|error| self.not_ours(&error.to_string()))?;
        let installation =
            InstallationId::parse(&written.installation).ok_or_else(|| self.not_ours("no installation id"))?;
        let recorded =
            Marker::from_bytes(written.checkpoint).recorded(installation, written.epoch, written.transaction);
        Ok(Some(Record { recorded, documents: written.documents }))
    }

    /// Reads, decides and writes with nobody in between. `change` returns what the file shall say, or why it shall not change.
    pub(crate) fn update(&self, change: impl FnOnce(Option<&Record>) -> Result<Record>) -> Result<Option<Record>> {
        let _lock = self.lock()?;
        let before = self.read()?;
        let after = change(before.as_ref())?;
        if before.as_ref() != Some(&after) {
            self.write(&after).map_err(|error| self.failed("writing", &error))?;
        }
        Ok(before)
    }

    /// No record any more.
    pub(crate) fn remove(&self, allowed: impl FnOnce(&Record) -> Result<()>) -> Result<bool> {
        let _lock = self.lock()?;
        let Some(record) = self.read()? else { return Ok(false) };
        allowed(&record)?;
        fs::remove_file(&self.path).map_err(|error| self.failed("removing", &error))?;
        Ok(true)
    }

    fn lock(&self) -> Result<File> {
        let path = self.beside(".lock");
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| self.failed("locking", &error))
    }

    fn write(&self, record: &Record) -> std::io::Result<()> {
        let written = Written {
            installation: record.recorded.installation.as_str().to_owned(),
            epoch: record.recorded.epoch,
            transaction: record.recorded.transaction,
            documents: record.documents,
            checkpoint: record.recorded.checkpoint.to_vec(),
        };
        let aside = self.beside(".new");
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.sync_data()?;
        fs::rename(&aside, &self.path)?;
        File::open(self.directory())?.sync_all()
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> Error {
        let message = format!("{doing} the checkpoint file {}: {error}", self.path.display());
        let of_the_path =
            [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::NotADirectory, ErrorKind::IsADirectory];
        if of_the_path.contains(&error.kind()) {
            return Error::config("null.path", message)
                .at_pointer("/path")
                .suggest("name a file in a directory that can be written");
        }
        Error::unavailable("null.io", message)
    }

    fn not_ours(&self, got: &str) -> Error {
        let path = self.path.display();
        Error::config(
            "null.path",
            format!("reading {path}: expected a checkpoint file of this connector, got another: {got}"),
        )
        .at_pointer("/path")
        .suggest("name a file of its own for each task")
    }
}
