//! What must be in the destination when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use longshore::journal::Control;
use longshore::materialize::skips::JOINED;
use longshore::store::Skip;
use longshore_proto::materialize::message::Guarantee;
use serde_json::Value;

use super::Violation;
use super::destination::{Destination, Rows};
use super::letters::{Found, Said};
use super::source::{Document, Source, is_poison, key_in};

/// All there is to be compared.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct All<'a> {
    pub source: &'a Source,
    pub journal: &'a Found,
    pub destination: &'a Destination,
    /// What the destination refused, as the task store has it.
    pub skips: &'a [Skip],
}

/// What one binding has to hold.
struct Meant {
    /// Documents for it, in order, without those that wait.
    documents: Vec<Bytes>,
    /// Documents that it refused once, whatever became of them.
    refused: BTreeSet<Bytes>,
}

/// Compares every binding with what the formula says, with what was replayed of it, and with what it refused.
pub fn verify(all: &All<'_>, standard: &[String], delta: &[String], reduces: bool) -> Result<(), Violation> {
    let All { source, journal, destination, .. } = all;
    journal.verify(source)?;
    let formula: BTreeMap<&Bytes, &Document> = source.all().map(|document| (&document.json, document)).collect();
    for name in standard {
        let meant = meant(all, name, reduces, destination.guarantee != Guarantee::Transactional)?;
        let documents: Vec<&Document> = meant.documents.iter().filter_map(|json| formula.get(json).copied()).collect();
        let mut got = destination.rows.get(name.as_str()).cloned().unwrap_or_default();
        let mut expected = documents.clone();
        if destination.guarantee == Guarantee::AtLeastOnce {
            // Stored at once, before it refused another one of the key: it may be there or not.
            let keys: BTreeSet<u64> = meant.refused.iter().filter_map(|json| Some(formula.get(json)?.id)).collect();
            expected.retain(|document| !keys.contains(&document.id));
            keys.iter().for_each(|id| drop(got.remove(&key_of(*id))));
        }
        match reduces {
            true => sums(name, &documents, &got)?,
            false => last(name, &expected, &got)?,
        }
    }
    for name in delta {
        let got = destination.logs.get(name.as_str()).cloned().unwrap_or_default();
        log(name, &meant(all, name, false, true)?, &got, destination.guarantee)?;
    }
    Ok(())
}

/// Documents in = stored and dead-lettered: whatever is not passed over has to be there, and what is passed over was refused, or waits for one
/// of its key that was. One that `keeps` has no ear for what happens to the collection as a whole; another begins anew with it.
fn meant(all: &All<'_>, name: &str, is_reduced: bool, keeps: bool) -> Result<Meant, Violation> {
    let of_it = || all.skips.iter().filter(|skip| skip.at.binding.as_str() == name);
    let skips: BTreeMap<u64, &Skip> = of_it().map(|skip| (skip.at.offset, skip)).collect();
    let mut meant = Meant { documents: Vec::new(), refused: BTreeSet::new() };
    let mut again: BTreeMap<u64, u64> = BTreeMap::new();
    let mut poisoned: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (offset, said) in &all.journal.entries {
        let document = match said {
            Said::Document(document) => document,
            Said::Again(to, letter, document) if to.as_str() == name => {
                if let Some(first) = again.insert(*letter, *offset) {
                    return Err(format!("{name}: the letter at {letter} stands again at {first} and at {offset}"));
                }
                if !skips.contains_key(letter) {
                    return Err(format!("{name}: a letter at {letter} was sent again, and there is none"));
                }
                document
            }
            Said::Again(..) => continue,
            Said::Control(Control::Truncated | Control::BackfillBegin) if !keeps => {
                meant.documents.clear();
                continue;
            }
            Said::Control(_) => continue,
        };
        match skips.get(offset) {
            None => {
                let mut behind = skips.range(..offset).map(|(_, skip)| skip).peekable();
                let key = behind.peek().map(|_| key_in(document)).unwrap_or_default();
                let waits_for = behind.find(|skip| {
                    let waits = again.get(&skip.at.offset).is_none_or(|at| at > offset);
                    waits && skip.key_json == key
                });
                if let (Some(skip), true, Said::Document(_)) = (waits_for, is_reduced, said) {
                    return Err(format!("{name}: {document:?} did not wait for the letter at {}", skip.at.offset));
                }
                meant.documents.push(document.clone());
            }
            Some(skip) => {
                if skip.code == JOINED && matches!(said, Said::Again(..)) {
                    return Err(format!("{name}: the letter sent again at {offset} waits for another one"));
                }
                if is_poison(document) {
                    poisoned.insert(skip.key_json.to_vec());
                }
                meant.refused.insert(document.clone());
            }
        }
    }
    for skip in skips.values() {
        if !poisoned.contains(&skip.key_json[..]) {
            return Err(format!("{name}: the document at {} was refused by nobody", skip.at.offset));
        }
        if let Some(at) = skip.replayed_at
            && again.get(&skip.at.offset) != Some(&at)
        {
            return Err(format!("{name}: the letter at {} does not stand again at {at}", skip.at.offset));
        }
    }
    Ok(meant)
}

fn key_of(id: u64) -> Bytes {
    format!("[{id}]").into()
}

/// The last document of each key.
fn last(name: &str, all: &[&Document], got: &Rows) -> Result<(), Violation> {
    let mut expected = Rows::new();
    for document in all {
        let key = key_of(document.id);
        match document.delete {
            true => drop(expected.remove(&key)),
            false => drop(expected.insert(key, document.json.clone())),
        }
    }
    if *got == expected { Ok(()) } else { Err(format!("rows of {name}: expected {expected:?}, got {got:?}")) }
}

/// A row while it is made.
#[derive(Default)]
struct Sum<'a> {
    last: Option<&'a Document>,
    n: Option<i64>,
    seen: Vec<&'a str>,
    poison: bool,
}

/// Since each row was made: the sum, what was seen of it in order, and else the last document.
fn sums(name: &str, all: &[&Document], got: &Rows) -> Result<(), Violation> {
    let mut expected: BTreeMap<Bytes, Sum<'_>> = BTreeMap::new();
    for document in all {
        let key = key_of(document.id);
        if document.delete {
            expected.remove(&key);
            continue;
        }
        let sum = expected.entry(key).or_default();
        sum.seen.push(&document.seen);
        sum.n = document.n.map(|of| of + sum.n.unwrap_or(0)).or(sum.n);
        sum.poison |= document.poison;
        sum.last = Some(document);
    }
    for (key, Sum { last, n, seen, poison }) in &expected {
        let mut row = last.map(|last| parsed(&last.json)).transpose()?.unwrap_or_default();
        row["seen"] = Value::from(seen.as_slice());
        if let Some(n) = n {
            row["n"] = Value::from(*n);
        }
        if *poison {
            row["poison"] = Value::from(true);
        }
        let got = got.get(key).map(parsed).transpose()?;
        if got.as_ref() != Some(&row) {
            return Err(format!("row {key:?} of {name}: expected {row}, got {got:?}"));
        }
    }
    if got.len() > expected.len() {
        return Err(format!("rows of {name}: expected {}, got {got:?}", expected.len()));
    }
    Ok(())
}

fn parsed(json: &Bytes) -> Result<Value, Violation> {
    serde_json::from_slice(json).map_err(|error| format!("a document that is none: {json:?}: {error}"))
}

fn log(name: &str, meant: &Meant, got: &[Bytes], guarantee: Guarantee) -> Result<(), Violation> {
    let all = &meant.documents;
    let short = |documents: &[Bytes]| {
        let place = |document: &Bytes| all.iter().position(|other| other == document);
        documents.iter().map(place).collect::<Vec<_>>()
    };
    match guarantee {
        Guarantee::Transactional | Guarantee::Idempotent if got == all => Ok(()),
        Guarantee::Transactional | Guarantee::Idempotent => {
            Err(format!("documents of {name}: expected each of {} once and in order, got {:?}", all.len(), short(got)))
        }
        Guarantee::AtLeastOnce => {
            let is_there = |document: &&Bytes| got.contains(document);
            if let Some(lost) = all.iter().find(|document| !is_there(document)) {
                return Err(format!("documents of {name}: {lost:?} is lost"));
            }
            // What was stored before another of its key was refused came early.
            let mut seen = BTreeSet::new();
            let straight = |document: &&Bytes| !meant.refused.contains(*document);
            let first: Vec<&Bytes> = got.iter().filter(straight).filter(|document| seen.insert(*document)).collect();
            let expected: Vec<&Bytes> = all.iter().filter(straight).collect();
            if first == expected { Ok(()) } else { Err(format!("documents of {name} in disorder: {:?}", short(got))) }
        }
    }
}
