//! Where to serve: `unix:/path` or `tcp:host:port`.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, StreamExt as _};
use longshore_proto::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::server::Connected;

/// Longest path of a Unix socket, in bytes.
const UNIX_PATH_MAX_BYTES: usize = 107;

/// An address to serve on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    Unix(PathBuf),
    Tcp(String),
}

impl Listen {
    pub(crate) fn parse(address: &str) -> Result<Self, Error> {
        let refuse = |expected: &str| {
            let message = format!("reading LONGSHORE_LISTEN: expected {expected}, got {address:?}");
            Err(Error::config("sdk.listen", message))
        };
        match address.split_once(':') {
            Some(("unix", "")) => refuse("a path behind unix:"),
            Some(("unix", path)) if path.len() > UNIX_PATH_MAX_BYTES => refuse("a path of at most 107 bytes"),
            Some(("unix", path)) => Ok(Listen::Unix(path.into())),
            Some(("tcp", host_port)) if host_port.contains(':') => Ok(Listen::Tcp(host_port.to_owned())),
            Some(_) | None => refuse("unix:PATH or tcp:HOST:PORT"),
        }
    }

    /// Starts to listen; the stream gives connections.
    pub(crate) async fn bind(&self) -> Result<BoxStream<'static, io::Result<Connection>>, Error> {
        let failed = |error: io::Error| {
            Error::unavailable("sdk.listen", format!("listening on {self}: {error}"))
                .suggest("another process may serve there, or the directory is missing")
        };
        match self {
            Listen::Unix(path) => {
                let listener = UnixListener::bind(path).map_err(failed)?;
                std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
                Ok(UnixListenerStream::new(listener).map(|stream| stream.map(Connection::Unix)).boxed())
            }
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let accept = |stream: TcpStream| stream.set_nodelay(true).map(|()| Connection::Tcp(stream));
                Ok(TcpListenerStream::new(listener).map(move |stream| stream.and_then(accept)).boxed())
            }
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// One connection of either kind.
#[derive(Debug)]
pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Connection::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Connection::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Connection::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Connection::Unix(stream) => stream.is_write_vectored(),
            Connection::Tcp(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Unix(stream) => Pin::new(stream).poll_flush(context),
            Connection::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Connection::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_host_and_port() {
        assert_eq!(Listen::parse("unix:/run/a.sock"), Ok(Listen::Unix("/run/a.sock".into())));
        assert_eq!(Listen::parse("tcp:127.0.0.1:7070"), Ok(Listen::Tcp("127.0.0.1:7070".to_owned())));
        for wrong in ["", "unix:", "tcp:7070", "/run/a.sock", "http://x"] {
            assert!(Listen::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Listen::parse(&format!("unix:/{}", "a".repeat(107))).is_err());
    }
}
