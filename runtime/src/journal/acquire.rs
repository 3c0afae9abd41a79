//! Taking the journal over: raise the fence, find out what is durable, begin a segment that says so.
//!
//! The raise is a new segment file of the higher epoch, durable before the old tail is read. Whoever commits looks for a higher epoch after
//! its sync: it looked before the raise, and then its bytes were there when the tail was read; or after, and then it is fenced and has told
//! nobody.
//!
//! No sync is trusted that this process has not seen succeed: after an input/output error a second sync succeeds falsely, and nobody may be
//! left who knows. What lies behind the last witness (with a clean end nothing, else the last transaction) is copied into the new segment
//! and becomes durable with its head; the old one is sealed at the witness.

use super::body::Head;
use super::chain::{Link, walk_back};
use super::file::Engine;
use super::frame::{HEADER_BYTES, Header, Kind, Seal};
use super::replica::Replica;
use super::segment::{SegmentFile, io_error};
use super::storage::StorageFile;
use super::survey::{Survey, Tail, is_opening, survey};
use super::track::Track;
use super::writer::FileWriter;
use super::{CommittedEnd, DurableLength, JournalError, JournalId, LocalId, SegmentName};
use crate::store::Epoch;

/// Copied frames are written in pieces of about this many bytes.
const COPY_BYTES: usize = 1 << 20;

pub(super) fn acquire(engine: &std::sync::Arc<Engine>, epoch: Epoch) -> Result<FileWriter, JournalError> {
    let (name, file) = raise(engine, epoch)?;
    let others: Vec<_> = engine.segments()?.into_iter().filter(|other| *other != name).collect();
    engine.fenced(epoch, &others)?;
    let found = find(engine, &others)?;
    let mut opening = Opening::new(engine, name, file, found.as_ref().map_or(engine.options.fresh_id, |f| f.journal()));
    let replica = match found {
        None => {
            let head = head(opening.journal, name, None, &Replica::beginning());
            opening.write(head, &Replica::beginning(), 0)?;
            Replica::beginning()
        }
        Some(mut found) => {
            let seal = found.seal()?;
            let head = head(opening.journal, name, seal.predecessor, &seal.replica);
            opening.write(head, &seal.replica, seal.to - seal.from)?;
            opening.copy(&mut found.segment, seal)?
        }
    };
    opening.finish(replica, epoch)
}

/// The journal as far as it can be trusted, for who only looks: what an acquire would find, without raising anything.
pub(super) fn look(engine: &Engine) -> Result<Option<(Survey, Replica)>, JournalError> {
    let Some(mut found) = find(engine, &engine.segments()?)? else { return Ok(None) };
    let (head, committed_bytes) = (&found.survey.head, found.survey.committed_bytes);
    let mut replica = Replica::at_head(head, true);
    replay(&mut found.segment, &mut replica, Head::FRAME_BYTES, committed_bytes)?;
    replica.drop_open();
    let links = walk_back(engine, Link::new(head, None), head)?;
    let end = end_of(head.journal, head.segment, committed_bytes, &replica);
    engine.found(links, replica.known(), end);
    Ok(Some((found.survey, replica)))
}

fn raise(engine: &Engine, epoch: Epoch) -> Result<(SegmentName, Box<dyn StorageFile>), JournalError> {
    let dir = engine.dir();
    engine.storage.create_dir(dir).map_err(|source| io_error(dir, "making", source))?;
    let segments = engine.segments()?;
    let fenced = |newer| JournalError::Fenced { journal: engine.dir_text(), mine: epoch, newer };
    if let Some(newer) = segments.iter().map(|name| name.epoch).max().filter(|newest| *newest >= epoch) {
        return Err(fenced(newer));
    }
    let name = SegmentName { number: segments.last().map_or(1, |last| last.number + 1), epoch };
    let path = engine.path(name);
    let file = match engine.storage.create_new(&path) {
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => return Err(fenced(epoch)),
        other => other.map_err(|source| io_error(&path, "making", source))?,
    };
    file.sync_data().map_err(|source| io_error(&path, "syncing", source))?;
    engine.storage.sync_dir(dir).map_err(|source| io_error(dir, "syncing", source))?;
    Ok((name, file))
}

/// The newest segment that counts.
struct Found {
    segment: SegmentFile,
    survey: Survey,
}

/// Where the segments before ours end.
struct SealPoint {
    predecessor: Option<(SegmentName, u64)>,
    /// What is committed there.
    replica: Replica,
    /// What lies from here
    from: u64,
    /// to here, the last commit, is copied.
    to: u64,
}

fn find(engine: &Engine, segments: &[SegmentName]) -> Result<Option<Found>, JournalError> {
    let evidence = &engine.options.evidence;
    // What this process has seen itself is the best witness.
    let durable = engine.committed_end().map(|end| end.durable).or(evidence.durable);
    let mut newest_first = segments.to_vec();
    newest_first.sort_unstable_by_key(|name| std::cmp::Reverse((name.epoch, name.number)));
    for name in newest_first.iter().copied() {
        let (mut segment, head) = SegmentFile::open_with_head(&*engine.storage, engine.dir(), name)?;
        // Before it is read: the page cache may hold what the disk does not.
        segment.sync()?;
        if let Tail::Sound(survey) =
            survey(&mut segment, head, durable.as_ref(), || ids(engine, &newest_first, durable))?
        {
            let found = Found { segment, survey: *survey };
            found.check(engine, durable)?;
            return Ok(Some(found));
        }
    }
    match durable {
        Some(durable) => Err(other_journal(engine, durable.journal, "no journal")),
        None => Ok(None),
    }
}

/// Ids under which a segment with a damaged head may have been written.
fn ids(
    engine: &Engine,
    segments: &[SegmentName],
    durable: Option<DurableLength>,
) -> Result<Vec<JournalId>, JournalError> {
    let mut ids: Vec<_> = durable.map(|d| d.journal).into_iter().chain(engine.id()).collect();
    for name in segments {
        let (_, head) = SegmentFile::open_with_head(&*engine.storage, engine.dir(), *name)?;
        ids.extend(head.ok().map(|head| head.journal));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn other_journal(engine: &Engine, expected: JournalId, found: &str) -> JournalError {
    JournalError::OtherJournal { file: engine.dir_text(), expected: expected.to_string(), found: found.to_owned() }
}

impl Found {
    fn journal(&self) -> JournalId {
        self.survey.head.journal
    }

    /// Holds it against what others remember.
    fn check(&self, engine: &Engine, durable: Option<DurableLength>) -> Result<(), JournalError> {
        let (track, end) = (&self.survey.track, self.survey.committed_bytes);
        if let Some(durable) = durable {
            if durable.journal != self.journal() {
                return Err(other_journal(engine, durable.journal, &self.journal().to_string()));
            }
            if durable.transaction > track.transaction {
                let (known, found) = (durable.transaction, track.transaction);
                let reason = format!("transaction {known} was durable once, the journal ends with transaction {found}");
                return Err(self.segment.corrupt(end, reason));
            }
        }
        for (journal, position) in &engine.options.evidence.positions {
            if *journal == self.journal() && position.offset > track.position.offset {
                let reason = format!("a reader has been at {position}, the journal ends at {}", track.position);
                return Err(self.segment.corrupt(end, reason));
            }
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<SealPoint, JournalError> {
        let Survey { head, committed_bytes: to, witnessed_bytes, .. } = self.survey.clone();
        let mut replica = Replica::at_head(&head, true);
        let (predecessor, from) = if witnessed_bytes < head.opening_bytes {
            // Not even its opening is known to be on disk: what it holds moves over, and it exists no more.
            (head.predecessor, replay_opening(&mut self.segment, &mut replica, &head)?)
        } else {
            let from = witnessed_bytes.min(to);
            replay(&mut self.segment, &mut replica, Head::FRAME_BYTES, from)?;
            (Some((self.segment.name, from)), from)
        };
        if from == to {
            replica.drop_open();
        }
        Ok(SealPoint { predecessor, replica, from, to })
    }
}

/// Takes in the opening of a segment behind its head, but for transactions copied into it; says where it ends.
pub(super) fn replay_opening(
    segment: &mut SegmentFile,
    replica: &mut Replica,
    head: &Head,
) -> Result<u64, JournalError> {
    let mut at = Head::FRAME_BYTES;
    while let Some(header) = segment.sound_frame_at(at, head.opening_bytes)?.filter(is_opening) {
        load(segment, replica, at, &header)?;
        at += header.frame_bytes();
    }
    Ok(at)
}

/// Takes in whole frames.
fn replay(segment: &mut SegmentFile, replica: &mut Replica, from: u64, to: u64) -> Result<(), JournalError> {
    let mut at = from;
    while let Some(header) = segment.sound_frame_at(at, to)? {
        load(segment, replica, at, &header)?;
        at += header.frame_bytes();
    }
    Ok(())
}

fn load(segment: &mut SegmentFile, replica: &mut Replica, at: u64, header: &Header) -> Result<(), JournalError> {
    let wanted = is_opening(header) || Replica::wants_body(header.kind);
    let body = if wanted { segment.sound_body(at, header)? } else { bytes::Bytes::new() };
    let loaded = if is_opening(header) {
        replica.load(header, body)
    } else {
        replica.pass(segment.name, at, header, &body).map(|_| ())
    };
    loaded.map_err(|reason| segment.corrupt(at, reason))
}

fn head(journal: JournalId, segment: SegmentName, predecessor: Option<(SegmentName, u64)>, replica: &Replica) -> Head {
    let Track { transaction, position, .. } = replica.track;
    Head { journal, segment, predecessor, transaction, position, open: replica.track.open_head(), opening_bytes: 0 }
}

fn end_of(journal: JournalId, segment: SegmentName, length_bytes: u64, replica: &Replica) -> CommittedEnd {
    let Track { transaction, position, .. } = replica.track;
    CommittedEnd { transaction, position, durable: DurableLength { journal, segment, length_bytes, transaction } }
}

/// A segment under construction, written and synced as a whole before it counts.
pub(super) struct Opening<'a> {
    engine: &'a std::sync::Arc<Engine>,
    pub(super) journal: JournalId,
    name: SegmentName,
    file: Box<dyn StorageFile>,
    head: Option<Head>,
    buffer: Vec<u8>,
    given_bytes: u64,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        engine: &'a std::sync::Arc<Engine>,
        name: SegmentName,
        file: Box<dyn StorageFile>,
        journal: JournalId,
    ) -> Self {
        Self { engine, journal, name, file, head: None, buffer: Vec::new(), given_bytes: 0 }
    }

    /// Head, state, bindings, schemas; `copy_bytes` will follow.
    pub(super) fn write(&mut self, mut head: Head, replica: &Replica, copy_bytes: u64) -> Result<(), JournalError> {
        let frames = replica.opening();
        let body_bytes = head.encode().len() + frames.iter().map(|f| f.body.len()).sum::<usize>();
        head.opening_bytes = ((frames.len() + 1) * HEADER_BYTES + body_bytes) as u64 + copy_bytes;
        let header = |kind, flags, local, count| Header {
            kind,
            flags,
            body_bytes: 0,
            local,
            epoch: self.name.epoch,
            transaction: 0,
            first_offset: replica.track.next_offset(),
            count,
            body_crc: 0,
            synced: 0,
        };
        let first = header(Kind::Head, super::frame::Flags::NONE, LocalId(0), 0);
        let rest: Vec<_> = frames.iter().map(|f| header(f.kind, f.flags, f.local, f.count)).collect();
        self.push(first, &head.encode());
        for (header, frame) in rest.into_iter().zip(&frames) {
            self.push(header, &frame.body);
        }
        self.head = Some(head);
        self.flush()
    }

    /// Whole transactions of the old tail, from the seal point on.
    fn copy(&mut self, from: &mut SegmentFile, seal: SealPoint) -> Result<Replica, JournalError> {
        let SealPoint { mut replica, from: mut at, to: end, .. } = seal;
        while let Some(header) = from.sound_frame_at(at, end)? {
            let body = from.sound_body(at, &header)?;
            let to = self.given_bytes + self.buffer.len() as u64;
            self.push(Header { synced: 0, ..header }, &body);
            replica.pass(self.name, to, &header, &body).map_err(|reason| from.corrupt(at, reason))?;
            at += header.frame_bytes();
            if self.buffer.len() >= COPY_BYTES {
                self.flush()?;
            }
        }
        self.flush()?;
        Ok(replica)
    }

    /// Makes it count, and hands over the right to append.
    fn finish(self, replica: Replica, epoch: Epoch) -> Result<FileWriter, JournalError> {
        self.sync()?;
        // Whoever raised the fence meanwhile has found the tail without us.
        self.engine.fenced(epoch, &self.engine.segments()?)?;
        let head = self.head.ok_or_else(|| self.unknown("opening", std::io::Error::other("nothing was written")))?;
        let links = walk_back(self.engine, Link::new(&head, None), &head)?;
        let end = end_of(self.journal, self.name, self.given_bytes, &replica);
        self.engine.found(links, replica.known(), end);
        self.engine.sweep()?;
        Ok(FileWriter::new(self.engine, self.into_tail(), replica, end))
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|source| self.unknown("syncing", source))
    }

    pub(super) fn into_tail(self) -> super::writer::TailFile {
        super::writer::TailFile {
            name: self.name,
            file: self.file,
            seal: Seal::new(self.journal, self.name),
            given_bytes: self.given_bytes,
            synced_bytes: self.given_bytes,
            opening_bytes: self.given_bytes,
        }
    }

    fn push(&mut self, header: Header, body: &[u8]) {
        let at = self.given_bytes + self.buffer.len() as u64;
        let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let header = Header { body_bytes, body_crc: crc32c::crc32c(body), ..header };
        self.buffer.extend_from_slice(&header.encode(Seal::new(self.journal, self.name), at));
        self.buffer.extend_from_slice(body);
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let written = self.file.append(&[&self.buffer]);
        written.map_err(|source| self.unknown("writing", source))?;
        self.given_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn unknown(&self, doing: &'static str, source: std::io::Error) -> JournalError {
        JournalError::Unknown { file: self.engine.path(self.name).display().to_string(), doing, source }
    }
}
