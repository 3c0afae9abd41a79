//! A capture that plays a script, served in this process at a socket of its own: the other end of the session's tests.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use longshore_proto::capture::message::{Checkpoint, ToRuntime};
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::pb::capture::v1::capture_server::{Capture, CaptureServer};
use longshore_proto::pb::capture::v1::pull_request::Kind as Request_;
use longshore_proto::pb::common::v1::{VerifyRequest, VerifyResponse};
use longshore_proto::state::StatePatch;
use longshore_proto::{batch::BatchBuilder, limits};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::connector::{Address, Hold, Kind, Launch, Launched, Location};

/// What the capture does, one after the other.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Say(ToRuntime),
    /// Goes on when so many checkpoints, in all, are acknowledged.
    AwaitAcknowledged(u64),
    /// Goes on when Stop came.
    AwaitStop,
    /// Goes on when the runtime's half is closed.
    AwaitHalfClose,
    /// Breaks off with this status.
    Fail(Status),
    /// Does nothing more and does not end.
    Hang,
}

pub(crate) fn documents(binding: usize, documents: &[&str]) -> Act {
    let mut batch = BatchBuilder::new(binding);
    documents.iter().for_each(|document| batch.push(document.as_bytes()));
    Act::Say(ToRuntime::Captured(batch.finish().unwrap()))
}

pub(crate) fn schema(binding: usize, schema: &serde_json::Value) -> Act {
    Act::Say(ToRuntime::SourcedSchema { binding, schema_json: schema.to_string().into() })
}

/// A checkpoint with this state of the task; none: nothing changed.
pub(crate) fn checkpoint(state: Option<u64>) -> Act {
    Act::Say(ToRuntime::Checkpoint(Checkpoint { state_patch: patch(state), caught_up: false, partial: false }))
}

pub(crate) fn caught_up(state: Option<u64>) -> Act {
    Act::Say(ToRuntime::Checkpoint(Checkpoint { state_patch: patch(state), caught_up: true, partial: false }))
}

fn patch(state: Option<u64>) -> StatePatch {
    let patch = StatePatch::new();
    match state {
        Some(state) => patch.with_task(format!("{{\"at\":{state}}}").as_bytes()).unwrap(),
        None => patch,
    }
}

/// What the runtime has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) state: String,
    pub(crate) acknowledged: u64,
    pub(crate) stop: bool,
    pub(crate) half_close: bool,
}

/// Serves the script until it is dropped.
pub(crate) struct Stage {
    pub(crate) directory: tempfile::TempDir,
    heard: Arc<Mutex<Heard>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stage {
    /// Each session plays one of the scripts, the last one again and again.
    pub(crate) async fn new(scripts: Vec<Vec<Act>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let heard = Arc::default();
        let play = Play { scripts: Mutex::new(scripts.into()), heard: Arc::clone(&heard) };
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<CaptureServer<Play>>().await;
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let service = CaptureServer::new(play).max_decoding_message_size(limits::MESSAGE_MAX_BYTES);
        let server = tonic::transport::Server::builder()
            .add_service(health_service)
            .add_service(service.max_encoding_message_size(limits::MESSAGE_MAX_BYTES))
            .serve_with_incoming(UnixListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        Self { directory, heard, server }
    }

    pub(crate) async fn dial(&self) -> Launched {
        let launch = Launch {
            task: "t".to_owned(),
            kind: Kind::Capture,
            location: Location::Address { address: Address::Unix(PathBuf::from("s")), token_file: None, tls: None },
            hold: Hold::default(),
            catalog_directory: self.directory.path().to_path_buf(),
            state_directory: None,
        };
        Launched::start(&launch).await.unwrap()
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

struct Play {
    scripts: Mutex<std::collections::VecDeque<Vec<Act>>>,
    heard: Arc<Mutex<Heard>>,
}

impl Play {
    fn script(&self) -> Vec<Act> {
        let mut scripts = self.scripts.lock().unwrap();
        if scripts.len() > 1 { scripts.pop_front().unwrap() } else { scripts.front().unwrap().clone() }
    }
}

/// Reads what the runtime says while the script is played.
async fn listen(mut requests: Streaming<pb::PullRequest>, heard: Arc<Mutex<Heard>>, changed: mpsc::Sender<()>) {
    while let Ok(Some(request)) = requests.message().await {
        {
            let mut heard = heard.lock().unwrap();
            match request.kind.unwrap() {
                Request_::Open(open) => {
                    *heard = Heard {
                        state: String::from_utf8(open.state.unwrap_or_default().task_json.to_vec()).unwrap(),
                        ..Heard::default()
                    };
                }
                Request_::Acknowledge(acknowledge) => heard.acknowledged += u64::from(acknowledge.checkpoints),
                Request_::Stop(_) => heard.stop = true,
            }
        }
        changed.send(()).await.ok();
    }
    heard.lock().unwrap().half_close = true;
    changed.send(()).await.ok();
}

async fn perform(
    script: Vec<Act>,
    heard: Arc<Mutex<Heard>>,
    mut changed: mpsc::Receiver<()>,
    out: mpsc::Sender<Result<pb::PullResponse, Status>>,
) {
    for act in script {
        let enough: &(dyn Fn(&Heard) -> bool + Sync) = match act {
            Act::Say(message) => {
                if out.send(Ok(message.into())).await.is_err() {
                    return;
                }
                continue;
            }
            Act::Fail(status) => {
                out.send(Err(status)).await.ok();
                return;
            }
            Act::AwaitAcknowledged(count) => &move |heard| heard.acknowledged >= count,
            Act::AwaitStop => &|heard| heard.stop,
            Act::AwaitHalfClose => &|heard| heard.half_close,
            Act::Hang => &|_| false,
        };
        while !enough(&heard.lock().unwrap()) {
            if changed.recv().await.is_none() {
                // The runtime is gone.
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl Capture for Play {
    type VerifyStream = tokio_stream::Empty<Result<VerifyResponse, Status>>;

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Err(Status::unimplemented("Verify"))
    }

    async fn spec(&self, _: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        Err(Status::unimplemented("Spec"))
    }

    async fn discover(&self, _: Request<pb::DiscoverRequest>) -> Result<Response<pb::DiscoverResponse>, Status> {
        Err(Status::unimplemented("Discover"))
    }

    async fn validate(&self, _: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        let error = longshore_proto::Error::config("t.path", "there is no such file").at_pointer("/path").at_binding(1);
        Err(error.suggest("make one").into())
    }

    async fn apply(&self, _: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Err(Status::unimplemented("Apply"))
    }

    type PullStream = ReceiverStream<Result<pb::PullResponse, Status>>;

    async fn pull(&self, request: Request<Streaming<pb::PullRequest>>) -> Result<Response<Self::PullStream>, Status> {
        let (out, responses) = mpsc::channel(1);
        let (change, mut changed) = mpsc::channel(1024);
        tokio::spawn(listen(request.into_inner(), Arc::clone(&self.heard), change));
        // Open has been heard before anything is said.
        changed.recv().await;
        tokio::spawn(perform(self.script(), Arc::clone(&self.heard), changed, out));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}
