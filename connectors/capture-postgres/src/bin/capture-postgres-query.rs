//! The process: serves [`capture_postgres::PostgresQuery`] as the launch contract says.

use std::process::ExitCode;

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    longshore_sdk::serve_capture(capture_postgres::PostgresQuery::default())
}
