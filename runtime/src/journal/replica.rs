//! What a journal comes to: state, bindings and schemas as its frames give them, with what the open transaction adds kept apart.

use bytes::{Bytes, BytesMut};

use super::body::{self, Head, Malformed};
use super::frame::{Flags, Header, Kind};
use super::track::{Sum, Track};
use super::{BindingRow, BindingTable, Committed, Known, LocalId, SchemaVersion, Schemas, SegmentName};
use longshore_proto::state::State;

#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) track: Track,
    /// `None`: not wanted, commits need not be decoded.
    pub(super) state: Option<State>,
    /// With those of the open transaction.
    pub(super) bindings: BindingTable,
    /// With those of the open transaction.
    pub(super) schemas: Schemas,
    staged_bindings: Vec<LocalId>,
    /// What each replaced.
    staged_schemas: Vec<(LocalId, Option<SchemaVersion>)>,
    /// Of a `state` that continues.
    state_so_far: BytesMut,
}

/// One frame of a segment's opening, behind its head.
pub(super) struct OpeningFrame {
    pub(super) kind: Kind,
    pub(super) flags: Flags,
    pub(super) local: LocalId,
    pub(super) count: u32,
    pub(super) body: Vec<u8>,
}

/// Rows in one `bindings` frame of an opening: keeps its body far below the limit.
const ROWS_PER_FRAME: usize = 4096;

impl Replica {
    pub(super) fn beginning() -> Self {
        Self::at(Track::beginning(), true)
    }

    /// At a segment's head; its opening follows.
    pub(super) fn at_head(head: &Head, with_state: bool) -> Self {
        Self::at(Track::at_head(head), with_state)
    }

    fn at(track: Track, with_state: bool) -> Self {
        Self {
            track,
            state: with_state.then(State::new),
            bindings: BindingTable::default(),
            schemas: Schemas::default(),
            staged_bindings: Vec::new(),
            staged_schemas: Vec::new(),
            state_so_far: BytesMut::new(),
        }
    }

    /// Whether [`Replica::pass`] looks into the body of such a frame.
    pub(super) fn wants_body(kind: Kind) -> bool {
        match kind {
            Kind::Bindings | Kind::Schema | Kind::Commit => true,
            Kind::Head | Kind::State | Kind::Documents | Kind::DeadLetter | Kind::Control => false,
        }
    }

    /// Takes in a frame of the segment's opening.
    pub(super) fn load(&mut self, header: &Header, body: Bytes) -> Result<(), String> {
        let staged = header.flags.has(Flags::STAGED);
        match header.kind {
            Kind::Head => {}
            Kind::State => {
                if self.state.is_some() {
                    self.state_so_far.extend_from_slice(&body);
                    if !header.flags.has(Flags::CONTINUES) {
                        let whole = std::mem::take(&mut self.state_so_far).freeze();
                        self.state = Some(body::decode_state(whole).map_err(|m| fault(header.kind, &m))?);
                    }
                }
            }
            Kind::Bindings => {
                let rows = body::decode_bindings(body, header.count).map_err(|m| fault(header.kind, &m))?;
                rows.into_iter().for_each(|row| self.bind(row, staged));
            }
            Kind::Schema => {
                let (version, schema_json) = body::decode_schema(body).map_err(|m| fault(header.kind, &m))?;
                self.widen(header.local, SchemaVersion { version, schema_json }, staged);
            }
            Kind::Documents | Kind::DeadLetter | Kind::Control | Kind::Commit => {
                return Err(format!("a {} frame in a segment's opening", header.kind.word()));
            }
        }
        Ok(())
    }

    /// Takes in a frame of a transaction. The body may be empty where it is not wanted.
    pub(super) fn pass(
        &mut self,
        segment: SegmentName,
        at: u64,
        header: &Header,
        body: &Bytes,
    ) -> Result<Option<Committed>, String> {
        if header.flags.has(Flags::BEGIN) {
            self.drop_open();
        }
        let mut patch = None;
        let sum = match header.kind {
            Kind::Commit if self.state.is_some() => {
                let commit = body::decode_commit(body.clone()).map_err(|m| fault(header.kind, &m))?;
                patch = Some(commit.patch);
                Some(Sum { rolling_crc: commit.rolling_crc, documents: commit.documents })
            }
            Kind::Commit => Some(commit_sum(body)?),
            Kind::Head
            | Kind::State
            | Kind::Bindings
            | Kind::Schema
            | Kind::Documents
            | Kind::DeadLetter
            | Kind::Control => None,
        };
        let committed = self.track.pass(segment, at, header, sum)?;
        if let (Some(state), Some(patch)) = (&mut self.state, &patch) {
            state.apply(patch).map_err(|e| format!("a state patch that does not fit: {}", e.message))?;
        }
        self.take_in(header, body)?;
        Ok(committed)
    }

    /// The same for who has passed the frame on a track of its own, and wants no state.
    pub(super) fn follow(&mut self, after: Track, header: &Header, body: &Bytes) -> Result<(), String> {
        if header.flags.has(Flags::BEGIN) {
            self.drop_open();
        }
        self.track = after;
        self.take_in(header, body)
    }

    /// What a frame says of bindings and schemas.
    fn take_in(&mut self, header: &Header, body: &Bytes) -> Result<(), String> {
        match header.kind {
            Kind::Bindings => {
                let rows = body::decode_bindings(body.clone(), header.count).map_err(|m| fault(header.kind, &m))?;
                rows.into_iter().for_each(|row| self.bind(row, true));
            }
            Kind::Schema => {
                let (version, schema_json) = body::decode_schema(body.clone()).map_err(|m| fault(header.kind, &m))?;
                self.widen(header.local, SchemaVersion { version, schema_json }, true);
            }
            Kind::Commit => self.settle(),
            Kind::Head | Kind::State | Kind::Documents | Kind::DeadLetter | Kind::Control => {}
        }
        Ok(())
    }

    pub(super) fn bind(&mut self, row: BindingRow, staged: bool) {
        if staged {
            self.staged_bindings.push(row.local);
        }
        self.bindings.insert(row);
    }

    pub(super) fn widen(&mut self, local: LocalId, schema: SchemaVersion, staged: bool) {
        let before = self.schemas.insert(local, schema);
        if staged {
            self.staged_schemas.push((local, before));
        }
    }

    /// What the open transaction added stays.
    pub(super) fn settle(&mut self) {
        self.staged_bindings.clear();
        self.staged_schemas.clear();
    }

    /// The open transaction never was.
    pub(super) fn drop_open(&mut self) {
        self.track.open = None;
        for local in self.staged_bindings.drain(..) {
            self.bindings.remove(local);
        }
        while let Some((local, before)) = self.staged_schemas.pop() {
            restore(&mut self.schemas, local, before);
        }
    }

    /// Whether another replica, read from an opening, says the same.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.track == other.track
            && self.state == other.state
            && self.bindings == other.bindings
            && self.schemas == other.schemas
    }

    /// Bindings and schemas without those of the open transaction.
    pub(super) fn known(&self) -> Known {
        let mut known = Known { bindings: self.bindings.clone(), schemas: self.schemas.clone() };
        self.staged_bindings.iter().for_each(|local| known.bindings.remove(*local));
        for (local, before) in self.staged_schemas.iter().rev() {
            restore(&mut known.schemas, *local, before.clone());
        }
        known
    }

    /// The frames that tell a new segment all of this.
    pub(super) fn opening(&self) -> Vec<OpeningFrame> {
        let mut frames = Vec::new();
        let state = body::encode_state(self.state.as_ref().unwrap_or(&State::default()));
        let chunks = state.chunks(super::frame::PAYLOAD_MAX_BYTES);
        let last = chunks.len() - 1;
        for (i, chunk) in chunks.enumerate() {
            let flags = if i == last { Flags::NONE } else { Flags::CONTINUES };
            frames.push(OpeningFrame { kind: Kind::State, flags, local: LocalId(0), count: 0, body: chunk.to_vec() });
        }
        let Known { bindings, schemas } = self.known();
        push_bindings(&mut frames, bindings.iter().collect(), Flags::NONE);
        for (local, schema) in &schemas {
            frames.push(schema_frame(*local, schema, Flags::NONE));
        }
        if self.track.open.is_some() {
            let staged = self.staged_bindings.iter().filter_map(|local| Some((*local, self.bindings.row(*local)?)));
            push_bindings(&mut frames, staged.collect(), Flags::STAGED);
            for (local, schema) in self.schemas.iter().filter(|(local, schema)| schemas.get(local) != Some(schema)) {
                frames.push(schema_frame(*local, schema, Flags::STAGED));
            }
        }
        frames
    }
}

fn restore(schemas: &mut Schemas, local: LocalId, before: Option<SchemaVersion>) {
    match before {
        Some(schema) => schemas.insert(local, schema),
        None => schemas.remove(&local),
    };
}

pub(super) fn commit_sum(body: &[u8]) -> Result<Sum, String> {
    let (rolling_crc, documents) = body::commit_summary(body).map_err(|m| fault(Kind::Commit, &m))?;
    Ok(Sum { rolling_crc, documents })
}

pub(super) fn fault(kind: Kind, malformed: &Malformed) -> String {
    format!("a {} frame that cannot be read: {}", kind.word(), malformed.0)
}

fn push_bindings(frames: &mut Vec<OpeningFrame>, rows: Vec<(LocalId, &super::NewBinding)>, flags: Flags) {
    for rows in rows.chunks(ROWS_PER_FRAME) {
        let (count, body) = body::encode_bindings(rows.iter().copied());
        frames.push(OpeningFrame { kind: Kind::Bindings, flags, local: LocalId(0), count, body });
    }
}

fn schema_frame(local: LocalId, schema: &SchemaVersion, flags: Flags) -> OpeningFrame {
    let body = [&schema.version.to_le_bytes(), &schema.schema_json[..]].concat();
    OpeningFrame { kind: Kind::Schema, flags, local, count: 0, body }
}
