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
    /// What the tasks will be if the write under way reached the disk.
    in_flight: Option<BTreeMap<String, Kept>>,
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
        if let Some(tasks) = memory.in_flight.take().filter(|_| in_flight_survives) {
            memory.tasks = tasks;
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
    fn apply(&mut self, mut changes: TaskChanges) -> Result<(), String> {
        for skip in std::mem::take(&mut changes.skips) {
            self.skips.entry(skip.at.clone()).or_insert(skip);
        }
        for (at, again) in std::mem::take(&mut changes.replayed) {
            self.skips.entry(at).and_modify(|skip| skip.replayed_at = Some(again));
        }
        for at in std::mem::take(&mut changes.dropped) {
            self.skips.entry(at).and_modify(|skip| skip.dropped = true);
        }
        self.record.apply(changes)
    }
}

impl Memory {
    fn alive(&self) -> Result<(), StoreError> {
        if self.stopped { Err(stopped()) } else { Ok(()) }
    }

    fn write<T>(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<String, Kept>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.alive()?;
        let mut tasks = self.tasks.clone();
        let value = change(&mut tasks)?;
        if self.stop_at == Some(self.operations) {
            self.stopped = true;
            self.in_flight = Some(tasks);
            return Err(stopped());
        }
        self.operations += 1;
        self.tasks = tasks;
        Ok(value)
    }
}

impl TaskStore for MemoryStore {
    fn take_epoch(&self, task: &str, floor: Epoch) -> Result<Epoch, StoreError> {
        self.lock().write(|tasks| {
            let record = &mut tasks.entry(task.to_owned()).or_default().record;
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
        self.lock().write(|tasks| {
            let newer = tasks.get(task).map_or(Epoch(0), |kept| kept.record.epoch);
            let fenced = || StoreError::Fenced { task: task.to_owned(), mine: epoch, newer };
            let kept = tasks.get_mut(task).filter(|kept| kept.record.epoch == epoch).ok_or_else(fenced)?;
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
