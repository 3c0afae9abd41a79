//! Which messages hold an arena, and how a message with one is written.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Status;

use super::{PREFIX_BYTES, check_length};
use crate::pb::common::v1::Documents;
use crate::pb::{capture::v1 as capture, materialize::v1 as materialize};

/// A shorter arena is copied: that costs less than a piece of its own.
const APART_BYTES: usize = 16 << 10;

/// A message of a streaming call.
pub trait Message: prost::Message + Default {
    /// Takes its arena out, if that is large, with the numbers of the fields that lead to it, outermost first.
    fn take_arena(&mut self) -> Option<(&'static [u32], Bytes)> {
        None
    }
}

impl Message for capture::PullRequest {}

impl Message for capture::PullResponse {
    fn take_arena(&mut self) -> Option<(&'static [u32], Bytes)> {
        match &mut self.kind {
            Some(capture::pull_response::Kind::Captured(documents)) => taken(&[2, 4], documents),
            _ => None,
        }
    }
}

impl Message for materialize::TransactRequest {
    fn take_arena(&mut self) -> Option<(&'static [u32], Bytes)> {
        match &mut self.kind {
            Some(materialize::transact_request::Kind::Store(store)) => taken(&[6, 1, 4], store.documents.as_mut()?),
            _ => None,
        }
    }
}

impl Message for materialize::TransactResponse {
    fn take_arena(&mut self) -> Option<(&'static [u32], Bytes)> {
        match &mut self.kind {
            Some(materialize::transact_response::Kind::Loaded(loaded)) => taken(&[3, 2, 4], loaded.documents.as_mut()?),
            _ => None,
        }
    }
}

fn taken(fields: &'static [u32], documents: &mut Documents) -> Option<(&'static [u32], Bytes)> {
    (documents.arena.len() >= APART_BYTES).then(|| (fields, std::mem::take(&mut documents.arena)))
}

/// Appends a message to `head`; what is returned follows behind it as it is.
pub(super) fn encode<M: Message>(mut message: M, head: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let arena = message.take_arena();
    let lead = arena.as_ref().map_or(Vec::new(), |(fields, arena)| lead(fields, arena.len()));
    let beside = message.encoded_len() + lead.len();
    let bytes = beside + arena.as_ref().map_or(0, |(_, arena)| arena.len());
    check_length(bytes, "sending")?;
    head.reserve(PREFIX_BYTES + beside);
    head.put_u8(0);
    // The limit lies far below 4 GiB.
    head.put_u32(bytes as u32);
    message.encode_raw(head);
    head.extend_from_slice(&lead);
    Ok(arena.map(|(_, arena)| arena))
}

/// What stands before an arena of so many bytes: for each field that leads to it its number and how long it is.
fn lead(fields: &[u32], arena_bytes: usize) -> Vec<u8> {
    let mut lead = Vec::new();
    for field in fields.iter().rev() {
        let mut outer = Vec::with_capacity(4 * fields.len() + 8);
        encode_key(*field, WireType::LengthDelimited, &mut outer);
        encode_varint((lead.len() + arena_bytes) as u64, &mut outer);
        outer.extend_from_slice(&lead);
        lead = outer;
    }
    lead
}
