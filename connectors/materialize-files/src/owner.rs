//! Whose a target directory is: the owner record, and the lock under which it is compared and changed.
//!
//! ```text
//! <path>/.longshore/<task>/owner, lock                      the record and the lock of a task, whatever the installation
//! <path>/.longshore/<installation>/<task>/staged/           what is not published
//! <path>/.longshore/<installation>/<task>/applied/<e>-<t>   marks of plans that are applied
//! ```

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use longshore_sdk::materialize::{Fence, InstallationId, Marker, Owner, Recorded, Staging};
use longshore_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::name::encoded;

/// The hidden directory of everything that is ours and not published.
const HIDDEN: &str = ".longshore";

/// Where things of a task lie below a target.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) target: PathBuf,
    record: PathBuf,
    lock: PathBuf,
    /// Of this installation and task.
    own: PathBuf,
}

impl Places {
    pub(crate) fn new(target: &Path, owner: &Owner) -> Self {
        let hidden = target.join(HIDDEN);
        let task = encoded(&owner.task);
        let own = hidden.join(owner.installation.as_str()).join(&task);
        let record = hidden.join(&task);
        Self { target: target.to_owned(), own, lock: record.join("lock"), record: record.join("owner") }
    }

    pub(crate) fn staged(&self) -> PathBuf {
        self.own.join("staged")
    }

    pub(crate) fn applied(&self) -> PathBuf {
        self.own.join("applied")
    }

    /// Relative to the target, as a plan names it.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.target).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Holds the task's lock; makes its directory first.
    pub(crate) fn locked(&self) -> Result<File> {
        disk::make_directory(disk::directory_of(&self.lock))?;
        disk::lock(&self.lock)
    }

    pub(crate) fn read(&self) -> Result<Option<Recorded>> {
        let bytes = match fs::read(&self.record) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk::failed("reading the owner record", &self.record, &error)),
        };
        let broken = |what: String| {
            let path = self.record.display();
            Error::config(
                "state.owner_broken",
                format!("reading {path}: expected an owner record, got another file: {what}"),
            )
            .suggest("put the file back, or start over with `run --fresh`")
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        let installation =
            InstallationId::parse(&written.installation).ok_or_else(|| broken("no installation id".to_owned()))?;
        Ok(Some(written.marker.recorded(installation, written.epoch, written.transaction)))
    }

    /// Under the lock.
    pub(crate) fn write(&self, task: &str, recorded: &Recorded) -> Result<()> {
        let written = Written {
            task: task.to_owned(),
            installation: recorded.installation.as_str().to_owned(),
            epoch: recorded.epoch,
            transaction: recorded.transaction,
            marker: Marker::from_bytes(recorded.checkpoint.clone()),
        };
        let json = serde_json::to_vec_pretty(&written)
            .map_err(|error| Error::internal("files.owner", format!("writing the owner record: {error}")))?;
        disk::write_whole(&self.record, &self.record.with_file_name(format!("owner.new-{}", recorded.epoch)), &json)
    }

    pub(crate) fn remove_record(&self) -> Result<()> {
        disk::remove(&self.record)?;
        disk::sync_directory(disk::directory_of(&self.record))
    }

    /// Opens a session: compares what is recorded with what is committed, raises the epoch, and returns what was recorded before.
    pub(crate) fn open(&self, staging: &Staging) -> Result<Option<Recorded>> {
        let owner = &staging.owner;
        let _lock = self.locked()?;
        let before = self.read()?;
        match &before {
            None if staging.committed > 0 => return Err(self.lost(staging, "no owner record")),
            None => {}
            Some(recorded) => {
                Fence::new(owner.clone()).may_raise(recorded)?;
                if recorded.transaction > staging.committed {
                    return Err(self.ahead(staging, recorded.transaction));
                }
                if staging.committed > 0 && !self.own.is_dir() {
                    return Err(self.lost(staging, "no directory of this task"));
                }
            }
        }
        self.make_own()?;
        let raised = match &before {
            Some(recorded) => Recorded { epoch: owner.epoch, ..recorded.clone() },
            None => beginning(owner, owner.epoch),
        };
        self.write(&owner.task, &raised)?;
        Ok(before)
    }

    /// The directories of this installation and task.
    pub(crate) fn make_own(&self) -> Result<()> {
        disk::make_directory(&self.staged())?;
        disk::make_directory(&self.applied())?;
        Ok(())
    }

    fn lost(&self, staging: &Staging, got: &str) -> Error {
        let Staging { owner, committed, .. } = staging;
        let (target, task) = (self.target.display(), &owner.task);
        let message =
            format!("opening {target}: expected what task {task} published up to transaction {committed}, got {got}");
        Error::config("state.destination_lost", message)
            .at_pointer("/path")
            .suggest(format!("put the directory back, or write all documents again with `run --fresh {task}`"))
    }

    fn ahead(&self, staging: &Staging, applied: u64) -> Error {
        let Staging { owner, committed, .. } = staging;
        let (target, task) = (self.target.display(), &owner.task);
        let message = format!(
            "opening {target}: expected nothing published behind transaction {committed}, the last one of task {task}, got transaction {applied}"
        );
        Error::config("state.older", message).suggest(format!(
            "put the newer state directory back, or write all documents again with `run --fresh {task}`"
        ))
    }
}

/// As before the first transaction.
pub(crate) fn beginning(owner: &Owner, epoch: u64) -> Recorded {
    Marker::default().recorded(owner.installation.clone(), epoch, 0)
}

/// The owner record. The marker says, in the runtime's words, what is published of which journals.
#[derive(Serialize, Deserialize)]
struct Written {
    task: String,
    installation: String,
    epoch: u64,
    transaction: u64,
    marker: Marker,
}
