//! Talks to a capture: one typed call for each RPC. Every answer is parsed; what a session says is in [`super::pull`].

use std::time::Duration;

use longshore_proto::capture::message::{Applied, Apply, Discover, Discovered, Open, Spec, Validate, Validated};
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::pb::capture::v1::capture_client::CaptureClient as Stub;
use longshore_proto::session::Progress;
use longshore_proto::verify::Verify;
use longshore_proto::{Error, limits};
use tonic::transport::Channel;

use super::dial::Connection;
use super::pull::{self, PullReceiver, PullSender};
use super::verify::{self, Verified};
use crate::secret::Door;

const SPEC_TIME_OUT: Duration = Duration::from_secs(30);
/// It may look through a whole system.
const DISCOVER_TIME_OUT: Duration = Duration::from_secs(600);
const VALIDATE_TIME_OUT: Duration = Duration::from_secs(120);
const APPLY_TIME_OUT: Duration = Duration::from_secs(600);

/// Talks to one capture connector. Clones share the connection.
#[derive(Debug, Clone)]
pub struct CaptureClient {
    connection: Connection,
}

impl CaptureClient {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// What it is called in logs and errors.
    #[must_use]
    pub fn name(&self) -> &str {
        self.connection.name()
    }

    /// What it is. The first call of a connection.
    pub async fn spec(&self) -> Result<Spec, Error> {
        let call = |channel, request| async move { stub(channel).spec(request).await };
        let answer = self.connection.ask("Spec", SPEC_TIME_OUT, pb::SpecRequest {}, call).await?;
        Spec::try_from(answer).map_err(|error| self.connection.named("Spec", error))
    }

    /// What could be captured.
    pub async fn discover(&self, discover: Discover) -> Result<Vec<Discovered>, Error> {
        let resources = discover.resources_json.len();
        let call = |channel, request| async move { stub(channel).discover(request).await };
        let answer = self.connection.ask("Discover", DISCOVER_TIME_OUT, discover.into(), call).await?;
        let discovered = Discovered::parse_all(answer, resources);
        let mut discovered = discovered.map_err(|error| self.connection.named("Discover", error))?;
        // It is written into catalogs and journals.
        for one in &mut discovered {
            Door::Answers.scrub_bytes(&mut one.resource_json);
            Door::Answers.scrub_bytes(&mut one.schema_json);
            Door::Answers.scrub_string(&mut one.note);
        }
        Ok(discovered)
    }

    /// Whether what the user wrote will work.
    pub async fn validate(&self, validate: Validate) -> Result<Validated, Error> {
        let bindings = validate.bindings.len();
        let call = |channel, request| async move { stub(channel).validate(request).await };
        let answer = self.connection.ask("Validate", VALIDATE_TIME_OUT, validate.into(), call).await?;
        Validated::parse(answer, bindings).map_err(|error| self.connection.named("Validate", error))
    }

    /// Prepares the source.
    pub async fn apply(&self, apply: Apply) -> Result<Applied, Error> {
        let call = |channel, request| async move { stub(channel).apply(request).await };
        let answer = self.connection.ask("Apply", APPLY_TIME_OUT, apply.into(), call).await?;
        Applied::try_from(answer).map_err(|error| self.connection.named("Apply", error))
    }

    /// Begins a session: sends Open. Its answer is the first thing to receive.
    pub async fn pull(&self, open: Open) -> Result<(PullSender, PullReceiver), Error> {
        pull::begin(&self.connection, open).await
    }

    /// What is in the source now; `told` hears how far it is.
    pub async fn verify(&self, asked: Verify, told: impl FnMut(&Progress) + Send) -> Result<Verified, Error> {
        let call = |channel, request| async move { stub(channel).verify(request).await };
        verify::verify(&self.connection, asked, call, told).await
    }
}

fn stub(channel: Channel) -> Stub<Channel> {
    Stub::new(channel)
        .max_decoding_message_size(limits::MESSAGE_MAX_BYTES)
        .max_encoding_message_size(limits::MESSAGE_MAX_BYTES)
}
