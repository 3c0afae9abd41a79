//! A task store in memory that crashes on demand: what was in flight then may have become durable or not, as with a real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Epoch, Skip, SkipId, StoreError, TaskChanges, TaskRecord, TaskStore};

/// All that is kept of a task.
#[derive(Debug, Clone, Default)]
struct Kept {
    record: TaskRecord,
    skips: BTreeMap<SkipId, Skip>,
}

/// Clones see the same tasks.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    tasks: BTreeMap<String, Kept>,
    operations: u64,
    stop_at: Option<u64>,
    stopped: bool,
    /// What a task will be if the write under way reached the disk.
    in_flight: Option<(String, Kept)>,
}

impl MemoryStore {
    /// The write with this number, counted from here, and everything after it fails with an unknown outcome.
    pub fn stop_at(&self, operation: Option<u64>) {
        let mut memory = self.lock();
        memory.operations = 0;
        memory.stop_at = operation;
    }

    /// Writes since then.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether it has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Comes up again; the write that was under way reached the disk or did not.
    pub fn restart(&self, in_flight_survives: bool) {
        let mut memory = self.lock();
        if let Some((task, kept)) = memory.in_flight.take().filter(|_| in_flight_survives) {
            memory.tasks.insert(task, kept);
        }
        (memory.stopped, memory.stop_at, memory.operations) = (false, None, 0);
    }

    /// A store of its own with the same content.
    #[must_use]
    pub fn copy(&self) -> Self {
        let memory = Memory { tasks: self.lock().tasks.clone(), ..Memory::default() };
        Self { shared: Arc::new(Mutex::new(memory)) }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Takes the changes in, all or none.
    fn apply(&mut self, mut changes: TaskChanges) -> Result<(), String> {
        let (skips, replayed) = (std::mem::take(&mut changes.skips), std::mem::take(&mut changes.replayed));
        let dropped = std::mem::take(&mut changes.dropped);
        self.record.apply(changes)?;
        for skip in skips {
            self.skips.entry(skip.at.clone()).or_insert(skip);
        }
        for (at, again) in replayed {
            self.skips.entry(at).and_modify(|skip| skip.replayed_at = Some(again));
        }
        for at in dropped {
            self.skips.entry(at).and_modify(|skip| skip.dropped = true);
        }
        Ok(())
    }
}

impl Memory {
    fn alive(&self) -> Result<(), StoreError> {
        if self.stopped { Err(stopped()) } else { Ok(()) }
    }

    /// What is kept of a task is changed, which fails before it has changed anything.
    fn write<T>(
        &mut self,
        task: &str,
        change: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.alive()?;
        let stops = self.stop_at == Some(self.operations);
        let value = match self.tasks.get_mut(task) {
            Some(kept) if !stops => change(kept)?,
            other => {
                let mut kept = other.map(|kept| kept.clone()).unwrap_or_default();
                let value = change(&mut kept)?;
                if stops {
                    self.stopped = true;
                    self.in_flight = Some((task.to_owned(), kept));
                    return Err(stopped());
                }
                self.tasks.insert(task.to_owned(), kept);
                value
            }
        };
        self.operations += 1;
        Ok(value)
    }
}

impl TaskStore for MemoryStore {
    fn take_epoch(&self, task: &str, floor: Epoch) -> Result<Epoch, StoreError> {
        self.lock().write(task, |Kept { record, .. }| {
            record.epoch = Epoch(record.epoch.max(floor).0 + 1);
            Ok(record.epoch)
        })
    }

    fn load(&self, task: &str) -> Result<Option<TaskRecord>, StoreError> {
        let memory = self.lock();
        memory.alive()?;
        Ok(memory.tasks.get(task).map(|kept| kept.record.clone()))
    }

    fn commit(&self, task: &str, epoch: Epoch, changes: TaskChanges) -> Result<(), StoreError> {
        self.lock().write(task, |kept| {
            let newer = kept.record.epoch;
            if newer != epoch || newer == Epoch(0) {
                return Err(StoreError::Fenced { task: task.to_owned(), mine: epoch, newer });
            }
            kept.apply(changes).map_err(|reason| StoreError::Refused { task: task.to_owned(), reason })
        })
    }

    fn skips(&self, task: &str) -> Result<Vec<Skip>, StoreError> {
        let memory = self.lock();
        memory.alive()?;
        Ok(memory.tasks.get(task).map(|kept| kept.skips.values().cloned().collect()).unwrap_or_default())
    }

    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        let memory = self.lock();
        memory.alive()?;
        Ok(memory.tasks.keys().cloned().collect())
    }
}

fn stopped() -> StoreError {
    StoreError::Unknown { doing: "writing", reason: "the simulated process has ended".to_owned() }
}
