//! The capture protocol over the wire.

use super::*;
use crate::capture::message::*;
use crate::pb::capture::v1 as pb;

fn spec() -> Spec {
    Spec {
        name: "capture-files".to_owned(),
        version: "0.1.0".to_owned(),
        config_schema_json: "{}".into(),
        resource_schema_json: "{}".into(),
        resource_path_pointers: vec!["/glob".to_owned()],
        documentation_url: String::new(),
        explicit_acknowledgements: true,
        change_tracking: ChangeTracking::AppendOnly,
        mechanism: Mechanism::Cursor,
        endless: false,
        verifies: true,
    }
}

fn open() -> Open {
    Open { owner: owner(), config_json: "{}".into(), bindings: vec![binding()], state: state() }
}

fn discovered() -> Discovered {
    Discovered {
        recommended_collection: "flights".to_owned(),
        resource_json: "{}".into(),
        schema_json: "{}".into(),
        key: vec!["/id".to_owned()],
        key_is_fallback: true,
        change_tracking: ChangeTracking::Full,
        disabled: true,
        note: "3 files".to_owned(),
    }
}

#[test]
fn unary_calls_come_back_as_they_went_in() {
    assert_eq!(Spec::try_from(over_the_wire::<pb::SpecResponse>(spec())), Ok(spec()));

    let discover = Discover { config_json: "{}".into(), resources_json: vec!["{}".into()] };
    assert_eq!(Discover::try_from(over_the_wire::<pb::DiscoverRequest>(discover.clone())), Ok(discover));
    let answer = || over_the_wire(pb::DiscoverResponse::from_iter([discovered()]));
    assert_eq!(Discovered::parse_all(answer(), 1), Ok(vec![discovered()]));
    assert_eq!(Discovered::parse_all(answer(), 0), Ok(vec![discovered()]));

    let validate =
        Validate { owner: Owner { epoch: 0, ..owner() }, config_json: "{}".into(), bindings: vec![proposed()] };
    assert_eq!(Validate::try_from(over_the_wire::<pb::ValidateRequest>(validate.clone())), Ok(validate));
    let validated =
        Validated { resource_paths: vec![vec!["a".to_owned()], vec!["b".to_owned()]], findings: vec![finding()] };
    assert_eq!(Validated::parse(over_the_wire(validated.clone()), 2), Ok(validated));

    let apply = Apply {
        owner: owner(),
        config_json: "{}".into(),
        bindings: vec![binding()],
        previous: vec![binding()],
        state: state(),
        dry_run: true,
        remove: true,
    };
    assert_eq!(Apply::try_from(over_the_wire::<pb::ApplyRequest>(apply.clone())), Ok(apply));
    let applied = Applied { actions: vec!["made a slot".to_owned()], state_patch: patch() };
    assert_eq!(Applied::try_from(over_the_wire::<pb::ApplyResponse>(applied.clone())), Ok(applied));
}

#[test]
fn each_message_of_pull_comes_back_as_it_went_in() {
    for message in [ToConnector::Open(Box::new(open())), ToConnector::Acknowledge { checkpoints: 3 }, ToConnector::Stop]
    {
        assert_eq!(ToConnector::try_from(over_the_wire::<pb::PullRequest>(message.clone())), Ok(message));
    }
    for message in [
        ToRuntime::Opened,
        ToRuntime::Captured(batch(1, &["{}"])),
        ToRuntime::SourcedSchema { binding: 1, schema_json: "{}".into() },
        ToRuntime::BackfillBegin { binding: 1 },
        ToRuntime::BackfillComplete { binding: 1 },
        ToRuntime::TooLarge { binding: 1, document: vec![b'x'; crate::limits::DOCUMENT_MAX_BYTES + 1].into() },
        ToRuntime::Truncated { binding: 1 },
        ToRuntime::Checkpoint(Checkpoint { state_patch: patch(), caught_up: true, partial: true }),
        ToRuntime::Checkpoint(Checkpoint::default()),
        ToRuntime::Progress(progress()),
    ] {
        assert_eq!(ToRuntime::parse(over_the_wire::<pb::PullResponse>(message.clone()), 2), Ok(message));
    }
}

#[track_caller]
fn refused_open(code: &str, change: impl FnOnce(&mut pb::Open)) {
    let mut pb = pb::Open::from(open());
    change(&mut pb);
    let request = pb::PullRequest { kind: Some(pb::pull_request::Kind::Open(pb)) };
    let error = ToConnector::try_from(request).expect_err("a broken rule");
    assert_eq!(error.code, code, "{error}");
}

#[test]
fn x_11_open_names_its_owner() {
    refused_open("X-11", |open| open.owner = None);
    refused_open("X-11", |open| open.owner.get_or_insert_default().epoch = 0);
    refused_open("X-11", |open| open.owner.get_or_insert_default().range = None);
    refused_open("X-11", |open| open.owner.get_or_insert_default().range = Some(common::KeyRange { begin: 0, end: 9 }));
}

#[test]
fn x_10_open_holds_names_that_last() {
    refused_open("X-10", |open| open.owner.get_or_insert_default().installation_id = "A".repeat(32));
    refused_open("X-10", |open| open.owner.get_or_insert_default().task = "../etc".to_owned());
    refused_open("X-10", |open| open.bindings[0].collection.get_or_insert_default().key = vec!["id".to_owned()]);
    refused_open("X-10", |open| open.bindings[0].collection.get_or_insert_default().key = vec![]);
    refused_open("X-10", |open| open.bindings[0].state_key = "flights".to_owned());
    refused_open("X-10", |open| open.bindings[0].resource_path = vec!["planes".to_owned()]);
    refused_open("X-10", |open| open.bindings.push(open.bindings[0].clone()));
}

#[test]
fn x_8_config_resources_and_schemas_are_objects() {
    refused_open("X-8", |open| open.config_json = "[]".into());
    refused_open("X-8", |open| open.config_json = "{\"a\":1,\"a\":2}".into());
    refused_open("X-8", |open| open.config_json = Bytes::from_static(b"{\"a\":\"\xff\"}"));
    refused_open("X-8", |open| open.bindings[0].resource_json = "no".into());
    refused_open("X-8", |open| open.bindings[0].collection.get_or_insert_default().schema_json = Bytes::new());
}

#[test]
fn x_1_a_binding_has_a_collection() {
    refused_open("X-1", |open| open.bindings[0].collection = None);
}

#[test]
fn x_9_the_state_in_open_has_a_shape() {
    refused_open("X-9", |open| open.state.get_or_insert_default().task_json = "1".into());
    refused_open("X-9", |open| {
        let parts = &mut open.state.get_or_insert_default().parts;
        parts.push(parts[0].clone());
    });
}

#[track_caller]
fn refused_spec(code: &str, change: impl FnOnce(&mut pb::SpecResponse)) {
    let mut pb = pb::SpecResponse::from(spec());
    change(&mut pb);
    let error = Spec::try_from(pb).expect_err("a broken rule");
    assert_eq!(error.code, code, "{error}");
}

#[test]
fn x_13_a_spec_says_what_it_must() {
    refused_spec("X-13", |spec| spec.protocol_versions = vec![2]);
    refused_spec("X-13", |spec| spec.encodings = vec![]);
    refused_spec("X-13", |spec| spec.name = String::new());
    refused_spec("X-13", |spec| spec.resource_path_pointers = vec![]);
    refused_spec("X-10", |spec| spec.resource_path_pointers = vec!["glob".to_owned()]);
    refused_spec("X-8", |spec| spec.config_schema_json = Bytes::new());
    refused_spec("X-5", |spec| spec.max_message_bytes = 4 << 20);
    refused_spec("X-1", |spec| spec.mechanism = 0);
    refused_spec("X-1", |spec| spec.mechanism = 99);
    refused_spec("X-1", |spec| spec.change_tracking = 0);
}

#[test]
fn x_12_answers_are_as_many_as_questions() {
    let answer = || over_the_wire(pb::DiscoverResponse::from_iter([discovered()]));
    assert_eq!(Discovered::parse_all(answer(), 2).expect_err("one of two").code, "X-12");
    let validated = Validated { resource_paths: vec![vec!["a".to_owned()]], findings: vec![] };
    assert_eq!(Validated::parse(validated.into(), 2).expect_err("one of two").code, "X-12");
    let validated = Validated { resource_paths: vec![vec![]], findings: vec![] };
    assert_eq!(Validated::parse(validated.into(), 1).expect_err("an empty path").code, "X-10");
    let validated = Validated { resource_paths: vec![vec!["a".to_owned()]], findings: vec![finding()] };
    assert_eq!(Validated::parse(validated.into(), 1).expect_err("a finding about binding 1").code, "X-2");
}

#[test]
fn x_1_and_x_2_messages_of_pull_are_known_and_of_a_binding_of_the_session() {
    let refused = |code: &str, kind| {
        let error = ToRuntime::parse(pb::PullResponse { kind }, 2).expect_err("a broken rule");
        assert_eq!(error.code, code, "{error}");
    };
    use pb::pull_response::Kind;
    refused("X-1", None);
    refused("X-2", Some(Kind::BackfillBegin(pb::BackfillBegin { binding: 2 })));
    refused("X-2", Some(Kind::BackfillComplete(pb::BackfillComplete { binding: 2 })));
    refused("X-2", Some(Kind::Truncated(pb::Truncated { binding: 2 })));
    refused("X-2", Some(Kind::SourcedSchema(pb::SourcedSchema { binding: 2, schema_json: "{}".into() })));
    refused("X-8", Some(Kind::SourcedSchema(pb::SourcedSchema { binding: 0, schema_json: "".into() })));
    let parts = vec![common::progress::Part { binding: 2, ..Default::default() }];
    refused("X-2", Some(Kind::Progress(common::Progress { parts, doing: String::new(), lag: None })));
    let state_patch = Some(common::State { task_json: "[]".into(), parts: vec![] });
    refused("X-9", Some(Kind::Checkpoint(pb::Checkpoint { state_patch, caught_up: false, partial: false })));

    assert_eq!(ToConnector::try_from(pb::PullRequest { kind: None }).expect_err("empty").code, "X-1");
    let nothing =
        pb::PullRequest { kind: Some(pb::pull_request::Kind::Acknowledge(pb::Acknowledge { checkpoints: 0 })) };
    assert_eq!(ToConnector::try_from(nothing).expect_err("an Acknowledge of nothing").code, "C-4");
}
