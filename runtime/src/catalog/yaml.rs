//! YAML text into a [`Node`] tree. The events come from the parser below `serde-saphyr`; the tree is our own because a catalog needs the
//! raw text of every scalar and the place of every key and value.
//!
//! The first syntax error ends the reading; duplicate keys and the like are all collected. What the keys mean is for [`super::resolve`].

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as ParserSpan, Tag};

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::node::{Entry, Node, Scalar, Value};
use super::source::{Source, Span};
use super::syntax;

/// Values a catalog may have, each use of an alias counted: a few kilobytes of nested aliases could otherwise fill the memory.
const VALUES_AT_MOST: usize = 200_000;

/// Reads the one document of a file. Mistakes that leave a usable tree go to `findings`; without a tree there is at least one of them.
pub(super) fn parse(source: &Source, findings: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut reader = Reader {
        source,
        parser: Parser::new_from_str(source.text()),
        anchors: HashMap::new(),
        values: 0,
        findings,
        documents: 0,
    };
    match reader.stream() {
        Ok(root) => root,
        Err(Stop::Syntax(error)) => {
            let finding = syntax::explain(source, &error);
            reader.findings.push(finding);
            None
        }
        Err(Stop::Found(finding)) => {
            reader.findings.push(*finding);
            None
        }
    }
}

enum Stop {
    Syntax(ScanError),
    Found(Box<Diagnostic>),
}

type Read<T> = Result<T, Stop>;

struct Reader<'a> {
    source: &'a Source,
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
    documents: usize,
    findings: &'a mut Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Read<Option<(Event<'a>, Span)>> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Err(error)) => return Err(Stop::Syntax(error)),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => return Ok(Some((event, bytes(&span)))),
            }
        }
    }

    fn stream(&mut self) -> Read<Option<Node>> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            // Starts and ends of stream and document carry no value. The parser's enum is open, hence the last arm.
            #[allow(clippy::wildcard_enum_match_arm)]
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        let help = "keep one document a file, and remove the line `---`";
                        return Err(found(Code::Documents, span, "a second document begins here", help));
                    }
                }
                event => root = Some(self.value(event, span, None)?),
            }
        }
        Ok(root)
    }

    fn value(&mut self, event: Event<'a>, span: Span, key_span: Option<Span>) -> Read<Node> {
        self.count(1, span)?;
        // The parser's enum is open; what is not a value cannot come where a value must be.
        #[allow(clippy::wildcard_enum_match_arm)]
        let (value, span, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let plain = matches!(style, ScalarStyle::Plain);
                // Nothing behind the colon, for which the parser says `~`: point at the key.
                let nothing = plain && span.start == span.end;
                let (text, span) = if nothing { ("".into(), key_span.unwrap_or(span)) } else { (text, span) };
                (Value::Scalar(Scalar { text: text.into_owned(), plain }), span, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let (items, end) = self.sequence()?;
                (Value::Sequence(items), Span::new(span.start, end), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let (entries, end) = self.mapping()?;
                (Value::Mapping(entries), Span::new(span.start, end), anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, span, key_span),
            _ => return Err(found(Code::Syntax, span, "a value is missing here", "write a value, or remove the key")),
        };
        let node = Node { span, key_span, value };
        if anchor > 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, span: Span, key_span: Option<Span>) -> Read<Node> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            let help = "an anchor cannot contain itself; write the value out";
            return Err(found(Code::Alias, span, "this alias stands inside the value it names", help));
        };
        let (node, size) = (Node { key_span, ..node.clone() }, *size);
        self.count(size, span)?;
        Ok(node)
    }

    fn sequence(&mut self) -> Read<(Vec<Node>, usize)> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, span)) => {
                    let end = end_of(self.source, span, items.last().map(|item: &Node| item.span.end));
                    return Ok((items, end));
                }
                Some((event, span)) => items.push(self.value(event, span, None)?),
                None => return Ok((items, self.source.text().len())),
            }
        }
    }

    fn mapping(&mut self) -> Read<(Vec<Entry>, usize)> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<String, Span> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (key, key_span) = match self.next()? {
                Some((Event::MappingEnd, span)) => {
                    let last = entries.last().map(|entry| entry.value.span.end);
                    merge(&mut entries, merged);
                    return Ok((entries, end_of(self.source, span, last)));
                }
                Some((Event::Scalar(key, _, _, tag), span)) => {
                    self.refuse_tag(tag.as_deref(), span);
                    (key.into_owned(), span)
                }
                Some((_, span)) => return Err(complex_key(self.source, span)),
                None => return Ok((entries, self.source.text().len())),
            };
            let Some((event, span)) = self.next()? else { return Ok((entries, key_span.end)) };
            let value = self.value(event, span, Some(key_span))?;
            if key == "<<" {
                merged.push(value);
            } else if let Some(first) = known.get(&key) {
                let line = self.source.place(first.start).line;
                let message = format!("the key `{key}` stands here for the second time; the first is in line {line}");
                self.findings.push(Diagnostic::error(Code::DuplicateKey, key_span, message, "keep one of the two"));
            } else {
                known.insert(key.clone(), key_span);
                entries.push(Entry { key, key_span, value });
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema()
        {
            let message = format!("a catalog has no use for the tag `{}`", tag.original());
            let help = "remove the tag; a secret from outside is written \"${NAME}\" or \"${file:path}\"";
            self.findings.push(Diagnostic::error(Code::Tag, span, message, help));
        }
    }

    fn count(&mut self, values: usize, span: Span) -> Read<()> {
        self.values += values;
        if self.values > VALUES_AT_MOST {
            let message = format!("more than {VALUES_AT_MOST} values, aliases written out");
            return Err(found(
                Code::Syntax,
                span,
                message,
                "use fewer aliases inside of aliased values, or split the catalog",
            ));
        }
        Ok(())
    }
}

/// `<<: *base`: what the mapping does not say itself comes from there.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Node>) {
    let mut sources = Vec::new();
    for node in merged {
        match node.value {
            Value::Mapping(more) => sources.push(more),
            Value::Sequence(nodes) => sources.extend(nodes.into_iter().filter_map(|node| match node.value {
                Value::Mapping(more) => Some(more),
                Value::Scalar(_) | Value::Sequence(_) => None,
            })),
            Value::Scalar(_) => {}
        }
    }
    for entry in sources.into_iter().flatten() {
        if entries.iter().all(|own| own.key != entry.key) {
            entries.push(entry);
        }
    }
}

fn complex_key(source: &Source, span: Span) -> Stop {
    if source.slice(Span::new(span.start, span.start + 1)) == "{"
        && source.text()[..span.start].trim_end().ends_with('$')
    {
        return Stop::Found(Box::new(syntax::unquoted_variable(source, span.start)));
    }
    found(Code::ComplexKey, span, "a key must be a word", "write `name: value`; quote text that begins with [ { * or &")
}

fn found(code: Code, span: Span, message: impl Into<String>, help: &str) -> Stop {
    Stop::Found(Box::new(Diagnostic::error(code, span, message, help)))
}

fn bytes(span: &ParserSpan) -> Span {
    // Always there: the parser reads from a str.
    span.byte_range().map_or_else(Span::default, |range| Span::new(range.start, range.end))
}

/// A block ends where its last value ends, not where the parser notices that it is over; a flow collection ends with its bracket.
fn end_of(source: &Source, end: Span, last: Option<usize>) -> usize {
    let closed = matches!(source.slice(end), "}" | "]");
    if closed { end.end } else { last.unwrap_or(end.end) }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}
