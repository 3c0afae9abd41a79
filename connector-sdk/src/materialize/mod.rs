//! The three doors of a materialization. An author implements [`Materialize`] (what it is, whether it will work, make the destination
//! fit) and exactly one of
//!
//! * [`Transactional`]: the destination commits rows and the runtime's checkpoint in one transaction, and decides where to resume;
//! * [`Idempotent`]: rows are staged under names of their own, the runtime commits the plan, and applying it twice is applying it once;
//! * [`AtLeastOnce`]: rows are stored, and after a crash the last transaction may be stored again;
//!
//! and serves it as `serve_materialize(transactional(MySink))`, or `idempotent(…)`, or `at_least_once(…)`. No author sees a message of
//! the protocol: the order of things is kept by the driver in `session.rs`.
//!
//! Who takes a door that their trait does not fit is told by the compiler which one to take:
//!
//! ```compile_fail,E0277
//! use longshore_sdk::materialize::{Idempotent, transactional};
//!
//! fn wrong_door<S: Idempotent>(sink: S) {
//!     transactional(sink);
//! }
//! ```

mod at_least_once;
mod door;
pub mod exact;
mod fence;
mod idempotent;
mod projector;
mod record;
mod reject;
mod request;
mod service;
pub(crate) mod session;
mod stores;
#[cfg(test)]
mod tests;
mod transactional;
#[cfg(feature = "whole-files")]
pub mod whole_files;

use std::future::Future;

pub use longshore_proto::materialize::message::{
    Backfill, Constraint, Exists, FieldConstraint, Guarantee, Loads, Modes,
};
pub use longshore_proto::name::{InstallationId, StateKey};
pub use longshore_proto::selection::{Field, JsonType, META_FIELD, Selection};
pub use longshore_proto::session::{ClosePolicy, Collection, Finding, Owner, Recorded, Severity};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::binding::{Bound, Proposed};
pub use at_least_once::{AtLeastOnce, AtLeastOnceDoor, AtLeastOnceSession, at_least_once};
pub use door::Door;
pub use fence::Fence;
pub use idempotent::{Applied, Idempotent, IdempotentDoor, IdempotentSession, Marker, StageId, Staging, idempotent};
pub use projector::Projector;
pub use record::Record;
pub use request::{Accepts, ApplyRequest, MaterializeSpec, OpenRequest, ValidateRequest, Validation};
pub(crate) use service::Server;
pub use service::serve_materialize;
pub use stores::{Checkpoint, Load, Next, Row, Rows, StoreBatch, Stored, Stores};
pub use transactional::{Opened, Transactional, TransactionalDoor, TransactionalSession, transactional};

use crate::verify::{Tally, Verify, verifies_nothing};
use crate::{Error, Result};

/// What every materialization says and does outside of a session. The session belongs to one of the three doors.
pub trait Materialize: Send + Sync + 'static {
    /// The task's config. Its schema is closed: `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;
    /// One resource: a table, a directory. Its schema is closed too.
    type Resource: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// What it is. Reads nothing outside itself.
    fn spec(&self) -> MaterializeSpec;

    /// Whether what the user wrote will work. Read-only; answers each binding. A finding that is an error ends the task; that something does
    /// not answer just now is an error of the call, so that it is asked again ([`finding::mistake`](crate::finding::mistake)).
    fn validate(
        &self,
        request: ValidateRequest<Self::Config, Self::Resource>,
    ) -> impl Future<Output = Result<Validation>> + Send;

    /// Makes the destination fit, and says what it did. May be repeated, and then changes nothing more. Compares the fence in the
    /// transaction that alters ([`Fence::may_alter`]) and does not raise it.
    fn apply(
        &self,
        request: ApplyRequest<Self::Config, Self::Resource>,
    ) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Reads all rows of one binding that are in the destination, each once and as one moment shows them all, and hands each to the tally.
    /// Changes nothing, and raises no fence. Only called if [`MaterializeSpec::verifies`] says so, for a standard binding.
    fn verify(
        &self,
        verify: Verify<Self::Config, Self::Resource>,
        tally: &mut Tally,
    ) -> impl Future<Output = Result<()>> + Send {
        drop(verify);
        let _ = tally;
        std::future::ready(Err(verifies_nothing()))
    }
}

/// What a session without an answer to Load says.
fn loads_nothing(load: &Load) -> Error {
    Error::protocol(
        "M-5",
        "the runtime sent Load: expected none, as this connector did not ask for existence and no reduction here needs the old row",
    )
    .at_binding(load.binding())
}
