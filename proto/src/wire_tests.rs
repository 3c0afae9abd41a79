//! What is said comes back from the wire as it went in, and each way to break a message is refused by the name of its rule.

use bytes::Bytes;

use crate::batch::{Batch, BatchBuilder, Keys, KeysBuilder};
use crate::name::{InstallationId, StateKey};
use crate::pb::common::v1 as common;
use crate::selection::Selection;
use crate::session::{
    Binding, ClosePolicy, Collection, Finding, Lag, Owner, Progress, ProgressPart, ProposedBinding, Recorded, Severity,
};
use crate::state::{State, StatePatch};

mod batches;
mod capture;
mod damage;
mod materialize;

fn owner() -> Owner {
    Owner { task: "lake".to_owned(), installation: InstallationId::from_bytes([1; 16]), epoch: 7 }
}

fn collection() -> Collection {
    Collection {
        name: "nyc/flights".to_owned(),
        key: vec!["/id".to_owned()],
        schema_json: "{}".into(),
        schema_version: 1,
    }
}

fn proposed() -> ProposedBinding {
    ProposedBinding {
        resource_json: r#"{"table":"flights"}"#.into(),
        collection: collection(),
        delta_updates: true,
        selection: Selection::default(),
    }
}

fn binding() -> Binding {
    let path = vec!["flights".to_owned()];
    Binding {
        state_key: StateKey::new(&path, 2),
        resource_path: path,
        resource_json: r#"{"table":"flights"}"#.into(),
        collection: collection(),
        delta_updates: false,
        selection: Selection::default(),
    }
}

fn state() -> State {
    State::from_parts(Some("{\"at\":1}".into()), [(binding().state_key, Bytes::from("{}"))]).expect("a state")
}

fn patch() -> StatePatch {
    StatePatch::new().with_task(b"{\"at\":null}").expect("a patch").with_dropped(binding().state_key)
}

fn finding() -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "files.path.empty".to_owned(),
        binding: Some(1),
        pointer: "/path".to_owned(),
        message: "expected files, found none".to_owned(),
        suggestion: "check the path".to_owned(),
    }
}

fn recorded() -> Recorded {
    Recorded { installation: InstallationId::from_bytes([2; 16]), epoch: 3, transaction: 4, checkpoint: "c".into() }
}

fn progress() -> Progress {
    Progress {
        parts: vec![ProgressPart { binding: 1, rows: 2, bytes: 3, total_rows: 4, total_bytes: 5 }],
        doing: "reading".to_owned(),
        lag: Some(Lag { bytes: 6, ms: 7 }),
    }
}

fn batch(binding: usize, documents: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(binding);
    documents.iter().for_each(|document| builder.push(document.as_bytes()));
    builder.finish().expect("documents")
}

fn keys(keys: &[&str]) -> Keys {
    let mut builder = KeysBuilder::new();
    keys.iter().for_each(|key| builder.push(key.as_bytes()));
    builder.finish().expect("keys")
}

fn close_policy() -> ClosePolicy {
    ClosePolicy { least_bytes: Some(1), greatest_age_ms: None, when_idle: true }
}

/// Through the bytes of the wire, not only through the generated types.
fn over_the_wire<M: prost::Message + Default>(message: impl Into<M>) -> M {
    M::decode(message.into().encode_to_vec().as_slice()).expect("decodes")
}
