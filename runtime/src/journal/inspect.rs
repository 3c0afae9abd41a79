//! Looking at a journal without taking part in it: no epoch is taken, nothing is written, a running writer is not disturbed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acquire::{look, replay_opening};
use super::body::{self, Said};
use super::chain::Link;
use super::file::{Engine, FileJournalOptions};
use super::frame::{Flags, Kind};
use super::reader::FileReader;
use super::replica::{Replica, fault};
use super::segment::{SegmentFile, io_error};
use super::storage::Storage;
use super::survey::{Survey, is_opening};
use super::{CommittedEnd, Evidence, Filter, JournalError, JournalId, Known, Position, Reader, SegmentName};
use longshore_proto::state::State;

/// The tasks that have a journal in a state directory, sorted. A long name is shown as the hash its directory has.
pub fn journal_names(storage: &dyn Storage, state_dir: &Path) -> Result<Vec<String>, JournalError> {
    let dir = state_dir.join("journals");
    let mut names = Vec::new();
    let listed = storage.list(&dir, &mut |name| names.push(name.replace("%2F", "/")));
    listed.map_err(|source| io_error(&dir, "listing", source))?;
    names.sort_unstable();
    Ok(names)
}

/// A journal as it was found.
#[derive(Debug)]
pub struct Inspection {
    engine: Arc<Engine>,
    survey: Survey,
    replica: Replica,
    end: CommittedEnd,
}

/// One segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number and epoch.
    pub name: SegmentName,
    /// Length of the file.
    pub file_bytes: u64,
    /// What counts of it; `None`: it is not part of the journal.
    pub counted_bytes: Option<u64>,
    /// The last transaction before it, and where that ended.
    pub after: Option<(u64, Position)>,
}

/// The end of the newest segment that does not count: torn off by a crash, or not committed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: SegmentName,
    /// First byte that does not count.
    pub from_byte: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Why nothing counts from there on.
    pub reason: String,
}

/// What a full check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Segments read.
    pub segments: u64,
    /// Bytes read and found whole.
    pub bytes: u64,
    /// Frames in them.
    pub frames: u64,
    /// Committed transactions.
    pub transactions: u64,
    /// Documents in those.
    pub documents: u64,
    /// Dead letters in those, settled or not.
    pub dead_letters: u64,
    /// So many bytes of the newest segment are known to have been durable once.
    pub witnessed_bytes: u64,
    /// What does not count.
    pub torn: Option<TornTail>,
    /// Dead letters of a transaction that goes on in the next segment.
    open_letters: u64,
}

impl Inspection {
    /// Looks at the journal in a directory; `None`: there is none. Damage before what a witness covers is an error here already.
    pub fn open(storage: Arc<dyn Storage>, dir: PathBuf, evidence: Evidence) -> Result<Option<Self>, JournalError> {
        // The id is for journals that are begun, and this begins none.
        let engine = Engine::new(storage, FileJournalOptions::new(dir, JournalId([0; 16]), evidence));
        let Some((survey, replica)) = look(&engine)? else { return Ok(None) };
        let end = engine.committed_end();
        Ok(end.map(|end| Self { engine: Arc::new(engine), survey, replica, end }))
    }

    /// The journal's id.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.survey.head.journal
    }

    /// The end of the last commit.
    #[must_use]
    pub fn end(&self) -> &CommittedEnd {
        &self.end
    }

    /// The connector's state there.
    #[must_use]
    pub fn state(&self) -> &State {
        static NONE: std::sync::LazyLock<State> = std::sync::LazyLock::new(State::default);
        self.replica.state.as_ref().unwrap_or(&NONE)
    }

    /// Bindings and newest schemas there.
    #[must_use]
    pub fn known(&self) -> Known {
        self.replica.known()
    }

    /// The first offset that is there.
    #[must_use]
    pub fn begins_at(&self) -> u64 {
        self.engine.begins_at()
    }

    /// Whether all documents of a collection are there, as far as they were not captured again under a newer generation.
    pub fn holds_all_of(&self, collection: &str) -> Result<bool, JournalError> {
        self.engine.holds_all_of(collection, &self.known())
    }

    /// A position at or before this offset from which a reader may go on.
    #[must_use]
    pub fn start_before(&self, offset: u64) -> Position {
        self.engine.start_before(offset)
    }

    /// A reader up to that end.
    #[must_use]
    pub fn reader(&self, filter: Filter) -> Box<dyn Reader> {
        Box::new(FileReader::new(Arc::clone(&self.engine), filter))
    }

    /// All segment files, also those that do not count.
    pub fn segments(&self) -> Result<Vec<SegmentReport>, JournalError> {
        let links = self.engine.links();
        let report = |name: SegmentName| {
            let link = links.iter().find(|link| link.name == name);
            let segment = SegmentFile::open(&*self.engine.storage, self.engine.dir(), name, self.id())?;
            Ok(SegmentReport {
                name,
                file_bytes: segment.len_bytes()?,
                counted_bytes: link.map(|link| self.counted(link)),
                after: link.map(|link| (link.transaction, link.position)),
            })
        };
        self.engine.segments()?.into_iter().map(report).collect()
    }

    /// Reads every byte that counts and holds it against its checksums, and each segment's opening against what came before it.
    pub fn check(&self) -> Result<Checked, JournalError> {
        let mut checked = Checked {
            segments: 0,
            bytes: 0,
            frames: 0,
            transactions: 0,
            documents: 0,
            dead_letters: 0,
            witnessed_bytes: self.survey.witnessed_bytes,
            torn: self.torn(),
            open_letters: 0,
        };
        let mut replica: Option<Replica> = None;
        for link in self.engine.links().iter() {
            let (mut segment, head) = SegmentFile::open_with_head(&*self.engine.storage, self.engine.dir(), link.name)?;
            let head = head.map_err(|why| segment.corrupt(0, why))?;
            let mut opened = Replica::at_head(&head, true);
            replay_opening(&mut segment, &mut opened, &head)?;
            if let Some(mut before) = replica.take() {
                if !link.continues {
                    before.drop_open();
                }
                if !before.agrees(&opened) {
                    return Err(segment.corrupt(0, "its opening does not say what the segments before it come to"));
                }
            }
            checked.add(&mut segment, &mut opened, self.counted(link))?;
            replica = Some(opened);
        }
        Ok(checked)
    }

    fn counted(&self, link: &Link) -> u64 {
        link.sealed_bytes.unwrap_or(self.survey.committed_bytes)
    }

    fn torn(&self) -> Option<TornTail> {
        let (counted, file_bytes) = (self.survey.committed_bytes, self.survey.file_bytes);
        let reason = match self.survey.torn {
            Some((at, why)) => format!("{why} at byte {at}"),
            None => "no commit follows".to_owned(),
        };
        let torn = TornTail { segment: self.survey.head.segment, from_byte: counted, file_bytes, reason };
        (counted < file_bytes).then_some(torn)
    }
}

impl Checked {
    fn add(&mut self, segment: &mut SegmentFile, replica: &mut Replica, end: u64) -> Result<(), JournalError> {
        self.segments += 1;
        let mut at = 0;
        // Of the open transaction: they count with its commit.
        let mut letters = std::mem::take(&mut self.open_letters);
        while let Some(header) = segment.sound_frame_at(at, end)? {
            let body = segment.sound_body(at, &header)?;
            if !is_opening(&header) {
                if header.flags.has(Flags::BEGIN) {
                    letters = 0;
                }
                if header.kind == Kind::DeadLetter {
                    let said = body::decode_dead_letter(body.clone());
                    let said = said.map_err(|m| segment.corrupt(at, fault(header.kind, &m)))?;
                    letters += u64::from(matches!(said, Said::Letter(_)));
                }
                let passed = replica.pass(segment.name, at, &header, &body);
                if let Some(committed) = passed.map_err(|reason| segment.corrupt(at, reason))? {
                    self.transactions += 1;
                    self.documents += committed.documents;
                    self.dead_letters += std::mem::take(&mut letters);
                }
            }
            self.frames += 1;
            self.bytes += header.frame_bytes();
            at += header.frame_bytes();
        }
        self.open_letters = letters;
        Ok(())
    }
}
