//! The connection to a connector: all limits explicit, the bearer of each call, time limits, and errors that say who and why.
//!
//! Knows neither protocol: [`super::capture`] and [`super::materialize`] say through it what they have to say.

use std::error::Error as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use hyper_util::rt::TokioIo;
use longshore_failpoints::{Plant, is_planted};
use longshore_proto::{Error, limits, tls};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Address;
use super::ending::{Exit, Watch};
use super::socket::Held;
use crate::secret::{self, Door};

/// A connector that does not serve after this long is not coming. (The tests have one that never comes.)
const SERVING: Duration = Duration::from_secs(if cfg!(test) { 10 } else { 30 });
/// The same for one that somebody else has started: it should be there already, and who waits longer tries again.
const SERVING_ELSEWHERE: Duration = Duration::from_secs(10);
/// Between two looks whether it serves: at first, and at most.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_MOST: Duration = Duration::from_millis(50);
/// The response header that replaces a one-time token.
const SESSION_HEADER: &str = "longshore-session";

/// A channel to one connector and what every call over it needs.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    name: Arc<str>,
    channel: Channel,
    bearer: Bearer,
    process: Option<Watch>,
}

/// What calls carry in `authorization`. Shared by all clients of a connection; never shown.
#[derive(Clone)]
pub(crate) struct Bearer(Arc<Mutex<Credential>>);

enum Credential {
    None,
    /// Spent by the first call that carries it, which answers with what to carry from then on.
    Once(MetadataValue<Ascii>),
    Lasting(MetadataValue<Ascii>),
}

impl Connection {
    pub(crate) fn new(name: String, channel: Channel, bearer: Bearer, process: Option<Watch>) -> Self {
        Self { name: name.into(), channel, bearer, process }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cfg(test)]
    pub(crate) fn with_bearer(&self, bearer: Bearer) -> Self {
        Self { bearer, ..self.clone() }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Waits until health says SERVING; ends early if the process does.
    pub(crate) async fn wait_until_serving(&self, service: &'static str) -> Result<(), Error> {
        const DOING: &str = "waiting until it serves";
        let mut last = "no connection".to_owned();
        let look = async {
            let mut pause = LOOK_FIRST;
            while let Err(why) = self.serves(service).await {
                last = why;
                tokio::time::sleep(pause).await;
                pause = LOOK_MOST.min(pause * 3 / 2);
            }
        };
        let watch = self.process.clone();
        let limit = if watch.is_some() { SERVING } else { SERVING_ELSEWHERE };
        let ended = async {
            match watch {
                Some(mut watch) => watch.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            exit = ended => {
                let exit = exit.ok_or_else(|| Error::unavailable("connector.exited", format!("{} ended while {DOING}", self.name)))?;
                Err(self.exited(DOING, &exit))
            }
            served = tokio::time::timeout(limit, look) => served.map_err(|_| {
                let message = format!("{} did not serve within {} s: {last}", self.name, limit.as_secs());
                Error::unavailable("connector.not_serving", message)
                    .suggest(match self.name.starts_with("https://") {
                        true => "see that it listens there, and that each end's `ca_file` has signed the other's certificate; the log of the connector tells whom it refused",
                        false => "it must answer grpc.health.v1 with SERVING at the address in LONGSHORE_LISTEN; see base-image/README.md",
                    })
            }),
        }
    }

    async fn serves(&self, service: &'static str) -> Result<(), String> {
        let mut health = HealthClient::new(self.channel());
        let asked = health.check(HealthCheckRequest { service: service.to_owned() });
        match tokio::time::timeout(Duration::from_secs(5), asked).await {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(Ok(answer)) => Err(format!("health says {} for {service}", answer.get_ref().status().as_str_name())),
            Ok(Err(status)) => Err(format!("health check failed: {}", causes(&status))),
            Err(_) => Err("the health check is not answered".to_owned()),
        }
    }

    /// One question and its answer, within `limit`. What no peer would take is refused here, by name: on its way it would only break the
    /// connection.
    pub(crate) async fn ask<Q: prost::Message, A, F>(
        &self,
        doing: &str,
        limit: Duration,
        body: Q,
        call: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let bytes = body.encoded_len();
        if bytes > limits::MESSAGE_MAX_BYTES {
            let message = format!(
                "{}, {doing}: the bindings of the task, with their schemas, make a message of {bytes} bytes, expected at most {}",
                self.name,
                limits::MESSAGE_MAX_BYTES
            );
            return Err(Error::config("connector.too_many_bindings", message)
                .suggest("divide the bindings among several tasks"));
        }
        self.call(doing, limit, body, call).await
    }

    /// One call and its answer, within `limit`.
    pub(crate) async fn call<Q, A, F>(
        &self,
        doing: &str,
        limit: Duration,
        body: Q,
        call: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(body);
        self.bearer.put_into(request.metadata_mut());
        match tokio::time::timeout(limit, call(self.channel(), request)).await {
            Ok(Ok(response)) => {
                self.bearer.take_from(response.metadata());
                Ok(response.into_inner())
            }
            Ok(Err(status)) => Err(self.explain(doing, status).await),
            Err(_) => {
                let message = format!("{} did not answer {doing} within {} s", self.name, limit.as_secs());
                Err(Error::unavailable("connector.time_out", message).suggest("see its log lines; it is tried again"))
            }
        }
    }

    /// What a status means: the connector's own words, or why the connection broke.
    pub(crate) async fn explain(&self, doing: &str, status: Status) -> Error {
        let broken = status.source().is_some();
        if broken && let Some(exit) = self.just_ended().await {
            return self.exited(doing, &exit);
        }
        if broken {
            let message = format!("{}: connection broke during {doing}: {}", self.name, causes(&status));
            return Error::unavailable("connector.connection", message);
        }
        // One that we started has the token we gave it.
        if status.code() == Code::Unauthenticated && self.process.is_none() {
            let message = format!("{}, {doing}: refused the token: {}", self.name, status.message());
            return Error::config("connector.token", message).suggest(
                "put the token that the connector was started with into a file (0600), and name that in `token_file`",
            );
        }
        self.named(doing, scrubbed(Error::from(status)))
    }

    /// The receiving half has gone while something was to be sent; the other half of the stream knows better, if anybody does.
    pub(crate) async fn gone(&self, doing: &str) -> Error {
        match self.just_ended().await {
            Some(exit) => self.exited(doing, &exit),
            None => {
                Error::unavailable("connector.connection", format!("{}: the stream ended during {doing}", self.name))
            }
        }
    }

    /// Says who, in front of an error that only says what.
    pub(crate) fn named(&self, doing: &str, error: Error) -> Error {
        error.while_doing(format_args!("{}, {doing}", self.name))
    }

    fn exited(&self, doing: &str, exit: &Exit) -> Error {
        let message = format!("{} ended during {doing}: {exit}", self.name);
        match exit.suggestion() {
            "" => Error::unavailable("connector.exited", message),
            suggestion => Error::unavailable("connector.exited", message).suggest(suggestion),
        }
    }

    async fn just_ended(&self) -> Option<Exit> {
        let mut watch = self.process.clone()?;
        watch.just_ended().await
    }
}

/// Waits until a container has made its socket, and holds that; ends early if the container does.
pub(super) async fn hold(name: &str, path: &Path, mut watch: Watch) -> Result<Held, Error> {
    const DOING: &str = "waiting for its socket";
    let look = async {
        let mut pause = LOOK_FIRST;
        loop {
            match Held::of(path) {
                Ok(held) => return Ok(held),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => tokio::time::sleep(pause).await,
                Err(error) => {
                    let message = format!("{name}: {DOING} at {}: {error}", path.display());
                    return Err(Error::protocol("launch.socket", message)
                        .suggest("it must serve at the address in LONGSHORE_LISTEN; see base-image/README.md"));
                }
            }
            pause = LOOK_MOST.min(pause * 3 / 2);
        }
    };
    tokio::select! {
        biased;
        exit = watch.ended() => {
            let how = exit.as_ref().map_or_else(String::new, |exit| format!(": {exit}"));
            let error = Error::unavailable("connector.exited", format!("{name} ended while {DOING}{how}"));
            Err(match exit.map_or("", |exit| exit.suggestion()) {
                "" => error,
                suggestion => error.suggest(suggestion),
            })
        }
        held = tokio::time::timeout(SERVING, look) => held.unwrap_or_else(|_| {
            let message = format!("{name} made no socket within {} s", SERVING.as_secs());
            Err(Error::unavailable("connector.not_serving", message)
                .suggest("it must serve at the address in LONGSHORE_LISTEN; see base-image/README.md"))
        }),
    }
}

/// Without secrets. A long text was cut on its way, perhaps within one.
fn scrubbed(mut error: Error) -> Error {
    let parts = &mut *error;
    for text in [&mut parts.code, &mut parts.message, &mut parts.pointer, &mut parts.suggestion] {
        *text = match text.strip_suffix('…') {
            Some(cut) => format!("{}…", Door::Answers.scrub_cut(cut)),
            None => Door::Answers.scrub(text).into_owned(),
        };
    }
    error
}

/// Nothing is left to tonic's defaults: see [`limits`].
/// Where calls go; connects when the first one is made, and again when a connection broke.
pub(super) fn channel(address: &Address, tls: Option<tls::Files>) -> Result<Channel, Error> {
    let endpoint = endpoint(address)?;
    Ok(match (address, tls) {
        (Address::Unix(path), _) => {
            let path = path.clone();
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| connect(path.clone())))
        }
        (Address::Loopback(_), _) => endpoint.connect_lazy(),
        (Address::Remote { host, port }, Some(files)) => {
            // What is wrong with the files is told before anybody is called.
            files.client()?;
            let (host, port) = (host.clone(), *port);
            let connect = move |_: Uri| connect_tls(host.clone(), port, files.clone());
            endpoint.connect_with_connector_lazy(tower::service_fn(connect))
        }
        (Address::Remote { .. }, None) => {
            let message = format!("address {address}: expected certificates for TLS, got none");
            return Err(Error::config("connector.tls", message).suggest("name them with `tls` beside the address"));
        }
    })
}

/// As [`channel`], over connections that the caller makes.
pub(super) fn over<C, F, I>(connect: C) -> Result<Channel, Error>
where
    C: Fn() -> F + Send + 'static,
    F: Future<Output = io::Result<I>> + Send + 'static,
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connect = move |_: Uri| connect().map_ok(TokioIo::new);
    // Only written into requests.
    let nowhere = Address::Loopback(([127, 0, 0, 1], 1).into());
    Ok(endpoint(&nowhere)?.connect_with_connector_lazy(tower::service_fn(connect)))
}

async fn connect_tls(host: String, port: u16, files: tls::Files) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let config = files.client().map_err(io::Error::other)?;
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(TlsConnector::from(config).connect(name, stream).await?))
}

async fn connect(path: PathBuf) -> io::Result<TokioIo<UnixStream>> {
    let stream = UnixStream::connect(path).await?;
    set_socket_send_buffer_size(&stream, limits::SOCKET_SEND_BYTES)?;
    Ok(TokioIo::new(stream))
}

fn endpoint(address: &Address) -> Result<Endpoint, Error> {
    let target = match address {
        // TLS is spoken by the connection; tonic only writes the name into its requests.
        Address::Remote { .. } => address.to_string().replacen("https:", "http:", 1),
        Address::Unix(_) | Address::Loopback(_) => address.to_string(),
    };
    let endpoint = Endpoint::from_shared(target)
        .map_err(|error| Error::config("connector.address", format!("address {address}: {error}")))?;
    let endpoint = match is_planted(Plant::PeerNotPinged) {
        true => endpoint,
        false => endpoint
            .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true),
    };
    Ok(endpoint
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::FRAME_MAX_BYTES)
        .http2_adaptive_window(false)
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5)))
}

impl Bearer {
    pub(crate) fn none() -> Self {
        Self(Arc::new(Mutex::new(Credential::None)))
    }

    pub(crate) fn once(token: &str) -> Result<Self, Error> {
        Ok(Self(Arc::new(Mutex::new(Credential::Once(bearer(token)?)))))
    }

    pub(crate) fn lasting(token: &str) -> Result<Self, Error> {
        Ok(Self(Arc::new(Mutex::new(Credential::Lasting(bearer(token)?)))))
    }

    /// Takes the token from a file that only its owner may read.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Error> {
        let refuse =
            |why: String| Error::config("connector.token_file", format!("token file {}: {why}", path.display()));
        let open = path.metadata().map_err(|error| refuse(error.to_string()))?.permissions().mode() & 0o077 != 0;
        if open {
            return Err(refuse("others may read it".to_owned()).suggest(format!("chmod 600 {}", path.display())));
        }
        let token = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        match token.trim() {
            "" => Err(refuse("it is empty".to_owned())),
            token => {
                secret::learn([token.to_owned()]);
                Self::lasting(token)
            }
        }
    }

    fn put_into(&self, metadata: &mut MetadataMap) {
        match &*self.lock() {
            Credential::None => {}
            Credential::Once(value) | Credential::Lasting(value) => {
                metadata.insert("authorization", value.clone());
            }
        }
    }

    /// The first answer to a one-time token holds the secret that replaces it.
    fn take_from(&self, metadata: &MetadataMap) {
        let mut credential = self.lock();
        if let Credential::Once(_) = &*credential
            && let Some(session) = metadata.get(SESSION_HEADER).and_then(|session| session.to_str().ok())
            && let Ok(value) = bearer(session)
        {
            *credential = Credential::Lasting(value);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Credential> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::config("connector.token", "the token holds characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A status and what is behind it, without repeating what an outer message already says.
fn causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
