//! Reads JSON without building anything: the grammar of RFC 8259 with what rule X-6 adds to it. The only place that decides what JSON is.

use std::borrow::Cow;
use std::fmt;

use super::trie::{Child, NodeId, Trie};
use crate::error::Error;
use crate::limits::DOCUMENT_MAX_DEPTH;

mod memo;
mod names;
mod text;

pub(crate) use memo::Memo;
use memo::Place;
pub(crate) use names::Walk;
use names::{Scope, hash};
pub(crate) use text::Text;
use text::{find_special, hex4};

/// What is wrong with some JSON, and where. It shows at most one byte of it, since documents are not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault(Box<(usize, &'static str, String)>);

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at_byte, expected, got) = &*self.0;
        write!(f, "expected {expected} at byte {at_byte}, got {got}")
    }
}

impl std::error::Error for JsonFault {}

impl From<JsonFault> for Error {
    fn from(fault: JsonFault) -> Self {
        Error::data("document.json", format!("JSON is refused: {fault} (rule X-6)"))
    }
}

/// A value as it lies in its document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'d> {
    Null,
    Bool(bool),
    /// The literal, which follows the grammar.
    Number(&'d [u8]),
    String(Text<'d>),
    Array,
    Object,
}

impl<'d> Value<'d> {
    /// From the text of one value that a [`Reader`] has passed.
    pub(crate) fn of_checked(text: &'d [u8]) -> Self {
        match text {
            [b'"', raw @ .., b'"'] => Value::String(Text { raw, escaped: raw.contains(&b'\\') }),
            [b'n', ..] => Value::Null,
            [b't', ..] => Value::Bool(true),
            [b'f', ..] => Value::Bool(false),
            [b'{', ..] => Value::Object,
            [b'[', ..] => Value::Array,
            literal => Value::Number(literal),
        }
    }
}

/// Whether line feeds and carriage returns may stand between tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Many,
}

/// What a walk over an object hands out.
pub(crate) trait Finds {
    /// The walk may end before the object does.
    const MAY_END: bool = false;
    /// The object was checked before: of arrays and objects in which nothing is looked for, only where they end is found out.
    const IS_CHECKED: bool = false;

    /// All is found.
    fn has_all(&self) -> bool {
        false
    }

    /// The value of a slot, and where it begins and ends.
    fn slot(&mut self, slot: usize, start: usize, end: usize);

    /// A member of the object itself, not of one inside it: its name, and where its value begins and ends.
    fn member(&mut self, name: Text<'_>, start: usize, end: usize);
}

/// Nothing is looked for.
impl Finds for () {
    fn slot(&mut self, _: usize, _: usize, _: usize) {}

    fn member(&mut self, _: Text<'_>, _: usize, _: usize) {}
}

/// What a walk over an object looks for, and the buffers it uses.
pub(crate) struct Search<'s, F> {
    pub(crate) trie: &'s Trie,
    pub(crate) walk: &'s mut Walk,
    /// Names of objects before; none: they are not remembered.
    pub(crate) memo: Option<&'s mut Memo>,
    /// Gets what is found.
    pub(crate) found: F,
}

/// Walks over bytes that are UTF-8.
#[derive(Debug)]
pub(crate) struct Reader<'d> {
    bytes: &'d [u8],
    at: usize,
    lines: Lines,
}

impl<'d> Reader<'d> {
    pub(crate) fn new(bytes: &'d [u8]) -> Result<Self, JsonFault> {
        let reader = Self { bytes, at: 0, lines: Lines::Many };
        if bytes.is_ascii() {
            return Ok(reader);
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(reader),
            Err(error) => Err(Self { at: error.valid_up_to(), ..reader }.fault("UTF-8")),
        }
    }

    /// Of bytes that are known to be UTF-8.
    pub(crate) fn of_checked(bytes: &'d [u8]) -> Self {
        Self { bytes, at: 0, lines: Lines::Many }
    }

    /// Reads one object and nothing behind it, and tells where the values are that the search looks for.
    pub(crate) fn object<F: Finds>(mut self, mut search: Search<'_, F>, lines: Lines) -> Result<(), JsonFault> {
        self.lines = lines;
        search.walk.clear();
        self.space();
        if self.peek() != Some(b'{') {
            return Err(self.fault("an object"));
        }
        let memo = search.memo.take();
        self.members(&mut search, Some(0), memo, 1)?;
        if F::MAY_END && search.found.has_all() { Ok(()) } else { self.end() }
    }

    /// Reads one array and nothing behind it, and hands each value over. It does not go into arrays and objects: `each` refuses them.
    pub(crate) fn array(&mut self, mut each: impl FnMut(Value<'d>) -> Result<(), Error>) -> Result<(), Error> {
        self.space();
        self.expect(b'[', "an array")?;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.end()?);
        }
        loop {
            self.space();
            let start = self.at;
            match self.peek() {
                Some(b'{') => each(Value::Object)?,
                Some(b'[') => each(Value::Array)?,
                Some(_) | None => {
                    self.scalar()?;
                    each(Value::of_checked(&self.bytes[start..self.at]))?;
                }
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break self.at += 1,
                Some(_) | None => return Err(self.fault("`,` or `]`").into()),
            }
        }
        Ok(self.end()?)
    }

    fn members<F: Finds>(
        &mut self,
        search: &mut Search<'_, F>,
        node: Option<NodeId>,
        mut memo: Option<&mut Memo>,
        depth: usize,
    ) -> Result<(), JsonFault> {
        self.at += 1;
        let scope = search.walk.open();
        let mut place = memo.as_deref_mut().map(Memo::begin);
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            let named = self.at + 1;
            let (child, nested, escaped) = self.name(search, node, scope, memo.as_deref_mut().zip(place.as_mut()))?;
            let name = Text { raw: &self.bytes[named..self.at - 1], escaped };
            self.space();
            self.expect(b':', "`:`")?;
            self.space();
            let start = self.at;
            match child.and_then(|child| child.node) {
                None if F::IS_CHECKED => self.pass_over()?,
                node => self.value(search, node, nested, depth)?,
            }
            if F::MAY_END && search.found.has_all() {
                return Ok(());
            }
            if let Some(slot) = child.and_then(|child| child.slot) {
                search.found.slot(slot, start, self.at);
                if F::MAY_END && search.found.has_all() {
                    return Ok(());
                }
            }
            if depth == 1 {
                search.found.member(name, start, self.at);
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break self.at += 1,
                Some(_) | None => return Err(self.fault("`,` or `}`")),
            }
        }
        let all_known = memo.zip(place).is_some_and(|(memo, place)| memo.end(&place));
        if F::IS_CHECKED || search.walk.close(scope, self.bytes, all_known) {
            Ok(())
        } else {
            Err(self.fault("each name once in the object before this"))
        }
    }

    /// Reads a name; what is looked for under it, what is remembered of its value, and whether it holds an escape.
    #[inline]
    fn name<'m, F: Finds>(
        &mut self,
        search: &mut Search<'_, F>,
        node: Option<NodeId>,
        scope: Scope,
        memo: Option<(&'m mut Memo, &mut Place)>,
    ) -> Result<(Option<Child>, Option<&'m mut Memo>, bool), JsonFault> {
        let start = self.at;
        let Some((memo, place)) = memo else {
            return self.unknown_name(search, node, scope).map(|(child, _, escaped)| (child, None, escaped));
        };
        if let Some(index) = memo.find(place, &self.bytes[start..]) {
            let known = memo.known(index);
            if !F::IS_CHECKED {
                search.walk.push(known.hash, start + 1, known.name_bytes(), false);
            }
            self.at = start + known.name_bytes() + 2;
            return Ok((known.child, Some(&mut known.nested), false));
        }
        let (child, hash, escaped) = self.unknown_name(search, node, scope)?;
        let learned = memo.missed(place, &self.bytes[start..self.at], escaped, hash, child);
        Ok((child, learned.map(|index| &mut memo.known(index).nested), escaped))
    }

    fn unknown_name<F: Finds>(
        &mut self,
        search: &mut Search<'_, F>,
        node: Option<NodeId>,
        scope: Scope,
    ) -> Result<(Option<Child>, u64, bool), JsonFault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("a name in quotes"));
        }
        let start = self.at + 1;
        let name = self.string()?;
        let text = name.unescaped();
        let hash = hash(&text);
        if !F::IS_CHECKED && !search.walk.add(scope, self.bytes, &text, hash, start, name) {
            self.at = start;
            return Err(self.fault("each name once in an object"));
        }
        Ok((node.and_then(|node| search.trie.find(node, &text)), hash, name.escaped))
    }

    fn value<F: Finds>(
        &mut self,
        search: &mut Search<'_, F>,
        node: Option<NodeId>,
        memo: Option<&mut Memo>,
        depth: usize,
    ) -> Result<(), JsonFault> {
        match self.peek() {
            Some(b'{' | b'[') if depth == DOCUMENT_MAX_DEPTH => {
                Err(self.fault("at most 127 objects and arrays inside each other"))
            }
            Some(b'{') => self.members(search, node, memo, depth + 1),
            Some(b'[') => self.elements(search, depth + 1),
            Some(_) | None => self.scalar(),
        }
    }

    /// To the end of a value of a document that was checked before.
    fn pass_over(&mut self) -> Result<(), JsonFault> {
        match self.peek() {
            Some(b'{' | b'[') => self.pass_over_nested(),
            Some(_) | None => self.scalar(),
        }
    }

    fn pass_over_nested(&mut self) -> Result<(), JsonFault> {
        let mut depth = 0;
        loop {
            let rest = &self.bytes[self.at..];
            let next = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'));
            self.at += next.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(b'{' | b'[') => (self.at, depth) = (self.at + 1, depth + 1),
                Some(_) if depth > 1 => (self.at, depth) = (self.at + 1, depth - 1),
                Some(_) => break self.at += 1,
                None => return Err(self.fault("the end of a value")),
            }
        }
        Ok(())
    }

    fn elements<F: Finds>(&mut self, search: &mut Search<'_, F>, depth: usize) -> Result<(), JsonFault> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(search, None, None, depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break self.at += 1,
                Some(_) | None => return Err(self.fault("`,` or `]`")),
            }
        }
        Ok(())
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), JsonFault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word(b"null"),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(_) | None => Err(self.fault("a value")),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonFault> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.fault("a value"))
    }

    #[inline]
    fn number(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        // Without an exponent only 309 digits can leave the range of a double.
        let mut may_overflow = self.at - start > 308;
        if let Some(b'e' | b'E') = self.peek() {
            may_overflow = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if may_overflow && self.overflows(start) {
            self.at = start;
            return Err(self.fault("a number within the range of a double"));
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), JsonFault> {
        let rest = &self.bytes[self.at..];
        match rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len()) {
            0 => Err(self.fault("a digit")),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    #[cold]
    fn overflows(&self, start: usize) -> bool {
        let literal = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        literal.parse::<f64>().is_ok_and(f64::is_infinite)
    }

    /// From its opening quote to behind its closing one.
    #[inline]
    fn string(&mut self) -> Result<Text<'d>, JsonFault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = find_special(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault("control characters in strings as escapes")),
                None => return Err(self.fault("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        let after = self.bytes.get(self.at + 1).copied();
        match after {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match hex4(self.bytes, self.at + 2) {
                None => return Err(self.fault("four hex digits behind `\\u`")),
                Some(0xd800..=0xdbff) => {
                    let low_follows = self.bytes.get(self.at + 6..self.at + 8) == Some(b"\\u")
                        && matches!(hex4(self.bytes, self.at + 8), Some(0xdc00..=0xdfff));
                    if !low_follows {
                        return Err(self.fault("both halves of a surrogate pair"));
                    }
                    self.at += 12;
                }
                Some(0xdc00..=0xdfff) => return Err(self.fault("both halves of a surrogate pair")),
                Some(_) => self.at += 6,
            },
            Some(_) | None => return Err(self.fault("an escape that JSON has")),
        }
        Ok(())
    }

    #[inline]
    fn space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\n' | b'\r' if self.lines == Lines::Many => self.at += 1,
                _ => break,
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonFault> {
        if self.peek() != Some(byte) {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), JsonFault> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault("nothing behind the value")) }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    fn fault(&self, expected: &'static str) -> JsonFault {
        let got = match self.peek() {
            None => "the end".to_owned(),
            Some(b'\n' | b'\r') if self.lines == Lines::One => "a line break (a document is one line)".to_owned(),
            Some(byte @ b' '..=b'~') => format!("`{}`", char::from(byte)),
            Some(byte) => format!("byte {byte:#04x}"),
        };
        JsonFault(Box::new((self.at, expected, got)))
    }
}

impl<'d> Text<'d> {
    /// What it says, as UTF-8.
    #[inline]
    pub(crate) fn unescaped(&self) -> Cow<'d, [u8]> {
        if self.escaped { Cow::Owned(text::unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}
