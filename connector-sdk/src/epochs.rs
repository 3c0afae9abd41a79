//! The highest epoch this process has seen of each task. Whoever comes with an older one is fenced off.
//!
//! This protects against two sessions of one process only; what protects a destination is the fence in it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use longshore_proto::Error;
use longshore_proto::session::{InstallationId, Owner};

#[derive(Debug, Default)]
pub(crate) struct Epochs {
    highest: Mutex<HashMap<(InstallationId, String), u64>>,
}

impl Epochs {
    /// Takes the epoch of a session: it must be above all others of its task.
    pub(crate) fn admit_session(&self, owner: &Owner) -> Result<(), Error> {
        let mut all = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = all.entry(key(owner)).or_insert(0);
        if owner.epoch <= *highest {
            return Err(refusal(owner, *highest));
        }
        *highest = owner.epoch;
        Ok(())
    }

    /// Checks the epoch of an Apply, which does not raise it: its session is opened with the same one afterwards.
    pub(crate) fn admit_apply(&self, owner: &Owner) -> Result<(), Error> {
        let all = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&key(owner)) {
            Some(highest) if owner.epoch < *highest => Err(refusal(owner, *highest)),
            Some(_) | None => Ok(()),
        }
    }
}

fn key(owner: &Owner) -> (InstallationId, String) {
    (owner.installation.clone(), owner.task.clone())
}

fn refusal(owner: &Owner, highest: u64) -> Error {
    let Owner { task, epoch, .. } = owner;
    Error::fenced(
        "sdk.epoch",
        format!("opening task {task:?}: expected an epoch above {highest}, which this process has seen, got {epoch}"),
    )
    .suggest("a newer session owns the task; leave it to that one")
}
