//! A place in the server's write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position, written as the server writes it: `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Lsn(pub(crate) u64);

/// Pages of the log, and what their headers take: more on the first page of a file.
const PAGE_BYTES: u64 = 8192;
const PAGE_HEADERS_BYTES: [u64; 2] = [24, 40];

impl Lsn {
    /// The end of what was inserted, of where the next record would be. They differ by the header of a page on which nothing is yet, and a
    /// reader of the log is never told of that.
    pub(crate) fn without_page_header(self) -> Lsn {
        let into = self.0 % PAGE_BYTES;
        if PAGE_HEADERS_BYTES.contains(&into) { Lsn(self.0 - into) } else { self }
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = String;

    fn from_str(text: &str) -> Result<Lsn, String> {
        let read = || {
            let (high, low) = text.split_once('/')?;
            let (high, low) = (u32::from_str_radix(high, 16).ok()?, u32::from_str_radix(low, 16).ok()?);
            Some(Lsn(u64::from(high) << 32 | u64::from(low)))
        };
        read().ok_or_else(|| format!("expected a position such as 16/B374D848, got {text:?}"))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_goes_through_text_and_back() {
        for (text, value) in [("0/0", 0), ("16/B374D848", 0x16_b374_d848), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
            assert_eq!(text.parse(), Ok(Lsn(value)));
            assert_eq!(Lsn(value).to_string(), text);
        }
        for text in ["", "1", "/", "1/", "G/0", "1/100000000"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_header_of_an_empty_page_is_no_part_of_the_log() {
        for (inserted, end) in [(0x2000 + 24, 0x2000), (0x0100_0000 + 40, 0x0100_0000), (0x2000 + 32, 0x2000 + 32)] {
            assert_eq!(Lsn(inserted).without_page_header(), Lsn(end));
        }
    }
}
