//! One segment file, read frame by frame. Says of bad bytes only that they are bad; whether that is a torn tail or corruption is for
//! whoever knows what was durable.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::body::{self, Head};
use super::frame::{FORMAT_VERSION, HEADER_BYTES, Header, Kind, Parsed, Seal};
use super::storage::{Storage, StorageFile};
use super::{JournalError, JournalId, SegmentName};

/// Bytes read at once where headers and small bodies stand, when it has gone on for a while.
const WINDOW_BYTES: usize = 32 << 10;
/// Bytes read at first where a jump has led: over a large body, or back. More are read if it goes on from there.
const JUMP_BYTES: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) name: SegmentName,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    seal: Seal,
    /// Bytes of the file, the more the longer it is read on.
    window: Vec<u8>,
    window_start: u64,
}

/// What stands at a position.
#[derive(Debug)]
pub(super) enum Step {
    Frame(Header),
    /// Exactly the end.
    End,
    Bad(&'static str),
}

/// A body, if its CRC fits.
pub(super) type Body = Result<Bytes, &'static str>;

impl SegmentFile {
    pub(super) fn open(
        storage: &dyn Storage,
        dir: &Path,
        name: SegmentName,
        journal: JournalId,
    ) -> Result<Self, JournalError> {
        let mut segment = Self::unsealed(storage, dir, name)?;
        segment.assume(journal);
        Ok(segment)
    }

    /// Of no journal yet: nothing in it can be checked.
    fn unsealed(storage: &dyn Storage, dir: &Path, name: SegmentName) -> Result<Self, JournalError> {
        let path = name.path_in(dir);
        let file = storage.open(&path).map_err(|source| io_error(&path, "opening", source))?;
        Ok(Self { name, path, file, seal: Seal::NONE, window: Vec::new(), window_start: 0 })
    }

    /// Opens a segment and reads its head; `Err` inside: it has none.
    pub(super) fn open_with_head(
        storage: &dyn Storage,
        dir: &Path,
        name: SegmentName,
    ) -> Result<(Self, Result<Head, &'static str>), JournalError> {
        let mut segment = Self::unsealed(storage, dir, name)?;
        let head = segment.head()?;
        Ok((segment, head))
    }

    fn head(&mut self) -> Result<Result<Head, &'static str>, JournalError> {
        // Its header and the beginning of its body, in one read.
        let claimed = self.bytes(0, HEADER_BYTES + 16)?.get(HEADER_BYTES..).and_then(body::claimed_id);
        let Some(journal) = claimed else { return Ok(Err("it is too short for a head")) };
        self.seal = Seal::new(journal, self.name);
        let header = match self.frame_at(0, u64::MAX)? {
            Step::Frame(header) if header.kind == Kind::Head => header,
            Step::Frame(_) | Step::End => return Ok(Err("it does not begin with a head")),
            Step::Bad(why) => return Ok(Err(why)),
        };
        Ok(match self.body(0, &header)? {
            Err(why) => Err(why),
            Ok(body) => match Head::decode(body) {
                Ok(head) if head.segment == self.name && head.journal == journal => Ok(head),
                Ok(_) | Err(_) => Err("its head cannot be read"),
            },
        })
    }

    /// Reads on as a segment of this journal, whatever its damaged head says.
    pub(super) fn assume(&mut self, journal: JournalId) {
        self.seal = Seal::new(journal, self.name);
    }

    /// The frame that begins at `at`; nothing stands at or behind `end`.
    pub(super) fn frame_at(&mut self, at: u64, end: u64) -> Result<Step, JournalError> {
        if at == end {
            return Ok(Step::End);
        }
        let seal = self.seal;
        let bytes = self.bytes(at, HEADER_BYTES)?;
        let Some(header) = bytes.first_chunk() else {
            return Ok(if bytes.is_empty() { Step::End } else { Step::Bad("a header that ends too early") });
        };
        match Header::parse(header, seal, at) {
            Parsed::Bad(why) => Ok(Step::Bad(why)),
            Parsed::Header(header) if header.frame_bytes() > end.saturating_sub(at) => {
                Ok(Step::Bad("a frame that reaches over the end"))
            }
            Parsed::Header(header) => Ok(Step::Frame(header)),
            Parsed::NewerFormat(format) => Err(self.newer(at, format!("version {format}"))),
            Parsed::UnknownKind(kind) => Err(self.newer(at, format!("frame kind {kind}"))),
        }
    }

    /// The frame at `at` where everything up to `end` was durable; `None` at the end.
    pub(super) fn sound_frame_at(&mut self, at: u64, end: u64) -> Result<Option<Header>, JournalError> {
        match self.frame_at(at, end)? {
            Step::Frame(header) => Ok(Some(header)),
            Step::End if at == end => Ok(None),
            Step::End => Err(self.corrupt(at, "the file ends too early")),
            Step::Bad(why) => Err(self.corrupt(at, why)),
        }
    }

    /// The body of the frame at `at`.
    pub(super) fn body(&mut self, at: u64, header: &Header) -> Result<Body, JournalError> {
        Ok(self.body_in_place(at, header)?.map(|body| match body {
            Cow::Borrowed(body) => Bytes::copy_from_slice(body),
            Cow::Owned(body) => body.into(),
        }))
    }

    /// The same, in the window if it fits there.
    fn body_in_place(&mut self, at: u64, header: &Header) -> Result<Result<Cow<'_, [u8]>, &'static str>, JournalError> {
        let (start, len) = (at + HEADER_BYTES as u64, header.body_bytes as usize);
        let body = if len <= WINDOW_BYTES {
            Cow::Borrowed(self.bytes(start, len)?)
        } else {
            let read = self.file.read_to_vec(len, start);
            Cow::Owned(read.map_err(|source| io_error(&self.path, "reading", source))?)
        };
        if body.len() < len {
            return Ok(Err("a body that ends too early"));
        }
        Ok(if crc32c::crc32c(&body) == header.body_crc { Ok(body) } else { Err("the body's checksum does not fit") })
    }

    /// The body of a frame that was durable.
    pub(super) fn sound_body(&mut self, at: u64, header: &Header) -> Result<Bytes, JournalError> {
        self.body(at, header)?.map_err(|why| self.corrupt(at, why))
    }

    /// The same for who only looks into it.
    pub(super) fn look_into<T>(
        &mut self,
        at: u64,
        header: &Header,
        look: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, JournalError> {
        let seen = self.body_in_place(at, header)?.map_err(str::to_owned).and_then(|body| look(&body));
        seen.map_err(|reason| self.corrupt(at, reason))
    }

    /// The highest `synced` of any header that was written between `from` and `end`, whatever else stands there.
    pub(super) fn witness_between(&mut self, from: u64, end: u64) -> Result<u64, JournalError> {
        let (mut at, mut witness) = (from, 0);
        while at < end {
            let seal = self.seal;
            let bytes = self.bytes(at, usize::try_from(end - at).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES))?;
            let (mut next, taken) = (0, bytes.len());
            while let Some(found) = bytes[next..].iter().position(|b| *b == super::frame::MAGIC[0]) {
                next += found;
                if let Some(header) = bytes[next..].first_chunk()
                    && let Parsed::Header(header) = Header::parse(header, seal, at + next as u64)
                {
                    witness = witness.max(header.synced);
                }
                next += 1;
            }
            // A header may reach over the window's end.
            let step = if at + (taken as u64) < end { taken.saturating_sub(HEADER_BYTES) } else { taken };
            at += step.max(1) as u64;
        }
        Ok(witness)
    }

    pub(super) fn len_bytes(&self) -> Result<u64, JournalError> {
        self.file.len_bytes().map_err(|source| io_error(&self.path, "asking the length of", source))
    }

    /// Makes durable what is in the file, by whomever it was written.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|source| io_error(&self.path, "syncing", source))
    }

    pub(super) fn corrupt(&self, at: u64, reason: impl Into<String>) -> JournalError {
        JournalError::Corrupt { file: self.path.display().to_string(), offset: at, reason: reason.into() }
    }

    fn newer(&self, at: u64, found: String) -> JournalError {
        let supported = format!("version {FORMAT_VERSION}");
        JournalError::NewerVersion { file: self.path.display().to_string(), offset: at, found, supported }
    }

    /// Up to `len` bytes (at most a window) from `at`; fewer at the end of the file.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], JournalError> {
        let held = self.window_start..self.window_start + self.window.len() as u64;
        if !held.contains(&at) || at + len as u64 > held.end {
            let goes_on = held.contains(&at) || at == held.end;
            let further = (2 * self.window.len()).clamp(JUMP_BYTES, WINDOW_BYTES);
            let wanted = len.max(if goes_on { further } else { JUMP_BYTES });
            let read = self.file.read_to_vec(wanted, at);
            self.window = read.map_err(|source| io_error(&self.path, "reading", source))?;
            self.window_start = at;
        }
        let start = usize::try_from(at - self.window_start).unwrap_or(usize::MAX);
        Ok(&self.window[start..self.window.len().min(start + len)])
    }
}

pub(super) fn io_error(path: &Path, doing: &'static str, source: std::io::Error) -> JournalError {
    JournalError::Io { file: path.display().to_string(), doing, source }
}
