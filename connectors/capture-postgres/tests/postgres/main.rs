//! The connector against real servers, driven as a runtime would: what is captured, whatever happens to tables, sessions or the slot.

#![allow(
    clippy::unwrap_used,
    reason = "in a story whatever fails fails the test; only test functions themselves are exempt"
)]

mod apply;
mod backlog;
mod base;
mod changes;
mod chaos;
mod discover;
mod doubts;
mod query;
mod refresh;
mod schema;
mod snapshot;
mod spec;
mod truncate;
mod values;
mod verify;
mod waiting;
