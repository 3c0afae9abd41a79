//! A capture: greets everybody in a list once, and whoever is added to it later.
use std::process::ExitCode;

use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::{Result, schema, serve_capture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) struct Hello;

/// Whom to greet.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Names, in the order they came; add new ones at the end.
    names: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// In which language: what makes one binding differ from another.
    greeting: String,
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    id: usize,
    text: String,
}

/// Where to resume.
#[derive(Default, Serialize, Deserialize)]
struct Greeted {
    count: usize,
}

impl Capture for Hello {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-hello", env!("CARGO_PKG_VERSION")).resource_path(["/greeting"])
    }

    async fn discover(&self, _: Config, asked: Vec<Resource>) -> Result<Vec<Discovered>> {
        let greetings = match asked.is_empty() {
            true => vec!["Hello".to_owned()],
            false => asked.into_iter().map(|resource| resource.greeting).collect(),
        };
        let found = |greeting: String| {
            Discovered::new("greetings", json!({ "greeting": greeting }), schema::of::<Greeting>()).key(["/id"])
        };
        Ok(greetings.into_iter().map(found).collect())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        for (binding, bound) in open.bindings.iter().enumerate() {
            let greeted: Greeted = open.binding_state(binding)?.unwrap_or_default();
            for (id, name) in open.config.names.iter().enumerate().skip(greeted.count) {
                let text = format!("{}, {name}!", bound.resource.greeting);
                emitter.document(binding, &Greeting { id, text }).await?;
            }
            let greeted = Greeted { count: open.config.names.len() };
            emitter.checkpoint(Checkpoint::new().binding(binding, &greeted)).await?;
        }
        emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        Ok(())
    }
}

fn main() -> ExitCode {
    serve_capture(Hello)
}
