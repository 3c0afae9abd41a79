//! The probe of R3, as a capture: one tiny document and a checkpoint, wait for the acknowledgement, again; and beside it, a bare fdatasync of
//! as many bytes in the same directory, so that both meet the same disk.
//!
//! They take turns in blocks of rounds and not round by round: a file system makes a process wait that syncs right behind another one, in
//! the hope of a common commit, and that wait is nobody's cost.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Bytes of the document.
const DOCUMENT_BYTES: usize = 200;
/// Rounds of a block.
const BLOCK: usize = 25;
/// The first rounds of each block find the disk in use by another.
const WARM_UP: usize = 5;

/// Serves it to the runtime that started this process.
pub(crate) fn serve() -> ExitCode {
    longshore_sdk::serve_capture(Probe)
}

struct Probe;

/// What to measure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file that gets the figure.
    figure: PathBuf,
    /// How many checkpoints to measure.
    rounds: usize,
}

/// Any name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[expect(dead_code, reason = "it only names the binding")]
    stream: String,
}

impl Capture for Probe {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("yardstick", env!("CARGO_PKG_VERSION")).resource_path(["/stream"])
    }

    async fn discover(&self, _: Config, _: Vec<Resource>) -> Result<Vec<Discovered>> {
        let schema =
            json!({ "type": "object", "properties": { "id": { "type": "integer" }, "body": { "type": "string" } } });
        Ok(vec![Discovered::new("probe", json!({ "stream": "probe" }), schema).key(["/id"])])
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let config = &open.config;
        let body = "x".repeat(DOCUMENT_BYTES - 24);
        let mut acknowledgements = emitter.acknowledgements();
        let (mut commits, mut syncs, mut again) = (Vec::new(), Vec::new(), Vec::new());
        let mut disk = Disk::beside(&config.figure)?;
        let mut round = 0;
        while commits.len() < config.rounds {
            for in_block in 0..BLOCK {
                let document = format!(r#"{{"id":{round},"body":"{body}"}}"#);
                emitter.raw(0, document.as_bytes()).await?;
                let begun = Instant::now();
                let number = emitter.checkpoint(Checkpoint::new().task(&json!({ "round": round }))).await?;
                if !acknowledgements.reached(number).await {
                    return Ok(());
                }
                round += 1;
                commits.extend((in_block >= WARM_UP).then(|| begun.elapsed()));
            }
            for into in [&mut syncs, &mut again] {
                for in_block in 0..BLOCK {
                    let took = disk.sync()?;
                    into.extend((in_block >= WARM_UP).then_some(took));
                }
            }
        }
        let p50 = |mut durations: Vec<Duration>| {
            durations.sort();
            durations[durations.len() / 2].as_secs_f64() * 1e6
        };
        let figure = json!({ "commit_us": p50(commits), "fdatasync_us": p50(syncs), "fdatasync_again_us": p50(again) });
        super::write_figure(&config.figure, &figure);
        emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        Ok(())
    }
}

/// A file that is appended to and synced.
struct Disk(File);

impl Disk {
    fn beside(figure: &std::path::Path) -> Result<Self> {
        File::create(figure.with_extension("disk")).map(Self).map_err(failed)
    }

    fn sync(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.0.write_all(&[b'x'; DOCUMENT_BYTES]).and_then(|()| self.0.sync_data()).map_err(failed)?;
        Ok(begun.elapsed())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("yardstick.disk", format!("measuring the disk: {error}"))
}
