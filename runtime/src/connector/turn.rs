//! The state of a session's order, shared by its sending and its receiving half, and when a silent peer is called stalled.
//!
//! The rules are in `longshore_proto::{capture,materialize}::order`; this keeps the state they move and reads the clock they do not.

#![allow(clippy::disallowed_methods, reason = "time-outs of a session's states are kept here")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use longshore_proto::stream::{Incoming, Message};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

/// A connector that owes an answer, or takes nothing more, and says nothing for so long, is stalled. Any message starts it anew, Progress
/// too: a statement that runs for ten minutes is not a stall.
pub(crate) const SILENCE: Duration = Duration::from_secs(300);
/// How often a wait looks whether it has become too long.
const LOOK: Duration = Duration::from_secs(1);

/// Shared by both halves. The lock is held for a step of a pure table and never over an await.
#[derive(Debug)]
pub(crate) struct Turn<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    state: S,
    /// When the state last moved, or the peer last said something.
    heard: Instant,
}

/// The peer was silent for [`SILENCE`].
#[derive(Debug)]
pub(crate) struct Stalled;

/// Why nothing came.
#[derive(Debug)]
pub(crate) enum Broken {
    Stalled,
    Status(Status),
}

impl<S> Clone for Turn<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Turn<S> {
    pub(crate) fn new(state: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { state, heard: Instant::now() })))
    }

    /// Moves the state, or leaves it where it is and says why not.
    pub(crate) fn step<E>(&self, step: impl FnOnce(&mut S) -> Result<(), E>) -> Result<(), E> {
        let mut inner = self.lock();
        step(&mut inner.state)?;
        inner.heard = Instant::now();
        Ok(())
    }

    pub(crate) fn is(&self, question: impl FnOnce(&S) -> bool) -> bool {
        question(&self.lock().state)
    }

    /// The next message, or `None` at the end. Where `owes` says that the peer must answer, it may not be silent for ever. Cancel-safe.
    pub(crate) async fn next<T: Message>(
        &self,
        stream: &mut Incoming<T>,
        owes: fn(&S) -> bool,
    ) -> Result<Option<T>, Broken> {
        // What is there already costs no timer.
        if let Some(next) = stream.message().now_or_never() {
            return next.map_err(Broken::Status);
        }
        loop {
            match tokio::time::timeout(LOOK, stream.message()).await {
                Ok(next) => return next.map_err(Broken::Status),
                Err(_) if self.is(owes) && self.lock().heard.elapsed() >= SILENCE => return Err(Broken::Stalled),
                Err(_) => {}
            }
        }
    }

    /// Room for one more message; `None` if the stream is gone. Cancel-safe.
    pub(crate) async fn room<'a, T>(&self, out: &'a mpsc::Sender<T>) -> Result<Option<mpsc::Permit<'a, T>>, Stalled> {
        if let Some(room) = out.reserve().now_or_never() {
            return Ok(room.ok());
        }
        let asked = Instant::now();
        loop {
            match tokio::time::timeout(LOOK, out.reserve()).await {
                Ok(room) => return Ok(room.ok()),
                Err(_) if self.lock().heard.max(asked).elapsed() >= SILENCE => return Err(Stalled),
                Err(_) => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
