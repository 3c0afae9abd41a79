//! Fuzzing as an ordinary test: inputs that are right are changed, and those of which something new came are changed further.
//!
//! [`Fuzz`] is told what a reader takes; [`mutate`](mod@mutate) changes it. It is not guided by coverage, but by what the reader says.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what came of it is for who runs the tests")]

mod mutate;

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use mutate::Mutator;

/// Inputs that are changed further.
const POOL_MAX: usize = 2_000;
/// Inputs of each, if nobody says otherwise.
const RUNS: u64 = 20_000;

/// A reader's fuzzing.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    directory: PathBuf,
    inputs: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    share: u64,
}

impl Fuzz {
    /// Of a reader in the crate whose directory this is: `env!("CARGO_MANIFEST_DIR")`.
    #[must_use]
    pub fn new(name: &'static str, crate_directory: &str) -> Self {
        let directory = PathBuf::from(crate_directory).join("fuzz").join(name);
        Self { name, directory, inputs: Vec::new(), words: Vec::new(), share: 1 }
    }

    /// An input that is right, or nearly so.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.inputs.push(bytes.into());
        self
    }

    /// Words of the format.
    #[must_use]
    pub fn words<'w>(mut self, words: impl IntoIterator<Item = &'w str>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_bytes().to_vec()));
        self
    }

    /// A reader that takes its time gets one of so many.
    #[must_use]
    pub fn one_in(mut self, share: u64) -> Self {
        self.share = share;
        self
    }

    /// Lets it read. It says what came of an input, in so many kinds that an input of a new kind is worth changing further, and panics where it
    /// was wrong.
    ///
    /// # Panics
    /// When it does, with the input, which is also kept.
    pub fn run<K: Hash>(self, mut read: impl FnMut(&[u8]) -> K) {
        let mut kinds = HashSet::new();
        let mut is_new = |input: &[u8]| {
            let mut hasher = DefaultHasher::new();
            match catch_unwind(AssertUnwindSafe(|| read(input).hash(&mut hasher))) {
                Ok(()) => kinds.insert(hasher.finish()),
                Err(panic) => {
                    let kept = self.keep(input);
                    eprintln!("{}: the reader fails, kept as {kept}: b\"{}\"", self.name, input.escape_ascii());
                    std::panic::resume_unwind(panic)
                }
            }
        };
        let mut pool = self.inputs.clone();
        self.kept().iter().chain(&self.inputs).for_each(|input| {
            is_new(input);
        });
        let mut mutator = Mutator::new(number("LONGSHORE_SEED", 1), self.words.clone());
        for _ in 0..number("LONGSHORE_FUZZ_RUNS", RUNS) / self.share {
            let input = mutator.mutated(&pool);
            if is_new(&input) && pool.len() < POOL_MAX {
                pool.push(input);
            }
        }
        println!("{}: {} inputs worth changing, {} kinds of outcome", self.name, pool.len(), kinds.len());
    }

    /// Inputs that it failed under once.
    fn kept(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
        paths.sort();
        paths.iter().filter_map(|path| fs::read(path).ok()).collect()
    }

    fn keep(&self, input: &[u8]) -> String {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = self.directory.join(format!("{:016x}", hasher.finish()));
        let written = fs::create_dir_all(&self.directory).and_then(|()| fs::write(&path, input));
        written.map_or_else(|error| format!("nothing ({error})"), |()| path.display().to_string())
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bug behind three steps, none of which chance would take alone.
    #[test]
    fn what_is_deep_in_a_format_is_found_and_kept_and_found_again_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let crate_directory = directory.path().to_str().expect("a path").to_owned();
        let fuzz = || Fuzz::new("deep", &crate_directory).input(*b"head 0000 tail").words(["open", "close"]);
        let read = |bytes: &[u8]| {
            let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
            let steps = [has(b"openopen"), has(b"close"), bytes.len() > 40, bytes.contains(&0xff)];
            let depth = steps.iter().take_while(|step| **step).count();
            assert!(depth < 4, "the bug");
            depth
        };
        let first = catch_unwind(AssertUnwindSafe(|| fuzz().run(read)));
        assert!(first.is_err(), "it was not found");
        let mut reads = 0;
        let again = catch_unwind(AssertUnwindSafe(|| {
            fuzz().run(|bytes| {
                reads += 1;
                read(bytes)
            });
        }));
        assert!(again.is_err() && reads == 1, "what was kept runs first");
    }
}
