//! Verify from the wire and to it.

use std::collections::BTreeSet;

use super::{Checksums, ComparedValue, Likeness, RANGES, Told, Verify};
use crate::error::Error;
use crate::key::parse_pointer;
use crate::parse::{Sent, Side};
use crate::pb::common::v1 as pb;
use crate::rules;
use crate::session::{Owner, Selects, bindings_to_wire, bindings_unique, progress};

/// Bytes of a sum.
const SUM_BYTES: usize = 16;

impl Verify {
    /// The question as a capture gets it, whose binding says nothing of fields.
    pub fn of_capture(pb: pb::VerifyRequest) -> Result<Self, Error> {
        Self::parse(pb, Selects::Nothing)
    }

    /// The question as a materialization gets it.
    pub fn of_materialization(pb: pb::VerifyRequest) -> Result<Self, Error> {
        Self::parse(pb, Selects::Fields)
    }

    fn parse(pb: pb::VerifyRequest, selects: Selects) -> Result<Self, Error> {
        let sent = Sent { by: Side::Runtime, message: "Verify" };
        let mut bindings = bindings_unique(pb.binding.into_iter().collect(), sent, selects)?;
        let Some(binding) = bindings.pop() else {
            return Err(sent.broke(rules::KNOWN_MESSAGE, "a binding", "none"));
        };
        let values = pb.values.into_iter().map(|pb| value(pb, sent)).collect::<Result<Vec<_>, _>>()?;
        let mut seen: BTreeSet<&String> = binding.collection.key.iter().collect();
        if let Some(twice) = values.iter().find(|value| !seen.insert(&value.pointer)) {
            return Err(sent.broke(rules::VERIFY, "each value once", format_args!("{} twice", twice.pointer)));
        }
        let ascends = pb.ranges.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascends || pb.ranges.last().is_some_and(|last| *last as usize >= RANGES) {
            return Err(sent.broke(
                rules::VERIFY,
                format_args!("ranges below {RANGES} that ascend"),
                format_args!("{:?}", pb.ranges),
            ));
        }
        Ok(Self {
            owner: Owner::parse(pb.owner, sent, 0)?,
            config_json: sent.object("config", pb.config_json)?,
            binding,
            values,
            ranges: pb.ranges,
        })
    }
}

fn value(pb: pb::ComparedValue, sent: Sent) -> Result<ComparedValue, Error> {
    let likeness = match pb.likeness() {
        pb::Likeness::Unspecified => return Err(sent.unknown("a likeness")),
        pb::Likeness::Value => Likeness::Value,
        pb::Likeness::Moment => Likeness::Moment,
        pb::Likeness::Text => Likeness::Text,
        pb::Likeness::Exact => Likeness::Exact,
    };
    if parse_pointer(&pb.pointer).is_none() {
        return Err(sent.broke(rules::NAMES, "a JSON pointer to a value", format_args!("{:?}", pb.pointer)));
    }
    Ok(ComparedValue { pointer: pb.pointer, likeness })
}

impl From<Verify> for pb::VerifyRequest {
    fn from(verify: Verify) -> Self {
        let value = |value: ComparedValue| {
            let likeness = match value.likeness {
                Likeness::Value => pb::Likeness::Value,
                Likeness::Moment => pb::Likeness::Moment,
                Likeness::Text => pb::Likeness::Text,
                Likeness::Exact => pb::Likeness::Exact,
            };
            pb::ComparedValue { pointer: value.pointer, likeness: likeness.into() }
        };
        pb::VerifyRequest {
            owner: Some(verify.owner.into()),
            config_json: verify.config_json,
            binding: bindings_to_wire(vec![verify.binding]).pop(),
            values: verify.values.into_iter().map(value).collect(),
            ranges: verify.ranges,
        }
    }
}

impl TryFrom<pb::VerifyResponse> for Told {
    type Error = Error;

    fn try_from(pb: pb::VerifyResponse) -> Result<Self, Error> {
        use pb::verify_response::Kind;
        let sent = Sent { by: Side::Connector, message: "an answer to Verify" };
        match pb.kind {
            None => Err(sent.unknown("a kind of message")),
            Some(Kind::Progress(pb)) => progress(pb, sent, 1).map(Told::Progress),
            Some(Kind::Rows(pb)) => Ok(Told::Rows(pb.rows_json)),
            Some(Kind::Checksums(pb)) => {
                let (counts, bytes) = (pb.counts.len(), pb.sums.len());
                if counts != RANGES || bytes != RANGES * SUM_BYTES {
                    return Err(sent.broke(
                        rules::VERIFY,
                        format_args!("a count and {SUM_BYTES} bytes for each of {RANGES} ranges"),
                        format_args!("{counts} counts and {bytes} bytes"),
                    ));
                }
                let (sums, _) = pb.sums.as_chunks::<SUM_BYTES>();
                let sums = sums.iter().map(|sum| u128::from_be_bytes(*sum));
                Ok(Told::Checksums(Checksums { ranges: pb.counts.into_iter().zip(sums).collect() }))
            }
        }
    }
}

impl From<Told> for pb::VerifyResponse {
    fn from(told: Told) -> Self {
        use pb::verify_response::Kind;
        let kind = match told {
            Told::Progress(progress) => Kind::Progress(progress.into()),
            Told::Rows(rows_json) => Kind::Rows(pb::Rows { rows_json }),
            Told::Checksums(Checksums { ranges }) => Kind::Checksums(pb::Checksums {
                counts: ranges.iter().map(|(count, _)| *count).collect(),
                sums: ranges.iter().flat_map(|(_, sum)| sum.to_be_bytes()).collect(),
            }),
        };
        pb::VerifyResponse { kind: Some(kind) }
    }
}
