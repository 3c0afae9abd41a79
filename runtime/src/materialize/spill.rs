//! Sorted runs on disk, and their merge. A run's file has no name from the start: whatever happens to the process, nothing stays behind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use longshore_proto::Error;

use super::fold::{Part, Rules};
use super::reduce::Record;

/// Buffer of each run that is written or read.
const BUFFER_BYTES: usize = 64 << 10;
/// Binding, three lengths, what is said of the row.
const HEADER_BYTES: usize = 17;

/// Records, sorted by binding and key, each key once.
#[derive(Debug)]
pub struct Run {
    file: File,
    bytes: u64,
}

/// Writes one.
#[derive(Debug)]
pub(super) struct RunWriter {
    file: BufWriter<File>,
    bytes: u64,
}

impl RunWriter {
    pub(super) fn create(dir: &Path) -> Result<Self, Error> {
        let file = tempfile::tempfile_in(dir)
            .map_err(|error| failed("making a file in", &dir.display().to_string(), &error))?;
        Ok(Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0 })
    }

    pub(super) fn push(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut header = [0; HEADER_BYTES];
        header[0..4].copy_from_slice(&record.binding.to_le_bytes());
        header[4..8].copy_from_slice(&length(record.key_encoded));
        header[8..12].copy_from_slice(&length(record.key_json));
        header[12..16].copy_from_slice(&length(record.part.document));
        header[16] = u8::from(record.part.delete) | u8::from(record.part.resets) << 1;
        let parts = [&header[..], record.key_encoded, record.key_json, record.part.document];
        self.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        parts
            .into_iter()
            .try_for_each(|part| self.file.write_all(part))
            .map_err(|error| failed("writing to", "a sorted run", &error))
    }

    pub(super) fn finish(self) -> Result<Run, Error> {
        let bytes = self.bytes;
        let file = self.file.into_inner().map_err(|error| failed("writing to", "a sorted run", error.error()))?;
        Ok(Run { file, bytes })
    }
}

/// Walks over several runs at once; what they have of one key is reduced.
#[derive(Debug)]
pub struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    /// By binding: runs before this one have nothing of it that counts.
    first_runs: &'a BTreeMap<u32, usize>,
    rules: &'a Rules,
    /// The next key of each run that has one: least first, and of equals the oldest run.
    heap: BinaryHeap<Reverse<Next>>,
    /// The runs whose records are in the one that was given last: they move on when the next is asked for.
    given: Vec<(usize, Vec<u8>)>,
    /// The document of that one, if it was made.
    made: Vec<u8>,
}

impl<'a> Merge<'a> {
    /// The oldest run first.
    pub(super) fn of(runs: &'a [Run], first_runs: &'a BTreeMap<u32, usize>, rules: &'a Rules) -> Result<Self, Error> {
        let cursors: Vec<_> = runs.iter().map(Cursor::new).collect();
        let heap = BinaryHeap::with_capacity(runs.len());
        let mut merge =
            Self { cursors, first_runs, rules, heap, given: Vec::with_capacity(runs.len()), made: Vec::new() };
        for run in 0..merge.cursors.len() {
            merge.move_on(run, Vec::new())?;
        }
        Ok(merge)
    }

    pub(super) fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        while let Some((run, key)) = self.given.pop() {
            self.move_on(run, key)?;
        }
        let Some(Reverse((binding, key, run))) = self.heap.pop() else { return Ok(None) };
        self.given.push((run, key));
        while let Some(Reverse((other_binding, other_key, _))) = self.heap.peek()
            && *other_binding == binding
            && *other_key == self.given[0].1
        {
            self.given.extend(self.heap.pop().map(|Reverse((_, key, run))| (run, key)));
        }
        let (oldest, youngest) = (self.given[0].0, self.given[self.given.len() - 1].0);
        let record = self.cursors[youngest].record();
        let part = match self.rules.of(binding) {
            Some(rule) if oldest != youngest => {
                let parts: Vec<Part<'_>> = self.given.iter().map(|(run, _)| self.cursors[*run].record().part).collect();
                rule.fold(&parts, record.key_json, &mut self.made)?
            }
            Some(_) | None => record.part,
        };
        Ok(Some(Record { part, ..record }))
    }

    fn move_on(&mut self, run: usize, mut key: Vec<u8>) -> Result<(), Error> {
        let cursor = &mut self.cursors[run];
        while cursor.advance().map_err(|error| failed("reading", "a sorted run", &error))? {
            if self.first_runs.get(&cursor.binding).is_some_and(|first| run < *first) {
                continue;
            }
            key.clear();
            key.extend_from_slice(cursor.record().key_encoded);
            self.heap.push(Reverse((cursor.binding, key, run)));
            break;
        }
        Ok(())
    }
}

/// Binding, key, run.
type Next = (u32, Vec<u8>, usize);

#[derive(Debug)]
struct Cursor<'a> {
    input: BufReader<FromStart<'a>>,
    binding: u32,
    delete: bool,
    resets: bool,
    encoded_len: usize,
    json_len: usize,
    body: Vec<u8>,
}

impl<'a> Cursor<'a> {
    fn new(run: &'a Run) -> Self {
        // It is cleared before it is read into: a small run needs no large one.
        let buffer_bytes = usize::try_from(run.bytes).map_or(BUFFER_BYTES, |bytes| bytes.min(BUFFER_BYTES));
        let input = BufReader::with_capacity(buffer_bytes, FromStart { run, at: 0 });
        Self { input, binding: 0, delete: false, resets: false, encoded_len: 0, json_len: 0, body: Vec::new() }
    }

    /// `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let mut header = [0; HEADER_BYTES];
        let first = self.input.read(&mut header)?;
        if first == 0 {
            return Ok(false);
        }
        self.input.read_exact(&mut header[first..])?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        self.binding = number(0);
        (self.encoded_len, self.json_len) = (number(4) as usize, number(8) as usize);
        (self.delete, self.resets) = (header[16] & 1 != 0, header[16] & 2 != 0);
        self.body.resize(self.encoded_len + self.json_len + number(12) as usize, 0);
        self.input.read_exact(&mut self.body)?;
        Ok(true)
    }

    fn record(&self) -> Record<'_> {
        let (key_encoded, rest) = self.body.split_at(self.encoded_len);
        let (key_json, document) = rest.split_at(self.json_len);
        let part = Part { document, delete: self.delete, resets: self.resets };
        Record { binding: self.binding, key_encoded, key_json, part }
    }
}

/// Reads a file from its beginning without moving the file's own position: a run may be read again.
#[derive(Debug)]
struct FromStart<'a> {
    run: &'a Run,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.run.bytes {
            return Ok(0);
        }
        let read = self.run.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn failed(doing: &str, what: &str, error: &io::Error) -> Error {
    Error::unavailable("materialize.spill", format!("sorting documents on disk: {doing} {what}: {error}"))
        .suggest("see that the state directory's disk has room")
}
