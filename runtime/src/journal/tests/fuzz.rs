//! Segments that nobody wrote: whatever is in a file, what is read of it was committed, in order, or the reader stops.

use longshore_fuzz::Fuzz;

use super::damage::six;
use super::*;
use crate::journal::Inspection;
use crate::journal::frame::{HEADER_BYTES, MAGIC, Seal};
use crate::journal::storage::Storage;

/// Whether an inspection, a writer and a reader take these bytes for a segment, and why not.
fn told(disk: &SimStorage, bytes: &[u8]) -> (bool, Result<u64, String>, Result<Vec<Seen>, String>) {
    let damaged = disk.copy();
    damaged.damage(&segment(1, 1), |file| *file = bytes.to_vec());
    let looked = Inspection::open(Arc::new(damaged.clone()) as Arc<dyn Storage>, dir(), Evidence::default());
    let checked = looked.and_then(|look| look.map(|look| look.check().map(drop)).transpose()).is_ok();
    let journal = journal(&damaged, 1 << 20);
    let acquired = journal.acquire(Epoch(2)).map(|writer| writer.last_committed().transaction);
    let said = |error: JournalError| {
        let text = error.to_string();
        assert!(!text.is_empty());
        text.chars().filter(|c| !c.is_ascii_digit()).take(120).collect()
    };
    (checked, acquired.map_err(said), read(&journal).map_err(said))
}

#[test]
fn a_fuzzed_segment_tells_what_was_committed_or_stops() {
    let (disk, ..) = six();
    let whole = disk.bytes(&segment(1, 1)).unwrap();
    let half = &whole[..whole.len() / 2];
    Fuzz::new("segment", env!("CARGO_MANIFEST_DIR")).input(whole.clone()).input(half).one_in(4).run(|bytes| {
        let (checked, acquired, seen) = told(&disk, bytes);
        if let Ok(seen) = &seen {
            check_whole(seen);
        }
        (checked, acquired, seen.map(|seen| seen.len()))
    });
}

/// As if a version with a mistake had written them: no checksum tells.
#[test]
fn fuzzed_frames_whose_checksums_fit_are_read_or_refused() {
    let (disk, ..) = six();
    let whole = disk.bytes(&segment(1, 1)).unwrap();
    let seal = Seal::new(JournalId([7; 16]), SegmentName { number: 1, epoch: Epoch(1) });
    Fuzz::new("frames", env!("CARGO_MANIFEST_DIR")).input(whole).one_in(4).run(|bytes| {
        let (checked, acquired, seen) = told(&disk, &sealed(bytes, seal));
        (checked, acquired, seen.map(|seen| seen.len()))
    });
}

/// The same bytes as frames, one behind the other, each of which says of itself what is true.
fn sealed(bytes: &[u8], seal: Seal) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = sealed[at..].first_chunk::<HEADER_BYTES>() {
        let mut header = *header;
        let rest = sealed.len() - at - HEADER_BYTES;
        let claimed = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let body = at + HEADER_BYTES..at + HEADER_BYTES + claimed.min(rest);
        header[..4].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
        header[44..48].copy_from_slice(&crc32c::crc32c(&sealed[body.clone()]).to_le_bytes());
        seal.reseal(&mut header, at as u64);
        sealed[at..at + HEADER_BYTES].copy_from_slice(&header);
        at = body.end;
    }
    sealed
}
