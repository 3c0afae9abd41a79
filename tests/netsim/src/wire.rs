//! The connector's end of a connection: it stands still, is deaf, breaks or carries little when its machine says so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use crate::Shared;

/// At once, where little goes through: not even the head of a frame of HTTP/2.
const LITTLE_BYTES: usize = 7;
/// At once.
const READ_BYTES: usize = 16 << 10;

/// How the connections of a machine are.
#[derive(Debug, Default)]
pub struct State {
    /// Nothing is taken or given.
    pub frozen: bool,
    /// Frames of calls are not read; those of the connection itself (pings, say) are.
    pub deaf: bool,
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

    /// Reads again.
    pub fn listen(&mut self) {
        self.deaf = false;
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

/// Before the first frame of a client.
const PREFACE_BYTES: usize = 24;
/// Of a frame: three of its length, type, flags, four of its stream.
const HEAD_BYTES: usize = 9;

/// Frames of HTTP/2 on their way to whoever reads.
#[derive(Debug)]
struct Frames {
    head: Vec<u8>,
    /// Of the preface, or of the frame whose head is known.
    left: usize,
    /// That frame is withheld.
    is_withheld: bool,
    withheld: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
}

impl Default for Frames {
    fn default() -> Self {
        let (head, withheld, ready) = (Vec::new(), Vec::new(), Vec::new());
        Self { head, left: PREFACE_BYTES, is_withheld: false, withheld, ready, given: 0 }
    }
}

impl Frames {
    /// More has come. Of a deaf reader frames of calls are withheld, as a whole and in their order.
    fn take(&mut self, mut bytes: &[u8], deaf: bool) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let missing = (HEAD_BYTES - self.head.len()).min(bytes.len());
                self.head.extend_from_slice(&bytes[..missing]);
                bytes = &bytes[missing..];
                if let [a, b, c, _, _, stream @ ..] = &self.head[..]
                    && self.head.len() == HEAD_BYTES
                {
                    self.left = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                    self.is_withheld = deaf && stream.iter().any(|byte| *byte != 0);
                    let head = std::mem::take(&mut self.head);
                    self.put(&head);
                }
                continue;
            }
            let (now, later) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= now.len();
            bytes = later;
            self.put(now);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.is_withheld { &mut self.withheld } else { &mut self.ready }.extend_from_slice(bytes);
    }

    /// What was withheld may be read.
    fn listen(&mut self) {
        self.is_withheld = false;
        self.ready.append(&mut self.withheld);
    }

    /// False: there is nothing to be read.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.ready[self.given..];
        let now = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..now]);
        self.given += now;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        now > 0
    }
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    state: Shared<State>,
    frames: Frames,
}

impl Wire {
    /// Over this one.
    #[must_use]
    pub fn new(stream: TcpStream, state: Shared<State>) -> Self {
        Self { stream, state, frames: Frames::default() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let deaf = self.state.lock().deaf;
            if !deaf {
                self.frames.listen();
            }
            if self.frames.give(buffer) {
                return Poll::Ready(Ok(()));
            }
            if deaf {
                self.state.lock().wakers.push(context.waker().clone());
            }
            let allowed = ready!(self.state.lock().allowance(READ_BYTES, context.waker()))?;
            let mut bytes = [0; READ_BYTES];
            let mut part = ReadBuf::new(&mut bytes[..allowed]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
            let read = part.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.state.lock().passed(read.len());
            self.frames.take(read, deaf);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, body: &[u8]) -> Vec<u8> {
        [&[0, 0, body.len() as u8, 0, 0, 0, 0, 0, stream], body].concat()
    }

    fn given(frames: &mut Frames) -> Vec<u8> {
        let mut bytes = [0; 1000];
        let mut buffer = ReadBuf::new(&mut bytes);
        frames.give(&mut buffer);
        buffer.filled().to_vec()
    }

    #[test]
    fn who_is_deaf_gets_frames_of_the_connection_and_later_the_others_in_their_order() {
        let all = [&[b'P'; PREFACE_BYTES][..], &frame(1, b"first"), &frame(0, b"ping"), &frame(3, b"second")].concat();
        for piece in [1, 2, 7, 1000] {
            let mut frames = Frames::default();
            let (before, after) = all.split_at(PREFACE_BYTES + 3);
            before.chunks(piece).for_each(|piece| frames.take(piece, false));
            after.chunks(piece).for_each(|piece| frames.take(piece, true));
            let heard = [&all[..PREFACE_BYTES], &frame(0, b"ping")].concat();
            assert_eq!(given(&mut frames), heard, "in pieces of {piece}");
            frames.listen();
            assert_eq!(given(&mut frames), [frame(1, b"first"), frame(3, b"second")].concat());
            frames.take(&frame(1, b"third"), false);
            assert_eq!(given(&mut frames), frame(1, b"third"));
        }
    }

    #[test]
    fn a_frame_that_has_begun_is_read_to_its_end() {
        let mut frames = Frames::default();
        let one = [&[b'P'; PREFACE_BYTES][..], &frame(1, b"first")].concat();
        frames.take(&one[..PREFACE_BYTES + HEAD_BYTES + 1], false);
        frames.take(&one[PREFACE_BYTES + HEAD_BYTES + 1..], true);
        assert_eq!(given(&mut frames), one);
    }
}
