//! What arrived against the formula: every document once in the tables that take each, the newest and the sum of each account in the others.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use capture_generator::formula::{Document, Stream};
use longshore_postgres::testing::Server;

use super::day::Day;
use super::destination::{ACCOUNTS, AGAIN, BODIES, DOCUMENTS, EVERY, MOVES, SUMS, TRANSACTIONS};
use super::trouble::Place;

/// So many of each kind are shown.
const SHOWN: usize = 5;

/// What is not as it should be.
#[derive(Debug, Default)]
pub struct Audit {
    /// Rows that are missing, or whose newest change is.
    pub lost: Vec<String>,
    /// Rows that are there too often, or in which something is counted twice.
    pub twice: Vec<String>,
}

impl Audit {
    /// Nothing of it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty()
    }

    fn compare(&mut self, whose: &str, expected: &[String], found: Vec<String>) {
        let mut times: HashMap<&str, i64> = HashMap::new();
        expected.iter().for_each(|row| *times.entry(row).or_default() -= 1);
        found.iter().for_each(|row| *times.entry(row).or_default() += 1);
        let mut wrong: Vec<_> = times.into_iter().filter(|(_, times)| *times != 0).collect();
        wrong.sort_unstable();
        for (row, times) in wrong {
            let side = if times < 0 { &mut self.lost } else { &mut self.twice };
            side.push(format!("{whose}: {row}"));
        }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, rows) in [("lost", &self.lost), ("twice, or never there", &self.twice)] {
            if !rows.is_empty() {
                writeln!(f, "{} {what}:", rows.len())?;
                rows.iter().take(SHOWN).try_for_each(|row| writeln!(f, "    {row}"))?;
            }
        }
        Ok(())
    }
}

pub(super) fn audit(place: &Place<'_>, server: &Server, day: &Day) -> Audit {
    let (moves, sums) = (documents(day, MOVES), documents(day, SUMS));
    let every: Vec<String> = moves.iter().map(|one| format!("{}|{}|{}", one.txn, one.n, one.sum)).collect();
    let newest: BTreeMap<u64, &Document> = moves.iter().map(|one| (one.id, one)).collect();
    let newest = newest.values().map(|one| format!("{}|{}|{}", one.id, one.seq, one.sum)).collect();
    let mut accounts: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
    for one in &sums {
        let (seq, sum) = accounts.entry(one.id).or_default();
        (*seq, *sum) = (one.seq, *sum + one.delta);
    }
    let summed = accounts.into_iter().map(|(id, (seq, sum))| format!("{id}|{seq}|{sum}")).collect();
    let tables: [(&str, &[&str], Vec<String>); 4] = [
        (EVERY, &["txn", "n", "sum"], every.clone()),
        (AGAIN, &["txn", "n", "sum"], every),
        ("newest", &["id", "seq", "sum"], newest),
        ("sums", &["id", "seq", "delta"], summed),
    ];
    let mut audit = Audit::default();
    for &destination in day.destinations() {
        for (table, fields, expected) in tables.iter().filter(|(table, ..)| destination.has(table)) {
            let found = destination.rows((place, server), day.number, table, fields);
            audit.compare(&format!("{destination:?} {table}"), expected, found);
        }
    }
    audit
}

fn documents(day: &Day, stream: &str) -> Vec<Document> {
    let stream = Stream::new(day.formula_seed(), stream, ACCOUNTS, DOCUMENTS, &BODIES);
    (1..=TRANSACTIONS).flat_map(|txn| stream.transaction(txn)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_there_too_often_is_told() {
        let expected = ["a", "b", "c"].map(str::to_owned);
        let mut audit = Audit::default();
        audit.compare("t", &expected, expected.to_vec());
        assert!(audit.is_clean());
        audit.compare("t", &expected, ["a", "c", "c", "d"].map(str::to_owned).to_vec());
        assert_eq!((audit.lost, audit.twice), (vec!["t: b".to_owned()], vec!["t: c".to_owned(), "t: d".to_owned()]));
    }
}
