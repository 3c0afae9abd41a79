//! The gatherer, at home or out on a thread that may block.

use longshore_proto::Error;
use tokio::task::JoinHandle;

use crate::blocking::Blocking;
use crate::materialize::gather::{Gatherer, Stored};
use crate::materialize::transaction::Advanced;
use crate::store::Skip;

/// Who has the gatherer.
pub(super) enum Work {
    Home(Box<Gatherer>),
    Out(JoinHandle<(Box<Gatherer>, Result<Done, Error>)>),
    /// It never came back: the session is over.
    Lost,
}

/// What the gatherer has done.
pub(super) enum Done {
    Advanced(Advanced),
    LoadsSent,
    StoresSent(Stored),
    RejectedFound(Vec<Skip>),
}

impl Work {
    pub(super) fn give(
        &mut self,
        blocking: Blocking,
        work: impl FnOnce(&mut Gatherer) -> Result<Done, Error> + Send + 'static,
    ) -> Result<(), Error> {
        match std::mem::replace(self, Self::Lost) {
            Self::Home(mut gatherer) => {
                *self = Self::Out(blocking.start(move || {
                    let done = work(&mut gatherer);
                    (gatherer, done)
                }));
                Ok(())
            }
            other @ (Self::Out(_) | Self::Lost) => {
                *self = other;
                Err(Error::internal("materialize.session", "two things were asked of the reader at once"))
            }
        }
    }

    /// Cancel-safe.
    pub(super) async fn back(&mut self) -> Result<Done, Error> {
        let Self::Out(handle) = self else { return std::future::pending().await };
        let ended = handle.await;
        *self = Self::Lost;
        let (gatherer, done) =
            ended.map_err(|panic| Error::internal("materialize.reader", format!("the reader ended: {panic}")))?;
        *self = Self::Home(gatherer);
        done
    }
}
