//! A session: each binding's documents of a transaction go into staged files; the plan names them; applying it publishes them.

use std::collections::BTreeMap;

use super::name;
use super::owner::Places;
use super::publish::{As, Marks, Plan, PlannedFile, publish};
use super::resource::Resource;
use super::stage::{Fault, Format, FormatFile, StagedFile};
use crate::materialize::{
    Applied, Bound, Fence, IdempotentSession, Next, StageId, Staging, StateKey, StoreBatch, Stored, Stores,
};
use crate::{Error, Result, blocking};

/// What the files under way may hold in memory together, before the largest has to spill.
const BUFFERED_BYTES_MAX: usize = 64 << 20;

/// An open session.
#[derive(Debug)]
pub struct Session<F: Format> {
    places: Places,
    format: F,
    staging: Staging,
    /// State key and name of each.
    bindings: Vec<(StateKey, String)>,
    /// Files of the transaction under way, by binding.
    files: BTreeMap<usize, OpenFile<F::File>>,
    /// What is finished of it, by binding and number.
    finished: BTreeMap<(usize, u32), PlannedFile>,
    marks: Marks,
}

/// A staged file that takes documents.
struct OpenFile<F> {
    file: F,
    fault: Fault,
    number: u32,
    staged: String,
    published: String,
}

impl<F> std::fmt::Debug for OpenFile<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("staged", &self.staged).finish_non_exhaustive()
    }
}

impl<F: Format> Session<F> {
    /// The owner record is raised already.
    pub(super) fn new(places: Places, format: F, staging: Staging, bindings: &[Bound<Resource>]) -> Result<Self> {
        let marks = Marks::read(&places)?;
        let bindings = bindings.iter().map(|one| (one.state_key.clone(), one.resource.name.clone())).collect();
        Ok(Self { places, format, staging, bindings, files: BTreeMap::new(), finished: BTreeMap::new(), marks })
    }

    fn write(&mut self, batch: &StoreBatch, stores: &mut Stores<'_>) -> Result<()> {
        let (binding, transaction) = (batch.binding(), stores.transaction());
        for row in batch.rows() {
            let open = self.file(binding, transaction)?;
            if let Err(error) = open.file.write(row.document) {
                stores.reject(binding, &row, open.fault.or(error)).map_err(|error| error.at_binding(binding))?;
            }
            if open.file.is_full() {
                self.finish(binding)?;
            }
        }
        self.hold_less()
    }

    /// The file that a binding's next document goes into.
    fn file(&mut self, binding: usize, transaction: u64) -> Result<&mut OpenFile<F::File>> {
        if !self.files.contains_key(&binding) {
            let file = self.begin(binding, transaction)?;
            self.files.insert(binding, file);
        }
        self.files
            .get_mut(&binding)
            .ok_or_else(|| Error::internal("files.stage", "expected the staged file of a binding, got none"))
    }

    fn begin(&self, binding: usize, transaction: u64) -> Result<OpenFile<F::File>> {
        let (state_key, directory) = &self.bindings[binding];
        let stage = self.staging.stage(state_key, transaction);
        let mut earlier = self.finished.range((binding, 0)..=(binding, u32::MAX));
        let number = earlier.next_back().map_or(0, |((_, number), _)| number + 1);
        let (staged, published) = self.keys(&stage, number, directory);
        let sink = StagedFile::new(self.places.storage.stage(&staged, &published)?);
        let fault = sink.fault();
        let file = self.format.begin(binding, &stage, sink).map_err(|error| fault.or(error))?;
        Ok(OpenFile { file, fault, number, staged, published })
    }

    fn keys(&self, stage: &StageId, number: u32, directory: &str) -> (String, String) {
        let part = self.format.is_rolled().then_some(number);
        let staged = name::staged(stage, part, &self.format.staged_extension());
        let published = name::published(stage, part, &self.format.extension());
        (format!("{}/{staged}", self.places.staged()), format!("{directory}/{published}"))
    }

    /// No more for this file.
    fn finish(&mut self, binding: usize) -> Result<()> {
        let Some(OpenFile { file, fault, number, staged, published }) = self.files.remove(&binding) else {
            return Ok(());
        };
        let sink = file.finish().map_err(|error| fault.or(error))?;
        let done = sink.finish()?;
        let state_key = self.bindings[binding].0.as_str().to_owned();
        let file =
            PlannedFile { state_key, staged, published, size: done.size, checksum: done.checksum, upload: done.upload };
        self.finished.insert((binding, number), file);
        Ok(())
    }

    /// Many bindings may have a file under way: together they stay within a budget.
    fn hold_less(&mut self) -> Result<()> {
        let held: usize = self.files.values().map(|open| open.file.buffered_bytes()).sum();
        if held <= BUFFERED_BYTES_MAX {
            return Ok(());
        }
        match self.files.values_mut().max_by_key(|open| open.file.buffered_bytes()) {
            Some(open) => open.file.spill().map_err(|error| open.fault.or(error)),
            None => Ok(()),
        }
    }

    /// Every staged file and its name durable: from here on a crash loses nothing that the plan names.
    fn finish_all(&mut self) -> Result<Plan> {
        while let Some(&binding) = self.files.keys().next() {
            self.finish(binding)?;
        }
        let files: Vec<PlannedFile> = std::mem::take(&mut self.finished).into_values().collect();
        if !files.is_empty() {
            self.places.storage.settle_staged(&self.places.staged())?;
        }
        let owner = &self.staging.owner;
        Ok(Plan { installation: owner.installation.as_str().to_owned(), task: owner.task.clone(), files })
    }

    fn publish(&mut self, applied: &Applied<Plan>) -> Result<()> {
        let fence = Fence::new(self.staging.owner.clone());
        publish(&self.places, &fence, As::Session, applied)?;
        self.marks.add(&self.places, applied.epoch, applied.transaction)
    }

    /// What sessions before this one staged and no plan published: nobody will ask for it.
    fn remove_orphans(&self) -> Result<()> {
        let staged = self.places.staged();
        let is_orphan = |name: &String| name::staged_epoch(name).is_some_and(|epoch| epoch < self.staging.owner.epoch);
        let names = self.places.storage.names(&staged)?;
        let mut orphans = names.iter().filter(|name| is_orphan(name));
        orphans.try_for_each(|name| self.places.storage.discard(&format!("{staged}/{name}")))
    }
}

impl<F: Format> IdempotentSession for Session<F> {
    type Plan = Plan;

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        loop {
            match stores.next().await? {
                Next::Batch(batch) => blocking(|| self.write(&batch, stores))?,
                Next::End(stored) => return Ok(stored),
            }
        }
    }

    async fn plan(&mut self, _stored: Stored) -> Result<Plan> {
        blocking(|| self.finish_all())
    }

    async fn apply(&mut self, applied: Applied<Plan>) -> Result<()> {
        blocking(|| self.publish(&applied))
    }

    async fn settled(&mut self) -> Result<()> {
        blocking(|| self.remove_orphans())
    }
}
