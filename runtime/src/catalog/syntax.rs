//! Why a text is not YAML, in the words of somebody who wants to fix it. The parser says where it gave up and why; that is often one step
//! behind the mistake, so the line is looked at as well.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::source::{Source, Span};

/// One finding for the error that ended the reading.
pub(super) fn explain(source: &Source, error: &ScanError) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or_default().min(source.text().len());
    if let Some(dollar) = unquoted_dollar(source, offset) {
        return unquoted_variable(source, dollar);
    }
    if let Some(tab) = tab_in_indent(source, offset) {
        let help = "replace each tab by spaces; most editors can do it for the whole file";
        return Diagnostic::error(Code::Tab, tab, "a tab indents this line, and YAML takes only spaces", help);
    }
    let span = word_at(source, offset);
    // The parser knows a hundred kinds; these are the ones people meet.
    #[allow(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        ErrorKind::UnknownAnchor | ErrorKind::MissingAnchorOrAliasName => {
            let help = "text that begins with `*` or `&` needs quotes, such as \"*.csv\"";
            Diagnostic::error(
                Code::Alias,
                span,
                "this reads as an alias, and no anchor of that name stands before it",
                help,
            )
        }
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidMappingValueWhitespace => {
            let help = "quote a value that contains `: `, and put each key on a line of its own";
            syntax(span, "a second `:` on this line, or a line that is indented under a value", help)
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => syntax(
            span,
            "a quote is opened and never closed",
            "close the quote; inside \"…\" a quote is written \\\", inside '…' it is written ''",
        ),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            let help = "a backslash inside \"…\" is written \\\\; inside '…' it is an ordinary character";
            syntax(span, "an escape in this text that YAML does not know", help)
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => syntax(
            span,
            "something follows a closed quote",
            "put a comma between entries; a quote inside \"…\" is written \\\"",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { ']' } else { '}' };
            syntax(span, format!("`{open}` is opened and never closed"), &format!("add the missing `{close}`"))
        }
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::InvalidFlowScalarIndent => {
            let help =
                "put a comma between entries and close what was opened; quote text that contains , [ ] { } or `: `";
            syntax(span, "inside `{ }` or `[ ]` a comma or the closing bracket is missing", help)
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            syntax(span, format!("`{open}` is closed by `{close}`"), "close each bracket with its own kind")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            let message =
                format!("YAML keeps the character `{}` at the start of a value for itself", character.escape_default());
            syntax(span, message, "put the whole value into quotes")
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockSequenceEntry => {
            let help = "line up the keys of one mapping, and the dashes of one list, in the same column";
            syntax(span, "the indentation of this line fits nothing above it", help)
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => syntax(
            span,
            "expected `key: value`, and there is no `:` here",
            "write `key: value`, with a space behind the colon",
        ),
        kind => syntax(
            span,
            format!("not YAML: {kind}"),
            "look at quotes, brackets and indentation here and on the line above",
        ),
    }
}

/// `${…}` without quotes inside brackets.
pub(super) fn unquoted_variable(source: &Source, near: usize) -> Diagnostic {
    let before = &source.text()[..near.saturating_add(1).min(source.text().len())];
    let start = before.rfind('$').unwrap_or(near);
    let (line_start, line) = source.line(start);
    let rest = &line[start - line_start..];
    let end = rest.find('}').map_or(rest.len(), |close| close + 1);
    let message = "inside `{ }` and `[ ]` YAML reads the braces of `${…}` itself";
    let help = format!("quote it: \"{}\"", &rest[..end]);
    Diagnostic::error(Code::Unquoted, Span::new(start, start + end), message, help)
}

fn syntax(span: Span, message: impl Into<String>, help: &str) -> Diagnostic {
    Diagnostic::error(Code::Syntax, span, message, help)
}

/// The last `${` of the line up to where the parser gave up, if it stands outside of quotes. The parser gives up behind it: at the colon, the comma
/// or the brace after the name.
fn unquoted_dollar(source: &Source, offset: usize) -> Option<usize> {
    let (start, line) = source.line(offset);
    let reach = (offset - start + 2).min(line.len());
    let reach = (reach..=line.len()).find(|&at| line.is_char_boundary(at))?;
    let mut quote = None;
    let mut brackets = 0_usize;
    let mut last = None;
    for (at, character) in line.char_indices().take_while(|(at, _)| *at < reach) {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '$') if line[at..].starts_with("${") && (brackets > 0 || flow_is_open(source, start)) => {
                last = Some(start + at)
            }
            (None, '{' | '[') => brackets += 1,
            (None, '}' | ']') => brackets = brackets.saturating_sub(1),
            (None, '#') if line[..at].ends_with([' ', '\t']) => break,
            (None, _) => {}
        }
    }
    last
}

/// A bracket of a line above is still open; roughly, quotes are not looked at.
fn flow_is_open(source: &Source, line_start: usize) -> bool {
    let above = &source.text()[..line_start];
    let count = |brackets: [char; 2]| above.chars().filter(|c| brackets.contains(c)).count();
    count(['{', '[']) > count(['}', ']'])
}

fn tab_in_indent(source: &Source, offset: usize) -> Option<Span> {
    // The parser may give up at the end of the line before, or only behind the tab.
    let lines = [offset, offset + 1, offset.saturating_sub(1)];
    lines.into_iter().find_map(|at| {
        let (start, line) = source.line(at.min(source.text().len()));
        let indent = &line[..line.len() - line.trim_start().len()];
        let tab = indent.find('\t')?;
        Some(Span::new(start + tab, start + indent.len()))
    })
}

/// From there to the end of the word, and at least something of the last line if that is the end of the text.
fn word_at(source: &Source, offset: usize) -> Span {
    let text = source.text();
    let offset = if text[offset..].trim().is_empty() { text.trim_end().len() } else { offset };
    if offset == text.trim_end().len() {
        let (start, _) = source.line(offset.saturating_sub(1));
        return Span::new(start + (text[start..offset].len() - text[start..offset].trim_start().len()), offset);
    }
    let rest = &text[offset..];
    let length = rest.find(|c: char| c.is_whitespace()).unwrap_or(rest.len());
    Span::new(offset, offset + length.max(1))
}
