//! What the config comes to: parsed and checked once, the same way by Validate and by a session, so that what `check` takes a run takes too.

use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use longshore_sdk::{Error, Result};
use ring::hmac;

use crate::auth::{Guard, Signed};
use crate::config::{Config, Resource, Signature};
use crate::window::Kept;

/// Where it is asked whether requests are taken.
pub(crate) const HEALTH_PATH: &str = "/healthz";
/// What a remembered key takes of the state, in bytes.
const KEY_STATE_BYTES: u64 = 80;
/// What all remembered keys may take of the state, which may have 16 MiB.
const KEYS_STATE_MAX_BYTES: u64 = 12 << 20;

/// All that a session needs of the config.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) guard: Guard,
    pub(crate) body_bytes: usize,
    pub(crate) unfolded_bytes: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) requests: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) commit_timeout: Duration,
    pub(crate) keys: Kept,
}

impl Settings {
    /// Or all that is wrong.
    pub(crate) fn new(config: &Config, bindings: usize) -> Result<Self, Vec<Error>> {
        let mut faults = Vec::new();
        let is_open = config.token.is_none() && config.signature.is_none();
        let listen = match listen(&config.listen, is_open) {
            Ok(listen) => Some(listen),
            Err(error) => {
                faults.push(error);
                None
            }
        };
        let mut guard = Guard::default();
        if let Some(token) = &config.token {
            match token.expose().is_empty() {
                false => guard.take_token(token.expose()),
                true => faults.push(fault("/token", "expected a token, got an empty one")),
            }
        }
        match config.signature.as_ref().map(signed) {
            Some(Ok(signed)) => guard.signed = Some(signed),
            Some(Err(error)) => faults.push(error),
            None => {}
        }
        for (pointer, time) in [
            ("/read_timeout", config.read_timeout),
            ("/commit_timeout", config.commit_timeout),
            ("/keys_for", config.keys_for),
        ] {
            if time.0.is_zero() {
                faults.push(fault(pointer, "expected a time above 0"));
            }
        }
        let one_request = u64::from(config.body_bytes) + 2 * u64::from(config.unfolded_bytes);
        if u64::from(config.memory_bytes) < one_request {
            let message = format!(
                "expected room for one request, `body_bytes` and twice `unfolded_bytes`: {one_request}, got {}",
                config.memory_bytes
            );
            faults.push(fault("/memory_bytes", &message).suggest("raise it, or lower the others"));
        }
        let state_bytes = u64::from(config.keys_kept) * KEY_STATE_BYTES * bindings as u64;
        if state_bytes > KEYS_STATE_MAX_BYTES {
            let message = format!(
                "expected keys that take at most {KEYS_STATE_MAX_BYTES} bytes of the state, got {state_bytes} for {bindings} bindings"
            );
            faults.push(fault("/keys_kept", &message).suggest("keep fewer, or put the bindings into several tasks"));
        }
        let (Some(listen), true) = (listen, faults.is_empty()) else { return Err(faults) };
        Ok(Self {
            listen,
            guard,
            body_bytes: config.body_bytes as usize,
            unfolded_bytes: config.unfolded_bytes as usize,
            memory_bytes: config.memory_bytes as usize,
            requests: config.requests.max(1) as usize,
            read_timeout: config.read_timeout.0,
            commit_timeout: config.commit_timeout.0,
            keys: Kept { count: config.keys_kept.max(1) as usize, seconds: config.keys_for.0.as_secs() },
        })
    }
}

impl Resource {
    /// What is wrong with the path.
    pub(crate) fn fault(&self) -> Option<Error> {
        let path = &self.path;
        if path == HEALTH_PATH {
            return Some(fault(
                "/path",
                &format!("expected another path than {HEALTH_PATH}, which tells whether requests are taken"),
            ));
        }
        let is_sound = path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&byte));
        (!is_sound).then(|| {
            let message =
                format!("expected a path that begins with `/`, percent-encoded and without `?` or `#`, got {path:?}");
            fault("/path", &message).suggest("write it like `/orders`")
        })
    }
}

/// Who is not asked who they are must be on this machine.
fn listen(text: &str, is_open: bool) -> Result<SocketAddr> {
    let wrong = || {
        fault("/listen", &format!("expected an address and a port, got {text:?}"))
            .suggest("write it like `127.0.0.1:8080` or `[::1]:8080`")
    };
    let listen: SocketAddr = text.parse().map_err(|_| wrong())?;
    if is_open && !listen.ip().is_loopback() {
        let message =
            format!("expected a `token` or a `signature` where other machines can send, got neither for {listen}");
        return Err(fault("/listen", &message).suggest("set one of them, or listen on 127.0.0.1"));
    }
    Ok(listen)
}

fn signed(signature: &Signature) -> Result<Signed> {
    let name = |pointer: &str, text: &str| {
        let taken = [HOST, CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, AUTHORIZATION];
        let name = text.parse::<HeaderName>().ok().filter(|name| !taken.contains(name));
        name.ok_or_else(|| fault(pointer, &format!("expected the name of a header of its own, got {text:?}")))
    };
    if signature.secret.expose().is_empty() {
        return Err(fault("/signature/secret", "expected a key, got an empty one"));
    }
    let header = name("/signature/header", &signature.header)?;
    let timestamp = match &signature.timestamp {
        None => None,
        Some(timestamp) => {
            Some((name("/signature/timestamp/header", &timestamp.header)?, timestamp.tolerance.0.as_secs()))
        }
    };
    if timestamp.as_ref().is_some_and(|(timestamp, _)| *timestamp == header) {
        return Err(fault(
            "/signature/timestamp/header",
            "expected another header than that of the signature, got the same",
        ));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, signature.secret.expose().as_bytes());
    Ok(Signed { key, header, prefix: signature.prefix.clone(), encoding: signature.encoding, timestamp })
}

fn fault(pointer: &str, message: &str) -> Error {
    Error::config("webhook.config", message).at_pointer(pointer)
}
