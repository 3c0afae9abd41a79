//! Materializes by HTTP: batches of documents are posted to a server that somebody else wrote. At least once, and each batch under an
//! `Idempotency-Key` that is the same when it comes again, so that a server that keeps keys stores it once. Delta bindings only.
//!
//! The way of a document: [`session`] takes it, [`batch`] gathers and cuts, [`shape`] writes bodies, [`name`] gives keys, [`send`] repeats
//! until [`answer`] says that it has arrived, [`client`] speaks HTTP. [`settings`] is what the user set, checked once.

mod answer;
mod backoff;
mod batch;
mod client;
mod config;
mod name;
mod send;
mod session;
mod settings;
mod shape;
mod sign;
mod sink;
#[cfg(test)]
mod tests;
mod tls;

use std::process::ExitCode;

use longshore_sdk::materialize::{at_least_once, serve_materialize};

/// Batches of a megabyte come and go all the time; glibc's allocator gives their pages back and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serve_materialize(at_least_once(sink::Webhook))
}
