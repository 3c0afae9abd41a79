//! A connector as a process: the launch contract of `base-image/README.md`, for either protocol.
//!
//! [`serve`] is the whole `main`. It knows nothing of captures or materializations; they come as a [`Served`].

mod listen;
mod logs;
mod signals;
mod token;

use std::io::{self, Write as _};
use std::process::ExitCode;

use futures_util::stream::BoxStream;
use longshore_proto::Error;
use longshore_proto::limits;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::layer::layer_fn;

use crate::panics;
pub(crate) use listen::Connection;
use listen::Listen;
pub(crate) use token::Tokens;
use token::WithToken;

/// Cancelled when the process was asked to leave: take no new session, let the open one finish its transaction.
pub(crate) type Drain = CancellationToken;

/// What a half of this SDK gives to be served.
#[derive(Debug)]
pub(crate) struct Served {
    /// Such as `capture-files`.
    pub(crate) name: String,
    /// Version of the connector.
    pub(crate) version: String,
    /// `capture` or `materialize`, for people.
    pub(crate) kind: &'static str,
    /// The gRPC service, such as `longshore.capture.v1.Capture`.
    pub(crate) service_name: &'static str,
    /// Answer to `--spec`.
    pub(crate) spec: Value,
    /// The service itself, with its message limits set.
    pub(crate) routes: Routes,
}

/// Serves until the process is asked to leave. `make` is told by what it will be asked.
pub(crate) fn serve(make: impl FnOnce(Drain) -> Served) -> ExitCode {
    let drain = Drain::new();
    let served = make(drain.clone());
    match wish(&served) {
        Wish::Print(text) => print(&text),
        Wish::Explain(text) => {
            explain(&text);
            ExitCode::from(2)
        }
        Wish::Serve(listen) => run(served, &listen, drain),
    }
}

/// What the command line and the environment ask for.
enum Wish {
    Print(String),
    Explain(String),
    Serve(Listen),
}

fn wish(served: &Served) -> Wish {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("--version") => return Wish::Print(format!("{} {}\n", served.name, served.version)),
        Some("--spec") => return Wish::Print(format!("{:#}\n", served.spec)),
        Some("--help" | "-h") => return Wish::Print(usage(served)),
        Some(_) | None => {}
    }
    match std::env::var("LONGSHORE_LISTEN") {
        Ok(address) => match Listen::parse(&address, |name| std::env::var_os(name)) {
            Ok(listen) => Wish::Serve(listen),
            Err(error) => Wish::Explain(format!("{}: {error}\n", served.name)),
        },
        Err(_) => Wish::Explain(usage(served)),
    }
}

fn usage(served: &Served) -> String {
    let Served { name, version, kind, .. } = served;
    let section = if *kind == "capture" { "captures" } else { "materializations" };
    let short = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
    let connector = short.map_or_else(|| format!("command: [./{name}]"), |short| format!("connector: {short}"));
    format!(
        "{name} {version}: a connector of Longshore ({kind}).\n\n\
         It is started by a runtime and speaks gRPC with it. Name it in a catalog:\n\n\
         \x20   {section}:\n\
         \x20     NAME:\n\
         \x20       {connector}\n\
         \x20       config: {{ … }}\n\n\
         and start `longshore run`.\n\n\
         By hand:\n\
         \x20   {name} --spec       what it takes, as JSON\n\
         \x20   {name} --version\n\
         \x20   LONGSHORE_LISTEN=unix:/path/to.sock LONGSHORE_TOKEN_FILE=/path/to/token {name}\n"
    )
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn explain(text: &str) {
    // Standard error is all there is to complain on.
    std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

fn run(served: Served, listen: &Listen, drain: Drain) -> ExitCode {
    logs::install();
    panics::log_panics();
    signals::end_with_lifeline();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("starting threads failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let name = served.name.clone();
    let result = runtime.block_on(listen_until_drained(served, listen, drain));
    // An author's blocking work may never return; it does not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(connector = name, "{error}");
            match error.kind {
                longshore_proto::ErrorKind::Config => ExitCode::from(2),
                longshore_proto::ErrorKind::Unavailable => ExitCode::from(3),
                longshore_proto::ErrorKind::Protocol
                | longshore_proto::ErrorKind::Data
                | longshore_proto::ErrorKind::Fenced
                | longshore_proto::ErrorKind::Internal => ExitCode::FAILURE,
            }
        }
    }
}

async fn listen_until_drained(served: Served, listen: &Listen, drain: Drain) -> Result<(), Error> {
    let tokens = Tokens::from_environment()?;
    signals::drain_on_terminate(drain.clone())?;
    let incoming = listen.bind().await?;
    tracing::debug!(listen = %listen, version = served.version, "{} is serving", served.name);
    serve_until_drained(served, tokens, incoming, drain)
        .await
        .map_err(|error| Error::internal("sdk.serve", format!("serving on {listen}: {error}")))
}

/// Whoever comes in; leaves when what is open has ended, or the grace period is over.
pub(crate) async fn serve_until_drained(
    served: Served,
    tokens: Tokens,
    incoming: BoxStream<'static, io::Result<Connection>>,
    drain: Drain,
) -> Result<(), tonic::transport::Error> {
    let Served { service_name, routes, .. } = served;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status(service_name, tonic_health::ServingStatus::Serving).await;
    let router = Server::builder()
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::FRAME_MAX_BYTES)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .layer(layer_fn(move |service| WithToken::new(service, tokens.clone())))
        .add_routes(routes.add_service(health_service));
    let draining = drain.clone();
    let serving = router.serve_with_incoming_shutdown(incoming, async move { draining.cancelled().await });
    tokio::select! {
        served = serving => served,
        () = signals::grace_is_over(drain) => {
            tracing::warn!("the grace period is over; leaving with a session open");
            Ok(())
        }
    }
}
