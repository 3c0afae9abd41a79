//! A server on loopback that answers as a test says and remembers all it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn key(&self) -> &str {
        self.header("idempotency-key")
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status(u16),
    /// With a header and a body.
    Full(u16, &'static str, String, String),
    /// Never anything.
    Silence,
    /// The connection breaks.
    Break,
}

type Script = Arc<Mutex<dyn FnMut(usize, &Seen) -> Reply + Send>>;
type Log = Arc<Mutex<Vec<Seen>>>;

#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    log: Log,
    _serving: JoinSet<()>,
}

impl Server {
    /// The script is told which request it is, from 0.
    pub(super) async fn new(script: impl FnMut(usize, &Seen) -> Reply + Send + 'static) -> Self {
        Self::start(script, None).await
    }

    pub(super) async fn with_tls(acceptor: TlsAcceptor) -> Self {
        Self::start(|_, _| Reply::Status(200), Some(acceptor)).await
    }

    async fn start(script: impl FnMut(usize, &Seen) -> Reply + Send + 'static, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Log::default();
        let script: Script = Arc::new(Mutex::new(script));
        let mut serving = JoinSet::new();
        let seen = Arc::clone(&log);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (script, seen, tls) = (Arc::clone(&script), Arc::clone(&seen), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(tcp, script, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, script, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, log, _serving: serving }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.seen().iter().map(|seen| seen.key().to_owned()).collect()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, script: Script, log: Log) {
    let service = service_fn(|request: Request<Incoming>| {
        let (script, log) = (Arc::clone(&script), Arc::clone(&log));
        async move { answer(request, &script, &log).await }
    });
    // A connection that the other end, or the script, has broken is over.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn answer(request: Request<Incoming>, script: &Script, log: &Log) -> Result<Response<Full<Bytes>>, String> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let seen = Seen {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).expect("text"),
    };
    let reply = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(seen.clone());
        let number = log.len() - 1;
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        script(number, &seen)
    };
    let mut response = Response::new(Full::default());
    match reply {
        Reply::Status(status) => *response.status_mut() = StatusCode::from_u16(status).expect("a status"),
        Reply::Full(status, name, value, body) => {
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            response.headers_mut().insert(name, value.parse().expect("a value"));
            *response.body_mut() = Full::from(body);
        }
        Reply::Silence => match std::future::pending::<Infallible>().await {},
        Reply::Break => return Err("broken by the script".to_owned()),
    }
    Ok(response)
}
