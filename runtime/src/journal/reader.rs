//! Reads committed transactions, segment after segment.
//!
//! Before it gives out the first entry of a transaction it looks ahead, by headers only, to the commit: what was abandoned or fenced off
//! never shows, and nothing but one frame is in memory at a time, beside the headers of the next ones.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::acquire::replay_opening;
use super::body::{self, Head, Said};
use super::chain::Link;
use super::file::Engine;
use super::frame::{Flags, Header, Kind};
use super::recent::{BodyOf, Recent};
use super::replica::{Replica, commit_sum, fault};
use super::segment::SegmentFile;
use super::survey::is_opening;
use super::track::Track;
use super::{
    BindingTable, Committed, CommittedEnd, Entry, Filter, JournalError, Letter, Position, Reader, SegmentName,
};

#[derive(Debug)]
pub(super) struct FileReader {
    engine: Arc<Engine>,
    filter: Filter,
    /// From the next transaction on.
    next_filter: Option<Filter>,
    place: Option<Box<Place>>,
    /// A letter of which more comes.
    letter: Option<Letter>,
}

/// Where a reader is.
#[derive(Debug)]
struct Place {
    segment: SegmentFile,
    at: u64,
    replica: Replica,
    /// It is in a transaction, which was committed when the journal ended here.
    inside: Option<CommittedEnd>,
    /// The frames from here on that were looked at ahead, so that their headers are not read and checked twice.
    ahead: VecDeque<Ahead>,
}

/// A frame that was looked at ahead.
#[derive(Debug)]
struct Ahead {
    segment: SegmentName,
    at: u64,
    header: Header,
    /// Behind it.
    track: Track,
    committed: Option<Committed>,
}

/// So many of them are kept: of a long transaction the first ones.
const AHEAD: usize = 64;

impl FileReader {
    pub(super) fn new(engine: Arc<Engine>, filter: Filter) -> Self {
        Self { engine, filter, next_filter: None, place: None, letter: None }
    }
}

impl Reader for FileReader {
    fn seek(&mut self, position: Position) -> Result<(), JournalError> {
        self.place = None;
        if position == Position::BEGINNING {
            return Ok(());
        }
        let Some(end) = self.engine.committed_end() else {
            let reason = "a reader cannot seek before the journal was acquired".to_owned();
            return Err(JournalError::Refused { file: self.engine.dir_text(), reason });
        };
        let unknown =
            |found: String| JournalError::UnknownPosition { journal: end.durable.journal, wanted: position, found };
        if position.offset > end.position.offset {
            return Err(unknown(format!("it ends at {}", end.position)));
        }
        let (links, begins_at) = (self.engine.links(), self.engine.begins_at());
        if position.offset < begins_at {
            return Err(JournalError::Trimmed { journal: end.durable.journal, wanted: position.offset, begins_at });
        }
        let starts_at =
            |link: &&Link| link.position.offset < position.offset || link.position == position && !link.continues;
        let Some(link) = links.iter().rev().find(starts_at) else {
            return Err(unknown("it has another history there".into()));
        };
        let mut place = Place::at_link(&self.engine, link)?;
        while place.replica.track.position.offset < position.offset {
            // Only whole transactions are passed, so that it never stops inside one.
            if place.step(&self.engine, &end)?.is_none() {
                return Err(unknown(format!("it ends at {}", end.position)));
            }
        }
        if place.replica.track.position != position {
            return Err(unknown(format!("it has {} there", place.replica.track.position)));
        }
        self.place = Some(Box::new(place));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Entry>, JournalError> {
        if let Some(mut place) = self.place.take_if(|place| place.inside.is_some()) {
            let entry = self.entry(&mut place);
            self.place = Some(place);
            return entry;
        }
        let Some(end) = self.engine.committed_end() else { return Ok(None) };
        let links = self.engine.links();
        let is_trimmed = |place: &Place| links.iter().all(|link| link.name != place.segment.name);
        let mut place = match (self.place.take(), links.first()) {
            (Some(place), Some(first)) if is_trimmed(&place) => Box::new(place.at_first(&self.engine, first)?),
            (Some(place), _) => place,
            (None, Some(first)) => Box::new(Place::at_link(&self.engine, first)?),
            (None, None) => return Ok(None),
        };
        let entry =
            self.begin(&mut place, &end).and_then(|begun| if begun { self.entry(&mut place) } else { Ok(None) });
        self.place = Some(place);
        entry
    }

    fn position(&self) -> Position {
        self.place.as_ref().map_or(Position::BEGINNING, |place| place.replica.track.position)
    }

    fn bindings(&self) -> &BindingTable {
        static NONE: BindingTable = BindingTable::empty();
        self.place.as_ref().map_or(&NONE, |place| &place.replica.bindings)
    }

    fn set_filter(&mut self, filter: Filter) {
        self.next_filter = Some(filter);
    }
}

impl FileReader {
    /// The next transaction; `false`: there is none yet.
    fn begin(&mut self, place: &mut Place, end: &CommittedEnd) -> Result<bool, JournalError> {
        if let Some(filter) = self.next_filter.take() {
            self.filter = filter;
        }
        if place.replica.track.transaction >= end.transaction {
            return Ok(false);
        }
        place.enter(&self.engine, end)?;
        self.letter = None;
        Ok(true)
    }

    /// The next entry of the transaction that it is in.
    fn entry(&mut self, place: &mut Place) -> Result<Option<Entry>, JournalError> {
        let Some(end) = place.inside else { return Ok(None) };
        while let Some(step) = place.step(&self.engine, &end)? {
            if let Some(entry) = self.shown(place, step)? {
                return Ok(Some(entry));
            }
        }
        let at = place.at;
        Err(place.segment.corrupt(at, format!("transaction {} is committed and does not end", end.transaction)))
    }

    /// What a frame is to whoever asked; `None`: not wanted.
    fn shown(&mut self, place: &mut Place, step: Passed) -> Result<Option<Entry>, JournalError> {
        let Passed { at, header, body, committed } = step;
        let local = header.local;
        let malformed = |place: &Place, m: body::Malformed| place.segment.corrupt(at, fault(header.kind, &m));
        let wanted = self.filter.wants(place.replica.bindings.row(local));
        Ok(match header.kind {
            Kind::Head | Kind::State => None,
            Kind::Bindings => {
                let rows = body::decode_bindings(body, header.count).map_err(|m| malformed(place, m))?;
                Some(Entry::Bindings(rows))
            }
            Kind::Schema if wanted => {
                let (version, schema_json) = body::decode_schema(body).map_err(|m| malformed(place, m))?;
                Some(Entry::Schema { local, offset: header.first_offset, version, schema_json })
            }
            Kind::Documents if wanted => {
                let Header { body_bytes, body_crc, .. } = header;
                let of = BodyOf { segment: place.segment.name, at, body_bytes, body_crc };
                let recent = if Recent::may_keep(body_bytes) { self.engine.recent().find(of) } else { None };
                let documents = match recent {
                    Some(documents) => documents,
                    None => {
                        let body = place.segment.sound_body(at, &header)?;
                        body::decode_documents(body, header.count).map_err(|m| malformed(place, m))?
                    }
                };
                Some(Entry::Documents { local, first_offset: header.first_offset, documents })
            }
            Kind::Control if wanted => {
                let body = place.segment.sound_body(at, &header)?;
                let control = body::decode_control(&body).map_err(|m| malformed(place, m))?;
                Some(Entry::Control { local, offset: header.first_offset, control })
            }
            Kind::DeadLetter if self.filter.wants_letters() || wanted && header.flags.has(Flags::RESENT) => {
                let body = place.segment.sound_body(at, &header)?;
                let offset = header.first_offset;
                let letter = match body::decode_dead_letter(body).map_err(|m| malformed(place, m))? {
                    Said::Settled(mark, letters) => return Ok(Some(Entry::Settled { local, offset, mark, letters })),
                    Said::Resent(resent) => return Ok(Some(Entry::Resent { local, offset, resent })),
                    Said::Letter(letter) => letter,
                    Said::More(more) => match self.letter.take() {
                        Some(so_far) => {
                            Letter { document: [&so_far.document[..], &more[..]].concat().into(), ..so_far }
                        }
                        None => return Err(place.segment.corrupt(at, "a letter goes on that never began")),
                    },
                };
                match header.flags.has(Flags::CONTINUES) {
                    true => {
                        self.letter = Some(letter);
                        None
                    }
                    false => Some(Entry::Letter { local, offset, letter }),
                }
            }
            Kind::Schema | Kind::Documents | Kind::DeadLetter | Kind::Control => None,
            Kind::Commit => committed.map(Entry::Commit),
        })
    }
}

/// A frame that a place has moved over.
struct Passed {
    at: u64,
    header: Header,
    body: Bytes,
    committed: Option<Committed>,
}

impl Place {
    fn at_link(engine: &Engine, link: &Link) -> Result<Self, JournalError> {
        let (mut segment, head) = SegmentFile::open_with_head(&*engine.storage, engine.dir(), link.name)?;
        let head = head.map_err(|why| segment.corrupt(0, why))?;
        let mut replica = Replica::at_head(&head, false);
        let at = replay_opening(&mut segment, &mut replica, &head)?;
        Ok(Self { segment, at, replica, inside: None, ahead: VecDeque::new() })
    }

    /// The segment that it stood at the end of is gone: it goes on where the journal begins now.
    fn at_first(self, engine: &Engine, first: &Link) -> Result<Self, JournalError> {
        let Position { offset, .. } = self.replica.track.position;
        if self.replica.track.position != first.position {
            let Some(journal) = engine.id() else { return Ok(self) };
            return Err(JournalError::Trimmed { journal, wanted: offset, begins_at: first.position.offset });
        }
        Self::at_link(engine, first)
    }

    /// Goes to the first frame of the next transaction that was committed.
    fn enter(&mut self, engine: &Engine, end: &CommittedEnd) -> Result<(), JournalError> {
        let mut track = self.replica.track.clone();
        let (mut at, mut other) = (self.at, None);
        let mut up_to = limit(engine, end, &self.segment)?;
        self.ahead.clear();
        let (segment, begin) = loop {
            let segment = other.as_mut().unwrap_or(&mut self.segment);
            let Some(header) = segment.sound_frame_at(at, up_to)? else {
                let (next, link) = next_segment(engine, segment)?;
                if !link.continues {
                    track.open = None;
                }
                up_to = limit(engine, end, &next)?;
                (at, other) = (Head::FRAME_BYTES, Some(next));
                continue;
            };
            let begun = track.open.map(|open| (open.segment, open.begin)).unwrap_or((segment.name, at));
            let committed = if is_opening(&header) {
                None
            } else {
                let ends = header.kind == Kind::Commit;
                let sum = if ends { Some(segment.look_into(at, &header, commit_sum)?) } else { None };
                let passed = track.pass(segment.name, at, &header, sum);
                passed.map_err(|reason| segment.corrupt(at, reason))?
            };
            if header.flags.has(Flags::BEGIN) {
                // What came before was never committed.
                self.ahead.clear();
            }
            if self.ahead.len() < AHEAD {
                let (segment, track) = (segment.name, track.clone());
                self.ahead.push_back(Ahead { segment, at, header, track, committed });
            }
            if committed.is_some() {
                // A commit that is its transaction's only frame begins it.
                break if header.flags.has(Flags::BEGIN) { (segment.name, at) } else { begun };
            }
            at += header.frame_bytes();
        };
        self.go(engine, segment, begin, other)?;
        self.inside = Some(*end);
        Ok(())
    }

    /// To the first frame of a transaction, dropping what was never committed on the way.
    fn go(
        &mut self,
        engine: &Engine,
        segment: SegmentName,
        at: u64,
        opened: Option<SegmentFile>,
    ) -> Result<(), JournalError> {
        if let Some(opened) = opened.filter(|opened| opened.name == segment) {
            self.segment = opened;
        }
        while self.segment.name != segment {
            self.segment = next_segment(engine, &mut self.segment)?.0;
        }
        self.replica.drop_open();
        self.at = at;
        Ok(())
    }

    /// Over the next frame that is no part of an opening; `None` at the committed end.
    fn step(&mut self, engine: &Engine, end: &CommittedEnd) -> Result<Option<Passed>, JournalError> {
        loop {
            if self.replica.track.transaction >= end.transaction {
                return Ok(None);
            }
            let (name, at) = (self.segment.name, self.at);
            let ahead = self.ahead.pop_front_if(|ahead| (ahead.segment, ahead.at) == (name, at));
            let found = match &ahead {
                Some(ahead) => Some(ahead.header),
                None => self.segment.sound_frame_at(at, limit(engine, end, &self.segment)?)?,
            };
            let Some(header) = found else {
                let (next, link) = next_segment(engine, &mut self.segment)?;
                if !link.continues {
                    self.replica.drop_open();
                }
                (self.segment, self.at) = (next, Head::FRAME_BYTES);
                continue;
            };
            self.at += header.frame_bytes();
            if is_opening(&header) {
                // It says what is known already, and has to be whole all the same.
                self.segment.look_into(at, &header, |_| Ok(()))?;
                continue;
            }
            // What a commit sums up was looked at.
            let wants = Replica::wants_body(header.kind) && (header.kind != Kind::Commit || ahead.is_none());
            let body = if wants { self.segment.sound_body(at, &header)? } else { Bytes::new() };
            let passed = match ahead {
                Some(Ahead { track, committed, .. }) => self.replica.follow(track, &header, &body).map(|()| committed),
                None => self.replica.pass(name, at, &header, &body),
            };
            let committed = passed.map_err(|reason| self.segment.corrupt(at, reason))?;
            self.inside = self.inside.filter(|_| committed.is_none());
            return Ok(Some(Passed { at, header, body, committed }));
        }
    }
}

/// So many bytes of a segment are committed and may be read.
fn limit(engine: &Engine, end: &CommittedEnd, segment: &SegmentFile) -> Result<u64, JournalError> {
    if segment.name == end.durable.segment {
        return Ok(end.durable.length_bytes);
    }
    let sealed = engine.links().iter().find(|link| link.name == segment.name).and_then(|link| link.sealed_bytes);
    sealed.ok_or_else(|| segment.corrupt(0, "the segment is no longer part of the journal"))
}

fn next_segment(engine: &Engine, segment: &mut SegmentFile) -> Result<(SegmentFile, Link), JournalError> {
    let links = engine.links();
    let after = links.iter().position(|link| link.name == segment.name).and_then(|i| links.get(i + 1));
    let Some(link) = after else { return Err(segment.corrupt(0, "no segment follows, and its commits are missing")) };
    let (next, head) = SegmentFile::open_with_head(&*engine.storage, engine.dir(), link.name)?;
    let head = head.map_err(|why| next.corrupt(0, why))?;
    if head.predecessor.map(|(name, _)| name) != Some(segment.name) {
        return Err(next.corrupt(0, format!("it does not follow {}", segment.name)));
    }
    Ok((next, *link))
}
