//! What is told when a file cannot be taken as it is: always the file, the record, where it begins, and what to do.

use std::io;

use longshore_sdk::Error;

use crate::records::RECORD_MAX_BYTES;
use crate::text::Fault;

/// A place in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) file: &'a str,
    /// From 1; the header is none: 0.
    pub(crate) record: u64,
    /// Where the record begins, in decompressed bytes.
    pub(crate) byte: u64,
}

impl At<'_> {
    /// This record cannot be taken.
    pub(crate) fn wrong(&self, code: &str, what: impl AsRef<str>) -> Error {
        let record = match self.record {
            0 => "the header".to_owned(),
            record => format!("record {record}"),
        };
        Error::data(
            code,
            format!("capture-files reads {}, {record} at byte {}: {}", self.file, self.byte, what.as_ref()),
        )
    }

    /// There is no record to take.
    pub(crate) fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::TooLong => {
                let what = format!("expected a record of at most {} MiB, got a longer one", RECORD_MAX_BYTES >> 20);
                self.wrong("files.record.too_long", what)
                    .suggest("look for a quote that is not closed, or a wrong `format`")
            }
            Fault::TooManyFields => self
                .wrong("files.record.too_wide", "expected at most 65,536 fields, got more")
                .suggest("look for a wrong `delimiter` or `format`"),
            Fault::Utf16 => self
                .wrong("files.encoding.utf16", "expected UTF-8, got UTF-16")
                .suggest("convert the file, such as with `iconv -f UTF-16 -t UTF-8`"),
            Fault::Shorter => replaced(self.file, "it ends before what was captured"),
            Fault::Io(error) => self.io(&error),
        }
    }

    /// Bytes that do not decompress are the file's fault, all else is the disk's.
    fn io(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::QuotaExceeded {
            return self
                .wrong("files.compression.ratio", error.to_string())
                .suggest("decompress it by hand if it is really meant");
        }
        if error.raw_os_error().is_some() {
            return Error::unavailable("files.read.failed", format!("capture-files reads {}: {error}", self.file));
        }
        self.wrong("files.compression.damaged", format!("it does not decompress: {error}"))
            .suggest("restore the file, or correct `compression` if it is not what the name says")
    }
}

/// Says which binding an error is about, unless it points into the config that all bindings share.
pub(crate) fn of_binding(error: Error, index: usize) -> Error {
    if error.pointer == "/path" { error } else { error.at_binding(index) }
}

/// The file is not the one that was captured before.
pub(crate) fn replaced(file: &str, why: &str) -> Error {
    let message = format!(
        "capture-files goes on with {file}: expected the file that was captured before, or one that grew, but {why}"
    );
    Error::data("files.file.replaced", message).suggest(
        "put the old content back, or give the new content another name; to capture everything again, take the binding out of the catalog, \
         run, and add it back",
    )
}
