//! Finds all forms of all secrets in one pass over a text, the leftmost and longest first, and puts a mark in their place.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use super::{SCRUBBED, forms};

/// So far from its end a cut text is looked at for what is left of a secret.
const CUT_BYTES: usize = 4 << 10;
/// A key of a JSON object as short as this is one of ours: a secret of the same letters would make the object another one.
const KEY_KEPT_BYTES: usize = 8;

/// A searcher for a set of secrets, built once.
pub(super) struct Scrubber {
    forms: Vec<String>,
    finder: Option<AhoCorasick>,
}

impl Scrubber {
    pub(super) fn of<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let forms: BTreeSet<String> = values.flat_map(forms::of).collect();
        let forms: Vec<String> = forms.into_iter().collect();
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms);
        // It fails for more bytes than a `u32` counts, which the bounds on values and their number keep far away.
        Self { forms, finder: finder.ok() }
    }

    /// The text with each secret replaced; two that touch are one.
    pub(super) fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut scrubbed = String::new();
        let mut copied_to = None;
        for (from, to) in self.found(text) {
            let copied = copied_to.unwrap_or(0);
            if copied_to != Some(from) {
                scrubbed.push_str(&text[copied..from]);
                scrubbed.push_str(SCRUBBED);
            }
            copied_to = Some(to);
        }
        match copied_to {
            None => Cow::Borrowed(text),
            Some(copied) => Cow::Owned(scrubbed + &text[copied..]),
        }
    }

    /// The same for a text whose end was cut off.
    pub(super) fn scrub_cut<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let left = self.left_at_end(text);
        if left == 0 {
            return self.scrub(text);
        }
        let at = text.len() - left;
        let around = self.found(text).find(|&(from, to)| from < at && at < to);
        let before = &text[..around.map_or(at, |(from, _)| from)];
        Cow::Owned(self.scrub(before).into_owned() + SCRUBBED)
    }

    /// Lines of JSON stay JSON.
    pub(super) fn scrub_json<'t>(&self, lines: &'t str) -> Cow<'t, str> {
        if self.found(lines).next().is_none() {
            return Cow::Borrowed(lines);
        }
        let line = |line: &str| match serde_json::from_str::<Value>(line) {
            Ok(mut value) => {
                self.scrub_value(&mut value);
                let end = if line.ends_with('\n') { "\n" } else { "" };
                format!("{value}{end}")
            }
            Err(_) => self.scrub(line).into_owned(),
        };
        Cow::Owned(lines.split_inclusive('\n').map(line).collect())
    }

    /// Texts, long keys, and numbers that are a secret as a whole.
    pub(super) fn scrub_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(scrubbed) = self.scrub(text) {
                    *text = scrubbed;
                }
            }
            Value::Number(number) => {
                let text = number.to_string();
                if self.found(&text).next() == Some((0, text.len())) {
                    *value = Value::String(SCRUBBED.to_owned());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub_value(item)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|field| self.scrub_value(field));
                let tells = |key: &String| key.len() > KEY_KEPT_BYTES && self.found(key).next().is_some();
                if fields.keys().any(tells) {
                    let old = std::mem::take(fields);
                    let new = |key: String| if tells(&key) { self.scrub(&key).into_owned() } else { key };
                    fields.extend(old.into_iter().map(|(key, field)| (new(key), field)));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Each character of a secret as a star.
    pub(super) fn star<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut starred = String::new();
        let mut copied = 0;
        for (from, to) in self.found(text) {
            starred.push_str(&text[copied..from]);
            starred.extend(text[from..to].chars().map(|_| '*'));
            copied = to;
        }
        if copied == 0 { Cow::Borrowed(text) } else { Cow::Owned(starred + &text[copied..]) }
    }

    /// Forms begin and end with whole characters, so what is found in a text does too.
    fn found(&self, text: &str) -> impl Iterator<Item = (usize, usize)> {
        self.finder
            .iter()
            .flat_map(move |finder| finder.find_iter(text.as_bytes()))
            .map(|found| (found.start(), found.end()))
    }

    /// How many bytes at the end of a text are the beginning of a secret that goes on behind it.
    fn left_at_end(&self, text: &str) -> usize {
        let tail = &text[text.floor_char_boundary(text.len().saturating_sub(CUT_BYTES))..];
        let Some(last) = tail.bytes().last() else { return 0 };
        let left = |form: &String| {
            let ends = 1..=form.len().min(tail.len());
            let fits =
                |&end: &usize| form.as_bytes()[end - 1] == last && tail.as_bytes().ends_with(&form.as_bytes()[..end]);
            // A form may be cut within a character, a text is not.
            ends.rev().filter(|&end| form.is_char_boundary(end)).find(fits)
        };
        self.forms.iter().filter_map(left).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrubber(values: &[&str]) -> Scrubber {
        Scrubber::of(values.iter().copied())
    }

    #[test]
    fn every_form_is_replaced_and_nothing_else_changes() {
        let secret = "s3\"cr/et é";
        let of = scrubber(&[secret, "s3"]);
        for form in forms::of(secret) {
            let text = format!("before {form} behind");
            let scrubbed = of.scrub(&text);
            assert!(scrubbed.starts_with("before") && scrubbed.ends_with("behind"), "{text}: {scrubbed}");
            assert!(scrubbed.contains(SCRUBBED), "{text}: {scrubbed}");
        }
        assert!(matches!(of.scrub("nothing here"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_longest_of_those_that_begin_together_is_meant_and_neighbours_are_one() {
        let of = scrubber(&["hunter", "hunter2-and-more"]);
        assert_eq!(of.scrub("hunter2-and-more!"), "[secret]!");
        assert_eq!(of.scrub("hunterhunter hunter2"), "[secret] [secret]2");
    }

    #[test]
    fn what_is_left_of_a_secret_where_a_text_was_cut_goes_too() {
        let secret = "correct horse battery staple";
        let of = scrubber(&[secret]);
        for kept in 1..=secret.len() {
            let text = format!("password is {}", &secret[..kept]);
            assert_eq!(of.scrub_cut(&text), "password is [secret]", "{text}");
        }
        assert_eq!(of.scrub_cut("nothing of iz"), "nothing of iz");
        let twice = format!("{secret} {}", &secret[..9]);
        assert_eq!(of.scrub_cut(&twice), "[secret] [secret]");
        assert_eq!(scrubber(&["abcdabcd"]).scrub_cut("x abcdabcdab"), "x [secret]");
        assert_eq!(scrubber(&["hunter", "hunter2-and-more"]).scrub_cut("x hunter2-a"), "x [secret]");
    }

    #[test]
    fn json_stays_json() {
        let of = scrubber(&["123456", "true", "type-secret", "q\"uote"]);
        let line = json!({"type": "type-secret", "n": 123_456, "rows": 1_234_567, "ok": true, "in": ["a q\"uote b"], "type-secret-key": 1});
        let text = format!("{line}\nno json: type-secret\n");
        let scrubbed = of.scrub_json(&text);
        let (first, second) = scrubbed.split_once('\n').unwrap();
        let expected = json!({"type": SCRUBBED, "n": SCRUBBED, "rows": 1_234_567, "ok": true, "in": ["a [secret] b"], "[secret]-key": 1});
        assert_eq!(serde_json::from_str::<Value>(first).unwrap(), expected);
        assert_eq!(second, "no json: [secret]\n");
    }

    #[test]
    fn a_long_line_is_looked_through_once() {
        let values: Vec<String> = (0..50).map(|n| format!("a-secret/of some+length-{n}")).collect();
        let of = Scrubber::of(values.iter().map(String::as_str));
        let line = "a-secret/of some+lengt".repeat(50_000);
        assert!(matches!(of.scrub(&line), Cow::Borrowed(_)));
    }
}
