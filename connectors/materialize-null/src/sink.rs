//! The sink behind each of the three doors. What they share is the count of documents.

use longshore_sdk::materialize::{
    Accepts, Applied, ApplyRequest, AtLeastOnce, AtLeastOnceSession, Checkpoint, Fence, Idempotent, IdempotentSession,
    Marker, Materialize, MaterializeSpec, Modes, Next, OpenRequest, Opened, Owner, Recorded, Staging, Stored, Stores,
    Transactional, TransactionalSession, ValidateRequest, Validation,
};
use longshore_sdk::{Error, Result, blocking, finding, place};

use crate::config::{Config, DelayPer, Promise, Resource};
use crate::record::{Record, RecordFile};

/// Forgets what it is given.
#[derive(Debug)]
pub(crate) struct Null {
    promise: Promise,
}

impl Null {
    pub(crate) fn new(promise: Promise) -> Self {
        Self { promise }
    }
}

impl Materialize for Null {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            resource_path_pointers: &["/name"],
            documentation_url: "",
            deletes: true,
            reserved_field_names: &[],
            identifier_max_bytes: None,
            identifier_case_insensitive: false,
            identifier_forbidden_characters: "",
            keeps_meta: false,
            verifies: false,
        }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        let path = &request.config.path;
        let mut findings = Vec::new();
        let kept = self.promise != Promise::AtLeastOnce;
        let fault = if kept { place::fault_of_file(path) } else { None };
        let record = match fault {
            None => blocking(|| RecordFile::new(path.clone()).read())?,
            Some(fault) => {
                let error =
                    Error::config("null.path", format!("expected a file that is there or can be made, got {fault}"));
                let way =
                    "name a file in a directory that is there and can be written; paths are relative to the catalog";
                findings.push(finding::error(error.at_pointer("/path").suggest(way)));
                None
            }
        };
        // The file says how far one task is.
        let claim = if kept { place::one_name(path) } else { String::new() };
        if let Some(wanted) = request.config.guarantee.filter(|wanted| *wanted != self.promise) {
            let (got, wanted) = (self.promise.as_str(), wanted.as_str());
            let message = format!("expected a connector that is {wanted}, got one that was started as {got}");
            let error = Error::config("null.guarantee", message)
                .at_pointer("/guarantee")
                .suggest(format!("start it as `command: [materialize-null, --guarantee={wanted}]`"));
            findings.push(finding::error(error));
        }
        Ok(Validation {
            bindings: vec![Accepts { claim, ..Accepts::new(Modes::Both) }; request.bindings.len()],
            findings,
            recorded: record.map(|record| record.recorded),
        })
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        blocking(|| apply(&request))
    }
}

fn apply(request: &ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
    let file = RecordFile::new(request.config.path.clone());
    let owner = &request.owner;
    let fence = Fence::new(owner.clone());
    let begin_again = request.take_over || request.all_fresh();
    let Some(record) = file.read()? else { return Ok(Vec::new()) };
    if !begin_again {
        fence.may_alter(&record.recorded)?;
    }
    let mut actions = Vec::new();
    if request.remove && request.bindings.is_empty() {
        actions.push("remove the checkpoint file".to_owned());
        if !request.dry_run {
            file.remove(|record| fence.may_alter(&record.recorded))?;
        }
    } else if begin_again && record.recorded.installation != owner.installation {
        actions.push(format!("write installation {} into the checkpoint file, at the beginning", owner.installation));
        if !request.dry_run {
            file.update(|_| Ok(beginning(owner)))?;
        }
    }
    Ok(actions)
}

/// Just below the epoch that is about to open.
fn beginning(owner: &Owner) -> Record {
    let epoch = owner.epoch.saturating_sub(1);
    Record { recorded: Marker::default().recorded(owner.installation.clone(), epoch, 0), documents: 0 }
}

/// Counts, waits and fails as the config says.
#[derive(Debug)]
struct Counter {
    config: Config,
    session_documents: u64,
    transaction_documents: u64,
}

impl Counter {
    fn new(config: Config) -> Self {
        Self { config, session_documents: 0, transaction_documents: 0 }
    }

    async fn count(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.transaction_documents = 0;
        loop {
            let documents = match stores.next().await? {
                Next::Batch(batch) => batch.len(),
                Next::End(stored) => return Ok(stored),
            };
            self.transaction_documents += documents as u64;
            self.session_documents += documents as u64;
            self.wait(documents).await;
            if self.config.fail_after.is_some_and(|limit| self.session_documents > limit) {
                return Err(Error::unavailable("null.fail_after", "storing: failed, as `fail_after` says"));
            }
        }
    }

    async fn wait(&self, documents: usize) {
        let times = match self.config.delay_per {
            DelayPer::Batch => 1,
            DelayPer::Document => u32::try_from(documents).unwrap_or(u32::MAX),
        };
        let delay = self.config.delay.0.saturating_mul(times);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

/// The file, as a session of this owner changes it.
#[derive(Debug)]
struct Kept {
    file: RecordFile,
    fence: Fence,
}

impl Kept {
    fn open(config: &Config, owner: Owner) -> Result<(Self, Option<Recorded>)> {
        let kept = Self { file: RecordFile::new(config.path.clone()), fence: Fence::new(owner) };
        let before = kept.file.update(|before| match before {
            None => Ok(Record {
                recorded: Recorded { epoch: kept.fence.owner.epoch, ..beginning(&kept.fence.owner).recorded },
                documents: 0,
            }),
            Some(record) => {
                kept.fence.may_raise(&record.recorded)?;
                Ok(Record {
                    recorded: Recorded { epoch: kept.fence.owner.epoch, ..record.recorded.clone() },
                    ..record.clone()
                })
            }
        })?;
        Ok((kept, before.map(|record| record.recorded)))
    }

    /// Only while nobody newer has raised the epoch, and never back.
    fn advance(&self, transaction: u64, checkpoint: &[u8], documents: u64) -> Result<()> {
        let advanced = self.file.update(|before| {
            let Some(record) = before else { return Err(self.lost()) };
            let Recorded { installation, epoch, transaction: last, .. } = &record.recorded;
            if *installation != self.fence.owner.installation || *epoch != self.fence.owner.epoch {
                return Err(self.fence.lost_to(record.recorded.clone()));
            }
            if transaction <= *last {
                return Ok(record.clone());
            }
            let marker = Marker::from_bytes(checkpoint.to_vec());
            let recorded = marker.recorded(installation.clone(), *epoch, transaction);
            Ok(Record { recorded, documents: record.documents + documents })
        })?;
        tracing::debug!(
            transaction,
            documents,
            total = advanced.map_or(0, |before| before.documents) + documents,
            "counted"
        );
        Ok(())
    }

    fn lost(&self) -> Error {
        let message = format!(
            "task {}: expected the checkpoint file, got none: it was removed while a session is open",
            self.fence.owner.task
        );
        Error::unavailable("null.lost", message).suggest("open the session again")
    }
}

/// Behind `transactional`.
#[derive(Debug)]
pub(crate) struct TransactionalNull {
    counter: Counter,
    kept: Kept,
}

impl Transactional for Null {
    type Session = TransactionalNull;

    async fn open(&self, open: OpenRequest<Config, Resource>, fence: Fence) -> Result<Opened<TransactionalNull>> {
        let (kept, recorded) = blocking(|| Kept::open(&open.config, fence.owner))?;
        let session = TransactionalNull { counter: Counter::new(open.config), kept };
        Ok(Opened { session, recorded, close_policy: Default::default() })
    }
}

impl TransactionalSession for TransactionalNull {
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.counter.count(stores).await
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<()> {
        let documents = self.counter.transaction_documents;
        blocking(|| self.kept.advance(stored.transaction(), checkpoint.as_bytes(), documents))
    }
}

/// Behind `idempotent`.
#[derive(Debug)]
pub(crate) struct IdempotentNull {
    counter: Counter,
    kept: Kept,
}

impl Idempotent for Null {
    /// How many documents there were.
    type Plan = u64;
    type Session = IdempotentNull;

    async fn open(&self, open: OpenRequest<Config, Resource>, staging: Staging) -> Result<Opened<IdempotentNull>> {
        let (kept, recorded) = blocking(|| Kept::open(&open.config, staging.owner))?;
        let session = IdempotentNull { counter: Counter::new(open.config), kept };
        Ok(Opened { session, recorded, close_policy: Default::default() })
    }

    /// The plan comes again at the first acknowledgement if this is lost, so the fence is raised there.
    async fn drain(&self, request: &ApplyRequest<Config, Resource>, applied: Applied<u64>) -> Result<()> {
        let fence = Fence::new(request.owner.clone());
        let file = RecordFile::new(request.config.path.clone());
        let drain = |before: Option<&Record>| {
            let before = before.cloned().unwrap_or_else(|| beginning(&request.owner));
            fence.may_alter(&before.recorded)?;
            let Recorded { installation, epoch, transaction, .. } = before.recorded.clone();
            if applied.transaction <= transaction {
                return Ok(before);
            }
            let recorded = applied.marker.recorded(installation, epoch, applied.transaction);
            Ok(Record { recorded, documents: before.documents + applied.plan })
        };
        blocking(|| file.update(drain)).map(drop)
    }
}

impl IdempotentSession for IdempotentNull {
    type Plan = u64;

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.counter.count(stores).await
    }

    async fn plan(&mut self, _: Stored) -> Result<u64> {
        Ok(self.counter.transaction_documents)
    }

    async fn apply(&mut self, applied: Applied<u64>) -> Result<()> {
        blocking(|| self.kept.advance(applied.transaction, applied.marker.as_bytes(), applied.plan))
    }
}

/// Behind `at_least_once`: the promise needs no file.
#[derive(Debug)]
pub(crate) struct AtLeastOnceNull {
    counter: Counter,
}

impl AtLeastOnce for Null {
    type Session = AtLeastOnceNull;

    async fn open(&self, open: OpenRequest<Config, Resource>) -> Result<AtLeastOnceNull> {
        Ok(AtLeastOnceNull { counter: Counter::new(open.config) })
    }
}

impl AtLeastOnceSession for AtLeastOnceNull {
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.counter.count(stores).await
    }

    async fn flush(&mut self, stored: Stored) -> Result<()> {
        tracing::debug!(transaction = stored.transaction(), documents = self.counter.transaction_documents, "counted");
        Ok(())
    }
}
