//! What a connector may say or not say to a runtime that trusts it: one way of breaking the protocol or the launch contract for each name.
//!
//! It speaks gRPC without the SDK, which would not let it. The good manners it needs to get that far are the same for all.

#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "bad manners")]

use std::io::Write as _;
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::PathBuf;
use std::time::Duration;

use longshore_proto::limits;
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::pb::capture::v1::capture_server::{Capture, CaptureServer};
use longshore_proto::pb::capture::v1::pull_response::Kind;
use longshore_proto::pb::common::v1::{Documents, Encoding, State, VerifyRequest, VerifyResponse};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

const MIB: usize = 1 << 20;
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(600);

/// Serves, and does the one thing that it should not.
pub(crate) fn abuse(how: &str) -> std::process::ExitCode {
    let Some(socket) =
        std::env::var("LONGSHORE_LISTEN").ok().and_then(|at| Some(PathBuf::from(at.strip_prefix("unix:")?)))
    else {
        eprintln!("a runtime starts this one");
        return std::process::ExitCode::from(2);
    };
    match how {
        "never-serves" => std::thread::sleep(FOR_EVER),
        "never-answers" => {
            let mut taken = Vec::new();
            for stream in BlockingListener::bind(socket).iter().flat_map(BlockingListener::incoming) {
                taken.push(stream);
            }
        }
        "garbage" => {
            for mut stream in BlockingListener::bind(socket).iter().flat_map(BlockingListener::incoming).flatten() {
                drop(stream.write_all(&[0xfe; 4096]));
            }
        }
        "link-for-a-socket" => {
            drop(std::os::unix::fs::symlink("/var/run/docker.sock", socket));
            std::thread::sleep(FOR_EVER);
        }
        "exits-at-once" => return std::process::ExitCode::from(9),
        "fills-socket-directory" => fill(&socket),
        "log-flood" => {
            std::thread::spawn(flood);
            serve(socket, how);
        }
        _ => serve(socket, how),
    }
    std::process::ExitCode::SUCCESS
}

fn fill(socket: &std::path::Path) {
    let directory = socket.parent().unwrap_or(socket);
    for number in 0.. {
        let block = vec![1_u8; MIB];
        if std::fs::write(directory.join(format!("filler-{number}")), block).is_err() || number > 4_000 {
            break;
        }
        // Some 20 MB a second: a slow thief.
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(FOR_EVER);
}

/// As fast as it is read, in lines of every kind.
fn flood() {
    let lines =
        format!("{{\"level\":\"error\",\"msg\":\"{}\"}}\nplain {}\n\u{1b}[2J\n", "x".repeat(900), "y".repeat(100_000));
    let lines = lines.repeat(10).into_bytes();
    while std::io::stderr().write_all(&lines).is_ok() {}
}

fn serve(socket: PathBuf, how: &str) {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        // Deaf, so that only SIGKILL ends it.
        let _deaf = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<CaptureServer<Abuser>>().await;
        let Ok(listener) = UnixListener::bind(socket) else { return };
        let service = CaptureServer::new(Abuser(how.to_owned())).max_encoding_message_size(usize::MAX);
        let serving = tonic::transport::Server::builder()
            .add_service(health_service)
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(listener));
        let asked_to_end = async {
            match &mut terminated {
                Some(signal) if how != "never-stops" => drop(signal.recv().await),
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            served = serving => drop(served),
            () = asked_to_end => {}
        }
    });
}

struct Abuser(String);

#[tonic::async_trait]
impl Capture for Abuser {
    type VerifyStream = tokio_stream::Empty<Result<VerifyResponse, Status>>;

    async fn spec(&self, _: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        let schema = if self.0 == "broken-schema" { "{\"type\":" } else { "{}" };
        Ok(Response::new(pb::SpecResponse {
            protocol_versions: vec![if self.0 == "unknown-version" { 99 } else { 1 }],
            name: "hostile".to_owned(),
            version: "0".to_owned(),
            config_schema_json: schema.into(),
            resource_schema_json: "{}".into(),
            resource_path_pointers: vec!["/stream".to_owned()],
            encodings: vec![Encoding::Json.into()],
            max_message_bytes: limits::MESSAGE_MAX_BYTES as u64,
            change_tracking: pb::ChangeTracking::AppendOnly.into(),
            mechanism: pb::Mechanism::Cursor.into(),
            ..pb::SpecResponse::default()
        }))
    }

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Err(Status::unimplemented("Verify"))
    }

    async fn discover(&self, _: Request<pb::DiscoverRequest>) -> Result<Response<pb::DiscoverResponse>, Status> {
        Err(Status::unimplemented("Discover"))
    }

    async fn validate(&self, request: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        match self.0.as_str() {
            "never-validates" => std::future::pending().await,
            "dies-after-spec" => std::process::exit(4),
            "validates-too-much" => {
                let bindings = vec![pb::Validated { resource_path: vec!["s".into()] }; 9];
                Ok(Response::new(pb::ValidateResponse { bindings, ..pb::ValidateResponse::default() }))
            }
            _ => {
                let of_each = |_| pb::Validated { resource_path: vec!["s".into()] };
                let bindings = request.into_inner().bindings.into_iter().map(of_each).collect();
                Ok(Response::new(pb::ValidateResponse { bindings, ..pb::ValidateResponse::default() }))
            }
        }
    }

    async fn apply(&self, _: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Ok(Response::new(pb::ApplyResponse::default()))
    }

    type PullStream = ReceiverStream<Result<pb::PullResponse, Status>>;

    async fn pull(&self, request: Request<Streaming<pb::PullRequest>>) -> Result<Response<Self::PullStream>, Status> {
        let (out, responses) = mpsc::channel(4);
        let how = self.0.clone();
        tokio::spawn(async move {
            let mut requests = request.into_inner();
            drop(requests.message().await);
            session(&how, requests, &out).await;
        });
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

type Out = mpsc::Sender<Result<pb::PullResponse, Status>>;

async fn session(how: &str, mut requests: Streaming<pb::PullRequest>, out: &Out) {
    let say = async |kind: Option<Kind>| out.send(Ok(pb::PullResponse { kind })).await.is_ok();
    let opened = async || say(Some(Kind::Opened(pb::Opened {}))).await;
    let checkpoint = async || say(Some(Kind::Checkpoint(pb::Checkpoint::default()))).await;
    match how {
        "wrong-order" => {
            checkpoint().await;
        }
        "opens-twice" => {
            opened().await;
            opened().await;
        }
        "says-nothing" => {
            opened().await;
            say(None).await;
        }
        "ends-in-the-middle" => {
            opened().await;
            say(Some(documents(0, &[b"{\"id\":1}"]))).await;
            return;
        }
        "dies-in-the-middle" => {
            opened().await;
            say(Some(documents(0, &[b"{\"id\":1}"]))).await;
            std::process::exit(3);
        }
        "huge-state" => {
            opened().await;
            let task_json = format!("{{\"x\":\"{}\"}}", "x".repeat(limits::STATE_MAX_BYTES)).into();
            let state_patch = Some(State { task_json, ..State::default() });
            say(Some(Kind::Checkpoint(pb::Checkpoint { state_patch, ..pb::Checkpoint::default() }))).await;
        }
        // Never ends, whatever it is told.
        "never-stops" => {
            opened().await;
            while let Ok(Some(_)) = requests.message().await {}
            std::future::pending::<()>().await;
        }
        // When nothing may follow any more.
        "answers-after-half-close" => {
            opened().await;
            while let Ok(Some(_)) = requests.message().await {}
            while say(Some(documents(0, &[b"{\"id\":1}"]))).await {}
        }
        "log-flood" => {
            opened().await;
            let mut id = 0_u64;
            loop {
                id += 1;
                let document = format!("{{\"id\":{id}}}");
                if !say(Some(documents(0, &[document.as_bytes()]))).await || !checkpoint().await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        _ => {
            opened().await;
            say(Some(wrong(how))).await;
            checkpoint().await;
        }
    }
    // What it is told about that is not heard.
    tokio::time::sleep(FOR_EVER).await;
}

fn wrong(how: &str) -> Kind {
    match how {
        "wrong-index" => documents(7, &[b"{\"id\":1}"]),
        "no-json" => documents(0, &[b"{\"id\":"]),
        "no-object" => documents(0, &[b"[1]"]),
        "object-for-a-key" => documents(0, &[b"{\"id\":{}}"]),
        "no-text" => documents(0, &[b"{\"id\":1,\"x\":\"\xff\xfe\"}"]),
        "deep" => {
            documents(0, &[format!("{{\"id\":1,\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)).as_bytes()])
        }
        "huge-document" => {
            documents(0, &[format!("{{\"id\":1,\"x\":\"{}\"}}", "x".repeat(limits::DOCUMENT_MAX_BYTES)).as_bytes()])
        }
        "huge-message" => documents(
            0,
            &[format!("{{\"id\":1,\"x\":\"{}\"}}", "x".repeat(limits::MESSAGE_MAX_BYTES + MIB)).as_bytes()],
        ),
        "ends-beyond-arena" => Kind::Captured(Documents { ends: vec![9_999], ..batch(0, b"{\"id\":1}") }),
        "ends-backwards" => Kind::Captured(Documents { count: 2, ends: vec![8, 4], ..batch(0, b"{\"id\":1}") }),
        "wrong-count" => Kind::Captured(Documents { count: u32::MAX, ..batch(0, b"{\"id\":1}") }),
        "unknown-encoding" => Kind::Captured(Documents { encoding: 77, ..batch(0, b"{\"id\":1}") }),
        // Told apart from all others by being none: the siege fails where a name is misspelt.
        _ => documents(0, &[b"{\"id\":1}"]),
    }
}

fn batch(binding: u32, arena: &'static [u8]) -> Documents {
    let ends = vec![arena.len() as u32];
    Documents { binding, encoding: Encoding::Json.into(), count: 1, arena: arena.into(), ends }
}

fn documents(binding: u32, documents: &[&[u8]]) -> Kind {
    let arena = documents.concat();
    let mut end = 0;
    let ends: Vec<u32> = documents
        .iter()
        .map(|document| {
            end += document.len() as u32;
            end
        })
        .collect();
    let count = ends.len() as u32;
    Kind::Captured(Documents { binding, encoding: Encoding::Json.into(), count, arena: arena.into(), ends })
}
