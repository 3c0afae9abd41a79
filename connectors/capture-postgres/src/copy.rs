//! Reads rows by COPY, with all values as the types' output functions write them, as the log does, where a cast to text would not (`inet`,
//! `character(n)`): in binary, where we can write those texts ourselves ([`crate::binary`]), else in text format. Whoever reads says which rows,
//! in which order, and where one row stands in it.
//!
//! A COPY is asked for as many rows as fill a chunk, judged by those that were read before ([`Stride`]). Should they be much larger, it is left
//! in the middle, and its connection with it: there is no other way to end one at once that cannot hit the statement behind it.

use std::pin::Pin;

use futures_util::StreamExt as _;
use longshore_postgres::tokio_postgres::CopyOutStream;
use longshore_postgres::{Client, failed};
use longshore_sdk::{Error, Result};

use crate::binary::{Got, Reader, Wire};
use crate::layout::Layout;
use crate::rows::{Row, Rows, Unread};

/// A chunk should have about so many bytes of values, and is good with three quarters of that.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_BYTES_ENOUGH: usize = 3 << 20;
/// With so many, no further row is taken.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Rows of the first COPY, when nothing is known of them; each may be so many times as large as all before.
const FIRST_ROWS: usize = 50;
const GROWTH: usize = 16;
/// Begins a transaction that reads: all rows, or it fails.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off";
/// For chunks of a table: by the index, however small a part is asked for, and without other processes of the server.
pub(crate) const BY_INDEX: &str = "SET LOCAL enable_sort = off; SET LOCAL max_parallel_workers_per_gather = 0";

/// What a reader knows of the size of the rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stride {
    /// Rows read so far in this session.
    rows: usize,
    /// Of those of the last COPY.
    row_bytes: usize,
}

impl Stride {
    /// Rows to ask for, so that they have about so many bytes.
    fn rows(self, bytes: usize) -> usize {
        match self.rows {
            0 => FIRST_ROWS,
            rows => (bytes / self.row_bytes.max(1)).clamp(1, rows.saturating_mul(GROWTH)),
        }
    }

    fn took(&mut self, rows: usize, bytes: usize, is_left: bool) {
        if let Some(row_bytes) = bytes.checked_div(rows) {
            self.row_bytes = row_bytes;
            self.rows = if is_left { rows } else { self.rows.saturating_add(rows) };
        }
    }
}

/// What is read, and for whom.
pub(crate) struct Reading<'a> {
    pub(crate) client: &'a Client,
    pub(crate) doing: &'a str,
    pub(crate) layout: &'a Layout,
    /// Values of a row: those of the layout, and what else is asked for behind them.
    pub(crate) width: usize,
    /// How each of them travels; none: as a text.
    pub(crate) wires: Option<Vec<Wire>>,
    pub(crate) rows_max: usize,
}

/// A chunk of rows.
pub(crate) struct Filled {
    pub(crate) rows: Rows,
    /// There are none behind them.
    pub(crate) is_end: bool,
    /// The last COPY was left in the middle: its connection is of no more use.
    pub(crate) is_left: bool,
}

/// Reads the rows behind `after` until they fill a chunk. `select` gives the statement for so many rows behind a place, in their order;
/// `place_of` says where a row stands.
pub(crate) async fn fill(
    reading: &Reading<'_>,
    stride: &mut Stride,
    mut after: Option<Vec<String>>,
    select: impl Fn(Option<&[String]>, usize) -> String,
    place_of: impl Fn(Row<'_>) -> Vec<String>,
) -> Result<Filled> {
    let &Reading { width, rows_max, .. } = reading;
    let mut rows = Rows::new(width);
    loop {
        let (rows_before, bytes_before) = (rows.len(), rows.bytes());
        let limit = stride.rows(CHUNK_BYTES.saturating_sub(bytes_before)).min(rows_max - rows_before);
        let mut unread = rows.unread();
        let bytes = limit.saturating_mul(stride.row_bytes);
        unread.reserve(limit * width, bytes + bytes / 8);
        let mut lines = reading.open(&select(after.as_deref(), limit)).await?;
        let is_left = !lines.take(&mut unread, CHUNK_BYTES_MAX, usize::MAX).await?;
        rows = reading.texts(unread)?;
        let count = rows.len() - rows_before;
        stride.took(count, rows.bytes() - bytes_before, is_left);
        let is_end = !is_left && count < limit;
        if is_end || is_left || rows.bytes() >= CHUNK_BYTES_ENOUGH || rows.len() >= rows_max {
            return Ok(Filled { rows, is_end, is_left });
        }
        after = rows.last().map(&place_of);
    }
}

impl<'a> Reading<'a> {
    /// Begins the COPY of a select.
    pub(crate) async fn open(&self, select: &str) -> Result<Lines<'a>> {
        let form = if self.wires.is_some() { " (FORMAT binary)" } else { "" };
        let copy = format!("COPY ({select}) TO STDOUT{form}");
        let lines = self.client.copy_out(&copy).await.map_err(|error| failed(self.doing, &error))?;
        let reader = self.wires.clone().map(Reader::new);
        Ok(Lines { lines: Box::pin(lines), width: self.width, reader, doing: self.doing })
    }

    /// What was read, as texts.
    pub(crate) fn texts(&self, unread: Unread) -> Result<Rows> {
        unread.rows(self.width).map_err(|place| {
            let fault = "expected a text in UTF-8, got other bytes";
            let of_row = || Error::data("postgres.value", format!("{}: {fault}", self.doing));
            self.layout.columns.get(place).map_or_else(of_row, |column| self.layout.fault(column, fault))
        })
    }
}

/// The rows of a COPY.
pub(crate) struct Lines<'a> {
    lines: Pin<Box<CopyOutStream>>,
    width: usize,
    /// None: they are lines.
    reader: Option<Reader>,
    doing: &'a str,
}

impl Lines<'_> {
    /// Takes rows until there are so many more, or so many bytes in all; true: there are none behind.
    pub(crate) async fn take(&mut self, rows: &mut Unread, bytes_max: usize, rows_max: usize) -> Result<bool> {
        let mut count = 0;
        while count < rows_max {
            if rows.bytes() >= bytes_max {
                return Ok(false);
            }
            // The server sends each row by itself.
            let Some(line) = self.lines.next().await else { return Ok(true) };
            let line = line.map_err(|error| failed(self.doing, &error))?;
            let got = match &mut self.reader {
                Some(reader) => reader.read(&line, rows),
                None => rows.line(&line, self.width).map(|()| Got::Row),
            };
            let got = got.map_err(|fault| Error::internal("postgres.copy", format!("{}: {fault}", self.doing)))?;
            count += usize::from(got == Got::Row);
        }
        Ok(false)
    }
}

/// A value of a type, as SQL has it.
pub(crate) fn typed(value: &str, sql_type: &str) -> String {
    format!("CAST({} AS {sql_type})", literal(value))
}

/// A text as SQL has it, whatever the server is set to.
pub(crate) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}
