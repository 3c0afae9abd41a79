//! Looks at what files hold, to say which columns they have and of which types. The whole of them, up to a generous limit.

use std::collections::HashMap;

use longshore_sdk::Result;

use crate::config::{Encoded, Format, Settings};
use crate::faults::At;
use crate::kind::{Kind, TypeSet, classify};
use crate::listing::Found;
use crate::object::walk_object;
use crate::open::{Opened, read_header};
use crate::records::{Records, Step};
use crate::row::NullWords;

/// Decompressed bytes that are looked at for one binding.
const SAMPLE_BYTES: u64 = 64 << 20;
/// However many files share them, each is looked at for so many, so that all are represented.
const SAMPLE_FILE_BYTES: u64 = 16 << 10;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    pub(crate) records: u64,
    /// Not everything was looked at.
    pub(crate) cut: bool,
    /// What either has a column or lacks it: a whole delimited file, or one line of JSON. Counted from 1.
    units: u64,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// Of guessed values.
    kind: Kind,
    /// Of values that are what they are, and null.
    types: TypeSet,
    /// Units that have it, and which was the last.
    units: u64,
    unit_last: u64,
}

impl Sample {
    /// Looks at these files.
    pub(crate) fn take(settings: &Settings, files: &[Found]) -> Result<Sample> {
        let mut sample = Sample::default();
        for (found, budget_bytes) in files.iter().zip(shares(settings, files)) {
            sample.look_at(settings, &found.name, budget_bytes)?;
        }
        Ok(sample)
    }

    /// Names and types of the columns, in order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, TypeSet)> {
        self.columns.iter().map(|column| {
            let guessed = if column.kind == Kind::Null { TypeSet::NONE } else { column.kind.into() };
            let absent = if column.units < self.units { TypeSet::ABSENT } else { TypeSet::NONE };
            (column.name.as_str(), column.types.with(guessed).with(absent))
        })
    }

    fn look_at(&mut self, settings: &Settings, name: &str, budget_bytes: u64) -> Result<()> {
        let Some(opened) = Opened::open(settings, name)? else { return Ok(()) };
        let mut records = opened.records(name, &opened.fresh_state(), &settings.dialect)?;
        let lines = opened.format == Format::Jsonl;
        let names = if lines { Some(Vec::new()) } else { read_header(&mut records, name, &settings.dialect)? };
        let Some(names) = names else { return Ok(()) };
        let places: Vec<usize> = names.iter().map(|name| self.place(name)).collect();
        if !lines {
            self.units += 1;
            places.iter().for_each(|place| self.columns[*place].units += 1);
        }
        let nulls = NullWords::new(&settings.dialect);
        let mut record = 0;
        while records.boundary() < budget_bytes {
            let at = At { file: name, record: record + 1, byte: records.boundary() };
            let whole = match records.advance().map_err(|fault| at.fault(fault))? {
                Step::Record => true,
                Step::End => break,
                Step::Torn => !records.is_cut() && records.take_tail().map_err(|fault| at.fault(fault))?,
            };
            // What is not whole yet is not looked at; whether it may stay so is decided when it is captured.
            if !whole || (!lines && records.width() != names.len()) {
                break;
            }
            record += 1;
            match lines {
                true => self.judge_line(&records),
                false => self.judge_fields(&places, &nulls, &records),
            }
        }
        self.cut |= records.boundary() >= budget_bytes && records.advance().is_ok_and(|step| step != Step::End);
        self.records += record;
        Ok(())
    }

    fn judge_fields(&mut self, places: &[usize], nulls: &NullWords, records: &Records) {
        for (place, field) in places.iter().zip(records.fields()) {
            let column = &mut self.columns[*place];
            match nulls.contains(field) {
                true => column.types = column.types.with(TypeSet::NULL),
                // Nothing is above text.
                false if column.kind == Kind::String => {}
                false => column.kind = column.kind.join(classify(field)),
            }
        }
    }

    fn judge_line(&mut self, records: &Records) {
        self.units += 1;
        // A line that is no JSON is told when it is captured, with all that can be said of it; it says nothing about types.
        let Ok(line) = std::str::from_utf8(records.bytes()) else { return };
        let mut seen = Vec::new();
        let walked = walk_object(line.trim_ascii(), &mut |name, types| {
            if name != "_meta" {
                seen.push((self.place(name), types));
            }
            Ok(())
        });
        for (place, types) in seen.into_iter().filter(|_| walked.is_ok()) {
            let column = &mut self.columns[place];
            column.types = column.types.with(types).actual();
            column.units += u64::from(column.unit_last != self.units);
            column.unit_last = self.units;
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.columns.len();
        self.places.insert(name.to_owned(), place);
        self.columns.push(Column {
            name: name.to_owned(),
            kind: Kind::Null,
            types: TypeSet::NONE,
            units: 0,
            unit_last: 0,
        });
        place
    }
}

/// How much of each file is looked at: what small ones leave of their share is for the others.
fn shares(settings: &Settings, files: &[Found]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|index| files[*index].stamp.size_bytes);
    let mut shares = vec![0; files.len()];
    let mut left = SAMPLE_BYTES;
    for (done, index) in order.into_iter().enumerate() {
        let share = (left / (files.len() - done) as u64).max(SAMPLE_FILE_BYTES);
        // How far a compressed file unfolds is not known.
        let found = &files[index];
        let plain = settings.encoding_of(&found.name, b"") == Encoded::Plain;
        left = left.saturating_sub(if plain { share.min(found.stamp.size_bytes) } else { share });
        shares[index] = share;
    }
    shares
}
