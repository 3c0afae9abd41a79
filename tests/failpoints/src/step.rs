//! All the steps, in the order in which a document, or the start of a session, comes by them.

/// How often a step is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Often {
    /// At most once in a session of a task.
    Once,
    /// Many times.
    Often,
}

macro_rules! steps {
    ($($step:ident $often:ident $name:literal,)*) => {
        /// A step that a process passes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "their names say what they are")]
        pub enum Step { $($step,)* }

        impl Step {
            /// All of them.
            pub const ALL: &[Step] = &[$(Step::$step,)*];

            /// What people call it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Step::$step => $name,)* }
            }

            /// How often.
            #[must_use]
            pub fn often(self) -> Often {
                match self { $(Step::$step => Often::$often,)* }
            }
        }
    };
}

steps! {
    CaptureEpochTaken Once "runtime.capture.epoch-taken",
    CaptureAcquired Once "runtime.capture.journal-acquired",
    CaptureBound Once "runtime.capture.bindings-durable",
    ConnectorApplying Once "connector.capture.applying",
    ConnectorApplied Once "connector.capture.applied",
    CaptureApplied Once "runtime.capture.applied",
    CapturePrepared Once "runtime.capture.spec-durable",
    ConnectorOpening Once "connector.capture.opening",
    ConnectorOpened Once "connector.capture.opened",
    CaptureOpened Once "runtime.capture.opened",
    ConnectorCheckpointing Often "connector.capture.checkpointing",
    ConnectorCheckpointed Often "connector.capture.checkpointed",
    CaptureWritten Often "runtime.capture.written",
    CaptureDurable Often "runtime.capture.durable",
    CaptureAcknowledging Often "runtime.capture.acknowledging",
    CaptureAcknowledged Often "runtime.capture.acknowledged",
    ConnectorAcknowledged Often "connector.capture.acknowledged",
    MaterializeEpochTaken Once "runtime.materialize.epoch-taken",
    DestinationApplying Once "connector.materialize.applying",
    DestinationApplied Once "connector.materialize.applied",
    MaterializeApplied Once "runtime.materialize.applied",
    MaterializePrepared Once "runtime.materialize.spec-durable",
    DestinationOpening Once "connector.materialize.opening",
    DestinationOpened Once "connector.materialize.opened",
    MaterializeOpened Once "runtime.materialize.opened",
    MaterializeAcknowledging Often "runtime.materialize.acknowledging",
    DestinationAcknowledging Often "connector.materialize.acknowledging",
    DestinationPublished Often "connector.materialize.file-published",
    DestinationAcknowledged Often "connector.materialize.acknowledged",
    MaterializeAcknowledged Often "runtime.materialize.acknowledged",
    MaterializeLoading Often "runtime.materialize.loading",
    DestinationLoading Often "connector.materialize.loading",
    DestinationLoaded Often "connector.materialize.loaded",
    MaterializeFlushing Often "runtime.materialize.flushing",
    DestinationFlushed Often "connector.materialize.flushed",
    MaterializeStoring Often "runtime.materialize.storing",
    DestinationStoring Often "connector.materialize.storing",
    MaterializeStored Often "runtime.materialize.stored",
    MaterializeCommitting Often "runtime.materialize.committing",
    DestinationCommitting Often "connector.materialize.committing",
    DestinationCommitted Often "connector.materialize.committed",
    MaterializeCommitted Often "runtime.materialize.committed",
    MaterializePersisting Often "runtime.materialize.persisting",
    MaterializePersisted Often "runtime.materialize.persisted",
}

impl Step {
    /// The step that people call so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.name() == name)
    }
}
