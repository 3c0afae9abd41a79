//! Asks a connector under test what is there of a binding, and holds what it tells to rule X-18.

use futures_util::StreamExt as _;
use longshore_proto::pb::common::v1 as pb;
use longshore_proto::session::{Binding, Owner};
use longshore_proto::verify::{Checksums, ComparedValue, Hasher, Likeness, RANGES, Told, Verify};
use serde_json::value::RawValue;

use super::in_time;
use crate::outgoing::OutgoingStream;
use crate::{Error, Result};

/// All rows, each as the JSON array of its key and these values, sorted; asked for after the checksums, which must be theirs. No value may be so
/// long that it is told by its hash.
pub(super) async fn rows(
    (owner, config_json): (Owner, bytes::Bytes),
    binding: &Binding,
    pointers: &[&str],
    ask: impl Fn(pb::VerifyRequest) -> Result<OutgoingStream<pb::VerifyResponse>>,
) -> Result<Vec<String>> {
    let value = |pointer: &&str| ComparedValue { pointer: (*pointer).to_owned(), likeness: Likeness::Value };
    let values: Vec<ComparedValue> = pointers.iter().map(value).collect();
    let mut hasher = Hasher::new(&binding.collection.key, &values)?;
    let question = |ranges| Verify {
        owner: owner.clone(),
        config_json: config_json.clone(),
        binding: binding.clone(),
        values: values.clone(),
        ranges,
    };
    let all = (0_u32..).take(RANGES).collect();
    let (sums, no_rows) = told(ask(question(Vec::new()).into())?).await?;
    let (no_sums, rows) = told(ask(question(all).into())?).await?;
    let mut counted = Checksums::default();
    for row in &rows {
        let values: Vec<&RawValue> = serde_json::from_slice(row).map_err(|error| broke(&error.to_string()))?;
        let values: Vec<Option<&str>> = values.iter().map(|value| Some(value.get())).collect();
        counted.add(hasher.hash(&values)?);
    }
    if sums.as_ref() != Some(&counted) || no_sums.is_some() || !no_rows.is_empty() {
        return Err(broke("checksums that are not those of the rows, or one where the other was asked for"));
    }
    let mut rows: Vec<String> = rows.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    rows.sort_unstable();
    Ok(rows)
}

async fn told(mut answers: OutgoingStream<pb::VerifyResponse>) -> Result<(Option<Checksums>, Vec<bytes::Bytes>)> {
    let (mut sums, mut rows) = (None, Vec::new());
    while let Some(answer) = in_time("Verify", answers.next()).await? {
        match Told::try_from(answer?)? {
            Told::Progress(_) => {}
            Told::Checksums(told) => sums = Some(told),
            Told::Rows(more) => rows.extend(more),
        }
    }
    Ok((sums, rows))
}

fn broke(got: &str) -> Error {
    Error::protocol("X-18", format!("the connector answered Verify: expected what the rule says, got {got}"))
}
