//! Whose a destination is: the owner record, compared and changed in one step. Where things of a task lie is here too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::name::encoded;
use super::storage::{Content, Storage};
use crate::materialize::{Fence, InstallationId, Marker, Owner, Recorded, Staging};
use crate::{Error, Result};

/// The hidden directory of everything that is ours and not published.
const HIDDEN: &str = ".longshore";
/// How often a change of the record is tried anew when somebody else's came in between.
const TRIES_MAX: u32 = 5;

/// Where things of a task lie in a destination.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) storage: Arc<dyn Storage>,
    task: String,
    record: String,
    lock: String,
    /// Of this installation and task.
    own: String,
}

impl Places {
    pub(super) fn new(storage: Arc<dyn Storage>, owner: &Owner) -> Self {
        let name = encoded(&owner.task);
        let own = format!("{HIDDEN}/{}/{name}", owner.installation);
        let (record, lock) = (format!("{HIDDEN}/{name}/owner"), format!("{HIDDEN}/{name}/lock"));
        Self { storage, task: owner.task.clone(), record, lock, own }
    }

    pub(super) fn staged(&self) -> String {
        format!("{}/staged", self.own)
    }

    pub(super) fn applied(&self) -> String {
        format!("{}/applied", self.own)
    }

    pub(super) fn read(&self) -> Result<Option<Recorded>> {
        let content = self.storage.read(&self.record)?;
        content.map(|content| self.parsed(&content)).transpose()
    }

    fn parsed(&self, content: &Content) -> Result<Recorded> {
        let broken = |what: String| {
            let (place, record) = (self.storage.shown(), &self.record);
            let message = format!("reading {record} in {place}: expected an owner record, got another file: {what}");
            Error::config("state.owner_broken", message).suggest("put the file back, or start over with `run --fresh`")
        };
        let written: Written = serde_json::from_slice(&content.bytes).map_err(|error| broken(error.to_string()))?;
        let installation =
            InstallationId::parse(&written.installation).ok_or_else(|| broken("no installation id".to_owned()))?;
        Ok(written.marker.recorded(installation, written.epoch, written.transaction))
    }

    /// Reads what is recorded, lets `change` say what it shall be (`None`: as it is), and writes that, with nobody in between; if somebody was,
    /// all of it comes again. Returns what was recorded before.
    pub(super) fn change(
        &self,
        mut change: impl FnMut(Option<&Recorded>) -> Result<Option<Recorded>>,
    ) -> Result<Option<Recorded>> {
        let _lock = self.storage.lock(&self.lock)?;
        for _ in 0..TRIES_MAX {
            let content = self.storage.read(&self.record)?;
            let before = content.as_ref().map(|content| self.parsed(content)).transpose()?;
            let Some(after) = change(before.as_ref())? else { return Ok(before) };
            if self.storage.replace(&self.record, &self.written(&after)?, content.as_ref())? {
                return Ok(before);
            }
        }
        let message = format!(
            "changing the owner record of task {} in {}: expected nobody else to, got {TRIES_MAX} changes of others",
            self.task,
            self.storage.shown()
        );
        Err(Error::unavailable("files.locked", message).suggest("end the other runtime or connector that writes there"))
    }

    fn written(&self, recorded: &Recorded) -> Result<Vec<u8>> {
        let written = Written {
            task: self.task.clone(),
            installation: recorded.installation.as_str().to_owned(),
            epoch: recorded.epoch,
            transaction: recorded.transaction,
            marker: Marker::from_bytes(recorded.checkpoint.clone()),
        };
        serde_json::to_vec_pretty(&written)
            .map_err(|error| Error::internal("files.owner", format!("writing the owner record: {error}")))
    }

    /// Inside of a change.
    pub(super) fn remove_record(&self) -> Result<()> {
        let (directory, name) = self.record.rsplit_once('/').unwrap_or(("", &self.record));
        self.storage.remove(directory, &[name.to_owned()])
    }

    /// Opens a session: compares what is recorded with what is committed, raises the epoch, and returns what was recorded before.
    pub(super) fn open(&self, staging: &Staging) -> Result<Option<Recorded>> {
        let owner = &staging.owner;
        self.change(|before| {
            match before {
                None if staging.committed > 0 => return Err(self.lost(staging, "no owner record")),
                None => {}
                Some(recorded) => {
                    Fence::new(owner.clone()).may_raise(recorded)?;
                    if recorded.transaction > staging.committed {
                        return Err(self.ahead(staging, recorded.transaction));
                    }
                    if staging.committed > 0 && !self.storage.has_directory(&self.own) {
                        return Err(self.lost(staging, "no directory of this task"));
                    }
                }
            }
            self.make_own()?;
            Ok(Some(match before {
                Some(recorded) => Recorded { epoch: owner.epoch, ..recorded.clone() },
                None => beginning(owner, owner.epoch),
            }))
        })
    }

    /// What a `--fresh` of everything leaves in the owner record, or a take-over.
    pub(super) fn begin_again(&self, before: Option<&Recorded>, owner: &Owner) -> Result<Recorded> {
        self.make_own()?;
        let ours = before.filter(|recorded| recorded.installation == owner.installation);
        // Just below the epoch that opens next, unless our own is recorded.
        let epoch = ours.map_or(owner.epoch.saturating_sub(1), |recorded| recorded.epoch);
        Ok(beginning(owner, epoch))
    }

    /// Whatever is staged, by whichever session.
    pub(super) fn discard_staged(&self) -> Result<()> {
        let staged = self.staged();
        let names = self.storage.names(&staged)?;
        names.iter().try_for_each(|name| self.storage.discard(&format!("{staged}/{name}")))
    }

    /// The directories of this installation and task.
    fn make_own(&self) -> Result<()> {
        self.storage.make(&self.staged())?;
        self.storage.make(&self.applied())
    }

    fn lost(&self, staging: &Staging, got: &str) -> Error {
        let Staging { owner, committed, .. } = staging;
        let (target, task) = (self.storage.shown(), &owner.task);
        let message =
            format!("opening {target}: expected what task {task} published up to transaction {committed}, got {got}");
        Error::config("state.destination_lost", message)
            .at_pointer(self.storage.pointer())
            .suggest(format!("put the destination back, or write all documents again with `run --fresh {task}`"))
    }

    fn ahead(&self, staging: &Staging, applied: u64) -> Error {
        let Staging { owner, committed, .. } = staging;
        let (target, task) = (self.storage.shown(), &owner.task);
        let message = format!(
            "opening {target}: expected nothing published behind transaction {committed}, the last one of task {task}, got transaction {applied}"
        );
        Error::config("state.older", message).suggest(format!(
            "put the newer state directory back, or write all documents again with `run --fresh {task}`"
        ))
    }
}

/// As before the first transaction.
fn beginning(owner: &Owner, epoch: u64) -> Recorded {
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
