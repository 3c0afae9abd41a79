//! Cuts decompressed bytes into records and knows exactly where each one begins and ends.
//!
//! A boundary is always behind a whole record, so a resume there neither repeats nor skips one, quoted newlines or not. What a record
//! means is decided in `row.rs` (delimited) and `object.rs` (JSON lines).

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::config::{Dialect, Format};
use crate::input::{Input, Mark};
use crate::text::{Fault, Text};

/// The longest record, in bytes: what the protocol allows a document to be.
pub(crate) const RECORD_MAX_BYTES: usize = longshore_sdk::limits::DOCUMENT_MAX_BYTES;
/// The most fields in a record.
const FIELDS_MAX: usize = 1 << 16;

/// What stands at the place where reading went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A whole record.
    Record,
    /// The end, right behind a record.
    End,
    /// The end, inside a record or behind one without a newline.
    Torn,
}

/// The records of one file.
pub(crate) struct Records {
    text: Text,
    cutter: Cutter,
    /// Where the record under way begins.
    start: u64,
    /// Behind the last whole record.
    boundary: u64,
}

enum Cutter {
    Delimited(Box<Delimited>),
    Lines(Vec<u8>),
}

impl Records {
    /// Starts at `offset` (decompressed), a boundary noted before, or 0.
    pub(crate) fn open(input: Input, offset: u64, format: Format, dialect: &Dialect) -> Result<Records, Fault> {
        let text = Text::open(input, offset)?;
        let delimited =
            |default| Cutter::Delimited(Box::new(Delimited::new(dialect.delimiter.unwrap_or(default), dialect)));
        let cutter = match format {
            Format::Csv => delimited(b','),
            Format::Tsv => delimited(b'\t'),
            Format::Jsonl => Cutter::Lines(Vec::new()),
        };
        let start = text.offset();
        Ok(Records { text, cutter, start, boundary: start })
    }

    /// Goes on to the next record.
    pub(crate) fn advance(&mut self) -> Result<Step, Fault> {
        let step = match &mut self.cutter {
            Cutter::Delimited(delimited) => {
                self.start = self.text.skip_line_ends()?;
                delimited.advance(&mut self.text, self.start)?
            }
            Cutter::Lines(line) => advance_line(line, &mut self.text, &mut self.start)?,
        };
        if step != Step::Torn {
            self.boundary = self.text.offset();
        }
        Ok(step)
    }

    /// After [`Step::Torn`]: takes what is there as the last record; false if it is inside quotes.
    pub(crate) fn take_tail(&mut self) -> Result<bool, Fault> {
        let whole = match &mut self.cutter {
            Cutter::Delimited(delimited) => delimited.finish()?,
            Cutter::Lines(_) => true,
        };
        if whole {
            self.boundary = self.text.offset();
        }
        Ok(whole)
    }

    /// The next byte, if there is one.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Fault> {
        Ok(self.text.unread()?.first().copied())
    }

    /// Number of fields of a delimited record.
    pub(crate) fn width(&self) -> usize {
        match &self.cutter {
            Cutter::Delimited(delimited) => delimited.width,
            Cutter::Lines(_) => 1,
        }
    }

    /// The fields of a delimited record, unquoted; a JSON line is one field.
    pub(crate) fn fields(&self) -> Fields<'_> {
        match &self.cutter {
            Cutter::Delimited(delimited) => {
                Fields { text: &delimited.fields, ends: &delimited.ends[..delimited.width], begin: 0 }
            }
            Cutter::Lines(_) => Fields { text: &[], ends: &[], begin: 0 },
        }
    }

    /// All bytes of the record: of a delimited one, the fields without what was between them.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.cutter {
            Cutter::Delimited(delimited) => &delimited.fields[..delimited.length],
            Cutter::Lines(line) => line,
        }
    }

    /// Where the record begins, in decompressed bytes.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Behind the last whole record, in decompressed bytes.
    pub(crate) fn boundary(&self) -> u64 {
        self.boundary
    }

    /// Where a decoder would have to start to come to the boundary.
    pub(crate) fn mark(&mut self) -> Mark {
        self.text.mark_before(self.boundary)
    }

    /// Bytes of the stored file read so far.
    pub(crate) fn stored(&self) -> u64 {
        self.text.stored()
    }

    /// The file ended inside a gzip member or zstd frame.
    pub(crate) fn is_cut(&self) -> bool {
        self.text.is_cut()
    }
}

/// Walks the fields of a record.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    begin: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (end, rest) = self.ends.split_first()?;
        let field = &self.text[self.begin..*end];
        (self.begin, self.ends) = (*end, rest);
        Some(field)
    }
}

struct Delimited {
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    length: usize,
    width: usize,
}

impl Delimited {
    fn new(delimiter: u8, dialect: &Dialect) -> Delimited {
        let mut reader = ReaderBuilder::new().delimiter(delimiter).quoting(dialect.quoting).build();
        // A fresh reader drops what looks like a byte order mark, which in the middle of a file is text: give it something else to see first.
        reader.read_record(b"\n", &mut [0], &mut [0]);
        Delimited { reader, fields: vec![0; 4 << 10], ends: vec![0; 64], length: 0, width: 0 }
    }

    fn advance(&mut self, text: &mut Text, start: u64) -> Result<Step, Fault> {
        (self.length, self.width) = (0, 0);
        let mut begun = false;
        loop {
            let unread = text.unread()?;
            if unread.is_empty() {
                return Ok(if begun { Step::Torn } else { Step::End });
            }
            begun = true;
            let (taken, done) = self.feed(unread)?;
            text.consume(taken);
            if text.offset() - start > RECORD_MAX_BYTES as u64 {
                return Err(Fault::TooLong);
            }
            if done {
                return Ok(Step::Record);
            }
        }
    }

    /// Ends the record under way as a newline would; false if that newline would be part of a quoted field.
    fn finish(&mut self) -> Result<bool, Fault> {
        let mut rest: &[u8] = b"\n";
        while !rest.is_empty() {
            let (taken, done) = self.feed(rest)?;
            rest = &rest[taken..];
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn feed(&mut self, input: &[u8]) -> Result<(usize, bool), Fault> {
        let (result, taken, written, ended) =
            self.reader.read_record(input, &mut self.fields[self.length..], &mut self.ends[self.width..]);
        self.length += written;
        self.width += ended;
        match result {
            ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
            ReadRecordResult::OutputEndsFull if self.ends.len() >= FIELDS_MAX => return Err(Fault::TooManyFields),
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::InputEmpty | ReadRecordResult::Record | ReadRecordResult::End => {}
        }
        Ok((taken, matches!(result, ReadRecordResult::Record)))
    }
}

fn advance_line(line: &mut Vec<u8>, text: &mut Text, start: &mut u64) -> Result<Step, Fault> {
    line.clear();
    *start = text.offset();
    loop {
        let unread = text.unread()?;
        if unread.is_empty() {
            return Ok(if line.trim_ascii().is_empty() { Step::End } else { Step::Torn });
        }
        let end = memchr::memchr(b'\n', unread);
        let taken = end.unwrap_or(unread.len());
        if line.len() + taken > RECORD_MAX_BYTES {
            return Err(Fault::TooLong);
        }
        line.extend_from_slice(&unread[..taken]);
        text.consume(taken + usize::from(end.is_some()));
        match end {
            Some(_) if line.trim_ascii().is_empty() => {
                line.clear();
                *start = text.offset();
            }
            Some(_) => return Ok(Step::Record),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::Encoded;

    fn open(bytes: &[u8], offset: u64, format: Format) -> Result<Records, Fault> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let dialect = Dialect { null_values: Vec::new(), header: false, columns: None, delimiter: None, quoting: true };
        Records::open(Input::open(file, Encoded::Plain, Mark::default()).unwrap(), offset, format, &dialect)
    }

    /// The records from `offset` on, joined by `|`, each with its boundary; then how it ended.
    fn read(bytes: &[u8], offset: u64, format: Format) -> (Vec<(String, u64)>, Step) {
        let mut records = open(bytes, offset, format).unwrap();
        let mut all = Vec::new();
        loop {
            match records.advance().unwrap() {
                Step::Record => {
                    let fields: Vec<&[u8]> = match format {
                        Format::Jsonl => vec![records.bytes()],
                        Format::Csv | Format::Tsv => records.fields().collect(),
                    };
                    all.push((String::from_utf8(fields.join(&b'|')).unwrap(), records.boundary()));
                }
                end @ (Step::End | Step::Torn) => return (all, end),
            }
        }
    }

    const TRICKY: &[u8] = b"a,b\r\n\"x,\n\"\"y\"\"\",2\n\n\n\"\",\"\xef\xbb\xbf\"\r\xef\xbb\xbf5,6\nlast,7\r\n";

    #[test]
    fn every_boundary_is_a_place_to_start() {
        let (all, end) = read(TRICKY, 0, Format::Csv);
        let texts: Vec<&str> = all.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["a|b", "x,\n\"y\"|2", "|\u{feff}", "\u{feff}5|6", "last|7"]);
        assert_eq!(end, Step::End);
        for (index, (_, boundary)) in all.iter().enumerate() {
            assert_eq!(read(TRICKY, *boundary, Format::Csv), (all[index + 1..].to_vec(), Step::End));
        }
    }

    #[test]
    fn the_end_of_a_clean_file_is_its_last_boundary_also_with_crlf() {
        let mut records = open(b"a,b\r\n", 0, Format::Csv).unwrap();
        assert_eq!(records.advance().unwrap(), Step::Record);
        assert_eq!(records.advance().unwrap(), Step::End);
        assert_eq!(records.boundary(), 5);
    }

    #[test]
    fn wherever_a_file_is_cut_the_records_before_stand_and_the_rest_is_torn() {
        let (all, _) = read(TRICKY, 0, Format::Csv);
        for cut in 0..TRICKY.len() {
            let (some, end) = read(&TRICKY[..cut], 0, Format::Csv);
            assert_eq!(some, all[..some.len()], "cut at {cut}");
            let last = some.last().map_or(0, |(_, boundary)| *boundary as usize);
            let blank = TRICKY[last..cut].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            assert_eq!(end, if blank { Step::End } else { Step::Torn }, "cut at {cut}");
        }
    }

    #[test]
    fn a_tail_without_newline_is_whole_unless_its_quotes_are_open() {
        for (bytes, whole) in
            [(&b"1,2\n3,4"[..], true), (b"1,2\n3,\"4\"", true), (b"1,2\n3,\"4", false), (b"1,2\n3,\"4\"\"", false)]
        {
            let mut records = open(bytes, 0, Format::Csv).unwrap();
            assert_eq!(records.advance().unwrap(), Step::Record);
            assert_eq!(records.advance().unwrap(), Step::Torn);
            assert_eq!(records.boundary(), 4);
            assert_eq!(records.take_tail().unwrap(), whole);
            if whole {
                assert_eq!(records.fields().collect::<Vec<_>>(), [b"3", b"4"]);
                assert_eq!(records.boundary(), bytes.len() as u64);
            }
        }
    }

    #[test]
    fn records_longer_than_any_buffer_are_read_and_those_over_the_limit_refused() {
        let long = vec![b'x'; RECORD_MAX_BYTES - 10];
        let fits = [b"\"", &long[..], b"\"\n1\n"].concat();
        let (all, _) = read(&fits, 0, Format::Csv);
        assert_eq!(all.iter().map(|(text, _)| text.len()).collect::<Vec<_>>(), [long.len(), 1]);
        for format in [Format::Csv, Format::Jsonl] {
            let over = [b"1\n\"", &long[..], &long[..], b"\"\n"].concat();
            let mut records = open(&over, 0, format).unwrap();
            assert_eq!(records.advance().unwrap(), Step::Record);
            assert!(matches!(records.advance(), Err(Fault::TooLong)));
        }
    }

    #[test]
    fn lines_are_records_and_blank_ones_are_not() {
        let bytes = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"a\":2}\n{\"a\"";
        let (all, end) = read(bytes, 0, Format::Jsonl);
        assert_eq!(all, [("{\"a\":1}\r".to_owned(), 12), ("{\"a\":2}".to_owned(), 24)]);
        assert_eq!(end, Step::Torn);
    }

    #[test]
    fn utf_16_and_a_start_beyond_the_end_are_told() {
        assert!(matches!(open(b"\xff\xfea\0", 0, Format::Csv), Err(Fault::Utf16)));
        assert!(matches!(open(b"a\n", 3, Format::Csv), Err(Fault::Shorter)));
    }

    /// What can be told of some bytes: the records and their boundaries, and how they end. A fault is one that any bytes may have.
    fn told(bytes: &[u8], offset: u64, format: Format) -> (Vec<(Vec<u8>, u64)>, String) {
        let mut all = Vec::new();
        let mut records = match open(bytes, offset, format) {
            Ok(records) => records,
            Err(fault) => return (all, format!("{fault:?}")),
        };
        loop {
            match records.advance() {
                Ok(Step::Record) => all.push((records.bytes().to_vec(), records.boundary())),
                Ok(end @ (Step::End | Step::Torn)) => return (all, format!("{end:?} {:?}", records.take_tail())),
                Err(fault) => return (all, format!("{fault:?}")),
            }
        }
    }

    #[test]
    fn every_boundary_of_fuzzed_bytes_is_a_place_to_start() {
        let words = [",", "\t", "\"", "\"\"", "\n", "\r\n", "\r", "\u{feff}", "{\"a\":", "\u{0}"];
        for (name, format) in [("csv", Format::Csv), ("tsv", Format::Tsv), ("jsonl", Format::Jsonl)] {
            let fuzz = longshore_fuzz::Fuzz::new(name, env!("CARGO_MANIFEST_DIR"));
            let fuzz = fuzz.input(TRICKY).input("{\"a\":1}\n{\"b\":[2]}\n").words(words).one_in(20);
            fuzz.run(|bytes| {
                let (all, end) = told(bytes, 0, format);
                for (index, (_, boundary)) in all.iter().enumerate() {
                    assert_eq!(
                        told(bytes, *boundary, format),
                        (all[index + 1..].to_vec(), end.clone()),
                        "from {boundary}"
                    );
                }
                (all.len(), all.iter().map(|(record, _)| record.len()).max(), end)
            });
        }
    }
}
