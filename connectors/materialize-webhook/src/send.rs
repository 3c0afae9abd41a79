//! One request until it has arrived: the same bytes under the same key, again and again, later and later, as long as the config says.

#![allow(clippy::disallowed_methods, reason = "attempts are spread by dice and counted by the clock")]

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request};
use http_body_util::Full;
use longshore_sdk::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::answer::{Answer, Verdict, retry_after, verdict};
use crate::backoff;
use crate::client::Client;
use crate::settings::{IDEMPOTENCY_KEY, Settings};
use crate::shape::content_type;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    /// Path and query.
    pub(crate) path_and_query: &'a str,
    pub(crate) key: String,
    pub(crate) body: Bytes,
    /// For errors: what it is, without anything of the url that may be a secret.
    pub(crate) what: String,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The server answered 2xx.
    Arrived,
    /// It wants less at once.
    TooLarge(Error),
    /// It does not want these documents.
    Refused(Error),
}

/// Sends, one request after the other.
#[derive(Debug)]
pub(crate) struct Sender {
    settings: Settings,
    client: Client,
    /// A process that is asked to leave does not wait for a server.
    leave: Signal,
    is_leaving: bool,
}

impl Sender {
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let client = Client::new(settings.target.clone(), settings.timeout);
        let leave = signal(SignalKind::terminate())
            .map_err(|error| Error::internal("webhook.signal", format!("listening for SIGTERM: {error}")))?;
        Ok(Self { settings, client, leave, is_leaving: false })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns when it has arrived or will not.
    pub(crate) async fn send(&mut self, post: &Post<'_>) -> Result<Outcome> {
        let began = Instant::now();
        for failed in 1_u32.. {
            let request = self.request(post)?;
            let (got, asked) = match self.client.exchange(&request).await {
                Ok(answer) => match verdict(answer.status) {
                    Verdict::Arrived => return Ok(Outcome::Arrived),
                    Verdict::TooLarge => return Ok(Outcome::TooLarge(refused(post, &answer))),
                    Verdict::Refused => return Ok(Outcome::Refused(refused(post, &answer))),
                    Verdict::Misconfigured(way) => return Err(misconfigured(post, &answer, way)),
                    Verdict::Again => {
                        let asked = retry_after(answer.retry_after.as_deref(), SystemTime::now());
                        (said(&answer), asked)
                    }
                },
                Err(failure) => (failure, None),
            };
            if began.elapsed() >= self.settings.retry_for {
                return Err(given_up(post, failed, &got));
            }
            let pause = backoff::pause(failed, asked, getrandom::u32().unwrap_or(u32::MAX / 2));
            tracing::warn!(attempt = failed, next_in = ?pause, "{}: expected 2xx, got {got}; it is sent again", post.what);
            self.wait(pause, post).await?;
        }
        Err(Error::internal("webhook.attempts", format!("{}: every attempt failed", post.what)))
    }

    async fn wait(&mut self, pause: Duration, post: &Post<'_>) -> Result<()> {
        if !self.is_leaving {
            let leave = &mut self.leave;
            let waited = tokio::time::timeout(pause, leave.recv()).await;
            self.is_leaving = waited.is_ok();
        }
        match self.is_leaving {
            false => Ok(()),
            true => Err(Error::unavailable(
                "webhook.leaving",
                format!("{}: this process was asked to leave while the server did not take it", post.what),
            )
            .suggest("it is sent again under the same key when the task runs again")),
        }
    }

    fn request(&self, post: &Post<'_>) -> Result<Request<Full<Bytes>>> {
        let internal =
            |error: &dyn std::fmt::Display| Error::internal("webhook.request", format!("{}: {error}", post.what));
        let mut request = Request::new(Full::new(post.body.clone()));
        *request.method_mut() = self.settings.method.clone();
        *request.uri_mut() = post.path_and_query.parse().map_err(|error| internal(&error))?;
        let headers = request.headers_mut();
        headers.clone_from(&self.settings.headers);
        headers.insert(HOST, self.settings.target.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(self.settings.format)));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(&post.key).map_err(|error| internal(&error))?);
        if let Some(signer) = &self.settings.signer {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            signer.sign(&post.body, now.as_secs(), headers);
        }
        Ok(request)
    }
}

/// Status and what the server had to say.
fn said(answer: &Answer) -> String {
    match answer.excerpt.is_empty() {
        true => answer.status.to_string(),
        false => format!("{}: \"{}\"", answer.status, answer.excerpt),
    }
}

fn refused(post: &Post<'_>, answer: &Answer) -> Error {
    Error::data("webhook.refused", format!("{}: expected 2xx, got {}", post.what, said(answer)))
}

fn misconfigured(post: &Post<'_>, answer: &Answer, way: &str) -> Error {
    Error::config("webhook.status", format!("{}: expected 2xx, got {}", post.what, said(answer))).suggest(way)
}

fn given_up(post: &Post<'_>, attempts: u32, got: &str) -> Error {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    Error::unavailable("webhook.unavailable", format!("{}, tried {times}: expected 2xx, got {got}", post.what))
        .suggest("look at the server; the transaction is begun again under the same keys")
}
