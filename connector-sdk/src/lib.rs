//! For connector authors: a typed server for captures and materializations.
//!
//! An author implements one trait ([`capture::Capture`], or a door of [`materialize`]) and calls one function in `main`
//! ([`serve_capture`], [`serve_materialize`]). Config and resource types come in typed, errors go out typed, and no
//! author ever sees a protocol message. The guide is in [`guide`].
//!
//! Not here: what the runtime does with documents (crate `longshore`), and what may be said on the wire (crate `longshore-proto`).

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have time limits and play the other side"))]
#![warn(missing_docs, missing_debug_implementations)]

pub mod binding;
pub mod capture;
pub mod config;
pub mod durable;
pub mod finding;
pub mod materialize;
pub mod place;
pub mod schema;
pub mod testing;
pub mod time;
pub mod verify;

#[doc = include_str!("../GUIDE.md")]
pub mod guide {}

mod epochs;
mod outgoing;
mod panics;
mod resource;
mod secret;
mod serve;

pub use capture::serve_capture;
pub use longshore_proto::batch::{Batch, BatchBuilder};
pub use longshore_proto::session::{Lag, Progress, ProgressPart};
pub use longshore_proto::{Error, ErrorKind, document, key, limits};
pub use materialize::serve_materialize;
pub use secret::Secret;

/// What everything an author writes returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Runs work that blocks its thread (file and database calls) so that the rest of the process goes on.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread, as tests use it, has nobody to hand its other work to.
        Ok(_) | Err(_) => work(),
    }
}
