//! Captures what is posted to it: a request is answered with 2xx when its documents are durable, all of them or none.
//!
//! The way of a document: `server` takes connections, `handle` a request: `auth` says who may, `body` reads it, `media` cuts it into documents,
//! `document` checks each and says where it came from. All requests meet at `desk`, which emits them, one checkpoint for what came together,
//! and knows from `window` what was there before. `handle` then waits for the acknowledgement. What the user set is in `settings`.

mod auth;
mod body;
mod config;
mod desk;
mod document;
mod handle;
mod media;
mod reply;
mod server;
mod settings;
mod window;

use std::net::SocketAddr;

use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{Capture, CaptureSpec, ChangeTracking, Discovered, Emitter, Mechanism, PullOpen};
use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, Result};
use serde_json::{Value, json};
use tokio::sync::watch;

pub use config::{Config, Resource};
use desk::Desk;
use settings::Settings;
use window::Window;

/// What is always there and never twice: for want of a key of the data.
const FALLBACK_KEY: [&str; 1] = ["/_meta/source/id"];

/// The connector.
#[derive(Debug)]
pub struct Webhook {
    /// Where the session that is open listens.
    address: watch::Sender<Option<SocketAddr>>,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { address: watch::Sender::new(None) }
    }
}

impl Webhook {
    /// Where the session that is open listens, for who set port 0.
    pub fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.subscribe()
    }
}

impl Capture for Webhook {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("capture-webhook", env!("CARGO_PKG_VERSION"))
            .resource_path(["/path"])
            .change_tracking(ChangeTracking::AppendOnly)
            .mechanism(Mechanism::Log)
            .explicit_acknowledgements()
    }

    /// Nobody knows what will be posted: any path can be had.
    async fn discover(&self, _: Config, resources: Vec<Resource>) -> Result<Vec<Discovered>> {
        let asked = if resources.is_empty() { vec![Resource { path: "/events".to_owned() }] } else { resources };
        Ok(asked.into_iter().map(|resource| discovered(&resource)).collect())
    }

    async fn validate(&self, config: Config, bindings: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        let mut faults = Vec::new();
        match Settings::new(&config, bindings.len()) {
            Ok(settings) => faults.extend(server::fault_of(settings.listen)),
            Err(found) => faults = found,
        }
        for (index, binding) in bindings.iter().enumerate() {
            faults.extend(binding.resource.fault().map(|fault| fault.at_binding(index)));
        }
        Ok(faults.into_iter().map(finding::error).collect())
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, emitter: Emitter) -> Result<()> {
        let settings = Settings::new(&open.config, open.bindings.len()).map_err(first)?;
        for (index, bound) in open.bindings.iter().enumerate() {
            bound.resource.fault().map_or(Ok(()), |fault| Err(fault.at_binding(index)))?;
        }
        let windows = (0..open.bindings.len())
            .map(|index| Ok(Window::new(settings.keys, open.binding_state(index)?.unwrap_or_default())))
            .collect::<Result<Vec<_>>>()?;
        let listener = server::listen(settings.listen).await?;
        let address = listener.local_addr().map_err(|error| Error::internal("webhook.listen", error.to_string()))?;
        tracing::info!("listening on http://{address}");
        self.address.send_replace(Some(address));
        let (desk, front) = Desk::new(emitter, windows, settings, &open)?;
        let ended = run(desk, server::serve(listener, front)).await;
        self.address.send_replace(None);
        ended
    }
}

/// The desk says when it is over; then requests under way are answered before this returns. An error answers nobody: their connections break.
async fn run(desk: Desk, serving: impl Future<Output = ()>) -> Result<()> {
    tokio::pin!(serving);
    let emitting = desk.run();
    tokio::pin!(emitting);
    let mut is_serving = true;
    loop {
        tokio::select! {
            stopped = &mut emitting => {
                stopped?;
                break;
            }
            () = &mut serving, if is_serving => is_serving = false,
        }
    }
    if is_serving {
        serving.await;
    }
    Ok(())
}

fn discovered(resource: &Resource) -> Discovered {
    let fit = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '_' | '-' | '/') => letter,
        _ => '_',
    };
    let name: String = resource.path.chars().map(fit).take(200).collect();
    let name = match name.trim_matches(['_', '-', '/']) {
        "" => "events",
        name => name,
    };
    Discovered::new(name, json!({ "path": resource.path }), schema())
        .fallback_key(FALLBACK_KEY)
        .note("what will be posted is not known: give it a schema, and a key of the data where it has one")
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["_meta"],
        "properties": {
            "_meta": {
                "type": "object",
                "required": ["source"],
                "properties": {
                    "source": {
                        "type": "object",
                        "required": ["path", "id"],
                        "properties": { "path": { "type": "string" }, "id": { "type": "string" } },
                    },
                },
            },
        },
    })
}

/// The first of them; there is one.
fn first(faults: Vec<Error>) -> Error {
    let none = || Error::internal("webhook.config", "reading the config: expected a reason, got none");
    faults.into_iter().next().unwrap_or_else(none)
}
