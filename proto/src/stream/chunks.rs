//! What was read and is not yet a message: pieces as the transport gave them.

use std::collections::VecDeque;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

/// A queue of bytes. Parts of it that lie in one piece come out without a copy.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl Chunks {
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if !chunk.is_empty() {
            self.queue.push_back(chunk);
        }
    }
}

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&[], |chunk| chunk)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "more is skipped than is there");
        self.bytes -= count;
        while let Some(front) = self.queue.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.queue.pop_front();
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        if let Some(front) = self.queue.front_mut()
            && front.len() > count
        {
            self.bytes -= count;
            return front.split_to(count);
        }
        if self.queue.front().is_some_and(|front| front.len() == count) {
            self.bytes -= count;
            return self.queue.pop_front().unwrap_or_default();
        }
        let mut together = BytesMut::with_capacity(count);
        together.put(self.take(count));
        together.freeze()
    }
}
