//! What a connector for PostgreSQL knows before it knows what it is for: how a server is reached, what its errors mean for a task, how names are
//! written in SQL, and what its values are in documents. A library, and no connector.

#![warn(missing_docs, missing_debug_implementations)]

mod client;
pub mod document;
mod endpoint;
mod faults;
mod identifier;
mod replication;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod types;

pub use client::{Client, SETTINGS};
pub use endpoint::{Endpoint, SslMode};
pub use faults::failed;
pub use identifier::{NAME_MAX_BYTES, fault_in_name, qualified, quoted};
pub use replication::{Changes, Event, Replication, Row};
pub use tokio_postgres;
pub use types::{FORMAT_PREFIX, Scalar, SqlType};
