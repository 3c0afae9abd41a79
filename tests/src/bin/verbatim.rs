//! A capture that sends what is in a file byte for byte, whatever it is: documents with the ASCII record separator (0x1e) between them. What the
//! runtime makes of documents that no well-behaved connector would send.

use std::process::ExitCode;
use std::time::Duration;

use longshore_proto::batch::BatchBuilder;
use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::finding::Finding;
use longshore_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Between two documents of the file.
const SEPARATOR: u8 = 0x1e;
/// A longer document has a batch of its own, in bytes.
const LONG_BYTES: usize = 1 << 20;

fn main() -> ExitCode {
    longshore_sdk::serve_capture(Verbatim)
}

struct Verbatim;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file, beside the catalog.
    path: String,
    /// What it states of its documents.
    #[serde(default = "any_object")]
    stated: Value,
    /// Documents in a checkpoint.
    #[serde(default = "three")]
    per_checkpoint: usize,
    /// Waits so long between two checkpoints, in milliseconds.
    #[serde(default)]
    pace_ms: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[expect(dead_code, reason = "it only names the binding")]
    stream: String,
}

#[derive(Serialize, Deserialize)]
struct Position {
    at: usize,
}

fn any_object() -> Value {
    json!({ "type": "object" })
}

fn three() -> usize {
    3
}

impl Capture for Verbatim {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("verbatim", env!("CARGO_PKG_VERSION")).resource_path(["/stream"])
    }

    async fn discover(&self, config: Config, _: Vec<Resource>) -> Result<Vec<Discovered>> {
        Ok(vec![Discovered::new("s", json!({ "stream": "s" }), config.stated).key(["/id"])])
    }

    async fn validate(&self, _: Config, _: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let config = &open.config;
        let content = std::fs::read(&config.path)
            .map_err(|error| Error::unavailable("verbatim.file", format!("reading {}: {error}", config.path)))?;
        let documents: Vec<&[u8]> = content.split(|byte| *byte == SEPARATOR).filter(|d| !d.is_empty()).collect();
        let mut at = open.task_state::<Position>()?.map_or(0, |position| position.at);
        while let Some(rest) = documents.get(at..).filter(|rest| !rest.is_empty() && !emitter.stop_requested()) {
            let now = &rest[..rest.len().min(config.per_checkpoint)];
            let mut batch = BatchBuilder::new(0);
            for document in now {
                if document.len() > LONG_BYTES
                    && let Some(before) = batch.finish()
                {
                    emitter.batch(before).await?;
                }
                batch.push(document);
                if document.len() > LONG_BYTES
                    && let Some(alone) = batch.finish()
                {
                    emitter.batch(alone).await?;
                }
            }
            if let Some(batch) = batch.finish() {
                emitter.batch(batch).await?;
            }
            at += now.len();
            emitter.checkpoint(Checkpoint::new().task(&Position { at })).await?;
            if config.pace_ms > 0 {
                // Over early if it is to stop.
                let stop = emitter.stop();
                drop(tokio::time::timeout(Duration::from_millis(config.pace_ms), stop.requested()).await);
            }
        }
        if at >= documents.len() {
            emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        }
        Ok(())
    }
}
