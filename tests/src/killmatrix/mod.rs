//! The kill matrix: the shipped programs, killed at every step of the protocol ([`Step`]), and what arrived compared with a formula.
//!
//! A [`Day`] is a capture that forgets what it was told is durable, a few destinations, and orders to die; [`audit`] says what of it is lost or
//! twice; a [`campaign`] goes on until every step was died at often enough.

pub mod audit;
pub mod campaign;
pub mod day;
mod destination;
pub mod tally;

pub use day::Day;
pub use longshore_failpoints::{Plant, Step};
