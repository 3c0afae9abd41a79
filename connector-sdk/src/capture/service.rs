//! The gRPC service of a capture: parses each request, calls the author, answers.

use std::sync::Arc;

use longshore_failpoints::{Step, reached};
use longshore_proto::capture::message;
use longshore_proto::limits::MESSAGE_MAX_BYTES;
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::pb::capture::v1::capture_server::CaptureServer;
use longshore_proto::pb::common::v1 as common;
use longshore_proto::session::Finding;
use longshore_proto::stream;
use longshore_proto::verify::Verify;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::session::{Shared, session};
use super::{Apply, Capture, CaptureSpec};
use crate::epochs::Epochs;
use crate::outgoing::OutgoingStream;
use crate::serve::{Drain, Served};
use crate::{Error, Result, binding, config, panics, verify};

/// A capture behind its wire form.
#[derive(Debug)]
pub(crate) struct CaptureService<C>(Shared<C>);

impl<C: Capture> CaptureService<C> {
    pub(crate) fn new(capture: Arc<C>, drain: Drain) -> Self {
        Self(Shared { capture, epochs: Arc::new(Epochs::default()), drain })
    }

    /// Everything `serve` needs.
    pub(crate) fn served(self) -> Served {
        let spec = self.spec();
        Served {
            spec: spec.to_json::<C::Config, C::Resource>(),
            name: spec.name,
            version: spec.version,
            kind: "capture",
            service_name: pb::capture_server::SERVICE_NAME,
            routes: {
                let sessions = self.0.clone();
                let server = CaptureServer::new(self)
                    .max_decoding_message_size(MESSAGE_MAX_BYTES)
                    .max_encoding_message_size(MESSAGE_MAX_BYTES);
                Routes::new(stream::Streaming::new(server, sessions))
            },
        }
    }

    /// What all sessions of the process share.
    pub(crate) fn shared(&self) -> &Shared<C> {
        &self.0
    }

    pub(crate) fn spec(&self) -> CaptureSpec {
        self.0.capture.spec()
    }

    pub(crate) async fn discover(&self, discover: message::Discover) -> Result<Vec<message::Discovered>> {
        let config = config::parse(&discover.config_json)?;
        let resources = discover.resources_json.iter().enumerate();
        let resources =
            resources.map(|(index, json)| config::parse_resource(index, json)).collect::<Result<Vec<_>>>()?;
        let asked = resources.len();
        let found = panics::caught("discover", async { self.0.capture.discover(config, resources).await }).await?;
        if asked > 0 && found.len() != asked {
            let message = format!(
                "the connector discovered: expected {asked} answers, one for each resource, got {}",
                found.len()
            );
            return Err(Error::internal("sdk.discover", message));
        }
        let spec = self.spec();
        Ok(found.into_iter().map(|discovered| discovered.into_message(&spec)).collect())
    }

    pub(crate) async fn validate(&self, validate: message::Validate) -> Result<message::Validated> {
        let pointers = self.spec().resource_path_pointers;
        let checked = binding::checked::<C::Config, C::Resource>(&validate.config_json, validate.bindings, &pointers);
        let mut findings: Vec<Finding> = checked.findings;
        if let Some((config, bindings)) = checked.typed {
            findings
                .extend(panics::caught("validate", async { self.0.capture.validate(config, bindings).await }).await?);
        }
        Ok(message::Validated { resource_paths: checked.resource_paths, findings })
    }

    pub(crate) fn verify(&self, asked: common::VerifyRequest) -> Result<OutgoingStream<common::VerifyResponse>> {
        let capture = Arc::clone(&self.0.capture);
        let begun = verify::begin::<C::Config, C::Resource>(Verify::of_capture(asked)?)?;
        Ok(begun.answered(self.0.drain.clone(), async move |verify, mut tally| {
            let read = capture.verify(verify, &mut tally).await;
            (tally, read)
        }))
    }

    pub(crate) async fn apply(&self, apply: message::Apply) -> Result<message::Applied> {
        self.0.epochs.admit_apply(&apply.owner)?;
        let apply = Apply {
            owner: apply.owner,
            config: config::parse(&apply.config_json)?,
            bindings: binding::bound(apply.bindings)?,
            previous: apply.previous,
            state: apply.state,
            dry_run: apply.dry_run,
            remove: apply.remove,
        };
        reached(Step::ConnectorApplying);
        let applied = panics::caught("apply", async { self.0.capture.apply(apply).await }).await;
        reached(Step::ConnectorApplied);
        applied
    }
}

impl<C: Capture> stream::Session for Shared<C> {
    const PATH: &'static str = stream::PULL;
    type Asked = pb::PullRequest;
    type Answered = pb::PullResponse;
    type Answers = OutgoingStream<pb::PullResponse>;

    fn begin(&self, asked: stream::Incoming<pb::PullRequest>) -> Self::Answers {
        session(self.clone(), asked)
    }
}

#[async_trait]
impl<C: Capture> pb::capture_server::Capture for CaptureService<C> {
    type PullStream = OutgoingStream<pb::PullResponse>;
    type VerifyStream = OutgoingStream<common::VerifyResponse>;

    async fn spec(&self, _: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        Ok(Response::new(self.spec().to_message::<C::Config, C::Resource>().into()))
    }

    async fn discover(&self, request: Request<pb::DiscoverRequest>) -> Result<Response<pb::DiscoverResponse>, Status> {
        let discovered = self.discover(request.into_inner().try_into()?).await?;
        Ok(Response::new(discovered.into_iter().collect()))
    }

    async fn validate(&self, request: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        Ok(Response::new(self.validate(request.into_inner().try_into()?).await?.into()))
    }

    async fn apply(&self, request: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Ok(Response::new(self.apply(request.into_inner().try_into()?).await?.into()))
    }

    async fn verify(&self, request: Request<common::VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Ok(Response::new(CaptureService::verify(self, request.into_inner())?))
    }

    async fn pull(&self, request: Request<Streaming<pb::PullRequest>>) -> Result<Response<Self::PullStream>, Status> {
        Ok(Response::new(session(self.0.clone(), request.into_inner())))
    }
}
