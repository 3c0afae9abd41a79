//! Materializes into files: JSONL and CSV, plain, gzip or zstd. Idempotent: documents are staged in files that nobody else sees, and a
//! committed plan publishes them by renaming, any number of times with the same result. Delta bindings only: a file is no table.
//!
//! [`lines`] makes lines of documents, [`stage`] writes and names staged files, [`publish`] is the plan and what applies it, [`owner`] says who may, [`apply`] makes
//! directories. How files become durable is in [`disk`].

mod apply;
mod config;
mod csv;
mod disk;
mod lines;
mod name;
mod owner;
mod publish;
mod session;
mod sink;
mod stage;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use longshore_sdk::materialize::{idempotent, serve_materialize};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serve_materialize(idempotent(sink::Files))
}
