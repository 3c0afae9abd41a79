//! Addresses of connectors that somebody else runs: `unix:PATH`, or `http://` on loopback. Anything else is refused with a reason.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use longshore_proto::Error;

/// Where a connector serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket; relative to the catalog's directory.
    Unix(PathBuf),
    /// Plain HTTP/2 on this machine.
    Loopback(SocketAddr),
}

impl Address {
    /// Takes what the user wrote.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(refuse(text, "expected a path behind `unix:`", "write `unix:/path/to.sock`"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if text.starts_with("https://") {
            return Err(refuse(
                text,
                "remote connectors over TLS are not supported by this version",
                "run the connector on this machine, with `command:` or at `unix:` or `http://127.0.0.1:PORT`",
            ));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(refuse(
                text,
                "expected `unix:PATH` or `http://127.0.0.1:PORT`",
                "start it with one of the two",
            ));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let rest = rest
            .strip_prefix("localhost:")
            .map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST))
            .unwrap_or(rest.to_owned());
        let socket: SocketAddr = rest.parse().map_err(|_| {
            refuse(
                text,
                "expected an IP address of this machine and a port, and no path",
                "write `http://127.0.0.1:7070`",
            )
        })?;
        if is_loopback(socket.ip()) {
            Ok(Self::Loopback(socket))
        } else {
            Err(refuse(
                text,
                "plain http leaves this machine: the token and all documents could be read on the way",
                "use a loopback address; remote connectors need TLS, which this version does not support yet",
            ))
        }
    }

    /// The same, with a relative path taken from `directory`.
    pub(super) fn within(&self, directory: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(directory.join(path)),
            Self::Loopback(socket) => Self::Loopback(*socket),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Loopback(socket) => write!(f, "http://{socket}"),
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn refuse(text: &str, why: &str, what_now: &str) -> Error {
    Error::config("connector.address", format!("address {text:?}: {why}")).suggest(what_now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_loopback_are_taken() {
        assert_eq!(Address::parse("unix:/a b/s").unwrap(), Address::Unix("/a b/s".into()));
        assert_eq!(Address::parse("unix:run/s").unwrap().within(Path::new("/c")), Address::Unix("/c/run/s".into()));
        for text in ["http://127.0.0.1:7070", "http://localhost:7070/", "http://127.0.0.1:7070/"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), "http://127.0.0.1:7070", "{text}");
        }
        assert_eq!(Address::parse("http://[::1]:1").unwrap().to_string(), "http://[::1]:1");
    }

    #[test]
    fn anything_else_is_refused_with_what_to_do() {
        for text in [
            "",
            "unix:",
            "tcp:1",
            "http://10.0.0.7:7070",
            "http://example.com:1",
            "https://10.0.0.7:7070",
            "http://127.0.0.1",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.code, "connector.address", "{text}");
            assert!(!error.suggestion.is_empty(), "{text}");
        }
    }
}
