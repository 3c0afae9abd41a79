//! What must be in the destination when everything has come to rest.

use std::collections::BTreeSet;

use longshore_proto::materialize::message::Guarantee;

use super::Violation;
use super::destination::{Destination, Rows};
use super::source::Source;

/// Compares every binding with what the formula says.
pub fn verify(
    source: &Source,
    destination: &Destination,
    standard: &[String],
    delta: &[String],
) -> Result<(), Violation> {
    let mut expected = Rows::new();
    for document in source.all() {
        let key = format!("[{}]", document.id);
        match document.delete {
            true => drop(expected.remove(&key)),
            false => drop(expected.insert(key, document.json)),
        }
    }
    for name in standard {
        let got = destination.rows.get(name).cloned().unwrap_or_default();
        if got != expected {
            return Err(format!("rows of {name}: expected {expected:?}, got {got:?}"));
        }
    }
    let all: Vec<String> = source.all().into_iter().map(|document| document.json).collect();
    for name in delta {
        let got = destination.logs.get(name).cloned().unwrap_or_default();
        log(name, &all, &got, destination.guarantee)?;
    }
    Ok(())
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
