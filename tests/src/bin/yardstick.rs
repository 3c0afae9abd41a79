//! What the benchmarks measure against, as a program of its own so that its CPU time can be told apart.
//!
//! `raw-stream BYTES DOCUMENTS` pulls documents from a second process of this program over a Unix socket: tonic, the same messages, the same
//! batches, the same limits, and nothing else. Started by a runtime as a connector (R3), it is a capture that measures how long each of its
//! checkpoints takes to be acknowledged, beside a bare fdatasync of as many bytes; see [`probe`].

#![allow(clippy::print_stderr, reason = "a program that is started by hand says how")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bytes::Bytes;
use longshore_proto::limits;
use longshore_proto::pb::capture::v1::capture_server::{Capture, CaptureServer};
use longshore_proto::pb::capture::v1::{self as pb, capture_client::CaptureClient};
use longshore_proto::pb::common::v1::{Documents, Encoding, VerifyRequest, VerifyResponse};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

#[path = "yardstick/probe.rs"]
mod probe;

/// The arena of a batch, as the benchmark has the generator's mode `null` make it.
const BATCH_BYTES: usize = 1_000_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["raw-stream", bytes, documents] => pull(number(bytes), number(documents) as u64),
        ["raw-serve", socket, bytes, documents] => serve(Path::new(socket), number(bytes), number(documents) as u64),
        _ if std::env::var_os("LONGSHORE_LISTEN").is_some() => return probe::serve(),
        _ => {
            eprintln!("usage: yardstick raw-stream BYTES DOCUMENTS (or started by a runtime as a connector)");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("expected a whole number, got {word}"))
}

/// The consuming end: starts the other one and counts what arrives.
#[tokio::main]
async fn pull(bytes: usize, documents: u64) {
    let directory = tempfile::tempdir().expect("a directory for the socket");
    let socket = directory.path().join("raw.sock");
    let mut server = Command::new(std::env::current_exe().expect("this program"))
        .args(["raw-serve".as_ref(), socket.as_os_str(), bytes.to_string().as_ref(), documents.to_string().as_ref()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the serving end");
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))
        .expect("an endpoint")
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::FRAME_MAX_BYTES);
    // It says when it listens; if it dies before, this is the end of its output.
    let mut listens = [0];
    server.stdout.take().expect("its output").read_exact(&mut listens).expect("the serving end listens");
    let channel = endpoint.connect().await.expect("the serving end serves");
    let mut client = CaptureClient::new(channel).max_decoding_message_size(limits::MESSAGE_MAX_BYTES);
    let mut stream = client.pull(tokio_stream::empty()).await.expect("a stream").into_inner();
    let (mut count, mut total) = (0, 0);
    while let Some(message) = stream.next().await {
        if let Some(pb::pull_response::Kind::Captured(batch)) = message.expect("a message").kind {
            count += u64::from(batch.count);
            total += batch.arena.len();
        }
    }
    assert_eq!((count, total as u64), (documents, documents * bytes as u64), "documents and bytes");
    server.kill().expect("end the serving end");
    server.wait().expect("wait for the serving end");
}

#[tokio::main]
async fn serve(socket: &Path, bytes: usize, documents: u64) {
    let listener = tokio::net::UnixListener::bind(socket).expect("listen");
    std::io::stdout().write_all(b"\n").expect("say that it listens");
    let service = CaptureServer::new(Raw { bytes, documents }).max_encoding_message_size(limits::MESSAGE_MAX_BYTES);
    Server::builder()
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::FRAME_MAX_BYTES)
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
        .expect("serve");
}

/// Streams one prebuilt batch over and over.
struct Raw {
    bytes: usize,
    documents: u64,
}

impl Raw {
    fn batch(&self, count: u64) -> pb::PullResponse {
        let mut document = br#"{"id":0,"body":""#.to_vec();
        document.resize(self.bytes - 2, b'x');
        document.extend_from_slice(br#""}"#);
        let arena = document.repeat(count as usize);
        let ends = (1..=count as usize).map(|n| (n * self.bytes) as u32).collect();
        let encoding = Encoding::Json.into();
        let batch = Documents { binding: 0, encoding, count: count as u32, arena: Bytes::from(arena), ends };
        pb::PullResponse { kind: Some(pb::pull_response::Kind::Captured(batch)) }
    }
}

#[tonic::async_trait]
impl Capture for Raw {
    type PullStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::PullResponse, Status>> + Send>>;
    type VerifyStream = tokio_stream::Empty<Result<VerifyResponse, Status>>;

    async fn pull(&self, _: Request<Streaming<pb::PullRequest>>) -> Result<Response<Self::PullStream>, Status> {
        let in_batch = (BATCH_BYTES / self.bytes).max(1) as u64;
        let (full, rest) = (self.batch(in_batch), self.documents % in_batch);
        let last = (rest > 0).then(|| self.batch(rest));
        let stream = tokio_stream::iter(0..self.documents / in_batch).map(move |_| full.clone());
        Ok(Response::new(Box::pin(stream.chain(tokio_stream::iter(last)).map(Ok))))
    }

    async fn spec(&self, _: Request<pb::SpecRequest>) -> Result<Response<pb::SpecResponse>, Status> {
        Err(Status::unimplemented("a yardstick"))
    }

    async fn discover(&self, _: Request<pb::DiscoverRequest>) -> Result<Response<pb::DiscoverResponse>, Status> {
        Err(Status::unimplemented("a yardstick"))
    }

    async fn validate(&self, _: Request<pb::ValidateRequest>) -> Result<Response<pb::ValidateResponse>, Status> {
        Err(Status::unimplemented("a yardstick"))
    }

    async fn apply(&self, _: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        Err(Status::unimplemented("a yardstick"))
    }

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Err(Status::unimplemented("a yardstick"))
    }
}

/// Where a figure is written for `cargo xtask bench` to read.
fn write_figure(path: &PathBuf, figure: &serde_json::Value) {
    std::fs::write(path, figure.to_string()).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}
