//! Tells what a comparison came to.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::output::{Failure, Output};
use super::super::view::grouped;
use super::{Comparison, NotCompared};
use crate::verify::compare::Difference;
use crate::verify::explain::Because;

/// Letters of a value that is shown.
const SHOWN: usize = 60;

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Differs,
    /// Some rows kept changing.
    Changing,
    NotCompared,
}

impl Comparison {
    /// Key ranges that differ for sure, and whose rows were not looked at.
    fn not_looked_at(&self) -> u64 {
        (self.passed_over.len() + self.differing.len()) as u64
    }
}

impl Outcome {
    fn of(comparison: &Comparison) -> Self {
        match comparison {
            Comparison { fault: Some(_), .. } => Self::NotCompared,
            _ if !comparison.differences.is_empty() || comparison.not_looked_at() > 0 => Self::Differs,
            Comparison { open, .. } if !open.is_empty() => Self::Changing,
            Comparison { .. } => Self::Same,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Changing => "changing",
            Self::NotCompared => "not_compared",
        }
    }
}

/// Prints all of it.
///
/// # Errors
/// Exit code 1: something differs, or could not be compared to its end; 2: there was nothing to compare.
pub(super) fn tell(
    compared: &[Comparison],
    not_compared: &[NotCompared],
    limit: usize,
    output: &Output,
) -> Result<(), Failure> {
    let mut all_same = true;
    for comparison in compared {
        let result = Outcome::of(comparison);
        all_same &= result == Outcome::Same;
        tell_one(comparison, result, limit, output);
    }
    for NotCompared { task, collection, why } in not_compared {
        output.line(format_args!("{task}/{collection}  not compared: {why}"));
        output.object(
            "verified",
            json!({ "task": task, "collection": collection, "result": Outcome::NotCompared.word(), "reason": why }),
        );
    }
    let same = compared.iter().filter(|one| Outcome::of(one) == Outcome::Same).count();
    output.line(format_args!("{same} of {} bindings have what they should", compared.len() + not_compared.len()));
    match (all_same, compared.is_empty()) {
        (true, false) => Ok(()),
        (true, true) => Err(Failure::configuration("expected a binding that can be compared, got none")
            .help("destinations that can tell what they have are postgres and sqlite, with standard bindings")),
        (false, _) => Err(Failure::with_exit(1).already_told()),
    }
}

fn tell_one(comparison: &Comparison, result: Outcome, limit: usize, output: &Output) {
    let Comparison { subject, source, destination, differences, open, instead, fault, .. } = comparison;
    let not_looked_at = comparison.not_looked_at();
    let whole = if instead.is_some() { "journal" } else { "source" };
    let (task, collection) = (&subject.task, subject.collection());
    output.object(
        "verified",
        json!({
            "task": task, "collection": collection, "result": result.word(), "source_rows": source.rows(),
            "destination_rows": destination.rows(), "differences": differences.len(), "ranges_not_looked_at": not_looked_at,
            "ranges_changing": open.len(), "rounds": comparison.rounds, "compared_with": whole,
            "reason": fault.as_ref().or(instead.as_ref()),
        }),
    );
    match result {
        Outcome::Same => output.line(format_args!("{task}/{collection}  same: {} rows", grouped(source.rows()))),
        Outcome::NotCompared => {
            let why = fault.as_deref().unwrap_or_default();
            output.line(format_args!("{task}/{collection}  not compared: {why}"));
        }
        Outcome::Changing => output.line(format_args!(
            "{task}/{collection}  not compared to its end: rows in {} of 4,096 key ranges changed each time they were looked at; all \
             others are the same ({} rows)",
            open.len(),
            grouped(source.rows()),
        )),
        Outcome::Differs => output.line(format_args!(
            "{task}/{collection}  DIFFERS: {} rows ({} in the {whole}, {} in the destination)",
            grouped(differences.len() as u64),
            grouped(source.rows()),
            grouped(destination.rows()),
        )),
    }
    if let (Some(why), None) = (instead, fault) {
        output.line(format_args!("  compared with what the journal has: {why}"));
    }
    for (difference, because) in differences.values().take(limit) {
        tell_difference(comparison, difference, *because, output);
    }
    if differences.len() > limit {
        output.line(format_args!("  and {} more (--limit N shows them)", grouped((differences.len() - limit) as u64)));
    }
    if not_looked_at > 0 {
        output.line(format_args!(
            "  and at least one in each of {} more key ranges, which were not looked at row by row",
            grouped(not_looked_at)
        ));
    }
    if result == Outcome::Differs && !open.is_empty() {
        output.line(format_args!(
            "  rows in {} more of 4,096 key ranges changed each time they were looked at",
            grouped(open.len() as u64)
        ));
    }
}

/// A difference as an object; values are as they are written.
#[derive(Serialize)]
struct Told<'a> {
    r#type: &'static str,
    task: &'a str,
    collection: &'a str,
    key: &'a [Box<RawValue>],
    what: &'static str,
    fields: &'a [ToldField<'a>],
    because: Option<&'static str>,
    offset: Option<u64>,
    explanation: Option<String>,
}

#[derive(Serialize)]
struct ToldField<'a> {
    pointer: &'a str,
    source: Option<&'a RawValue>,
    destination: Option<&'a RawValue>,
}

fn tell_difference(comparison: &Comparison, difference: &Difference, because: Option<Because>, output: &Output) {
    let Comparison { subject, hasher, instead, .. } = comparison;
    let whole = if instead.is_some() { "journal" } else { "source" };
    let row = |row: &Option<Bytes>| -> Option<Vec<Box<RawValue>>> { serde_json::from_slice(row.as_ref()?).ok() };
    let (source, destination) = (row(&difference.source), row(&difference.destination));
    let (key_parts, either) = (hasher.key_parts(), source.as_ref().or(destination.as_ref()));
    let key = either.and_then(|row| row.get(..key_parts)).unwrap_or_default();
    let (what, words) = match (&source, &destination) {
        (Some(_), None) => ("missing", "is missing in the destination"),
        (None, Some(_)) => ("surplus", "is in the destination alone"),
        (_, _) => ("differs", "differs"),
    };
    let field = |place: &usize| {
        let pointer = &subject.values.get(*place)?.pointer;
        Some(ToldField {
            pointer,
            source: source.as_ref().and_then(|row| row.get(key_parts + place)).map(AsRef::as_ref),
            destination: destination.as_ref().and_then(|row| row.get(key_parts + place)).map(AsRef::as_ref),
        })
    };
    let fields: Vec<ToldField<'_>> = difference.places.iter().filter_map(field).collect();
    let told = Told {
        r#type: "difference",
        task: &subject.task,
        collection: subject.collection(),
        key,
        what,
        fields: &fields,
        because: because.map(Because::word),
        offset: because.and_then(Because::offset),
        explanation: because.map(|because| because.to_string()),
    };
    // Of strings and numbers and what was JSON before.
    if let Ok(line) = serde_json::to_string(&told) {
        output.lines(&format!("{line}\n"));
    }
    let key: Vec<&str> = key.iter().map(|part| part.get()).collect();
    output.line(format_args!("  key [{}] {words}", key.join(",")));
    for ToldField { pointer, source, destination } in &fields {
        output.line(format_args!("    {pointer}: {whole} {}, destination {}", cut(*source), cut(*destination)));
    }
    if let Some(because) = because {
        output.line(format_args!("    {because}"));
    }
}

fn cut(value: Option<&RawValue>) -> String {
    let text = value.map_or("null", RawValue::get);
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
