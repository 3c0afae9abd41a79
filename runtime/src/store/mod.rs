//! The state directory: who owns it, and the task store with everything small and mutable.
//!
//! A capture's state lives in its journal ([`crate::journal`]); a materialization's lives here. Every write but the raising of an epoch is
//! conditional on the epoch of its session, in the same transaction as what it guards.

mod directory;
mod letters;
mod lock;
mod look;
mod memory;
mod record;
mod retention;
mod rows;
mod skips;
mod sqlite;

#[cfg(test)]
mod promise_tests;
#[cfg(test)]
mod sqlite_tests;

use std::fmt;

use longshore_proto::Error;

pub use directory::{StateDirectory, is_state_directory};
pub use letters::LetterIndex;
pub use lock::holder;
pub use look::StateLook;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

pub use record::{
    Change, Checkpoint, Extent, Pending, RememberedBinding, Skip, SkipId, SpecVersion, TaskChanges, TaskRecord,
    newest_witness,
};

/// A number that only grows; whoever holds an older one is fenced off. One counter a task; 0: no session yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of each task. All calls block until what they did is durable: call them from a thread that may wait.
pub trait TaskStore: Send + Sync + fmt::Debug {
    /// Takes an epoch that was never used before, above the task's last one and above `floor`; makes the task if it is new.
    fn take_epoch(&self, task: &str, floor: Epoch) -> Result<Epoch, StoreError>;

    /// All that is known of a task; `None`: it never had an epoch.
    fn load(&self, task: &str) -> Result<Option<TaskRecord>, StoreError>;

    /// Makes the changes durable, all or none, if `epoch` is still the task's own. After [`StoreError::Unknown`] nobody knows: take a new
    /// epoch, load, compare.
    fn commit(&self, task: &str, epoch: Epoch, changes: TaskChanges) -> Result<(), StoreError>;

    /// The documents that a task passes over, and those it once did, in the order of their names.
    fn skips(&self, task: &str) -> Result<Vec<Skip>, StoreError>;

    /// Names of all tasks ever seen, sorted.
    fn tasks(&self) -> Result<Vec<String>, StoreError>;
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer session of the task exists: step aside.
    #[error("task {task}: epoch {mine} is fenced off by epoch {newer}")]
    Fenced {
        /// The task.
        task: String,
        /// The caller's.
        mine: Epoch,
        /// The task's.
        newer: Epoch,
    },
    /// A write failed and nobody knows what is on disk. The store takes no more writes: the process must end.
    #[error("task store: outcome unknown, {doing} failed: {reason}")]
    Unknown {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        reason: String,
    },
    /// There is no room on the disk. Nothing of it will be seen, and the store goes on: it may be asked again when there is room.
    #[error("task store: no room on the disk of the state directory: {reason}")]
    Full {
        /// What the system said.
        reason: String,
    },
    /// Another runtime owns the state directory.
    #[error("{directory} is in use by {who}: {how}")]
    Held {
        /// The state directory.
        directory: String,
        /// The process that holds it, and since when.
        who: String,
        /// How to get it back.
        how: String,
    },
    /// The state directory was written by a newer version.
    #[error("{directory} has format {found}, this version reads up to {supported}: use the version that wrote it")]
    Newer {
        /// The state directory.
        directory: String,
        /// Its format.
        found: u32,
        /// What this version knows.
        supported: u32,
    },
    /// What was asked breaks a rule of the store; nothing was changed.
    #[error("task {task}: {reason}")]
    Refused {
        /// The task.
        task: String,
        /// The rule and what was asked.
        reason: String,
    },
    /// What is there cannot be read, or was written by a newer version.
    #[error("task store {file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
}

/// What a task does about it.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Fenced { .. } => Self::fenced("store.fenced", text),
            StoreError::Unknown { .. } => {
                Self::internal("store.unknown", text).suggest("see that the disk is well, then start again")
            }
            StoreError::Full { .. } => {
                Self::unavailable("store.full", text).suggest("make room on the disk of the state directory")
            }
            StoreError::Held { .. } => Self::config("state.held", text),
            StoreError::Newer { .. } => Self::config("state.newer", text),
            StoreError::Refused { .. } => Self::internal("store.refused", text),
            StoreError::Unreadable { .. } => Self::config("state.unreadable", text),
        }
    }
}
