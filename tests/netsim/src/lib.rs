//! A network of three machines on one thread and a clock of its own: a runtime, a capture and a materialization, with the shipped sessions,
//! journal, SDK and HTTP/2, while the network between them fails.
//!
//! [`scenario`] says, from one seed, what is moved and what fails when; [`world`] makes the machines and has it happen; [`runtime`] is what
//! runs on the first of them, [`source`] and [`sink`] are connectors on the others. Between them is turmoil, and on each connection to a
//! connector a [`wire`], which can stand still, break in the middle of a frame, or carry little at a time. `bin/netsim.rs` runs many seeds,
//! and [`tally`] adds up what happened.
//!
//! What is real: the sessions of both protocols with their machines, the journal over a disk in memory, the SDK's server, tonic and h2 with the limits
//! that are shipped. What is not: processes, disks, TCP; and where the sessions have threads that block, the work is done in place. A seed
//! tells all that is ours; which of several things that are ready tokio takes first is its own chance, so that another run of a seed may
//! differ in that.

pub mod runtime;
pub mod scenario;
pub mod sink;
pub mod source;
pub mod tally;
pub mod wire;
pub mod world;

pub use scenario::{Fault, Scenario};
pub use world::{Failure, Report, run};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A rule that was broken, with what is needed to see how.
pub type Violation = String;

/// What every call carries.
const TOKEN: &str = "of-this-network";
/// Where connectors listen.
const PORT: u16 = 7070;

/// What every binding is of: a name.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its resource path.
    #[serde(rename = "name")]
    _name: String,
}

/// What tasks are configured with: nothing.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// What machines share that is not the network: for what they remember, and who looks at them.
#[derive(Debug, Default)]
pub struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    /// Shares it.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// For a moment, and never while something is waited for.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
