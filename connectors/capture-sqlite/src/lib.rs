//! Captures tables of a SQLite database: the rows that are there, then every change, each committed state once.
//!
//! Apply ([`apply`]) puts triggers on the tables ([`triggers`]) that write the keys of what changes, and nothing else, into a table of ours
//! ([`log`]). A session ([`session`]) walks over each table once ([`walk`]) and all the while reads for each key in the log the row as it is
//! now ([`follow`]). There is no hand-off between the two: both always run, and whichever reads a row later has its newer state. What a table
//! is made of is in [`table`], what a binding takes of it in [`plan`], what a value becomes in [`value`]. All rows
//! at once are read for a comparison with a destination ([`mod@verify`]). What it promises is in README.md.

mod apply;
mod config;
mod database;
mod discover;
mod faults;
mod follow;
mod gather;
mod identifier;
mod index;
mod kinds;
mod log;
mod plan;
mod pull;
mod row;
mod session;
mod shape;
mod state;
mod table;
mod triggers;
mod validate;
mod value;
mod verify;
mod walk;
mod watched;

use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{
    Applied, Apply, Capture, CaptureSpec, ChangeTracking, Discovered, Emitter, Mechanism, PullOpen,
};
use longshore_sdk::finding::Finding;
use longshore_sdk::verify::{Tally, Verify};
use longshore_sdk::{Error, Result, blocking};

pub use config::{Config, Resource};

/// The connector.
#[derive(Debug, Clone, Copy)]
pub struct Sqlite {
    piece: Piece,
}

/// How much of a database one read transaction takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) rows: usize,
    pub(crate) log_entries: usize,
}

impl Default for Sqlite {
    fn default() -> Sqlite {
        Sqlite { piece: Piece { rows: 10_000, log_entries: 20_000 } }
    }
}

impl Sqlite {
    /// For tests: many pieces without many rows.
    #[must_use]
    pub fn with_piece_rows(rows: usize) -> Sqlite {
        Sqlite { piece: Piece { rows, log_entries: rows } }
    }
}

impl Capture for Sqlite {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-sqlite", env!("CARGO_PKG_VERSION"))
            .resource_path(["/table"])
            .change_tracking(ChangeTracking::Full)
            .mechanism(Mechanism::Trigger)
            .explicit_acknowledgements()
            .verifies()
    }

    async fn discover(&self, config: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        off_the_runtime("discovers", move || discover::discover(config, &resources)).await?
    }

    async fn validate(&self, config: Config, bindings: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        off_the_runtime("validates", move || validate::validate(config, &bindings)).await?
    }

    async fn apply(&self, apply: Apply<Config, Resource>) -> Result<Applied> {
        off_the_runtime("applies", move || apply::apply(&apply)).await?
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, emitter: Emitter) -> Result<()> {
        pull::pull(open, self.piece, emitter).await
    }

    async fn verify(&self, asked: Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
        blocking(|| verify::verify(&asked, tally))
    }
}

/// SQLite blocks, so it is called on a thread that may be blocked.
async fn off_the_runtime<T: Send + 'static>(doing: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::internal("sqlite.worker", format!("capture-sqlite {doing}: {panic}")))
}
