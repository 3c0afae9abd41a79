//! What the config comes to: parsed and checked once, the same way by Validate and by a session, so that what `check` takes a run takes too.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use longshore_sdk::{Error, Result};
use ring::hmac;
use rustls::ClientConfig;

use crate::config::{Config, Format, Method, Resource, Signature};
use crate::sign::Signer;
use crate::tls;

/// The header that carries the key of a request.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// All that a session needs of the config.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) method: http::Method,
    pub(crate) format: Format,
    pub(crate) headers: HeaderMap,
    pub(crate) signer: Option<Signer>,
    pub(crate) batch_documents: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) retry_for: Duration,
    pub(crate) event_source: Option<String>,
    pub(crate) event_type: String,
}

/// The server and what of the url is put before a binding's path.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// None: without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host, and port where it is not the usual one.
    pub(crate) authority: HeaderValue,
    base_path: String,
    query: Option<String>,
}

impl Settings {
    /// Or all that is wrong.
    pub(crate) fn new(config: &Config) -> Result<Self, Vec<Error>> {
        let mut faults = Vec::new();
        let target = keep(target(config), &mut faults);
        let mut headers = headers(config, &mut faults);
        let signer = match &config.signature {
            None => None,
            Some(signature) => keep(signer(signature), &mut faults),
        };
        if let Some(token) = &config.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            match value.ok().filter(|_| !token.expose().is_empty()) {
                Some(value) => drop(headers.insert(AUTHORIZATION, secret(value))),
                None => faults.push(fault(
                    "/token",
                    "expected a token that can stand in a header, got an empty one or other characters",
                )),
            }
        }
        let times = [("/timeout", config.timeout.0)];
        for (pointer, _) in times.iter().filter(|(_, time)| time.is_zero()) {
            faults.push(fault(pointer, "expected a time above 0"));
        }
        for (pointer, text) in
            [("/event_type", Some(&config.event_type)), ("/event_source", config.event_source.as_ref())]
        {
            if text.is_some_and(String::is_empty) {
                faults.push(fault(pointer, "expected a text, got an empty one"));
            }
        }
        let (Some(target), true) = (target, faults.is_empty()) else { return Err(faults) };
        Ok(Self {
            target,
            method: match config.method {
                Method::Post => http::Method::POST,
                Method::Put => http::Method::PUT,
            },
            format: config.format,
            headers,
            signer,
            batch_documents: config.batch_documents.max(1) as usize,
            batch_bytes: config.batch_bytes as usize,
            timeout: config.timeout.0,
            retry_for: config.retry_for.0,
            event_source: config.event_source.clone(),
            event_type: config.event_type.clone(),
        })
    }

    /// Something that others must not read goes over a wire that others can read.
    pub(crate) fn tells_secrets(&self) -> bool {
        let is_local = self.target.host == "localhost"
            || self.target.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        self.target.tls.is_none()
            && !is_local
            && (self.signer.is_some() || self.headers.values().any(HeaderValue::is_sensitive))
    }
}

impl Target {
    /// Server and scheme: what of the url may be shown.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", String::from_utf8_lossy(self.authority.as_bytes()))
    }

    /// What is asked for on behalf of a binding.
    pub(crate) fn path_and_query(&self, resource: &Resource) -> String {
        let path = match resource.path.as_str() {
            "/" if self.base_path.is_empty() => "/",
            "/" => self.base_path.as_str(),
            path => &format!("{}{path}", self.base_path.trim_end_matches('/')),
        };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

impl Resource {
    /// What is wrong with the path.
    pub(crate) fn fault(&self) -> Option<Error> {
        let path = &self.path;
        let is_sound = path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&byte))
            && !path.split('/').any(|segment| segment == "." || segment == "..");
        (!is_sound).then(|| {
            let expected = "expected a path that begins with `/`, percent-encoded and without `?`, `#` or `..`";
            fault("/path", &format!("{expected}, got {path:?}")).suggest("write it like `/orders`")
        })
    }
}

fn target(config: &Config) -> Result<Target> {
    // The url may hold a token, so it is not shown.
    let wrong = |got: &str| fault("/url", &format!("expected a url such as `https://example.com/hooks`, got {got}"));
    let uri: Uri = config.url.expose().parse().map_err(|_| wrong("something else"))?;
    let is_secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) | None => return Err(wrong("one that does not begin with `https://` or `http://`")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("one without a host"))?;
    if authority.as_str().contains('@') {
        return Err(
            wrong("one with a user in it").suggest("take it out and write the header `Authorization` under `headers`")
        );
    }
    if config.url.expose().contains('#') {
        return Err(wrong("one with a `#`"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong("one without a host"));
    }
    if is_secure && rustls::pki_types::ServerName::try_from(host.as_str()).is_err() {
        return Err(wrong("a host that no certificate can be for"));
    }
    let usual = if is_secure { 443 } else { 80 };
    let port = match authority.port() {
        Some(port) => {
            port.as_str().parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("a port that is none"))?
        }
        None => usual,
    };
    let tls = if is_secure { Some(tls::client(config.ca_file.as_deref())?) } else { None };
    Ok(Target {
        tls,
        host,
        port,
        authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("another host"))?,
        base_path: if uri.path() == "/" { String::new() } else { uri.path().to_owned() },
        query: uri.query().map(str::to_owned),
    })
}

fn headers(config: &Config, faults: &mut Vec<Error>) -> HeaderMap {
    let ours = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, CONTENT_TYPE, IDEMPOTENCY_KEY];
    let mut headers = HeaderMap::new();
    headers
        .insert(USER_AGENT, HeaderValue::from_static(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in &config.headers {
        let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        let Ok(name) = name.parse::<HeaderName>() else {
            faults.push(fault(&pointer, &format!("expected the name of a header, got {name:?}")));
            continue;
        };
        let signs = |signature: &Signature| {
            let also =
                signature.timestamp_header.as_deref().is_some_and(|header| name.as_str().eq_ignore_ascii_case(header));
            also || name.as_str().eq_ignore_ascii_case(&signature.header)
        };
        if ours.contains(&name)
            || (name == AUTHORIZATION && config.token.is_some())
            || config.signature.as_ref().is_some_and(signs)
        {
            faults.push(fault(
                &pointer,
                &format!("expected a header that is not set by the connector itself, got {name}"),
            ));
        }
        match HeaderValue::from_str(value.expose()) {
            Ok(value) => drop(headers.insert(name, secret(value))),
            Err(_) => faults.push(fault(&pointer, "expected a value that can stand in a header, got other characters")),
        }
    }
    headers
}

fn signer(signature: &Signature) -> Result<Signer> {
    let name = |pointer: &str, text: &str| {
        let name = text
            .parse::<HeaderName>()
            .ok()
            .filter(|name| ![HOST, CONTENT_LENGTH, CONTENT_TYPE, AUTHORIZATION].contains(name));
        name.ok_or_else(|| fault(pointer, &format!("expected the name of a header of its own, got {text:?}")))
    };
    if signature.secret.expose().is_empty() {
        return Err(fault("/signature/secret", "expected a key, got an empty one"));
    }
    if HeaderValue::from_str(&signature.prefix).is_err() {
        return Err(fault("/signature/prefix", "expected a text that can stand in a header, got other characters"));
    }
    let header = name("/signature/header", &signature.header)?;
    let timestamp_header =
        signature.timestamp_header.as_deref().map(|text| name("/signature/timestamp_header", text)).transpose()?;
    if timestamp_header.as_ref() == Some(&header) {
        return Err(fault(
            "/signature/timestamp_header",
            "expected another header than that of the signature, got the same",
        ));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, signature.secret.expose().as_bytes());
    Ok(Signer { key, header, prefix: signature.prefix.clone(), encoding: signature.encoding, timestamp_header })
}

fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn keep<T>(result: Result<T>, faults: &mut Vec<Error>) -> Option<T> {
    result.map_err(|error| faults.push(error)).ok()
}

fn fault(pointer: &str, message: &str) -> Error {
    Error::config("webhook.config", message).at_pointer(pointer)
}
