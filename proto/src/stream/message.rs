//! Which messages hold an arena, and how a message with one is written: without it and its ends, and behind that, as a part of its own that
//! the reader merges, these two.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Status;

use super::{PREFIX_BYTES, check_length};
use crate::pb::common::v1::Documents;
use crate::pb::{capture::v1 as capture, materialize::v1 as materialize};

/// A shorter arena is copied: that costs less than a piece of its own.
const APART_BYTES: usize = 16 << 10;
/// Numbers of the fields of [`Documents`].
const ARENA: u32 = 4;
const ENDS: u32 = 5;

/// A message of a streaming call.
pub trait Message: prost::Message + Default {
    /// Takes out its arena and the ends that cut it, if the arena is large.
    fn take_apart(&mut self) -> Option<Apart> {
        None
    }
}

/// What is written apart from its message.
#[derive(Debug)]
pub struct Apart {
    /// The numbers of the fields that lead to the documents, outermost first.
    fields: &'static [u32],
    arena: Bytes,
    ends: Vec<u32>,
}

impl Message for capture::PullRequest {}

impl Message for capture::PullResponse {
    fn take_apart(&mut self) -> Option<Apart> {
        match &mut self.kind {
            Some(capture::pull_response::Kind::Captured(documents)) => Apart::of(&[2], documents),
            _ => None,
        }
    }
}

impl Message for materialize::TransactRequest {
    fn take_apart(&mut self) -> Option<Apart> {
        match &mut self.kind {
            Some(materialize::transact_request::Kind::Store(store)) => Apart::of(&[6, 1], store.documents.as_mut()?),
            _ => None,
        }
    }
}

impl Message for materialize::TransactResponse {
    fn take_apart(&mut self) -> Option<Apart> {
        match &mut self.kind {
            Some(materialize::transact_response::Kind::Loaded(loaded)) => {
                Apart::of(&[3, 2], loaded.documents.as_mut()?)
            }
            _ => None,
        }
    }
}

impl Apart {
    fn of(fields: &'static [u32], documents: &mut Documents) -> Option<Self> {
        let Documents { arena, ends, .. } = documents;
        (arena.len() >= APART_BYTES).then(|| Self { fields, arena: std::mem::take(arena), ends: std::mem::take(ends) })
    }

    /// What stands before the arena: for each field that leads to it its number and how long it is, and the ends.
    fn lead(&self) -> Vec<u8> {
        let ends = packed(&self.ends);
        let (mut headers, mut bytes) = (Vec::with_capacity(self.fields.len() + 2), self.arena.len());
        headers.push(header(ARENA, bytes));
        bytes += headers[0].len();
        if !ends.is_empty() {
            headers.push(header(ENDS, ends.len()));
            bytes += headers[1].len() + ends.len();
        }
        for field in self.fields.iter().rev() {
            headers.push(header(*field, bytes));
            bytes += headers[headers.len() - 1].len();
        }
        let mut lead = Vec::with_capacity(bytes - self.arena.len());
        // From the outside in; the ends lie before the arena's own header.
        for header in headers.iter().skip(1).rev() {
            lead.extend_from_slice(header);
        }
        lead.extend_from_slice(&ends);
        lead.extend_from_slice(&headers[0]);
        lead
    }
}

/// Appends a message to `head`; what is returned follows behind it as it is.
pub(super) fn encode<M: Message>(mut message: M, head: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let apart = message.take_apart();
    let lead = apart.as_ref().map_or(Vec::new(), Apart::lead);
    let beside = message.encoded_len() + lead.len();
    let bytes = beside + apart.as_ref().map_or(0, |apart| apart.arena.len());
    check_length(bytes, "sending")?;
    head.reserve(PREFIX_BYTES + beside);
    head.put_u8(0);
    // The limit lies far below 4 GiB.
    head.put_u32(bytes as u32);
    message.encode_raw(head);
    head.extend_from_slice(&lead);
    Ok(apart.map(|apart| apart.arena))
}

/// The number of a field and how long it is.
fn header(field: u32, bytes: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(16);
    encode_key(field, WireType::LengthDelimited, &mut header);
    encode_varint(bytes as u64, &mut header);
    header
}

/// Numbers as the varints of a packed field. There are as many as documents, so each is written in a few instructions: all bytes that a
/// number may have are laid out at once, and as many as it has are kept.
fn packed(numbers: &[u32]) -> Vec<u8> {
    const VARINT_MAX_BYTES: usize = 5;
    const GOES_ON: u64 = 0x80_8080_8080;
    let mut bytes = vec![0; numbers.len() * VARINT_MAX_BYTES + size_of::<u64>()];
    let mut at = 0;
    for &number in numbers {
        let wide = u64::from(number);
        let sevens = (wide & 0x7f)
            | (wide & 0x3f80) << 1
            | (wide & 0x1f_c000) << 2
            | (wide & 0xfe0_0000) << 3
            | (wide & 0xf000_0000) << 4;
        let length = (number | 1).ilog2() as usize / 7 + 1;
        let varint = sevens | GOES_ON & ((1 << (8 * (length - 1))) - 1);
        bytes[at..at + size_of::<u64>()].copy_from_slice(&varint.to_le_bytes());
        at += length;
    }
    bytes.truncate(at);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_are_the_varints_of_any_writer() {
        let edges = (0..32).flat_map(|bit| [(1_u32 << bit).wrapping_sub(1), 1 << bit, (1 << bit) + 1]);
        let numbers: Vec<u32> = edges.chain([u32::MAX]).collect();
        let mut expected = Vec::new();
        for &number in &numbers {
            encode_varint(number.into(), &mut expected);
            let mut alone = Vec::new();
            encode_varint(number.into(), &mut alone);
            assert_eq!(packed(&[number]), alone, "{number}");
        }
        assert_eq!(packed(&numbers), expected);
        assert!(packed(&[]).is_empty());
    }
}
