//! Begins a streaming call.

use std::future::poll_fn;

use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderValue, TE};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{self, Method, StatusCode, Uri, Version};
use tonic::codegen::tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Extensions, Request, Response, Status};

use super::incoming::{End, Incoming};
use super::message::Message;
use super::outgoing::Outgoing;

/// Calls `path`, such as [`super::PULL`], with a stream of messages; answers when the peer has begun to.
pub async fn call<S, A>(
    mut channel: Channel,
    path: &'static str,
    request: Request<S>,
) -> Result<Response<Incoming<A>>, Status>
where
    S: Stream + Send + Unpin + 'static,
    S::Item: Message + 'static,
    A: Message,
{
    poll_fn(|context| channel.poll_ready(context)).await.map_err(|error| Status::from_error(error.into()))?;
    let (metadata, _, messages) = request.into_parts();
    let mut request = http::Request::new(Body::new(Outgoing::request(messages.map(Ok))));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from(PathAndQuery::from_static(path));
    *request.headers_mut() = metadata.into_headers();
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let response = channel.call(request).await.map_err(|error| Status::from_error(error.into()))?;
    let (parts, body) = response.into_parts();
    let end = match Status::from_header_map(&parts.headers) {
        None if parts.status != StatusCode::OK => {
            return Err(Status::unknown(format!(
                "{path}: expected an answer of gRPC, got HTTP status {}",
                parts.status
            )));
        }
        None => End::Response,
        Some(status) if status.code() == Code::Ok => End::Said,
        Some(status) => return Err(status),
    };
    Ok(Response::from_parts(MetadataMap::from_headers(parts.headers), Incoming::new(body, end), Extensions::default()))
}
