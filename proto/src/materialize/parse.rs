//! The materialize protocol's messages from the wire: whatever breaks a rule is refused here, by the rule's name.

use bytes::Bytes;

use super::message::{
    Applied, Apply, Backfill, Committed, Constraint, Exists, FieldConstraint, Guarantee, Load, Loaded, Loads, Modes,
    Open, Opened, Pending, Rejected, Spec, Store, ToConnector, ToRuntime, Validate, Validated, ValidatedBinding,
};
use crate::batch::{Batch, Keys};
use crate::error::Error;
use crate::parse::{Sent, Side};
use crate::pb::common::v1 as common;
use crate::pb::materialize::v1 as pb;
use crate::rules;
use crate::session::{Owner, Recorded, Selects, bindings_unique, findings, progress, proposed};
use crate::state::{State, StatePatch};

const fn by_runtime(message: &'static str) -> Sent {
    Sent { by: Side::Runtime, message }
}

const fn by_connector(message: &'static str) -> Sent {
    Sent { by: Side::Connector, message }
}

impl TryFrom<pb::SpecResponse> for Spec {
    type Error = Error;

    fn try_from(pb: pb::SpecResponse) -> Result<Self, Error> {
        let sent = by_connector("its Spec");
        sent.speaks(&pb.protocol_versions, &pb.encodings, pb.max_message_bytes)?;
        sent.resource_path_pointers(&pb.resource_path_pointers)?;
        let guarantee = match pb.guarantee() {
            pb::Guarantee::Unspecified => return Err(sent.unknown("a guarantee")),
            pb::Guarantee::Transactional => Guarantee::Transactional,
            pb::Guarantee::Idempotent => Guarantee::Idempotent,
            pb::Guarantee::AtLeastOnce => Guarantee::AtLeastOnce,
        };
        let identifier_rules = pb.identifier_rules.unwrap_or_default();
        Ok(Self {
            name: sent.connector_name(pb.name)?,
            version: pb.version,
            config_schema_json: sent.object("the config's schema", pb.config_schema_json)?,
            resource_schema_json: sent.object("the resource's schema", pb.resource_schema_json)?,
            resource_path_pointers: pb.resource_path_pointers,
            documentation_url: pb.documentation_url,
            guarantee,
            deletes: pb.deletes,
            reserved_field_names: pb.reserved_field_names,
            identifier_max_bytes: (identifier_rules.max_bytes > 0).then_some(identifier_rules.max_bytes),
            identifier_case_insensitive: identifier_rules.case_insensitive,
            identifier_forbidden_characters: identifier_rules.forbidden_characters,
            keeps_meta: pb.keeps_meta,
            verifies: pb.verifies,
        })
    }
}

impl TryFrom<pb::ValidateRequest> for Validate {
    type Error = Error;

    fn try_from(pb: pb::ValidateRequest) -> Result<Self, Error> {
        let sent = by_runtime("Validate");
        Ok(Self {
            owner: Owner::parse(pb.owner, sent, 0)?,
            config_json: sent.object("config", pb.config_json)?,
            bindings: proposed(pb.bindings, sent, Selects::Fields)?,
        })
    }
}

impl Validated {
    /// The answer to a [`Validate`] with so many bindings.
    pub fn parse(pb: pb::ValidateResponse, bindings: usize) -> Result<Self, Error> {
        let sent = by_connector("an answer to Validate");
        sent.answers("validated bindings", bindings, pb.bindings.len())?;
        let validated = pb.bindings.into_iter().map(|pb| ValidatedBinding::parse(pb, sent));
        Ok(Self {
            bindings: validated.collect::<Result<_, _>>()?,
            findings: findings(pb.findings, sent, bindings)?,
            recorded: pb.recorded.map(Recorded::try_from).transpose()?,
        })
    }
}

impl ValidatedBinding {
    fn parse(pb: pb::Validated, sent: Sent) -> Result<Self, Error> {
        let modes = match pb.modes() {
            pb::Modes::Unspecified => return Err(sent.unknown("the modes of a binding")),
            pb::Modes::Standard => Modes::Standard,
            pb::Modes::DeltaOnly => Modes::DeltaOnly,
            pb::Modes::Both => Modes::Both,
        };
        let loads = match pb::Loads::try_from(pb.loads) {
            Ok(pb::Loads::Unspecified) => Loads::Nothing,
            Ok(pb::Loads::Fields) => Loads::Fields,
            Ok(pb::Loads::Document) => Loads::Document,
            Err(_) => return Err(sent.unknown("what a Load gets back")),
        };
        Ok(Self {
            resource_path: sent.resource_path(pb.resource_path)?,
            modes,
            wants_existence: pb.wants_existence,
            fields: pb.fields.into_iter().map(|pb| FieldConstraint::parse(pb, sent)).collect::<Result<_, _>>()?,
            claim: pb.claim,
            loads,
            loads_reason: pb.loads_reason,
            partial_updates: pb.partial_updates,
            truncates: pb.truncates,
            backfills: pb.backfills,
        })
    }
}

impl FieldConstraint {
    fn parse(pb: pb::FieldConstraint, sent: Sent) -> Result<Self, Error> {
        sent.pointers("a field", std::slice::from_ref(&pb.pointer))?;
        let constraint = match pb.constraint() {
            pb::Constraint::Unspecified => return Err(sent.unknown("a constraint")),
            pb::Constraint::Required => Constraint::Required,
            pb::Constraint::Recommended => Constraint::Recommended,
            pb::Constraint::Optional => Constraint::Optional,
            pb::Constraint::Forbidden => Constraint::Forbidden,
            pb::Constraint::Incompatible => Constraint::Incompatible,
        };
        Ok(Self { pointer: pb.pointer, constraint, reason: pb.reason })
    }
}

impl TryFrom<pb::ApplyRequest> for Apply {
    type Error = Error;

    fn try_from(pb: pb::ApplyRequest) -> Result<Self, Error> {
        let sent = by_runtime("Apply");
        let pending = match (pb.plan_transaction, pb.plan) {
            (0, plan) if plan.is_empty() => None,
            (0, _) => {
                return Err(sent.broke(rules::TRANSACTION_NUMBER, "a transaction number of at least 1 with a plan", 0));
            }
            (transaction, plan) => Some(Pending { transaction, plan }),
        };
        Ok(Self {
            owner: Owner::parse(pb.owner, sent, 1)?,
            config_json: sent.object("config", pb.config_json)?,
            bindings: bindings_unique(pb.bindings, sent, Selects::Fields)?,
            previous: bindings_unique(pb.previous, sent, Selects::Fields)?,
            state: State::parse(pb.state, sent)?,
            pending,
            fresh: pb.fresh.iter().map(|key| sent.state_key(key)).collect::<Result<_, _>>()?,
            take_over: pb.take_over,
            dry_run: pb.dry_run,
            remove: pb.remove,
        })
    }
}

impl TryFrom<pb::ApplyResponse> for Applied {
    type Error = Error;

    fn try_from(pb: pb::ApplyResponse) -> Result<Self, Error> {
        let sent = by_connector("an answer to Apply");
        Ok(Self { actions: pb.actions, state_patch: StatePatch::parse(pb.state_patch, sent)?, drained: pb.drained })
    }
}

impl TryFrom<pb::Open> for Open {
    type Error = Error;

    fn try_from(pb: pb::Open) -> Result<Self, Error> {
        let sent = by_runtime("Open");
        if pb.transaction == 0 && !pb.plan.is_empty() {
            return Err(sent.broke(rules::TRANSACTION_NUMBER, "a transaction number of at least 1 with a plan", 0));
        }
        Ok(Self {
            owner: Owner::parse(pb.owner, sent, 1)?,
            config_json: sent.object("config", pb.config_json)?,
            bindings: bindings_unique(pb.bindings, sent, Selects::Fields)?,
            state: State::parse(pb.state, sent)?,
            transaction: pb.transaction,
            plan: pb.plan,
        })
    }
}

impl ToConnector {
    /// A message of a session that was opened with so many bindings (0 before Open).
    pub fn parse(pb: pb::TransactRequest, bindings: usize) -> Result<Self, Error> {
        use pb::transact_request::Kind;
        match pb.kind {
            None => Err(by_runtime("a message of Transact").unknown("a kind of message")),
            Some(Kind::Open(open)) => open.try_into().map(|open| ToConnector::Open(Box::new(open))),
            Some(Kind::Acknowledge(pb::Acknowledge { transaction })) => Ok(ToConnector::Acknowledge { transaction }),
            Some(Kind::Load(load)) => Load::parse(load, bindings).map(ToConnector::Load),
            Some(Kind::Flush(pb::Flush { transaction })) => {
                Ok(ToConnector::Flush { transaction: numbered(transaction, by_runtime("Flush"))? })
            }
            Some(Kind::Truncate(pb::Truncate { binding })) => {
                Ok(ToConnector::Truncate { binding: by_runtime("Truncate").binding(binding, bindings)? })
            }
            Some(Kind::Backfill(pb::Backfill { binding, begins, completes })) => {
                let binding = by_runtime("Backfill").binding(binding, bindings)?;
                Ok(ToConnector::Backfill(Backfill { binding, begins, completes }))
            }
            Some(Kind::Store(store)) => Store::parse(store, bindings).map(ToConnector::Store),
            Some(Kind::Commit(pb::Commit { transaction, checkpoint })) => {
                Ok(ToConnector::Commit { transaction: numbered(transaction, by_runtime("Commit"))?, checkpoint })
            }
        }
    }
}

fn numbered(transaction: u64, sent: Sent) -> Result<u64, Error> {
    match transaction {
        0 => Err(sent.broke(rules::TRANSACTION_NUMBER, "a transaction number of at least 1", 0)),
        number => Ok(number),
    }
}

impl Load {
    fn parse(pb: pb::Load, bindings: usize) -> Result<Self, Error> {
        let sent = by_runtime("Load");
        Ok(Self {
            binding: sent.binding(pb.binding, bindings)?,
            keys: Keys::parse(pb.keys.unwrap_or_default(), sent)?,
            keys_only: pb.keys_only,
        })
    }
}

impl Store {
    fn parse(pb: pb::Store, bindings: usize) -> Result<Self, Error> {
        let sent = by_runtime("Store");
        let documents = documents(pb.documents, sent, bindings)?;
        let keys = pb
            .keys
            .filter(|keys| *keys != common::Keys::default())
            .map(|keys| keys_beside(&documents, keys, sent))
            .transpose()?;
        let exists =
            column(&pb.exists, &documents, sent, |byte| match pb::Exists::try_from(i32::from(byte)).ok()? {
                pb::Exists::Unspecified => None,
                pb::Exists::Unknown => Some(Exists::Unknown),
                pb::Exists::Absent => Some(Exists::Absent),
                pb::Exists::Present => Some(Exists::Present),
            })?;
        let flag = |byte| match byte {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        let deletes = column(&pb.deletes, &documents, sent, flag)?;
        let replaces = column(&pb.replaces, &documents, sent, flag)?;
        let partial_updates = column(&pb.partial_updates, &documents, sent, flag)?;
        let has = |flags: &[bool], i: usize| flags.get(i).copied().unwrap_or(false);
        let both = |i: usize| has(&partial_updates, i) && (has(&deletes, i) || has(&replaces, i));
        if (0..documents.len()).any(both) {
            let got = "one that deletes or replaces its row, too";
            return Err(sent.broke(rules::PARTIAL_UPDATES, "a partial update and nothing else", got));
        }
        Ok(Self { documents, keys, exists, deletes, replaces, partial_updates })
    }
}

fn documents(pb: Option<common::Documents>, sent: Sent, bindings: usize) -> Result<Batch, Error> {
    match pb {
        Some(documents) => Batch::parse(documents, sent, bindings),
        None => Err(sent.broke(rules::BATCH_SHAPE, "documents", "none")),
    }
}

fn keys_beside(documents: &Batch, keys: common::Keys, sent: Sent) -> Result<Keys, Error> {
    let keys = Keys::parse(keys, sent)?;
    if keys.len() != documents.len() {
        return Err(sent.broke(
            rules::BATCH_SHAPE,
            format_args!("{} keys, one for each document", documents.len()),
            keys.len(),
        ));
    }
    Ok(keys)
}

/// A side column: empty, or one byte that `read` knows for each document.
fn column<T>(bytes: &Bytes, documents: &Batch, sent: Sent, read: impl Fn(u8) -> Option<T>) -> Result<Vec<T>, Error> {
    let count = documents.len();
    if !bytes.is_empty() && bytes.len() != count {
        return Err(sent.broke(
            rules::STORE_COLUMNS,
            format_args!("no bytes or {count} in a side column"),
            bytes.len(),
        ));
    }
    let value = |&byte| {
        read(byte).ok_or_else(|| {
            sent.broke(rules::STORE_COLUMNS, "a byte with a meaning in a side column", format_args!("{byte:#04x}"))
        })
    };
    bytes.iter().map(value).collect()
}

impl ToRuntime {
    /// A message of a session that was opened with so many bindings.
    pub fn parse(pb: pb::TransactResponse, bindings: usize) -> Result<Self, Error> {
        use pb::transact_response::Kind;
        match pb.kind {
            None => Err(by_connector("a message of Transact").unknown("a kind of message")),
            Some(Kind::Opened(pb::Opened { recorded, close_policy })) => Ok(ToRuntime::Opened(Opened {
                recorded: recorded.map(Recorded::try_from).transpose()?,
                close_policy: close_policy.unwrap_or_default().into(),
            })),
            Some(Kind::Acknowledged(pb::Acknowledged { state_patch })) => Ok(ToRuntime::Acknowledged {
                state_patch: StatePatch::parse(state_patch, by_connector("Acknowledged"))?,
            }),
            Some(Kind::Loaded(loaded)) => {
                let sent = by_connector("Loaded");
                let documents = documents(loaded.documents, sent, bindings)?;
                let keys = keys_beside(&documents, loaded.keys.unwrap_or_default(), sent)?;
                Ok(ToRuntime::Loaded(Loaded { keys, documents }))
            }
            Some(Kind::Flushed(pb::Flushed { state_patch })) => {
                Ok(ToRuntime::Flushed { state_patch: StatePatch::parse(state_patch, by_connector("Flushed"))? })
            }
            Some(Kind::Committed(pb::Committed { state_patch, plan })) => {
                let state_patch = StatePatch::parse(state_patch, by_connector("Committed"))?;
                Ok(ToRuntime::Committed(Committed { state_patch, plan }))
            }
            Some(Kind::Rejected(rejected)) => {
                let sent = by_connector("Rejected");
                let pb::Rejected { binding, keys, code, reason, reasons } = rejected;
                let keys = Keys::parse(keys.unwrap_or_default(), sent)?;
                if !reasons.is_empty() && reasons.len() != keys.len() {
                    let expected = format_args!("no reasons or {}", keys.len());
                    return Err(sent.broke(rules::REJECTED_KEYS, expected, reasons.len()));
                }
                Ok(ToRuntime::Rejected(Rejected {
                    binding: sent.binding(binding, bindings)?,
                    keys,
                    code,
                    reason,
                    reasons,
                }))
            }
            Some(Kind::Progress(pb)) => progress(pb, by_connector("Progress"), bindings).map(ToRuntime::Progress),
        }
    }
}
