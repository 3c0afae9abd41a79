//! A simulator of the whole: the shipped machines, journal and reader over a simulated disk and model systems, on one thread, from one seed.
//!
//! [`world`] decides by dice what happens next and what fails; [`capture`] and [`materialize`] feed the shipped machines and do what they
//! say; [`source`] and [`destination`] are the systems outside, with a memory that survives their connectors.
//! What must hold is checked in the places where it can break, and at the end in [`oracle`]. [`campaign`] runs many seeds and [`tally`] adds
//! up what struck; [`shrink`] makes a failure small.
//!
//! What is modelled and not shipped: the wire (messages are queues), the SDK's doors and the loops of the sessions.

pub mod campaign;
pub mod capture;
pub mod destination;
pub mod dice;
pub mod letters;
pub mod materialize;
pub mod oracle;
pub mod shrink;
pub mod source;
pub mod tally;
pub mod world;

use std::path::Path;

pub use world::{Failure, Fault, Faults, Options, Report, run};

/// A rule that was broken, with what is needed to see how.
pub type Violation = String;

/// A mistake that is made on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mistake {
    /// None.
    #[default]
    None,
    /// The runtime acknowledges to the source what is only written, not synced.
    AcknowledgeBeforeSync,
    /// The runtime goes on from its own checkpoint whatever a transactional destination says.
    IgnoreTheDestinationsCheckpoint,
    /// The destination does not look at its fence.
    IgnoreTheFence,
    /// An idempotent destination keeps no mark of what it applied.
    NoAppliedMark,
    /// The plan of a committed transaction is not handed over when a session opens.
    ForgetThePlan,
    /// A session starts with the checkpoint before the last one.
    OlderCheckpoint,
    /// The task store loses the extent: what was begun is not run again as it was.
    LoseTheExtent,
    /// Staged documents are named by transaction only: a zombie's are taken for ours.
    StagedNamesWithoutEpoch,
    /// The destination says of rows that they exist when they do not.
    ExistsOfAnotherRow,
    /// The destination gives back a row as it was before its last transaction.
    LoadAnOlderRow,
    /// A checkpoint is committed before the letter that it passes.
    CheckpointBeforeItsLetter,
    /// A letter is committed before the checkpoint that passes it.
    LetterBeforeItsCheckpoint,
    /// A letter's document is committed before the mark that says so.
    ReplayBeforeItsMark,
    /// The next session does not know what the destination refused.
    ForgetWhatWasRefused,
    /// Of a key that was refused only the first document is passed over.
    SkipOneOfAKey,
    /// Letters are sent again without a look at whether they were before.
    ResendWithoutLooking,
    /// The journal is trimmed up to its end, whoever is behind.
    TrimWhatIsNeeded,
    /// Segments go before it is durable that they do.
    TrimBeforeItIsDurable,
    /// The destination's next session does not know that rows are stored aside.
    ForgetWhatIsAside,
    /// The journal's checkpoint is committed without the connector's state.
    CheckpointWithoutState,
    /// Documents are committed before the checkpoint that covers them.
    CommitHalfATransaction,
    /// The source is told that one checkpoint more is durable than is.
    AcknowledgeWhatComesNext,
    /// A document that is not admitted is dropped, and no letter is written.
    LoseALetter,
    /// A session of the materialization takes the epoch of the one before it.
    EpochNotRaised,
    /// A session goes on behind the first document that it should begin with.
    SkipOneOnResume,
    /// The destination applies what is stored before it is committed.
    ApplyBeforeCommit,
    /// The destination's fence looks at the transaction's number, and not at the epoch.
    FenceByNumber,
    /// The destination commits rows, now and then, with the checkpoint it had before.
    CommitAnOlderCheckpoint,
    /// The destination appends each document twice.
    StoreTwice,
    /// The destination does not delete.
    LoseDeletes,
    /// The destination is not emptied when it is told to.
    LoseTruncates,
    /// A backfill takes the rows' place before the last of its own rows are there.
    CompleteBeforeTheRows,
    /// An idempotent destination applies all of a plan but its last change.
    LoseTheLastOfAPlan,
}

impl Mistake {
    /// Every one.
    pub const ALL: [Self; 33] = [
        Self::AcknowledgeBeforeSync,
        Self::IgnoreTheDestinationsCheckpoint,
        Self::IgnoreTheFence,
        Self::NoAppliedMark,
        Self::ForgetThePlan,
        Self::OlderCheckpoint,
        Self::LoseTheExtent,
        Self::StagedNamesWithoutEpoch,
        Self::ExistsOfAnotherRow,
        Self::LoadAnOlderRow,
        Self::CheckpointBeforeItsLetter,
        Self::LetterBeforeItsCheckpoint,
        Self::ReplayBeforeItsMark,
        Self::ForgetWhatWasRefused,
        Self::SkipOneOfAKey,
        Self::ResendWithoutLooking,
        Self::TrimWhatIsNeeded,
        Self::TrimBeforeItIsDurable,
        Self::ForgetWhatIsAside,
        Self::CheckpointWithoutState,
        Self::CommitHalfATransaction,
        Self::AcknowledgeWhatComesNext,
        Self::LoseALetter,
        Self::EpochNotRaised,
        Self::SkipOneOnResume,
        Self::ApplyBeforeCommit,
        Self::FenceByNumber,
        Self::CommitAnOlderCheckpoint,
        Self::StoreTwice,
        Self::LoseDeletes,
        Self::LoseTruncates,
        Self::CompleteBeforeTheRows,
        Self::LoseTheLastOfAPlan,
    ];
}

/// Seeds that failed once: a number at the beginning of each line that is not empty and no comment.
pub fn kept(file: &Path) -> Result<Vec<u64>, String> {
    let cannot = |what: &str| format!("reading the seeds in {}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| cannot(&error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let word = line.split_whitespace().next().unwrap_or_default();
            word.parse().map_err(|_| cannot(&format!("expected a number first in each line, got {line:?}")))
        })
        .collect()
}
