//! A capture that has to prepare its source: Apply makes a file, once, and says in the state which; a session that does not find it there
//! refuses to open. What the tests need to see that the state of Apply is kept (C-11).

use std::path::PathBuf;

use longshore_proto::state::StatePatch;
use longshore_sdk::capture::{Applied, Apply, Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

fn main() -> std::process::ExitCode {
    longshore_sdk::serve_capture(Prepared)
}

struct Prepared;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file that Apply makes; a number is put behind it.
    path: PathBuf,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[expect(dead_code, reason = "it only names the binding")]
    stream: String,
}

/// The task's part of the state.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    path: PathBuf,
}

impl Capture for Prepared {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("prepared", env!("CARGO_PKG_VERSION")).resource_path(["/stream"])
    }

    async fn discover(&self, _: Config, _: Vec<Resource>) -> Result<Vec<Discovered>> {
        let schema =
            json!({ "type": "object", "properties": { "id": { "type": "integer" }, "path": { "type": "string" } } });
        Ok(vec![Discovered::new("s", json!({ "stream": "s" }), schema).key(["/id"])])
    }

    async fn apply(&self, apply: Apply<Config, Resource>) -> Result<Applied> {
        if apply.state.task_json().is_some() {
            return Ok(Applied::default());
        }
        let path = (1..).map(|n| apply.config.path.with_extension(n.to_string())).find(|path| !path.exists());
        let path = path.ok_or_else(|| Error::internal("prepared", "no name is left"))?;
        std::fs::write(&path, "").map_err(|error| Error::unavailable("prepared", error.to_string()))?;
        let actions = vec![format!("make {}", path.display())];
        let made =
            serde_json::to_vec(&Made { path }).map_err(|error| Error::internal("prepared", error.to_string()))?;
        Ok(Applied { actions, state_patch: StatePatch::new().with_task(&made)? })
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let made = open.task_state::<Made>()?.filter(|made| made.path.is_file());
        let made = made.ok_or_else(|| Error::internal("prepared", "opened without what Apply had made"))?;
        emitter.document(0, &json!({ "id": 1, "path": made.path })).await?;
        emitter.checkpoint(Checkpoint::new().caught_up()).await.map(drop)
    }
}
