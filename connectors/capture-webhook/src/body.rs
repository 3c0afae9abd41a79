//! Reads a body into memory: within its limit, in its time, and only as much as all requests together may hold. Unfolds gzip within a limit of
//! its own, so that a small body cannot become a large one.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reply::Refusal;

/// Memory is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 10;
/// So much is unfolded before room for it is asked for again.
const UNFOLD_STEP_BYTES: usize = 1 << 18;

/// Memory that requests under way share.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    pieces: usize,
}

/// What one request holds of it; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
    /// Of the piece begun last, not used yet.
    spare_bytes: usize,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = bytes.div_ceil(PIECE_BYTES);
        Self { free: Arc::new(Semaphore::new(pieces)), pieces }
    }

    pub(crate) fn room(&self) -> Room {
        Room { memory: self.clone(), held: None, spare_bytes: 0 }
    }
}

impl Room {
    /// Holds so many bytes more, or refuses the request: for now, or for good where all of the memory would not do.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let missing = bytes.saturating_sub(self.spare_bytes).div_ceil(PIECE_BYTES);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if held + missing > self.memory.pieces {
            return Err(too_large("a request that fits into memory", self.memory.pieces * PIECE_BYTES));
        }
        let pieces = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.memory.free).try_acquire_many_owned(pieces);
        let more = more.map_err(|_| Refusal::later("the requests under way fill the memory: send it again later"))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        self.spare_bytes = self.spare_bytes + missing * PIECE_BYTES - bytes;
        Ok(())
    }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let named =
            headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
        match named.as_deref() {
            None | Some("" | "identity") => Ok(Self::Plain),
            Some("gzip" | "x-gzip") => Ok(Self::Gzip),
            Some(other) => Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("expected Content-Encoding gzip or none, got {other:?}"),
            )),
        }
    }
}

/// Reads it to its end.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    max_bytes: usize,
    timeout: Duration,
    room: &mut Room,
) -> Result<Vec<u8>, Refusal> {
    let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|bytes| bytes > max_bytes as u64) {
        return Err(too_large("a body", max_bytes));
    }
    let reading = async {
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::bad(format!("reading the body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if read.len() + data.len() > max_bytes {
                return Err(too_large("a body", max_bytes));
            }
            room.grow(data.len())?;
            read.extend_from_slice(&data);
        }
        Ok(read)
    };
    let slow = || Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("expected the body within {timeout:?}"));
    tokio::time::timeout(timeout, reading).await.map_err(|_| slow())?
}

/// What was packed.
pub(crate) fn unfold(packed: &[u8], max_bytes: usize, room: &mut Room) -> Result<Vec<u8>, Refusal> {
    let mut decoder = MultiGzDecoder::new(packed);
    let mut unfolded = Vec::new();
    loop {
        let step = (max_bytes + 1 - unfolded.len()).min(UNFOLD_STEP_BYTES);
        let read = decoder.by_ref().take(step as u64).read_to_end(&mut unfolded);
        let read = read.map_err(|error| Refusal::bad(format!("unfolding the body: expected gzip, got {error}")))?;
        if read == 0 {
            return Ok(unfolded);
        }
        if unfolded.len() > max_bytes {
            return Err(too_large("an unfolded body", max_bytes));
        }
        room.grow(read)?;
    }
}

pub(crate) fn too_large(what: &str, max_bytes: usize) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("expected {what} of at most {max_bytes} bytes, got more"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_defused() {
        let bomb = packed(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let memory = Memory::new(8 << 20);
        let refused = unfold(&bomb, 1 << 20, &mut memory.room()).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        let refused = unfold(&bomb, 60 << 20, &mut memory.room()).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "all memory would not do");
        let mut other = memory.room();
        other.grow(6 << 20).unwrap();
        let refused = unfold(&packed(&vec![b' '; 4 << 20]), 60 << 20, &mut memory.room()).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "not now");
        drop(other);
        assert_eq!(memory.free.available_permits(), 8 << 10, "what was held is given back");
    }

    #[test]
    fn members_of_gzip_follow_each_other() {
        let both = [packed(b"[1,"), packed(b"2]")].concat();
        assert_eq!(unfold(&both, 5, &mut Memory::new(1 << 20).room()).unwrap(), b"[1,2]");
        for wrong in [&b"plain"[..], &packed(b"cut off")[..12]] {
            assert_eq!(
                unfold(wrong, 100, &mut Memory::new(1 << 20).room()).unwrap_err().status,
                StatusCode::BAD_REQUEST
            );
        }
    }

    #[test]
    fn room_is_counted_to_the_byte() {
        let memory = Memory::new(4 << 10);
        let mut room = memory.room();
        for _ in 0..4096 {
            room.grow(1).unwrap();
        }
        assert!(room.grow(1).is_err());
        drop(room);
        memory.room().grow(4096).unwrap();
    }
}
