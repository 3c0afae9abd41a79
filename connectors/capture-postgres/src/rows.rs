//! Rows as the server writes them: the texts of their values one behind the other in one piece of memory, and where each of them lies.

use std::fmt;

use memchr::{memchr, memchr_iter};

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Null,
    /// A large value that did not change and is not sent.
    Unchanged,
    /// As the type's output function writes it.
    Text(&'a str),
}

/// Where a value lies in the text. A message of the server has less than 1 GiB, and few of them are brought together, so 32 bits are enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Span {
    Null,
    Unchanged,
    Text { start: u32, end: u32 },
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        Span::Text { start: start as u32, end: end as u32 }
    }

    fn of(self, text: &str) -> Cell<'_> {
        match self {
            Span::Null => Cell::Null,
            Span::Unchanged => Cell::Unchanged,
            Span::Text { start, end } => Cell::Text(&text[start as usize..end as usize]),
        }
    }
}

/// A row, wherever its values lie.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    text: &'a str,
    spans: &'a [Span],
}

impl<'a> Row<'a> {
    pub(crate) fn len(self) -> usize {
        self.spans.len()
    }

    /// None: the row is not that wide.
    pub(crate) fn get(self, place: usize) -> Option<Cell<'a>> {
        self.spans.get(place).map(|span| span.of(self.text))
    }

    pub(crate) fn cells(self) -> impl ExactSizeIterator<Item = Cell<'a>> {
        self.spans.iter().map(move |span| span.of(self.text))
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Row<'_>) -> bool {
        self.cells().eq(other.cells())
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cells()).finish()
    }
}

/// A row that may be changed.
#[derive(Clone, Default)]
pub(crate) struct Tuple {
    text: String,
    spans: Vec<Span>,
}

impl Tuple {
    pub(crate) fn row(&self) -> Row<'_> {
        Row { text: &self.text, spans: &self.spans }
    }

    /// A large value is left out, as it did not change.
    pub(crate) fn is_partial(&self) -> bool {
        self.spans.iter().any(|span| matches!(span, Span::Unchanged))
    }

    /// Places of those.
    pub(crate) fn unchanged(&self) -> Vec<usize> {
        let is_unchanged = |place: &usize| matches!(self.spans[*place], Span::Unchanged);
        (0..self.spans.len()).filter(is_unchanged).collect()
    }

    pub(crate) fn set(&mut self, place: usize, cell: Cell<'_>) {
        self.spans[place] = self.keep(cell);
    }

    fn keep(&mut self, cell: Cell<'_>) -> Span {
        match cell {
            Cell::Null => Span::Null,
            Cell::Unchanged => Span::Unchanged,
            Cell::Text(text) => {
                let start = self.text.len();
                self.text.push_str(text);
                Span::new(start, self.text.len())
            }
        }
    }
}

impl<'a> FromIterator<Cell<'a>> for Tuple {
    fn from_iter<I: IntoIterator<Item = Cell<'a>>>(cells: I) -> Tuple {
        let mut tuple = Tuple::default();
        for cell in cells {
            let span = tuple.keep(cell);
            tuple.spans.push(span);
        }
        tuple
    }
}

impl PartialEq for Tuple {
    fn eq(&self, other: &Tuple) -> bool {
        self.row() == other.row()
    }
}

impl Eq for Tuple {}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row().fmt(f)
    }
}

/// Rows of one table.
#[derive(Debug)]
pub(crate) struct Rows {
    width: usize,
    text: String,
    spans: Vec<Span>,
}

impl Rows {
    /// None so far; each will have so many values, one at least.
    pub(crate) fn new(width: usize) -> Rows {
        Rows { width: width.max(1), text: String::new(), spans: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len() / self.width
    }

    /// Bytes of all values, with one more for each, as many NULLs are something too.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.spans.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.spans.chunks_exact(self.width).map(|spans| Row { text: &self.text, spans })
    }

    pub(crate) fn row(&self, index: usize) -> Option<Row<'_>> {
        let spans = self.spans.chunks_exact(self.width).nth(index)?;
        Some(Row { text: &self.text, spans })
    }

    pub(crate) fn last(&self) -> Option<Row<'_>> {
        self.row(self.len().checked_sub(1)?)
    }

    /// Goes on behind them.
    pub(crate) fn unread(self) -> Unread {
        Unread { bytes: self.text.into_bytes(), spans: self.spans }
    }
}

/// Values that are being read, from bytes which are looked at together at the end: whether they are texts. Behind each value stands a byte that is
/// in no other letter, so that all are texts together only if each of them is.
pub(crate) struct Unread {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Unread {
    pub(crate) fn with_capacity(cells: usize, bytes: usize) -> Unread {
        Unread { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(cells) }
    }

    pub(crate) fn reserve(&mut self, cells: usize, bytes: usize) {
        self.spans.reserve(cells);
        self.bytes.reserve(bytes);
    }

    /// As those of [`Rows`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.spans.len()
    }

    pub(crate) fn null(&mut self) {
        self.spans.push(Span::Null);
    }

    pub(crate) fn unchanged(&mut self) {
        self.spans.push(Span::Unchanged);
    }

    pub(crate) fn text(&mut self, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.spans.push(Span::new(start, self.bytes.len()));
        self.bytes.push(0);
    }

    /// A value, by what writes its text; if that fails, nothing of it is of use.
    pub(crate) fn written<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        self.spans.push(Span::new(start, self.bytes.len()));
        self.bytes.push(0);
        Ok(())
    }

    /// There may be so many more bytes, in all at most as many as a [`Span`] can tell.
    pub(crate) fn check_room(&self, bytes: usize) -> Result<(), String> {
        match self.bytes.len() + bytes > u32::MAX as usize {
            true => Err("expected rows of at most 4 GiB, got more".to_owned()),
            false => Ok(()),
        }
    }

    /// A row of so many values, as a line of COPY's text format, with its end. The error is what was expected; then nothing of it is of use.
    pub(crate) fn line(&mut self, line: &[u8], width: usize) -> Result<(), String> {
        let Some((b'\n', values)) = line.split_last() else {
            return Err("expected a line with its end, got none".to_owned());
        };
        self.check_room(line.len())?;
        let before = self.spans.len();
        // A tab never stands inside of a value: there it is escaped.
        if memchr(b'\\', values).is_none() {
            let first = self.bytes.len();
            self.bytes.extend_from_slice(line);
            let mut start = first;
            for end in memchr_iter(b'\t', values).chain([values.len()]) {
                self.spans.push(Span::new(start, first + end));
                start = first + end + 1;
            }
        } else {
            for value in values.split(|byte| *byte == b'\t') {
                if value == b"\\N" {
                    self.null();
                    continue;
                }
                self.written(|bytes| unescape(value, bytes))?;
            }
        }
        match self.spans.len() - before {
            got if got == width => Ok(()),
            got => Err(format!("expected {width} values in a row, got {got}")),
        }
    }

    /// All of them as one row. The error is the place of a value that is no text in UTF-8.
    pub(crate) fn tuple(self) -> Result<Tuple, usize> {
        let (text, spans) = self.read()?;
        Ok(Tuple { text, spans })
    }

    /// As rows of so many values. The error is the place in its row of a value that is no text in UTF-8.
    pub(crate) fn rows(self, width: usize) -> Result<Rows, usize> {
        let width = width.max(1);
        let (text, spans) = self.read().map_err(|place| place % width)?;
        Ok(Rows { width, text, spans })
    }

    fn read(self) -> Result<(String, Vec<Span>), usize> {
        match String::from_utf8(self.bytes) {
            Ok(text) => Ok((text, self.spans)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let is_it = |span: &Span| matches!(span, Span::Text { end, .. } if *end as usize > valid);
                Err(self.spans.iter().position(is_it).unwrap_or_default())
            }
        }
    }
}

/// Appends a value as it was before COPY wrote it; these are all the escapes it knows.
fn unescape(value: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = value;
    while let Some(at) = memchr(b'\\', rest) {
        into.extend_from_slice(&rest[..at]);
        into.push(match rest.get(at + 1) {
            Some(b'\\') => b'\\',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'v') => 11,
            other => return Err(format!("expected an escape that COPY writes, got {other:?} behind a backslash")),
        });
        rest = &rest[at + 2..];
    }
    into.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the server does.
    fn escape(cell: Option<&str>) -> String {
        let Some(text) = cell else { return "\\N".to_owned() };
        let mut escaped = text.replace('\\', "\\\\");
        for (letter, name) in [('\n', 'n'), ('\t', 't'), ('\r', 'r'), ('\u{8}', 'b'), ('\u{c}', 'f'), ('\u{b}', 'v')] {
            escaped = escaped.replace(letter, &format!("\\{name}"));
        }
        escaped
    }

    proptest! {
        #[test]
        fn lines_give_back_the_values(rows in prop::collection::vec(prop::collection::vec(prop::option::of("[a-cé\\\\N\\n\\t\\r\\x08\\x0b\\x0c]{0,6}"), 3), 0..6)) {
            let mut read = Rows::new(3).unread();
            for row in &rows {
                let line: Vec<String> = row.iter().map(|cell| escape(cell.as_deref())).collect();
                read.line(format!("{}\n", line.join("\t")).as_bytes(), 3).unwrap();
            }
            let read = read.rows(3).unwrap();
            prop_assert_eq!(read.len(), rows.len());
            for (index, row) in rows.iter().enumerate() {
                let wanted: Vec<_> = row.iter().map(|cell| cell.as_deref().map_or(Cell::Null, Cell::Text)).collect();
                prop_assert_eq!(read.row(index).unwrap().cells().collect::<Vec<_>>(), wanted);
            }
            prop_assert_eq!(read.last(), read.iter().last());
        }

        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(prop::sample::select(b"a\\Nnt\t\n\xc3\xa9".to_vec()), 0..12)) {
            let mut rows = Rows::new(2).unread();
            if rows.line(&line, 2).is_ok() && let Ok(rows) = rows.rows(2) {
                prop_assert_eq!(rows.last().unwrap().cells().len(), 2);
            }
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for line in ["", "a", "a\n", "a\tb\tc\n", "\\x41\tb\n", "a\t\\", "a\t\\\n", "\\N1\tb\n"] {
            assert!(Rows::new(2).unread().line(line.as_bytes(), 2).is_err(), "{line:?}");
        }
        for line in [b"a\tb\xff\tc\n".as_slice(), b"a\t\xc3\t\xa9\n", b"\\N\t\xc3\t\xa9\n"] {
            let mut rows = Rows::new(3).unread();
            rows.line(b"a\t\xc3\xa9\tc\n", 3).unwrap();
            rows.line(line, 3).unwrap();
            assert_eq!(rows.rows(3).map(|rows| rows.len()), Err(1), "no letter over two values");
        }
    }

    #[test]
    fn values_are_texts_each_for_itself() {
        let read = |cells: [&[u8]; 3]| {
            let mut unread = Unread::with_capacity(3, 0);
            cells.iter().for_each(|cell| unread.text(cell));
            unread.tuple()
        };
        let text = [Cell::Text("é"), Cell::Text(""), Cell::Text("b")].into_iter().collect();
        assert_eq!(read(["é".as_bytes(), b"", b"b"]), Ok(text));
        assert_eq!(read([b"a", b"\xc3", b"\xa9"]), Err(1));
        assert_eq!(read([b"a", b"b", b"\xff"]), Err(2));
    }

    #[test]
    fn a_tuple_takes_other_values() {
        let mut tuple: Tuple = [Cell::Text("a"), Cell::Unchanged, Cell::Null].into_iter().collect();
        assert!(tuple.is_partial());
        assert_eq!(tuple.unchanged(), [1]);
        tuple.set(1, Cell::Text("b"));
        tuple.set(0, Cell::Null);
        assert!(!tuple.is_partial());
        assert_eq!(tuple, [Cell::Null, Cell::Text("b"), Cell::Null].into_iter().collect());
    }
}
