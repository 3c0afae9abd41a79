//! The messages that a peer sends.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use tonic::body::Body;
use tonic::codegen::Body as _;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Status};

use super::chunks::Chunks;
use super::message::Message;
use super::{PREFIX_BYTES, check_length};

/// A stream of messages, until the peer ends it. An error comes once, and is the end.
#[derive(Debug)]
pub struct Incoming<M> {
    body: Body,
    chunks: Chunks,
    /// Length of the message that has begun.
    begun: Option<usize>,
    ended: bool,
    end: End,
    message: PhantomData<fn() -> M>,
}

/// What the end of the body has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A client just ends. One that hangs up ends, too: what that means is for the order of messages to say.
    Request,
    /// A server says how it went, in the trailers.
    Response,
    /// A server has said it in the headers already.
    Said,
}

impl<M: Message> Incoming<M> {
    pub(super) fn new(body: Body, end: End) -> Self {
        Self { body, chunks: Chunks::default(), begun: None, ended: false, end, message: PhantomData }
    }

    /// The next message; `None` at the end. Cancel-safe.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await.transpose()
    }

    /// A message that is there whole.
    fn take(&mut self) -> Result<Option<M>, Status> {
        let bytes = match self.begun {
            Some(bytes) => bytes,
            None if self.chunks.remaining() < PREFIX_BYTES => return Ok(None),
            None => {
                let flag = self.chunks.get_u8();
                if flag != 0 {
                    let message =
                        format!("reading a message: expected one without compression (flag 0), got flag {flag}");
                    return Err(Status::unimplemented(message));
                }
                let bytes = self.chunks.get_u32() as usize;
                check_length(bytes, "reading")?;
                *self.begun.insert(bytes)
            }
        };
        if self.chunks.remaining() < bytes {
            return Ok(None);
        }
        self.begun = None;
        let message = M::decode((&mut self.chunks).take(bytes));
        message.map(Some).map_err(|error| Status::internal(format!("reading a message: {error}")))
    }

    fn ended(&self, trailers: Option<HeaderMap>) -> Option<Result<M, Status>> {
        if self.begun.is_some() || self.chunks.has_remaining() {
            return Some(Err(Status::internal("reading a message: the stream ended inside it")));
        }
        match (self.end, trailers.as_ref().and_then(Status::from_header_map)) {
            (End::Request | End::Said, _) => None,
            (End::Response, Some(status)) if status.code() == Code::Ok => None,
            (End::Response, Some(status)) => Some(Err(status)),
            (End::Response, None) => Some(Err(Status::unknown("the stream ended and does not say how it went"))),
        }
    }
}

impl<M: Message> Stream for Incoming<M> {
    type Item = Result<M, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            match this.take() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(status) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
            let last = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        this.chunks.push(data);
                        continue;
                    }
                    Err(frame) => this.ended(frame.into_trailers().ok()),
                },
                Some(Err(status)) if this.end == End::Request && status.code() == Code::Cancelled => None,
                Some(Err(status)) => Some(Err(status)),
                None => this.ended(None),
            };
            this.ended = true;
            return Poll::Ready(last);
        }
    }
}
