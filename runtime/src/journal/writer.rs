//! Appends frames, and commits: write, sync, then look for a higher epoch, and only then say that it is durable.
//!
//! Frames gather in one buffer; large payloads go to the file beside it, in the same write, without a copy. A small transaction is one write
//! of two frames and one sync.

use std::sync::Arc;

use longshore_proto::batch::Batch;
use longshore_proto::state::{State, StatePatch};

use super::acquire::Opening;
use super::body::{self, ENCODING_JSON, Head};
use super::chain::Link;
use super::file::Engine;
use super::frame::{Flags, Header, Kind, PAYLOAD_MAX_BYTES, Seal};
use super::recent::BodyOf;
use super::replica::Replica;
use super::storage::StorageFile;
use super::track::Sum;
use super::{
    BindingRow, BindingTable, Committed, CommittedEnd, Control, Durable, DurableLength, JournalError, JournalId,
    Letter, LocalId, Mark, NewBinding, Resent, SchemaVersion, Schemas, SegmentName, Writer,
};
use crate::store::Epoch;
use longshore_proto::limits::{DOCUMENT_MAX_BYTES, MESSAGE_MAX_BYTES};

/// Frames gather up to this many bytes before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// A body of this many bytes is not copied into the buffer.
const DIRECT_BYTES: usize = 32 << 10;

/// Letters that one `dead_letter` frame settles.
const LETTERS_PER_FRAME: usize = 64 << 10;
/// Code and message of a letter, in bytes: with the largest document they are still one frame.
const REASON_MAX_BYTES: usize = 64 << 10;

/// The file that is appended to.
#[derive(Debug)]
pub(super) struct TailFile {
    pub(super) name: SegmentName,
    pub(super) file: Box<dyn StorageFile>,
    pub(super) seal: Seal,
    /// Handed to the system.
    pub(super) given_bytes: u64,
    /// Known durable.
    pub(super) synced_bytes: u64,
    pub(super) opening_bytes: u64,
}

#[derive(Debug)]
pub(super) struct FileWriter {
    engine: Arc<Engine>,
    tail: TailFile,
    buffer: Vec<u8>,
    replica: Replica,
    /// What replica's state holds; kept apart so that it can be lent.
    state: State,
    open_bytes: u64,
    end: CommittedEnd,
    /// Bindings or schemas came with the open transaction.
    known_changes: bool,
    /// After an error nobody knows what is on disk.
    failed: bool,
}

impl FileWriter {
    pub(super) fn new(engine: &Arc<Engine>, tail: TailFile, mut replica: Replica, end: CommittedEnd) -> Self {
        let state = replica.state.take().unwrap_or_default();
        Self {
            engine: Arc::clone(engine),
            tail,
            buffer: Vec::new(),
            replica,
            state,
            open_bytes: 0,
            end,
            known_changes: false,
            failed: false,
        }
    }
}

impl Writer for FileWriter {
    fn epoch(&self) -> Epoch {
        self.tail.name.epoch
    }

    fn journal(&self) -> JournalId {
        self.end.durable.journal
    }

    fn next_offset(&self) -> u64 {
        self.replica.track.next_offset()
    }

    fn last_committed(&self) -> &CommittedEnd {
        &self.end
    }

    fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn bindings(&self) -> &BindingTable {
        &self.replica.bindings
    }

    fn schemas(&self) -> &Schemas {
        &self.replica.schemas
    }

    fn bind(&mut self, binding: &NewBinding) -> Result<LocalId, JournalError> {
        if let Some(local) = self.replica.bindings.local(&binding.state_key) {
            return match self.replica.bindings.row(local) {
                Some(known) if known == binding => Ok(local),
                Some(_) | None => Err(self.refused(format!(
                    "binding {} has another collection or key than before: it needs a new generation",
                    binding.state_key
                ))),
            };
        }
        let local = self.replica.bindings.next_local();
        let (count, body) = body::encode_bindings([(local, binding)]);
        self.put(Kind::Bindings, local, count, &[&body])?;
        self.replica.bind(BindingRow { local, binding: binding.clone() }, true);
        self.known_changes = true;
        Ok(local)
    }

    fn schema(&mut self, local: LocalId, version: u64, schema_json: &[u8]) -> Result<(), JournalError> {
        self.check_bound(local)?;
        let last = self.replica.schemas.get(&local).map_or(0, |schema| schema.version);
        if version <= last {
            return Err(self.refused(format!("schema version {version} of binding {} is not above {last}", local.0)));
        }
        if schema_json.len() > PAYLOAD_MAX_BYTES {
            return Err(self.refused(format!("a schema of {} bytes, expected at most 8 MiB", schema_json.len())));
        }
        self.put(Kind::Schema, local, 1, &[&version.to_le_bytes(), schema_json])?;
        let schema_json = bytes::Bytes::copy_from_slice(schema_json);
        self.replica.widen(local, SchemaVersion { version, schema_json }, true);
        self.known_changes = true;
        Ok(())
    }

    fn control(&mut self, local: LocalId, control: Control) -> Result<(), JournalError> {
        self.check_bound(local)?;
        self.put(Kind::Control, local, 1, &[&body::encode_control(control)]).map(|_| ())
    }

    fn documents(&mut self, local: LocalId, batch: &Batch) -> Result<(), JournalError> {
        self.check_bound(local)?;
        let (ends, arena) = (batch.ends(), &batch.arena()[..]);
        let (mut from, mut start) = (0, 0);
        while from < ends.len() {
            let to = cut(ends, from, start);
            let end = ends[to - 1];
            if (end - start) as usize > DOCUMENT_MAX_BYTES {
                return Err(self.refused(format!("a document of {} bytes, expected at most 16 MiB", end - start)));
            }
            let mut lead = Vec::with_capacity(4 + 4 * (to - from));
            lead.extend_from_slice(&ENCODING_JSON.to_le_bytes());
            ends[from..to].iter().for_each(|end| lead.extend_from_slice(&(end - start).to_le_bytes()));
            let count = u32::try_from(to - from).unwrap_or(u32::MAX);
            let of = self.put(Kind::Documents, local, count, &[&lead, &arena[start as usize..end as usize]])?;
            if (from, to) == (0, ends.len()) {
                self.engine.recent().keep(of, batch);
            }
            (from, start) = (to, end);
        }
        Ok(())
    }

    fn letter(&mut self, local: LocalId, letter: &Letter) -> Result<(), JournalError> {
        self.check_bound(local)?;
        let (document, reason) = (letter.document.len(), letter.code.len() + letter.message.len());
        if document > MESSAGE_MAX_BYTES || reason > REASON_MAX_BYTES {
            let bounds = format!("expected at most {MESSAGE_MAX_BYTES} and {REASON_MAX_BYTES}");
            return Err(self.refused(format!("a letter of {document} bytes with a reason of {reason}, {bounds}")));
        }
        let mut rest = &letter.document[..];
        let mut lead = body::encode_letter(letter);
        loop {
            let (part, more) = rest.split_at(rest.len().min(DOCUMENT_MAX_BYTES));
            // Only its last frame takes the offset.
            let (flags, count) = if more.is_empty() { (Flags::NONE, 1) } else { (Flags::CONTINUES, 0) };
            self.put_frame((Kind::DeadLetter, flags), local, count, &[&lead, part])?;
            if more.is_empty() {
                return Ok(());
            }
            (rest, lead) = (more, body::encode_more().to_vec());
        }
    }

    fn settle(&mut self, local: LocalId, mark: Mark, letters: &[u64]) -> Result<(), JournalError> {
        self.check_bound(local)?;
        let mut frames = letters.chunks(LETTERS_PER_FRAME).map(|letters| body::encode_settled(mark, letters));
        frames.try_for_each(|body| self.put(Kind::DeadLetter, local, 1, &[&body]).map(|_| ()))
    }

    fn resend(&mut self, local: LocalId, resent: &Resent) -> Result<(), JournalError> {
        self.check_bound(local)?;
        if resent.document.len() > DOCUMENT_MAX_BYTES {
            let bytes = resent.document.len();
            return Err(self.refused(format!("a document of {bytes} bytes, expected at most {DOCUMENT_MAX_BYTES}")));
        }
        let lead = body::encode_resent(resent);
        self.put_frame((Kind::DeadLetter, Flags::RESENT), local, 1, &[&lead, &resent.document]).map(|_| ())
    }

    fn commit(&mut self, patch: &StatePatch) -> Result<Durable<Committed>, JournalError> {
        self.usable()?;
        let mut state = self.state.clone();
        if !patch.is_empty() {
            state.apply(patch).map_err(|e| self.refused(e.message.clone()))?;
        }
        let Sum { rolling_crc, documents } = self.replica.track.sum();
        let (_, committed) = self.put_frame(
            (Kind::Commit, Flags::NONE),
            LocalId(0),
            0,
            &[&body::encode_commit(rolling_crc, documents, patch)],
        )?;
        let Some(committed) = committed else { return Err(self.refused("a commit that ended nothing".into())) };
        self.flush()?;
        self.sync()?;
        self.look()?;
        self.replica.settle();
        self.state = state;
        self.open_bytes = 0;
        self.publish(&committed)?;
        Ok(Durable::witnessed(committed))
    }

    fn abandon(&mut self) {
        // What is still in the buffer need not reach the file. What did is dropped by the next transaction's first frame.
        if let Some(open) = self.replica.track.open
            && open.segment == self.tail.name
            && let Some(kept) = open.begin.checked_sub(self.tail.given_bytes)
        {
            self.buffer.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        self.replica.drop_open();
        self.open_bytes = 0;
        self.known_changes = false;
    }
}

/// How many documents from `from` on fit into one frame; at least one.
fn cut(ends: &[u32], from: usize, start: u32) -> usize {
    let fits = |to: usize| 4 + 4 * (to - from) + (ends[to - 1] - start) as usize <= PAYLOAD_MAX_BYTES;
    let (mut least, mut most) = (from + 1, ends.len());
    while least < most {
        let middle = least + (most - least).div_ceil(2);
        if fits(middle) {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    least
}

impl FileWriter {
    /// Puts a frame of the open transaction, or of the next one, into the journal.
    fn put(&mut self, kind: Kind, local: LocalId, count: u32, parts: &[&[u8]]) -> Result<BodyOf, JournalError> {
        self.put_frame((kind, Flags::NONE), local, count, parts).map(|(of, _)| of)
    }

    fn put_frame(
        &mut self,
        (kind, flags): (Kind, Flags),
        local: LocalId,
        count: u32,
        parts: &[&[u8]],
    ) -> Result<(BodyOf, Option<Committed>), JournalError> {
        self.usable()?;
        let begins = self.replica.track.open.is_none();
        if begins || kind != Kind::Commit {
            self.rotate_if_due()?;
        }
        let body_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let header = Header {
            kind,
            flags: if begins { flags.and(Flags::BEGIN) } else { flags },
            body_bytes: u32::try_from(body_bytes).unwrap_or(u32::MAX),
            local,
            epoch: self.epoch(),
            transaction: self.end.transaction + 1,
            first_offset: self.next_offset(),
            count,
            body_crc: parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part)),
            synced: self.tail.synced_bytes,
        };
        self.within_limit(header.frame_bytes())?;
        let at = self.tail.given_bytes + self.buffer.len() as u64;
        let sum = (kind == Kind::Commit).then(|| self.replica.track.sum());
        let passed = self.replica.track.pass(self.tail.name, at, &header, sum);
        let committed = passed.map_err(|reason| self.refused(reason))?;
        self.open_bytes += header.frame_bytes();
        self.buffer.extend_from_slice(&header.encode(self.tail.seal, at));
        if body_bytes >= DIRECT_BYTES {
            self.write(parts)?;
        } else {
            parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        let of = BodyOf { segment: self.tail.name, at, body_bytes: header.body_bytes, body_crc: header.body_crc };
        Ok((of, committed))
    }

    fn within_limit(&self, more: u64) -> Result<(), JournalError> {
        let (bytes, limit_bytes) = (self.open_bytes + more, self.engine.options.transaction_max_bytes);
        if bytes <= limit_bytes {
            return Ok(());
        }
        let (file, transaction) = (self.engine.dir_text(), self.end.transaction + 1);
        Err(JournalError::TransactionTooLarge { file, transaction, bytes, limit_bytes })
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        self.write(&[])
    }

    /// Writes the buffer and what follows it.
    fn write(&mut self, parts: &[&[u8]]) -> Result<(), JournalError> {
        let mut all: Vec<&[u8]> = Vec::with_capacity(1 + parts.len());
        all.push(&self.buffer);
        all.extend_from_slice(parts);
        let bytes: usize = all.iter().map(|part| part.len()).sum();
        let written = if bytes == 0 { Ok(()) } else { self.tail.file.append(&all) };
        written.map_err(|source| self.fail("writing", source))?;
        self.tail.given_bytes += bytes as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let synced = self.tail.file.sync_data();
        synced.map_err(|source| self.fail("syncing", source))?;
        self.tail.synced_bytes = self.tail.given_bytes;
        Ok(())
    }

    /// Whether somebody has raised the fence. Only after the sync: see the module's opening words in `acquire`.
    fn look(&mut self) -> Result<(), JournalError> {
        let looked = self.engine.segments().and_then(|segments| self.engine.fenced(self.epoch(), &segments));
        self.failed |= looked.is_err();
        match looked {
            Err(JournalError::Io { file, doing, source }) => Err(JournalError::Unknown { file, doing, source }),
            other => other,
        }
    }

    fn publish(&mut self, committed: &Committed) -> Result<(), JournalError> {
        let known = std::mem::take(&mut self.known_changes).then(|| self.replica.known());
        self.end = CommittedEnd {
            transaction: committed.transaction,
            position: committed.end,
            durable: DurableLength {
                segment: self.tail.name,
                length_bytes: self.tail.synced_bytes,
                transaction: committed.transaction,
                ..self.end.durable
            },
        };
        if self.engine.advanced(self.end, known) { Ok(()) } else { Err(self.superseded()) }
    }

    /// Begins the next segment when this one is large enough: the old one is synced before the new head names its length.
    fn rotate_if_due(&mut self) -> Result<(), JournalError> {
        let bytes = self.tail.given_bytes + self.buffer.len() as u64;
        if bytes < self.engine.options.segment_bytes || bytes == self.tail.opening_bytes {
            return Ok(());
        }
        self.flush()?;
        self.sync()?;
        self.look()?;
        let name = SegmentName { number: self.tail.name.number + 1, epoch: self.epoch() };
        let (engine, sealed_bytes) = (Arc::clone(&self.engine), self.tail.given_bytes);
        let made = engine.storage.create_new(&engine.path(name));
        let file = made.map_err(|source| self.fail("making the segment after", source))?;
        let head = Head {
            journal: self.journal(),
            segment: name,
            predecessor: Some((self.tail.name, sealed_bytes)),
            transaction: self.replica.track.transaction,
            position: self.replica.track.position,
            open: self.replica.track.open_head(),
            opening_bytes: 0,
        };
        self.replica.state = Some(std::mem::take(&mut self.state));
        let mut opening = Opening::new(&engine, name, file, self.journal());
        let opened = opening.write(head, &self.replica, 0).and_then(|()| opening.sync());
        self.state = self.replica.state.take().unwrap_or_default();
        self.failed |= opened.is_err();
        opened?;
        engine.storage.sync_dir(engine.dir()).map_err(|source| self.fail("syncing the directory of", source))?;
        let from = std::mem::replace(&mut self.tail, opening.into_tail()).name;
        if engine.rotated(from, sealed_bytes, Link::new(&head, None)) { Ok(()) } else { Err(self.superseded()) }
    }

    fn check_bound(&self, local: LocalId) -> Result<(), JournalError> {
        match self.replica.bindings.row(local) {
            Some(_) => Ok(()),
            None => Err(self.refused(format!("no binding has the number {}", local.0))),
        }
    }

    fn usable(&self) -> Result<(), JournalError> {
        if self.failed { Err(self.refused("this writer has failed before: acquire again".into())) } else { Ok(()) }
    }

    fn superseded(&mut self) -> JournalError {
        self.failed = true;
        let newer = self.engine.links().last().map_or(self.epoch(), |link| link.name.epoch);
        JournalError::Fenced { journal: self.engine.dir_text(), mine: self.epoch(), newer }
    }

    fn fail(&mut self, doing: &'static str, source: std::io::Error) -> JournalError {
        self.failed = true;
        JournalError::Unknown { file: self.engine.path(self.tail.name).display().to_string(), doing, source }
    }

    fn refused(&self, reason: String) -> JournalError {
        JournalError::Refused { file: self.engine.dir_text(), reason }
    }
}
