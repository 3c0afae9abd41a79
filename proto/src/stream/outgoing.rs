//! The messages that are sent to a peer, as the body of a request or a response.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::tokio_stream::Stream;

use super::message::{Message, encode};

/// Small messages that are there already go together until they are this long.
const TOGETHER_BYTES: usize = 32 << 10;

/// A body that is made of messages.
#[derive(Debug)]
pub struct Outgoing<S> {
    messages: S,
    /// Written, and not yet a chunk.
    head: BytesMut,
    chunks: VecDeque<Bytes>,
    side: Side,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Nothing more comes from the messages.
#[derive(Debug)]
enum End {
    /// What remains to be said.
    With(Result<(), Status>),
    Said,
}

impl<S> Outgoing<S> {
    /// The body of a request: an error among the messages breaks it off.
    pub fn request(messages: S) -> Self {
        Self::new(messages, Side::Client)
    }

    /// The body of a response: an error among the messages is what its trailers say.
    pub fn response(messages: S) -> Self {
        Self::new(messages, Side::Server)
    }

    fn new(messages: S, side: Side) -> Self {
        Self { messages, head: BytesMut::new(), chunks: VecDeque::new(), side, end: None }
    }

    fn close_chunk(&mut self) {
        if !self.head.is_empty() {
            self.chunks.push_back(self.head.split().freeze());
        }
    }

    /// What comes behind the last chunk.
    fn last(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        let Some(End::With(result)) = self.end.replace(End::Said) else { return None };
        match (self.side, result) {
            (Side::Client, Ok(())) => None,
            (Side::Client, Err(status)) => Some(Err(status)),
            (Side::Server, result) => {
                let status = result.err().unwrap_or_else(|| Status::ok(""));
                let mut trailers = HeaderMap::new();
                Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
            }
        }
    }
}

impl<S, M> Body for Outgoing<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Message,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.chunks.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if this.head.len() >= TOGETHER_BYTES || this.end.is_some() && !this.head.is_empty() {
                this.close_chunk();
                continue;
            }
            if this.end.is_some() {
                return Poll::Ready(this.last());
            }
            let encoded = match Pin::new(&mut this.messages).poll_next(context) {
                Poll::Ready(Some(message)) => message.and_then(|message| encode(message, &mut this.head)),
                Poll::Ready(None) => {
                    this.end = Some(End::With(Ok(())));
                    continue;
                }
                Poll::Pending if this.head.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    this.close_chunk();
                    continue;
                }
            };
            match encoded {
                Ok(None) => {}
                Ok(Some(arena)) => {
                    this.close_chunk();
                    this.chunks.push_back(arena);
                }
                Err(status) => this.end = Some(End::With(Err(status))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, Some(End::Said))
    }
}
