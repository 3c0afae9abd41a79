//! The connector's end of a connection: it stands still, breaks or carries little when its machine says so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use crate::Shared;

/// At once, where little goes through: not even the head of a frame of HTTP/2.
const LITTLE_BYTES: usize = 7;
/// At once, where it is about to break.
const MORE_BYTES: usize = 1024;

/// How the connections of a machine are.
#[derive(Debug, Default)]
pub struct State {
    /// Nothing is taken or given.
    pub frozen: bool,
    /// Connections break when so many bytes more have passed.
    pub breaks_after: Option<u64>,
    /// Little goes through at a time, while this is not used up; then all again.
    pub little: u64,
    wakers: Vec<Waker>,
}

impl State {
    /// Goes on.
    pub fn thaw(&mut self) {
        self.frozen = false;
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// How much of so many bytes may pass now.
    fn allowance(&mut self, bytes: usize, waker: &Waker) -> Poll<io::Result<usize>> {
        if self.frozen {
            self.wakers.push(waker.clone());
            return Poll::Pending;
        }
        if self.breaks_after == Some(0) {
            self.breaks_after = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut allowed = if self.little > 0 { bytes.min(LITTLE_BYTES) } else { bytes };
        if let Some(left) = self.breaks_after {
            allowed = allowed.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        Poll::Ready(Ok(allowed))
    }

    fn passed(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.little = self.little.saturating_sub(bytes);
        self.breaks_after = self.breaks_after.map(|left| left.saturating_sub(bytes));
    }
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    state: Shared<State>,
}

impl Wire {
    /// Over this one.
    #[must_use]
    pub fn new(stream: TcpStream, state: Shared<State>) -> Self {
        Self { stream, state }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let allowed = ready!(self.state.lock().allowance(buffer.remaining(), context.waker()))?;
        let before = buffer.filled().len();
        if allowed < buffer.remaining() {
            let mut little = [0; MORE_BYTES];
            let mut part = ReadBuf::new(&mut little[..allowed.min(MORE_BYTES)]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
            buffer.put_slice(part.filled());
        } else {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        }
        self.state.lock().passed(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = ready!(self.state.lock().allowance(bytes.len(), context.waker()))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]))?;
        self.state.lock().passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
