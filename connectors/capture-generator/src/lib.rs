//! Captures documents that are computed from a seed: the near end of tests and benchmarks, and a first thing to try.
//!
//! [`formula`] says what transaction `n` of a stream holds, so that a verifier needs nothing but the formula and the destination.
//! [`Generator`] emits it. Here is no clock but the one that paces `rate`, and no randomness.

mod capture;
mod config;
pub mod formula;
mod memory;
mod null;

pub use capture::Generator;
pub use config::{Config, Mode, Resource};
