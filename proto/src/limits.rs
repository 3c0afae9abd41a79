//! Every size that both ends must agree on, and the HTTP/2 settings that go with them.
//!
//! tonic's own defaults (4 MiB messages, 64 KiB windows, no keepalive) stall or refuse real streams, so nothing is left to them.

use std::time::Duration;

/// Greatest size of one document, in bytes: 16 MiB. Checked before the journal (rule X-4).
pub const DOCUMENT_MAX_BYTES: usize = 16 << 20;
/// Greatest size of one gRPC message, in bytes, both ways, for everybody: 40 MiB.
pub const MESSAGE_MAX_BYTES: usize = 40 << 20;
/// What an arena should stay below unless it holds exactly one document, in bytes: 8 MiB. Also the payload limit of a journal frame.
pub const BATCH_MAX_BYTES: usize = 8 << 20;
/// Greatest number of documents in one batch.
pub const BATCH_MAX_DOCUMENTS: usize = 1 << 20;
/// Greatest nesting of a document's objects and arrays: 127, what serde_json reads, so that nobody behind the runtime refuses what passed it.
pub const DOCUMENT_MAX_DEPTH: usize = 127;
/// A connector state above this many bytes is warned about: 1 MiB.
pub const STATE_WARN_BYTES: usize = 1 << 20;
/// A connector state above this many bytes is refused: 16 MiB.
pub const STATE_MAX_BYTES: usize = 16 << 20;

/// HTTP/2 flow control window of a stream, in bytes: 8 MiB.
pub const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// HTTP/2 flow control window of a connection, in bytes: 16 MiB.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Greatest HTTP/2 frame, in bytes: 1 MiB.
pub const FRAME_MAX_BYTES: u32 = 1 << 20;
/// What is asked for as the send buffer of a Unix socket, in bytes: 1 MiB. The kernel gives less (`net.core.wmem_max`), and still twice what
/// a socket has that does not ask: half as many wake-ups for each batch.
pub const SOCKET_SEND_BYTES: usize = 1 << 20;
/// A ping is sent after this long without traffic.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A peer that does not answer a ping for this long is gone. Long enough for one that is only slow.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);
