//! Opens one file for reading records, from its beginning or from where it was left, and finds out what its columns are called.

use std::fs::File;
use std::io;

use longshore_sdk::{Error, Result};

use crate::config::{Dialect, Encoded, Format, Settings, check_names};
use crate::faults::{At, replaced};
use crate::input::Input;
use crate::listing::{Stamp, unreadable};
use crate::records::{Records, Step};
use crate::state::{FileState, Head};

/// A file, open and known for what it is.
pub(crate) struct Opened {
    pub(crate) stamp: Stamp,
    pub(crate) head: Head,
    pub(crate) format: Format,
    pub(crate) encoded: Encoded,
    /// A second handle, for looking at the size later.
    pub(crate) file: File,
}

impl Opened {
    /// None: it is not there any more.
    pub(crate) fn open(settings: &Settings, name: &str) -> Result<Option<Opened>> {
        let path = settings.root.join(name);
        let failed = |error: io::Error| unreadable(&path, &error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let head = Head::read(&file).map_err(failed)?;
        let encoded = settings.encoding_of(name, head.bytes());
        let format = settings.format_of(name).ok_or_else(|| unknown_format(name))?;
        Ok(Some(Opened { stamp, head, format, encoded, file }))
    }

    /// The file is the one that `state` speaks of, perhaps longer.
    pub(crate) fn check_same(&self, name: &str, state: &FileState) -> Result<()> {
        let least_bytes = match self.encoded {
            Encoded::Plain => state.offset,
            Encoded::Gzip | Encoded::Zstd => state.stored.or(state.mark.map(|mark| mark.stored)).unwrap_or(0),
        };
        let size_bytes = self.stamp.size_bytes;
        if size_bytes < least_bytes {
            return Err(replaced(name, &format!("it has {size_bytes} bytes, and {least_bytes} had been captured")));
        }
        match self.head.is_of(state) {
            true => Ok(()),
            false => Err(replaced(name, &format!("its first {} bytes are others", state.hashed))),
        }
    }

    /// All there is had been captured when `state` was made.
    pub(crate) fn has_nothing_new(&self, state: &FileState) -> bool {
        match self.encoded {
            Encoded::Plain => state.offset == self.stamp.size_bytes,
            Encoded::Gzip | Encoded::Zstd => state.stored == Some(self.stamp.size_bytes),
        }
    }

    /// The records behind `state`.
    pub(crate) fn records(&self, name: &str, state: &FileState, dialect: &Dialect) -> Result<Records> {
        let at = At { file: name, record: state.records, byte: state.offset };
        let mark = match self.encoded {
            // A plain file can be entered anywhere.
            Encoded::Plain => crate::input::Mark { stored: state.offset, offset: state.offset },
            Encoded::Gzip | Encoded::Zstd => state.mark.unwrap_or_default(),
        };
        let file = self.file.try_clone();
        let input =
            file.and_then(|file| Input::open(file, self.encoded, mark)).map_err(|error| at.fault(error.into()))?;
        Records::open(input, state.offset, self.format, dialect).map_err(|fault| at.fault(fault))
    }

    /// Nothing of this file has been captured.
    pub(crate) fn fresh_state(&self) -> FileState {
        let (fingerprint, hashed) = self.head.fingerprint();
        FileState { fingerprint, hashed, offset: 0, records: 0, tail: false, header: None, mark: None, stored: None }
    }
}

/// The columns of a delimited file whose records are at the beginning; none: it ends before or inside its header.
pub(crate) fn read_header(records: &mut Records, name: &str, dialect: &Dialect) -> Result<Option<Vec<String>>> {
    if let (false, Some(columns)) = (dialect.header, &dialect.columns) {
        return Ok(Some(columns.clone()));
    }
    match records.advance().map_err(|fault| At { file: name, record: 0, byte: 0 }.fault(fault))? {
        Step::Record => header_names(records, name, dialect).map(Some),
        Step::End | Step::Torn => Ok(None),
    }
}

fn header_names(records: &Records, name: &str, dialect: &Dialect) -> Result<Vec<String>> {
    let at = At { file: name, record: 0, byte: records.start() };
    if let Some(columns) = &dialect.columns {
        return match columns.len() == records.width() {
            true => Ok(columns.clone()),
            false => {
                let what = format!("expected the {} columns of the config, got {}", columns.len(), records.width());
                Err(at.wrong("files.header.width", what).suggest("correct `columns`"))
            }
        };
    }
    let text = |field: &[u8]| std::str::from_utf8(field).map(str::to_owned);
    let names: Vec<String> = records.fields().map(text).collect::<std::result::Result<_, _>>().map_err(|_| {
        at.wrong("files.encoding.invalid", "expected UTF-8, got other bytes").suggest("convert the file to UTF-8")
    })?;
    match check_names(&names) {
        Ok(()) => Ok(names),
        Err(what) => Err(at
            .wrong("files.header.invalid", what)
            .suggest("name the columns in the config: `header: true` and `columns: [...]` take the place of the names in the file")),
    }
}

fn unknown_format(name: &str) -> Error {
    let message = format!("capture-files reads {name}: its extension does not tell how it is written");
    Error::config("files.format.unknown", message)
        .at_pointer("/glob")
        .suggest("say so in the config: `format: csv`, `tsv` or `jsonl`")
}
