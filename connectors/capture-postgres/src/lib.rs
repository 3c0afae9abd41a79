//! Captures tables of a PostgreSQL database: the rows that are there, then every change, in the order of the commits.
//!
//! Apply ([`apply`]) makes a publication and a replication slot ([`server`]). A session ([`session`]) is opened where the last one was covered
//! ([`open`]), reads the log ([`source`], by a stream, or as a [`backlog`]; its messages are read by [`pgoutput`]) and walks over each table once ([`walk`]),
//! both at the same time: what keeps them in order is [`window`], what neither would see [`writers`]. What a table is made of is in
//! [`table`], how rows are read in [`copy`] and held in [`rows`], how one becomes a document in [`layout`] and [`value`] and goes out by [`outlet`].
//! All rows at once are read for a comparison with a destination ([`mod@verify`]). What it promises is in README.md.
//!
//! A second connector, for where the log cannot be read, is in [`query`].

mod apply;
mod backlog;
mod binary;
mod config;
mod copy;
mod covered;
mod discover;
mod faults;
mod lag;
mod layout;
mod lsn;
mod names;
mod open;
mod outlet;
mod pgoutput;
mod query;
mod rows;
mod server;
mod session;
mod shape;
mod source;
mod state;
mod stream;
mod table;
mod validate;
mod verify;
mod walk;
mod watched;
mod window;
mod writers;

use std::time::Duration;

use longshore_postgres::document::{kinds, types, value};
use longshore_sdk::Result;
use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{
    Applied, Apply, Capture, CaptureSpec, ChangeTracking, Discovered, Emitter, Mechanism, PullOpen,
};
use longshore_sdk::finding::Finding;
use longshore_sdk::verify::{Tally, Verify};

pub use config::{Config, Resource, Truncate};
pub use query::{Config as QueryConfig, LookBack, PostgresQuery, Resource as QueryResource};

/// What it is called.
pub(crate) const NAME: &str = "capture-postgres";

/// The connector.
#[derive(Debug, Clone, Copy)]
pub struct Postgres {
    pace: Pace,
}

/// How much at once, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Rows of a chunk at most.
    chunk_rows: usize,
    /// While nothing is captured, the slot follows the log so often.
    idle: Duration,
    /// A transaction of more than so many bytes of documents has checkpoints inside.
    split_bytes: usize,
    /// So far behind the end of the log, what is there is read by SQL before the stream begins.
    backlog_bytes: u64,
    /// In slices of so many changes.
    slice_changes: usize,
}

impl Pace {
    /// What the clock decides is looked at so often.
    fn tick(self) -> Duration {
        const TICK: Duration = Duration::from_millis(50);
        TICK.min(self.idle)
    }
}

impl Default for Postgres {
    fn default() -> Postgres {
        Postgres {
            pace: Pace {
                chunk_rows: 100_000,
                idle: Duration::from_secs(10),
                split_bytes: 8 << 20,
                backlog_bytes: 64 << 20,
                slice_changes: 250_000,
            },
        }
    }
}

impl Postgres {
    /// For tests: many chunks without many rows, a slot that follows at once, checkpoints inside of small transactions.
    #[must_use]
    pub fn in_steps(chunk_rows: usize, split_bytes: usize) -> Postgres {
        let pace = Postgres::default().pace;
        Postgres { pace: Pace { chunk_rows, idle: Duration::from_millis(20), split_bytes, ..pace } }
    }

    /// For tests: whatever is behind is a backlog, read in slices of so many changes.
    #[must_use]
    pub fn with_backlogs(self, slice_changes: usize) -> Postgres {
        Postgres { pace: Pace { backlog_bytes: 0, slice_changes, ..self.pace } }
    }
}

impl Capture for Postgres {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new(NAME, env!("CARGO_PKG_VERSION"))
            .resource_path(["/schema", "/table"])
            .change_tracking(ChangeTracking::KeyOnly)
            .mechanism(Mechanism::Log)
            .explicit_acknowledgements()
            .verifies()
    }

    async fn discover(&self, config: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        discover::discover(config, &resources).await
    }

    async fn validate(&self, config: Config, bindings: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        validate::validate(config, &bindings).await
    }

    async fn apply(&self, apply: Apply<Config, Resource>) -> Result<Applied> {
        apply::apply(&apply).await
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, emitter: Emitter) -> Result<()> {
        session::pull(open, self.pace, emitter).await
    }

    async fn verify(&self, asked: Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
        verify::verify(&asked, tally).await
    }
}
