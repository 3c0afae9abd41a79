//! Who may call: the one-time token that the first call spends, or the token of a file.

#![allow(clippy::disallowed_methods, reason = "session secrets are random")]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use longshore_proto::Error;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::Service;

/// The response header that carries the secret of the session that spent the token.
pub(crate) const SESSION_HEADER: &str = "longshore-session";
const HEALTH_PREFIX: &str = "/grpc.health.v1.Health/";

/// What a bearer must be right now.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<Mutex<Bearer>>);

enum Bearer {
    /// Nobody has called yet; the first call spends it.
    Fresh(String),
    /// Taken every time: a session's secret, or the content of a token file.
    Standing(String),
}

/// What a call with the right bearer gets.
enum Admitted {
    Plainly,
    /// It spent the token, and must be told the secret.
    WithSecret(HeaderValue),
}

impl Tokens {
    pub(crate) fn from_environment() -> Result<Self, Error> {
        if let Ok(token) = std::env::var("LONGSHORE_TOKEN") {
            return Self::new(Bearer::Fresh(token), "LONGSHORE_TOKEN");
        }
        let Ok(path) = std::env::var("LONGSHORE_TOKEN_FILE") else {
            let message = "starting to serve: expected LONGSHORE_TOKEN or LONGSHORE_TOKEN_FILE, got neither";
            return Err(Error::config("sdk.token", message).suggest("write a secret into a file and name it there"));
        };
        let token = std::fs::read_to_string(&path).map_err(|error| {
            Error::config("sdk.token", format!("reading the token of LONGSHORE_TOKEN_FILE, {path}: {error}"))
        })?;
        Self::new(Bearer::Standing(token.trim().to_owned()), "LONGSHORE_TOKEN_FILE")
    }

    /// One that is taken every time.
    pub(crate) fn standing(token: &str) -> Self {
        Self(Arc::new(Mutex::new(Bearer::Standing(token.to_owned()))))
    }

    fn new(bearer: Bearer, source: &str) -> Result<Self, Error> {
        let (Bearer::Fresh(token) | Bearer::Standing(token)) = &bearer;
        if token.is_empty() {
            return Err(Error::config("sdk.token", format!("reading {source}: expected a token, got nothing")));
        }
        Ok(Self(Arc::new(Mutex::new(bearer))))
    }

    fn admit(&self, authorization: Option<&HeaderValue>) -> Result<Admitted, Status> {
        let given = authorization.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let Some(given) = given else {
            return Err(Status::unauthenticated("expected authorization: Bearer <token>"));
        };
        let mut bearer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Bearer::Fresh(expected) | Bearer::Standing(expected)) = &*bearer;
        if !same(expected.as_bytes(), given) {
            return Err(Status::unauthenticated("the bearer is not, or no longer, the right one"));
        }
        if let Bearer::Standing(_) = &*bearer {
            return Ok(Admitted::Plainly);
        }
        let secret = fresh_secret()?;
        let header = HeaderValue::from_str(&secret).map_err(|error| Status::internal(error.to_string()))?;
        *bearer = Bearer::Standing(secret);
        Ok(Admitted::WithSecret(header))
    }
}

/// 64 hex digits.
fn fresh_secret() -> Result<String, Status> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Status::internal(format!("making a session secret: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Compares in a time that tells nothing about where they differ.
fn same(expected: &[u8], given: &[u8]) -> bool {
    expected.len() == given.len() && expected.iter().zip(given).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

/// The service behind, for those who may call it. Health checks need no token.
#[derive(Clone)]
pub(crate) struct WithToken<S> {
    inner: S,
    tokens: Tokens,
}

impl<S> WithToken<S> {
    pub(crate) fn new(inner: S, tokens: Tokens) -> Self {
        Self { inner, tokens }
    }
}

impl<S> Service<Request<Body>> for WithToken<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let authorization = request.headers_mut().remove("authorization");
        let admitted = match request.uri().path().starts_with(HEALTH_PREFIX) {
            true => Ok(Admitted::Plainly),
            false => self.tokens.admit(authorization.as_ref()),
        };
        match admitted {
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
            Ok(Admitted::Plainly) => Box::pin(self.inner.call(request)),
            Ok(Admitted::WithSecret(secret)) => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let mut response = answer.await?;
                    response.headers_mut().insert(SESSION_HEADER, secret);
                    Ok(response)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Bearer {token}")).expect("a header")
    }

    #[test]
    fn the_first_call_spends_the_token() {
        let tokens = Tokens::new(Bearer::Fresh("once".to_owned()), "a test").expect("a token");
        assert!(tokens.admit(None).is_err());
        assert!(tokens.admit(Some(&bearer("other"))).is_err());
        let Ok(Admitted::WithSecret(secret)) = tokens.admit(Some(&bearer("once"))) else {
            panic!("the first call gets the secret")
        };
        assert_eq!(secret.len(), 64);
        assert!(tokens.admit(Some(&bearer("once"))).is_err(), "spent");
        let secret = secret.to_str().expect("hex");
        assert!(matches!(tokens.admit(Some(&bearer(secret))), Ok(Admitted::Plainly)));
    }

    #[test]
    fn the_token_of_a_file_is_taken_every_time() {
        let tokens = Tokens::new(Bearer::Standing("again".to_owned()), "a test").expect("a token");
        for _ in 0..2 {
            assert!(matches!(tokens.admit(Some(&bearer("again"))), Ok(Admitted::Plainly)));
        }
    }
}
