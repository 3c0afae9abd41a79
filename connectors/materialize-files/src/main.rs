//! Materializes into files: JSONL and CSV, plain, gzip or zstd. Idempotent: documents are staged in files that nobody else sees, and a
//! committed plan publishes them by renaming, any number of times with the same result. Delta bindings only: a file is no table.
//!
//! [`lines`] makes lines of documents, [`text`] files of lines; how files are staged, planned and published is the SDK's
//! [`whole_files`](longshore_sdk::materialize::whole_files).

mod config;
mod csv;
mod lines;
mod sink;
#[cfg(test)]
mod tests;
mod text;

use std::process::ExitCode;

use longshore_sdk::materialize::{idempotent, serve_materialize};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serve_materialize(idempotent(sink::Files))
}
