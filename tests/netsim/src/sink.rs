//! The materialization: a destination with transactions, which keeps a fence, a checkpoint, rows and a log of every document.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_sdk::materialize::{
    ApplyRequest, Checkpoint, ClosePolicy, Exists, Fence, Load, Materialize, MaterializeSpec, Modes, Next, OpenRequest,
    Opened, Owner, Recorded, Rows, Stored, Stores, Transactional, TransactionalSession, ValidateRequest, Validation,
};
use longshore_sdk::{Error, Result};

use crate::scenario::Scenario;
use crate::{Config, Resource, Shared, Violation};
use longshore_tests::sim::dice::{Dice, hash};

/// Index of the binding with a row a key; the other one keeps every document.
pub const ROWS: usize = 0;

/// What outlives the connector.
#[derive(Debug, Default)]
pub struct Destination {
    recorded: Option<Recorded>,
    /// By key.
    pub rows: BTreeMap<Vec<u8>, Bytes>,
    /// In the order in which they were committed.
    pub log: Vec<Bytes>,
    /// Transactions committed.
    pub transactions: u64,
    /// Something was said of a row that is not so.
    pub violation: Option<Violation>,
}

/// The connector.
#[derive(Debug)]
pub struct Sink {
    scenario: Arc<Scenario>,
    destination: Shared<Destination>,
}

impl Sink {
    /// With this destination.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, destination: Shared<Destination>) -> Self {
        Self { scenario, destination }
    }
}

impl Materialize for Sink {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec::new("materialize-net", "0", &["/name"])
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        let recorded = self.destination.lock().recorded.clone();
        Ok(Validation::good(Modes::Both, request.bindings.len(), recorded))
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        let recorded = self.destination.lock().recorded.clone();
        recorded.map_or(Ok(()), |recorded| Fence::new(request.owner).may_alter(&recorded))?;
        Ok(Vec::new())
    }
}

impl Transactional for Sink {
    type Session = Session;

    async fn open(&self, open: OpenRequest<Config, Resource>, fence: Fence) -> Result<Opened<Self::Session>> {
        let before = {
            let mut destination = self.destination.lock();
            let before = destination.recorded.clone();
            before.as_ref().map_or(Ok(()), |before| fence.may_raise(before))?;
            let (transaction, checkpoint) =
                before.as_ref().map_or((0, Bytes::new()), |before| (before.transaction, before.checkpoint.clone()));
            let Owner { installation, epoch, .. } = open.owner;
            destination.recorded = Some(Recorded { installation, epoch, transaction, checkpoint });
            before
        };
        let dice = Dice::new(hash(&[self.scenario.seed, fence.owner.epoch]));
        let session = Session {
            work: self.scenario.work,
            destination: self.destination.clone(),
            fence,
            dice,
            rows: Vec::new(),
            log: Vec::new(),
        };
        let close_policy =
            ClosePolicy { least_bytes: self.scenario.is_wide().then_some(64 << 20), ..ClosePolicy::default() };
        Ok(Opened { close_policy, ..Opened::new(session, before) })
    }
}

/// An open session; what is stored is in the destination when it is committed.
#[derive(Debug)]
pub struct Session {
    work: Duration,
    destination: Shared<Destination>,
    fence: Fence,
    dice: Dice,
    rows: Vec<(Vec<u8>, Bytes)>,
    log: Vec<Bytes>,
}

impl Session {
    /// Takes its time, now and then.
    async fn works(&mut self) {
        let most = self.work.as_millis() as u64;
        if most > 0 && self.dice.once_in(3) {
            tokio::time::sleep(Duration::from_millis(self.dice.below(most))).await;
        }
    }

    fn looks(&self, key: &[u8], exists: Exists) {
        let mut destination = self.destination.lock();
        let is_there = destination.rows.contains_key(key);
        if (exists == Exists::Present) != is_there {
            let key = String::from_utf8_lossy(&key[..key.len().min(40)]).into_owned();
            destination.violation.get_or_insert(format!("row {key}: said to be {exists:?}, and that is not so"));
        }
    }
}

impl TransactionalSession for Session {
    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        self.works().await;
        for key in load.keys() {
            let row = self.destination.lock().rows.get(key).cloned();
            // More than was asked for: so that there is much to be heard.
            if let Some(row) = row {
                rows.found(key, &row).await?;
            }
        }
        Ok(())
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        (self.rows, self.log) = (Vec::new(), Vec::new());
        loop {
            match stores.next().await? {
                Next::Batch(batch) => {
                    self.works().await;
                    for row in batch.rows() {
                        let document = Bytes::copy_from_slice(row.document);
                        if batch.binding() != ROWS {
                            self.log.push(document);
                            continue;
                        }
                        let key = row.key.unwrap_or_default();
                        self.looks(key, row.exists);
                        self.rows.push((key.to_vec(), document));
                    }
                }
                Next::End(stored) => return Ok(stored),
            }
        }
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<()> {
        self.works().await;
        {
            let mut destination = self.destination.lock();
            let destination = &mut *destination;
            let Some(recorded) = &mut destination.recorded else {
                return Err(Error::internal("net.fence", "nobody holds the destination"));
            };
            if recorded.epoch != self.fence.owner.epoch {
                return Err(self.fence.lost_to(recorded.clone()));
            }
            recorded.transaction = stored.transaction();
            recorded.checkpoint = Bytes::copy_from_slice(checkpoint.as_bytes());
            destination.rows.extend(self.rows.drain(..));
            destination.log.append(&mut self.log);
            destination.transactions += 1;
        }
        // It is committed, and nobody knows.
        self.works().await;
        Ok(())
    }
}
