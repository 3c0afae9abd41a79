//! Captures the files of one binding: decides for each what is new, reads that, and notes how far it came.
//!
//! One look at all files is a *pass*; `pull.rs` asks for one at the start and then again and again. What a record becomes is in `writer.rs`.

#![allow(clippy::disallowed_methods, reason = "how long a file has been quiet decides whether its last line is whole")]

use std::collections::HashMap;
use std::time::Instant;

use longshore_sdk::{Error, Result};

use crate::config::{Encoded, Format, Resource, Settings};
use crate::faults::{At, of_binding, replaced};
use crate::kind::TypeSet;
use crate::listing::{Found, Pattern, Stamp};
use crate::open::{Opened, read_header};
use crate::outbox::{Halt, Outbox};
use crate::records::{Records, Step};
use crate::shape::Shape;
use crate::state::{FileState, Part};
use crate::wanted::Wanted;
use crate::writer::Writer;

/// A last record without a newline is taken when its file has not changed for so many looks; at the start of a session one will do.
const SETTLED_LOOKS: u32 = 10;

/// One binding of a session.
pub(crate) struct Binding {
    index: usize,
    pattern: Pattern,
    wanted: Wanted,
    key_columns: Vec<String>,
    /// Documents say which file and record they come from.
    source: bool,
    shape: Shape,
    part: Part,
    looks: HashMap<String, Look>,
    /// Sizes at the session's start of the files that are not captured up to there yet.
    awaited: HashMap<String, u64>,
    rows: u64,
    bytes: u64,
    total_bytes: u64,
}

/// How a file was when it was last looked at.
struct Look {
    stamp: Stamp,
    since: Instant,
    /// There is nothing to do before it changes.
    settled: bool,
}

impl Binding {
    /// `key` and `schema_json` are the collection's; `part` is what earlier sessions remember.
    pub(crate) fn new(
        index: usize,
        resource: &Resource,
        key: &[String],
        schema_json: &[u8],
        part: Part,
    ) -> Result<Binding> {
        let pattern = Pattern::of(resource).map_err(|error| error.at_binding(index))?;
        let source = needs_source(key);
        let shape = Shape::new(schema_json, &part.columns, source).map_err(|error| {
            let message =
                format!("capture-files opens the binding of {:?}: expected a JSON Schema, got {error}", pattern.text());
            Error::config("files.schema.unreadable", message).at_binding(index)
        })?;
        Ok(Binding {
            index,
            pattern,
            wanted: Wanted::of(resource, key),
            key_columns: key_columns(key),
            source,
            shape,
            part,
            looks: HashMap::new(),
            awaited: HashMap::new(),
            rows: 0,
            bytes: 0,
            total_bytes: 0,
        })
    }

    /// Notes what there is now and may be taken: all of it has to be captured before the session has caught up. States the schema if the state knows more
    /// than the runtime.
    pub(crate) fn begin(&mut self, settings: &Settings, out: &mut Outbox) -> Result<(), Halt> {
        let found = self.list(settings)?;
        self.total_bytes = found.iter().map(|found| found.stamp.size_bytes).sum();
        self.awaited = found.into_iter().map(|found| (found.name, found.stamp.size_bytes)).collect();
        if self.shape.behind() { out.schema(self.index, self.shape.restate()) } else { Ok(()) }
    }

    /// All that existed at the start is captured.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Looks at every file and captures what is new.
    pub(crate) fn pass(&mut self, settings: &Settings, out: &mut Outbox) -> Result<(), Halt> {
        for found in self.list(settings)? {
            out.check_stop()?;
            let settled = self.looks.get(&found.name).is_some_and(|look| look.settled && look.stamp == found.stamp);
            if !settled {
                self.visit(settings, &found, out).map_err(|halt| match halt {
                    Halt::Failed(error) => Halt::Failed(of_binding(error, self.index)),
                    Halt::Stopped => Halt::Stopped,
                })?;
            }
        }
        // What was there at the start and is gone now cannot be captured any more.
        let gone = |name: &String| !settings.root.join(name).is_file();
        self.awaited.retain(|name, _| {
            let gone = gone(name);
            if gone {
                tracing::warn!(file = %name, "file vanished before it was captured");
            }
            !gone
        });
        Ok(())
    }

    /// The files that may be taken.
    fn list(&self, settings: &Settings) -> Result<Vec<Found>> {
        let mut files = self.pattern.list(&settings.root)?;
        settings.ready.retain(&settings.root, &mut files, |name| self.part.files.contains_key(name));
        Ok(files)
    }

    /// Captures what is new in one file.
    fn visit(&mut self, settings: &Settings, found: &Found, out: &mut Outbox) -> Result<(), Halt> {
        let name = found.name.as_str();
        let Some(opened) = Opened::open(settings, name)? else { return Ok(()) };
        let mut state = opened.fresh_state();
        if let Some(known) = self.part.files.get(name) {
            opened.check_same(name, known)?;
            if opened.has_nothing_new(known) {
                self.look(name, opened.stamp, true);
                self.awaited.remove(name);
                return Ok(());
            }
            // The fingerprint is the new one: of a file that was short it covers more.
            state = FileState { fingerprint: state.fingerprint, hashed: state.hashed, ..known.clone() };
        }
        let records = opened.records(name, &state, &settings.dialect)?;
        let mut visit = Visit { settings, name, counted: records.stored(), opened, state, records };
        visit.check_tail()?;
        let mut writer = self.writer(&mut visit, out)?;
        let step = match &mut writer {
            Some(writer) => self.read(&mut visit, writer, out)?,
            None if visit.opened.stamp.size_bytes == 0 => Step::End,
            None => Step::Torn,
        };
        self.end(visit, writer, step, out)
    }

    /// None: the file has no whole header yet.
    fn writer(&mut self, visit: &mut Visit<'_>, out: &mut Outbox) -> Result<Option<Writer>> {
        let source = self.source.then_some(visit.name);
        if visit.opened.format == Format::Jsonl {
            return Ok(Some(Writer::lines(source, &self.wanted)));
        }
        let dialect = &visit.settings.dialect;
        let names = match visit.state.header.and_then(|number| self.part.header(number)) {
            Some(names) => names.to_vec(),
            None => match read_header(&mut visit.records, visit.name, dialect)? {
                Some(names) => names,
                None => return Ok(None),
            },
        };
        check_columns(visit, &names, &self.key_columns)?;
        let (number, new) = self.part.header_number(&names);
        if new {
            out.patch(self.index).header(number, &names);
        }
        visit.state.header = Some(number);
        let writer = Writer::row(&names, &self.wanted, &mut self.shape, dialect, source);
        for place in 0..self.shape.len() {
            let column = self.shape.name(place);
            if !names.iter().any(|name| name == column) || !self.wanted.has(column) {
                self.shape.learn(place, TypeSet::ABSENT);
            }
        }
        Ok(Some(writer))
    }

    /// Takes every whole record there is.
    fn read(&mut self, visit: &mut Visit<'_>, writer: &mut Writer, out: &mut Outbox) -> Result<Step, Halt> {
        loop {
            let byte = visit.records.boundary();
            let step = visit.records.advance().map_err(|fault| visit.at(visit.state.records + 1, byte).fault(fault))?;
            if step != Step::Record {
                return Ok(step);
            }
            self.take(visit, writer, out)?;
            if out.is_due() {
                self.note(visit, None, out);
                out.progress(self.index, self.rows, self.bytes, self.total_bytes.max(self.bytes))?;
                out.checkpoint(false)?;
            }
        }
    }

    fn take(&mut self, visit: &mut Visit<'_>, writer: &mut Writer, out: &mut Outbox) -> Result<(), Halt> {
        let record = visit.state.records + 1;
        let at = visit.at(record, visit.records.start());
        writer.write(&at, &visit.records, &mut self.shape, self.index, out)?;
        visit.state.records = record;
        self.rows += 1;
        Ok(())
    }

    /// The file ended: decides about a last record without newline, notes how far it came, and whether there is more to do here.
    fn end(&mut self, mut visit: Visit<'_>, writer: Option<Writer>, step: Step, out: &mut Outbox) -> Result<(), Halt> {
        let stamp = visit.stamp_at_end()?;
        let name = visit.name;
        let awaited = self.awaited.get(name).copied();
        // A decoder that was cut off may leave the last bytes untouched.
        let at_end = match visit.records.is_cut() {
            true => stamp == visit.opened.stamp,
            false => stamp.size_bytes == visit.records.stored(),
        };
        let torn = step == Step::Torn || visit.records.is_cut();
        let stable = at_end && (!torn || self.is_stable(visit.settings, name, stamp, awaited.is_some()));
        let mut complete = stable && !torn;
        if torn && stable {
            match self.take_tail(&mut visit, writer, out) {
                Ok(()) => complete = true,
                Err(Halt::Failed(error)) if awaited.is_none() => {
                    tracing::warn!(file = %name, %error, "the file ends inside a record: waiting for the rest");
                }
                Err(halt) => return Err(halt),
            }
        }
        let offset = visit.records.boundary();
        self.note(&mut visit, complete.then_some(stamp.size_bytes), out);
        self.look(name, stamp, stable);
        // A file that never rests is caught up when the records that were there at the start are behind us.
        let behind = match visit.opened.encoded {
            Encoded::Plain => offset,
            Encoded::Gzip | Encoded::Zstd if torn => 0,
            Encoded::Gzip | Encoded::Zstd => visit.records.stored(),
        };
        if stable || awaited.is_some_and(|awaited| behind >= awaited) {
            self.awaited.remove(name);
        }
        Ok(())
    }

    /// Takes what stands behind the last newline as a record; an error if it is none.
    fn take_tail(&mut self, visit: &mut Visit<'_>, writer: Option<Writer>, out: &mut Outbox) -> Result<(), Halt> {
        let at = visit.at(visit.state.records + 1, visit.records.boundary());
        if visit.records.is_cut() {
            let what = "the file ends inside a gzip member or zstd frame";
            return Err(at
                .wrong("files.compression.cut", what)
                .suggest("let its writer finish it, or restore it")
                .into());
        }
        // A header alone has no record to lose.
        let Some(mut writer) = writer else { return Ok(()) };
        if !visit.records.take_tail().map_err(|fault| at.fault(fault))? {
            let what = "the file ends inside a quoted field";
            return Err(at
                .wrong("files.record.torn", what)
                .suggest("append the rest of the record, or close its quote")
                .into());
        }
        self.take(visit, &mut writer, out)?;
        visit.state.tail = true;
        Ok(())
    }

    /// The file has been as it is for long enough to believe that nobody is in the middle of a record.
    fn is_stable(&self, settings: &Settings, name: &str, stamp: Stamp, awaited: bool) -> bool {
        let wait = settings.poll_interval * if awaited { 1 } else { SETTLED_LOOKS };
        let seen = self.looks.get(name).filter(|look| look.stamp == stamp).map(|look| look.since.elapsed());
        let modified = stamp.modified.and_then(|modified| modified.elapsed().ok());
        seen.max(modified).is_some_and(|age| age >= wait)
    }

    fn look(&mut self, name: &str, stamp: Stamp, settled: bool) {
        let before = self.looks.get(name).filter(|look| look.stamp == stamp).map(|look| look.since);
        self.looks.insert(name.to_owned(), Look { stamp, since: before.unwrap_or_else(Instant::now), settled });
    }

    /// Writes down how far the file has come; `complete_bytes`: its size, if all of it is captured.
    fn note(&mut self, visit: &mut Visit<'_>, complete_bytes: Option<u64>, out: &mut Outbox) {
        self.bytes += visit.records.stored() - visit.counted;
        visit.counted = visit.records.stored();
        let state = &mut visit.state;
        if visit.opened.format != Format::Jsonl && state.header.is_none() {
            return;
        }
        state.offset = visit.records.boundary();
        if visit.opened.encoded != Encoded::Plain {
            state.mark = Some(visit.records.mark());
            state.stored = complete_bytes;
        }
        if self.part.files.get(visit.name) != Some(state) {
            out.patch(self.index).file(visit.name, state);
            self.part.files.insert(visit.name.to_owned(), state.clone());
        }
        let columns = self.shape.unsaved();
        if !columns.is_empty() {
            out.patch(self.index).columns(columns);
        }
    }
}

/// One look at one file.
struct Visit<'a> {
    settings: &'a Settings,
    name: &'a str,
    opened: Opened,
    state: FileState,
    records: Records,
    /// Stored bytes that the progress knows of.
    counted: u64,
}

impl<'a> Visit<'a> {
    fn at(&self, record: u64, byte: u64) -> At<'a> {
        At { file: self.name, record, byte }
    }

    /// What follows a last record that had no newline must begin with one.
    fn check_tail(&mut self) -> Result<()> {
        let at = self.at(self.state.records, self.state.offset);
        if !self.state.tail {
            return Ok(());
        }
        match self.records.peek().map_err(|fault| at.fault(fault))? {
            None => Ok(()),
            Some(b'\r' | b'\n') => {
                self.state.tail = false;
                Ok(())
            }
            Some(_) => {
                let what = "it had been captured without a newline, as the file had ended there, but then the file grew inside it";
                Err(at.wrong("files.record.grown", what).suggest(
                    "restore the file and end records with a newline; to capture everything again, take the binding out of the catalog, \
                     run, and add it back",
                ))
            }
        }
    }

    fn stamp_at_end(&self) -> Result<Stamp> {
        let at = self.at(self.state.records, self.state.offset);
        let metadata = self.opened.file.metadata().map_err(|error| at.fault(error.into()))?;
        match Stamp::of(&metadata) {
            stamp if stamp.size_bytes < self.records.stored() => {
                Err(replaced(self.name, "it became shorter while it was read"))
            }
            stamp => Ok(stamp),
        }
    }
}

fn check_columns(visit: &Visit<'_>, names: &[String], key_columns: &[String]) -> Result<()> {
    let at = visit.at(0, 0);
    if let Some(columns) = visit.settings.dialect.columns.as_ref().filter(|columns| *columns != names) {
        let what = format!("captured so far with the columns {names:?}, but the config now says {columns:?}");
        return Err(at.wrong("files.columns.changed", what).suggest("put `columns` back for files that were begun"));
    }
    match key_columns.iter().find(|key| !names.contains(key)) {
        Some(key) => Err(at
            .wrong("files.key.missing", format!("the collection's key needs the column {key:?}, got {names:?}"))
            .suggest("correct the collection's key, or leave this file out of `glob`")),
        None => Ok(()),
    }
}

/// The key points to where a document comes from.
pub(crate) fn needs_source(key: &[String]) -> bool {
    key.iter().any(|pointer| pointer.starts_with("/_meta/source"))
}

/// The columns a key is made of.
pub(crate) fn key_columns(key: &[String]) -> Vec<String> {
    let first = |pointer: &String| pointer.split('/').nth(1).map(|name| name.replace("~1", "/").replace("~0", "~"));
    key.iter().filter_map(first).filter(|name| name != "_meta").collect()
}
