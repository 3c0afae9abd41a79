//! Which keys were there before: the newest so many of a binding, for so long. Part of the binding's state, and changed one by one with the
//! checkpoint that holds the documents, so that a key is remembered exactly if its documents are.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Keys that are taken out at one checkpoint because they are old; the rest goes with the next ones.
const AGED_MAX: usize = 1_000;

/// How many keys, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) count: usize,
    pub(crate) seconds: u64,
}

/// 128 bits of a digest, as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Print(String);

impl Print {
    /// Of all these; each ends where it ends.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut all = Vec::new();
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
        Self(URL_SAFE_NO_PAD.encode(&digest(&SHA256, &all).as_ref()[..16]))
    }
}

/// The state of a binding.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(default)]
    keys: BTreeMap<Print, Remembered>,
}

/// Number in the order of arrival, Unix seconds of arrival, content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered(u64, u64, Print);

/// What changes in the state: merged into it, entry by entry.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Patch {
    keys: BTreeMap<Print, Option<Remembered>>,
}

/// The keys of one binding.
#[derive(Debug)]
pub(crate) struct Window {
    kept: Kept,
    entries: HashMap<Print, Entry>,
    /// Keys by their number, the oldest first.
    order: BTreeMap<u64, Print>,
    next_number: u64,
    changes: BTreeMap<Print, Option<Remembered>>,
}

#[derive(Debug)]
struct Entry {
    remembered: Remembered,
    /// Of this session; 0: durable since an earlier one.
    checkpoint: u64,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    No,
    /// With this content; it is durable with this checkpoint.
    Same {
        checkpoint: u64,
    },
    /// With another content.
    Other,
}

impl Window {
    pub(crate) fn new(kept: Kept, state: State) -> Self {
        let mut window =
            Self { kept, entries: HashMap::new(), order: BTreeMap::new(), next_number: 1, changes: BTreeMap::new() };
        for (key, remembered) in state.keys {
            window.next_number = window.next_number.max(remembered.0 + 1);
            window.order.insert(remembered.0, key.clone());
            window.entries.insert(key, Entry { remembered, checkpoint: 0 });
        }
        window
    }

    pub(crate) fn look(&self, key: &Print, content: &Print) -> Known {
        match self.entries.get(key) {
            None => Known::No,
            Some(entry) if entry.remembered.2 == *content => Known::Same { checkpoint: entry.checkpoint },
            Some(_) => Known::Other,
        }
    }

    /// A key that is not known, with the checkpoint that its documents come before.
    pub(crate) fn add(&mut self, key: Print, content: Print, now_seconds: u64, checkpoint: u64) {
        let remembered = Remembered(self.next_number, now_seconds, content);
        self.next_number += 1;
        self.order.insert(remembered.0, key.clone());
        self.changes.insert(key.clone(), Some(remembered.clone()));
        self.entries.insert(key, Entry { remembered, checkpoint });
    }

    /// Forgets what is too many or too old, and tells what changed since the last time; none: nothing.
    pub(crate) fn settle(&mut self, now_seconds: u64) -> Option<Patch> {
        let mut aged = 0;
        while let Some(oldest) = self.order.first_entry() {
            let since = self.entries.get(oldest.get()).map_or(0, |entry| entry.remembered.1);
            let is_old = aged < AGED_MAX && since.saturating_add(self.kept.seconds) < now_seconds;
            if self.entries.len() <= self.kept.count && !is_old {
                break;
            }
            aged += usize::from(is_old);
            let key = oldest.remove();
            self.entries.remove(&key);
            self.changes.insert(key, None);
        }
        (!self.changes.is_empty()).then(|| Patch { keys: std::mem::take(&mut self.changes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> Print {
        Print::of(&[text.as_bytes()])
    }

    /// What the state becomes by a patch.
    fn merged(state: &State, patch: &Patch) -> State {
        let mut keys = state.keys.clone();
        for (key, change) in &patch.keys {
            match change {
                Some(remembered) => drop(keys.insert(key.clone(), remembered.clone())),
                None => drop(keys.remove(key)),
            }
        }
        State { keys }
    }

    #[test]
    fn a_key_is_known_with_its_content_also_to_the_next_session() {
        let kept = Kept { count: 10, seconds: 100 };
        let mut window = Window::new(kept, State::default());
        assert_eq!(window.look(&print("a"), &print("1")), Known::No);
        window.add(print("a"), print("1"), 50, 7);
        assert_eq!(window.look(&print("a"), &print("1")), Known::Same { checkpoint: 7 });
        assert_eq!(window.look(&print("a"), &print("2")), Known::Other);
        let state = merged(&State::default(), &window.settle(50).unwrap());
        assert_eq!(window.settle(50), None, "nothing changed since");
        let json = serde_json::to_string(&state).unwrap();
        assert!(json.len() < 80 + 12, "an entry takes little: {json}");
        let next = Window::new(kept, serde_json::from_str(&json).unwrap());
        assert_eq!(next.look(&print("a"), &print("1")), Known::Same { checkpoint: 0 });
    }

    #[test]
    fn the_oldest_keys_go_by_count_and_by_age() {
        let mut window = Window::new(Kept { count: 2, seconds: 100 }, State::default());
        for (at, key) in [(10, "a"), (20, "b"), (30, "c")] {
            window.add(print(key), print("1"), at, 1);
        }
        let known = |window: &Window| ["a", "b", "c"].map(|key| window.look(&print(key), &print("1")) != Known::No);
        let state = merged(&State::default(), &window.settle(30).unwrap());
        assert_eq!((known(&window), state.keys.len()), ([false, true, true], 2));
        let mut window = Window::new(Kept { count: 2, seconds: 100 }, state);
        assert_eq!(window.settle(120), None, "not older than it may be");
        let patch = window.settle(121).unwrap();
        assert_eq!((known(&window), patch.keys.len()), ([false, false, true], 1));
        window.add(print("d"), print("1"), 121, 1);
        assert_eq!(window.look(&print("d"), &print("1")), Known::Same { checkpoint: 1 });
    }

    #[test]
    fn parts_of_a_print_end_where_they_end() {
        assert_ne!(Print::of(&[b"ab", b"c"]), Print::of(&[b"a", b"bc"]));
    }
}
