//! Captures CSV, TSV and JSONL files: each record once, however often it is stopped, and types that are never guessed narrower.
//!
//! The way of a document: `listing` finds files, of which `ready` leaves some for later, `binding` decides what is new in one, `open` enters it, `input` decompresses, `text` and
//! `records` cut, `row` or `object` makes documents through `writer`, `outbox` hands them to `pull`, which speaks to the SDK. `kind` and
//! `shape` know types, `wanted` which columns, `state` what is remembered. What it promises is in README.md.

mod binding;
mod config;
mod discover;
mod faults;
mod input;
mod kind;
mod listing;
mod nearby;
mod object;
mod open;
mod outbox;
mod pull;
mod ready;
mod records;
mod row;
mod sample;
mod shape;
mod state;
mod text;
mod validate;
mod wanted;
mod writer;

use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{Capture, CaptureSpec, ChangeTracking, Discovered, Emitter, Mechanism, PullOpen};
use longshore_sdk::finding::Finding;
use longshore_sdk::{Error, Result};

use config::Settings;
pub use config::{Compression, Config, Format, OnReplaced, Resource};

/// The connector.
#[derive(Debug)]
pub struct Files;

impl Capture for Files {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-files", env!("CARGO_PKG_VERSION"))
            .resource_path(["/glob"])
            .change_tracking(ChangeTracking::AppendOnly)
            .mechanism(Mechanism::Cursor)
    }

    async fn discover(&self, config: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        off_the_runtime("discovers", move || {
            let settings = Settings::new(config)?;
            if resources.is_empty() { discover::list(&settings) } else { discover::describe(&settings, &resources) }
        })
        .await?
    }

    async fn validate(&self, config: Config, bindings: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        off_the_runtime("validates", move || validate::validate(config, &bindings)).await
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, emitter: Emitter) -> Result<()> {
        pull::pull(open, emitter).await
    }
}

/// Reading files blocks, so it is done on a thread that may be blocked.
async fn off_the_runtime<T: Send + 'static>(doing: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::internal("files.worker", format!("capture-files {doing}: {panic}")))
}
