//! Reads on while a transaction is stored: what the next one will most likely take, by a second gatherer.
//!
//! The machine knows nothing of it. If what it asks for is what was guessed, it gets what was read meanwhile as if that had been read at once;
//! if not, the guess is dropped. So a wrong guess costs time, and nothing can be lost or come twice by one. A task that passes documents over
//! does not read on: what it remembers of them is changed by reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use longshore_proto::Error;
use tokio::task::JoinHandle;

use super::work::{Done, Work};
use crate::blocking::Blocking;
use crate::materialize::existing::Present;
use crate::materialize::gather::Gatherer;
use crate::materialize::transaction::{Advanced, Foreseen, Then};
use crate::materialize::turns::{Ends, Selection};

/// No more is read on, so that memory holds little more than one transaction.
const AHEAD_BYTES: u64 = 32 << 20;
/// Where less than this is stored, the next one is not worth a guess.
const WORTH_BYTES: u64 = 1 << 20;

/// Makes a gatherer as the session has one.
pub(super) type Recipe = Arc<dyn Fn() -> Result<Gatherer, Error> + Send + Sync>;

/// The second gatherer.
pub(super) enum Ahead {
    Never,
    /// There is none yet.
    Recipe(Recipe),
    Home(Box<Gatherer>),
    /// One that reads; it may be done with that.
    Out(Reading),
}

/// A guess that is being read.
pub(super) struct Reading {
    guess: Foreseen,
    present: Present,
    handle: JoinHandle<(Box<Gatherer>, Result<Done, Error>)>,
    word: Arc<Word>,
}

/// What is said to whoever reads on.
#[derive(Debug, Default)]
struct Word {
    /// The next step is the machine's.
    enough: AtomicBool,
    /// It was for nothing.
    abandon: AtomicBool,
}

impl Ahead {
    /// Begins to read what the next transaction takes, if the one that is stored is worth it.
    pub(super) async fn begin(
        &mut self,
        blocking: Blocking,
        stored_bytes: u64,
        guess: Option<Foreseen>,
    ) -> Result<(), Error> {
        let Some(guess) = guess.filter(|_| stored_bytes >= WORTH_BYTES) else { return Ok(()) };
        let mut gatherer = match std::mem::replace(self, Self::Never) {
            Self::Never => return Ok(()),
            Self::Recipe(recipe) => super::blocking(blocking, move || recipe().map(Box::new)).await?,
            Self::Home(gatherer) => gatherer,
            Self::Out(mut reading) => match (&mut reading.handle).now_or_never() {
                Some(Ok((gatherer, _))) => gatherer,
                Some(Err(panic)) => {
                    return Err(Error::internal("materialize.reader", format!("the reader ended: {panic}")));
                }
                // It has not heard yet that it is not needed.
                None => {
                    *self = Self::Out(reading);
                    return Ok(());
                }
            },
        };
        let (word, of, present) = (Arc::new(Word::default()), guess.clone(), gatherer.present());
        let heard = Arc::clone(&word);
        let handle = blocking.start(move || {
            let done = read_on(&mut gatherer, &of, &heard);
            (gatherer, done.map(Done::Advanced))
        });
        *self = Self::Out(Reading { guess, present, handle, word });
        Ok(())
    }

    /// If this is what was guessed, whoever read it takes the place of the gatherer, and brings what it read.
    pub(super) fn take_over(
        &mut self,
        (selection, ends): (&Selection, &Ends),
        work: &mut Work,
        present: &mut Present,
    ) -> bool {
        let Self::Out(reading) = self else { return false };
        let is_right = reading.guess.selection == *selection && reading.guess.ends == *ends;
        if !is_right || !matches!(work, Work::Home(_)) {
            reading.word.abandon.store(true, Ordering::Relaxed);
            return false;
        }
        reading.word.enough.store(true, Ordering::Relaxed);
        if let Self::Out(reading) = std::mem::replace(self, Self::Never) {
            *present = reading.present;
            if let Work::Home(gatherer) = std::mem::replace(work, Work::Out(reading.handle)) {
                *self = Self::Home(gatherer);
            }
        }
        true
    }

    /// The session is over.
    pub(super) async fn leave(self) {
        if let Self::Out(Reading { handle, word, .. }) = self {
            word.abandon.store(true, Ordering::Relaxed);
            drop(handle.await);
        }
    }
}

fn read_on(gatherer: &mut Gatherer, guess: &Foreseen, word: &Word) -> Result<Advanced, Error> {
    let mut all = Advanced { then: Then::More, ..Advanced::default() };
    gatherer.begin(guess.selection.clone());
    while !word.enough.load(Ordering::Relaxed) && !word.abandon.load(Ordering::Relaxed) {
        let step = gatherer.advance(&guess.ends, &word.abandon)?;
        let is_plain = step.joined.is_empty() && step.replayed.is_empty();
        if !is_plain || matches!(step.then, Then::NewerSchema { .. }) {
            // The machine decides what to do there, from the beginning.
            gatherer.begin(guess.selection.clone());
            return Ok(Advanced { then: Then::More, ..Advanced::default() });
        }
        all = Advanced {
            documents: all.documents + step.documents,
            bytes: all.bytes + step.bytes,
            positions: step.positions,
            ..all
        };
        let is_full = all.bytes >= guess.close_bytes.min(AHEAD_BYTES) || all.documents >= guess.close_documents;
        if is_full || step.then == Then::Nothing {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
