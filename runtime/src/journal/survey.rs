//! How far a segment that nobody sealed can be trusted: where its whole frames end, its last commit, and what was durable once.
//!
//! Bad bytes before what a witness says was durable are corruption, a typed stop; else everything from there on is a torn tail, also whole
//! frames and commits behind it, because a disk may keep a later page and lose an earlier one.

use super::body::Head;
use super::frame::{Header, Kind};
use super::replica::commit_sum;
use super::segment::{SegmentFile, Step};
use super::track::Track;
use super::{DurableLength, JournalError, JournalId};

/// What a segment without a successor turned out to be.
#[derive(Debug)]
pub(super) enum Tail {
    /// It counts.
    Sound(Box<Survey>),
    /// Its opening was never finished: it does not exist.
    Headless,
}

#[derive(Debug, Clone)]
pub(super) struct Survey {
    pub(super) head: Head,
    /// Where whole frames end and why nothing counts from there on; `None`: they end with the file.
    pub(super) torn: Option<(u64, &'static str)>,
    /// End of the last commit, or of the opening.
    pub(super) committed_bytes: u64,
    /// So many bytes were durable once.
    pub(super) witnessed_bytes: u64,
    /// Length of the file.
    pub(super) file_bytes: u64,
    /// At the last commit.
    pub(super) track: Track,
}

/// How far the frames are whole.
struct Walk {
    whole_bytes: u64,
    torn: Option<&'static str>,
    committed_bytes: u64,
    synced: u64,
    track: Track,
}

/// Looks at all of a segment. `durable` is what is remembered of the journal, `others` finds ids to read on with if the head is damaged.
pub(super) fn survey(
    segment: &mut SegmentFile,
    head: Result<Head, &'static str>,
    durable: Option<&DurableLength>,
    others: impl FnOnce() -> Result<Vec<JournalId>, JournalError>,
) -> Result<Tail, JournalError> {
    let remembered = durable.filter(|d| d.segment == segment.name).map_or(0, |d| d.length_bytes);
    let head = match head {
        Ok(head) => head,
        Err(why) => return headless(segment, why, remembered, &others()?),
    };
    // A running writer may go on appending: what it adds from here on is not looked at.
    let file_bytes = segment.len_bytes()?;
    let walk = walk(segment, &head, file_bytes)?;
    let mut witnessed = walk.synced.max(remembered);
    if walk.torn.is_some() {
        witnessed = witnessed.max(segment.witness_between(walk.whole_bytes, file_bytes)?);
    }
    if witnessed > walk.whole_bytes {
        let why = walk.torn.unwrap_or("the file ends too early");
        return Err(segment.corrupt(walk.whole_bytes, format!("{why}, though {witnessed} bytes were durable once")));
    }
    if walk.whole_bytes < head.opening_bytes {
        return Ok(Tail::Headless);
    }
    Ok(Tail::Sound(Box::new(Survey {
        head,
        torn: walk.torn.map(|why| (walk.whole_bytes, why)),
        committed_bytes: walk.committed_bytes,
        witnessed_bytes: witnessed,
        file_bytes,
        track: walk.track,
    })))
}

fn headless(
    segment: &mut SegmentFile,
    why: &'static str,
    remembered: u64,
    others: &[JournalId],
) -> Result<Tail, JournalError> {
    let mut witnessed = remembered;
    for id in others {
        segment.assume(*id);
        witnessed = witnessed.max(segment.witness_between(0, segment.len_bytes()?)?);
    }
    if witnessed == 0 {
        return Ok(Tail::Headless);
    }
    Err(segment.corrupt(0, format!("{why}, though {witnessed} bytes were durable once")))
}

fn walk(segment: &mut SegmentFile, head: &Head, end: u64) -> Result<Walk, JournalError> {
    let mut track = Track::at_head(head);
    let mut walk = Walk {
        whole_bytes: 0,
        torn: None,
        committed_bytes: 0,
        synced: 0,
        track: Track { open: None, ..track.clone() },
    };
    loop {
        let at = walk.whole_bytes;
        let header = match segment.frame_at(at, end)? {
            Step::Frame(header) => header,
            Step::End => return Ok(walk),
            Step::Bad(why) => return Ok(Walk { torn: Some(why), ..walk }),
        };
        let body = match segment.body(at, &header)? {
            Ok(body) => body,
            Err(why) => return Ok(Walk { torn: Some(why), ..walk }),
        };
        walk.whole_bytes += header.frame_bytes();
        walk.synced = walk.synced.max(header.synced);
        if is_opening(&header) {
            walk.committed_bytes = walk.whole_bytes;
            continue;
        }
        let sum = (header.kind == Kind::Commit).then(|| commit_sum(&body)).transpose();
        let passed = sum.and_then(|sum| track.pass(segment.name, at, &header, sum));
        if passed.map_err(|reason| segment.corrupt(at, reason))?.is_some() {
            walk.committed_bytes = walk.whole_bytes;
            walk.track = track.clone();
        }
    }
}

/// Whether a frame belongs to a segment's opening and not to a transaction.
pub(super) fn is_opening(header: &Header) -> bool {
    header.transaction == 0
}
