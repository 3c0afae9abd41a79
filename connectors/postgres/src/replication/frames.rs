//! Bytes in, whole frames and events out; no IO. A frame is a letter, its length and its body.

use bytes::{Buf as _, Bytes, BytesMut};
use longshore_sdk::{Error, Result};
use postgres_protocol::message::backend::{self, Message};

use super::{Event, login, unexpected};

/// The server agrees to copy in both directions.
pub(super) const COPY_BOTH: u8 = b'W';
/// The server's own bound for what it sends is a little less.
const FRAME_BYTES_MAX: usize = 1 << 30;
const HEADER_BYTES: usize = 5;
/// Within data: the letter, position, end of the log, time.
const DATA_HEADER_BYTES: usize = 25;
/// Within a keepalive: the letter, end of the log, time, whether an answer is wanted.
const ALIVE_BYTES: usize = 18;

/// What was read, looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// So many bytes are whole frames.
    pub(super) whole: usize,
    /// The server wants to hear from us at once.
    pub(super) wants_status: bool,
}

/// Looks for whole frames.
pub(super) fn look(doing: &str, bytes: &[u8]) -> Result<Look> {
    let mut look = Look::default();
    while let Some(frame) = bytes.get(look.whole..).filter(|rest| !rest.is_empty()) {
        let Some(length) = length(doing, frame)?.filter(|length| *length <= frame.len()) else { break };
        let is_alive = length == HEADER_BYTES + ALIVE_BYTES
            && frame.first() == Some(&backend::COPY_DATA_TAG)
            && frame.get(HEADER_BYTES) == Some(&b'k');
        look.wants_status |= is_alive && frame.get(length - 1) == Some(&1);
        look.whole += length;
    }
    Ok(look)
}

/// Length of the first frame as a whole, if enough of it is there to tell.
pub(super) fn length(doing: &str, bytes: &[u8]) -> Result<Option<usize>> {
    let Some(mut length) = bytes.get(1..HEADER_BYTES) else { return Ok(None) };
    let length = length.get_u32() as usize;
    if !(4..=FRAME_BYTES_MAX).contains(&length) {
        let message = format!("{doing}: expected a message of 4 bytes to 1 GiB, got one of {length} bytes");
        return Err(Error::internal("postgres.protocol", message)
            .suggest("see that host and port of `url` are a PostgreSQL server's"));
    }
    Ok(Some(1 + length))
}

/// A frame of the protocol's ordinary part.
pub(super) fn message(doing: &str, mut frame: BytesMut) -> Result<Message> {
    let fault = |got: &str| Error::internal("postgres.protocol", format!("{doing}: expected a message, got {got}"));
    match backend::Message::parse(&mut frame) {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(fault("a part of one")),
        Err(error) => Err(fault(&error.to_string())),
    }
}

/// Takes the next event from whole frames; none is left when there is none.
pub(super) fn next(doing: &str, batch: &mut Bytes) -> Result<Option<Event>> {
    while !batch.is_empty() {
        let length = length(doing, batch)?.filter(|length| *length <= batch.len());
        let length = length.ok_or_else(|| unexpected(doing, "a whole message"))?;
        match (batch.first(), batch.get(HEADER_BYTES)) {
            (Some(&backend::COPY_DATA_TAG), Some(b'w')) if length >= HEADER_BYTES + DATA_HEADER_BYTES => {
                batch.advance(HEADER_BYTES + DATA_HEADER_BYTES);
                return Ok(Some(Event::Data(batch.split_to(length - HEADER_BYTES - DATA_HEADER_BYTES))));
            }
            (Some(&backend::COPY_DATA_TAG), Some(b'k')) if length == HEADER_BYTES + ALIVE_BYTES => {
                let mut body = batch.split_to(length);
                body.advance(HEADER_BYTES + 1);
                return Ok(Some(Event::Alive(body.get_u64())));
            }
            _ => {
                let frame = batch.split_to(length);
                other(doing, BytesMut::from(&frame[..]))?;
            }
        }
    }
    Ok(None)
}

/// What may stand between the data.
fn other(doing: &str, frame: BytesMut) -> Result<()> {
    match message(doing, frame)? {
        Message::NoticeResponse(_) | Message::ParameterStatus(_) => Ok(()),
        Message::ErrorResponse(body) => Err(login::refused(doing, &body)),
        // As a server does that is told to end.
        Message::CopyDone | Message::CommandComplete(_) | Message::ReadyForQuery(_) => Err(ended(doing)),
        _ => Err(unexpected(doing, "data")),
    }
}

/// The server ended the stream without an error.
pub(super) fn ended(doing: &str) -> Error {
    Error::unavailable("postgres.server", format!("{doing}: the server ended the stream"))
        .suggest("look into the log of the server")
}

#[cfg(test)]
mod tests {
    use longshore_sdk::ErrorKind;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn data(text: &str) -> Vec<u8> {
        frame(b'd', &[b"w", &[0; 24][..], text.as_bytes()].concat())
    }

    fn alive(end: u64, wants_status: bool) -> Vec<u8> {
        frame(b'd', &[b"k", &end.to_be_bytes()[..], &[0; 8], &[u8::from(wants_status)]].concat())
    }

    fn events(bytes: Vec<u8>) -> Result<Vec<Event>> {
        let mut batch = Bytes::from(bytes);
        std::iter::from_fn(|| next("reading", &mut batch).transpose()).collect()
    }

    /// Wherever what was read is cut, the same comes out.
    #[test]
    fn frames_are_whole_or_wait() {
        let bytes = [data("first"), alive(7, false), frame(b'S', b"a\0b\0"), data(""), data("last")].concat();
        let wanted = [Event::Data("first".into()), Event::Alive(7), Event::Data("".into()), Event::Data("last".into())];
        for cut in 0..=bytes.len() {
            let whole = look("reading", &bytes[..cut]).unwrap().whole;
            let rest = look("reading", &bytes[whole..]).unwrap().whole;
            assert_eq!(whole + rest, bytes.len(), "{cut}");
            let mut came = events(bytes[..whole].to_vec()).unwrap();
            came.extend(events(bytes[whole..].to_vec()).unwrap());
            assert_eq!(came, wanted, "{cut}");
        }
    }

    #[test]
    fn who_asks_for_a_status_is_seen_among_the_data() {
        for (bytes, wants_status) in [
            ([data("k"), alive(1, true), data("x")].concat(), true),
            ([data("k"), alive(1, false)].concat(), false),
            (alive(1, true)[..22].to_vec(), false),
            (frame(b'd', &[b'k', 1]), false),
        ] {
            assert_eq!(look("reading", &bytes).unwrap().wants_status, wants_status, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let refusal = frame(b'E', b"SFATAL\0VFATAL\0C57P01\0Mgoing away\0Hcome back\0\0");
        for (bytes, kind, says) in [
            (refusal, ErrorKind::Unavailable, "going away (57P01); come back"),
            (frame(b'c', b""), ErrorKind::Unavailable, "ended the stream"),
            (frame(b'd', b"w"), ErrorKind::Internal, "expected data"),
            (frame(b'd', b""), ErrorKind::Internal, "expected data"),
            (frame(b'?', b""), ErrorKind::Internal, "expected a message"),
            (frame(b'E', b"C57P01"), ErrorKind::Internal, "the server refused"),
            (vec![b'd', 0, 0, 0, 9], ErrorKind::Internal, "a whole message"),
            (vec![b'd', 0, 0, 0, 3], ErrorKind::Internal, "got one of 3 bytes"),
            (b"HTTP/1.1".to_vec(), ErrorKind::Internal, "1 GiB"),
        ] {
            let error = events(bytes).unwrap_err();
            assert!(error.kind == kind && error.message.contains(says), "{error}");
        }
    }
}
