//! What stands in the bodies of frames, to the byte: little-endian numbers, texts and blobs with a length of four bytes before them.
//!
//! A body is decoded only after its CRC fitted; what does not decode then was written by something else than this code, and is damage.

use bytes::{Buf, Bytes};

use super::frame::HEADER_BYTES;
use super::{BindingRow, Control, JournalId, Letter, LocalId, Mark, NewBinding, Position, Resent, SegmentName};
use crate::store::Epoch;
use longshore_proto::batch::Batch;
use longshore_proto::name::StateKey;
use longshore_proto::state::{State, StatePatch};

/// JSON documents; the other encodings to come have numbers of their own.
pub(super) const ENCODING_JSON: u32 = 1;

/// First byte of a `dead_letter` frame: a letter, or what became of earlier ones.
const LETTER: u8 = 1;
const REPLAYED: u8 = 2;
const DROPPED: u8 = 3;
/// More of the document of the letter before.
const MORE: u8 = 4;
/// A document that a destination refused, for it again.
const RESENT: u8 = 5;

/// First frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) journal: JournalId,
    pub(super) segment: SegmentName,
    /// The segment before, and how many of its bytes count.
    pub(super) predecessor: Option<(SegmentName, u64)>,
    /// The last commit before this segment.
    pub(super) transaction: u64,
    pub(super) position: Position,
    /// A transaction that began before this segment and goes on in it.
    pub(super) open: Option<OpenHead>,
    /// Bytes up to the end of what was written and synced before the segment counted: head, state, bindings, schemas, and whole
    /// transactions copied from the predecessor.
    pub(super) opening_bytes: u64,
}

/// How far an open transaction is at a segment's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenHead {
    pub(super) segment: SegmentName,
    pub(super) begin: u64,
    pub(super) epoch: Epoch,
    pub(super) next_offset: u64,
    pub(super) rolling_crc: u32,
    pub(super) documents: u64,
}

/// Ends a transaction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Commit {
    pub(super) rolling_crc: u32,
    pub(super) documents: u64,
    pub(super) patch: StatePatch,
}

/// What a `dead_letter` frame says.
#[derive(Debug)]
pub(super) enum Said {
    Letter(Letter),
    More(Bytes),
    Settled(Mark, Vec<u64>),
    Resent(Resent),
}

/// A body that does not say what its kind says.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) &'static str);

impl Head {
    /// Of the same length whatever it says.
    pub(super) const BYTES: usize = 138;
    /// Of the whole frame.
    pub(super) const FRAME_BYTES: u64 = (HEADER_BYTES + Self::BYTES) as u64;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.extend_from_slice(&self.journal.0);
        put_name(&mut out, self.segment);
        out.push(u8::from(self.predecessor.is_some()));
        let none = SegmentName { number: 0, epoch: Epoch(0) };
        let (name, sealed) = self.predecessor.unwrap_or((none, 0));
        put_name(&mut out, name);
        out.extend_from_slice(&sealed.to_le_bytes());
        out.extend_from_slice(&self.transaction.to_le_bytes());
        out.extend_from_slice(&self.position.offset.to_le_bytes());
        out.extend_from_slice(&self.position.chain_crc.to_le_bytes());
        out.push(u8::from(self.open.is_some()));
        let open = self.open.unwrap_or(OpenHead {
            segment: none,
            begin: 0,
            epoch: Epoch(0),
            next_offset: 0,
            rolling_crc: 0,
            documents: 0,
        });
        put_name(&mut out, open.segment);
        out.extend_from_slice(&open.begin.to_le_bytes());
        out.extend_from_slice(&open.epoch.0.to_le_bytes());
        out.extend_from_slice(&open.next_offset.to_le_bytes());
        out.extend_from_slice(&open.rolling_crc.to_le_bytes());
        out.extend_from_slice(&open.documents.to_le_bytes());
        out.extend_from_slice(&self.opening_bytes.to_le_bytes());
        out
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        let body = &mut body;
        let head = Self {
            journal: journal_id(body)?,
            segment: name(body)?,
            predecessor: {
                let there = u8(body)? != 0;
                let predecessor = (name(body)?, u64(body)?);
                there.then_some(predecessor)
            },
            transaction: u64(body)?,
            position: Position { offset: u64(body)?, chain_crc: u32(body)? },
            open: {
                let there = u8(body)? != 0;
                let open = OpenHead {
                    segment: name(body)?,
                    begin: u64(body)?,
                    epoch: Epoch(u64(body)?),
                    next_offset: u64(body)?,
                    rolling_crc: u32(body)?,
                    documents: u64(body)?,
                };
                there.then_some(open)
            },
            opening_bytes: u64(body)?,
        };
        end(body)?;
        Ok(head)
    }
}

/// The journal id in a head's body, before anything of it is believed: its CRC cannot be checked without.
pub(super) fn claimed_id(head_body: &[u8]) -> Option<JournalId> {
    head_body.first_chunk().map(|id| JournalId(*id))
}

pub(super) fn encode_commit(rolling_crc: u32, documents: u64, patch: &StatePatch) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + patch.byte_len());
    out.extend_from_slice(&rolling_crc.to_le_bytes());
    out.extend_from_slice(&documents.to_le_bytes());
    put_parts(&mut out, patch.task_json(), patch.parts());
    out
}

pub(super) fn decode_commit(mut body: Bytes) -> Result<Commit, Malformed> {
    let body = &mut body;
    let (rolling_crc, documents) = (u32(body)?, u64(body)?);
    let (task, parts) = parts(body)?;
    let patch = StatePatch::from_parts(task, parts).map_err(|_| Malformed("a state patch that is none"))?;
    end(body)?;
    Ok(Commit { rolling_crc, documents, patch })
}

/// The rolling CRC and the count of documents, without the patch.
pub(super) fn commit_summary(mut body: &[u8]) -> Result<(u32, u64), Malformed> {
    Ok((u32(&mut body)?, u64(&mut body)?))
}

pub(super) fn encode_state(state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + state.byte_len());
    put_parts(&mut out, state.task_json(), state.parts());
    out
}

pub(super) fn decode_state(mut body: Bytes) -> Result<State, Malformed> {
    let (task, parts) = parts(&mut body)?;
    end(&body)?;
    State::from_parts(task, parts).map_err(|_| Malformed("a state that is none"))
}

pub(super) fn encode_bindings<'a>(rows: impl IntoIterator<Item = (LocalId, &'a NewBinding)>) -> (u32, Vec<u8>) {
    let (mut count, mut out) = (0, Vec::new());
    for (local, binding) in rows {
        count += 1;
        out.extend_from_slice(&local.0.to_le_bytes());
        put_blob(&mut out, binding.state_key.as_str().as_bytes());
        put_blob(&mut out, binding.collection.as_bytes());
        put_count(&mut out, binding.key.len());
        for pointer in &binding.key {
            put_blob(&mut out, pointer.as_bytes());
        }
    }
    (count, out)
}

pub(super) fn decode_bindings(mut body: Bytes, count: u32) -> Result<Vec<BindingRow>, Malformed> {
    let body = &mut body;
    let mut rows = Vec::new();
    for _ in 0..count {
        let local = LocalId(u32(body)?);
        let state_key = state_key(body)?;
        let collection = text(body)?;
        let key = (0..u32(body)?).map(|_| text(body)).collect::<Result<_, _>>()?;
        rows.push(BindingRow { local, binding: NewBinding { state_key, collection, key } });
    }
    end(body)?;
    Ok(rows)
}

pub(super) fn decode_schema(mut body: Bytes) -> Result<(u64, Bytes), Malformed> {
    Ok((u64(&mut body)?, body))
}

pub(super) fn decode_documents(mut body: Bytes, count: u32) -> Result<Batch, Malformed> {
    if u32(&mut body)? != ENCODING_JSON {
        return Err(Malformed("documents in an encoding this version does not know"));
    }
    let ends_bytes = count as usize * 4;
    if body.len() < ends_bytes {
        return Err(Malformed("fewer documents than it counts"));
    }
    let ends = body.split_to(ends_bytes);
    let ends = ends.chunks_exact(4).map(|end| u32::from_le_bytes([end[0], end[1], end[2], end[3]])).collect();
    Batch::from_parts(0, body, ends).map_err(|_| Malformed("documents whose ends do not fit"))
}

pub(super) fn encode_control(control: Control) -> [u8; 1] {
    match control {
        Control::BackfillBegin => [1],
        Control::BackfillComplete => [2],
        Control::Truncated => [3],
    }
}

pub(super) fn decode_control(body: &[u8]) -> Result<Control, Malformed> {
    match body {
        [1] => Ok(Control::BackfillBegin),
        [2] => Ok(Control::BackfillComplete),
        [3] => Ok(Control::Truncated),
        _ => Err(Malformed("a mark this version does not know")),
    }
}

/// What stands before the document itself.
pub(super) fn encode_letter(letter: &Letter) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + letter.code.len() + letter.message.len());
    out.push(LETTER);
    put_blob(&mut out, letter.code.as_bytes());
    put_blob(&mut out, letter.message.as_bytes());
    out
}

/// What stands before more of the document.
pub(super) fn encode_more() -> [u8; 1] {
    [MORE]
}

/// What stands before the document itself.
pub(super) fn encode_resent(resent: &Resent) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + resent.task.len() + resent.binding.as_str().len());
    out.push(RESENT);
    put_blob(&mut out, resent.task.as_bytes());
    put_blob(&mut out, resent.binding.as_str().as_bytes());
    out.extend_from_slice(&resent.letter.to_le_bytes());
    out
}

pub(super) fn encode_settled(mark: Mark, letters: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + 8 * letters.len());
    out.push(match mark {
        Mark::Replayed => REPLAYED,
        Mark::Dropped => DROPPED,
    });
    put_count(&mut out, letters.len());
    letters.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
    out
}

pub(super) fn decode_dead_letter(mut body: Bytes) -> Result<Said, Malformed> {
    let body = &mut body;
    let mark = match u8(body)? {
        LETTER => {
            let (code, message) = (text(body)?, text(body)?);
            return Ok(Said::Letter(Letter { code, message, document: std::mem::take(body) }));
        }
        MORE => return Ok(Said::More(std::mem::take(body))),
        RESENT => {
            let (task, binding) = (text(body)?, state_key(body)?);
            let letter = u64(body)?;
            return Ok(Said::Resent(Resent { task, binding, letter, document: std::mem::take(body) }));
        }
        REPLAYED => Mark::Replayed,
        DROPPED => Mark::Dropped,
        _ => return Err(Malformed("a dead letter of a sort this version does not know")),
    };
    let count = u32(body)?;
    let letters = (0..count).map(|_| u64(body)).collect::<Result<_, _>>()?;
    end(body)?;
    Ok(Said::Settled(mark, letters))
}

fn put_name(out: &mut Vec<u8>, name: SegmentName) {
    out.extend_from_slice(&name.number.to_le_bytes());
    out.extend_from_slice(&name.epoch.0.to_le_bytes());
}

/// Counts and lengths here are bounded by the limit of a state, far below 4 Gi.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_blob(out: &mut Vec<u8>, blob: &[u8]) {
    put_count(out, blob.len());
    out.extend_from_slice(blob);
}

fn put_parts<'a>(
    out: &mut Vec<u8>,
    task: Option<&Bytes>,
    parts: impl ExactSizeIterator<Item = (&'a StateKey, &'a Bytes)>,
) {
    out.push(u8::from(task.is_some()));
    put_blob(out, task.map_or(&[], |json| json));
    put_count(out, parts.len());
    for (key, json) in parts {
        put_blob(out, key.as_str().as_bytes());
        put_blob(out, json);
    }
}

type Parts = (Option<Bytes>, Vec<(StateKey, Bytes)>);

fn parts(body: &mut Bytes) -> Result<Parts, Malformed> {
    let there = u8(body)? != 0;
    let task = blob(body)?;
    let mut parts = Vec::new();
    for _ in 0..u32(body)? {
        parts.push((state_key(body)?, blob(body)?));
    }
    Ok((there.then_some(task), parts))
}

const SHORT: Malformed = Malformed("it ends too early");

fn u8(body: &mut impl Buf) -> Result<u8, Malformed> {
    body.try_get_u8().map_err(|_| SHORT)
}

fn u32(body: &mut impl Buf) -> Result<u32, Malformed> {
    body.try_get_u32_le().map_err(|_| SHORT)
}

fn u64(body: &mut impl Buf) -> Result<u64, Malformed> {
    body.try_get_u64_le().map_err(|_| SHORT)
}

fn journal_id(body: &mut Bytes) -> Result<JournalId, Malformed> {
    let mut id = [0; 16];
    body.try_copy_to_slice(&mut id).map_err(|_| SHORT)?;
    Ok(JournalId(id))
}

fn name(body: &mut Bytes) -> Result<SegmentName, Malformed> {
    Ok(SegmentName { number: u64(body)?, epoch: Epoch(u64(body)?) })
}

fn blob(body: &mut Bytes) -> Result<Bytes, Malformed> {
    let len = u32(body)? as usize;
    if body.len() < len { Err(SHORT) } else { Ok(body.split_to(len)) }
}

fn text(body: &mut Bytes) -> Result<String, Malformed> {
    utf8(&blob(body)?).map(str::to_owned)
}

fn state_key(body: &mut Bytes) -> Result<StateKey, Malformed> {
    StateKey::parse(utf8(&blob(body)?)?).ok_or(Malformed("a state key that is none"))
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text that is not UTF-8"))
}

fn end(body: &Bytes) -> Result<(), Malformed> {
    if body.is_empty() { Ok(()) } else { Err(Malformed("it goes on too long")) }
}
