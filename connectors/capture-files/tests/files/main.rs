//! The connector against real files, driven as a runtime would: what is captured, once, whatever happens to the files or the session.

#![allow(
    clippy::unwrap_used,
    reason = "in a story whatever fails fails the test; only test functions themselves are exempt"
)]

mod discover;
mod flights;
mod folder;
mod grow;
mod part;
mod ready;
mod resume;
mod spec;
mod types;
mod validate;
