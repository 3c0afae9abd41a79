//! What goes out is what any reader of Protocol Buffers understands, and what comes in may be cut anywhere.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body as _, Frame};
use proptest::prelude::*;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::tokio_stream::{self, Stream as _};
use tonic::{Code, Status};

use super::incoming::End;
use super::message::encode;
use super::*;
use crate::limits::MESSAGE_MAX_BYTES;
use crate::pb::common::v1::{Documents, Keys};
use crate::pb::{capture::v1 as capture, materialize::v1 as materialize};

fn documents(bytes: usize) -> Documents {
    let arena = Bytes::from(vec![b'x'; bytes]);
    Documents { binding: 3, encoding: 1, count: 2, arena, ends: vec![1, bytes as u32] }
}

fn captured(bytes: usize) -> capture::PullResponse {
    capture::PullResponse { kind: Some(capture::pull_response::Kind::Captured(documents(bytes))) }
}

fn store(bytes: usize) -> materialize::TransactRequest {
    let keys = Some(Keys { count: 1, arena: Bytes::from_static(b"[1]"), ends: vec![3] });
    let store = materialize::Store {
        documents: Some(documents(bytes)),
        keys,
        exists: Bytes::from_static(&[1]),
        deletes: Bytes::from_static(&[1]),
        ..Default::default()
    };
    materialize::TransactRequest { kind: Some(materialize::transact_request::Kind::Store(store)) }
}

fn loaded(bytes: usize) -> materialize::TransactResponse {
    let keys = Some(Keys { count: 1, arena: Bytes::from_static(b"[1]"), ends: vec![3] });
    let loaded = materialize::Loaded { documents: Some(documents(bytes)), keys };
    materialize::TransactResponse { kind: Some(materialize::transact_response::Kind::Loaded(loaded)) }
}

fn check_written<M: Message + Clone + PartialEq>(message: M, arena_apart: bool) {
    let mut head = BytesMut::new();
    let arena = encode(message.clone(), &mut head).expect("it is within the limit");
    assert_eq!(arena.is_some(), arena_apart);
    head.extend_from_slice(&arena.unwrap_or_default());
    assert_eq!(head[0], 0, "not compressed");
    assert_eq!(u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize, head.len() - PREFIX_BYTES);
    assert!(M::decode(&head[PREFIX_BYTES..]).expect("any reader reads it") == message);
}

#[test]
fn x_5_a_message_with_its_arena_apart_reads_as_if_it_were_in_one_piece() {
    for bytes in [1, 100, (16 << 10) - 1, 16 << 10, 1 << 20, 8 << 20] {
        let apart = bytes >= 16 << 10;
        check_written(captured(bytes), apart);
        check_written(store(bytes), apart);
        check_written(loaded(bytes), apart);
    }
    check_written(capture::PullResponse::default(), false);
}

#[test]
fn x_5_a_message_over_the_limit_is_not_sent() {
    let refused = encode(captured(MESSAGE_MAX_BYTES), &mut BytesMut::new()).expect_err("too long");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(refused.message().contains(&MESSAGE_MAX_BYTES.to_string()), "{refused}");
}

/// A body of these frames.
struct Frames(VecDeque<Result<Frame<Bytes>, Status>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn data(bytes: &[u8]) -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(Bytes::copy_from_slice(bytes)))
}

fn trailers(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

/// All messages, and the error that ended them.
fn read(
    frames: impl IntoIterator<Item = Result<Frame<Bytes>, Status>>,
    end: End,
) -> (Vec<capture::PullResponse>, Option<Status>) {
    let mut incoming = Incoming::new(Body::new(Frames(frames.into_iter().collect())), end);
    let mut context = Context::from_waker(Waker::noop());
    let mut messages = Vec::new();
    loop {
        match Pin::new(&mut incoming).poll_next(&mut context) {
            Poll::Ready(Some(Ok(message))) => messages.push(message),
            Poll::Ready(Some(Err(status))) => {
                assert!(
                    matches!(Pin::new(&mut incoming).poll_next(&mut context), Poll::Ready(None)),
                    "an error is the end"
                );
                return (messages, Some(status));
            }
            Poll::Ready(None) => return (messages, None),
            Poll::Pending => panic!("frames are always there"),
        }
    }
}

/// As a transport would get it, chunk by chunk, and what the trailers say.
fn written(messages: Vec<Result<capture::PullResponse, Status>>) -> (Vec<Bytes>, Option<Status>) {
    let mut body = Outgoing::response(tokio_stream::iter(messages));
    let mut context = Context::from_waker(Waker::noop());
    let mut chunks = Vec::new();
    let mut status = None;
    while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
        match frame.expect("a response says errors in its trailers").into_data() {
            Ok(chunk) => chunks.push(chunk),
            Err(frame) => status = frame.into_trailers().ok().as_ref().and_then(Status::from_header_map),
        }
    }
    assert!(body.is_end_stream());
    (chunks, status)
}

#[test]
fn an_arena_is_sent_as_it_lies_and_read_as_it_came() {
    let message = captured(1 << 20);
    let capture::pull_response::Kind::Captured(documents) = message.kind.clone().expect("documents") else { panic!() };
    let (chunks, status) = written(vec![Ok(message.clone())]);
    assert_eq!(chunks[1].as_ptr(), documents.arena.as_ptr(), "not copied on the way out");
    let sent = chunks[1].as_ptr();
    let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(chunk))).chain([trailers(&status.expect("a status"))]);
    let (messages, error) = read(frames, End::Response);
    assert!(error.is_none() && messages == [message]);
    let Some(capture::pull_response::Kind::Captured(documents)) = &messages[0].kind else { panic!() };
    assert_eq!(documents.arena.as_ptr(), sent, "not copied on the way in");
}

#[test]
fn small_messages_that_are_there_go_together() {
    let (chunks, status) = written((0..30).map(|_| Ok(captured(50))).collect());
    assert_eq!(chunks.len(), 1);
    assert_eq!(status.map(|status| status.code()), Some(Code::Ok));
}

#[test]
fn an_error_among_the_messages_comes_behind_them() {
    let (chunks, status) = written(vec![Ok(captured(50)), Err(Status::aborted("enough")), Ok(captured(50))]);
    let status = status.expect("a status");
    assert_eq!((chunks.len(), status.code(), status.message()), (1, Code::Aborted, "enough"));
    let frames = chunks.iter().map(|chunk| data(chunk)).chain([trailers(&status)]);
    let (messages, error) = read(frames, End::Response);
    assert_eq!((messages.len(), error.map(|error| error.code())), (1, Some(Code::Aborted)));
}

#[test]
fn a_stream_that_breaks_the_rules_is_refused() {
    let refused = |frames: Vec<_>, end| {
        let status = read(frames, end).1.expect("refused");
        (status.code(), status.message().to_owned())
    };
    let ok = || trailers(&Status::ok(""));
    assert_eq!(refused(vec![data(&[1, 0, 0, 0, 0]), ok()], End::Response).0, Code::Unimplemented);
    assert_eq!(refused(vec![data(&[0, 255, 255, 255, 255])], End::Request).0, Code::OutOfRange);
    assert_eq!(
        refused(vec![data(&[0, 0, 0, 0, 9, 8]), ok()], End::Response),
        (Code::Internal, "reading a message: the stream ended inside it".to_owned())
    );
    assert_eq!(refused(vec![data(&[0, 0])], End::Request).0, Code::Internal);
    assert_eq!(refused(vec![data(&[0, 0, 0, 0, 1, 255]), ok()], End::Response).0, Code::Internal);
    assert_eq!(refused(vec![], End::Response).0, Code::Unknown);
    assert_eq!(refused(vec![Err(Status::cancelled("gone"))], End::Response).0, Code::Cancelled);
    assert!(read(vec![Err(Status::cancelled("gone"))], End::Request).1.is_none(), "a client that hangs up ends");
    assert!(read(vec![], End::Said).1.is_none());
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_messages_are_the_same(
        sizes in proptest::collection::vec(prop_oneof![1..200_usize, 16_000..40_000_usize], 1..6),
        cuts in proptest::collection::vec(1..30_000_usize, 1..20),
    ) {
        let messages: Vec<_> = sizes.iter().map(|bytes| captured(*bytes)).collect();
        let (chunks, _) = written(messages.iter().cloned().map(Ok).collect());
        let mut all = BytesMut::new();
        chunks.into_iter().for_each(|chunk| all.put(chunk));
        let mut frames = Vec::new();
        for cut in cuts.iter().cycle() {
            if all.is_empty() {
                break;
            }
            frames.push(Ok(Frame::data(all.split_to((*cut).min(all.len())).freeze())));
        }
        frames.push(trailers(&Status::ok("")));
        let (read, error) = read(frames, End::Response);
        prop_assert!(error.is_none() && read == messages);
    }
}
