//! What must not be told: the values of secret settings, and the doors at which everything that leaves this process is cleaned of them.
//!
//! A value is a secret where a connector's schema says `secret: true` (or `airbyte_secret`), and where it came from `${file:}`, `${exec:}`
//! or `${age:}`. Whoever resolves one says so with [`learn`]; what leaves goes through a [`Door`], which replaces it by value however it is
//! written. How it may be written is in [`forms`], how it is found in [`scrub`], where values of `${exec:}` and
//! `${age:}` come from in [`exec`] and [`age`].
//!
//! One register for the process: a log line does not know which task's connector put a password into it.
//!
//! Not cleaned, because it is the user's own and has to arrive as it is: documents, and what a connector keeps as its state.

pub(crate) mod age;
pub(crate) mod exec;
mod forms;
mod scrub;

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use scrub::Scrubber;

/// Stands where a secret stood.
pub(crate) const SCRUBBED: &str = "[secret]";
/// Shorter values are not looked for: they would be found in every other word.
pub(crate) const VALUE_LEAST_BYTES: usize = 4;
/// So many values are known at once; a command that gives a new one for each session pushes the oldest out.
const VALUES_MAX: usize = 4096;

static KNOWN: RwLock<Known> = RwLock::new(Known { values: Vec::new(), scrubber: None });

struct Known {
    /// The oldest first.
    values: Vec<String>,
    /// Of all of them; none as long as there are none.
    scrubber: Option<Arc<Scrubber>>,
}

/// From now on these are found at every door.
pub(crate) fn learn(values: impl IntoIterator<Item = String>) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let before = known.values.len();
    for value in values {
        if value.len() >= VALUE_LEAST_BYTES && !known.values.contains(&value) {
            known.values.push(value);
        }
    }
    if known.values.len() > before {
        let too_many = known.values.len().saturating_sub(VALUES_MAX);
        known.values.drain(..too_many);
        known.scrubber = Some(Arc::new(Scrubber::of(known.values.iter().map(String::as_str))));
    }
}

/// Where something leaves this process, or where what a connector says enters to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// What a connector writes on standard error.
    Words,
    /// What a connector says in its answers, and we keep or pass on: errors, schemas, what it is doing.
    Answers,
    /// Our log lines.
    Log,
    /// Results on standard output, with and without `--json`.
    Results,
    /// Errors and remarks on standard error.
    Errors,
    /// The status that another process asks for.
    Status,
}

impl Door {
    /// The text without secrets.
    pub(crate) fn scrub(self, text: &str) -> Cow<'_, str> {
        match self.scrubber() {
            Some(scrubber) => scrubber.scrub(text),
            None => Cow::Borrowed(text),
        }
    }

    /// The same for a text whose end was cut off: what is left of a secret at the cut goes too.
    pub(crate) fn scrub_cut(self, text: &str) -> Cow<'_, str> {
        match self.scrubber() {
            Some(scrubber) => scrubber.scrub_cut(text),
            None => Cow::Borrowed(text),
        }
    }

    /// The same for lines of JSON, which stay JSON: a number that is a secret becomes a text.
    pub(crate) fn scrub_json(self, lines: &str) -> Cow<'_, str> {
        match self.scrubber() {
            Some(scrubber) => scrubber.scrub_json(lines),
            None => Cow::Borrowed(lines),
        }
    }

    /// The same in place.
    pub(crate) fn scrub_string(self, text: &mut String) {
        if let Cow::Owned(scrubbed) = self.scrub(text) {
            *text = scrubbed;
        }
    }

    /// The same for JSON in bytes.
    pub(crate) fn scrub_bytes(self, json: &mut Bytes) {
        let scrubbed = match self.scrub_json(&String::from_utf8_lossy(json)) {
            Cow::Owned(scrubbed) => scrubbed,
            Cow::Borrowed(_) => return,
        };
        *json = scrubbed.into();
    }

    fn scrubber(self) -> Option<Arc<Scrubber>> {
        if self.is_left_open() {
            return None;
        }
        KNOWN.read().unwrap_or_else(PoisonError::into_inner).scrubber.clone()
    }

    /// A debug build leaves a door open when told to, so that the canary can be seen to fail. A release build cannot.
    #[cfg(debug_assertions)]
    fn is_left_open(self) -> bool {
        static OPEN: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| std::env::var("LONGSHORE_DOOR_LEFT_OPEN").unwrap_or_default());
        !OPEN.is_empty() && format!("{self:?}").eq_ignore_ascii_case(&OPEN)
    }

    #[cfg(not(debug_assertions))]
    #[allow(clippy::unused_self, reason = "a debug build asks which door this is")]
    fn is_left_open(self) -> bool {
        false
    }
}

/// A line of the catalog with each character of a secret as a star, so that what stands below it still stands below it.
pub(crate) fn starred(line: &str) -> Cow<'_, str> {
    let scrubber = KNOWN.read().unwrap_or_else(PoisonError::into_inner).scrubber.clone();
    scrubber.map_or(Cow::Borrowed(line), |scrubber| scrubber.star(line))
}

/// A panic's message goes through a door like everything else.
pub(crate) fn watch_panics() {
    use std::io::Write as _;
    std::panic::set_hook(Box::new(|info| {
        let text = format!("longshore {info}\n");
        // Standard error may be gone, and nobody else is there to be told.
        drop(std::io::stderr().lock().write_all(Door::Errors.scrub(&text).as_bytes()));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_found_at_every_door_and_short_values_are_not_learnt() {
        learn(["register-canary-7251".to_owned(), "abc".to_owned()]);
        for door in [Door::Words, Door::Answers, Door::Log, Door::Results, Door::Errors, Door::Status] {
            assert_eq!(door.scrub("x register-canary-7251 abc"), "x [secret] abc", "{door:?}");
        }
        assert_eq!(starred("p: register-canary-7251 # x"), "p: ******************** # x");
    }
}
