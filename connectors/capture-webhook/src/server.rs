//! The listener of a session and its connections. A stop closes the listener and lets what is under way be answered; a session that breaks
//! breaks its connections.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_sdk::{Error, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::handle::{Front, handle};

/// Connections at once; the next ones wait to be taken.
const CONNECTIONS_MAX: usize = 1_024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes of a request's head.
const HEAD_MAX_BYTES: usize = 32 << 10;
/// For a request's head, also of a connection that is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A session before this one may not have let go of the port yet.
const PORT_TRIES: u32 = 50;
const PORT_TRIED_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A process that has no more files takes nothing for so long.
const ACCEPT_FAILED_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel keeps for us.
const BACKLOG: u32 = 1_024;

/// What stands in the way of listening there, found without listening. A port that is taken is none: the task itself may run.
pub(crate) fn fault_of(address: SocketAddr) -> Option<Error> {
    let error = bind(address).err().filter(|error| error.kind() != ErrorKind::AddrInUse)?;
    Some(cannot_listen(address, &error))
}

/// Listens, as soon as the port is free.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    for tries in 1.. {
        match bind(address).and_then(|socket| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse && tries < PORT_TRIES => {
                tokio::time::sleep(PORT_TRIED_AGAIN_AFTER).await;
            }
            Err(error) => return Err(cannot_listen(address, &error)),
        }
    }
    Err(Error::internal("webhook.listen", format!("listening on {address}: every try failed")))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else what a connection of the session before leaves behind keeps the port for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Error {
    let message = format!("listening on {address}: expected a port that is free and may be had, got {error}");
    if error.kind() == ErrorKind::AddrInUse {
        return Error::unavailable("webhook.listen", message)
            .suggest("end what listens there, or set another port in `listen`");
    }
    Error::config("webhook.listen", message)
        .at_pointer("/listen")
        .suggest("set an address of this machine, and a port above 1023")
}

/// Takes connections until a stop; returns when all of them have had their answers.
pub(crate) async fn serve(listener: TcpListener, front: Arc<Front>) {
    let mut connections = JoinSet::new();
    let stop = front.stop.clone();
    loop {
        tokio::select! {
            () = stop.requested() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&front)))),
                Err(error) => {
                    tracing::warn!("taking a connection: {error}");
                    tokio::time::sleep(ACCEPT_FAILED_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, front: Arc<Front>) {
    let stop = front.stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(handle(&front, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop.requested() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("a connection ended: {error}");
    }
}
