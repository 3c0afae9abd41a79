//! The segments that count: those reachable backwards from the newest one with a valid head. Any other file does not exist.

use super::body::Head;
use super::file::Engine;
use super::segment::SegmentFile;
use super::{JournalError, Position, SegmentName};

/// One of them, as its own head and its successor's say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: SegmentName,
    /// So many bytes count; `None`: it is the newest.
    pub(super) sealed_bytes: Option<u64>,
    /// The last transaction before it.
    pub(super) transaction: u64,
    /// Where that ended.
    pub(super) position: Position,
    /// A transaction that began before goes on in it.
    pub(super) continues: bool,
}

impl Link {
    pub(super) fn new(head: &Head, sealed_bytes: Option<u64>) -> Self {
        Self {
            name: head.segment,
            sealed_bytes,
            transaction: head.transaction,
            position: head.position,
            continues: head.open.is_some(),
        }
    }
}

/// The links up to and with `last`, oldest first. A predecessor that is missing, shorter than its successor says, or of another journal is
/// corruption, unless the journal was trimmed to begin here.
pub(super) fn walk_back(engine: &Engine, last: Link, head: &Head) -> Result<Vec<Link>, JournalError> {
    let (storage, dir) = (&*engine.storage, engine.dir());
    let mut links = vec![last];
    let (journal, mut before) = (head.journal, head.predecessor);
    let first = engine.trimmed().filter(|trim| trim.journal == journal).map(|trim| trim.first);
    while let Some((name, sealed_bytes)) = before.filter(|_| links.last().map(|link| link.name) != first) {
        let damaged = |offset, reason: String| JournalError::Corrupt {
            file: name.path_in(dir).display().to_string(),
            offset,
            reason,
        };
        let (segment, head) = match SegmentFile::open_with_head(storage, dir, name) {
            Err(JournalError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(0, "the file is missing".into()));
            }
            other => other?,
        };
        let head = head.map_err(|why| damaged(0, why.into()))?;
        let len = segment.len_bytes()?;
        if len < sealed_bytes {
            return Err(damaged(len, format!("the file ends too early, {sealed_bytes} bytes were sealed")));
        }
        let newer = links.last().map_or(last, |link| *link);
        // Numbers may not ascend over epochs: a fenced writer may have rotated while its successor chose its own.
        let older = (name.epoch, name.number) < (newer.name.epoch, newer.name.number);
        if head.journal != journal || !older || head.transaction > newer.transaction {
            return Err(damaged(0, format!("it is not what {} follows", newer.name)));
        }
        links.push(Link::new(&head, Some(sealed_bytes)));
        before = head.predecessor;
    }
    links.reverse();
    Ok(links)
}
