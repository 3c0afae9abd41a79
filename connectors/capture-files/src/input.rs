//! The bytes of a file, decompressed: plain, gzip of several members, zstd of several frames, from its beginning or from a noted place.
//!
//! It counts offsets in decompressed bytes and remembers where members and frames begin, so that a resume need not start at the front.
//! Records are cut out of these bytes in `records.rs`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};

use crate::config::Encoded;

/// Where a gzip member or zstd frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// In the file as it is stored, in bytes.
    pub(crate) stored: u64,
    /// In what it decompresses to, in bytes.
    pub(crate) offset: u64,
}

/// Read this much of a file at a time, in bytes.
const STORED_BUFFER_BYTES: usize = 128 << 10;
/// Marks are kept at least this far apart, in decompressed bytes, so that a file of tiny members costs no memory.
const MARK_DISTANCE_BYTES: u64 = 64 << 10;
/// Beyond the first of these many decompressed bytes…
const RATIO_FREE_BYTES: u64 = 64 << 20;
/// …a file may not unfold to more than so many times its size.
const RATIO_MAX: u64 = 5_000;

/// Decompressed bytes, one read after the other.
pub(crate) struct Input {
    decoder: Decoder,
    encoded: Encoded,
    start: Mark,
    offset: u64,
    marks: VecDeque<Mark>,
}

enum Decoder {
    Plain(Stored),
    /// At the beginning of a member or frame, or at the end of the file.
    Between(Stored),
    Gzip(Box<GzDecoder<Stored>>),
    Zstd(Box<zstd::Decoder<'static, Stored>>),
    /// A decoder that failed has no reader to give back.
    Broken,
}

impl Input {
    /// Starts at `start`, which must be a mark noted before, or the beginning of the file.
    pub(crate) fn open(mut file: File, encoded: Encoded, start: Mark) -> io::Result<Input> {
        file.seek(SeekFrom::Start(start.stored))?;
        let stored = Stored { inner: BufReader::with_capacity(STORED_BUFFER_BYTES, file), position: start.stored };
        let decoder = match encoded {
            Encoded::Plain => Decoder::Plain(stored),
            Encoded::Gzip | Encoded::Zstd => Decoder::Between(stored),
        };
        Ok(Input { decoder, encoded, start, offset: start.offset, marks: VecDeque::from([start]) })
    }

    /// Decompressed bytes up to here, counted from the beginning of the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the stored file up to here.
    pub(crate) fn stored(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(stored) | Decoder::Between(stored) => stored.position,
            Decoder::Gzip(decoder) => decoder.get_ref().position,
            Decoder::Zstd(decoder) => decoder.get_ref().position,
            Decoder::Broken => self.start.stored,
        }
    }

    /// The last mark at or before `offset`, which must not go back between calls.
    pub(crate) fn mark_before(&mut self, offset: u64) -> Mark {
        while self.marks.get(1).is_some_and(|next| next.offset <= offset) {
            self.marks.pop_front();
        }
        self.marks.front().copied().unwrap_or_default()
    }

    fn note_mark(&mut self, stored: u64, at_end: bool) {
        let mark = Mark { stored, offset: self.offset };
        let far = self.marks.back().is_none_or(|last| last.offset + MARK_DISTANCE_BYTES <= mark.offset);
        if far || at_end {
            self.marks.push_back(mark);
        }
    }

    fn check_ratio(&self) -> io::Result<()> {
        let unfolded = self.offset - self.start.offset;
        let stored = (self.stored() - self.start.stored).max(1);
        if unfolded > RATIO_FREE_BYTES && unfolded / stored > RATIO_MAX {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "it unfolds to more than 5,000 times its size"));
        }
        Ok(())
    }

    /// Enters the next member or frame; false: there is none.
    fn enter(&mut self, mut stored: Stored) -> io::Result<bool> {
        let at_end = stored.fill_buf()?.is_empty();
        if stored.position > self.start.stored {
            self.note_mark(stored.position, at_end);
        }
        if at_end {
            self.decoder = Decoder::Between(stored);
            return Ok(false);
        }
        self.decoder = match self.encoded {
            Encoded::Plain => Decoder::Plain(stored),
            Encoded::Gzip => Decoder::Gzip(Box::new(GzDecoder::new(stored))),
            Encoded::Zstd => Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(stored)?.single_frame())),
        };
        Ok(true)
    }
}

/// `UnexpectedEof` means that the file ends inside a member or frame; what was read before stands.
impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.decoder {
                Decoder::Plain(stored) => {
                    let count = stored.read(buffer)?;
                    self.offset += count as u64;
                    return Ok(count);
                }
                Decoder::Between(_) => 0,
                Decoder::Gzip(decoder) => decoder.read(buffer)?,
                Decoder::Zstd(decoder) => decoder.read(buffer)?,
                Decoder::Broken => return Err(io::Error::other("the decoder failed before")),
            };
            if count > 0 {
                self.offset += count as u64;
                self.check_ratio()?;
                return Ok(count);
            }
            let stored = match std::mem::replace(&mut self.decoder, Decoder::Broken) {
                Decoder::Plain(stored) | Decoder::Between(stored) => stored,
                Decoder::Gzip(decoder) => decoder.into_inner(),
                Decoder::Zstd(decoder) => decoder.finish(),
                Decoder::Broken => return Err(io::Error::other("the decoder failed before")),
            };
            if !self.enter(stored)? {
                return Ok(0);
            }
        }
    }
}

/// The file as it is stored, buffered, with a count of the bytes taken.
struct Stored {
    inner: BufReader<File>,
    position: u64,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl BufRead for Stored {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.position += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn open(bytes: &[u8], encoded: Encoded, start: Mark) -> Input {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Input::open(file, encoded, start).unwrap()
    }

    fn members(encoded: Encoded, texts: &[&[u8]]) -> Vec<u8> {
        let one = |text: &&[u8]| match encoded {
            Encoded::Plain => text.to_vec(),
            Encoded::Gzip => gzip(text),
            Encoded::Zstd => zstd::encode_all(*text, 3).unwrap(),
        };
        texts.iter().flat_map(one).collect()
    }

    #[test]
    fn members_and_frames_are_read_as_one_text_and_any_noted_mark_is_a_place_to_start() {
        let part = vec![b'x'; MARK_DISTANCE_BYTES as usize];
        for encoded in [Encoded::Gzip, Encoded::Zstd] {
            let bytes = members(encoded, &[&part, b"", b"second", &part, b"last"]);
            let mut input = open(&bytes, encoded, Mark::default());
            let mut text = Vec::new();
            input.read_to_end(&mut text).unwrap();
            assert_eq!(text.len(), 2 * part.len() + 10);
            assert_eq!((input.offset(), input.stored()), (text.len() as u64, bytes.len() as u64));
            assert_eq!(input.mark_before(3), Mark::default());
            for offset in [part.len(), 2 * part.len() + 6, text.len()] {
                let mark = input.mark_before(offset as u64);
                assert!(mark.offset <= offset as u64 && offset as u64 - mark.offset < MARK_DISTANCE_BYTES, "{mark:?}");
                let mut rest = Vec::new();
                open(&bytes, encoded, mark).read_to_end(&mut rest).unwrap();
                assert_eq!(rest, text[mark.offset as usize..]);
            }
        }
    }

    #[test]
    fn a_file_that_ends_inside_a_member_says_so_after_what_it_holds() {
        for encoded in [Encoded::Gzip, Encoded::Zstd] {
            let bytes = members(encoded, &[b"whole", b"cut"]);
            let mut input = open(&bytes[..bytes.len() - 3], encoded, Mark::default());
            let mut text = Vec::new();
            let error = input.read_to_end(&mut text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{encoded:?}: {error}");
            assert!(text.starts_with(b"whole"));
        }
    }

    #[test]
    fn a_file_that_unfolds_without_bound_is_refused() {
        let huge = vec![0; 2 * RATIO_FREE_BYTES as usize];
        let bytes = members(Encoded::Zstd, &[&huge]);
        let mut input = open(&bytes, Encoded::Zstd, Mark::default());
        let error = io::copy(&mut input, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    }
}
