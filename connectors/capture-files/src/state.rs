//! What a binding's part of the state remembers: how far each file has been captured, and of which content that is true.
//!
//! The part stays small: one entry a file, headers kept once however many files share them. Only what changed goes into a patch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::input::Mark;

/// At most so much of a file's beginning makes its fingerprint, in bytes.
const FINGERPRINT_BYTES: usize = 64 << 10;

/// A binding's part of the state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    /// By file name below the root.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, FileState>,
    /// Lists of column names, by the number that files refer to.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    /// Types that each column's values have had.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, Value>,
}

/// How far a file has been captured. In a patch, what is not there any more is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// Of the first `hashed` bytes as they are stored.
    pub(crate) fingerprint: String,
    pub(crate) hashed: usize,
    /// Behind the last record captured, in decompressed bytes.
    pub(crate) offset: u64,
    /// Records captured; the header is none.
    pub(crate) records: u64,
    /// The last of them had no newline: whatever comes must begin with one.
    #[serde(default)]
    pub(crate) tail: bool,
    /// Number of its header in the part.
    #[serde(default)]
    pub(crate) header: Option<u32>,
    /// Compressed files: where to start decompressing.
    #[serde(default)]
    pub(crate) mark: Option<Mark>,
    /// Compressed files: the size at which all there was had been captured.
    #[serde(default)]
    pub(crate) stored: Option<u64>,
}

impl Part {
    /// The number of this header, which is made if it is new; true: it has to be saved.
    pub(crate) fn header_number(&mut self, names: &[String]) -> (u32, bool) {
        let known =
            self.headers.iter().find(|(_, header)| *header == names).and_then(|(number, _)| number.parse().ok());
        if let Some(number) = known {
            return (number, false);
        }
        let highest = self.headers.keys().filter_map(|number| number.parse::<u32>().ok()).max();
        let number = highest.map_or(0, |highest| highest + 1);
        self.headers.insert(number.to_string(), names.to_vec());
        (number, true)
    }

    /// The header with this number.
    pub(crate) fn header(&self, number: u32) -> Option<&[String]> {
        self.headers.get(&number.to_string()).map(Vec::as_slice)
    }
}

/// Changes to a part that no checkpoint holds yet; serialised, an RFC 7396 merge patch.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PartPatch {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, FileState>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    columns: Map<String, Value>,
}

impl PartPatch {
    pub(crate) fn file(&mut self, name: &str, state: &FileState) {
        self.files.insert(name.to_owned(), state.clone());
    }

    pub(crate) fn header(&mut self, number: u32, names: &[String]) {
        self.headers.insert(number.to_string(), names.to_vec());
    }

    pub(crate) fn columns(&mut self, columns: Map<String, Value>) {
        self.columns.extend(columns);
    }

    /// Files it speaks of.
    pub(crate) fn files_len(&self) -> usize {
        self.files.len()
    }
}

/// A file's beginning as it is stored.
#[derive(Debug)]
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// Reads it without moving the file's position.
    pub(crate) fn read(file: &File) -> io::Result<Head> {
        let mut bytes = vec![0; FINGERPRINT_BYTES];
        let mut held = 0;
        while held < bytes.len() {
            match file.read_at(&mut bytes[held..], held as u64) {
                Ok(0) => break,
                Ok(count) => held += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(held);
        Ok(Head(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Fingerprint and number of bytes it is made of.
    pub(crate) fn fingerprint(&self) -> (String, usize) {
        (hash(&self.0), self.0.len())
    }

    /// The file begins as it did when this state was made.
    pub(crate) fn is_of(&self, state: &FileState) -> bool {
        self.0.get(..state.hashed).is_some_and(|same| hash(same) == state.fingerprint)
    }
}

/// 128 bits are plenty to tell one's own files apart, and the state holds one for each.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn head(bytes: &[u8]) -> Head {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Head::read(&file).unwrap()
    }

    fn state(head: &Head) -> FileState {
        let (fingerprint, hashed) = head.fingerprint();
        FileState { fingerprint, hashed, offset: 0, records: 0, tail: false, header: None, mark: None, stored: None }
    }

    #[test]
    fn a_file_that_grew_is_the_same_and_one_that_begins_differently_is_not() {
        let short = state(&head(b"a,b\n"));
        assert!(head(b"a,b\n").is_of(&short));
        assert!(head(b"a,b\n1,2\n").is_of(&short));
        assert!(!head(b"a,c\n1,2\n").is_of(&short));
        assert!(!head(b"a,b").is_of(&short), "shorter");
        let long = vec![b'x'; FINGERPRINT_BYTES + 7];
        assert_eq!(state(&head(&long)).hashed, FINGERPRINT_BYTES);
    }

    #[test]
    fn a_header_is_kept_once_and_a_patch_holds_what_changed() {
        let names = ["a".to_owned(), "b".to_owned()];
        let mut part = Part::default();
        assert_eq!(part.header_number(&names), (0, true));
        assert_eq!(part.header_number(&names), (0, false));
        assert_eq!(part.header_number(&names[..1]), (1, true));
        assert_eq!(part.header(1), Some(&names[..1]));
        let mut patch = PartPatch::default();
        patch.file("x.csv", &state(&head(b"")));
        let json = serde_json::to_value(&patch).unwrap();
        assert_eq!(json["files"]["x.csv"].get("mark"), Some(&Value::Null), "null takes an old mark away");
        assert!(json.get("headers").is_none());
    }
}
