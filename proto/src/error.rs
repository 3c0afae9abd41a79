//! Errors that cross the wire: six kinds, each an instruction to whoever receives it.
//!
//! An [`Error`] becomes a gRPC status with an `ErrorDetail` in its details and comes back from one the same. A status of somebody else
//! (a proxy, a dying process) becomes the kind that says what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use prost::Message as _;
use tonic::{Code, Status};

use crate::pb::common::v1 as pb;
use crate::session::Recorded;

/// What went wrong, and what the receiver should do. One pointer wide, so that a hot path can return it.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

/// The parts of an [`Error`]; reached through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The instruction.
    pub kind: ErrorKind,
    /// Short and stable, such as `sqlite.locked`; for `protocol` the id of the rule.
    pub code: String,
    /// Who, doing what, expected what, got what; lower case.
    pub message: String,
    /// JSON pointer into the config or, with a binding, into its resource; may be empty.
    pub pointer: String,
    /// Index of the binding it is about.
    pub binding: Option<usize>,
    /// What to do next; may be empty.
    pub suggestion: String,
    /// With [`ErrorKind::Fenced`]: who holds the destination.
    pub recorded: Option<Recorded>,
}

/// The six kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Stop and tell the user.
    Config,
    /// The peer broke a rule: stop and name it.
    Protocol,
    /// This document cannot be taken: dead-letter it or stop the binding.
    Data,
    /// Try again with capped, jittered back-off that resets only after progress.
    Unavailable,
    /// Someone newer owns it: step aside.
    Fenced,
    /// A bug of ours.
    Internal,
}

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            code: code.into(),
            message: message.into(),
            pointer: String::new(),
            binding: None,
            suggestion: String::new(),
            recorded: None,
        }))
    }

    /// Stop and tell the user.
    pub fn config(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, code, message)
    }

    /// The peer broke a rule; the code is its id, so a [`crate::rules::Rule`] will do.
    pub fn protocol(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, code, message)
    }

    /// This document cannot be taken.
    pub fn data(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, code, message)
    }

    /// Try again later.
    pub fn unavailable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, code, message)
    }

    /// Someone newer owns it.
    pub fn fenced(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, code, message)
    }

    /// A bug of ours.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, code, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = suggestion.into();
        self
    }

    /// Adds where in the config or resource it is.
    #[must_use]
    pub fn at_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// Adds which binding it is about.
    #[must_use]
    pub fn at_binding(mut self, binding: usize) -> Self {
        self.binding = Some(binding);
        self
    }

    /// Adds who holds the destination.
    #[must_use]
    pub fn held_by(mut self, recorded: Recorded) -> Self {
        self.recorded = Some(recorded);
        self
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Takes it apart.
    pub fn into_parts(self) -> Parts {
        *self.0
    }
}

impl Deref for Error {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} error {})", self.message, self.kind, self.code)?;
        if let Some(binding) = self.binding {
            write!(f, ", binding {binding}")?;
        }
        if !self.pointer.is_empty() {
            write!(f, ", at {}", self.pointer)?;
        }
        if !self.suggestion.is_empty() {
            write!(f, "; {}", self.suggestion)?;
        }
        Ok(())
    }
}

impl StdError for Error {}

impl ErrorKind {
    /// The word for it, as users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Data => "data",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Internal => "internal",
        }
    }

    /// The status code it travels under, for tools that know nothing of us.
    fn status_code(self) -> Code {
        match self {
            ErrorKind::Config => Code::FailedPrecondition,
            ErrorKind::Protocol => Code::InvalidArgument,
            ErrorKind::Data => Code::OutOfRange,
            ErrorKind::Unavailable => Code::Unavailable,
            ErrorKind::Fenced => Code::Aborted,
            ErrorKind::Internal => Code::Internal,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `google.rpc.Status`, as it lies in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

const DETAIL_TYPE_URL: &str = "type.googleapis.com/longshore.common.v1.ErrorDetail";

// A status travels in HTTP/2 headers, which peers cap at 16 KiB: each text is cut so that message (percent-encoded, and once more in the
// details) and detail stay below that together.
const MESSAGE_MAX_BYTES: usize = 2048;
const SUGGESTION_MAX_BYTES: usize = 1024;
const POINTER_MAX_BYTES: usize = 512;
const CODE_MAX_BYTES: usize = 128;
const CHECKPOINT_MAX_BYTES: usize = 512;

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let code = error.kind.status_code();
        let Parts { kind, code: text_code, message, pointer, binding, suggestion, recorded } = error.into_parts();
        let message = cut(message, MESSAGE_MAX_BYTES);
        let recorded = recorded.map(|mut recorded| {
            if recorded.checkpoint.len() > CHECKPOINT_MAX_BYTES {
                recorded.checkpoint = Bytes::new();
            }
            recorded.into()
        });
        let detail = pb::ErrorDetail {
            kind: pb::ErrorKind::from(kind).into(),
            code: cut(text_code, CODE_MAX_BYTES),
            pointer: cut(pointer, POINTER_MAX_BYTES),
            binding: binding.and_then(|binding| u32::try_from(binding).ok()),
            suggestion: cut(suggestion, SUGGESTION_MAX_BYTES),
            recorded,
        };
        let any = prost_types::Any { type_url: DETAIL_TYPE_URL.to_owned(), value: detail.encode_to_vec() };
        let details = RpcStatus { code: code as i32, message: message.clone(), details: vec![any] };
        Status::with_details(code, message, details.encode_to_vec().into())
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        match detail_of(&status) {
            Some((kind, detail)) => Error(Box::new(Parts {
                kind,
                code: detail.code,
                message: status.message().to_owned(),
                pointer: detail.pointer,
                binding: detail.binding.map(|binding| binding as usize),
                suggestion: detail.suggestion,
                recorded: detail.recorded.and_then(|recorded| Recorded::try_from(recorded).ok()),
            })),
            None => foreign(&status),
        }
    }
}

/// Our detail, if the status carries one that says what kind it is.
fn detail_of(status: &Status) -> Option<(ErrorKind, pb::ErrorDetail)> {
    let rpc = RpcStatus::decode(status.details()).ok()?;
    let any = rpc.details.iter().find(|any| any.type_url == DETAIL_TYPE_URL)?;
    let detail = pb::ErrorDetail::decode(any.value.as_slice()).ok()?;
    let kind = match detail.kind() {
        pb::ErrorKind::Unspecified => return None,
        pb::ErrorKind::Config => ErrorKind::Config,
        pb::ErrorKind::Protocol => ErrorKind::Protocol,
        pb::ErrorKind::Data => ErrorKind::Data,
        pb::ErrorKind::Unavailable => ErrorKind::Unavailable,
        pb::ErrorKind::Fenced => ErrorKind::Fenced,
        pb::ErrorKind::Internal => ErrorKind::Internal,
    };
    Some((kind, detail))
}

/// A status that is not ours. One with a source was made on this side by the transport: the peer died or the link broke.
fn foreign(status: &Status) -> Error {
    let from_transport = StdError::source(status).is_some();
    let (kind, code) = match status.code() {
        Code::Unavailable => (ErrorKind::Unavailable, "grpc.unavailable"),
        Code::DeadlineExceeded => (ErrorKind::Unavailable, "grpc.deadline_exceeded"),
        Code::Cancelled => (ErrorKind::Unavailable, "grpc.cancelled"),
        Code::Unknown | Code::Internal if from_transport => (ErrorKind::Unavailable, "grpc.transport"),
        Code::Unimplemented => (ErrorKind::Internal, "grpc.unimplemented"),
        Code::Unauthenticated => (ErrorKind::Internal, "grpc.unauthenticated"),
        Code::PermissionDenied => (ErrorKind::Internal, "grpc.permission_denied"),
        Code::ResourceExhausted | Code::OutOfRange => (ErrorKind::Internal, "grpc.too_large"),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => (ErrorKind::Internal, "grpc.unexpected"),
    };
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    Error::new(kind, code, format!("the peer's transport answered: {message}"))
}

impl From<ErrorKind> for pb::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Config => pb::ErrorKind::Config,
            ErrorKind::Protocol => pb::ErrorKind::Protocol,
            ErrorKind::Data => pb::ErrorKind::Data,
            ErrorKind::Unavailable => pb::ErrorKind::Unavailable,
            ErrorKind::Fenced => pb::ErrorKind::Fenced,
            ErrorKind::Internal => pb::ErrorKind::Internal,
        }
    }
}

fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let end = text.floor_char_boundary(max_bytes - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::InstallationId;
    use crate::rules;

    const KINDS: [ErrorKind; 6] = [
        ErrorKind::Config,
        ErrorKind::Protocol,
        ErrorKind::Data,
        ErrorKind::Unavailable,
        ErrorKind::Fenced,
        ErrorKind::Internal,
    ];

    #[test]
    fn x_15_an_error_comes_back_from_a_status_as_it_went_in() {
        for kind in KINDS {
            let error = Error::new(kind, "sqlite.locked", "opening nyc.db: expected the lock, got none")
                .suggest("close the other program")
                .at_pointer("/path")
                .at_binding(3)
                .held_by(Recorded {
                    installation: InstallationId::from_bytes([7; 16]),
                    epoch: 12,
                    transaction: 4,
                    checkpoint: Bytes::from_static(b"{}"),
                });
            assert_eq!(Error::from(Status::from(error.clone())), error);
        }
    }

    #[test]
    fn an_error_fits_into_the_headers_however_long_its_texts_are() {
        let long = "ü".repeat(100_000);
        let error = Error::protocol(rules::BATCH_SHAPE, &long).suggest(&long).at_pointer(&long);
        let status = Status::from(error);
        let percent_encoded_bytes = status.message().len() * 3;
        let base64_bytes = status.details().len() * 4 / 3;
        assert!(percent_encoded_bytes + base64_bytes < 15_000, "{percent_encoded_bytes} + {base64_bytes}");
        assert!(Error::from(status).message.ends_with("ü…"));
    }

    #[test]
    fn a_status_of_somebody_else_says_what_to_do() {
        let check = |status: Status, expected| assert_eq!(Error::from(status.clone()).kind, expected, "{status:?}");
        check(Status::unavailable("gone"), ErrorKind::Unavailable);
        check(Status::deadline_exceeded("slow"), ErrorKind::Unavailable);
        check(Status::cancelled(""), ErrorKind::Unavailable);
        check(Status::unknown("said the peer"), ErrorKind::Internal);
        check(Status::from_error("connection reset".into()), ErrorKind::Unavailable);
        check(Status::unimplemented("what"), ErrorKind::Internal);
        check(Status::with_details(Code::Aborted, "x", Bytes::from_static(b"\xff\xff")), ErrorKind::Internal);
    }
}
