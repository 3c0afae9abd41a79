//! The capture: what it says follows from the scenario, and what it is told is durable it forgets.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::{Config, Resource, Shared, Violation};

/// What outlives the connector.
#[derive(Debug)]
pub struct Memory {
    /// All before this transaction is forgotten.
    pub forgotten_before: u64,
    /// Somebody asked for what it was told is durable.
    pub violation: Option<Violation>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { forgotten_before: 1, violation: None }
    }
}

/// The connector.
#[derive(Debug)]
pub struct Source {
    scenario: Arc<Scenario>,
    memory: Shared<Memory>,
}

/// Its state: the next transaction.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Position {
    next: u64,
}

impl Source {
    /// With this memory.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, memory: Shared<Memory>) -> Self {
        Self { scenario, memory }
    }

    fn forget_before(&self, next: u64) {
        let mut memory = self.memory.lock();
        memory.forgotten_before = memory.forgotten_before.max(next);
    }

    fn forget(&self, waiting: &mut VecDeque<(u64, u64)>, acknowledged: u64) {
        while let Some((_, next)) = waiting.pop_front_if(|(checkpoint, _)| *checkpoint <= acknowledged) {
            self.forget_before(next);
        }
    }
}

impl Capture for Source {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-net", "0").resource_path(["/name"]).explicit_acknowledgements()
    }

    async fn discover(&self, _: Config, _: Vec<Resource>) -> Result<Vec<Discovered>> {
        Ok(Vec::new())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let first = open.task_state::<Position>()?.map_or(1, |position| position.next);
        let forgotten = self.memory.lock().forgotten_before;
        if first < forgotten {
            let lost = format!("asked for transaction {first}, after all before {forgotten} was told to be durable");
            self.memory.lock().violation.get_or_insert(lost.clone());
            return Err(Error::data("net.gone", lost));
        }
        self.forget_before(first);
        let (stop, mut waiting) = (emitter.stop(), VecDeque::new());
        let mut last = 0;
        for t in first..=self.scenario.transactions() {
            tokio::select! {
                () = tokio::time::sleep(self.scenario.pace) => {}
                () = stop.requested() => break,
            }
            for document in self.scenario.documents(t) {
                emitter.raw(0, document.json.as_bytes()).await?;
            }
            let next = Position { next: t + 1 };
            last = emitter.checkpoint(Checkpoint::new().task(&next)).await?;
            waiting.push_back((last, t + 1));
            self.forget(&mut waiting, emitter.acknowledged());
        }
        if !emitter.stop_requested() {
            last = emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        }
        let mut acknowledgements = emitter.acknowledgements();
        loop {
            let acknowledged = acknowledgements.count();
            self.forget(&mut waiting, acknowledged);
            tokio::select! {
                () = stop.requested(), if acknowledged >= last => return Ok(()),
                next = acknowledgements.next() => if next.is_none() { return Ok(()) },
            }
        }
    }
}
