//! What people and retention do to the journal between sessions: letters are replayed, what was refused is sent again, what all have is trimmed.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore::journal::{Journal, JournalId};
use longshore::letters::refused::{self, Keeps, Order, Receiver};
use longshore::materialize::checkpoint::{Checkpoint, Place};
use longshore::store::{Epoch, Skip, SkipId, TaskChanges, TaskStore};
use longshore_proto::Error;
use longshore_proto::materialize::message::Guarantee;
use longshore_proto::session::Binding;

use super::{World, installation};
use crate::sim::capture::Broken;
use crate::sim::materialize::TASK;
use crate::sim::{Mistake, Violation, letters};

impl World {
    pub(super) fn replay(&mut self) -> Result<(), Violation> {
        self.waits = None;
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let Ok(epoch) = self.store.take_epoch("capture", Epoch(0)) else { return Ok(()) };
        let journal = Arc::clone(&runtime.journal);
        let how = if self.options.mistake == Mistake::ReplayBeforeItsMark {
            letters::Replay::InTwo { ends_between: self.dice.once_in(3) }
        } else {
            letters::Replay::Whole
        };
        let writer = journal.acquire(epoch).map_err(Error::from);
        match writer.and_then(|mut writer| letters::replay_all(&*journal, &mut *writer, how)) {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.count("replayed");
                Ok(())
            }
            Err(error) => self.session_ended(Broken::Session(error), false),
        }
    }

    /// Where nothing waits the journal is left alone, as it is shipped.
    pub(super) fn resend(&mut self) -> Result<(), Violation> {
        self.destination.is_mended |= self.dice.once_in(2);
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let (journal, record) = (Arc::clone(&runtime.journal), self.record());
        let skips = self.skips();
        let checkpoint = Checkpoint::of_record(&record, &installation()).map_err(|error| error.to_string())?;
        let waits = |skip: &&Skip| refused::waits(skip, &checkpoint);
        let meant: BTreeSet<SkipId> = skips.iter().filter(waits).map(|skip| skip.at.clone()).collect();
        if meant.is_empty() {
            return Ok(());
        }
        let reduces = self.reduces;
        let receiver = |binding: &Binding| {
            let keeps = match binding.delta_updates {
                true => Keeps::Every,
                false if reduces => Keeps::Reduced,
                false => Keeps::Last,
            };
            (binding.state_key.clone(), Receiver { keeps, key: binding.collection.key.clone() })
        };
        let receivers = self.bindings.iter().map(receiver).collect();
        let order = Order { task: TASK, skips: &skips, meant: &meant, receivers: &receivers, force: false };
        let Ok(epoch) = self.store.take_epoch("capture", Epoch(0)) else { return Ok(()) };
        let looks = self.options.mistake != Mistake::ResendWithoutLooking;
        let writer = journal.acquire(epoch).map_err(Error::from);
        match writer.and_then(|mut writer| letters::resend(&*journal, &mut *writer, &order, looks)) {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.count("resent");
                Ok(())
            }
            Err(error) => self.session_ended(Broken::Session(error), false),
        }
    }

    /// As retention does it: what all have passed, durable first.
    pub(super) fn trim(&mut self) -> Result<bool, Broken> {
        let Some(runtime) = &self.runtime else { return Ok(false) };
        let journal = Arc::clone(&runtime.journal);
        let Some(id) = journal.id() else { return Ok(false) };
        let spoils = self.options.mistake == Mistake::TrimWhatIsNeeded;
        let of_tasks = if spoils { u64::MAX } else { self.low_water(id)? };
        let before = |letter: Option<u64>| letter.filter(|_| !spoils).map_or(of_tasks, |letter| letter.min(of_tasks));
        if journal.trimmable(before(self.waits)).is_none() {
            return Ok(false);
        }
        let found = letters::find(&*journal).map_err(Error::from)?;
        self.waits = found.first_waiting();
        let low_water = before(self.waits);
        let Some(trim) = journal.trimmable(low_water) else { return Ok(false) };
        self.archive.add(found);
        // Older ones would be a destination that went back too far, a stop.
        self.backups.clear();
        if self.options.mistake != Mistake::TrimBeforeItIsDurable {
            let durable = journal.committed().borrow().map(|end| end.durable).into_iter().collect();
            let changes = TaskChanges { trimmed: Some(trim), durable, ..TaskChanges::default() };
            let record = self.store.load("capture").map_err(Error::from)?.unwrap_or_default();
            self.store.commit("capture", record.epoch, changes).map_err(Error::from)?;
        }
        let trimmed = journal.trim(&trim).map_err(Error::from)?;
        Ok(trimmed.segments > 0)
    }

    /// What every binding has passed, and no letter of the destination waits before.
    fn low_water(&self, journal: JournalId) -> Result<u64, Error> {
        let checkpoint = Checkpoint::of_record(&self.record(), &installation())?;
        let theirs = match &self.destination.owner {
            // Restored from a backup, it may be behind what the store knows.
            Some(owner) if self.options.guarantee == Guarantee::Transactional && !owner.checkpoint.is_empty() => {
                Checkpoint::parse(&owner.checkpoint)?
            }
            Some(_) | None => checkpoint.clone(),
        };
        let place = |binding: &Binding| Place { journal, binding: binding.state_key.clone() };
        let places: Vec<Place> = self.bindings.iter().map(place).collect();
        let positions = places.iter().map(|place| checkpoint.position(place).min(theirs.position(place)).offset);
        let skips = self.skips();
        let waiting = skips.iter().filter(|skip| refused::mark(skip, &checkpoint).is_none()).map(|skip| skip.at.offset);
        Ok(positions.chain(waiting).min().unwrap_or(0))
    }

    /// All that the destination refused.
    pub(super) fn skips(&self) -> Vec<Skip> {
        self.store.skips(TASK).unwrap_or_default()
    }
}
