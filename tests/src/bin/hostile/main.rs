//! A connector that means harm, for the tests: `hostile WORD…` tries what each word says and tells in documents what came of it.
//!
//! What is tried inside a sandbox is in [`escape`], what it may reach in [`reach`], how it breaks the protocol in [`abuse`]. It never hides: a
//! success is told too, and fails the test.

mod abuse;
mod escape;
mod reach;

use std::process::ExitCode;

use longshore_sdk::capture::{Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::{Result, schema, serve_capture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((first, ports)) if first == "listen" => reach::listen(ports),
        Some((first, targets)) if first == "ask" => reach::ask(targets),
        Some((first, how)) if first == "abuse" => abuse::abuse(how.first().map_or("", String::as_str)),
        Some((first, _)) if first == escape::EAT => {
            escape::eat_memory();
            ExitCode::SUCCESS
        }
        Some((first, _)) if first == "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(60));
            ExitCode::SUCCESS
        }
        Some(_) | None => serve_capture(Hostile { words }),
    }
}

/// What came of an attempt: how it succeeded, or what stopped it.
type Outcome = std::result::Result<String, String>;

struct Hostile {
    words: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[expect(dead_code, reason = "it only names the binding")]
    stream: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    id: usize,
    attempt: String,
    succeeded: bool,
    detail: String,
}

impl Capture for Hostile {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("hostile", env!("CARGO_PKG_VERSION")).resource_path(["/stream"])
    }

    async fn discover(&self, _: Config, _: Vec<Resource>) -> Result<Vec<Discovered>> {
        Ok(vec![Discovered::new("s", json!({ "stream": "s" }), schema::of::<Told>()).key(["/id"])])
    }

    async fn pull(&self, _: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let mut id = 0;
        for word in &self.words {
            for (attempt, outcome) in attempt(word).await {
                let (succeeded, detail) = match outcome {
                    Ok(how) => (true, how),
                    Err(why) => (false, why),
                };
                emitter.document(0, &Told { id, attempt, succeeded, detail }).await?;
                id += 1;
            }
            // What is told arrives, whatever comes next.
            emitter.checkpoint(Checkpoint::new()).await.map(drop)?;
        }
        emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        emitter.stop().requested().await;
        Ok(())
    }
}

/// What a word asks for. One may ask for several.
async fn attempt(word: &str) -> Vec<(String, Outcome)> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    match name {
        "wait" => {
            reach::wait(value).await;
            Vec::new()
        }
        "reach" => vec![(word.to_owned(), reach::reach(value).await)],
        "reach-listed" => {
            let mut outcomes = Vec::new();
            for target in std::fs::read_to_string(value).unwrap_or_default().lines() {
                outcomes.push((format!("reach={target}"), reach::reach(target).await));
            }
            outcomes
        }
        // Some of them block; nobody else waits here.
        _ => vec![(word.to_owned(), escape::escape(name, value))],
    }
}
