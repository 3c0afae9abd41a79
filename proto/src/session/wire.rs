//! The parts that both protocols share, from the wire and to it.

use bytes::Bytes;

use super::{
    Binding, ClosePolicy, Collection, Finding, Lag, Owner, Progress, ProgressPart, ProposedBinding, Recorded, Severity,
};
use crate::batch::wire_index;
use crate::error::Error;
use crate::name::InstallationId;
use crate::parse::{Sent, Side};
use crate::pb::common::v1 as pb;
use crate::rules;
use crate::selection::{Field, JsonType, Selection};

impl Owner {
    /// `least_epoch` is 0 for calls that may come without a session.
    pub(crate) fn parse(pb: Option<pb::Owner>, sent: Sent, least_epoch: u64) -> Result<Self, Error> {
        let Some(pb) = pb else {
            return Err(sent.broke(rules::OWNER, "an owner", "none"));
        };
        if pb.epoch < least_epoch {
            return Err(sent.broke(rules::OWNER, format_args!("an epoch of at least {least_epoch}"), pb.epoch));
        }
        match pb.range {
            Some(pb::KeyRange { begin: 0, end: u32::MAX }) => {}
            Some(pb::KeyRange { begin, end }) => {
                return Err(sent.broke(
                    rules::OWNER,
                    "the full key range",
                    format_args!("{begin:#010x} to {end:#010x}"),
                ));
            }
            None => return Err(sent.broke(rules::OWNER, "the full key range", "none")),
        }
        let installation = sent.installation(&pb.installation_id)?;
        Ok(Self { task: sent.name("task", pb.task)?, installation, epoch: pb.epoch })
    }
}

impl From<Owner> for pb::Owner {
    fn from(owner: Owner) -> Self {
        pb::Owner {
            task: owner.task,
            installation_id: owner.installation.as_str().to_owned(),
            epoch: owner.epoch,
            range: Some(pb::KeyRange { begin: 0, end: u32::MAX }),
        }
    }
}

impl Collection {
    fn parse(pb: Option<pb::Collection>, sent: Sent) -> Result<Self, Error> {
        let Some(pb) = pb else {
            return Err(sent.broke(rules::KNOWN_MESSAGE, "a collection in each binding", "none"));
        };
        sent.key(&pb.key)?;
        let schema_json = match (pb.schema_json.is_empty(), pb.schema_version) {
            (true, 0) => Bytes::new(),
            (_, _) => sent.object("the collection's schema", pb.schema_json)?,
        };
        Ok(Self {
            name: sent.name("collection", pb.name)?,
            key: pb.key,
            schema_json,
            schema_version: pb.schema_version,
        })
    }
}

impl From<Collection> for pb::Collection {
    fn from(collection: Collection) -> Self {
        let Collection { name, key, schema_json, schema_version } = collection;
        pb::Collection { name, key, schema_json, schema_version }
    }
}

/// What the bindings of a protocol say of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selects {
    /// Captures.
    Nothing,
    /// Materializations.
    Fields,
}

/// The bindings of Validate, which finds their paths out.
pub(crate) fn proposed(pb: Vec<pb::Binding>, sent: Sent, selects: Selects) -> Result<Vec<ProposedBinding>, Error> {
    let parse = |pb: pb::Binding| {
        let collection = Collection::parse(pb.collection, sent)?;
        let written = (pb.fields, pb.document_field, pb.fields_chosen);
        Ok(ProposedBinding {
            resource_json: sent.object("a resource", pb.resource_json)?,
            selection: selection(written, &collection, sent, selects)?,
            collection,
            delta_updates: pb.delta_updates,
        })
    };
    pb.into_iter().map(parse).collect()
}

impl From<ProposedBinding> for pb::Binding {
    fn from(binding: ProposedBinding) -> Self {
        let (fields, document_field, fields_chosen) = selection_to_wire(binding.selection);
        pb::Binding {
            state_key: String::new(),
            resource_json: binding.resource_json,
            resource_path: Vec::new(),
            collection: Some(binding.collection.into()),
            delta_updates: binding.delta_updates,
            fields,
            document_field,
            fields_chosen,
        }
    }
}

/// The bindings of Apply and Open: each durable name once.
pub(crate) fn bindings_unique(pb: Vec<pb::Binding>, sent: Sent, selects: Selects) -> Result<Vec<Binding>, Error> {
    let bindings = pb.into_iter().map(|pb| binding(pb, sent, selects)).collect::<Result<Vec<_>, _>>()?;
    let mut keys: Vec<_> = bindings.iter().map(|binding| &binding.state_key).collect();
    keys.sort_unstable();
    if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(sent.broke(rules::NAMES, "each state key once", format_args!("`{}` twice", pair[0])));
    }
    Ok(bindings)
}

fn binding(pb: pb::Binding, sent: Sent, selects: Selects) -> Result<Binding, Error> {
    let state_key = sent.state_key(&pb.state_key)?;
    if state_key.resource_path() != pb.resource_path {
        return Err(sent.broke(
            rules::NAMES,
            format_args!("the resource path of `{state_key}`"),
            format_args!("{:?}", pb.resource_path),
        ));
    }
    let collection = Collection::parse(pb.collection, sent)?;
    let written = (pb.fields, pb.document_field, pb.fields_chosen);
    Ok(Binding {
        state_key,
        resource_path: pb.resource_path,
        resource_json: sent.object("a resource", pb.resource_json)?,
        selection: selection(written, &collection, sent, selects)?,
        collection,
        delta_updates: pb.delta_updates,
    })
}

/// The fields of a binding as they are written: fields, name of the document, whether the user chose.
type Written = (Vec<pb::Field>, String, bool);

fn selection(
    (fields, document, chosen): Written,
    collection: &Collection,
    sent: Sent,
    selects: Selects,
) -> Result<Selection, Error> {
    let fields = fields.into_iter().map(|pb| field(pb, sent)).collect::<Result<_, _>>()?;
    let selection = Selection { fields, document: (!document.is_empty()).then_some(document), chosen };
    let fault = match selects {
        Selects::Fields => selection.fault(&collection.key),
        Selects::Nothing if selection == Selection::default() => None,
        Selects::Nothing => Some("fields in a capture".to_owned()),
    };
    match fault {
        None => Ok(selection),
        Some(fault) => {
            let expected = format_args!("the fields of {} that are kept, by the rule", collection.name);
            Err(sent.broke(rules::SELECTION, expected, fault))
        }
    }
}

fn field(pb: pb::Field, sent: Sent) -> Result<Field, Error> {
    sent.pointers("a field", std::slice::from_ref(&pb.pointer))?;
    let json_type = |of: i32| match pb::JsonType::try_from(of) {
        Err(_) | Ok(pb::JsonType::Unspecified) => Err(sent.unknown("the type of a field")),
        Ok(pb::JsonType::Boolean) => Ok(JsonType::Boolean),
        Ok(pb::JsonType::Integer) => Ok(JsonType::Integer),
        Ok(pb::JsonType::Number) => Ok(JsonType::Number),
        Ok(pb::JsonType::String) => Ok(JsonType::String),
        Ok(pb::JsonType::Object) => Ok(JsonType::Object),
        Ok(pb::JsonType::Array) => Ok(JsonType::Array),
    };
    let types = pb.types.into_iter().map(json_type).collect::<Result<_, _>>()?;
    Ok(Field { pointer: pb.pointer, name: pb.name, types })
}

fn selection_to_wire(selection: Selection) -> Written {
    let json_type = |of: JsonType| match of {
        JsonType::Boolean => pb::JsonType::Boolean,
        JsonType::Integer => pb::JsonType::Integer,
        JsonType::Number => pb::JsonType::Number,
        JsonType::String => pb::JsonType::String,
        JsonType::Object => pb::JsonType::Object,
        JsonType::Array => pb::JsonType::Array,
    };
    let wire = |field: Field| pb::Field {
        pointer: field.pointer,
        name: field.name,
        types: field.types.into_iter().map(|of| json_type(of).into()).collect(),
    };
    let fields = selection.fields.into_iter().map(wire).collect();
    (fields, selection.document.unwrap_or_default(), selection.chosen)
}

pub(crate) fn bindings_to_wire(bindings: Vec<Binding>) -> Vec<pb::Binding> {
    let wire = |binding: Binding| {
        let (fields, document_field, fields_chosen) = selection_to_wire(binding.selection);
        pb::Binding {
            state_key: binding.state_key.as_str().to_owned(),
            resource_json: binding.resource_json,
            resource_path: binding.resource_path,
            collection: Some(binding.collection.into()),
            delta_updates: binding.delta_updates,
            fields,
            document_field,
            fields_chosen,
        }
    };
    bindings.into_iter().map(wire).collect()
}

/// Findings about a request with so many bindings.
pub(crate) fn findings(pb: Vec<pb::Finding>, sent: Sent, bindings: usize) -> Result<Vec<Finding>, Error> {
    let parse = |pb: pb::Finding| {
        let severity = match pb.severity() {
            pb::Severity::Unspecified => return Err(sent.unknown("a severity")),
            pb::Severity::Error => Severity::Error,
            pb::Severity::Warning => Severity::Warning,
        };
        sent.pointers("the place of a finding", std::slice::from_ref(&pb.pointer))?;
        Ok(Finding {
            severity,
            code: pb.code,
            binding: pb.binding.map(|binding| sent.binding(binding, bindings)).transpose()?,
            pointer: pb.pointer,
            message: pb.message,
            suggestion: pb.suggestion,
        })
    };
    pb.into_iter().map(parse).collect()
}

impl From<Finding> for pb::Finding {
    fn from(finding: Finding) -> Self {
        let severity = match finding.severity {
            Severity::Error => pb::Severity::Error,
            Severity::Warning => pb::Severity::Warning,
        };
        pb::Finding {
            severity: severity.into(),
            code: finding.code,
            binding: finding.binding.map(wire_index),
            pointer: finding.pointer,
            message: finding.message,
            suggestion: finding.suggestion,
        }
    }
}

pub(crate) fn progress(pb: pb::Progress, sent: Sent, bindings: usize) -> Result<Progress, Error> {
    let parse = |pb: pb::progress::Part| {
        let pb::progress::Part { binding, rows, bytes, total_rows, total_bytes } = pb;
        Ok(ProgressPart { binding: sent.binding(binding, bindings)?, rows, bytes, total_rows, total_bytes })
    };
    let lag = pb.lag.map(|pb::Lag { bytes, ms }| Lag { bytes, ms });
    Ok(Progress { parts: pb.parts.into_iter().map(parse).collect::<Result<_, Error>>()?, doing: pb.doing, lag })
}

impl From<Progress> for pb::Progress {
    fn from(progress: Progress) -> Self {
        let wire = |part: ProgressPart| {
            let ProgressPart { binding, rows, bytes, total_rows, total_bytes } = part;
            pb::progress::Part { binding: wire_index(binding), rows, bytes, total_rows, total_bytes }
        };
        let lag = progress.lag.map(|Lag { bytes, ms }| pb::Lag { bytes, ms });
        pb::Progress { parts: progress.parts.into_iter().map(wire).collect(), doing: progress.doing, lag }
    }
}

impl TryFrom<pb::Recorded> for Recorded {
    type Error = Error;

    fn try_from(pb: pb::Recorded) -> Result<Self, Error> {
        let sent = Sent { by: Side::Connector, message: "Recorded" };
        let installation: InstallationId = sent.installation(&pb.installation_id)?;
        Ok(Self { installation, epoch: pb.epoch, transaction: pb.transaction, checkpoint: pb.checkpoint })
    }
}

impl From<Recorded> for pb::Recorded {
    fn from(recorded: Recorded) -> Self {
        pb::Recorded {
            installation_id: recorded.installation.as_str().to_owned(),
            epoch: recorded.epoch,
            transaction: recorded.transaction,
            checkpoint: recorded.checkpoint,
        }
    }
}

impl From<pb::ClosePolicy> for ClosePolicy {
    fn from(pb: pb::ClosePolicy) -> Self {
        let wish = |value: u64| (value > 0).then_some(value);
        Self { least_bytes: wish(pb.least_bytes), greatest_age_ms: wish(pb.greatest_age_ms), when_idle: pb.when_idle }
    }
}

impl From<ClosePolicy> for pb::ClosePolicy {
    fn from(policy: ClosePolicy) -> Self {
        pb::ClosePolicy {
            least_bytes: policy.least_bytes.unwrap_or_default(),
            greatest_age_ms: policy.greatest_age_ms.unwrap_or_default(),
            when_idle: policy.when_idle,
        }
    }
}
