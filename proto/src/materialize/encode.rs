//! The materialize protocol's messages to the wire.

use bytes::Bytes;

use super::message::{
    Applied, Apply, Backfill, Committed, Constraint, Exists, FieldConstraint, Guarantee, Load, Loaded, Loads, Modes,
    Open, Opened, Rejected, Spec, Store, ToConnector, ToRuntime, Validate, Validated, ValidatedBinding,
};
use crate::batch::wire_index;
use crate::limits::MESSAGE_MAX_BYTES;
use crate::pb::common::v1 as common;
use crate::pb::materialize::v1 as pb;
use crate::session::bindings_to_wire;
use crate::state::StatePatch;

impl From<Spec> for pb::SpecResponse {
    fn from(spec: Spec) -> Self {
        let guarantee = match spec.guarantee {
            Guarantee::Transactional => pb::Guarantee::Transactional,
            Guarantee::Idempotent => pb::Guarantee::Idempotent,
            Guarantee::AtLeastOnce => pb::Guarantee::AtLeastOnce,
        };
        pb::SpecResponse {
            protocol_versions: vec![1],
            name: spec.name,
            version: spec.version,
            config_schema_json: spec.config_schema_json,
            resource_schema_json: spec.resource_schema_json,
            resource_path_pointers: spec.resource_path_pointers,
            documentation_url: spec.documentation_url,
            encodings: vec![common::Encoding::Json.into()],
            splits: false,
            max_message_bytes: MESSAGE_MAX_BYTES as u64,
            guarantee: guarantee.into(),
            deletes: spec.deletes,
            reserved_field_names: spec.reserved_field_names,
            identifier_rules: Some(pb::IdentifierRules {
                max_bytes: spec.identifier_max_bytes.unwrap_or_default(),
                case_insensitive: spec.identifier_case_insensitive,
                forbidden_characters: spec.identifier_forbidden_characters,
            }),
            keeps_meta: spec.keeps_meta,
            verifies: spec.verifies,
        }
    }
}

impl From<Validate> for pb::ValidateRequest {
    fn from(validate: Validate) -> Self {
        pb::ValidateRequest {
            owner: Some(validate.owner.into()),
            config_json: validate.config_json,
            bindings: validate.bindings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Validated> for pb::ValidateResponse {
    fn from(validated: Validated) -> Self {
        pb::ValidateResponse {
            bindings: validated.bindings.into_iter().map(Into::into).collect(),
            findings: validated.findings.into_iter().map(Into::into).collect(),
            recorded: validated.recorded.map(Into::into),
        }
    }
}

impl From<ValidatedBinding> for pb::Validated {
    fn from(validated: ValidatedBinding) -> Self {
        let modes = match validated.modes {
            Modes::Standard => pb::Modes::Standard,
            Modes::DeltaOnly => pb::Modes::DeltaOnly,
            Modes::Both => pb::Modes::Both,
        };
        pb::Validated {
            resource_path: validated.resource_path,
            modes: modes.into(),
            wants_existence: validated.wants_existence,
            fields: validated.fields.into_iter().map(Into::into).collect(),
            claim: validated.claim,
            loads: match validated.loads {
                Loads::Nothing => pb::Loads::Unspecified,
                Loads::Fields => pb::Loads::Fields,
                Loads::Document => pb::Loads::Document,
            }
            .into(),
            loads_reason: validated.loads_reason,
            partial_updates: validated.partial_updates,
            truncates: validated.truncates,
            backfills: validated.backfills,
        }
    }
}

impl From<FieldConstraint> for pb::FieldConstraint {
    fn from(field: FieldConstraint) -> Self {
        let constraint = match field.constraint {
            Constraint::Required => pb::Constraint::Required,
            Constraint::Recommended => pb::Constraint::Recommended,
            Constraint::Optional => pb::Constraint::Optional,
            Constraint::Forbidden => pb::Constraint::Forbidden,
            Constraint::Incompatible => pb::Constraint::Incompatible,
        };
        pb::FieldConstraint { pointer: field.pointer, constraint: constraint.into(), reason: field.reason }
    }
}

impl From<Apply> for pb::ApplyRequest {
    fn from(apply: Apply) -> Self {
        let (plan_transaction, plan) =
            apply.pending.map_or((0, Bytes::new()), |pending| (pending.transaction, pending.plan));
        pb::ApplyRequest {
            owner: Some(apply.owner.into()),
            config_json: apply.config_json,
            bindings: bindings_to_wire(apply.bindings),
            previous: bindings_to_wire(apply.previous),
            state: Some(apply.state.into()),
            plan,
            plan_transaction,
            fresh: apply.fresh.iter().map(|key| key.as_str().to_owned()).collect(),
            take_over: apply.take_over,
            dry_run: apply.dry_run,
            remove: apply.remove,
        }
    }
}

impl From<Applied> for pb::ApplyResponse {
    fn from(applied: Applied) -> Self {
        pb::ApplyResponse {
            actions: applied.actions,
            state_patch: patch(applied.state_patch),
            drained: applied.drained,
        }
    }
}

impl From<Open> for pb::Open {
    fn from(open: Open) -> Self {
        pb::Open {
            owner: Some(open.owner.into()),
            config_json: open.config_json,
            bindings: bindings_to_wire(open.bindings),
            state: Some(open.state.into()),
            transaction: open.transaction,
            plan: open.plan,
        }
    }
}

impl From<ToConnector> for pb::TransactRequest {
    fn from(message: ToConnector) -> Self {
        use pb::transact_request::Kind;
        let kind = match message {
            ToConnector::Open(open) => Kind::Open((*open).into()),
            ToConnector::Acknowledge { transaction } => Kind::Acknowledge(pb::Acknowledge { transaction }),
            ToConnector::Load(Load { binding, keys, keys_only }) => {
                Kind::Load(pb::Load { binding: wire_index(binding), keys: Some(keys.into()), keys_only })
            }
            ToConnector::Flush { transaction } => Kind::Flush(pb::Flush { transaction }),
            ToConnector::Truncate { binding } => Kind::Truncate(pb::Truncate { binding: wire_index(binding) }),
            ToConnector::Backfill(Backfill { binding, begins, completes }) => {
                Kind::Backfill(pb::Backfill { binding: wire_index(binding), begins, completes })
            }
            ToConnector::Store(store) => Kind::Store(store.into()),
            ToConnector::Commit { transaction, checkpoint } => Kind::Commit(pb::Commit { transaction, checkpoint }),
        };
        pb::TransactRequest { kind: Some(kind) }
    }
}

impl From<Store> for pb::Store {
    fn from(store: Store) -> Self {
        let exists = |exists| match exists {
            Exists::Unknown => pb::Exists::Unknown as u8,
            Exists::Absent => pb::Exists::Absent as u8,
            Exists::Present => pb::Exists::Present as u8,
        };
        pb::Store {
            documents: Some(store.documents.into()),
            keys: store.keys.map(Into::into),
            exists: store.exists.into_iter().map(exists).collect(),
            deletes: store.deletes.into_iter().map(u8::from).collect(),
            replaces: store.replaces.into_iter().map(u8::from).collect(),
            partial_updates: store.partial_updates.into_iter().map(u8::from).collect(),
        }
    }
}

impl From<ToRuntime> for pb::TransactResponse {
    fn from(message: ToRuntime) -> Self {
        use pb::transact_response::Kind;
        let kind = match message {
            ToRuntime::Opened(Opened { recorded, close_policy }) => {
                Kind::Opened(pb::Opened { recorded: recorded.map(Into::into), close_policy: Some(close_policy.into()) })
            }
            ToRuntime::Acknowledged { state_patch } => {
                Kind::Acknowledged(pb::Acknowledged { state_patch: patch(state_patch) })
            }
            ToRuntime::Loaded(Loaded { keys, documents }) => {
                Kind::Loaded(pb::Loaded { keys: Some(keys.into()), documents: Some(documents.into()) })
            }
            ToRuntime::Flushed { state_patch } => Kind::Flushed(pb::Flushed { state_patch: patch(state_patch) }),
            ToRuntime::Committed(Committed { state_patch, plan }) => {
                Kind::Committed(pb::Committed { state_patch: patch(state_patch), plan })
            }
            ToRuntime::Rejected(Rejected { binding, keys, code, reason, reasons }) => {
                let (binding, keys) = (wire_index(binding), Some(keys.into()));
                Kind::Rejected(pb::Rejected { binding, keys, code, reason, reasons })
            }
            ToRuntime::Progress(progress) => Kind::Progress(progress.into()),
        };
        pb::TransactResponse { kind: Some(kind) }
    }
}

fn patch(state_patch: StatePatch) -> Option<common::State> {
    (!state_patch.is_empty()).then(|| state_patch.into())
}
