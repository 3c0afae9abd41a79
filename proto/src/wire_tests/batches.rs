//! Batches: their arena and ends.

use super::*;
use crate::capture::message::ToRuntime;
use crate::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES};
use crate::pb::capture::v1 as pb;

fn parse(documents: common::Documents) -> Result<ToRuntime, crate::Error> {
    ToRuntime::parse(pb::PullResponse { kind: Some(pb::pull_response::Kind::Captured(documents)) }, 2)
}

fn good() -> common::Documents {
    batch(1, &["{}", "{\"a\":1}"]).into()
}

#[track_caller]
fn check(code: &str, documents: common::Documents) {
    let error = parse(documents).expect_err("a broken rule");
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.starts_with("the connector sent Captured: expected"), "{error}");
}

#[test]
fn x_3_a_batch_is_walked_as_it_was_built() {
    let Ok(ToRuntime::Captured(batch)) = parse(good()) else { panic!("a batch") };
    assert_eq!((batch.binding(), batch.len(), batch.byte_len()), (1, 2, 9));
    assert_eq!(batch.documents().collect::<Vec<_>>(), [b"{}".as_slice(), b"{\"a\":1}"]);
    assert_eq!(batch.document(1), Some(b"{\"a\":1}".as_slice()));
    assert_eq!(batch.document(2), None);
    assert_eq!(Batch::from_parts(1, batch.arena().clone(), batch.ends().to_vec()), Ok(batch));
}

#[test]
fn x_3_ends_cut_the_whole_arena() {
    check("X-3", common::Documents { ends: vec![2], ..good() });
    check("X-3", common::Documents { count: 3, ..good() });
    check("X-3", common::Documents { ends: vec![2, 8], ..good() });
    check("X-3", common::Documents { ends: vec![2, 10], ..good() });
    check("X-3", common::Documents { ends: vec![9, 2], ..good() });
    check("X-3", common::Documents { ends: vec![9, 9], ..good() });
    check("X-3", common::Documents { ends: vec![0, 9], ..good() });
    check("X-3", common::Documents { ends: vec![2, u32::MAX], ..good() });
    check("X-3", common::Documents { ends: vec![], count: 0, arena: Bytes::new(), ..good() });
}

#[test]
fn x_3_only_json_is_spoken() {
    check("X-3", common::Documents { encoding: common::Encoding::ArrowIpc.into(), ..good() });
    check("X-3", common::Documents { encoding: common::Encoding::Unspecified.into(), ..good() });
    check("X-1", common::Documents { encoding: 77, ..good() });
}

#[test]
fn x_2_a_binding_is_one_of_the_session() {
    check("X-2", common::Documents { binding: 2, ..good() });
    check("X-2", common::Documents { binding: u32::MAX, ..good() });
}

fn sized(documents: usize, bytes: usize) -> common::Documents {
    let mut builder = BatchBuilder::new(0);
    let document = vec![b'x'; bytes];
    (0..documents).for_each(|_| builder.push(&document));
    builder.finish().expect("documents").into()
}

#[test]
fn x_5_a_batch_has_a_limit_unless_it_is_one_document() {
    assert!(parse(sized(2, BATCH_MAX_BYTES / 2)).is_ok());
    check("X-5", sized(2, BATCH_MAX_BYTES / 2 + 1));
    assert!(parse(sized(1, DOCUMENT_MAX_BYTES)).is_ok());
}

#[test]
fn x_4_a_document_over_the_limit_is_a_fault_of_the_document() {
    // Alone it can be told whose it is, so it is the runtime's to judge.
    let alone = parse(sized(1, DOCUMENT_MAX_BYTES + 1));
    let is_told = |message| matches!(message, ToRuntime::TooLarge { binding: 0, document } if document.len() > DOCUMENT_MAX_BYTES);
    assert!(alone.is_ok_and(is_told));
    let error = parse(sized(2, DOCUMENT_MAX_BYTES + 1)).expect_err("one byte over");
    assert_eq!(
        (error.kind, error.code.as_str(), error.binding),
        (crate::ErrorKind::Data, "document.too_large", Some(0))
    );
}

#[test]
fn a_builder_knows_when_a_batch_is_full() {
    let mut builder = BatchBuilder::new(0);
    assert!(builder.fits(DOCUMENT_MAX_BYTES));
    assert!(!builder.fits(DOCUMENT_MAX_BYTES + 1));
    builder.push(b"{}");
    assert!(builder.fits(BATCH_MAX_BYTES - 2));
    assert!(!builder.fits(BATCH_MAX_BYTES - 1));
}

#[test]
fn a_document_that_fails_to_be_written_leaves_nothing_behind() {
    let mut builder = BatchBuilder::new(0);
    let failed = builder.push_with(|arena| {
        arena.extend_from_slice(b"{\"half\":");
        Err("no value")
    });
    assert_eq!((failed, builder.len(), builder.byte_len()), (Err("no value"), 0, 0));
    assert_eq!(builder.finish(), None);
}
