//! What the driver needs of a door. Sealed: there are three of them.

use std::fmt::Debug;
use std::future::Future;

use bytes::Bytes;
use longshore_proto::materialize::message::{self, Backfill, Guarantee, Pending};

use super::request::{ApplyRequest, OpenRequest};
use super::{Load, Materialize, Rows, Stored, Stores};
use crate::{Error, Result};

/// One of the three doors around a materialization: what [`serve_materialize`](super::serve_materialize) takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not behind a door",
    label = "expected `transactional(…)`, `idempotent(…)` or `at_least_once(…)`",
    note = "`transactional(sink)`: the destination keeps the runtime's checkpoint in the transaction of the rows (a database)",
    note = "`idempotent(sink)`: rows are staged, and a plan that publishes them can be applied again (files, object stores)",
    note = "`at_least_once(sink)`: neither is possible, and the last transaction may be sent again after a crash (a webhook)"
)]
pub trait Door: sealed::Sealed + Send + Sync + Debug + 'static {
    #[doc(hidden)]
    type Sink: Materialize;
    #[doc(hidden)]
    type Session: DoorSession;
    #[doc(hidden)]
    const GUARANTEE: Guarantee;

    #[doc(hidden)]
    fn sink(&self) -> &Self::Sink;

    /// Applies the pending plan in Apply, before anything is altered.
    #[doc(hidden)]
    fn drain(&self, apply: &ApplyOf<Self>, pending: Pending) -> impl Future<Output = Result<()>> + Send;

    #[doc(hidden)]
    fn open(
        &self,
        open: OpenOf<Self>,
        pending: Option<Pending>,
    ) -> impl Future<Output = Result<(message::Opened, Self::Session)>> + Send;
}

pub(super) type ApplyOf<D> =
    ApplyRequest<<<D as Door>::Sink as Materialize>::Config, <<D as Door>::Sink as Materialize>::Resource>;
pub(super) type OpenOf<D> =
    OpenRequest<<<D as Door>::Sink as Materialize>::Config, <<D as Door>::Sink as Materialize>::Resource>;

/// A session as the driver sees it, whichever the door.
#[doc(hidden)]
pub trait DoorSession: Send + 'static {
    fn acknowledge(&mut self, transaction: u64) -> impl Future<Output = Result<()>> + Send;
    fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> impl Future<Output = Result<()>> + Send;
    fn truncate(&mut self, binding: usize) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Err(takes_no("Truncate", binding)))
    }
    fn backfill(&mut self, backfill: Backfill) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Err(takes_no("Backfill", backfill.binding)))
    }
    fn store(&mut self, stores: &mut Stores<'_>) -> impl Future<Output = Result<Stored>> + Send;
    /// Returns the plan; empty but for the idempotent door.
    fn commit(&mut self, stored: Stored, checkpoint: super::Checkpoint) -> impl Future<Output = Result<Bytes>> + Send;
}

pub(super) fn takes_no(message: &str, binding: usize) -> Error {
    let message = format!("the runtime sent {message}: expected none, as this connector does not say that it takes it");
    Error::protocol("M-10", message).at_binding(binding)
}

pub(super) mod sealed {
    /// Keeps the number of doors at three.
    pub trait Sealed {}
}
