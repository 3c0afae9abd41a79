//! All the steps, in the order in which a document, or the start of a session, comes by them.

/// How often a step is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Often {
    /// At most once in a session of a task.
    Once,
    /// Many times.
    Often,
}

/// Who passes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The runtime.
    Runtime,
    /// A connector that captures.
    Capture,
    /// A connector that materializes.
    Materialize,
}

macro_rules! steps {
    ($($step:ident $who:ident $often:ident $name:literal,)*) => {
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

            /// Who passes it, and dies if that is asked for.
            #[must_use]
            pub fn who(self) -> Who {
                match self { $(Step::$step => Who::$who,)* }
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
    CaptureEpochTaken Runtime Once "runtime.capture.epoch-taken",
    CaptureAcquired Runtime Once "runtime.capture.journal-acquired",
    CaptureBound Runtime Once "runtime.capture.bindings-durable",
    ConnectorApplying Capture Once "connector.capture.applying",
    ConnectorApplied Capture Once "connector.capture.applied",
    CaptureApplied Runtime Once "runtime.capture.applied",
    CapturePrepared Runtime Once "runtime.capture.spec-durable",
    ConnectorOpening Capture Once "connector.capture.opening",
    ConnectorOpened Capture Once "connector.capture.opened",
    CaptureOpened Runtime Once "runtime.capture.opened",
    ConnectorCheckpointing Capture Often "connector.capture.checkpointing",
    ConnectorCheckpointed Capture Often "connector.capture.checkpointed",
    CaptureWritten Runtime Often "runtime.capture.written",
    CaptureDurable Runtime Often "runtime.capture.durable",
    CaptureAcknowledging Runtime Often "runtime.capture.acknowledging",
    CaptureAcknowledged Runtime Often "runtime.capture.acknowledged",
    ConnectorAcknowledged Capture Often "connector.capture.acknowledged",
    MaterializeEpochTaken Runtime Once "runtime.materialize.epoch-taken",
    DestinationApplying Materialize Once "connector.materialize.applying",
    DestinationApplied Materialize Once "connector.materialize.applied",
    MaterializeApplied Runtime Once "runtime.materialize.applied",
    MaterializePrepared Runtime Once "runtime.materialize.spec-durable",
    DestinationOpening Materialize Once "connector.materialize.opening",
    DestinationOpened Materialize Once "connector.materialize.opened",
    MaterializeOpened Runtime Once "runtime.materialize.opened",
    MaterializeAcknowledging Runtime Often "runtime.materialize.acknowledging",
    DestinationAcknowledging Materialize Often "connector.materialize.acknowledging",
    DestinationPublished Materialize Often "connector.materialize.file-published",
    DestinationAcknowledged Materialize Often "connector.materialize.acknowledged",
    MaterializeAcknowledged Runtime Often "runtime.materialize.acknowledged",
    MaterializeLoading Runtime Often "runtime.materialize.loading",
    DestinationLoading Materialize Often "connector.materialize.loading",
    DestinationLoaded Materialize Often "connector.materialize.loaded",
    MaterializeFlushing Runtime Often "runtime.materialize.flushing",
    DestinationFlushed Materialize Often "connector.materialize.flushed",
    MaterializeStoring Runtime Often "runtime.materialize.storing",
    DestinationStoring Materialize Often "connector.materialize.storing",
    MaterializeStored Runtime Often "runtime.materialize.stored",
    MaterializeCommitting Runtime Often "runtime.materialize.committing",
    DestinationCommitting Materialize Often "connector.materialize.committing",
    DestinationCommitted Materialize Often "connector.materialize.committed",
    MaterializeCommitted Runtime Often "runtime.materialize.committed",
    MaterializePersisting Runtime Often "runtime.materialize.persisting",
    MaterializePersisted Runtime Often "runtime.materialize.persisted",
}

impl Step {
    /// The step that people call so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.name() == name)
    }
}
