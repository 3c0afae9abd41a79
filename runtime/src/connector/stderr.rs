//! What a connector writes on standard error, as structured log events.
//!
//! Lines are data from somebody else: cleaned of secrets, cut at 16 KiB, control characters escaped, so many a second and no more.
//! Reading never stops, so a flood costs the connector nothing but its words. The last lines are kept for the error that says how it
//! died.

#![allow(clippy::disallowed_methods, reason = "what a connector says is limited per second")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::Instant;

use crate::secret::Door;

/// A longer line is cut, in bytes.
const LINE_MAX_BYTES: usize = 16 << 10;
/// More lines than this in one [`WINDOW`] are counted and not logged.
const LINES_PER_WINDOW: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(1);
/// What is kept for the error when it dies.
const LAST_LINES: usize = 8;
/// Each of them is cut here, in bytes.
const LAST_LINE_MAX_BYTES: usize = 500;

/// The last lines, shared between the reader and whoever explains a death.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(cut(line, LAST_LINE_MAX_BYTES).to_owned());
    }

    /// One string for an error; empty if it said nothing.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from_iter(lines.iter().map(String::as_str)).join(" | ")
    }
}

/// Reads until the end. Never fails: what cannot be read is over.
pub(crate) async fn read(task: String, connector: String, mut from: impl AsyncRead + Unpin, last: LastLines) {
    let mut lines = Lines::default();
    let mut valve = Valve::new(Instant::now());
    let mut buffer = vec![0; 8 << 10];
    let mut take = |line: Line| {
        last.push(&line.for_people());
        match valve.pass(Instant::now()) {
            Pass::Yes => line.log(&task, &connector),
            Pass::YesAfter(dropped) => {
                tracing::warn!(target: "connector", task, connector, dropped, "log lines dropped: too many a second");
                line.log(&task, &connector);
            }
            Pass::No => {}
        }
    };
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        lines.feed(&buffer[..count], &mut take);
    }
    lines.end(&mut take);
    if let Some(dropped) = valve.dropped() {
        tracing::warn!(target: "connector", task, connector, dropped, "log lines dropped: too many a second");
    }
}

/// Cuts a stream of bytes into lines of bounded length.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    cut_bytes: usize,
}

impl Lines {
    fn feed(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Line)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append(&bytes[..end]);
            self.end(take);
            bytes = &bytes[end + 1..];
        }
        self.append(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LINE_MAX_BYTES - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut_bytes += bytes.len().saturating_sub(room);
    }

    fn end(&mut self, take: &mut impl FnMut(Line)) {
        if !self.line.is_empty() {
            take(Line::parse(&self.line, self.cut_bytes));
        }
        self.line.clear();
        self.cut_bytes = 0;
    }
}

/// One line: the contract's JSON, or whatever it printed.
#[derive(Debug)]
struct Line {
    level: tracing::Level,
    message: String,
    fields: String,
    cut_bytes: usize,
}

#[derive(serde::Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    level: std::borrow::Cow<'a, str>,
    msg: String,
    #[serde(borrow)]
    fields: Option<&'a serde_json::value::RawValue>,
}

impl Line {
    fn parse(line: &[u8], cut_bytes: usize) -> Self {
        let line = String::from_utf8_lossy(line);
        // Before anything else is done with it: what is escaped, cut or quoted later looks otherwise.
        let line = if cut_bytes == 0 { Door::Words.scrub_json(&line) } else { Door::Words.scrub_cut(&line) };
        let structured: Option<Structured<'_>> = serde_json::from_str(&line).ok();
        let (level, message, fields) = match structured {
            Some(it) => (level(&it.level), it.msg, it.fields.map_or("", serde_json::value::RawValue::get).to_owned()),
            // A panic, a linker's complaint, a print: worth seeing.
            None => (tracing::Level::WARN, line.into_owned(), String::new()),
        };
        let fields = if fields == "{}" { String::new() } else { escape(&fields) };
        Self { level, message: escape(&message), fields, cut_bytes }
    }

    fn for_people(&self) -> String {
        if self.fields.is_empty() { self.message.clone() } else { format!("{} {}", self.message, self.fields) }
    }

    fn log(&self, task: &str, connector: &str) {
        let Self { message, fields, .. } = self;
        let fields = (!fields.is_empty()).then_some(fields.as_str());
        let cut_bytes = (self.cut_bytes > 0).then_some(self.cut_bytes);
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(target: "connector", tracing::Level::$level, task, connector, fields, cut_bytes, "{message}")
            };
        }
        match self.level {
            tracing::Level::ERROR => event!(ERROR),
            tracing::Level::WARN => event!(WARN),
            tracing::Level::INFO => event!(INFO),
            tracing::Level::DEBUG => event!(DEBUG),
            tracing::Level::TRACE => event!(TRACE),
        }
    }
}

fn level(word: &str) -> tracing::Level {
    word.parse().unwrap_or(tracing::Level::INFO)
}

/// Control characters and what could move a terminal's cursor or reverse its text, as `\u{…}`.
fn escape(text: &str) -> String {
    let suspicious = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(suspicious) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => escaped.push(' '),
            c if suspicious(c) => write!(escaped, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
            c => escaped.push(c),
        }
    }
    escaped
}

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// Lets so many lines through in each window.
#[derive(Debug)]
struct Valve {
    since: Instant,
    passed: u32,
    dropped: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Pass {
    Yes,
    /// Yes, and so many were dropped since the last one.
    YesAfter(u64),
    No,
}

impl Valve {
    fn new(now: Instant) -> Self {
        Self { since: now, passed: 0, dropped: 0 }
    }

    fn pass(&mut self, now: Instant) -> Pass {
        if now.duration_since(self.since) >= WINDOW {
            (self.since, self.passed) = (now, 0);
        }
        if self.passed == LINES_PER_WINDOW {
            self.dropped += 1;
            return Pass::No;
        }
        self.passed += 1;
        match std::mem::take(&mut self.dropped) {
            0 => Pass::Yes,
            dropped => Pass::YesAfter(dropped),
        }
    }

    fn dropped(&self) -> Option<u64> {
        (self.dropped > 0).then_some(self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<(tracing::Level, String, usize)> {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        let mut take = |line: Line| seen.push((line.level, line.for_people(), line.cut_bytes));
        for chunk in chunks {
            lines.feed(chunk, &mut take);
        }
        lines.end(&mut take);
        seen
    }

    #[test]
    fn a_line_of_the_contract_keeps_its_level_message_and_fields() {
        let seen =
            lines_of(&[b"{\"ts\":\"x\",\"level\":\"error\",\"msg\":\"no ro", b"om\",\"fields\":{\"path\":\"/a\"}}\n"]);
        assert_eq!(seen, [(tracing::Level::ERROR, "no room {\"path\":\"/a\"}".to_owned(), 0)]);
    }

    #[test]
    fn anything_else_is_shown_as_it_is_with_control_characters_escaped() {
        let seen = lines_of(&[b"thread 'main' \x1b[31mpanicked\xff\n\n{\"level\":1}"]);
        assert_eq!(seen[0].1, "thread 'main' \\u{1b}[31mpanicked\u{fffd}");
        assert_eq!(seen[1].1, "{\"level\":1}");
        assert_eq!(seen.len(), 2, "empty lines say nothing");
    }

    #[test]
    fn a_line_without_end_is_cut_and_costs_no_more_memory() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.feed(&[b'x'; 64 << 10], &mut |_| panic!("no line has ended"));
            assert!(lines.line.capacity() <= 2 * LINE_MAX_BYTES);
        }
        let mut cut_bytes = 0;
        lines.feed(b"\n", &mut |line| cut_bytes = line.cut_bytes);
        assert_eq!(cut_bytes, 100 * (64 << 10) - LINE_MAX_BYTES);
    }

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let start = Instant::now();
        let mut valve = Valve::new(start);
        let passed = (0..5000).filter(|_| valve.pass(start) != Pass::No).count();
        assert_eq!(passed, LINES_PER_WINDOW as usize);
        assert_eq!(valve.pass(start + WINDOW), Pass::YesAfter(4000));
        assert_eq!(valve.pass(start + WINDOW), Pass::Yes);
    }
}
