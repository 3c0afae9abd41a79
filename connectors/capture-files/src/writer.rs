//! Makes one record into one document of a binding, and sees to it that the runtime's schema admits it first.

use std::borrow::Cow;

use longshore_sdk::limits::DOCUMENT_MAX_BYTES;
use longshore_sdk::{Error, Result};

use crate::config::Dialect;
use crate::faults::At;
use crate::kind::TypeSet;
use crate::object::{part_of_object, walk_object};
use crate::outbox::{Halt, Outbox, Written};
use crate::records::Records;
use crate::row::{Row, source_lead, write_source};
use crate::shape::Shape;
use crate::wanted::Wanted;

/// How the records of one file become documents.
pub(crate) enum Writer {
    /// Delimited: types are guessed, and documents written in them.
    Row(Row),
    /// JSON lines: types are what they are, and documents go on as they were written.
    Lines(Lines),
}

/// What is kept between the lines of one file.
pub(crate) struct Lines {
    source: Option<Vec<u8>>,
    wanted: Wanted,
    /// By column: the record that had it last.
    last: Vec<u64>,
}

impl Writer {
    /// For a delimited file with these columns; `source`: its name, where documents carry it.
    pub(crate) fn row(
        names: &[String],
        wanted: &Wanted,
        shape: &mut Shape,
        dialect: &Dialect,
        source: Option<&str>,
    ) -> Writer {
        Writer::Row(Row::new(names, wanted, shape, dialect, source))
    }

    /// For a file of JSON lines.
    pub(crate) fn lines(source: Option<&str>, wanted: &Wanted) -> Writer {
        Writer::Lines(Lines { source: source.map(source_lead), wanted: wanted.clone(), last: Vec::new() })
    }

    /// Writes the record as a document of `binding`.
    pub(crate) fn write(
        &mut self,
        at: &At<'_>,
        records: &Records,
        shape: &mut Shape,
        binding: usize,
        out: &mut Outbox,
    ) -> Result<(), Halt> {
        let written = match self {
            Writer::Row(row) => write_row(row, at, records, shape, binding, out)?,
            Writer::Lines(lines) => lines.write(at, records, shape, binding, out)?,
        };
        match written {
            Written::Done => Ok(()),
            Written::TooLarge { bytes } => {
                let what =
                    format!("expected a document of at most {} MiB, got {bytes} bytes", DOCUMENT_MAX_BYTES >> 20);
                Err(at
                    .wrong("files.document.too_large", what)
                    .suggest("leave the file out, or split the record")
                    .into())
            }
            Written::Not => {
                let message = format!(
                    "capture-files writes {}, record {}: a widened column does not hold its value",
                    at.file, at.record
                );
                Err(Error::internal("files.column.narrow", message).into())
            }
        }
    }
}

fn write_row(
    row: &mut Row,
    at: &At<'_>,
    records: &Records,
    shape: &mut Shape,
    binding: usize,
    out: &mut Outbox,
) -> Result<Written, Halt> {
    if records.width() != row.width() {
        let what = format!("expected {} columns, got {}", row.width(), records.width());
        let error = at.wrong("files.record.ragged", what);
        return Err(error.suggest("correct the record; look for a missing quote or a stray delimiter").into());
    }
    if !records.bytes().is_ascii() {
        check_utf8(at, records)?;
    }
    // What a file lacks is known before its first record.
    if !shape.behind() {
        match out.write(binding, |arena| row.write(records.fields(), at.record, arena))? {
            Written::Not => {}
            written @ (Written::Done | Written::TooLarge { .. }) => return Ok(written),
        }
    }
    row.judge(records.fields(), shape);
    row.refresh(shape);
    if shape.behind() {
        out.schema(binding, shape.restate())?;
    }
    out.write(binding, |arena| row.write(records.fields(), at.record, arena))
}

/// Field by field: the halves of a character in two fields do not make one.
fn check_utf8(at: &At<'_>, records: &Records) -> Result<()> {
    match records.fields().position(|field| std::str::from_utf8(field).is_err()) {
        None => Ok(()),
        Some(column) => Err(not_utf8(at, &format!(" in column {}", column + 1))),
    }
}

fn not_utf8(at: &At<'_>, place: &str) -> Error {
    at.wrong("files.encoding.invalid", format!("expected UTF-8, got other bytes{place}"))
        .suggest("convert the file, such as with `iconv -f LATIN1 -t UTF-8`")
}

impl Lines {
    fn write(
        &mut self,
        at: &At<'_>,
        records: &Records,
        shape: &mut Shape,
        binding: usize,
        out: &mut Outbox,
    ) -> Result<Written, Halt> {
        let line = std::str::from_utf8(records.bytes())
            .map_err(|error| not_utf8(at, &format!(" at byte {} of it", error.valid_up_to())))?;
        let line = line.trim_ascii();
        let mut hint = 0;
        let mut meta = false;
        let walked = walk_object(line, &mut |name, types| {
            if name == "_meta" {
                meta = true;
                return Ok(());
            }
            if !self.wanted.has(name) {
                return Ok(());
            }
            let place = shape.place_near(name, hint);
            hint = place + 1;
            self.see(name, place, at.record)?;
            shape.learn(place, types);
            Ok(())
        });
        walked.map_err(|what| {
            at.wrong("files.record.not_json", format!("expected a JSON object: {what}"))
                .suggest("each line must hold one whole JSON object")
        })?;
        for place in 0..shape.len() {
            if self.last.get(place) != Some(&at.record) && !shape.knows(place, TypeSet::ABSENT) {
                shape.learn(place, TypeSet::ABSENT);
            }
        }
        if shape.behind() {
            out.schema(binding, shape.restate())?;
        }
        if meta && self.source.is_some() {
            let what = "it has a field _meta, where the collection's key wants file and record";
            return Err(at
                .wrong("files.record.meta", what)
                .suggest("give the collection a key of its own fields")
                .into());
        }
        let line = match self.wanted.is_all() {
            true => Cow::Borrowed(line),
            false => {
                let is_kept = |name: &str| name == "_meta" || self.wanted.has(name);
                Cow::Owned(part_of_object(line, &is_kept).map_err(|what| at.wrong("files.record.not_json", what))?)
            }
        };
        out.write(binding, |arena| {
            match &self.source {
                None => arena.extend_from_slice(line.as_bytes()),
                Some(lead) => splice(&line, lead, at.record, arena),
            }
            true
        })
    }

    fn see(&mut self, name: &str, place: usize, record: u64) -> Result<(), String> {
        if self.last.len() <= place {
            self.last.resize(place + 1, 0);
        }
        match std::mem::replace(&mut self.last[place], record) == record {
            true => Err(format!("it has the field {name:?} twice")),
            false => Ok(()),
        }
    }
}

/// Puts where it comes from in front of an object's own fields.
fn splice(line: &str, lead: &[u8], number: u64, arena: &mut Vec<u8>) {
    let fields = line[1..].trim_ascii_start();
    write_source(b"{", lead, number, arena);
    if !fields.starts_with('}') {
        arena.push(b',');
    }
    arena.extend_from_slice(fields.as_bytes());
}
