//! A connector as it is served to a runtime, with its HTTP/2, limits and token, over connections that a test makes: a network that is
//! simulated, or damaged.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::capture::{Capture, CaptureService};
use crate::materialize::{Door, Server};
use crate::serve::{Connection, Drain, Served, Tokens, serve_until_drained};
use crate::{Error, Result};

/// Serves a capture to whoever comes in with this token, until `leave` is ready and what is open then has ended.
pub async fn serve_capture<C: Capture, I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    capture: Arc<C>,
    token: &str,
    incoming: impl Stream<Item = io::Result<I>> + Send + 'static,
    leave: impl Future<Output = ()>,
) -> Result<()> {
    over(|drain| CaptureService::new(capture, drain).served(), token, incoming, leave).await
}

/// Serves a materialization likewise.
pub async fn serve_materialize<D: Door, I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    door: D,
    token: &str,
    incoming: impl Stream<Item = io::Result<I>> + Send + 'static,
    leave: impl Future<Output = ()>,
) -> Result<()> {
    over(|drain| Server::new(door, drain).served(), token, incoming, leave).await
}

async fn over<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    make: impl FnOnce(Drain) -> Served,
    token: &str,
    incoming: impl Stream<Item = io::Result<I>> + Send + 'static,
    leave: impl Future<Output = ()>,
) -> Result<()> {
    let drain = Drain::new();
    let incoming = incoming.map(|stream| stream.map(Connection::new)).boxed();
    let serving = serve_until_drained(make(drain.clone()), Tokens::standing(token), incoming, drain.clone());
    let leaving = async {
        leave.await;
        drain.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        served = serving => served.map_err(|error| Error::internal("testing.network", format!("serving: {error}"))),
        never = leaving => match never {},
    }
}
