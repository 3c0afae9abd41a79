//! The journal in files: what writer and readers of one process share.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::acquire::acquire;
use super::chain::Link;
use super::reader::FileReader;
use super::recent::Recent;
use super::segment::io_error;
use super::storage::{FileStorage, Storage};
use super::{
    CommittedEnd, Evidence, Filter, Journal, JournalError, JournalId, Known, Position, Reader, SegmentName, Trim,
    Trimmed, Writer,
};
use crate::store::Epoch;

/// A segment is closed when it has grown to this many bytes: 64 MiB.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// A transaction may put this many bytes into the journal: 16 GiB.
pub const TRANSACTION_MAX_BYTES: u64 = 16 << 30;

/// How a journal in files is opened.
#[derive(Debug, Clone)]
pub struct FileJournalOptions {
    /// Its own directory; see [`journal_dir`].
    pub dir: PathBuf,
    /// The id it gets if there is none yet.
    pub fresh_id: JournalId,
    /// What others remember of it.
    pub evidence: Evidence,
    /// Bytes after which a new segment is begun.
    pub segment_bytes: u64,
    /// Bytes one transaction may put into it.
    pub transaction_max_bytes: u64,
}

/// See [`Journal`].
#[derive(Debug, Clone)]
pub struct FileJournal {
    engine: Arc<Engine>,
}

/// Where the journal of a capture task lives. A `/` in the name becomes `%2F`; a name that is then longer than 64 bytes becomes a hash.
#[must_use]
pub fn journal_dir(state_dir: &Path, task: &str) -> PathBuf {
    let mut name = task.replace('/', "%2F");
    if name.len() > 64 {
        name = Sha256::digest(task).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    }
    state_dir.join("journals").join(name)
}

impl FileJournal {
    /// Over real files, with the usual sizes.
    pub fn open(dir: PathBuf, evidence: Evidence) -> Result<Self, JournalError> {
        let fresh_id = JournalId::random().map_err(|source| io_error(&dir, "drawing an id for", source))?;
        Ok(Self::over(Arc::new(FileStorage), FileJournalOptions::new(dir, fresh_id, evidence)))
    }

    /// Over any storage.
    #[must_use]
    pub fn over(storage: Arc<dyn Storage>, options: FileJournalOptions) -> Self {
        Self { engine: Arc::new(Engine::new(storage, options)) }
    }
}

impl FileJournalOptions {
    /// With the usual sizes.
    #[must_use]
    pub fn new(dir: PathBuf, fresh_id: JournalId, evidence: Evidence) -> Self {
        Self { dir, fresh_id, evidence, segment_bytes: SEGMENT_BYTES, transaction_max_bytes: TRANSACTION_MAX_BYTES }
    }
}

impl Journal for FileJournal {
    fn acquire(&self, epoch: Epoch) -> Result<Box<dyn Writer>, JournalError> {
        Ok(Box::new(acquire(&self.engine, epoch)?))
    }

    fn reader(&self, filter: Filter) -> Box<dyn Reader> {
        Box::new(FileReader::new(Arc::clone(&self.engine), filter))
    }

    fn id(&self) -> Option<JournalId> {
        self.engine.shared().id
    }

    fn committed(&self) -> watch::Receiver<Option<CommittedEnd>> {
        self.engine.committed.subscribe()
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.engine.shared().known)
    }

    fn start_before(&self, offset: u64) -> Position {
        self.engine.start_before(offset)
    }

    fn begins_at(&self) -> u64 {
        self.engine.begins_at()
    }

    fn holds_all_of(&self, collection: &str) -> Result<bool, JournalError> {
        self.engine.holds_all_of(collection, &self.known())
    }

    fn trimmable(&self, low_water: u64) -> Option<Trim> {
        self.engine.trimmable(low_water)
    }

    fn trim(&self, trim: &Trim) -> Result<Trimmed, JournalError> {
        self.engine.trim(trim)
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) options: FileJournalOptions,
    shared: Mutex<Shared>,
    recent: Mutex<Recent>,
    committed: watch::Sender<Option<CommittedEnd>>,
}

/// Changed by the writer that owns the newest segment, and by nobody else.
#[derive(Debug)]
struct Shared {
    id: Option<JournalId>,
    /// Oldest first.
    links: Arc<Vec<Link>>,
    known: Arc<Known>,
    /// Where it was trimmed to.
    trimmed: Option<Trim>,
}

impl Engine {
    pub(super) fn new(storage: Arc<dyn Storage>, options: FileJournalOptions) -> Self {
        let trimmed = options.evidence.trimmed;
        let shared = Shared { id: None, links: Arc::default(), known: Arc::default(), trimmed };
        Self {
            storage,
            options,
            shared: Mutex::new(shared),
            recent: Mutex::default(),
            committed: watch::Sender::new(None),
        }
    }

    /// What was written last.
    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.options.dir
    }

    pub(super) fn path(&self, name: SegmentName) -> PathBuf {
        name.path_in(self.dir())
    }

    pub(super) fn dir_text(&self) -> String {
        self.dir().display().to_string()
    }

    /// All segment files there are, in order of their numbers.
    pub(super) fn segments(&self) -> Result<Vec<SegmentName>, JournalError> {
        let mut segments = Vec::new();
        let listed = self.storage.list(self.dir(), &mut |name| segments.extend(SegmentName::parse(name)));
        listed.map_err(|source| io_error(self.dir(), "listing", source))?;
        segments.sort_unstable();
        Ok(segments)
    }

    /// Fails if one of them is of a higher epoch.
    pub(super) fn fenced(&self, mine: Epoch, segments: &[SegmentName]) -> Result<(), JournalError> {
        match segments.iter().map(|name| name.epoch).max() {
            Some(newer) if newer > mine => Err(JournalError::Fenced { journal: self.dir_text(), mine, newer }),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn links(&self) -> Arc<Vec<Link>> {
        Arc::clone(&self.shared().links)
    }

    pub(super) fn id(&self) -> Option<JournalId> {
        self.shared().id
    }

    /// The beginning of the last segment that begins between two transactions, at or before this offset.
    pub(super) fn start_before(&self, offset: u64) -> Position {
        let starts = |link: &&Link| link.position.offset <= offset && !link.continues;
        self.links().iter().rev().find(starts).map_or(Position::BEGINNING, |link| link.position)
    }

    pub(super) fn committed_end(&self) -> Option<CommittedEnd> {
        *self.committed.borrow()
    }

    /// The journal as an acquire, or who only looks at it, found it.
    pub(super) fn found(&self, links: Vec<Link>, known: Known, end: CommittedEnd) {
        let mut shared = self.shared();
        let trimmed = shared.trimmed;
        *shared = Shared { id: Some(end.durable.journal), links: Arc::new(links), known: Arc::new(known), trimmed };
        self.committed.send_replace(Some(end));
    }

    pub(super) fn trimmed(&self) -> Option<Trim> {
        self.shared().trimmed
    }

    /// Everything before this is gone from now on; the segments that were part of the journal till now.
    pub(super) fn begin_at(&self, trim: &Trim) -> Vec<SegmentName> {
        let mut shared = self.shared();
        shared.trimmed = Some(*trim);
        let first = shared.links.iter().position(|link| link.name == trim.first).unwrap_or(0);
        let mut links = shared.links.to_vec();
        let dropped = links.drain(..first).map(|link| link.name).collect();
        shared.links = Arc::new(links);
        dropped
    }

    /// A writer has begun its next segment; `false`: it is not the newest writer of this process any more.
    pub(super) fn rotated(&self, from: SegmentName, sealed_bytes: u64, next: Link) -> bool {
        let mut shared = self.shared();
        let mut links = shared.links.to_vec();
        match links.last_mut() {
            Some(last) if last.name == from => last.sealed_bytes = Some(sealed_bytes),
            Some(_) | None => return false,
        }
        links.push(next);
        shared.links = Arc::new(links);
        true
    }

    /// A writer has made a commit durable; `false`: it is not the newest writer of this process any more.
    pub(super) fn advanced(&self, end: CommittedEnd, known: Option<Known>) -> bool {
        let mut shared = self.shared();
        if shared.links.last().is_none_or(|last| last.name != end.durable.segment) {
            return false;
        }
        if let Some(known) = known {
            shared.known = Arc::new(known);
        }
        self.committed.send_replace(Some(end));
        true
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
