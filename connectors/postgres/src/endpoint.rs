//! Where a server is and who we are to it, as the user writes it: a URL, a password beside it, and how far the server's certificate is
//! believed. What of libpq's parameters reaches for files or changes what the session does is not taken from a URL.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use longshore_sdk::{Error, Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

/// Parameters that a URL may carry behind its `?`.
const ALLOWED: [&str; 3] = ["application_name", "connect_timeout", "sslmode"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A database of a server, and the way to it. Part of the config of both connectors.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// `postgres://USER@HOST:PORT/DATABASE`; a directory that holds a Unix socket is written `%2Frun%2Fpostgresql` as host. Behind `?` stand
    /// `sslmode`, `connect_timeout` (seconds) and `application_name`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret<String>>,
    /// PEM file with the authorities that may have signed the server's certificate, relative to the catalog. Without it, those of the
    /// operating system. With it, `sslmode` is `verify-full` where nothing else is said.
    #[serde(default)]
    pub sslrootcert: Option<PathBuf>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("sslrootcert", &self.sslrootcert)
            .finish_non_exhaustive()
    }
}

/// How the way is protected; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server offers it; whose certificate it is, is not asked.
    Prefer,
    /// Encrypted or not at all; whose certificate it is, is not asked.
    Require,
    /// Encrypted, and the certificate signed by an authority that is believed.
    VerifyCa,
    /// The same, and made out to the host of the URL.
    VerifyFull,
}

/// A URL that was read.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) mode: SslMode,
}

impl FromStr for SslMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return Err(()),
        })
    }
}

impl Endpoint {
    /// Whether it can be used at all; reaches for nothing.
    ///
    /// # Errors
    /// `config`, pointing at `/url`.
    pub fn check(&self) -> Result<()> {
        self.parse().map(drop)
    }

    /// One word for the database, for claims: two tasks that name the same one must not write the same table.
    #[must_use]
    pub fn name(&self) -> String {
        let Ok(Parsed { config, .. }) = self.parse() else { return self.url.clone() };
        let hosts = config.get_hosts().iter().map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        });
        let ports = config.get_ports().first().copied().unwrap_or(5432);
        format!("{}:{ports}/{}", hosts.collect::<Vec<_>>().join(","), config.get_dbname().unwrap_or_default())
    }

    pub(crate) fn parse(&self) -> Result<Parsed> {
        let is_url = self.url.starts_with("postgres://") || self.url.starts_with("postgresql://");
        if !is_url {
            return Err(wrong("expected postgres://USER@HOST:PORT/DATABASE, got something else"));
        }
        let (address, parameters) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let mut mode = None;
        let mut kept = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => {
                    let read = value.parse().map_err(|()| {
                        wrong(&format!(
                            "expected `sslmode` to be disable, prefer, require, verify-ca or verify-full, got {value:?}"
                        ))
                    })?;
                    mode = Some(read);
                }
                _ if ALLOWED.contains(&name) => kept.push(parameter),
                _ => {
                    return Err(wrong(&format!("expected no parameters but {}, got {name:?}", ALLOWED.join(", ")))
                        .suggest("take it out; a certificate is named by `sslrootcert` beside `url`"));
                }
            }
        }
        let text = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
        // The library's own words may quote the URL's parts.
        let mut config = tokio_postgres::Config::from_str(&text)
            .map_err(|_| wrong("expected a URL that can be read, got another"))?;
        if config.get_password().is_some() {
            return Err(wrong("expected no password in the URL, got one")
                .suggest("write it as `password` beside `url`: there it is kept out of logs and errors"));
        }
        for (what, is_there) in [
            ("a host", !config.get_hosts().is_empty()),
            ("a user", config.get_user().is_some_and(|user| !user.is_empty())),
            ("a database", config.get_dbname().is_some_and(|name| !name.is_empty())),
        ] {
            if !is_there {
                return Err(wrong(&format!("expected {what} in it, got none")));
            }
        }
        let default = if self.sslrootcert.is_some() { SslMode::VerifyFull } else { SslMode::Prefer };
        let mode = mode.unwrap_or(default);
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        Ok(Parsed { config, mode })
    }
}

fn wrong(fault: &str) -> Error {
    Error::config("postgres.url", format!("reading `url`: {fault}"))
        .at_pointer("/url")
        .suggest("write postgres://USER@HOST:PORT/DATABASE, with the password as `password` beside it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint { url: url.to_owned(), password: None, sslrootcert: None }
    }

    #[test]
    fn a_url_says_where_and_who_and_nothing_that_reaches_for_files() {
        let parsed =
            endpoint("postgres://me@db.example:6000/shop?sslmode=verify-ca&connect_timeout=3").parse().unwrap();
        assert_eq!((parsed.mode, parsed.config.get_ports()), (SslMode::VerifyCa, &[6000][..]));
        assert_eq!(parsed.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(endpoint("postgres://me@db/shop").name(), "db:5432/shop");
        for (url, says) in [
            ("host=db user=me", "got something else"),
            ("postgres://me:hunter2@db/shop", "no password in the URL"),
            ("postgres://me@db/shop?sslmode=allow", "sslmode"),
            ("postgres://me@db/shop?options=-csearch_path%3Dx", "\"options\""),
            ("postgres://me@db/shop?passfile=/etc/passwd", "\"passfile\""),
            ("postgres://me@db", "a database"),
            ("postgres://db/shop", "a user"),
            ("postgres:///shop", "a host"),
        ] {
            let error = endpoint(url).check().unwrap_err();
            assert!(error.message.contains(says) && error.pointer == "/url", "{url}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_certificate_that_is_named_is_asked_for() {
        let named = Endpoint { sslrootcert: Some("ca.pem".into()), ..endpoint("postgres://me@db/shop") };
        assert_eq!(named.parse().unwrap().mode, SslMode::VerifyFull);
    }
}
