//! One request, from its head to its answer. 2xx is said when the runtime has acknowledged the checkpoint behind its documents, and never before.

#![allow(clippy::disallowed_methods, reason = "a signature is as old as the wall clock says")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use http::request::Parts;
use http::{HeaderName, Method, Request, StatusCode};
use hyper::body::Incoming;
use longshore_sdk::blocking;
use longshore_sdk::capture::{Acknowledgements, Stop};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::body::{self, Memory, Packing, Room};
use crate::desk::{Conflict, Offer, Part, Placed};
use crate::document::Preparer;
use crate::media::{self, Media};
use crate::reply::{Refusal, Reply, healthy, stored};
use crate::settings::{HEALTH_PATH, Settings};
use crate::window::Print;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key, in bytes.
const KEY_MAX_BYTES: usize = 1024;
/// What a prepared document takes besides its own bytes.
const DOCUMENT_OVERHEAD_BYTES: usize = 128;
/// Most events of one request that are remembered one by one.
const EVENTS_MAX: usize = 10_000;

/// What all requests of a session share.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) settings: Settings,
    /// By path.
    pub(crate) routes: HashMap<String, Route>,
    pub(crate) offers: mpsc::Sender<Offer>,
    pub(crate) acknowledgements: Acknowledgements,
    pub(crate) stop: Stop,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) memory: Memory,
    /// Of the session: no two have the same, so ids with it in front are never used again.
    pub(crate) epoch: u64,
    pub(crate) next_document: AtomicU64,
}

/// Where the documents of a path go.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) binding: usize,
    pub(crate) preparer: Preparer,
}

/// Answers a request, whatever it is.
pub(crate) async fn handle(front: &Front, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let taken = tokio::select! {
        biased;
        taken = take(front, &head, body) => taken,
        () = stopped_before_long(front) => Err(Refusal::later("this connector is stopping: send it again")),
    };
    taken.unwrap_or_else(|refusal| {
        tracing::debug!(status = refusal.status.as_u16(), path = head.uri.path(), "refused: {}", refusal.why);
        refusal.reply()
    })
}

/// A stop; then as long as a request may take that only waits for its acknowledgement.
async fn stopped_before_long(front: &Front) {
    front.stop.requested().await;
    tokio::time::sleep(front.settings.commit_timeout).await;
}

async fn take(front: &Front, head: &Parts, body: Incoming) -> Result<Reply, Refusal> {
    let path = head.uri.path();
    if path == HEALTH_PATH && (head.method == Method::GET || head.method == Method::HEAD) {
        return if front.offers.is_closed() {
            Err(Refusal::later("no session takes requests now"))
        } else {
            Ok(healthy())
        };
    }
    let route = front
        .routes
        .get(path)
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "expected a path that a binding names"))?;
    if head.method != Method::POST && head.method != Method::PUT {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "expected POST"));
    }
    let Settings { guard, body_bytes, unfolded_bytes, read_timeout, .. } = &front.settings;
    guard.check_token(&head.headers)?;
    let _request = Arc::clone(&front.requests).try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests are under way: send it again later")
    })?;
    let (media, packing, key) = (Media::of(&head.headers)?, Packing::of(&head.headers)?, key(head)?);
    let mut room = front.memory.room();
    let stop = front.stop.clone();
    let sent = tokio::select! {
        biased;
        () = stop.requested() => return Err(Refusal::later("this connector is stopping: send it again")),
        sent = body::read(&head.headers, body, *body_bytes, *read_timeout, &mut room) => sent?,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    guard.check_signature(&head.headers, &sent, now.as_secs())?;
    let parts = blocking(|| {
        let body = match packing {
            Packing::Plain => sent,
            Packing::Gzip => body::unfold(&sent, *unfolded_bytes, &mut room)?,
        };
        parts(front, route, media, key.as_deref(), &body, &mut room)
    })?;
    let documents = parts.iter().map(|part| part.documents.len()).sum();
    let is_replayed = durable(front, route.binding, parts).await?;
    Ok(stored(documents, is_replayed))
}

fn key(head: &Parts) -> Result<Option<String>, Refusal> {
    let mut given = head.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|text| !text.is_empty() && text.len() <= KEY_MAX_BYTES);
    match (text, given.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        (_, _) => Err(Refusal::bad(format!("expected one Idempotency-Key of 1 to {KEY_MAX_BYTES} ASCII characters"))),
    }
}

/// The documents of a body, as what is stored together under one key.
fn parts(
    front: &Front,
    route: &Route,
    media: Media,
    key: Option<&str>,
    body: &[u8],
    room: &mut Room,
) -> Result<Vec<Part>, Refusal> {
    let documents = media::cut(media, body)?;
    room.grow(body.len() + documents.len() * DOCUMENT_OVERHEAD_BYTES)?;
    let mut preparer = route.preparer.clone();
    let mut prepare = |at: usize, document: &[u8]| {
        let number = front.next_document.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:010}-{number:012}", front.epoch);
        preparer.prepare(document, &id).map_err(|error| {
            let status = match error.code.as_str() {
                "document.size" | "document.too_large" => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Refusal::new(status, format!("document {}: {}", at + 1, error.message))
        })
    };
    if let (None, true) = (key, media.is_event()) {
        if documents.len() > EVENTS_MAX {
            let why =
                format!("expected at most {EVENTS_MAX} events without an Idempotency-Key, got {}", documents.len());
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        let part = |(at, document): (usize, &&[u8])| {
            let name = media::event_name(at + 1, document)?;
            let key = Print::of(&[b"event", name.source.as_bytes(), name.id.as_bytes()]);
            Ok(Part { key: Some(key), content: Print::of(&[document]), documents: vec![prepare(at, document)?] })
        };
        return documents.iter().enumerate().map(part).collect();
    }
    if media.is_event() {
        for (at, document) in documents.iter().enumerate() {
            media::event_name(at + 1, document)?;
        }
    }
    let key = key.map(|key| Print::of(&[b"request", key.as_bytes()]));
    let prepared =
        documents.iter().enumerate().map(|(at, document)| prepare(at, document)).collect::<Result<_, _>>()?;
    Ok(vec![Part { key, content: Print::of(&[body]), documents: prepared }])
}

/// Returns when they are durable; whether they were before.
async fn durable(front: &Front, binding: usize, parts: Vec<Part>) -> Result<bool, Refusal> {
    let gone = || Refusal::later("the session ended before it was durable: send it again");
    let waiting = async {
        let (answer, told) = oneshot::channel();
        front.offers.send(Offer { binding, parts, answer }).await.map_err(|_| gone())?;
        let other = |Conflict| {
            Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "expected what this key stood for before, got another body: nothing of it is stored",
            )
        };
        let Placed { checkpoint, is_replayed } = told.await.map_err(|_| gone())?.map_err(other)?;
        match front.acknowledgements.clone().reached(checkpoint).await {
            true => Ok(is_replayed),
            false => Err(gone()),
        }
    };
    let slow = |_| Refusal::later("it is not durable yet, and may become so: send it again, under the same key");
    tokio::time::timeout(front.settings.commit_timeout, waiting).await.map_err(slow)?
}
