//! Materializes into the log of the runtime: shows the first documents of each transaction and counts all of them. For looking what flows.

mod config;
mod shown;
mod sink;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use longshore_sdk::materialize::{at_least_once, serve_materialize};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serve_materialize(at_least_once(sink::Log))
}
