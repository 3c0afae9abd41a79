//! Connectors of the tests: each role is a test that plays it when it is started as a connector, and does nothing otherwise.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;

use longshore_proto::capture::message::ToRuntime;
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::pb::capture::v1::capture_server::{Capture, CaptureServer};
use longshore_proto::pb::common::v1::{VerifyRequest, VerifyResponse};
use tokio::net::UnixListener;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::super::{Hold, Kind, Launch, Launched, Location};

/// Set, this binary plays a runtime in that directory.
pub(super) const RUNTIME: &str = "LONGSHORE_TESTS_RUNTIME";

pub(super) fn arguments(role: &str) -> [String; 3] {
    ["--exact".to_owned(), format!("connector::tests::roles::role_{role}"), "--nocapture".to_owned()]
}

pub(super) fn command(role: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap().display().to_string();
    std::iter::once(this).chain(arguments(role)).collect()
}

/// Where to serve and the token, if this process was started as a connector.
fn launched() -> Option<(PathBuf, String)> {
    let listen = std::env::var("LONGSHORE_LISTEN").ok()?;
    Some((listen.strip_prefix("unix:").unwrap().into(), std::env::var("LONGSHORE_TOKEN").unwrap()))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

#[test]
fn role_serves() {
    if let Some((socket, token)) = launched() {
        let terminated = async {
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap().recv().await;
        };
        block_on(async {
            tokio::select! {
                () = serve(socket, token, true) => {}
                () = terminated => {}
            }
        });
    }
}

#[test]
fn role_exits() {
    if launched().is_some() {
        eprintln!("{{\"ts\":\"\",\"level\":\"error\",\"msg\":\"no such table\",\"fields\":{{}}}}");
        std::process::exit(3);
    }
}

#[test]
fn role_never_serves() {
    if launched().is_some() {
        std::fs::write("pid", std::process::id().to_string()).unwrap();
        wait_for_the_lifeline();
    }
}

#[test]
fn role_floods() {
    if let Some((socket, token)) = launched() {
        std::thread::spawn(|| {
            let line = "x".repeat(100_000);
            loop {
                eprint!("{line}\nshort\n\u{1b}[2J");
            }
        });
        block_on(serve(socket, token, true));
    }
}

#[test]
fn role_stays() {
    if let Some((socket, token)) = launched() {
        let mut grandchild = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        std::fs::write("pid", grandchild.id().to_string()).unwrap();
        block_on(async {
            // Taken and not followed.
            let _deaf = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            serve(socket, token, true).await;
        });
        grandchild.wait().unwrap();
    }
}

#[test]
fn role_runtime() {
    let Some(directory) = std::env::var_os(RUNTIME) else { return };
    let launch = Launch {
        task: "t".to_owned(),
        kind: Kind::Capture,
        // One that does not look at its lifeline.
        location: Location::Command(command("serves")),
        hold: Hold::default(),
        catalog_directory: directory.into(),
        state_directory: None,
    };
    block_on(async {
        let launched = Launched::start(&launch).await.unwrap();
        println!("\nconnector {}", launched.pid().unwrap());
        tokio::task::spawn_blocking(wait_for_the_lifeline).await.unwrap();
    });
}

fn wait_for_the_lifeline() {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Serves a small capture. With `once`, the token is good for one call.
pub(super) async fn serve(socket: PathBuf, token: String, once: bool) {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<CaptureServer<Small>>().await;
    let small = Small { bearer: Mutex::new(format!("Bearer {token}")), once };
    let listener = UnixListener::bind(socket).unwrap();
    tonic::transport::Server::builder()
        .add_service(health_service)
        .add_service(CaptureServer::new(small))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
        .unwrap();
}

struct Small {
    bearer: Mutex<String>,
    once: bool,
}

impl Small {
    /// What to answer in the header, if anything.
    fn admit<T>(&self, request: &Request<T>) -> Result<Option<&'static str>, Status> {
        const SECRET: &str = "0123456789abcdef";
        let mut bearer = self.bearer.lock().unwrap();
        let carried = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if carried != Some(bearer.as_str()) {
            return Err(Status::unauthenticated("wrong token"));
        }
        let spent = self.once && *bearer != format!("Bearer {SECRET}");
        if spent {
            *bearer = format!("Bearer {SECRET}");
        }
        Ok(spent.then_some(SECRET))
    }
}

#[tonic::async_trait]
impl Capture for Small {
    type VerifyStream = tokio_stream::Empty<Result<VerifyResponse, Status>>;

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Err(Status::unimplemented("Verify"))
    }

    async fn spec(&self, request: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        let secret = self.admit(&request)?;
        let mut response = Response::new(pb::SpecResponse {
            protocol_versions: vec![1],
            name: "capture-of-the-tests".to_owned(),
            version: std::env::current_dir().unwrap().display().to_string(),
            config_schema_json: "{}".into(),
            resource_schema_json: "{}".into(),
            resource_path_pointers: vec!["/path".to_owned()],
            encodings: vec![longshore_proto::pb::common::v1::Encoding::Json.into()],
            max_message_bytes: 40 << 20,
            change_tracking: pb::ChangeTracking::AppendOnly.into(),
            mechanism: pb::Mechanism::Cursor.into(),
            ..pb::SpecResponse::default()
        });
        if let Some(secret) = secret {
            response.metadata_mut().insert("longshore-session", secret.parse().unwrap());
        }
        Ok(response)
    }

    /// Dies instead of an answer.
    async fn discover(&self, request: Request<pb::DiscoverRequest>) -> Result<Response<pb::DiscoverResponse>, Status> {
        self.admit(&request)?;
        std::process::exit(7);
    }

    async fn validate(&self, _: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        Err(Status::unimplemented("Validate"))
    }

    async fn apply(&self, _: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Err(Status::unimplemented("Apply"))
    }

    type PullStream = ReceiverStream<Result<pb::PullResponse, Status>>;

    /// Opens, and dies of what is said next.
    async fn pull(&self, request: Request<Streaming<pb::PullRequest>>) -> Result<Response<Self::PullStream>, Status> {
        self.admit(&request)?;
        let mut requests = request.into_inner();
        requests.message().await?;
        let (out, responses) = tokio::sync::mpsc::channel(1);
        out.send(Ok(ToRuntime::Opened.into())).await.map_err(|_| Status::cancelled("nobody listens"))?;
        tokio::spawn(async move {
            requests.message().await.ok();
            // Held until here: the stream has not ended, it breaks.
            let _out = out;
            std::process::exit(5);
        });
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}
