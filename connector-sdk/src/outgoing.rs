//! The way out of a session: a queue that is bounded in bytes, between whoever makes messages and the stream that sends them.
//!
//! The stream is polled by the transport as the peer makes room, so a slow peer fills the queue, and the queue makes its author wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use longshore_proto::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

/// Bytes of messages that may wait: 8 MiB. One larger message may wait alone.
pub(crate) const QUEUE_MAX_BYTES: usize = 8 << 20;
/// Messages that may wait, however small.
const QUEUE_MAX_MESSAGES: usize = 1024;

/// A queue of messages of type `T` and the stream that empties it.
pub(crate) fn outgoing<T>() -> (Outgoing<T>, OutgoingStream<T>) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX_MESSAGES);
    (Outgoing { sender, room: Arc::new(Semaphore::new(QUEUE_MAX_BYTES)) }, OutgoingStream { receiver })
}

/// The end that is written to.
#[derive(Debug)]
pub(crate) struct Outgoing<T> {
    sender: mpsc::Sender<Queued<T>>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Queued<T> {
    /// None ends the stream.
    message: Option<Result<T, Status>>,
    // Held while the message waits.
    _room: Option<OwnedSemaphorePermit>,
}

impl<T> Outgoing<T> {
    /// Queues a message of about so many bytes; waits for room.
    pub(crate) async fn send(&self, message: T, bytes: usize) -> Result<(), Error> {
        // At most QUEUE_MAX_BYTES, which fits.
        let permits = bytes.clamp(1, QUEUE_MAX_BYTES) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| peer_gone())?;
        self.sender.send(Queued { message: Some(Ok(message)), _room: Some(room) }).await.map_err(|_| peer_gone())
    }

    /// Ends the stream with an error, behind what is queued. A peer that is gone needs none.
    pub(crate) async fn fail(&self, error: Error) {
        self.end_with(Some(Err(error.into()))).await;
    }

    /// Ends the stream behind what is queued, also if the author keeps a clone of this.
    pub(crate) async fn finish(&self) {
        self.end_with(None).await;
    }

    async fn end_with(&self, message: Option<Result<T, Status>>) {
        if self.sender.send(Queued { message, _room: None }).await.is_err() {
            tracing::debug!("the peer left before the end of the session");
        }
    }

    /// Whether nobody reads the stream any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Returns when nobody reads the stream any more.
    pub(crate) async fn peer_left(&self) {
        self.sender.closed().await;
    }
}

impl<T> Clone for Outgoing<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), room: Arc::clone(&self.room) }
    }
}

/// The error of a session whose peer is gone; nobody is left to read it, so it only unwinds the author's code.
pub(crate) fn peer_gone() -> Error {
    Error::unavailable("sdk.session.over", "sending to the runtime: the session is over")
}

/// The end that the transport polls.
#[derive(Debug)]
pub(crate) struct OutgoingStream<T> {
    receiver: mpsc::Receiver<Queued<T>>,
}

impl<T> Stream for OutgoingStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.receiver.poll_recv(context)).and_then(|queued| queued.message))
    }
}
