//! Streams of messages over gRPC in which the documents of a batch are not copied: the wire form is gRPC's and any peer reads it, but an
//! arena goes to the transport as it lies in memory, and comes out of what the transport has read without moving.
//!
//! tonic gathers each message in one buffer before it is sent, and again before it is read, which copies a document four times a hop; of a
//! 200-byte document that is a third of the CPU time between capture and materialization (`cargo xtask bench R1`). What makes it avoidable
//! is a rule of Protocol Buffers: a message in a field may come in parts, which the reader merges. So a message is written with its arena
//! left out ([`Outgoing`]), and behind it, as a part of its own, the arena with the ends that cut it.
//!
//! Only the two streaming calls go this way: [`call`] on the runtime's side, [`Streaming`] on the connector's. All else is tonic's.

mod chunks;
mod client;
mod incoming;
mod message;
mod outgoing;
mod server;

#[cfg(test)]
mod tests;

pub use client::call;
pub use incoming::Incoming;
pub use message::{Apart, Message};
pub use outgoing::Outgoing;
pub use server::{Session, Streaming};

/// The streaming call of the capture protocol.
pub const PULL: &str = "/longshore.capture.v1.Capture/Pull";
/// The streaming call of the materialize protocol.
pub const TRANSACT: &str = "/longshore.materialize.v1.Materialize/Transact";

/// A flag (0: not compressed) and the length, before each message.
const PREFIX_BYTES: usize = 5;

/// Longer messages are neither sent nor read (rule X-5).
fn check_length(bytes: usize, doing: &str) -> Result<(), tonic::Status> {
    let limit = crate::limits::MESSAGE_MAX_BYTES;
    if bytes <= limit {
        return Ok(());
    }
    Err(tonic::Status::out_of_range(format!("{doing} a message: expected at most {limit} bytes, got {bytes}")))
}
