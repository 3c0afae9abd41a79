//! The door of destinations that can neither hold a checkpoint nor stage: the last transaction may be sent again, and the user is told.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use longshore_proto::materialize::message::{self, Guarantee, Pending};

use super::door::{ApplyOf, Door, DoorSession, OpenOf, sealed::Sealed};
use super::{Checkpoint, Load, Materialize, OpenRequest, Rows, Stored, Stores, loads_nothing};
use crate::Result;

/// A materialization that stores, and says so.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go through the door `at_least_once`",
    label = "does not implement `AtLeastOnce`",
    note = "if the destination has transactions, implement `Transactional` and use `transactional(…)`: exactly-once",
    note = "if it can stage rows and publish them by a plan, implement `Idempotent` and use `idempotent(…)`: exactly-once"
)]
pub trait AtLeastOnce: Materialize {
    /// An open session.
    type Session: AtLeastOnceSession;

    /// Connects.
    fn open(
        &self,
        open: OpenRequest<Self::Config, Self::Resource>,
    ) -> impl Future<Output = Result<Self::Session>> + Send;
}

/// One transaction after the other. A transaction that comes again after a crash has the same number, documents and order; if the bindings have
/// changed since, it comes in a session with those of before, and only then are the new ones applied.
pub trait AtLeastOnceSession: Send + 'static {
    /// Looks rows up. Only called if Validate asked for existence or a reduction needs the old row.
    fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> impl Future<Output = Result<()>> + Send {
        let _ = rows;
        std::future::ready(Err(loads_nothing(&load)))
    }

    /// Sends the rows on their way.
    fn store(&mut self, stores: &mut Stores<'_>) -> impl Future<Output = Result<Stored>> + Send;

    /// Returns when everything stored has arrived.
    fn flush(&mut self, stored: Stored) -> impl Future<Output = Result<()>> + Send;
}

/// Through this door the promise is at-least-once.
pub fn at_least_once<S: AtLeastOnce>(sink: S) -> AtLeastOnceDoor<S> {
    AtLeastOnceDoor { sink }
}

/// See [`at_least_once`].
pub struct AtLeastOnceDoor<S> {
    sink: S,
}

impl<S> fmt::Debug for AtLeastOnceDoor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at_least_once")
    }
}

impl<S> Sealed for AtLeastOnceDoor<S> {}

impl<S: AtLeastOnce> Door for AtLeastOnceDoor<S> {
    type Sink = S;
    type Session = AtLeastOnceDriver<S::Session>;
    const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;

    fn sink(&self) -> &S {
        &self.sink
    }

    /// What was stored is there already.
    async fn drain(&self, _: &ApplyOf<Self>, _: Pending) -> Result<()> {
        Ok(())
    }

    async fn open(&self, open: OpenOf<Self>, _: Option<Pending>) -> Result<(message::Opened, Self::Session)> {
        let session = self.sink.open(open).await?;
        Ok((message::Opened::default(), AtLeastOnceDriver { session }))
    }
}

/// The driver's view of an author's session.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "an author's session need not have one")]
pub struct AtLeastOnceDriver<S> {
    session: S,
}

impl<S: AtLeastOnceSession> DoorSession for AtLeastOnceDriver<S> {
    async fn acknowledge(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        self.session.load(load, rows).await
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.session.store(stores).await
    }

    async fn commit(&mut self, stored: Stored, _: Checkpoint) -> Result<Bytes> {
        self.session.flush(stored).await?;
        Ok(Bytes::new())
    }
}
