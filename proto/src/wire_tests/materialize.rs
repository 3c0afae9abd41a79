//! The materialize protocol over the wire.

use super::*;
use crate::materialize::message::*;
use crate::pb::materialize::v1 as pb;
use crate::selection::{Field, JsonType};

fn selection() -> Selection {
    let field = |pointer: &str, name: &str, types: &[JsonType]| Field {
        pointer: pointer.to_owned(),
        name: name.to_owned(),
        types: types.to_vec(),
    };
    let fields =
        vec![field("/id", "Id_2", &[]), field("/v", "v", &JsonType::ALL[..3]), field("/v", "v_s", &JsonType::ALL[3..])];
    Selection { fields, document: Some("doc".to_owned()), chosen: true }
}

fn binding() -> Binding {
    Binding { selection: selection(), ..super::binding() }
}

fn proposed() -> ProposedBinding {
    ProposedBinding { selection: selection(), ..super::proposed() }
}

fn spec() -> Spec {
    Spec {
        name: "materialize-sqlite".to_owned(),
        version: "0.1.0".to_owned(),
        config_schema_json: "{}".into(),
        resource_schema_json: "{}".into(),
        resource_path_pointers: vec!["/table".to_owned()],
        documentation_url: "https://example.org".to_owned(),
        guarantee: Guarantee::Transactional,
        deletes: true,
        reserved_field_names: vec!["rowid".to_owned()],
        identifier_max_bytes: Some(63),
        identifier_case_insensitive: true,
        identifier_forbidden_characters: "\0.".to_owned(),
        keeps_meta: true,
        verifies: true,
    }
}

fn validated() -> Validated {
    let field =
        FieldConstraint { pointer: "/id".to_owned(), constraint: Constraint::Required, reason: "the key".to_owned() };
    let binding = ValidatedBinding {
        resource_path: vec!["flights".to_owned()],
        modes: Modes::DeltaOnly,
        wants_existence: true,
        fields: vec![field],
        claim: "a file".to_owned(),
        loads: Loads::Fields,
        loads_reason: "no column for the whole".to_owned(),
        partial_updates: true,
        truncates: true,
        backfills: true,
    };
    Validated { bindings: vec![binding.clone(), binding], findings: vec![finding()], recorded: Some(recorded()) }
}

fn open() -> Open {
    Open {
        owner: owner(),
        config_json: "{}".into(),
        bindings: vec![binding()],
        state: state(),
        transaction: 3,
        plan: "rename".into(),
    }
}

fn apply() -> Apply {
    Apply {
        owner: owner(),
        config_json: "{}".into(),
        bindings: vec![binding()],
        previous: vec![binding()],
        state: state(),
        pending: Some(Pending { transaction: 3, plan: "rename".into() }),
        fresh: vec![binding().state_key],
        take_over: true,
        dry_run: true,
        remove: true,
    }
}

fn store() -> Store {
    Store {
        documents: batch(1, &["{\"id\":1}", "{\"id\":2}", "{\"id\":3}"]),
        keys: Some(keys(&["[1]", "[2]", "[3]"])),
        exists: vec![Exists::Absent, Exists::Present, Exists::Unknown],
        deletes: vec![false, true, false],
        replaces: vec![true, false, false],
        partial_updates: vec![false, false, true],
    }
}

#[test]
fn unary_calls_come_back_as_they_went_in() {
    assert_eq!(Spec::try_from(over_the_wire::<pb::SpecResponse>(spec())), Ok(spec()));
    let validate = Validate { owner: owner(), config_json: "{}".into(), bindings: vec![proposed()] };
    assert_eq!(Validate::try_from(over_the_wire::<pb::ValidateRequest>(validate.clone())), Ok(validate));
    assert_eq!(Validated::parse(over_the_wire(validated()), 2), Ok(validated()));
    assert_eq!(Apply::try_from(over_the_wire::<pb::ApplyRequest>(apply())), Ok(apply()));
    let applied = Applied { actions: vec!["made a table".to_owned()], state_patch: patch(), drained: true };
    assert_eq!(Applied::try_from(over_the_wire::<pb::ApplyResponse>(applied.clone())), Ok(applied));
}

#[test]
fn each_message_of_transact_comes_back_as_it_went_in() {
    for message in [
        ToConnector::Open(Box::new(open())),
        ToConnector::Acknowledge { transaction: 0 },
        ToConnector::Load(Load { binding: 1, keys: keys(&["[1]"]), keys_only: true }),
        ToConnector::Flush { transaction: 4 },
        ToConnector::Truncate { binding: 1 },
        ToConnector::Backfill(Backfill { binding: 1, begins: true, completes: false }),
        ToConnector::Backfill(Backfill { binding: 0, begins: false, completes: true }),
        ToConnector::Store(store()),
        ToConnector::Store(Store::plain(store().documents, None)),
        ToConnector::Commit { transaction: 4, checkpoint: "c".into() },
    ] {
        assert_eq!(ToConnector::parse(over_the_wire::<pb::TransactRequest>(message.clone()), 2), Ok(message));
    }
    for message in [
        ToRuntime::Opened(Opened { recorded: Some(recorded()), close_policy: close_policy() }),
        ToRuntime::Opened(Opened::default()),
        ToRuntime::Acknowledged { state_patch: patch() },
        ToRuntime::Loaded(Loaded { keys: keys(&["[1]"]), documents: batch(1, &["{}"]) }),
        ToRuntime::Flushed { state_patch: StatePatch::new() },
        ToRuntime::Committed(Committed { state_patch: patch(), plan: "rename".into() }),
        ToRuntime::Rejected(Rejected {
            binding: 1,
            keys: keys(&["[1]"]),
            code: "sqlite.nul".to_owned(),
            reason: "no".to_owned(),
            reasons: vec!["because".to_owned()],
        }),
        ToRuntime::Progress(progress()),
    ] {
        assert_eq!(ToRuntime::parse(over_the_wire::<pb::TransactResponse>(message.clone()), 2), Ok(message));
    }
}

#[track_caller]
fn refused_store(code: &str, change: impl FnOnce(&mut pb::Store)) {
    let mut pb = pb::Store::from(store());
    change(&mut pb);
    let request = pb::TransactRequest { kind: Some(pb::transact_request::Kind::Store(pb)) };
    let error = ToConnector::parse(request, 2).expect_err("a broken rule");
    assert_eq!(error.code, code, "{error}");
}

#[test]
fn m_9_a_store_is_refused_by_the_name_of_the_rule() {
    refused_store("X-3", |store| store.documents = None);
    refused_store("X-3", |store| store.keys = Some(keys(&["[1]"]).into()));
    refused_store("X-3", |store| store.keys.get_or_insert_default().ends = vec![3]);
    refused_store("X-2", |store| store.documents.get_or_insert_default().binding = 2);
    refused_store("M-9", |store| store.exists = Bytes::from_static(&[1]));
    refused_store("M-9", |store| store.exists = Bytes::from_static(&[1, 1, 0]));
    refused_store("M-9", |store| store.exists = Bytes::from_static(&[1, 1, 9]));
    refused_store("M-9", |store| store.deletes = Bytes::from_static(&[1, 1, 2]));
    refused_store("M-9", |store| store.replaces = Bytes::from_static(&[1, 1, 1, 1]));
    refused_store("M-9", |store| store.partial_updates = Bytes::from_static(&[0, 0]));
}

#[test]
fn m_17_a_partial_update_is_nothing_else() {
    refused_store("M-17", |store| store.partial_updates = Bytes::from_static(&[1, 0, 0]));
    refused_store("M-17", |store| store.partial_updates = Bytes::from_static(&[0, 1, 0]));
}

#[test]
fn messages_of_transact_are_refused_by_the_name_of_the_rule() {
    use pb::transact_request::Kind as Request;
    let refused = |code: &str, kind| {
        let error = ToConnector::parse(pb::TransactRequest { kind }, 2).expect_err("a broken rule");
        assert_eq!(error.code, code, "{error}");
    };
    refused("X-1", None);
    refused("X-2", Some(Request::Truncate(pb::Truncate { binding: 2 })));
    refused("X-2", Some(Request::Backfill(pb::Backfill { binding: 2, begins: true, completes: true })));
    refused("X-3", Some(Request::Load(pb::Load { binding: 0, keys: None, keys_only: false })));
    refused("X-16", Some(Request::Flush(pb::Flush { transaction: 0 })));
    refused("X-16", Some(Request::Commit(pb::Commit { transaction: 0, checkpoint: Bytes::new() })));
    refused("X-16", Some(Request::Open(pb::Open { transaction: 0, ..open().into() })));

    use pb::transact_response::Kind as Response;
    let refused = |code: &str, kind| {
        let error = ToRuntime::parse(pb::TransactResponse { kind }, 2).expect_err("a broken rule");
        assert_eq!(error.code, code, "{error}");
    };
    refused("X-1", None);
    let loaded = pb::Loaded { keys: Some(keys(&["[1]", "[2]"]).into()), documents: Some(batch(0, &["{}"]).into()) };
    refused("X-3", Some(Response::Loaded(loaded)));
    refused("X-3", Some(Response::Rejected(pb::Rejected::default())));
    let rejected = |binding, reasons: &[&str]| {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        let keys = Some(keys(&["[1]", "[2]"]).into());
        Some(Response::Rejected(pb::Rejected { binding, keys, reasons, ..Default::default() }))
    };
    refused("X-2", rejected(2, &[]));
    refused("M-16", rejected(0, &["a reason for one of two keys"]));
    let recorded = Some(common::Recorded { installation_id: "me".to_owned(), ..recorded().into() });
    refused("X-10", Some(Response::Opened(pb::Opened { recorded, close_policy: None })));
}

#[test]
fn unary_answers_are_refused_by_the_name_of_the_rule() {
    let refused = |code: &str, change: fn(&mut pb::ValidateResponse)| {
        let mut pb = pb::ValidateResponse::from(validated());
        change(&mut pb);
        let error = Validated::parse(pb, 2).expect_err("a broken rule");
        assert_eq!(error.code, code, "{error}");
    };
    refused("X-12", |validated| validated.bindings.truncate(1));
    refused("X-1", |validated| validated.bindings[0].modes = 0);
    refused("X-1", |validated| validated.bindings[0].fields[0].constraint = 0);
    refused("X-1", |validated| validated.findings[0].severity = 0);
    refused("X-2", |validated| validated.findings[0].binding = Some(2));
}

#[test]
fn x_16_a_plan_belongs_to_a_transaction() {
    let unnumbered = pb::ApplyRequest { plan_transaction: 0, ..apply().into() };
    assert_eq!(Apply::try_from(unnumbered).expect_err("a plan of no transaction").code, "X-16");
}

#[test]
fn x_17_fields_are_said_of_materializations_as_the_rule_says() {
    let refused = |code: &str, change: fn(&mut common::Binding)| {
        let mut request = pb::ApplyRequest::from(apply());
        change(&mut request.bindings[0]);
        assert_eq!(Apply::try_from(request).expect_err("a broken rule").code, code);
    };
    refused("X-17", |binding| binding.fields.clear());
    refused("X-17", |binding| binding.fields[1].name = "Id_2".to_owned());
    refused("X-17", |binding| binding.fields[2].types.clear());
    refused("X-17", |binding| binding.document_field = "v".to_owned());
    refused("X-10", |binding| binding.fields[1].pointer = "v".to_owned());
    refused("X-1", |binding| binding.fields[1].types[0] = 0);
    refused("X-1", |binding| binding.fields[1].types[0] = 99);
    let capture =
        crate::capture::message::Validate { owner: owner(), config_json: "{}".into(), bindings: vec![proposed()] };
    let pb = crate::pb::capture::v1::ValidateRequest::from(capture);
    assert_eq!(crate::capture::message::Validate::try_from(pb).expect_err("fields in a capture").code, "X-17");
}

#[test]
fn requests_and_specs_are_refused_by_the_name_of_the_rule() {
    let nameless = pb::ApplyRequest { fresh: vec!["flights".to_owned()], ..apply().into() };
    assert_eq!(Apply::try_from(nameless).expect_err("no state key").code, "X-10");
    assert_eq!(Spec::try_from(pb::SpecResponse { guarantee: 0, ..spec().into() }).expect_err("no promise").code, "X-1");
}
