//! Names of files. They last: a final name says which transaction of which session of which task made it, a staged one too.

use sha2::{Digest as _, Sha256};

use crate::materialize::{InstallationId, StageId};

/// Version 1 always serves the full key range.
const RANGE: &str = "00000000ffffffff";
/// Longer names become a hash.
const NAME_MAX_BYTES: usize = 64;

/// A name that can be a file's: what is no letter, digit, `-`, `_` or inner `.` is percent-encoded, and what is too long is a hash.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && i > 0) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    if text.len() <= NAME_MAX_BYTES { text } else { hash(name) }
}

/// 16 hexadecimal digits.
fn hash(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Name of a staged file: state key, range, epoch, transaction, and the number of the file where a transaction has several. The directory says
/// installation and task.
pub(super) fn staged(stage: &StageId, part: Option<u32>, extension: &str) -> String {
    let StageId { state_key, epoch, transaction, .. } = stage;
    format!("e{epoch}-t{transaction}-r{RANGE}-{}{}.{extension}", encoded(state_key.as_str()), numbered(part))
}

fn numbered(part: Option<u32>) -> String {
    part.map(|part| format!("-p{part:04}")).unwrap_or_default()
}

/// The epoch of a staged file's name.
pub(super) fn staged_epoch(name: &str) -> Option<u64> {
    name.strip_prefix('e')?.split_once('-')?.0.parse().ok()
}

/// Name of a published file. Sorts by transaction.
pub(super) fn published(stage: &StageId, part: Option<u32>, extension: &str) -> String {
    let StageId { installation, task, state_key, epoch, transaction } = stage;
    let generation = state_key.generation();
    let (task, part) = (hash(task), numbered(part));
    format!("t{transaction:010}-e{epoch}-r{RANGE}-v{generation}-{task}-{installation}{part}.{extension}")
}

/// What the name of a published file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) generation: u32,
    pub(super) task_hash: String,
    pub(super) installation: InstallationId,
}

impl Published {
    /// None: not a file that was made here.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (stem, _) = name.split_once('.')?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (parts, part) = parts.split_at_checked(6)?;
        let [transaction, epoch, range, generation, task_hash, installation] = *parts else { return None };
        match part {
            [] => {}
            [part] => drop(part.strip_prefix('p')?.parse::<u32>().ok()?),
            [_, ..] => return None,
        }
        transaction.strip_prefix('t')?.parse::<u64>().ok()?;
        epoch.strip_prefix('e')?.parse::<u64>().ok()?;
        range.strip_prefix('r').filter(|range| range.len() == RANGE.len())?;
        Some(Self {
            generation: generation.strip_prefix('v')?.parse().ok()?,
            task_hash: task_hash.to_owned(),
            installation: InstallationId::parse(installation)?,
        })
    }

    pub(super) fn is_of_task(&self, task: &str) -> bool {
        self.task_hash == hash(task)
    }
}

#[cfg(test)]
mod tests {
    use crate::materialize::StateKey;

    use super::*;

    fn stage(task: &str, name: &str) -> StageId {
        StageId {
            installation: InstallationId::from_bytes([0xab; 16]),
            task: task.to_owned(),
            state_key: StateKey::new(&[name.to_owned()], 3),
            epoch: 7,
            transaction: 42,
        }
    }

    #[test]
    fn a_name_says_where_a_file_is_from() {
        let stage = stage("team/archive", "flights");
        assert_eq!(staged(&stage, None, "jsonl"), "e7-t42-r00000000ffffffff-flights.v3.jsonl");
        assert_eq!(staged_epoch(&staged(&stage, None, "jsonl")), Some(7));
        let name = published(&stage, None, "csv.gz");
        assert!(name.starts_with("t0000000042-e7-r00000000ffffffff-v3-") && name.ends_with(".csv.gz"), "{name}");
        let parsed = Published::parse(&name).unwrap();
        assert_eq!((parsed.generation, &parsed.installation), (3, &stage.installation));
        assert!(parsed.is_of_task("team/archive") && !parsed.is_of_task("team/other"));
    }

    #[test]
    fn files_of_one_transaction_sort_by_their_numbers() {
        let stage = stage("archive", "flights");
        assert_eq!(staged(&stage, Some(3), "x"), "e7-t42-r00000000ffffffff-flights.v3-p0003.x");
        let name = |part| published(&stage, Some(part), "parquet");
        assert!(name(0) < name(1) && name(9) < name(10) && name(0).ends_with("-p0000.parquet"), "{}", name(0));
        assert!(Published::parse(&name(7)).is_some_and(|parsed| parsed.is_of_task("archive")));
        assert_eq!(Published::parse(&name(7).replace("-p", "-q")), None);
    }

    #[test]
    fn long_and_strange_names_become_names_of_files() {
        assert_eq!(encoded("team/archive"), "team%2Farchive");
        assert_eq!(encoded("..a"), "%2E.a");
        assert_eq!(encoded(&"a".repeat(65)).len(), 16);
        assert_ne!(encoded(&"a".repeat(65)), encoded(&"a".repeat(66)));
        for other in ["flights.jsonl", "t1-e1.jsonl", "", "e7-t42-r00000000ffffffff-flights.v3.jsonl"] {
            assert_eq!(Published::parse(other), None, "{other}");
        }
    }
}
