//! Serves a streaming call in front of a service that serves the rest.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderValue};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::incoming::{End, Incoming};
use super::message::Message;
use super::outgoing::Outgoing;

/// What answers a streaming call.
pub trait Session: Clone + Send + Sync + 'static {
    /// The call, such as [`super::PULL`].
    const PATH: &'static str;
    /// What the peer says.
    type Asked: Message + 'static;
    /// What it is told.
    type Answered: Message + 'static;
    /// The answers.
    type Answers: Stream<Item = Result<Self::Answered, Status>> + Send + Unpin + 'static;

    /// Begins a session; its work goes on in the stream that is returned.
    fn begin(&self, asked: Incoming<Self::Asked>) -> Self::Answers;
}

/// A service whose streaming call is answered by a [`Session`].
#[derive(Debug, Clone)]
pub struct Streaming<S, H> {
    service: S,
    session: H,
}

impl<S, H> Streaming<S, H> {
    /// All calls but one go to `service`.
    pub fn new(service: S, session: H) -> Self {
        Self { service, session }
    }
}

impl<S: NamedService, H> NamedService for Streaming<S, H> {
    const NAME: &'static str = S::NAME;
}

impl<S, H> Service<Request<Body>> for Streaming<S, H>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    H: Session,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != H::PATH {
            return Box::pin(self.service.call(request));
        }
        let answers = self.session.begin(Incoming::new(request.into_body(), End::Request));
        let mut response = Response::new(Body::new(Outgoing::response(answers)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let answered: Ready<Result<_, Infallible>> = ready(Ok(response));
        Box::pin(answered)
    }
}
