//! What is wrong in a catalog, and how it is shown: to people with the line and a caret below it, to programs as one JSON object a line.
//!
//! The first line is `error[CODE]: …`, the second `FILE:LINE:COLUMN`, so that both can be cut out of a log with nothing but `grep`;
//! nothing is wrapped, whatever the width of the terminal. (A general renderer prints code, message and place in another order and
//! wraps them, which is why this one is our own.)

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use longshore_proto::session::Severity;
use serde_json::json;

use super::code::Code;
use super::source::{Source, Span};

/// One mistake, or one thing worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Errors stop the task, warnings do not.
    pub severity: Severity,
    /// Stable; ours are in [`Code`], connectors have their own.
    pub code: Cow<'static, str>,
    /// Where.
    pub span: Span,
    /// What was expected and what is there.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Diagnostic {
    /// An error of ours.
    pub fn error(code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        let code = Cow::Borrowed(code.as_str());
        Self { severity: Severity::Error, code, span, message: message.into(), help: help.into() }
    }

    /// A warning of ours.
    pub fn warning(code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message, help) }
    }
}

/// Everything that was found in one catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
}

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Escape sequences of a terminal.
    Colour,
    /// Text only: piped, or NO_COLOR is set.
    Plain,
}

impl Diagnostics {
    /// Of that text; in the order of the text, each once.
    #[must_use]
    pub fn new(source: Arc<Source>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| diagnostic.span.start);
        let mut seen: Vec<Diagnostic> = Vec::with_capacity(list.len());
        for diagnostic in list {
            if !seen.contains(&diagnostic) {
                seen.push(diagnostic);
            }
        }
        Self { source, list: seen }
    }

    /// In the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Something stops a task.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Adds what was found later in the same catalog.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut list = self.list;
        list.extend(other.list);
        Self::new(self.source, list)
    }

    /// For people, an empty line between two.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        self.list.iter().map(|diagnostic| picture(&self.source, diagnostic, paint)).collect::<Vec<_>>().join("\n")
    }

    /// For programs: one JSON object a line, `"type":"finding"`.
    #[must_use]
    pub fn json_lines(&self) -> String {
        self.list.iter().map(|diagnostic| format!("{}\n", object(&self.source, diagnostic))).collect()
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(Paint::Plain))
    }
}

impl std::error::Error for Diagnostics {}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn object(source: &Source, diagnostic: &Diagnostic) -> serde_json::Value {
    let place = source.place(diagnostic.span.start);
    json!({
        "type": "finding",
        "code": diagnostic.code,
        "severity": severity_word(diagnostic.severity),
        "file": source.path().display().to_string(),
        "line": place.line,
        "column": place.column,
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}

fn picture(source: &Source, diagnostic: &Diagnostic, paint: Paint) -> String {
    let (bold, colour, dim, end) = match (paint, diagnostic.severity) {
        (Paint::Plain, _) => ("", "", "", ""),
        (Paint::Colour, Severity::Error) => ("\x1b[1m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"),
        (Paint::Colour, Severity::Warning) => ("\x1b[1m", "\x1b[1;33m", "\x1b[2m", "\x1b[0m"),
    };
    let place = source.place(diagnostic.span.start);
    let word = severity_word(diagnostic.severity);
    let mut text = String::new();
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing into a String cannot fail.
        writeln!(text, "{arguments}").unwrap_or_default();
    };
    line(format_args!(
        "{colour}{word}[{}]{end}{bold}: {}{end}",
        printable(&diagnostic.code),
        printable(&diagnostic.message)
    ));
    line(format_args!("{}:{}:{}", source.path().display(), place.line, place.column));
    let (start, written) = source.line(diagnostic.span.start);
    if !written.trim().is_empty() {
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let caret_from = written.floor_char_boundary(diagnostic.span.start - start);
        let caret_to = written.floor_char_boundary(diagnostic.span.end - start).max(caret_from);
        let before = expand(&written[..caret_from]);
        let below = expand(&written[caret_from..caret_to]).trim_end().chars().count().max(1);
        line(format_args!("{dim} {number} |{end} {}", expand(&source.starred(diagnostic.span.start))));
        line(format_args!(
            "{dim} {margin} |{end} {}{colour}{}{end}",
            " ".repeat(before.chars().count()),
            "^".repeat(below)
        ));
    }
    for (at, help) in diagnostic.help.lines().enumerate() {
        let lead = if at == 0 { "  help: " } else { "        " };
        line(format_args!("{lead}{}", printable(help)));
    }
    text
}

/// A tab has no width of its own: shown as four spaces, so that the caret stands below the right character.
fn expand(text: &str) -> String {
    printable(&text.replace('\t', "    ")).into_owned()
}

/// Text from outside (also from a connector) does not get to move the cursor.
fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn one(text: &str, span: Span) -> Diagnostics {
        let source = Arc::new(Source::new(Path::new("dir/a.yaml"), text.into()));
        Diagnostics::new(
            source,
            vec![Diagnostic::error(Code::UnknownKey, span, "unknown key `b`", "did you mean `c`?")],
        )
    }

    #[test]
    fn the_caret_stands_below_what_is_meant_also_behind_tabs_and_umlauts() {
        let found = one("ä:\tbcd # x\n", Span::new(4, 7));
        let expected = "error[catalog.unknown-key]: unknown key `b`\ndir/a.yaml:1:4\n 1 | ä:    bcd # x\n   |       ^^^\n  help: did you mean `c`?\n";
        assert_eq!(found.render(Paint::Plain), expected);
    }

    #[test]
    fn a_span_of_several_lines_is_marked_on_its_first() {
        assert!(one("a:\n  b: 1\n  c: 2\n", Span::new(5, 16)).to_string().contains("\n 2 |   b: 1\n   |   ^^^^\n"));
    }

    #[test]
    fn a_place_behind_the_end_needs_no_picture() {
        assert!(
            one("a: 1\n", Span::new(5, 5))
                .to_string()
                .starts_with("error[catalog.unknown-key]: unknown key `b`\ndir/a.yaml:2:1\n  help")
        );
    }

    #[test]
    fn colours_are_used_only_when_asked_for_and_control_characters_never_pass() {
        let source = Arc::new(Source::new(Path::new("a.yaml"), "a: \u{1b}[2J\n".into()));
        let bad = Diagnostic {
            code: "x\u{1b}".into(),
            ..Diagnostic::error(Code::Name, Span::new(0, 1), "m\u{1b}[2J", "h\u{7}")
        };
        let found = Diagnostics::new(source, vec![bad]);
        assert!(!found.render(Paint::Plain).contains(['\u{1b}', '\u{7}']));
        assert!(found.render(Paint::Colour).starts_with("\u{1b}[1;31merror["));
    }

    #[test]
    fn json_has_one_object_a_line_with_the_place() {
        let text = one("a: b\n", Span::new(3, 4)).json_lines();
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(value["type"], "finding");
        assert_eq!((&value["line"], &value["column"], &value["severity"]), (&1.into(), &4.into(), &"error".into()));
    }
}
