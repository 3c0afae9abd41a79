//! What the destination has of the keys of a transaction: the answers to Loads, within a budget, past it on disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_proto::Error;
use longshore_proto::document::{Scanned, Scanner};
use longshore_proto::key::encode_json_key_into;
use longshore_proto::materialize::message::Loaded;
use longshore_proto::rules;

use super::fold::Rules;
use super::reduce::{Budget, Key, Record, Reduction, Sorted};
use super::target::Planned;

/// Written by whoever receives the answers, while others read on.
pub type Present = Arc<Mutex<Existing>>;

/// Rows that are in the destination, or only their keys, by binding.
#[derive(Debug)]
pub struct Existing {
    bindings: Vec<Looked>,
    rows: Reduction,
    scanned: Scanned,
}

/// What is looked up of a binding.
#[derive(Debug)]
struct Looked {
    rank: u32,
    collection: String,
    /// Whole rows are wanted: their keys are compared with what was asked.
    rows: Option<Scanner>,
}

impl Existing {
    pub(super) fn new(targets: &[Planned], budget: Budget) -> Self {
        let looked = |planned: &Planned| Looked {
            rank: planned.rank,
            collection: planned.target.binding.collection.name.clone(),
            rows: planned.loads_rows().then(|| planned.scanner.clone()),
        };
        Self {
            bindings: targets.iter().map(looked).collect(),
            rows: Reduction::new(budget, Rules::default()),
            scanned: Scanned::default(),
        }
    }

    /// Takes an answer in.
    ///
    /// # Errors
    /// `protocol` when a row is not one of the key it is given for.
    pub fn loaded(&mut self, loaded: &Loaded) -> Result<(), Error> {
        let Self { bindings, rows, scanned } = self;
        let binding = loaded.documents.binding();
        let looked = bindings.get_mut(binding).ok_or_else(|| {
            Error::internal("materialize.loaded", format!("binding {binding} is not one of this session"))
        })?;
        let mut encoded = Vec::new();
        let held = match looked.rows {
            Some(_) => Some(rows.hold(&loaded.documents)?),
            None => None,
        };
        for (i, (json, document)) in loaded.keys.keys().zip(loaded.documents.documents()).enumerate() {
            encoded.clear();
            encode_json_key_into(json, &mut encoded)?;
            let key = Key { encoded: &encoded, json: b"" };
            match (&mut looked.rows, held) {
                (Some(scanner), Some(held)) => {
                    let read = scanner.scan(document, scanned);
                    if let Err(why) = read.and_then(|()| same(&scanned.key_encoded, &encoded)) {
                        let (collection, key) = (&looked.collection, String::from_utf8_lossy(json));
                        let message = format!(
                            "the connector sent Loaded for key {key} of {collection}: expected the document of that key, got another: {}",
                            why.message
                        );
                        return Err(Error::protocol(rules::LOADED_WHOLE, message).at_binding(binding));
                    }
                    rows.push(held, i, looked.rank, key, false);
                }
                (None, _) | (_, None) => rows.push_key(looked.rank, key)?,
            }
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    pub(super) fn sorted(&mut self) -> Result<Sorted<'_>, Error> {
        self.rows.sorted()
    }
}

fn same(got: &[u8], expected: &[u8]) -> Result<(), Error> {
    match got == expected {
        true => Ok(()),
        false => Err(Error::data("document.key", "it has another key")),
    }
}

/// A panic while it was held leaves a transaction that is not flushed any more.
pub(super) fn lock(present: &Present) -> MutexGuard<'_, Existing> {
    present.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The least row that is not passed yet: rows and what is stored come in the same order, so each is walked once.
#[derive(Debug, Default)]
pub(super) struct Walk {
    begun: bool,
    at: Option<Row>,
}

#[derive(Debug)]
struct Row {
    binding: u32,
    key_encoded: Vec<u8>,
    document: Vec<u8>,
}

impl Walk {
    /// The row of this key, if it is there; empty where only its key was looked up.
    pub(super) fn row(&mut self, record: &Record<'_>, existing: &mut Sorted<'_>) -> Result<Option<&[u8]>, Error> {
        if !self.begun {
            self.begun = true;
            self.step(existing)?;
        }
        let wanted = (record.binding, record.key_encoded);
        while self.at.as_ref().is_some_and(|at| (at.binding, at.key_encoded.as_slice()) < wanted) {
            self.step(existing)?;
        }
        let found = self.at.as_ref().filter(|at| (at.binding, at.key_encoded.as_slice()) == wanted);
        Ok(found.map(|row| row.document.as_slice()))
    }

    fn step(&mut self, existing: &mut Sorted<'_>) -> Result<(), Error> {
        self.at = existing.next_record()?.map(|record| Row {
            binding: record.binding,
            key_encoded: record.key_encoded.to_vec(),
            document: record.part.document.to_vec(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::batch::{BatchBuilder, KeysBuilder};
    use longshore_proto::key::KeyPointers;

    use super::*;

    #[test]
    fn m_15_a_row_that_is_not_of_the_key_it_is_given_for_is_refused() {
        let scanner = Scanner::new(&KeyPointers::compile(&["/id".to_owned()]).expect("a key"));
        let spill = tempfile::tempdir().expect("a directory");
        let answer = |document: &str| {
            let mut existing = Existing {
                bindings: vec![Looked { rank: 0, collection: "a/b".to_owned(), rows: Some(scanner.clone()) }],
                rows: Reduction::new(Budget { bytes: 1 << 20, spill_dir: spill.path().to_owned() }, Rules::default()),
                scanned: Scanned::default(),
            };
            let (mut keys, mut documents) = (KeysBuilder::new(), BatchBuilder::new(0));
            keys.push(b"[1]");
            documents.push(document.as_bytes());
            let (keys, documents) = (keys.finish().expect("a key"), documents.finish().expect("a document"));
            existing.loaded(&Loaded { keys, documents }).map_err(|error| (error.code.clone(), error.message.clone()))
        };
        assert_eq!(answer(r#"{"id":1.0,"n":2}"#), Ok(()));
        for (document, why) in
            [(r#"{"id":2}"#, "another key"), ("{}", "another key"), ("not json", "JSON"), (r#"{"id":[]}"#, "key")]
        {
            let (code, message) = answer(document).expect_err(document);
            assert_eq!(code, "M-15");
            assert!(message.contains("key [1] of a/b") && message.contains(why), "{message}");
        }
    }
}
