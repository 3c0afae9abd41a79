//! The engine: moves documents from captures through a durable journal into materializations, exactly once.
//!
//! The folders follow a document's journey: [`connector`] starts the processes, [`capture`] pulls, [`journal`] keeps, [`materialize`]
//! stores; [`letters`] are the documents that were not admitted. Beside them [`catalog`] turns what the user wrote into tasks, [`document`] looks into documents, [`progress`] counts for
//! people, [`store`] keeps what is small and mutable, [`supervise`] runs and restarts tasks, [`control`] tells another process how they
//! do, [`verify`] compares what came of it with the source, [`secret`] keeps what must not be told, [`selection`] decides which fields a destination keeps, [`blocking`] has the threads for what
//! blocks, [`cli`] is what people see.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have time limits and play the other side"))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "Longshore runs on Linux (x86-64, aarch64): it relies on parent-death signals, Unix sockets and fdatasync as Linux has them"
);

/// Version and commit of this build, as `--version` and the status tell it.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LONGSHORE_COMMIT"), ")");

pub mod blocking;
pub mod capture;
pub mod catalog;
pub mod cli;
pub mod connector;
pub mod control;
pub mod document;
pub mod journal;
pub mod letters;
pub mod materialize;
pub mod progress;
mod secret;
pub mod selection;
pub mod store;
pub mod supervise;
pub mod verify;
