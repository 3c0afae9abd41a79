//! The contract: what the runtime and a connector may say to each other, and in what order.
//!
//! The wire form is in the `.proto` files beside this crate ([`pb`] is generated from them). Nobody works with it: each side parses what
//! it receives into the types of [`capture::message`] and [`materialize::message`], and after that there is nothing left to check. Which
//! message may come when is stated in [`capture::order`] and [`materialize::order`] and nowhere else. Documents are read by [`document`],
//! keys compared as [`key`] says. `PROTOCOL.md` lists the rules, printed from [`rules`].
//!
//! This crate spawns nothing, never sleeps, reads no clock and no file.

#![warn(missing_docs, missing_debug_implementations)]

pub mod batch;
pub mod capture;
pub mod document;
pub mod error;
pub mod key;
pub mod limits;
pub mod materialize;
pub mod name;
pub mod order;
mod parse;
pub mod pb;
pub mod rules;
pub mod selection;
pub mod session;
pub mod state;
pub mod stream;
pub mod tls;
pub mod verify;

pub use error::{Error, ErrorKind};
pub use session::Side;

#[cfg(test)]
mod wire_tests;
