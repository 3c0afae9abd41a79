//! A session: each binding's documents of a transaction go into one staged file; the plan names them; applying it publishes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_sdk::materialize::{Applied, Bound, Fence, IdempotentSession, Next, Staging, StoreBatch, Stored, Stores};
use longshore_sdk::{Error, Result, blocking};

use crate::config::{Config, Resource};
use crate::disk::{self, step};
use crate::lines::Lines;
use crate::name;
use crate::owner::Places;
use crate::publish::{As, Marks, Plan, PlannedFile, publish};
use crate::stage::StagedFile;

/// An open session.
pub(crate) struct Session {
    config: Config,
    staging: Staging,
    places: Places,
    bindings: Vec<Bound<Resource>>,
    /// Of each binding.
    lines: Vec<Arc<Lines>>,
    /// Files of the transaction under way, by binding.
    files: BTreeMap<usize, StagedFile>,
    marks: Marks,
}

impl Session {
    /// The owner record is raised already.
    pub(crate) fn new(
        config: Config,
        staging: Staging,
        places: Places,
        bindings: Vec<Bound<Resource>>,
    ) -> Result<Self> {
        let lines = bindings.iter().map(|binding| Arc::new(Lines::of(config.format, binding))).collect();
        let marks = Marks::read(&places)?;
        Ok(Self { config, staging, places, bindings, lines, files: BTreeMap::new(), marks })
    }

    fn write(&mut self, batch: &StoreBatch, stores: &mut Stores<'_>) -> Result<()> {
        let (binding, transaction) = (batch.binding(), stores.transaction());
        if !self.files.contains_key(&binding) {
            let stage = self.staging.stage(&self.bindings[binding].state_key, transaction);
            let path = self.places.staged().join(name::staged(&stage, &self.config.extension()));
            let file = StagedFile::create(&path, self.config.compression, Arc::clone(&self.lines[binding]))?;
            step(&self.places.target, "staging")?;
            self.files.insert(binding, file);
        }
        let Some(file) = self.files.get_mut(&binding) else {
            return Err(Error::internal("files.stage", "expected the staged file of a binding, got none"));
        };
        for row in batch.rows() {
            if let Err(error) = file.write(row.document) {
                stores.reject(binding, &row, error).map_err(|error| error.at_binding(binding))?;
            }
        }
        Ok(())
    }

    /// Every staged file and its name durable: from here on a crash loses nothing that the plan names.
    fn finish(&mut self, transaction: u64) -> Result<Plan> {
        let mut files = Vec::with_capacity(self.files.len());
        for (binding, file) in std::mem::take(&mut self.files) {
            let staged = file.finish()?;
            let binding = &self.bindings[binding];
            let stage = self.staging.stage(&binding.state_key, transaction);
            let extension = self.config.extension();
            let published = self.places.target.join(&binding.resource.name).join(name::published(&stage, &extension));
            files.push(PlannedFile {
                state_key: binding.state_key.as_str().to_owned(),
                staged: self.places.relative(&self.places.staged().join(name::staged(&stage, &extension))),
                published: self.places.relative(&published),
                size: staged.size,
                checksum: staged.checksum,
            });
        }
        if !files.is_empty() {
            disk::sync_directory(&self.places.staged())?;
        }
        step(&self.places.target, "staged")?;
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
        disk::names_in(&staged)?
            .iter()
            .filter(|name| is_orphan(name))
            .try_for_each(|name| disk::remove(&staged.join(name)))
    }
}

impl IdempotentSession for Session {
    type Plan = Plan;

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        loop {
            match stores.next().await? {
                Next::Batch(batch) => blocking(|| self.write(&batch, stores))?,
                Next::End(stored) => return Ok(stored),
            }
        }
    }

    async fn plan(&mut self, stored: Stored) -> Result<Plan> {
        blocking(|| self.finish(stored.transaction()))
    }

    async fn apply(&mut self, applied: Applied<Plan>) -> Result<()> {
        blocking(|| self.publish(&applied))
    }

    async fn settled(&mut self) -> Result<()> {
        blocking(|| self.remove_orphans())
    }
}
