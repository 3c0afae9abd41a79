//! A door as a gRPC service, and as the `main` of a connector.

use std::process::ExitCode;
use std::sync::Arc;

use longshore_failpoints::{Step, reached};
use longshore_proto::limits::MESSAGE_MAX_BYTES;
use longshore_proto::materialize::message;
use longshore_proto::pb::common::v1 as common;
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::pb::materialize::v1::materialize_server::{Materialize as Service, MaterializeServer};
use longshore_proto::stream;
use longshore_proto::verify::Verify;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::door::Door;
use super::{Materialize, request, session};
use crate::epochs::Epochs;
use crate::outgoing::OutgoingStream;
use crate::serve::{Drain, Served, serve};
use crate::{Result, panics, schema, verify};

/// The whole `main` of a materialization: `serve_materialize(transactional(MySink))`.
pub fn serve_materialize<D: Door>(door: D) -> ExitCode {
    serve(|drain| Server::new(door, drain).served())
}

/// A door and what the process has seen.
#[derive(Debug)]
pub(crate) struct Server<D> {
    door: Arc<D>,
    epochs: Arc<Epochs>,
    drain: Drain,
}

impl<D> Clone for Server<D> {
    fn clone(&self) -> Self {
        Self { door: Arc::clone(&self.door), epochs: Arc::clone(&self.epochs), drain: self.drain.clone() }
    }
}

impl<D: Door> stream::Session for Server<D> {
    const PATH: &'static str = stream::TRANSACT;
    type Asked = pb::TransactRequest;
    type Answered = pb::TransactResponse;
    type Answers = OutgoingStream<pb::TransactResponse>;

    fn begin(&self, asked: stream::Incoming<pb::TransactRequest>) -> Self::Answers {
        self.transact(asked)
    }
}

impl<D: Door> Server<D> {
    pub(crate) fn new(door: D, drain: Drain) -> Self {
        Self { door: Arc::new(door), epochs: Arc::default(), drain }
    }

    /// Everything `serve` needs.
    pub(crate) fn served(self) -> Served {
        let spec = self.spec();
        let server = MaterializeServer::new(self.clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        Served {
            spec: printed::<D>(&spec),
            name: spec.name,
            version: spec.version,
            kind: "materialize",
            service_name: pb::materialize_server::SERVICE_NAME,
            routes: Routes::new(stream::Streaming::new(server, self)),
        }
    }

    pub(crate) fn spec(&self) -> message::Spec {
        request::spec(self.door.sink(), D::GUARANTEE)
    }

    /// What `--spec` prints.
    pub(crate) fn printed_spec(&self) -> serde_json::Value {
        printed::<D>(&self.spec())
    }

    pub(crate) async fn validate(&self, asked: pb::ValidateRequest) -> Result<message::Validated> {
        panics::caught("validate", request::validate(self.door.sink(), asked.try_into()?)).await
    }

    /// A pending plan is drained and nothing else is done: altering is the next call's business. Where everything is made again, what the
    /// plan would publish is made again too, and the plan is dropped.
    pub(crate) async fn apply(&self, asked: pb::ApplyRequest) -> Result<message::Applied> {
        let mut asked: message::Apply = asked.try_into()?;
        self.epochs.admit_apply(&asked.owner)?;
        let pending = asked.pending.take();
        let dry_run = asked.dry_run;
        let request = request::apply(asked)?;
        if let Some(pending) = pending {
            let transaction = pending.transaction;
            let dropped = request.all_fresh();
            if !dry_run && !dropped {
                reached(Step::DestinationApplying);
                panics::caught("apply", self.door.drain(&request, pending)).await?;
                reached(Step::DestinationApplied);
            }
            let verb = if dropped { "drop" } else { "apply" };
            let actions = vec![format!("{verb} the plan of transaction {transaction}")];
            return Ok(message::Applied { actions, drained: true, ..message::Applied::default() });
        }
        reached(Step::DestinationApplying);
        let actions = panics::caught("apply", self.door.sink().apply(request)).await?;
        reached(Step::DestinationApplied);
        Ok(message::Applied { actions, ..message::Applied::default() })
    }

    pub(crate) fn verify(&self, asked: common::VerifyRequest) -> Result<OutgoingStream<common::VerifyResponse>> {
        let door = Arc::clone(&self.door);
        let begun = verify::begin::<ConfigOf<D>, ResourceOf<D>>(Verify::of_materialization(asked)?)?;
        Ok(begun.answered(self.drain.clone(), async move |verify, mut tally| {
            let read = door.sink().verify(verify, &mut tally).await;
            (tally, read)
        }))
    }

    pub(crate) fn transact(
        &self,
        requests: impl futures_util::Stream<Item = Result<pb::TransactRequest, Status>> + Send + Unpin + 'static,
    ) -> OutgoingStream<pb::TransactResponse> {
        session::begin(Arc::clone(&self.door), Arc::clone(&self.epochs), self.drain.clone(), requests)
    }
}

#[tonic::async_trait]
impl<D: Door> Service for Server<D> {
    type TransactStream = OutgoingStream<pb::TransactResponse>;
    type VerifyStream = OutgoingStream<common::VerifyResponse>;

    async fn spec(&self, _: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        Ok(Response::new(Server::spec(self).into()))
    }

    async fn validate(&self, asked: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        Ok(Response::new(Server::validate(self, asked.into_inner()).await?.into()))
    }

    async fn apply(&self, asked: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Ok(Response::new(Server::apply(self, asked.into_inner()).await?.into()))
    }

    async fn verify(&self, asked: Request<common::VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Ok(Response::new(Server::verify(self, asked.into_inner())?))
    }

    async fn transact(
        &self,
        requests: Request<Streaming<pb::TransactRequest>>,
    ) -> Result<Response<Self::TransactStream>, Status> {
        Ok(Response::new(Server::transact(self, requests.into_inner())))
    }
}

type ConfigOf<D> = <<D as Door>::Sink as Materialize>::Config;
type ResourceOf<D> = <<D as Door>::Sink as Materialize>::Resource;

/// The spec for people and files.
fn printed<D: Door>(spec: &message::Spec) -> serde_json::Value {
    let guarantee = match spec.guarantee {
        message::Guarantee::Transactional => "transactional",
        message::Guarantee::Idempotent => "idempotent",
        message::Guarantee::AtLeastOnce => "at-least-once",
    };
    serde_json::json!({
        "name": spec.name,
        "version": spec.version,
        "protocol": "v1",
        "kind": "materialize",
        "guarantee": guarantee,
        "deletes": spec.deletes,
        "documentation_url": spec.documentation_url,
        "resource_path_pointers": spec.resource_path_pointers,
        "reserved_field_names": spec.reserved_field_names,
        "config_schema": schema::of::<<D::Sink as super::Materialize>::Config>(),
        "resource_schema": schema::of::<<D::Sink as super::Materialize>::Resource>(),
    })
}
