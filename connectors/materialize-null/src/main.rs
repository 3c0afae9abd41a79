//! Materializes into nothing: counts the documents, never looks into them, and keeps only its checkpoint, durably. The slow or failing
//! destination of tests, and the far end of benchmarks.
//!
//! What it promises is part of its Spec and so of how it is started: `materialize-null` is transactional,
//! `materialize-null --guarantee=idempotent` and `--guarantee=at-least-once` go through the other doors.

mod config;
mod record;
mod sink;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use longshore_sdk::materialize::{at_least_once, idempotent, serve_materialize, transactional};

use config::Promise;
use sink::Null;

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Promise::from_arguments(std::env::args().skip(1)) {
        Promise::Transactional => serve_materialize(transactional(Null::new(Promise::Transactional))),
        Promise::Idempotent => serve_materialize(idempotent(Null::new(Promise::Idempotent))),
        Promise::AtLeastOnce => serve_materialize(at_least_once(Null::new(Promise::AtLeastOnce))),
    }
}
