//! The capture protocol's messages from the wire: whatever breaks a rule is refused here, by the rule's name.

use super::message::{
    Applied, Apply, ChangeTracking, Checkpoint, Discover, Discovered, Mechanism, Open, Spec, ToConnector, ToRuntime,
    Validate, Validated,
};
use crate::batch::Batch;
use crate::error::Error;
use crate::parse::{Sent, Side};
use crate::pb::capture::v1 as pb;
use crate::rules;
use crate::session::{Owner, Selects, bindings_unique, findings, progress, proposed};
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
        let change_tracking = change_tracking(pb.change_tracking(), sent)?;
        let mechanism = match pb.mechanism() {
            pb::Mechanism::Unspecified => return Err(sent.unknown("a mechanism")),
            pb::Mechanism::Log => Mechanism::Log,
            pb::Mechanism::Trigger => Mechanism::Trigger,
            pb::Mechanism::Cursor => Mechanism::Cursor,
            pb::Mechanism::FullRefresh => Mechanism::FullRefresh,
        };
        Ok(Self {
            name: sent.connector_name(pb.name)?,
            version: pb.version,
            config_schema_json: sent.object("the config's schema", pb.config_schema_json)?,
            resource_schema_json: sent.object("the resource's schema", pb.resource_schema_json)?,
            resource_path_pointers: pb.resource_path_pointers,
            documentation_url: pb.documentation_url,
            explicit_acknowledgements: pb.explicit_acknowledgements,
            change_tracking,
            mechanism,
            endless: pb.endless,
            verifies: pb.verifies,
        })
    }
}

fn change_tracking(pb: pb::ChangeTracking, sent: Sent) -> Result<ChangeTracking, Error> {
    match pb {
        pb::ChangeTracking::Unspecified => Err(sent.unknown("a change tracking")),
        pb::ChangeTracking::Full => Ok(ChangeTracking::Full),
        pb::ChangeTracking::KeyOnly => Ok(ChangeTracking::KeyOnly),
        pb::ChangeTracking::AppendOnly => Ok(ChangeTracking::AppendOnly),
    }
}

impl TryFrom<pb::DiscoverRequest> for Discover {
    type Error = Error;

    fn try_from(pb: pb::DiscoverRequest) -> Result<Self, Error> {
        let sent = by_runtime("Discover");
        let resources = pb.resources_json.into_iter().map(|json| sent.object("a resource", json));
        Ok(Self {
            config_json: sent.object("config", pb.config_json)?,
            resources_json: resources.collect::<Result<_, _>>()?,
        })
    }
}

impl Discovered {
    /// The answer to a [`Discover`] with so many resources (0: a list of what there is).
    pub fn parse_all(pb: pb::DiscoverResponse, resources: usize) -> Result<Vec<Self>, Error> {
        let sent = by_connector("an answer to Discover");
        if resources > 0 {
            sent.answers("discovered resources", resources, pb.bindings.len())?;
        }
        pb.bindings.into_iter().map(|pb| Self::parse(pb, sent)).collect()
    }

    fn parse(pb: pb::Discovered, sent: Sent) -> Result<Self, Error> {
        sent.key(&pb.key)?;
        Ok(Self {
            change_tracking: change_tracking(pb.change_tracking(), sent)?,
            recommended_collection: sent.name("collection", pb.recommended_collection)?,
            resource_json: sent.object("a resource", pb.resource_json)?,
            schema_json: sent.object("a document schema", pb.schema_json)?,
            key: pb.key,
            key_is_fallback: pb.key_is_fallback,
            disabled: pb.disabled,
            note: pb.note,
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
            bindings: proposed(pb.bindings, sent, Selects::Nothing)?,
        })
    }
}

impl Validated {
    /// The answer to a [`Validate`] with so many bindings.
    pub fn parse(pb: pb::ValidateResponse, bindings: usize) -> Result<Self, Error> {
        let sent = by_connector("an answer to Validate");
        sent.answers("resource paths", bindings, pb.bindings.len())?;
        let paths = pb.bindings.into_iter().map(|validated| sent.resource_path(validated.resource_path));
        Ok(Self { resource_paths: paths.collect::<Result<_, _>>()?, findings: findings(pb.findings, sent, bindings)? })
    }
}

impl TryFrom<pb::ApplyRequest> for Apply {
    type Error = Error;

    fn try_from(pb: pb::ApplyRequest) -> Result<Self, Error> {
        let sent = by_runtime("Apply");
        Ok(Self {
            owner: Owner::parse(pb.owner, sent, 1)?,
            config_json: sent.object("config", pb.config_json)?,
            bindings: bindings_unique(pb.bindings, sent, Selects::Nothing)?,
            previous: bindings_unique(pb.previous, sent, Selects::Nothing)?,
            state: State::parse(pb.state, sent)?,
            dry_run: pb.dry_run,
            remove: pb.remove,
        })
    }
}

impl TryFrom<pb::ApplyResponse> for Applied {
    type Error = Error;

    fn try_from(pb: pb::ApplyResponse) -> Result<Self, Error> {
        let sent = by_connector("an answer to Apply");
        Ok(Self { actions: pb.actions, state_patch: StatePatch::parse(pb.state_patch, sent)? })
    }
}

impl TryFrom<pb::PullRequest> for ToConnector {
    type Error = Error;

    fn try_from(pb: pb::PullRequest) -> Result<Self, Error> {
        use pb::pull_request::Kind;
        match pb.kind {
            None => Err(by_runtime("a message of Pull").unknown("a kind of message")),
            Some(Kind::Open(open)) => open.try_into().map(|open| ToConnector::Open(Box::new(open))),
            Some(Kind::Acknowledge(pb::Acknowledge { checkpoints: 0 })) => {
                Err(by_runtime("Acknowledge").broke(rules::ACKNOWLEDGE_OUTSTANDING, "a count of at least 1", 0))
            }
            Some(Kind::Acknowledge(pb::Acknowledge { checkpoints })) => Ok(ToConnector::Acknowledge { checkpoints }),
            Some(Kind::Stop(pb::Stop {})) => Ok(ToConnector::Stop),
        }
    }
}

impl TryFrom<pb::Open> for Open {
    type Error = Error;

    fn try_from(pb: pb::Open) -> Result<Self, Error> {
        let sent = by_runtime("Open");
        Ok(Self {
            owner: Owner::parse(pb.owner, sent, 1)?,
            config_json: sent.object("config", pb.config_json)?,
            bindings: bindings_unique(pb.bindings, sent, Selects::Nothing)?,
            state: State::parse(pb.state, sent)?,
        })
    }
}

impl ToRuntime {
    /// A message of a session that was opened with so many bindings.
    pub fn parse(pb: pb::PullResponse, bindings: usize) -> Result<Self, Error> {
        use pb::pull_response::Kind;
        let binding = |message, index| by_connector(message).binding(index, bindings);
        match pb.kind {
            None => Err(by_connector("a message of Pull").unknown("a kind of message")),
            Some(Kind::Opened(pb::Opened {})) => Ok(ToRuntime::Opened),
            Some(Kind::Captured(documents)) if Batch::is_one_too_large(&documents) => {
                Ok(ToRuntime::TooLarge { binding: binding("Captured", documents.binding)?, document: documents.arena })
            }
            Some(Kind::Captured(documents)) => {
                Batch::parse(documents, by_connector("Captured"), bindings).map(ToRuntime::Captured)
            }
            Some(Kind::SourcedSchema(pb)) => Ok(ToRuntime::SourcedSchema {
                binding: binding("SourcedSchema", pb.binding)?,
                schema_json: by_connector("SourcedSchema").object("a document schema", pb.schema_json)?,
            }),
            Some(Kind::BackfillBegin(pb)) => {
                Ok(ToRuntime::BackfillBegin { binding: binding("BackfillBegin", pb.binding)? })
            }
            Some(Kind::BackfillComplete(pb)) => {
                Ok(ToRuntime::BackfillComplete { binding: binding("BackfillComplete", pb.binding)? })
            }
            Some(Kind::Truncated(pb)) => Ok(ToRuntime::Truncated { binding: binding("Truncated", pb.binding)? }),
            Some(Kind::Checkpoint(pb)) => Ok(ToRuntime::Checkpoint(Checkpoint {
                state_patch: StatePatch::parse(pb.state_patch, by_connector("Checkpoint"))?,
                caught_up: pb.caught_up,
                partial: pb.partial,
            })),
            Some(Kind::Progress(pb)) => progress(pb, by_connector("Progress"), bindings).map(ToRuntime::Progress),
        }
    }
}
