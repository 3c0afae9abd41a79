//! Talks to a materialization: one typed call for each RPC. Every answer is parsed; what a session says is in [`super::transact`].

use std::time::Duration;

use longshore_proto::materialize::message::{Applied, Apply, Open, Spec, Validate, Validated};
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::pb::materialize::v1::materialize_client::MaterializeClient as Stub;
use longshore_proto::session::Progress;
use longshore_proto::verify::Verify;
use longshore_proto::{Error, limits};
use tonic::transport::Channel;

use super::dial::Connection;
use super::transact::{self, TransactReceiver, TransactSender};
use super::verify::{self, Verified};

const SPEC_TIME_OUT: Duration = Duration::from_secs(30);
const VALIDATE_TIME_OUT: Duration = Duration::from_secs(120);
/// It may rebuild tables and drain a plan.
const APPLY_TIME_OUT: Duration = Duration::from_secs(3600);

/// Talks to one materialization connector. Clones share the connection.
#[derive(Debug, Clone)]
pub struct MaterializeClient {
    connection: Connection,
}

impl MaterializeClient {
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

    /// Whether what the user wrote will work.
    pub async fn validate(&self, validate: Validate) -> Result<Validated, Error> {
        let bindings = validate.bindings.len();
        let call = |channel, request| async move { stub(channel).validate(request).await };
        let answer = self.connection.ask("Validate", VALIDATE_TIME_OUT, validate.into(), call).await?;
        Validated::parse(answer, bindings).map_err(|error| self.connection.named("Validate", error))
    }

    /// Makes the destination fit the spec.
    pub async fn apply(&self, apply: Apply) -> Result<Applied, Error> {
        let call = |channel, request| async move { stub(channel).apply(request).await };
        let answer = self.connection.ask("Apply", APPLY_TIME_OUT, apply.into(), call).await?;
        Applied::try_from(answer).map_err(|error| self.connection.named("Apply", error))
    }

    /// Begins a session: sends Open. Its answer is the first thing to receive.
    pub async fn transact(&self, open: Open) -> Result<(TransactSender, TransactReceiver), Error> {
        transact::begin(&self.connection, open).await
    }

    /// What is in the destination now; `told` hears how far it is.
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
