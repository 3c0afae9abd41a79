//! A storage whose owner dies: after a number of operations each one fails, the first of them before or after it has happened. For tests of
//! destinations of whole files, which have to survive it at every operation.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use crate::materialize::whole_files::{Content, Found, PlannedFile, Storage, StoredBytes, Upload};
use crate::{Error, Result};

/// When to die; shared by all storages of one destination.
#[derive(Debug, Clone, Default)]
pub struct Death(Arc<Mutex<Option<Plan>>>);

#[derive(Debug, Clone, Copy)]
struct Plan {
    operations_left: usize,
    /// The last operation happens, and nobody hears of it.
    after: bool,
    is_dead: bool,
}

impl Death {
    /// After so many operations; with `after` the one then under way still happens, and its answer is lost.
    pub fn comes(&self, operations: usize, after: bool) {
        *self.plan() = Some(Plan { operations_left: operations, after, is_dead: false });
    }

    /// No more.
    pub fn never_comes(&self) {
        *self.plan() = None;
    }

    /// Whether it came.
    pub fn came(&self) -> bool {
        self.plan().is_some_and(|plan| plan.is_dead)
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Option<Plan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an operation, or does not.
    fn around<T>(&self, name: &str, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        let dies = match &mut *self.plan() {
            None => None,
            Some(plan) if plan.is_dead => Some(false),
            Some(plan) if plan.operations_left == 0 => {
                plan.is_dead = true;
                Some(plan.after)
            }
            Some(plan) => {
                plan.operations_left -= 1;
                None
            }
        };
        let died = || Error::unavailable("test.crash", format!("died at {name}"));
        match dies {
            None => operation(),
            Some(true) => operation().and_then(|_| Err(died())),
            Some(false) => Err(died()),
        }
    }
}

/// Another storage until its owner dies.
#[derive(Debug)]
pub struct Crashing {
    inner: Arc<dyn Storage>,
    death: Death,
}

impl Crashing {
    /// Around a storage.
    pub fn new(inner: Arc<dyn Storage>, death: Death) -> Arc<Self> {
        Arc::new(Self { inner, death })
    }
}

impl Storage for Crashing {
    fn shown(&self) -> String {
        self.inner.shown()
    }

    fn pointer(&self) -> &'static str {
        self.inner.pointer()
    }

    fn fault(&self, directory: &str) -> Option<Error> {
        self.inner.fault(directory)
    }

    fn claim(&self, directory: &str) -> String {
        self.inner.claim(directory)
    }

    fn lock(&self, key: &str) -> Result<Box<dyn Any + Send>> {
        self.inner.lock(key)
    }

    fn read(&self, key: &str) -> Result<Option<Content>> {
        self.death.around("read", || self.inner.read(key))
    }

    fn replace(&self, key: &str, bytes: &[u8], over: Option<&Content>) -> Result<bool> {
        self.death.around("replace", || self.inner.replace(key, bytes, over))
    }

    fn mark(&self, key: &str) -> Result<()> {
        self.death.around("mark", || self.inner.mark(key))
    }

    fn has(&self, key: &str) -> Result<bool> {
        self.death.around("has", || self.inner.has(key))
    }

    fn names(&self, directory: &str) -> Result<Vec<String>> {
        self.death.around("names", || self.inner.names(directory))
    }

    fn make(&self, directory: &str) -> Result<()> {
        self.death.around("make", || self.inner.make(directory))
    }

    fn has_directory(&self, directory: &str) -> bool {
        self.inner.has_directory(directory)
    }

    fn remove(&self, directory: &str, names: &[String]) -> Result<()> {
        self.death.around("remove", || self.inner.remove(directory, names))
    }

    fn stage(&self, staged: &str, published: &str) -> Result<Box<dyn StoredBytes>> {
        let inner = self.death.around("stage", || self.inner.stage(staged, published))?;
        Ok(Box::new(Bytes { inner, death: self.death.clone() }))
    }

    fn settle_staged(&self, directory: &str) -> Result<()> {
        self.death.around("settle_staged", || self.inner.settle_staged(directory))
    }

    fn publish(&self, file: &PlannedFile) -> Result<Found> {
        self.death.around("publish", || self.inner.publish(file))
    }

    fn settle_published(&self, files: &[PlannedFile]) -> Result<()> {
        self.death.around("settle_published", || self.inner.settle_published(files))
    }

    fn discard(&self, staged: &str) -> Result<()> {
        self.death.around("discard", || self.inner.discard(staged))
    }
}

struct Bytes {
    inner: Box<dyn StoredBytes>,
    death: Death,
}

impl StoredBytes for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.death.around("write", || self.inner.write(bytes))
    }

    fn finish(self: Box<Self>) -> Result<Option<Upload>> {
        let Self { inner, death } = *self;
        death.around("finish", || inner.finish())
    }
}
