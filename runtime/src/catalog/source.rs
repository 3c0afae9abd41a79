//! The text of a catalog and places in it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::hide;

/// A place in a catalog: byte offsets, end excluded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// From `start` up to `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }
}

/// Line and column as people and editors count them: from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A catalog's text, and the name it is shown under.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
    /// What is not shown. Known only when a connector has been asked, and by then others hold the text.
    hidden: Mutex<Vec<Span>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.text) == (&other.path, &other.text)
    }
}

impl Eq for Source {}

impl Source {
    /// `path` is shown as the user gave it.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_path_buf(), text, hidden: Mutex::default() }
    }

    /// A secret stands here: it is not shown to anybody.
    pub(super) fn hide(&self, span: Span) {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        if !hidden.contains(&span) {
            hidden.push(span);
        }
    }

    /// The line around a byte as it may be shown, of the same width.
    pub(super) fn starred(&self, offset: usize) -> String {
        let (start, line) = self.line(offset);
        hide::starred(line, start, &self.hidden.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As the user gave it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a span covers; empty if it is not of this text.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Where a byte stands.
    #[must_use]
    pub fn place(&self, offset: usize) -> Place {
        let offset = self.whole_character(offset);
        let start = self.line_start(offset);
        let line = 1 + self.text[..start].bytes().filter(|&byte| byte == b'\n').count();
        Place { line, column: 1 + self.text[start..offset].chars().count() }
    }

    /// The line around a byte, without its end, and where it starts.
    #[must_use]
    pub fn line(&self, offset: usize) -> (usize, &str) {
        let start = self.line_start(self.whole_character(offset));
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        (start, line.strip_suffix('\r').unwrap_or(line))
    }

    fn line_start(&self, offset: usize) -> usize {
        self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn whole_character(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_may_end_in_crlf() {
        let source = Source::new(Path::new("a.yaml"), "é: ü\r\nb: c\n".into());
        let b = source.text().find('b').unwrap();
        assert_eq!(source.place(b), Place { line: 2, column: 1 });
        assert_eq!(source.place(source.text().find('ü').unwrap()), Place { line: 1, column: 4 });
        assert_eq!(source.line(4).1, "é: ü");
        assert_eq!(source.place(999), Place { line: 3, column: 1 });
    }
}
