//! A canary: a value that nobody else has, put where a secret belongs. Wherever it is found then, it got out.
//!
//! The ways of writing one are made here without any code of the runtime, which must find them by its own.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

/// The forms that [`written`] knows.
pub const FORMS: [&str; 4] = ["plain", "json", "url", "base64"];

/// The canary of a number: with what is escaped in JSON, in URLs and in HTML, and a letter of two bytes.
#[must_use]
pub fn canary(number: usize) -> String {
    let random: [u8; 6] = std::array::from_fn(|_| getrandom::u32().map_or(7, |n| n.to_be_bytes()[3]));
    format!("cnry{number:03}{} \"é\\/+&<x>=?%{number}", STANDARD.encode(random).replace(['+', '/'], "Z"))
}

/// A canary in one of the [`FORMS`], among other words where that makes a difference.
#[must_use]
pub fn written(canary: &str, form: &str) -> String {
    match form {
        "json" => json!({ "password": canary }).to_string(),
        "url" => format!("postgres://user:{}@db/shop", utf8_percent_encode(canary, NON_ALPHANUMERIC)),
        "base64" => format!("Basic {}", STANDARD.encode(format!("user:{canary}"))),
        _ => canary.to_owned(),
    }
}

/// What is looked for: the canary in all forms, and its first ten letters, which are all that a cut may have left.
#[must_use]
pub fn needles(canary: &str) -> Vec<String> {
    let quoted = |text: &str| json!(text).to_string().trim_matches('"').to_owned();
    let once = quoted(canary);
    let urls = utf8_percent_encode(canary, NON_ALPHANUMERIC).to_string();
    let lower: String = canary
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    let mut needles = vec![canary[..10].to_owned(), canary.to_owned(), quoted(&once), once, urls, lower];
    for before in ["", "a", "ab"] {
        let text = format!("{before}{canary}");
        for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
            // The letters that hold bits of what stands before it, or may hold some of what stands behind.
            needles.push(encoded[before.len() + usize::from(!before.is_empty())..encoded.len() - 4].to_owned());
        }
    }
    needles
}

/// Counts what was searched and what was found.
#[derive(Debug, Default)]
pub struct Search {
    searched: AtomicU64,
    hits: Mutex<Vec<String>>,
    silent: Mutex<Vec<String>>,
}

/// What came of a search.
#[derive(Debug)]
pub struct Searched {
    /// How many outputs were searched.
    pub outputs: u64,
    /// What was found in them.
    pub hits: Vec<String>,
    /// Where nothing was told, so that nothing could be found.
    pub silent: Vec<String>,
}

impl Search {
    /// Looks for a canary in an output. One that is empty does not count.
    pub fn output(&self, name: &str, output: impl AsRef<[u8]>, canary: &str) {
        let output = output.as_ref();
        if output.is_empty() {
            return;
        }
        self.searched.fetch_add(1, Ordering::Relaxed);
        let found = needles(canary).into_iter().find_map(|needle| Some((find(output, needle.as_bytes())?, needle)));
        if let Some((at, needle)) = found {
            let around = &output[at.saturating_sub(60)..(at + needle.len() + 20).min(output.len())];
            let hit = format!("{name}: {:?} at byte {at}: …{}…", needle, String::from_utf8_lossy(around));
            self.hits.lock().unwrap_or_else(PoisonError::into_inner).push(hit);
        }
    }

    /// All files below a directory, if it is there.
    pub fn files(&self, name: &str, directory: &Path, canary: &str) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.files(name, &path, canary);
            } else if let Ok(bytes) = std::fs::read(&path) {
                self.output(&format!("{name}, file {}", path.display()), bytes, canary);
            }
        }
    }

    /// What a process was started with, as the kernel tells it.
    pub fn process(&self, name: &str, process: u32, canary: &str) {
        for file in ["environ", "cmdline"] {
            if let Ok(bytes) = std::fs::read(format!("/proc/{process}/{file}")) {
                self.output(&format!("{name}, {file} of process {process}"), bytes, canary);
            }
        }
    }

    /// Nothing was told there.
    pub fn silent(&self, name: &str) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    }

    /// What came of it.
    #[must_use]
    pub fn result(self) -> Searched {
        Searched {
            outputs: self.searched.into_inner(),
            hits: self.hits.into_inner().unwrap_or_else(PoisonError::into_inner),
            silent: self.silent.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

fn find(output: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(output, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_every_form() {
        let bird = canary(7);
        for form in FORMS {
            let search = Search::default();
            search.output(form, written(&bird, form), &bird);
            search.output(form, "something else", &bird);
            search.output(form, "", &bird);
            let Searched { outputs, hits, .. } = search.result();
            assert_eq!((outputs, hits.len()), (2, 1), "{form}: {hits:?}");
        }
    }
}
