//! The capture protocol's messages to the wire.

use super::message::{
    Applied, Apply, ChangeTracking, Checkpoint, Discover, Discovered, Mechanism, Open, Spec, ToConnector, ToRuntime,
    Validate, Validated,
};
use crate::batch::wire_index;
use crate::limits::MESSAGE_MAX_BYTES;
use crate::pb::capture::v1 as pb;
use crate::pb::common::v1::{Documents, Encoding};
use crate::session::bindings_to_wire;

impl From<Spec> for pb::SpecResponse {
    fn from(spec: Spec) -> Self {
        let mechanism = match spec.mechanism {
            Mechanism::Log => pb::Mechanism::Log,
            Mechanism::Trigger => pb::Mechanism::Trigger,
            Mechanism::Cursor => pb::Mechanism::Cursor,
            Mechanism::FullRefresh => pb::Mechanism::FullRefresh,
        };
        pb::SpecResponse {
            protocol_versions: vec![1],
            name: spec.name,
            version: spec.version,
            config_schema_json: spec.config_schema_json,
            resource_schema_json: spec.resource_schema_json,
            resource_path_pointers: spec.resource_path_pointers,
            documentation_url: spec.documentation_url,
            encodings: vec![Encoding::Json.into()],
            explicit_acknowledgements: spec.explicit_acknowledgements,
            splits: false,
            max_message_bytes: MESSAGE_MAX_BYTES as u64,
            change_tracking: pb::ChangeTracking::from(spec.change_tracking).into(),
            mechanism: mechanism.into(),
            endless: spec.endless,
            verifies: spec.verifies,
        }
    }
}

impl From<ChangeTracking> for pb::ChangeTracking {
    fn from(tracking: ChangeTracking) -> Self {
        match tracking {
            ChangeTracking::Full => pb::ChangeTracking::Full,
            ChangeTracking::KeyOnly => pb::ChangeTracking::KeyOnly,
            ChangeTracking::AppendOnly => pb::ChangeTracking::AppendOnly,
        }
    }
}

impl From<Discover> for pb::DiscoverRequest {
    fn from(discover: Discover) -> Self {
        pb::DiscoverRequest { config_json: discover.config_json, resources_json: discover.resources_json }
    }
}

impl FromIterator<Discovered> for pb::DiscoverResponse {
    fn from_iter<I: IntoIterator<Item = Discovered>>(discovered: I) -> Self {
        pb::DiscoverResponse { bindings: discovered.into_iter().map(Into::into).collect() }
    }
}

impl From<Discovered> for pb::Discovered {
    fn from(discovered: Discovered) -> Self {
        pb::Discovered {
            recommended_collection: discovered.recommended_collection,
            resource_json: discovered.resource_json,
            schema_json: discovered.schema_json,
            key: discovered.key,
            key_is_fallback: discovered.key_is_fallback,
            change_tracking: pb::ChangeTracking::from(discovered.change_tracking).into(),
            disabled: discovered.disabled,
            note: discovered.note,
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
        let bindings = validated.resource_paths.into_iter().map(|resource_path| pb::Validated { resource_path });
        pb::ValidateResponse {
            bindings: bindings.collect(),
            findings: validated.findings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Apply> for pb::ApplyRequest {
    fn from(apply: Apply) -> Self {
        pb::ApplyRequest {
            owner: Some(apply.owner.into()),
            config_json: apply.config_json,
            bindings: bindings_to_wire(apply.bindings),
            previous: bindings_to_wire(apply.previous),
            state: Some(apply.state.into()),
            dry_run: apply.dry_run,
            remove: apply.remove,
        }
    }
}

impl From<Applied> for pb::ApplyResponse {
    fn from(applied: Applied) -> Self {
        pb::ApplyResponse { actions: applied.actions, state_patch: Some(applied.state_patch.into()) }
    }
}

impl From<Open> for pb::Open {
    fn from(open: Open) -> Self {
        pb::Open {
            owner: Some(open.owner.into()),
            config_json: open.config_json,
            bindings: bindings_to_wire(open.bindings),
            state: Some(open.state.into()),
        }
    }
}

impl From<ToConnector> for pb::PullRequest {
    fn from(message: ToConnector) -> Self {
        use pb::pull_request::Kind;
        let kind = match message {
            ToConnector::Open(open) => Kind::Open((*open).into()),
            ToConnector::Acknowledge { checkpoints } => Kind::Acknowledge(pb::Acknowledge { checkpoints }),
            ToConnector::Stop => Kind::Stop(pb::Stop {}),
        };
        pb::PullRequest { kind: Some(kind) }
    }
}

impl From<ToRuntime> for pb::PullResponse {
    fn from(message: ToRuntime) -> Self {
        use pb::pull_response::Kind;
        let kind = match message {
            ToRuntime::Opened => Kind::Opened(pb::Opened {}),
            ToRuntime::Captured(batch) => Kind::Captured(batch.into()),
            ToRuntime::TooLarge { binding, document } => Kind::Captured(Documents {
                binding: wire_index(binding),
                encoding: Encoding::Json.into(),
                count: 1,
                ends: vec![wire_index(document.len())],
                arena: document,
            }),
            ToRuntime::SourcedSchema { binding, schema_json } => {
                Kind::SourcedSchema(pb::SourcedSchema { binding: wire_index(binding), schema_json })
            }
            ToRuntime::BackfillBegin { binding } => {
                Kind::BackfillBegin(pb::BackfillBegin { binding: wire_index(binding) })
            }
            ToRuntime::BackfillComplete { binding } => {
                Kind::BackfillComplete(pb::BackfillComplete { binding: wire_index(binding) })
            }
            ToRuntime::Truncated { binding } => Kind::Truncated(pb::Truncated { binding: wire_index(binding) }),
            ToRuntime::Checkpoint(Checkpoint { state_patch, caught_up, partial }) => {
                let state_patch = (!state_patch.is_empty()).then(|| state_patch.into());
                Kind::Checkpoint(pb::Checkpoint { state_patch, caught_up, partial })
            }
            ToRuntime::Progress(progress) => Kind::Progress(progress.into()),
        };
        pb::PullResponse { kind: Some(kind) }
    }
}
