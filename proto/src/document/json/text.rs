//! The inside of JSON strings: finding what ends one, and what its escapes stand for.

/// What stands between the quotes of a string that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'d> {
    pub(crate) raw: &'d [u8],
    /// It holds a backslash.
    pub(crate) escaped: bool,
}

/// Place of the first quote, backslash or control character from `at` on, or the end. Looks at eight bytes at once, in a long string at 32.
#[inline]
pub(super) fn find_special(bytes: &[u8], mut at: usize) -> usize {
    let long = at + SHORT_BYTES;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
        if at == long {
            at = skip_plain(bytes, at);
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

/// Most strings end before this.
const SHORT_BYTES: usize = 16;

/// Over as many whole blocks as hold nothing special. Without a branch inside a block, so that the compiler takes vectors for it.
fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        if block.iter().fold(0, |any, &byte| any | u8::from(is_special(byte))) != 0 {
            break;
        }
        at += 32;
    }
    at
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Sets the high bit of each byte that is special. Bytes above the lowest such one may be wrong (the borrow runs upwards); it is not.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    below(word, 0x20) | below(word ^ (ONES * b'"' as u64), 1) | below(word ^ (ONES * b'\\' as u64), 1)
}

pub(super) fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}

/// What a checked string says. What no checked string holds is left out.
pub(super) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let short = match raw.get(at + 1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                at += push_unicode(raw, at, &mut out);
                continue;
            }
            Some(&same) => same,
            None => break,
        };
        out.push(short);
        at += 2;
    }
    out
}

/// Appends the character whose `\u` is at `at` and says how long its text is.
fn push_unicode(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let first = hex4(raw, at + 2).unwrap_or_default();
    let (code, length) = match first {
        0xd800..=0xdbff => {
            (0x10000 + ((first - 0xd800) << 10) + hex4(raw, at + 8).unwrap_or(0xdc00).wrapping_sub(0xdc00), 12)
        }
        _ => (first, 6),
    };
    if let Some(character) = char::from_u32(code) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    length
}
