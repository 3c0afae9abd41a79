//! Addresses of connectors that somebody else runs: `unix:PATH`, `http://` on loopback, `https://` anywhere. Anything else is refused with a
//! reason.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use longshore_proto::Error;
use tokio_rustls::rustls::pki_types::ServerName;

/// Where a connector serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket; relative to the catalog's directory.
    Unix(PathBuf),
    /// Plain HTTP/2 on this machine.
    Loopback(SocketAddr),
    /// HTTP/2 over TLS, where both ends show a certificate.
    Remote {
        /// The name that the connector's certificate is for, or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
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
        if let Some(rest) = text.strip_prefix("https://") {
            return remote(rest).ok_or_else(|| {
                refuse(text, "expected a host and a port, and no path", "write `https://connector.example:7070`")
            });
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(refuse(
                text,
                "expected `unix:PATH`, `http://127.0.0.1:PORT` or `https://HOST:PORT`",
                "start it with one of the three",
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
                "use `https://` with `tls`, or a loopback address",
            ))
        }
    }

    /// The same, with a relative path taken from `directory`.
    pub(super) fn within(&self, directory: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(directory.join(path)),
            Self::Loopback(_) | Self::Remote { .. } => self.clone(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Loopback(socket) => write!(f, "http://{socket}"),
            Self::Remote { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Remote { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

fn remote(rest: &str) -> Option<Address> {
    let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host).ok()?;
    Some(Address::Remote { host: host.to_owned(), port: port.parse().ok()? })
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
    fn sockets_loopback_and_tls_are_taken() {
        assert_eq!(Address::parse("unix:/a b/s").unwrap(), Address::Unix("/a b/s".into()));
        assert_eq!(Address::parse("unix:run/s").unwrap().within(Path::new("/c")), Address::Unix("/c/run/s".into()));
        for text in ["http://127.0.0.1:7070", "http://localhost:7070/", "http://127.0.0.1:7070/"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), "http://127.0.0.1:7070", "{text}");
        }
        assert_eq!(Address::parse("http://[::1]:1").unwrap().to_string(), "http://[::1]:1");
        for text in ["https://10.0.0.7:7070", "https://shop.example:1", "https://[fd00::1]:7070"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
            assert_eq!(Address::parse(&format!("{text}/")).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_do() {
        for text in [
            "",
            "unix:",
            "tcp:1",
            "http://10.0.0.7:7070",
            "http://example.com:1",
            "http://127.0.0.1",
            "https://10.0.0.7",
            "https://shop.example:1/path",
            "https://:1",
            "https://a b:1",
            "https://shop.example:70000",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.code, "connector.address", "{text}");
            assert!(!error.suggestion.is_empty(), "{text}");
        }
    }
}
