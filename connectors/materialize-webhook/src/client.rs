//! HTTP/1.1 to one server over one connection, one request after the other: their order is that of the documents. A connection is used again
//! as long as the server keeps it. Redirects are not followed and proxies not asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::answer::{Answer, excerpt};
use crate::settings::Target;

/// So much of an answer is looked at, in bytes.
const ANSWER_SHOWN_BYTES: usize = 4 << 10;
/// A longer answer costs the connection, in bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// Why there was no answer, for people.
pub(crate) type Failure = String;

/// The way to one server.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    timeout: Duration,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Drives it, and ends with it.
    _driver: JoinSet<()>,
}

/// The body came to its end, so that the connection is free again.
struct Read {
    answer: Answer,
    is_whole: bool,
}

impl Client {
    pub(crate) fn new(target: Target, timeout: Duration) -> Self {
        Self { target, timeout, connection: None }
    }

    /// One request and its answer, within the time limit.
    pub(crate) async fn exchange(&mut self, request: &Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let limit = self.timeout;
        match tokio::time::timeout(limit, self.exchange_unlimited(request)).await {
            Ok(answered) => answered,
            Err(_) => {
                // What may still come on it is the answer to this request.
                self.connection = None;
                Err(format!("no answer within {limit:?}"))
            }
        }
    }

    async fn exchange_unlimited(&mut self, request: &Request<Full<Bytes>>) -> Result<Answer, Failure> {
        if let Some(mut kept) = self.connection.take()
            && kept.sender.ready().await.is_ok()
            && let Ok(read) = ask(&mut kept, request).await
        {
            return Ok(self.keep(kept, read));
        }
        // There is none, or the server has closed it meanwhile, as servers do; that is no failure. A request it took all the same comes under
        // the same key.
        let mut fresh = self.connect().await?;
        let read = ask(&mut fresh, request).await?;
        Ok(self.keep(fresh, read))
    }

    fn keep(&mut self, connection: Connection, read: Read) -> Answer {
        self.connection = Some(connection).filter(|_| read.is_whole);
        read.answer
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let Target { host, port, tls, .. } = &self.target;
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| format!("connecting: {error}"))?;
        // Without it the last piece of a body waits for an acknowledgement.
        tcp.set_nodelay(true).map_err(|error| format!("connecting: {error}"))?;
        let Some(tls) = tls else { return shake_hands(tcp).await };
        let name = ServerName::try_from(host.clone()).map_err(|error| format!("connecting: {error}"))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        shake_hands(stream.map_err(|error| format!("connecting with TLS: {error}"))?).await
    }
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Result<Connection, Failure> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("the connection ended: {}", told(&error));
        }
    });
    Ok(Connection { sender, _driver: driver })
}

async fn ask(connection: &mut Connection, request: &Request<Full<Bytes>>) -> Result<Read, Failure> {
    let response = connection.sender.send_request(request.clone()).await.map_err(|error| told(&error))?;
    Ok(read(response).await)
}

/// The status is the answer; a body that breaks off changes nothing about it.
async fn read(response: Response<Incoming>) -> Read {
    let (head, mut body) = response.into_parts();
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (mut shown, mut seen_bytes, mut is_whole) = (BytesMut::new(), 0, false);
    while seen_bytes <= ANSWER_MAX_BYTES {
        match body.frame().await {
            None => {
                is_whole = true;
                break;
            }
            Some(Err(_)) => break,
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                seen_bytes += data.len();
                shown.extend_from_slice(&data[..data.len().min(ANSWER_SHOWN_BYTES - shown.len())]);
            }
        }
    }
    Read { answer: Answer { status: head.status, retry_after, excerpt: excerpt(&shown) }, is_whole }
}

/// With what lies behind it: hyper's own words say little.
fn told(error: &hyper::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
