//! Why a journal stops. Variants are what a caller does differently; the rest is in the text.

use std::io;

use longshore_proto::Error;

use super::{JournalId, Position};
use crate::store::Epoch;

/// See each variant for what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Someone with a higher epoch owns the journal: step aside. What was not made durable before is not ours to acknowledge.
    #[error("journal {journal}: epoch {mine} is fenced off by epoch {newer}")]
    Fenced {
        /// The journal's directory.
        journal: String,
        /// The writer's.
        mine: Epoch,
        /// The one that was found.
        newer: Epoch,
    },
    /// Bytes that were durable are damaged or gone. Nothing is skipped: stop, and tell the user.
    #[error(
        "journal file {file} is damaged at byte {offset}: {reason}; restore the state directory from a backup, or remove the task's state \
         and capture again"
    )]
    Corrupt {
        /// The segment.
        file: String,
        /// Byte in the file.
        offset: u64,
        /// What was expected and what was found.
        reason: String,
    },
    /// Written by a newer version of Longshore.
    #[error(
        "journal file {file} has format {found} at byte {offset}, this version reads up to {supported}: use the version that wrote it"
    )]
    NewerVersion {
        /// The segment.
        file: String,
        /// Byte in the file.
        offset: u64,
        /// Format version or frame kind.
        found: String,
        /// What this version knows.
        supported: String,
    },
    /// A write or sync failed and nobody knows what is on disk. Drop the writer, acquire with a new epoch, compare transaction numbers; never
    /// repeat the call.
    #[error("journal {file}: outcome unknown, {doing} failed: {source}")]
    Unknown {
        /// The segment.
        file: String,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or opening failed; nothing was changed.
    #[error("journal {file}: {doing} failed: {source}")]
    Io {
        /// File or directory.
        file: String,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The journal is not the one that others remember: it was deleted, replaced or restored from an older copy.
    #[error("journal {file} is not the one that is remembered: expected {expected}, found {found}; put the state back")]
    OtherJournal {
        /// The journal's directory.
        file: String,
        /// What is remembered.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A reader asked for a position that this journal never had, or does not have any more.
    #[error(
        "journal {journal} has no position {wanted}: {found}; it is a copy, or was begun anew or restored from an older copy"
    )]
    UnknownPosition {
        /// The journal.
        journal: JournalId,
        /// What was asked for.
        wanted: Position,
        /// What is there instead.
        found: String,
    },
    /// A reader asked for what was trimmed.
    #[error(
        "journal {journal} begins at offset {begins_at}: what stood before was trimmed, and with it offset {wanted}"
    )]
    Trimmed {
        /// The journal.
        journal: JournalId,
        /// What was asked for.
        wanted: u64,
        /// The first that is there.
        begins_at: u64,
    },
    /// The open transaction would exceed the limit. Abandon it.
    #[error(
        "transaction {transaction} of journal {file} exceeds max_transaction_bytes: {bytes} of {limit_bytes} bytes; commit more often"
    )]
    TransactionTooLarge {
        /// The journal's directory.
        file: String,
        /// Its number.
        transaction: u64,
        /// What it would have.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// What the caller asked for breaks a rule of the journal.
    #[error("journal {file}: {reason}")]
    Refused {
        /// The journal's directory.
        file: String,
        /// The rule and what was asked.
        reason: String,
    },
}

/// What a task does about it.
impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let text = error.to_string();
        match error {
            JournalError::Fenced { .. } => Self::fenced("journal.fenced", text),
            // Acquired again, it tells what became of the last write.
            JournalError::Unknown { source, .. } | JournalError::Io { source, .. } if is_full(&source) => {
                Self::unavailable("journal.full", text).suggest("make room on the disk of the state directory")
            }
            JournalError::Unknown { .. } | JournalError::Io { .. } => Self::unavailable("journal.io", text),
            JournalError::Corrupt { .. } => Self::config("journal.corrupt", text),
            JournalError::NewerVersion { .. } => Self::config("journal.newer", text),
            JournalError::OtherJournal { .. } => Self::config("journal.other", text),
            JournalError::UnknownPosition { .. } => Self::config("journal.position", text),
            JournalError::Trimmed { .. } => Self::config("journal.trimmed", text),
            JournalError::TransactionTooLarge { .. } => Self::config("journal.transaction_too_large", text),
            JournalError::Refused { .. } => Self::config("journal.refused", text),
        }
    }
}

/// There is no room on the disk, or none for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind())
}
