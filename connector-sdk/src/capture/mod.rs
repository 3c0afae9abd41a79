//! Captures: implement [`Capture`], call [`serve_capture`] in `main`.

mod checkpoint;
mod emitter;
mod ledger;
mod service;
pub(crate) mod session;
mod spec;

use std::process::ExitCode;
use std::sync::Arc;

use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Finding, Owner};
use longshore_proto::state::State;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use checkpoint::Checkpoint;
pub use emitter::{Acknowledgements, Emitter, Stop};
pub use longshore_proto::capture::message::{Applied, ChangeTracking, Mechanism};
pub use spec::{CaptureSpec, Discovered};

pub(crate) use service::CaptureService;

use crate::binding::{Bound, Proposed};
use crate::verify::{Tally, Verify, verifies_nothing};
use crate::{Result, serve};

/// A connector that pulls documents out of a system.
///
/// One value serves the whole process. What a session needs comes in its [`PullOpen`]; a session keeps nothing in the value, because the
/// next one may run in another process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a capture",
    label = "`serve_capture` needs a type that implements `longshore_sdk::capture::Capture`",
    note = "a connector that writes documents into a system is a materialization: see `longshore_sdk::materialize`"
)]
pub trait Capture: Send + Sync + 'static {
    /// What the user configures for the task. Put `#[serde(deny_unknown_fields)]` on it.
    type Config: DeserializeOwned + JsonSchema + Send + 'static;
    /// What the user writes for each binding.
    type Resource: DeserializeOwned + JsonSchema + Send + 'static;

    /// What this connector is. Reads nothing outside itself.
    fn spec(&self) -> CaptureSpec;

    /// What could be captured: exactly `resources`, in their order, or all there is if there are none. Read-only.
    fn discover(
        &self,
        config: Self::Config,
        resources: Vec<Self::Resource>,
    ) -> impl Future<Output = Result<Vec<Discovered>>> + Send;

    /// Whether it will work: looks at the system, changes nothing. What the types cannot read, and resources used twice, are found before.
    /// A finding ends the task; that something does not answer just now is an error, so that it is asked again
    /// ([`finding::mistake`](crate::finding::mistake)).
    fn validate(
        &self,
        config: Self::Config,
        bindings: Vec<Proposed<Self::Resource>>,
    ) -> impl Future<Output = Result<Vec<Finding>>> + Send {
        drop((config, bindings));
        std::future::ready(Ok(Vec::new()))
    }

    /// Prepares the source (slots, publications). Must be safe to repeat.
    fn apply(&self, apply: Apply<Self::Config, Self::Resource>) -> impl Future<Output = Result<Applied>> + Send {
        drop(apply);
        std::future::ready(Ok(Applied::default()))
    }

    /// A session: emits documents and checkpoints from the last durable state on. It may return at a checkpoint, when there is nothing
    /// more to say now, or soon after [`Emitter::stop_requested`]; an error ends the session and says what the runtime should do.
    fn pull(
        &self,
        open: PullOpen<Self::Config, Self::Resource>,
        emitter: Emitter,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Reads all that is in the source of one binding, each row once and as one moment shows them all, and hands each to the tally as the
    /// document that a capture from the beginning would make of it. Changes nothing. Only called if the spec says [`CaptureSpec::verifies`].
    fn verify(
        &self,
        verify: Verify<Self::Config, Self::Resource>,
        tally: &mut Tally,
    ) -> impl Future<Output = Result<()>> + Send {
        drop(verify);
        let _ = tally;
        std::future::ready(Err(verifies_nothing()))
    }
}

/// Prepares the source for a task.
#[derive(Debug)]
pub struct Apply<C, R> {
    /// On whose behalf.
    pub owner: Owner,
    /// The task's config.
    pub config: C,
    /// The bindings there shall be.
    pub bindings: Vec<Bound<R>>,
    /// The bindings as last applied, as they were written then; empty the first time.
    pub previous: Vec<Binding>,
    /// The last durable state.
    pub state: State,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// With no bindings: clean up what was made.
    pub remove: bool,
}

/// Opens a session.
#[derive(Debug)]
pub struct PullOpen<C, R> {
    /// On whose behalf.
    pub owner: Owner,
    /// The task's config.
    pub config: C,
    /// The bindings; their places are the indexes that [`Emitter`] takes.
    pub bindings: Vec<Bound<R>>,
    /// The last durable state. It acknowledges all it covers: tell the source so, again, before anything else.
    pub state: State,
}

impl<C, R> PullOpen<C, R> {
    /// The task's part of the state, as the checkpoints before made it.
    pub fn task_state<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.state.task_json().map(|json| read_state("the task", json)).transpose()
    }

    /// A binding's part of the state.
    pub fn binding_state<T: DeserializeOwned>(&self, binding: usize) -> Result<Option<T>> {
        let Some(key) = self.bindings.get(binding).map(|bound| &bound.state_key) else { return Ok(None) };
        self.state.part(key).map(|json| read_state(key.as_str(), json)).transpose()
    }

    /// Durable names of the bindings, in order.
    pub(crate) fn state_keys(&self) -> Vec<StateKey> {
        self.bindings.iter().map(|bound| bound.state_key.clone()).collect()
    }
}

fn read_state<T: DeserializeOwned>(of: &str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let message =
            format!("reading the state of {of}: expected what this connector wrote, got another shape: {error}");
        crate::Error::config("state.connector", message)
            .suggest("use the version of the connector that wrote it, or start the task afresh")
    })
}

/// Serves a capture as a process: the whole `main`.
///
/// ```no_run
/// # use longshore_sdk::capture::*;
/// # use longshore_sdk::Result;
/// # struct Hello;
/// # impl Capture for Hello {
/// #     type Config = (); type Resource = ();
/// #     fn spec(&self) -> CaptureSpec { CaptureSpec::new("capture-hello", "0.1.0") }
/// #     async fn discover(&self, _: (), _: Vec<()>) -> Result<Vec<Discovered>> { Ok(vec![]) }
/// #     async fn pull(&self, _: PullOpen<(), ()>, _: Emitter) -> Result<()> { Ok(()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     longshore_sdk::serve_capture(Hello)
/// }
/// ```
pub fn serve_capture<C: Capture>(capture: C) -> ExitCode {
    serve::serve(|drain| CaptureService::new(Arc::new(capture), drain).served())
}
