//! The door of destinations that commit rows and the runtime's checkpoint in one transaction: they decide where to resume.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use longshore_proto::materialize::message::{self, Backfill, Guarantee, Pending};
use longshore_proto::session::{ClosePolicy, Recorded};

use super::door::{ApplyOf, Door, DoorSession, OpenOf, sealed::Sealed, takes_no};
use super::{Checkpoint, Fence, Load, Materialize, OpenRequest, Rows, Stored, Stores, loads_nothing};
use crate::{Error, Result};

/// A materialization whose destination has transactions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go through the door `transactional`",
    label = "does not implement `Transactional`",
    note = "implement `Transactional` if the destination can write the rows, the checkpoint and a fence row in one transaction",
    note = "if it can stage rows and publish them by a plan that may be applied twice, use `idempotent(…)`",
    note = "if it can do neither, use `at_least_once(…)`, and the user is told so"
)]
pub trait Transactional: Materialize {
    /// An open session; it holds the connection.
    type Session: TransactionalSession;

    /// In one transaction of the destination: reads what is remembered of this task, refuses if [`Fence::may_raise`] says so, and raises
    /// the fence (`SET epoch = $new WHERE epoch < $new`).
    fn open(
        &self,
        open: OpenRequest<Self::Config, Self::Resource>,
        fence: Fence,
    ) -> impl Future<Output = Result<Opened<Self::Session>>> + Send;
}

/// What opening found out.
#[derive(Debug)]
pub struct Opened<S> {
    /// The session.
    pub session: S,
    /// What the destination remembered before this session raised the fence; none: nothing of this task.
    pub recorded: Option<Recorded>,
    /// When it would like transactions to close.
    pub close_policy: ClosePolicy,
}

impl<S> Opened<S> {
    /// A session that leaves it to the runtime when transactions close.
    pub fn new(session: S, recorded: Option<Recorded>) -> Self {
        Self { session, recorded, close_policy: ClosePolicy::default() }
    }
}

/// One transaction after the other. An error ends the session; what was not committed must then be gone.
pub trait TransactionalSession: Send + 'static {
    /// Looks rows up. Only called if Validate asked for existence or a reduction needs the old row.
    fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> impl Future<Output = Result<()>> + Send {
        let _ = rows;
        std::future::ready(Err(loads_nothing(&load)))
    }

    /// All rows of a binding go, in the transaction that is stored next; before [`TransactionalSession::store`]. Of one that is backfilled:
    /// those that are stored aside. Only called if Validate said that the binding takes it.
    fn truncate(&mut self, binding: usize) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Err(takes_no("Truncate", binding)))
    }

    /// Where the source gives all of a binding anew begins or is complete, or both, in the transaction that is stored next; before
    /// [`TransactionalSession::store`], behind [`TransactionalSession::truncate`]. From `begins` on, rows are stored and looked up aside,
    /// beginning with none, in sessions to come too; at the end of the transaction that `completes` they take the place of those there are.
    /// Only called if Validate said that the binding takes it.
    fn backfill(&mut self, backfill: Backfill) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Err(takes_no("Backfill", backfill.binding)))
    }

    /// Writes the rows into a transaction that it opens as late as it can, the fence statement first.
    fn store(&mut self, stores: &mut Stores<'_>) -> impl Future<Output = Result<Stored>> + Send;

    /// Commits rows and checkpoint together, `WHERE epoch = mine`; zero rows changed is [`Fence::lost_to`]. Called for every
    /// transaction, also for one without rows.
    fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> impl Future<Output = Result<()>> + Send;
}

/// Through this door the promise is exactly-once, kept by the destination.
pub fn transactional<S: Transactional>(sink: S) -> TransactionalDoor<S> {
    TransactionalDoor { sink }
}

/// See [`transactional`].
pub struct TransactionalDoor<S> {
    sink: S,
}

impl<S> fmt::Debug for TransactionalDoor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("transactional")
    }
}

impl<S> Sealed for TransactionalDoor<S> {}

impl<S: Transactional> Door for TransactionalDoor<S> {
    type Sink = S;
    type Session = TransactionalDriver<S::Session>;
    const GUARANTEE: Guarantee = Guarantee::Transactional;

    fn sink(&self) -> &S {
        &self.sink
    }

    /// Nothing is ever pending here: what a transactional destination committed is published.
    async fn drain(&self, _: &ApplyOf<Self>, pending: Pending) -> Result<()> {
        if pending.plan.is_empty() {
            return Ok(());
        }
        Err(has_no_plan(pending.plan.len()))
    }

    async fn open(&self, open: OpenOf<Self>, pending: Option<Pending>) -> Result<(message::Opened, Self::Session)> {
        if let Some(pending) = pending.filter(|pending| !pending.plan.is_empty()) {
            return Err(has_no_plan(pending.plan.len()));
        }
        let fence = Fence::new(open.owner.clone());
        let Opened { session, recorded, close_policy } = self.sink.open(open, fence).await?;
        Ok((message::Opened { recorded, close_policy }, TransactionalDriver { session }))
    }
}

/// The driver's view of an author's session.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "an author's session need not have one")]
pub struct TransactionalDriver<S> {
    session: S,
}

impl<S: TransactionalSession> DoorSession for TransactionalDriver<S> {
    async fn acknowledge(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        self.session.load(load, rows).await
    }

    async fn truncate(&mut self, binding: usize) -> Result<()> {
        self.session.truncate(binding).await
    }

    async fn backfill(&mut self, backfill: Backfill) -> Result<()> {
        self.session.backfill(backfill).await
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.session.store(stores).await
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<Bytes> {
        self.session.commit(stored, checkpoint).await?;
        Ok(Bytes::new())
    }
}

fn has_no_plan(bytes: usize) -> Error {
    Error::protocol(
        "M-11",
        format!("the runtime sent a plan of {bytes} bytes: expected none for a transactional connector"),
    )
    .suggest(
        "this task was materialized by a connector with another guarantee: run it once with that one, or `run --fresh`",
    )
}
