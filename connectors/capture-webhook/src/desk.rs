//! Where all requests of a session meet: one after the other they are emitted, and what came together shares a checkpoint, so that a hundred
//! senders cost the runtime no more commits than one. A request is never in two checkpoints.

#![allow(
    clippy::disallowed_methods,
    reason = "keys are remembered by the wall clock, so that a restart does not renew them"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use longshore_sdk::Result;
use longshore_sdk::capture::{Acknowledgements, Checkpoint, Emitter, PullOpen, Stop};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::body::Memory;
use crate::config::{Config, Resource};
use crate::document::Preparer;
use crate::handle::{Front, Route};
use crate::settings::Settings;
use crate::window::{Known, Print, Window};

/// Checkpoints that may wait for their acknowledgement; what comes meanwhile gathers for the next one.
const CHECKPOINTS_UNDER_WAY: u64 = 2;
/// A checkpoint takes no further request when it holds so many bytes: 8 MiB, where the runtime commits.
const CHECKPOINT_BYTES: usize = 8 << 20;
/// Requests that may wait for the desk; the others wait for room.
const OFFERS_MAX: usize = 256;

/// What a request brings.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) binding: usize,
    pub(crate) parts: Vec<Part>,
    pub(crate) answer: oneshot::Sender<Result<Placed, Conflict>>,
}

/// What is stored once under its key: a whole request, or an event of it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) key: Option<Print>,
    pub(crate) content: Print,
    pub(crate) documents: Vec<Vec<u8>>,
}

/// Durable when so many checkpoints of the session are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) checkpoint: u64,
    /// All of it was there before.
    pub(crate) is_replayed: bool,
}

/// A key was there before with other content; nothing of the request is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict;

/// Emits.
#[derive(Debug)]
pub(crate) struct Desk {
    emitter: Emitter,
    stop: Stop,
    acknowledgements: Acknowledgements,
    /// Of each binding.
    windows: Vec<Window>,
    offers: mpsc::Receiver<Offer>,
    /// Number of the last checkpoint.
    checkpoint: u64,
}

/// Requests that go before the same checkpoint, and what they are told then.
type Group = Vec<(oneshot::Sender<Result<Placed, Conflict>>, Result<Placed, Conflict>)>;

impl Desk {
    /// The desk, and what the requests of the session see of it.
    pub(crate) fn new(
        emitter: Emitter,
        windows: Vec<Window>,
        settings: Settings,
        open: &PullOpen<Config, Resource>,
    ) -> Result<(Self, Arc<Front>)> {
        let (sender, offers) = mpsc::channel(OFFERS_MAX);
        let mut routes = HashMap::new();
        for (binding, bound) in open.bindings.iter().enumerate() {
            let preparer = Preparer::new(&bound.resource.path, &bound.collection.key)?;
            routes.insert(bound.resource.path.clone(), Route { binding, preparer });
        }
        let front = Front {
            routes,
            offers: sender,
            acknowledgements: emitter.acknowledgements(),
            stop: emitter.stop(),
            requests: Arc::new(Semaphore::new(settings.requests)),
            memory: Memory::new(settings.memory_bytes),
            epoch: open.owner.epoch,
            next_document: AtomicU64::new(1),
            settings,
        };
        let (stop, acknowledgements) = (emitter.stop(), emitter.acknowledgements());
        Ok((Self { emitter, stop, acknowledgements, windows, offers, checkpoint: 0 }, Arc::new(front)))
    }

    /// Until a stop, or until nobody can send any more.
    pub(crate) async fn run(mut self) -> Result<()> {
        // Whatever was sent before this session was answered, or will be sent again.
        self.checkpoint = self.emitter.checkpoint(Checkpoint::new().caught_up()).await?;
        let stop = self.stop.clone();
        loop {
            let first = tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                first = self.next() => first,
            };
            let Some(first) = first else { return Ok(()) };
            self.emit(first).await?;
        }
    }

    /// The next request, when there is a checkpoint for it; none: the session is over.
    async fn next(&mut self) -> Option<Offer> {
        let free_from = (self.checkpoint + 1).saturating_sub(CHECKPOINTS_UNDER_WAY);
        if !self.acknowledgements.reached(free_from).await {
            return None;
        }
        self.offers.recv().await
    }

    /// This request and all that wait already, before one checkpoint.
    async fn emit(&mut self, first: Offer) -> Result<()> {
        let now_seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let (mut group, mut bytes, mut next) = (Group::new(), 0, Some(first));
        let mut is_changed = false;
        while let Some(offer) = next {
            let (told, emitted_bytes) = self.place(offer.binding, offer.parts, now_seconds).await?;
            is_changed |= told.is_ok_and(|placed| placed.checkpoint > self.checkpoint);
            bytes += emitted_bytes;
            group.push((offer.answer, told));
            next = if bytes < CHECKPOINT_BYTES { self.offers.try_recv().ok() } else { None };
        }
        if is_changed {
            let windows = self.windows.iter_mut().enumerate();
            let patches = windows.filter_map(|(binding, window)| Some((binding, window.settle(now_seconds)?)));
            let state = patches.fold(Checkpoint::new(), |state, (binding, patch)| state.binding(binding, &patch));
            self.checkpoint = self.emitter.checkpoint(state).await?;
        }
        for (answer, told) in group {
            // A sender that has gone is told nothing; its documents stay.
            answer.send(told).ok();
        }
        Ok(())
    }

    /// Emits what is new of a request, before the next checkpoint. Looks at all of it first.
    async fn place(
        &mut self,
        binding: usize,
        parts: Vec<Part>,
        now_seconds: u64,
    ) -> Result<(Result<Placed, Conflict>, usize)> {
        let next_checkpoint = self.checkpoint + 1;
        let mut placed = Placed { checkpoint: 0, is_replayed: !parts.is_empty() };
        let mut fresh: Vec<&Part> = Vec::new();
        // Keys of this request itself: an event may be in it twice.
        let mut own: HashMap<&Print, &Print> = HashMap::new();
        for part in &parts {
            let known = match &part.key {
                None => Known::No,
                Some(key) => match own.insert(key, &part.content) {
                    Some(content) if *content == part.content => Known::Same { checkpoint: 0 },
                    Some(_) => Known::Other,
                    None => self.windows[binding].look(key, &part.content),
                },
            };
            match known {
                Known::Other => return Ok((Err(Conflict), 0)),
                Known::Same { checkpoint } => placed.checkpoint = placed.checkpoint.max(checkpoint),
                Known::No => {
                    placed = Placed { checkpoint: next_checkpoint, is_replayed: false };
                    fresh.push(part);
                }
            }
        }
        let mut bytes = 0;
        for part in fresh {
            for document in &part.documents {
                bytes += document.len();
                self.emitter.raw(binding, document).await?;
            }
            if let Some(key) = &part.key {
                self.windows[binding].add(key.clone(), part.content.clone(), now_seconds, next_checkpoint);
            }
        }
        Ok((Ok(placed), bytes))
    }
}
