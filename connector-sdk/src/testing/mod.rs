//! The runtime's part, in memory, for authors' tests: no sockets, no processes, the same parsing and the same order table.
//!
//! [`CaptureTask`] plays it for a capture, [`materialize::Runtime`] for a materialization. What both protocols share is here: who owns the task, and the time limit of every wait. [`network`] is the other way round: a connector as it is
//! served, over connections that a test makes.

mod capture;
#[cfg(test)]
mod capture_tests;
#[cfg(feature = "whole-files")]
pub mod crashing;
pub mod materialize;
pub mod network;
mod verify;
pub mod wholes;

use std::time::Duration;

use longshore_proto::session::{InstallationId, Owner};

pub use capture::{CaptureSession, CaptureTask, Refresh, Transaction};

use crate::{Error, Result};

/// Longest wait for a connector in a test: 30 s.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// The owner of a task under test: one installation, an epoch that only grows.
#[derive(Debug, Clone)]
pub struct TestOwner {
    task: String,
    epoch: u64,
}

impl TestOwner {
    /// The owner of a task of this name, before its first session.
    pub fn new(task: impl Into<String>) -> Self {
        Self { task: task.into(), epoch: 0 }
    }

    /// For calls that only read.
    pub fn reading(&self) -> Owner {
        Owner { task: self.task.clone(), installation: InstallationId::from_bytes([0x1a; 16]), epoch: 0 }
    }

    /// For the next session, with an epoch of its own.
    pub fn next_session(&mut self) -> Owner {
        self.epoch += 1;
        self.current()
    }

    /// For another call on behalf of the latest session.
    pub fn current(&self) -> Owner {
        Owner { epoch: self.epoch, ..self.reading() }
    }
}

/// Waits for a connector, but not for ever.
pub async fn in_time<T>(waiting_for: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(WAIT_MAX, future).await.map_err(|_| {
        let limit = WAIT_MAX.as_secs();
        Error::internal(
            "testing.timeout",
            format!("waiting for {waiting_for}: expected it within {limit} s, got nothing"),
        )
    })
}
