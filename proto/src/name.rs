//! Names that last: of tasks, collections, bindings and installations. What is durable is named by these and never by an index.

use std::fmt;
use std::sync::Arc;

/// What a name of a task or collection must match, as a regular expression; beside it, `..` is refused.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_./-]{0,254}$";

/// Greatest length of a name, in bytes.
pub const NAME_MAX_BYTES: usize = 255;

/// Says what is wrong with the name of a task or collection, or nothing.
pub fn fault_in(name: &str) -> Option<&'static str> {
    let lead = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let Some(&first) = name.as_bytes().first() else {
        return Some("it is empty");
    };
    if !lead(first) {
        return Some("it does not begin with a letter from a to z or a digit");
    }
    if !name.bytes().all(|b| lead(b) || matches!(b, b'_' | b'.' | b'/' | b'-')) {
        return Some("it holds something else than a to z, 0 to 9, `_`, `.`, `/` and `-`");
    }
    if name.len() > NAME_MAX_BYTES {
        return Some("it is longer than 255 bytes");
    }
    if name.contains("..") {
        return Some("it holds `..`");
    }
    None
}

/// Durable name of a binding: the percent-encoded resource path, `.v` and the generation, such as `public/orders.v0`.
///
/// The parts of the path are joined by `/`; within a part all but letters, digits, `-`, `_` and `.` is percent-encoded (a part of only
/// dots wholly, so that no state key is a relative path). Cheap to clone: positions, letters and states are all kept by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(Arc<str>);

impl StateKey {
    /// Names a binding. The path has at least one part: Validated is refused without (rule X-10).
    pub fn new(resource_path: &[String], generation: u32) -> Self {
        let mut text = String::new();
        for (i, part) in resource_path.iter().enumerate() {
            if i > 0 {
                text.push('/');
            }
            percent_encode(part, &mut text);
        }
        text.push_str(".v");
        text.push_str(&generation.to_string());
        Self(text.into())
    }

    /// Reads a name as [`StateKey::new`] writes it; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (path, generation) = text.rsplit_once(".v")?;
        // One spelling for each name: no lower-case hex, no needless escapes, no leading zeros or signs.
        let is_number = generation == "0" || !generation.starts_with(['0', '+']);
        generation.parse::<u32>().ok().filter(|_| is_number)?;
        let mut parts = path.split('/');
        parts.all(|part| is_plain(part) || is_spelled_so(part)).then(|| Self(text.into()))
    }

    /// As it is written everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Raised when a binding starts over.
    pub fn generation(&self) -> u32 {
        self.split().1.parse().unwrap_or(0)
    }

    /// What the name was made of.
    pub fn resource_path(&self) -> Vec<String> {
        self.split().0.split('/').filter_map(percent_decode).collect()
    }

    /// The same binding in another generation.
    #[must_use]
    pub fn with_generation(&self, generation: u32) -> Self {
        Self(format!("{}.v{generation}", self.split().0).into())
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once(".v").unwrap_or((&self.0, ""))
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Random id of a state directory: 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstallationId(Arc<str>);

impl InstallationId {
    /// From 16 random bytes, which the caller brings.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    /// Reads 32 lower-case hex digits; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| Self(text.into()))
    }

    /// As it is written everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part that stands in a state key as it is, as most do.
fn is_plain(part: &str) -> bool {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    part.bytes().all(stays) && (part.is_empty() || part.bytes().any(|byte| byte != b'.'))
}

/// Whether a part of a state key is what [`percent_encode`] makes.
fn is_spelled_so(part: &str) -> bool {
    percent_decode(part).is_some_and(|decoded| {
        let mut encoded = String::with_capacity(part.len());
        percent_encode(&decoded, &mut encoded);
        encoded == part
    })
}

fn percent_encode(part: &str, out: &mut String) {
    if is_plain(part) {
        return out.push_str(part);
    }
    let only_dots = part.bytes().all(|b| b == b'.');
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !only_dots) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (hex, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn x_10_names_of_tasks_and_collections() {
        for good in ["a", "nyc/flights", "0", "a.b-c_d/e", &"a".repeat(255)] {
            assert_eq!(fault_in(good), None, "{good}");
        }
        for bad in ["", "A", "_a", "/a", ".a", "a..b", "a b", "naïve", "a\n", &"a".repeat(256)] {
            assert!(fault_in(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn x_10_a_state_key_is_readable_where_it_can_be() {
        let key = |path: &[&str]| StateKey::new(&path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>(), 3);
        assert_eq!(key(&["public", "orders"]).as_str(), "public/orders.v3");
        assert_eq!(key(&["a.v2"]).as_str(), "a.v2.v3");
        assert_eq!(key(&["a/b", "..", ""]).as_str(), "a%2Fb/%2E%2E/.v3");
        assert_eq!(key(&["*.csv"]).as_str(), "%2A.csv.v3");
    }

    #[test]
    fn x_10_a_state_key_has_one_spelling() {
        for bad in [
            "",
            "a",
            "a.v",
            "a.v01",
            "a.v+1",
            "a.v-1",
            "a.v4294967296",
            "%2a.v0",
            "%41.v0",
            "%.v0",
            "%FF.v0",
            "...v0",
            "a b.v0",
        ] {
            assert_eq!(StateKey::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn x_10_an_installation_id_is_32_hex_digits() {
        let id = InstallationId::from_bytes([0xab; 16]);
        assert_eq!(InstallationId::parse(id.as_str()), Some(id));
        for bad in ["", "AB", &"a".repeat(31), &"A".repeat(32), &"g".repeat(32)] {
            assert_eq!(InstallationId::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn x_10_a_state_key_tells_what_it_was_made_of(path in proptest::collection::vec(".*", 1..4), generation: u32) {
            let key = StateKey::new(&path, generation);
            prop_assert_eq!(StateKey::parse(key.as_str()), Some(key.clone()));
            prop_assert_eq!(key.resource_path(), path);
            prop_assert_eq!(key.generation(), generation);
            prop_assert_eq!(key.with_generation(1).generation(), 1);
        }
    }
}
