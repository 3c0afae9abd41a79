//! Materializes into Parquet files, in a directory or an S3-compatible bucket. Idempotent: a transaction becomes whole files, staged where
//! nobody sees them and published when it is committed. Delta bindings only: a Parquet file is no table.
//!
//! [`shape`] says which column a field becomes, [`row`] makes values of a document, [`file`](mod@file) row groups and files of values, [`bucket`] is a
//! bucket as a place for whole files, [`connect`] how it is reached. How files are staged, planned and published is the SDK's
//! [`whole_files`](longshore_sdk::materialize::whole_files).

mod bucket;
mod config;
mod connect;
mod file;
mod row;
mod shape;
mod sink;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use longshore_sdk::materialize::{idempotent, serve_materialize};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The one provider of TLS. An error means that there is one already, which nothing before this could have done.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    serve_materialize(idempotent(sink::Parquet))
}
