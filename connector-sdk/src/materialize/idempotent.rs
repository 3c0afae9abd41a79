//! The door of destinations that can stage and publish: the runtime's durable write of the plan is the commit, and applying a plan twice
//! is applying it once. The author's plan travels in an envelope of ours, with the transaction and the marker it belongs to.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use longshore_failpoints::{Plant, is_planted};
use longshore_proto::materialize::message::{self, Guarantee, Pending};
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::session::{Owner, Recorded};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::door::{ApplyOf, Door, DoorSession, OpenOf, sealed::Sealed};
use super::{ApplyRequest, Checkpoint, Load, Materialize, OpenRequest, Rows, Stored, Stores, loads_nothing};
use crate::{Error, Result};

/// A materialization that stages rows and publishes them by a plan.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go through the door `idempotent`",
    label = "does not implement `Idempotent`",
    note = "implement `Idempotent` if rows can be staged durably under names of their own and published by a plan that may be applied twice",
    note = "if the destination has transactions, use `transactional(…)`: it is simpler and as strong",
    note = "if it can do neither, use `at_least_once(…)`, and the user is told so"
)]
pub trait Idempotent: Materialize {
    /// What is to be published. It must say everything: it is applied by a later process and under a later schema.
    type Plan: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// An open session.
    type Session: IdempotentSession<Plan = Self::Plan>;

    /// Makes or checks the owner record and raises its epoch. Refuses a destination of another installation ([`super::Fence::may_raise`]),
    /// one that has applied more than [`Staging::committed`], and one that has lost what was committed.
    fn open(
        &self,
        open: OpenRequest<Self::Config, Self::Resource>,
        staging: Staging,
    ) -> impl Future<Output = Result<super::Opened<Self::Session>>> + Send;

    /// Applies the plan of the last transaction outside of a session, before Apply alters anything. As idempotent as
    /// [`IdempotentSession::apply`], and compares the owner record first.
    fn drain(
        &self,
        request: &ApplyRequest<Self::Config, Self::Resource>,
        applied: Applied<Self::Plan>,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// One transaction after the other.
pub trait IdempotentSession: Send + 'static {
    /// See [`Idempotent::Plan`].
    type Plan: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Looks rows up. Only called if Validate asked for existence or a reduction needs the old row.
    fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> impl Future<Output = Result<()>> + Send {
        let _ = rows;
        std::future::ready(Err(loads_nothing(&load)))
    }

    /// Stages the rows under names made of their [`StageId`]. Nobody else sees them.
    fn store(&mut self, stores: &mut Stores<'_>) -> impl Future<Output = Result<Stored>> + Send;

    /// Makes what was staged durable and says how to publish it. Publishes nothing.
    fn plan(&mut self, stored: Stored) -> impl Future<Output = Result<Self::Plan>> + Send;

    /// Publishes a plan that is committed. Comes again after a crash, also with the plan of an earlier session; the marker goes into the
    /// destination's record.
    fn apply(&mut self, applied: Applied<Self::Plan>) -> impl Future<Output = Result<()>> + Send;

    /// The first acknowledgement of this session is done: what earlier sessions staged and no plan names may be deleted.
    fn settled(&mut self) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// What a session may stage under, and what is committed.
#[derive(Debug, Clone)]
pub struct Staging {
    /// Whose session this is.
    pub owner: Owner,
    /// Number of the last transaction that is committed with the runtime; 0: none.
    pub committed: u64,
    /// The plan of that transaction is still to be applied.
    pub pending: bool,
}

impl Staging {
    /// The name under which this session stages a binding's rows of a transaction. The key range is the full one.
    pub fn stage(&self, state_key: &StateKey, transaction: u64) -> StageId {
        StageId {
            installation: self.owner.installation.clone(),
            task: self.owner.task.clone(),
            state_key: state_key.clone(),
            epoch: self.owner.epoch,
            transaction,
        }
    }
}

/// What makes the name of a staged thing: no other installation, task, binding, session or transaction has the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StageId {
    pub installation: InstallationId,
    pub task: String,
    pub state_key: StateKey,
    pub epoch: u64,
    pub transaction: u64,
}

/// A committed plan, to be published.
#[derive(Debug)]
pub struct Applied<P> {
    /// Number of its transaction.
    pub transaction: u64,
    /// The epoch it was staged under.
    pub epoch: u64,
    /// Goes into the destination's record beside the transaction.
    pub marker: Marker,
    /// What to publish.
    pub plan: P,
}

/// What the runtime wants to find in the destination's record after a transaction: opaque, stored as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marker(Bytes);

impl Marker {
    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it was stored; becomes [`Recorded::checkpoint`].
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// What opening reports of the destination.
    pub fn recorded(self, installation: InstallationId, epoch: u64, transaction: u64) -> Recorded {
        Recorded { installation, epoch, transaction, checkpoint: self.0 }
    }
}

/// In records and plans: hexadecimal digits.
impl Serialize for Marker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(Self::from_bytes).ok_or_else(|| de::Error::custom("a marker is hexadecimal digits"))
    }
}

/// Through this door the promise is exactly-once, kept by the runtime's log.
pub fn idempotent<S: Idempotent>(sink: S) -> IdempotentDoor<S> {
    IdempotentDoor { sink }
}

/// See [`idempotent`].
pub struct IdempotentDoor<S> {
    sink: S,
}

impl<S> fmt::Debug for IdempotentDoor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("idempotent")
    }
}

impl<S> Sealed for IdempotentDoor<S> {}

impl<S: Idempotent> Door for IdempotentDoor<S> {
    type Sink = S;
    type Session = IdempotentDriver<S::Session>;
    const GUARANTEE: Guarantee = Guarantee::Idempotent;

    fn sink(&self) -> &S {
        &self.sink
    }

    async fn drain(&self, apply: &ApplyOf<Self>, pending: Pending) -> Result<()> {
        match unwrap_plan(pending)? {
            Some(applied) => self.sink.drain(apply, applied).await,
            None => Ok(()),
        }
    }

    async fn open(&self, open: OpenOf<Self>, pending: Option<Pending>) -> Result<(message::Opened, Self::Session)> {
        let committed = pending.as_ref().map_or(0, |pending| pending.transaction);
        let pending = pending.map(unwrap_plan).transpose()?.flatten().filter(|_| !is_planted(Plant::PlanNotApplied));
        let staging = Staging { owner: open.owner.clone(), committed, pending: pending.is_some() };
        let epoch = open.owner.epoch;
        let super::Opened { session, recorded, close_policy } = self.sink.open(open, staging).await?;
        let driver = IdempotentDriver { session, epoch, committed, pending, settled: false };
        Ok((message::Opened { recorded, close_policy }, driver))
    }
}

/// The driver's view of an author's session, and the plan that waits for its acknowledgement.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "an author's session need not have one")]
pub struct IdempotentDriver<S: IdempotentSession> {
    session: S,
    epoch: u64,
    committed: u64,
    pending: Option<Applied<S::Plan>>,
    settled: bool,
}

impl<S: IdempotentSession> DoorSession for IdempotentDriver<S> {
    async fn acknowledge(&mut self, transaction: u64) -> Result<()> {
        if transaction != self.committed {
            let message = format!(
                "the runtime acknowledges transaction {transaction}: expected {}, the last committed one",
                self.committed
            );
            return Err(Error::protocol("M-3", message));
        }
        if let Some(applied) = self.pending.take() {
            self.session.apply(applied).await?;
        }
        if !self.settled {
            self.settled = true;
            self.session.settled().await?;
        }
        Ok(())
    }

    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        self.session.load(load, rows).await
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.session.store(stores).await
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<Bytes> {
        let transaction = stored.transaction();
        let marker = Marker(checkpoint.into_bytes());
        let plan = self.session.plan(stored).await?;
        let envelope = Envelope { transaction, epoch: self.epoch, marker: marker.clone(), plan: &plan };
        let bytes = serde_json::to_vec(&envelope).map_err(|error| {
            Error::internal("sdk.plan", format!("writing the plan of transaction {transaction}: {error}"))
        })?;
        if is_planted(Plant::AppliedBeforeCommitted)
            && let Some(applied) = unwrap_plan(Pending { transaction, plan: bytes.clone().into() })?
        {
            self.session.apply(applied).await?;
        }
        self.committed = transaction;
        self.pending = Some(Applied { transaction, epoch: self.epoch, marker, plan });
        Ok(bytes.into())
    }
}

/// A plan as the runtime keeps it.
#[derive(Serialize, Deserialize)]
struct Envelope<P> {
    transaction: u64,
    epoch: u64,
    marker: Marker,
    plan: P,
}

/// None: that transaction left nothing to apply, or it is applied already.
fn unwrap_plan<P: DeserializeOwned>(pending: Pending) -> Result<Option<Applied<P>>> {
    if pending.plan.is_empty() {
        return Ok(None);
    }
    let broken = |what: String| {
        Error::protocol(
            "M-11",
            format!(
                "the plan of transaction {}: expected one that this connector wrote, got {what}",
                pending.transaction
            ),
        )
        .suggest("run the version of the connector that wrote it once, until it is applied")
    };
    let Envelope { transaction, epoch, marker, plan } =
        serde_json::from_slice::<Envelope<P>>(&pending.plan).map_err(|error| broken(error.to_string()))?;
    if transaction != pending.transaction {
        return Err(broken(format!("the plan of transaction {transaction}")));
    }
    Ok(Some(Applied { transaction, epoch, marker, plan }))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_stored_as_it_is() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), Some(all));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("0g"), None);
    }

    #[test]
    fn a_plan_of_another_transaction_is_refused() {
        let envelope = Envelope { transaction: 3, epoch: 1, marker: Marker::default(), plan: 7 };
        let plan: Bytes = serde_json::to_vec(&envelope).unwrap().into();
        assert!(unwrap_plan::<u32>(Pending { transaction: 4, plan: plan.clone() }).is_err());
        assert_eq!(unwrap_plan::<u32>(Pending { transaction: 3, plan }).unwrap().map(|applied| applied.plan), Some(7));
        assert!(unwrap_plan::<u32>(Pending { transaction: 3, plan: Bytes::new() }).unwrap().is_none());
    }
}
