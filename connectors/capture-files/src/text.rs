//! Decompressed bytes with a buffer and a place: what `records.rs` cuts records out of. It knows byte order marks and line ends, no records.

use std::io::{self, Read};

use crate::input::{Input, Mark};

/// Taken this many at a time, in bytes.
const TEXT_BUFFER_BYTES: usize = 256 << 10;

/// Why there is no record.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    /// Longer than [`RECORD_MAX_BYTES`](crate::records::RECORD_MAX_BYTES).
    TooLong,
    /// More fields than a record may have.
    TooManyFields,
    /// UTF-16, told by its mark.
    Utf16,
    /// The file ends before the place to start at.
    Shorter,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

/// Decompressed bytes, buffered.
pub(crate) struct Text {
    input: Input,
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    cut: bool,
}

impl Text {
    /// Starts at `offset`.
    pub(crate) fn open(input: Input, offset: u64) -> Result<Text, Fault> {
        let buffer = vec![0; TEXT_BUFFER_BYTES].into_boxed_slice();
        let mut text = Text { input, buffer, begin: 0, end: 0, cut: false };
        if offset == 0 {
            text.skip_mark()?;
        }
        while text.offset() < offset {
            let wanted = offset - text.offset();
            let held = text.unread()?.len();
            if held == 0 {
                return Err(Fault::Shorter);
            }
            text.consume(held.min(usize::try_from(wanted).unwrap_or(held)));
        }
        Ok(text)
    }

    /// Where the next byte stands, in decompressed bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.input.offset() - (self.end - self.begin) as u64
    }

    /// Where a decoder would have to start to come to `offset`, which must not go back between calls.
    pub(crate) fn mark_before(&mut self, offset: u64) -> Mark {
        self.input.mark_before(offset)
    }

    /// Bytes of the stored file read so far.
    pub(crate) fn stored(&self) -> u64 {
        self.input.stored()
    }

    /// The file ended inside a gzip member or zstd frame.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// What was read and not yet consumed; empty only at the end of the file.
    pub(crate) fn unread(&mut self) -> Result<&[u8], Fault> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            self.fill()?;
        }
        Ok(&self.buffer[self.begin..self.end])
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.begin += count;
    }

    /// Reads more behind what is held; false at the end.
    fn fill(&mut self) -> Result<bool, Fault> {
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.cut = true;
                    return Ok(false);
                }
                Err(error) => return Err(Fault::Io(error)),
            }
        }
    }

    /// Drops a UTF-8 byte order mark, refuses those of UTF-16.
    fn skip_mark(&mut self) -> Result<(), Fault> {
        while self.end < 3 && self.fill()? {}
        match &self.buffer[..self.end] {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(Fault::Utf16),
            [0xef, 0xbb, 0xbf, ..] => self.begin = 3,
            _ => {}
        }
        Ok(())
    }

    /// Skips blank lines, and the second half of a CRLF; tells where it stopped.
    pub(crate) fn skip_line_ends(&mut self) -> Result<u64, Fault> {
        loop {
            let unread = self.unread()?;
            let count = unread.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let more = count > 0 && count == unread.len();
            self.consume(count);
            if !more {
                return Ok(self.offset());
            }
        }
    }
}
