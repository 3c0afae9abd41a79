//! What a session says: one queue, bounded, in front of the sending half of the stream, so that who says something never waits for who
//! listens.
//!
//! The reader's thread says Loads and Stores and blocks while there is no room; the session says Acknowledge, Flush and Commit and never
//! blocks: of these there are a few at most, so they may stand beside the bound.

#![allow(clippy::disallowed_methods, reason = "a mistake that is made on purpose waits")]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use longshore_proto::Error;
use longshore_proto::materialize::message::ToConnector;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::blocking::Blocking;
use crate::connector::TransactSender;

/// Loads and Stores that wait, each of about 1 MiB, or one document.
const MANY: usize = 4;
/// More than these are never outstanding: Acknowledge, Flush and Commit wait for their answers.
const FEW: usize = 8;

/// The code of an error that says no more than that there is nobody to talk to.
pub(super) const OVER: &str = "materialize.over";

/// The session's end.
#[derive(Debug)]
pub(super) struct Speech {
    queue: mpsc::Sender<Said>,
    room: Arc<Semaphore>,
    blocking: Blocking,
}

/// In the order in which it was said.
#[derive(Debug)]
enum Said {
    /// With the room it takes in the queue, if it counts.
    Message(Box<ToConnector>, Option<OwnedSemaphorePermit>),
    HalfClose,
}

/// The reader's end; to be used on a thread that may block.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: mpsc::Sender<Said>,
    room: Arc<Semaphore>,
    /// None: it may not wait, and needs no room.
    waits: Option<Handle>,
}

/// Sends while it is polled.
pub(super) struct Spoken {
    sending: Option<Sending>,
}

type Sending = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Speech {
    pub(super) fn over(sender: TransactSender, blocking: Blocking) -> (Self, Spoken) {
        // Who may not wait for room needs none.
        let (queue, out) = mpsc::channel(if blocking.may_wait() { MANY + FEW } else { Semaphore::MAX_PERMITS });
        let room = Arc::new(Semaphore::new(MANY));
        (Self { queue, room, blocking }, Spoken { sending: Some(Box::pin(speak(sender, out))) })
    }

    /// Never waits.
    pub(super) fn say(&self, message: ToConnector) -> Result<(), Error> {
        self.put(Said::Message(Box::new(message), None))
    }

    /// Whoever waits for room to say Loads or Stores waits no more: the other side may not read them, and what is said now is for nothing.
    pub(super) fn no_more_room(&self) {
        self.room.close();
    }

    /// Ends our half when all before is said; what the reader says later is dropped.
    pub(super) fn half_close(&self) -> Result<(), Error> {
        self.put(Said::HalfClose)
    }

    /// Waits until all is sent. A mistake, where the other side may have to be heard for that.
    pub(super) async fn all_said(&self, spoken: &mut Spoken) -> Result<(), Error> {
        while self.queue.capacity() < self.queue.max_capacity() {
            if let Ok(broken) = tokio::time::timeout(Duration::from_millis(1), spoken.broken()).await {
                return Err(broken);
            }
        }
        Ok(())
    }

    pub(super) fn outlet(&self) -> Outlet {
        let waits = self.blocking.may_wait().then(Handle::current);
        Outlet { queue: self.queue.clone(), room: Arc::clone(&self.room), waits }
    }

    fn put(&self, said: Said) -> Result<(), Error> {
        match self.queue.try_send(said) {
            // Closed: the stream broke, and who listens hears why.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Error::internal("materialize.speech", "the queue is over its bound"))
            }
        }
    }
}

impl Outlet {
    /// Waits for room. An error: nobody sends any more.
    pub(super) fn say(&mut self, message: ToConnector) -> Result<(), Error> {
        let over = || Error::unavailable(OVER, "the stream has ended");
        let room = Arc::clone(&self.room);
        let said = |room| Said::Message(Box::new(message), room);
        match &self.waits {
            Some(runtime) => {
                let room = runtime.block_on(room.acquire_owned()).map_err(|_| over())?;
                self.queue.blocking_send(said(Some(room))).map_err(|_| over())
            }
            None if room.is_closed() => Err(over()),
            None => self.queue.try_send(said(None)).map_err(|_| over()),
        }
    }
}

impl Spoken {
    /// Sends on; comes back only if the stream breaks. Cancel-safe.
    pub(super) async fn broken(&mut self) -> Error {
        if let Some(sending) = &mut self.sending {
            let ended = sending.as_mut().await;
            self.sending = None;
            if let Err(error) = ended {
                return error;
            }
        }
        std::future::pending().await
    }
}

async fn speak(mut sender: TransactSender, mut queue: mpsc::Receiver<Said>) -> Result<(), Error> {
    while let Some(said) = queue.recv().await {
        match said {
            Said::Message(message, _room) => sender.send(*message).await?,
            Said::HalfClose => return sender.half_close(),
        }
    }
    Ok(())
}
