//! The launch contract (base-image/README.md) of the real process: token, health, signals, lifeline, logs. The SDK serves it, so this stands
//! for every connector of ours.

#![allow(clippy::disallowed_methods, reason = "the end of a process is waited for with a limit")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use longshore_proto::capture::message::{Open, Spec, ToConnector, ToRuntime};
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::pb::capture::v1 as pb;
use longshore_proto::pb::capture::v1::capture_client::CaptureClient;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection, Owner};
use longshore_proto::state::State;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(20);

/// A running generator that is killed when the test ends.
struct Connector {
    child: Child,
    directory: TempDir,
}

impl Connector {
    fn start(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let child = generator()
            .env("LONGSHORE_LISTEN", format!("unix:{}", directory.path().join("c.sock").display()))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the generator starts");
        Self { child, directory }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.directory.path().join("c.sock").display()));
        let endpoint = endpoint.expect("an address");
        // Nothing tells that a socket is there but a connection.
        let mut tries = tokio::time::interval(Duration::from_millis(10));
        let connected = async {
            loop {
                tries.tick().await;
                if let Ok(channel) = endpoint.connect().await {
                    return channel;
                }
            }
        };
        tokio::time::timeout(LIMIT, connected).await.expect("it serves")
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    }

    /// Waits for the end, which closes its standard error; with what it logged.
    fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let stderr = self.child.stderr.take().expect("a pipe");
        let (sender, lines) = sync_channel(1);
        std::thread::spawn(move || sender.send(BufReader::new(stderr).lines().map_while(Result::ok).collect()));
        let lines: Vec<String> = lines.recv_timeout(LIMIT).expect("it ends");
        (self.child.wait().expect("a child of ours"), lines)
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }
}

fn generator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capture-generator"));
    for variable in ["LISTEN", "TOKEN", "TOKEN_FILE", "LOG", "LOG_FORMAT", "LIFELINE"] {
        command.env_remove(format!("LONGSHORE_{variable}"));
    }
    command
}

async fn spec(channel: &Channel, bearer: &str) -> Result<Option<String>, Status> {
    let response = CaptureClient::new(channel.clone()).spec(bearing(pb::SpecRequest {}, bearer)).await?;
    let secret = response.metadata().get("longshore-session").map(|secret| secret.to_str().expect("hex").to_owned());
    let spec = Spec::try_from(response.into_inner()).expect("a spec");
    assert_eq!(spec.name, "capture-generator");
    Ok(secret)
}

fn bearing<T>(message: T, bearer: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse().expect("a header"));
    request
}

fn unauthenticated(result: Result<Option<String>, Status>) -> bool {
    result.is_err_and(|status| status.code() == Code::Unauthenticated)
}

fn open() -> ToConnector {
    let resource_path = vec!["a".to_owned()];
    ToConnector::Open(Box::new(Open {
        owner: Owner { task: "test".to_owned(), installation: InstallationId::from_bytes([1; 16]), epoch: 1 },
        config_json: r#"{"mode":"hello","rate":1000}"#.into(),
        bindings: vec![Binding {
            state_key: StateKey::new(&resource_path, 0),
            resource_path,
            resource_json: r#"{"stream":"a"}"#.into(),
            collection: Collection {
                name: "test/a".to_owned(),
                key: vec!["/id".to_owned()],
                schema_json: r#"{"type":"object"}"#.into(),
                schema_version: 1,
            },
            delta_updates: false,
            selection: Selection::default(),
        }],
        state: State::new(),
    }))
}

#[tokio::test]
async fn the_first_call_spends_the_token_and_health_needs_none() {
    let connector = Connector::start(&[("LONGSHORE_TOKEN", TOKEN)]);
    let channel = connector.channel().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for service in ["", "longshore.capture.v1.Capture"] {
        let answer = health.check(tonic_health::pb::HealthCheckRequest { service: service.to_owned() }).await;
        assert_eq!(answer.expect("health").into_inner().status, 1, "{service:?} is serving");
    }
    assert!(unauthenticated(spec(&channel, "wrong").await));
    let secret = spec(&channel, TOKEN).await.expect("the token").expect("a session secret");
    assert!(unauthenticated(spec(&channel, TOKEN).await), "spent");
    assert_eq!(spec(&channel, &secret).await.expect("the secret"), None);
}

#[tokio::test]
async fn the_token_of_a_file_is_taken_every_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("a token");
    let connector = Connector::start(&[("LONGSHORE_TOKEN_FILE", file.to_str().expect("a path"))]);
    let channel = connector.channel().await;
    for _ in 0..2 {
        assert_eq!(spec(&channel, TOKEN).await.expect("the token"), None);
    }
}

#[tokio::test]
async fn sigterm_ends_an_open_session_at_a_checkpoint_and_the_process_with_0() {
    let connector = Connector::start(&[("LONGSHORE_TOKEN", TOKEN)]);
    let channel = connector.channel().await;
    let (requests, receiver) = tokio::sync::mpsc::channel(4);
    requests.send(open().into()).await.expect("room");
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut responses = CaptureClient::new(channel).pull(bearing(stream, TOKEN)).await.expect("a session").into_inner();
    let (mut documents, mut checkpoints) = (0, 0);
    while let Some(response) = responses.message().await.expect("a clean end") {
        match ToRuntime::parse(response, 1).expect("a message") {
            ToRuntime::Captured(batch) => documents += batch.len(),
            ToRuntime::Checkpoint(_) => {
                checkpoints += 1;
                requests.send(ToConnector::Acknowledge { checkpoints: 1 }.into()).await.unwrap_or_default();
                if checkpoints == 5 {
                    connector.terminate();
                }
            }
            ToRuntime::Opened
            | ToRuntime::Progress(_)
            | ToRuntime::TooLarge { .. }
            | ToRuntime::SourcedSchema { .. }
            | ToRuntime::BackfillBegin { .. }
            | ToRuntime::BackfillComplete { .. }
            | ToRuntime::Truncated { .. } => {}
        }
    }
    assert!(checkpoints >= 5 && documents >= 5, "{documents} documents, {checkpoints} checkpoints");
    drop((requests, responses));
    let (status, lines) = connector.ended();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    for line in &lines {
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("JSON lines only");
        assert_eq!(line.keys().collect::<Vec<_>>(), ["ts", "level", "msg", "fields"]);
    }
}

#[tokio::test]
async fn it_ends_with_its_lifeline() {
    let mut connector = Connector::start(&[("LONGSHORE_TOKEN", TOKEN), ("LONGSHORE_LIFELINE", "stdin")]);
    connector.channel().await;
    drop(connector.child.stdin.take());
    assert_eq!(connector.ended().0.code(), Some(0));
}

fn run(arguments: &[&str]) -> Output {
    generator().args(arguments).stdin(Stdio::null()).output().expect("the generator runs")
}

#[test]
fn by_hand_it_says_what_it_is() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("captures:") && text.contains("connector: generator"), "{text}");
}

#[test]
fn spec_and_version_are_printed_without_serving() {
    let spec = run(&["--spec"]);
    assert_eq!(spec.status.code(), Some(0));
    let spec: serde_json::Value = serde_json::from_slice(&spec.stdout).expect("JSON");
    assert_eq!(spec["config_schema"]["additionalProperties"], false);
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(String::from_utf8(version.stdout).expect("text").starts_with("capture-generator "));
}
