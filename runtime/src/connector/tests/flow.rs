//! Transact over a real connection: bodies of every size both ways at once, against a connector that answers each Load before it reads the
//! next, which is what dead-locks a runtime that reads and writes in one task.

use longshore_proto::batch::{BatchBuilder, KeysBuilder};
use longshore_proto::limits;
use longshore_proto::materialize::message::{Load, Loaded, Open, Opened, ToConnector, ToRuntime};
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::pb::common::v1::{VerifyRequest, VerifyResponse};
use longshore_proto::pb::materialize::v1 as pb;
use longshore_proto::pb::materialize::v1::materialize_server::{Materialize, MaterializeServer};
use longshore_proto::pb::materialize::v1::transact_request::Kind as Asked;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection, Owner};
use longshore_proto::state::{State, StatePatch};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::*;

type Requests = Streaming<pb::TransactRequest>;
type Responses = mpsc::Sender<Result<pb::TransactResponse, Status>>;

/// A connector that finds a mistake in every task, and whose sessions are served by this, with room for so many answers.
pub(crate) struct Serves<F>(pub(crate) usize, pub(crate) F);

/// A row as large as the key that asks for it.
fn loaded(load: pb::Load) -> ToRuntime {
    let keys = load.keys.unwrap();
    let mut document = b"{\"b\":\"".to_vec();
    document.resize(keys.arena.len(), b'x');
    document.extend_from_slice(b"\"}");
    let mut documents = BatchBuilder::new(0);
    documents.push(&document);
    let mut key = KeysBuilder::new();
    key.push(&keys.arena);
    ToRuntime::Loaded(Loaded { keys: key.finish().unwrap(), documents: documents.finish().unwrap() })
}

async fn echo(mut requests: Requests, out: Responses) {
    while let Some(request) = requests.message().await.unwrap() {
        let answer = match request.kind.unwrap() {
            Asked::Open(_) => ToRuntime::Opened(Opened::default()),
            Asked::Acknowledge(_) => ToRuntime::Acknowledged { state_patch: StatePatch::new() },
            Asked::Load(load) => loaded(load),
            Asked::Flush(_) | Asked::Truncate(_) | Asked::Backfill(_) | Asked::Store(_) | Asked::Commit(_) => {
                panic!("nothing is stored here")
            }
        };
        out.send(Ok(answer.into())).await.unwrap();
    }
}

#[tonic::async_trait]
impl<F, S> Materialize for Serves<F>
where
    F: Fn(Requests, Responses) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    type VerifyStream = tokio_stream::Empty<Result<VerifyResponse, Status>>;

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Err(Status::unimplemented("Verify"))
    }

    async fn spec(&self, _: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        Err(Status::unimplemented("Spec"))
    }

    async fn validate(&self, _: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        let error = Error::config("t.path", "there is no such file").at_pointer("/path").at_binding(1);
        Err(error.suggest("make one").into())
    }

    async fn apply(&self, _: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Err(Status::unimplemented("Apply"))
    }

    type TransactStream = ReceiverStream<Result<pb::TransactResponse, Status>>;

    async fn transact(
        &self,
        request: Request<Streaming<pb::TransactRequest>>,
    ) -> Result<Response<Self::TransactStream>, Status> {
        let (out, responses) = mpsc::channel(self.0);
        tokio::spawn((self.1)(request.into_inner(), out));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

async fn connect(directory: &Path) -> MaterializeClient {
    connect_to(Serves(1, echo), directory).await
}

/// A client of this connector, which is served over a socket in a directory.
pub(crate) async fn connect_to<M: Materialize>(connector: M, directory: &Path) -> MaterializeClient {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<MaterializeServer<M>>().await;
    let service = MaterializeServer::new(connector).max_decoding_message_size(limits::MESSAGE_MAX_BYTES);
    let server = tonic::transport::Server::builder()
        .add_service(health_service)
        .add_service(service.max_encoding_message_size(limits::MESSAGE_MAX_BYTES))
        .serve_with_incoming(UnixListenerStream::new(UnixListener::bind(directory.join("s")).unwrap()));
    tokio::spawn(server);
    let launch = Launch {
        task: "t".to_owned(),
        kind: Kind::Materialize,
        location: Location::Address { address: Address::Unix("s".into()), token_file: None, tls: None },
        hold: Hold::default(),
        catalog_directory: directory.to_path_buf(),
        state_directory: None,
    };
    Launched::start(&launch).await.unwrap().materialize()
}

fn owner() -> Owner {
    Owner { task: "t".to_owned(), installation: InstallationId::from_bytes([1; 16]), epoch: 1 }
}

fn open() -> Open {
    let path = vec!["p".to_owned()];
    let collection =
        Collection { name: "c".to_owned(), key: vec!["/k".to_owned()], schema_json: "{}".into(), schema_version: 1 };
    let binding = Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: "{}".into(),
        collection,
        delta_updates: false,
        selection: Selection::plain(&serde_json::Value::Null, &["/k".to_owned()], false),
    };
    Open {
        owner: owner(),
        config_json: "{}".into(),
        bindings: vec![binding],
        state: State::new(),
        transaction: 0,
        plan: bytes::Bytes::new(),
    }
}

#[tokio::test]
async fn bodies_of_every_size_pass_both_ways_at_once() {
    within(async {
        for (body, count) in [(200, 2000), (64 << 10, 200), (1 << 20, 30), (8 << 20, 5)] {
            let directory = tempfile::tempdir().unwrap();
            let (mut sender, mut receiver) = connect(directory.path()).await.transact(open()).await.unwrap();
            assert!(matches!(receiver.recv().await.unwrap(), Some(ToRuntime::Opened(_))));
            sender.send(ToConnector::Acknowledge { transaction: 0 }).await.unwrap();
            assert!(matches!(receiver.recv().await.unwrap(), Some(ToRuntime::Acknowledged { .. })));
            let say = async {
                for _ in 0..count {
                    let mut keys = KeysBuilder::new();
                    keys.push(format!("[\"{}\"]", "k".repeat(body)).as_bytes());
                    let load = Load { binding: 0, keys: keys.finish().unwrap(), keys_only: false };
                    sender.send(ToConnector::Load(load)).await.unwrap();
                }
                sender.half_close().unwrap();
            };
            let hear = async {
                let mut answers = 0;
                while let Some(message) = receiver.recv().await.unwrap() {
                    assert!(matches!(message, ToRuntime::Loaded(_)));
                    answers += 1;
                }
                answers
            };
            assert_eq!(tokio::join!(say, hear).1, count, "{body} bytes");
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_of_the_connector_keeps_its_kind_place_and_advice_and_says_who() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let client = connect(directory.path()).await;
        let validate = longshore_proto::materialize::message::Validate {
            owner: owner(),
            config_json: "{}".into(),
            bindings: vec![],
        };
        let error = client.validate(validate).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str(), error.pointer.as_str()), (ErrorKind::Config, "t.path", "/path"));
        assert_eq!((error.binding, error.suggestion.as_str()), (Some(1), "make one"));
        assert!(error.message.starts_with(client.name()) && error.message.contains("Validate"), "{}", error.message);
    })
    .await;
}

#[tokio::test]
async fn a_message_out_of_order_is_refused_before_it_is_sent() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let (mut sender, _receiver) = connect(directory.path()).await.transact(open()).await.unwrap();
        let error = sender.send(ToConnector::Flush { transaction: 1 }).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "M-1"));
    })
    .await;
}
