//! The second connector of this crate: captures tables of a PostgreSQL database by asking for their rows, where its log cannot be read: no
//! right to replicate, `wal_level` below logical, a standby, a view. It leaves nothing on the server.
//!
//! A session ([`session`]) asks once for each binding and ends; the runtime opens it again after its `schedule`. A table with a cursor, a column
//! that grows, is asked for what is new since ([`walk`], whose argument for what it sees is in [`cursor`], and what it remembers so as not to
//! say it twice in [`seen`]); one without is read as a whole ([`refresh`]). What a table must be for that is in [`source`]. How rows are read
//! and become documents is shared with the first connector. What it promises is in QUERY.md.

mod config;
mod cursor;
mod discover;
mod refresh;
mod seen;
mod session;
mod source;
mod state;
mod validate;
mod walk;

use longshore_sdk::Result;
use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{
    Applied, Apply, Capture, CaptureSpec, ChangeTracking, Discovered, Emitter, Mechanism, PullOpen,
};
use longshore_sdk::finding::Finding;

pub use config::{Config, LookBack, Resource};

/// What it is called.
const NAME: &str = "capture-postgres-query";

/// The connector.
#[derive(Debug, Clone, Copy)]
pub struct PostgresQuery {
    pace: Pace,
}

/// How much at once.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Rows between two checkpoints at most.
    chunk_rows: usize,
    /// Rows that all bindings together remember.
    seen_rows: usize,
}

impl Default for PostgresQuery {
    fn default() -> PostgresQuery {
        PostgresQuery { pace: Pace { chunk_rows: 100_000, seen_rows: seen::ROWS_MAX } }
    }
}

impl PostgresQuery {
    /// For tests: many chunks without many rows, and a memory that is soon full.
    #[must_use]
    pub fn in_steps(chunk_rows: usize, seen_rows: usize) -> PostgresQuery {
        PostgresQuery { pace: Pace { chunk_rows, seen_rows } }
    }
}

impl Capture for PostgresQuery {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new(NAME, env!("CARGO_PKG_VERSION"))
            .resource_path(["/schema", "/table"])
            .change_tracking(ChangeTracking::AppendOnly)
            .mechanism(Mechanism::Cursor)
    }

    async fn discover(&self, config: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        discover::discover(config, &resources).await
    }

    async fn validate(&self, config: Config, bindings: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        validate::validate(config, &bindings).await
    }

    /// There is nothing to prepare; only what will be read is looked at.
    async fn apply(&self, apply: Apply<Config, Resource>) -> Result<Applied> {
        if !apply.remove {
            validate::check(&apply).await?;
        }
        Ok(Applied::default())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, emitter: Emitter) -> Result<()> {
        session::pull(open, self.pace, emitter).await
    }
}
