//! Mistakes that can be made on purpose, one at a time, to see whether the kill matrix finds them, or the simulated network. Only in a build with debug assertions.

use crate::Deed;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The runtime acknowledges a checkpoint as soon as it hears of it.
    AcknowledgedBeforeDurable,
    /// The journal's commit does not hold the capture's state.
    StateNotCommitted,
    /// The plan of a transaction is not kept with its checkpoint.
    PlanNotKept,
    /// What a transactional destination says that it holds is not asked for.
    DestinationNotAsked,
    /// A plan that was committed, and not applied, is not applied any more.
    PlanNotApplied,
    /// A plan is applied before it is committed.
    AppliedBeforeCommitted,
    /// Rows are committed before their checkpoint, in a transaction of their own.
    RowsBeforeCheckpoint,
    /// The task store takes what a runtime writes whose epoch is not the newest.
    StoreNotFenced,
    /// A materialization listens to its destination only when all it has to say is said.
    SpeaksBeforeItListens,
    /// The runtime does not ask whether the other end of a connection is still there.
    PeerNotPinged,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AcknowledgedBeforeDurable,
        Self::StateNotCommitted,
        Self::PlanNotKept,
        Self::DestinationNotAsked,
        Self::PlanNotApplied,
        Self::AppliedBeforeCommitted,
        Self::RowsBeforeCheckpoint,
        Self::StoreNotFenced,
        Self::SpeaksBeforeItListens,
        Self::PeerNotPinged,
    ];

    /// What a process has to do for it to show; `None`: it is the network that shows it.
    #[must_use]
    pub fn shown_by(self) -> Option<Deed> {
        match self {
            Self::AcknowledgedBeforeDurable
            | Self::StateNotCommitted
            | Self::PlanNotKept
            | Self::DestinationNotAsked
            | Self::PlanNotApplied
            | Self::AppliedBeforeCommitted
            | Self::RowsBeforeCheckpoint => Some(Deed::Die),
            Self::StoreNotFenced => Some(Deed::Freeze),
            Self::SpeaksBeforeItListens | Self::PeerNotPinged => None,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedBeforeDurable => "acknowledged-before-durable",
            Self::StateNotCommitted => "state-not-committed",
            Self::PlanNotKept => "plan-not-kept",
            Self::DestinationNotAsked => "destination-not-asked",
            Self::PlanNotApplied => "plan-not-applied",
            Self::AppliedBeforeCommitted => "applied-before-committed",
            Self::RowsBeforeCheckpoint => "rows-before-checkpoint",
            Self::StoreNotFenced => "store-not-fenced",
            Self::SpeaksBeforeItListens => "speaks-before-it-listens",
            Self::PeerNotPinged => "peer-not-pinged",
        }
    }
}
