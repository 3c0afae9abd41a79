//! Materializations: documents are read from journals, reduced, and stored in a system through a connector, one transaction after the other.
//!
//! [`transaction`] decides (a pure machine), [`session`] does what it says. [`checkpoint`] is where a task is and [`resume`] where it goes
//! on after two sides were compared; [`turns`] says what the next transaction reads and `takers` for whom ([`target`]), [`gather`] reads it, [`reduce`]
//! and [`spill`] bring it to one document a key by the rules of [`fold`], `deltas` keeps every document where a binding wants that. Connectors
//! are started and talked to in [`crate::connector`]; when a session is begun again is [`crate::supervise`]'s business.

pub mod checkpoint;
mod deltas;
pub mod existing;
pub mod fold;
pub mod gather;
pub mod outgoing;
pub mod reduce;
pub mod resume;
pub mod session;
pub mod skips;
mod speech;
pub mod spill;
mod takers;
pub mod target;
pub mod transaction;
pub mod turns;
