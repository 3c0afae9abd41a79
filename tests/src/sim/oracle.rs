//! What must be in the destination when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use longshore_proto::materialize::message::Guarantee;
use serde_json::Value;

use super::Violation;
use super::destination::{Destination, Rows};
use super::letters::Found;
use super::source::{Document, Source};

/// Compares every binding with what the formula says, and with what was replayed of it.
pub fn verify(
    source: &Source,
    journal: &Found,
    destination: &Destination,
    standard: &[String],
    delta: &[String],
    reduces: bool,
) -> Result<(), Violation> {
    journal.verify(source)?;
    let formula: BTreeMap<String, Document> =
        source.all().into_iter().map(|document| (document.json.clone(), document)).collect();
    let documents: Vec<&Document> = journal.documents.iter().filter_map(|json| formula.get(json)).collect();
    for name in standard {
        let got = destination.rows.get(name).cloned().unwrap_or_default();
        match reduces {
            true => sums(name, &documents, &got)?,
            false => last(name, &documents, &got)?,
        }
    }
    for name in delta {
        let got = destination.logs.get(name).cloned().unwrap_or_default();
        log(name, &journal.documents, &got, destination.guarantee)?;
    }
    Ok(())
}

/// The last document of each key.
fn last(name: &str, all: &[&Document], got: &Rows) -> Result<(), Violation> {
    let mut expected = Rows::new();
    for document in all {
        let key = format!("[{}]", document.id);
        match document.delete {
            true => drop(expected.remove(&key)),
            false => drop(expected.insert(key, document.json.clone())),
        }
    }
    if *got == expected { Ok(()) } else { Err(format!("rows of {name}: expected {expected:?}, got {got:?}")) }
}

/// Since each row was made: the sum, what was seen of it in order, and else the last document.
fn sums(name: &str, all: &[&Document], got: &Rows) -> Result<(), Violation> {
    let mut expected: BTreeMap<String, (Value, Option<i64>, Vec<Value>)> = BTreeMap::new();
    for document in all {
        let key = format!("[{}]", document.id);
        if document.delete {
            expected.remove(&key);
            continue;
        }
        let json = parsed(&document.json)?;
        let (last, n, seen) = expected.entry(key).or_default();
        seen.extend(json["seen"].as_array().cloned().unwrap_or_default());
        *n = document.n.map(|of| of + n.unwrap_or(0)).or(*n);
        *last = json;
    }
    for (key, (row, n, seen)) in &mut expected {
        row["seen"] = Value::from(std::mem::take(seen));
        if let Some(n) = n {
            row["n"] = Value::from(*n);
        }
        let got = got.get(key).map(|got| parsed(got)).transpose()?;
        if got.as_ref() != Some(row) {
            return Err(format!("row {key} of {name}: expected {row}, got {got:?}"));
        }
    }
    if got.len() > expected.len() {
        return Err(format!("rows of {name}: expected {}, got {got:?}", expected.len()));
    }
    Ok(())
}

fn parsed(json: &str) -> Result<Value, Violation> {
    serde_json::from_str(json).map_err(|error| format!("a document that is none: {json}: {error}"))
}

fn log(name: &str, all: &[String], got: &[String], guarantee: Guarantee) -> Result<(), Violation> {
    let short = |documents: &[String]| {
        let place = |document: &String| all.iter().position(|other| other == document);
        documents.iter().map(place).collect::<Vec<_>>()
    };
    match guarantee {
        Guarantee::Transactional | Guarantee::Idempotent if got == all => Ok(()),
        Guarantee::Transactional | Guarantee::Idempotent => {
            Err(format!("documents of {name}: expected each of {} once and in order, got {:?}", all.len(), short(got)))
        }
        Guarantee::AtLeastOnce => {
            let mut seen = BTreeSet::new();
            let first: Vec<String> = got.iter().filter(|document| seen.insert((*document).clone())).cloned().collect();
            if first == all { Ok(()) } else { Err(format!("documents of {name}: some are lost: {:?}", short(got))) }
        }
    }
}
