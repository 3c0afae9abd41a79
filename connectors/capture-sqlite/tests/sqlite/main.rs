//! The connector against real databases, driven as a runtime would: what is captured, whatever happens to tables, sessions or the log.

#![allow(
    clippy::unwrap_used,
    reason = "in a story whatever fails fails the test; only test functions themselves are exempt"
)]

mod apply;
mod base;
mod changes;
mod chaos;
mod discover;
mod doubts;
mod pushed_out;
mod refresh;
mod schema;
mod snapshot;
mod spec;
mod validate;
mod values;
mod verify;
