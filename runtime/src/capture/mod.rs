//! Captures: documents come from a connector, become durable in the journal together with its checkpoint, and are acknowledged.
//!
//! [`transaction`] decides (a pure machine), [`session`] does what it says: [`intake`] checks what comes with what
//! [`admission`] says of each document, [`letters`] of those that are not
//! admitted, [`patches`] adds up what
//! checkpoints change in the connector's state, [`scribe`] writes the journal. Connectors are started and talked to in
//! [`crate::connector`]; when a session is begun again is [`crate::supervise`]'s business.

pub mod admission;
pub mod intake;
pub mod letters;
pub mod patches;
mod scribe;
pub mod session;
mod tally;
pub mod transaction;
