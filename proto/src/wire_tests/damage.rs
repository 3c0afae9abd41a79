//! Whatever bytes come, parsing ends in a message or in an error that says what to do; it never panics.

use proptest::prelude::*;

use super::*;
use crate::capture::message as capture;
use crate::materialize::message as materialize;
use crate::pb::capture::v1 as capture_pb;
use crate::pb::materialize::v1 as materialize_pb;
use crate::{Error, ErrorKind};

/// A change to some bytes: cut there, or another byte there.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, Option<u8>)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), proptest::option::weighted(0.9, any::<u8>())), 1..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, Option<u8>)]) -> Vec<u8> {
    for (place, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = place.index(bytes.len());
        match byte {
            Some(byte) => bytes[at] = *byte,
            None => bytes.truncate(at),
        }
    }
    bytes
}

/// Decodes and parses, and looks at the kind of the error if there is one.
fn parse<M: prost::Message + Default, T>(bytes: &[u8], parse: impl FnOnce(M) -> Result<T, Error>) {
    if let Ok(message) = M::decode(bytes)
        && let Err(error) = parse(message)
    {
        assert!(matches!(error.kind, ErrorKind::Protocol | ErrorKind::Data), "{error}");
        assert!(!error.suggestion.is_empty() && !error.code.is_empty(), "{error}");
    }
}

fn bytes_of<M: prost::Message>(message: impl Into<M>) -> Vec<u8> {
    message.into().encode_to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn x_15_a_damaged_message_is_refused_and_told(changes in damage()) {
        let owner = owner();
        let open = capture::Open { owner: owner.clone(), config_json: "{}".into(), bindings: vec![binding()], state: state() };
        let bytes = bytes_of::<capture_pb::PullRequest>(capture::ToConnector::Open(Box::new(open)));
        parse(&damaged(bytes, &changes), |pb: capture_pb::PullRequest| capture::ToConnector::try_from(pb));

        let bytes = bytes_of::<capture_pb::PullResponse>(capture::ToRuntime::Captured(batch(1, &["{}", "{\"a\":1}"])));
        parse(&damaged(bytes, &changes), |pb| capture::ToRuntime::parse(pb, 2));

        let checkpoint = capture::Checkpoint { state_patch: patch(), caught_up: true, partial: false };
        let bytes = bytes_of::<capture_pb::PullResponse>(capture::ToRuntime::Checkpoint(checkpoint));
        parse(&damaged(bytes, &changes), |pb| capture::ToRuntime::parse(pb, 2));

        let store = materialize::Store {
            documents: batch(1, &["{}", "{\"a\":1}"]),
            keys: Some(keys(&["[1]", "[2]"])),
            exists: vec![materialize::Exists::Absent; 2],
            deletes: vec![true; 2],
            replaces: vec![true; 2],
            partial_updates: vec![false; 2],
        };
        let bytes = bytes_of::<materialize_pb::TransactRequest>(materialize::ToConnector::Store(store));
        parse(&damaged(bytes, &changes), |pb| materialize::ToConnector::parse(pb, 2));

        let opened = materialize::Opened { recorded: Some(recorded()), close_policy: close_policy() };
        let bytes = bytes_of::<materialize_pb::TransactResponse>(materialize::ToRuntime::Opened(opened));
        parse(&damaged(bytes, &changes), |pb| materialize::ToRuntime::parse(pb, 2));

        let status = tonic::Status::from(Error::fenced("x", "y").held_by(recorded()));
        let details = damaged(status.details().to_vec(), &changes);
        let error = Error::from(tonic::Status::with_details(tonic::Code::Aborted, "y", details.into()));
        prop_assert!(error.to_string().contains('y'), "{}", error);
    }

    #[test]
    fn x_15_any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        parse(&bytes, |pb: capture_pb::PullRequest| capture::ToConnector::try_from(pb));
        parse(&bytes, |pb| capture::ToRuntime::parse(pb, 2));
        parse(&bytes, |pb| materialize::ToConnector::parse(pb, 2));
        parse(&bytes, |pb| materialize::ToRuntime::parse(pb, 2));
        parse(&bytes, |pb: capture_pb::SpecResponse| capture::Spec::try_from(pb));
        parse(&bytes, |pb| materialize::Validated::parse(pb, 1));
    }
}
