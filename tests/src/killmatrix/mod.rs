//! The kill matrix: the shipped programs, killed at every step of the protocol ([`Step`]), and what arrived compared with a formula.
//!
//! A [`Day`] is a capture that forgets what it was told is durable, a few destinations, and orders to die, or to stand still while others go on; [`audit`] says what of it is lost or
//! twice; a [`campaign`] goes on until every step was come to often enough.

pub mod audit;
pub mod campaign;
pub mod day;
mod destination;
mod frozen;
pub mod tally;
mod trouble;

pub use day::Day;
pub use longshore_failpoints::{Deed, Plant, Step};
