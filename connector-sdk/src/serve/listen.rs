//! Where to serve: `unix:/path` or `tcp:host:port`, the latter over TLS where others can reach it.

use std::ffi::OsString;
use std::fmt;
use std::fs::Permissions;
use std::future::ready;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use longshore_proto::limits::SOCKET_SEND_BYTES;
use longshore_proto::{Error, tls};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::server::Connected;

/// Longest path of a Unix socket, in bytes.
const UNIX_PATH_MAX_BYTES: usize = 107;
/// The files of [`tls::Files`], in its order.
const TLS_VARIABLES: [&str; 3] = ["LONGSHORE_TLS_CA_FILE", "LONGSHORE_TLS_CERT_FILE", "LONGSHORE_TLS_KEY_FILE"];
/// Who has not shown a certificate after this long is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at a time.
const HANDSHAKES: usize = 64;

/// Where to serve, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    at: At,
    tls: Option<tls::Files>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Unix(PathBuf),
    Tcp(String),
}

impl Listen {
    /// What `LONGSHORE_LISTEN` and the `LONGSHORE_TLS_…` beside it say; `variable` looks them up.
    pub(crate) fn parse(address: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let at = At::parse(address)?;
        let files = TLS_VARIABLES.map(|name| variable(name).map(PathBuf::from));
        let tls = match (files, &at) {
            ([None, None, None], _) => None,
            ([Some(ca), Some(certificate), Some(key)], At::Tcp(_)) => Some(tls::Files { ca, certificate, key }),
            (_, At::Tcp(_)) => return Err(refuse_tls("expected all three, or none", "set the others too")),
            (_, At::Unix(_)) => {
                return Err(refuse_tls("a Unix socket needs none of them", "remove them, or serve on tcp:"));
            }
        };
        Ok(Self { at, tls })
    }

    /// Starts to listen; the stream gives connections.
    pub(crate) async fn bind(&self) -> Result<BoxStream<'static, io::Result<Connection>>, Error> {
        let failed = |error: io::Error| {
            Error::unavailable("sdk.listen", format!("listening on {self}: {error}"))
                .suggest("another process may serve there, or the directory is missing")
        };
        let address = match &self.at {
            At::Unix(path) => {
                let listener = UnixListener::bind(path).map_err(failed)?;
                std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
                let accept = |stream: UnixStream| {
                    set_socket_send_buffer_size(&stream, SOCKET_SEND_BYTES)?;
                    Ok(Connection::new(stream))
                };
                return Ok(UnixListenerStream::new(listener).map(move |stream| stream.and_then(accept)).boxed());
            }
            At::Tcp(address) => address,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let Some(files) = self.tls.clone() else {
            let here = listener.local_addr().map_err(failed)?.ip().to_canonical();
            if !here.is_loopback() {
                let why = "others can reach this address, and the token and all documents could be read on the way";
                return Err(refuse_tls(why, "set them, or serve on tcp:127.0.0.1:PORT"));
            }
            let accept = |stream: TcpStream| stream.set_nodelay(true).map(|()| Connection::new(stream));
            return Ok(TcpListenerStream::new(listener).map(move |stream| stream.and_then(accept)).boxed());
        };
        // What is wrong with the files is told before anybody calls.
        files.server()?;
        let accept = move |stream: io::Result<TcpStream>| {
            let files = files.clone();
            async move {
                match stream {
                    Ok(stream) => let_in(stream, files).await,
                    Err(error) => Some(Err(error)),
                }
            }
        };
        // Who is slow with the handshake does not keep the others out.
        Ok(TcpListenerStream::new(listener).map(accept).buffer_unordered(HANDSHAKES).filter_map(ready).boxed())
    }
}

impl At {
    fn parse(address: &str) -> Result<Self, Error> {
        let refuse = |expected: &str| {
            let message = format!("reading LONGSHORE_LISTEN: expected {expected}, got {address:?}");
            Err(Error::config("sdk.listen", message))
        };
        match address.split_once(':') {
            Some(("unix", "")) => refuse("a path behind unix:"),
            Some(("unix", path)) if path.len() > UNIX_PATH_MAX_BYTES => refuse("a path of at most 107 bytes"),
            Some(("unix", path)) => Ok(At::Unix(path.into())),
            Some(("tcp", host_port)) if host_port.contains(':') => Ok(At::Tcp(host_port.to_owned())),
            Some(_) | None => refuse("unix:PATH or tcp:HOST:PORT"),
        }
    }
}

fn refuse_tls(why: &str, what_now: &str) -> Error {
    Error::config("sdk.tls", format!("reading {}: {why}", TLS_VARIABLES.join(", "))).suggest(what_now)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Unix(path) => write!(f, "unix:{}", path.display()),
            At::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// What a connection is to the server: bytes in, bytes out.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One connection of any kind.
pub(crate) struct Connection(Box<dyn Io>);

impl Connection {
    pub(crate) fn new(io: impl Io + 'static) -> Self {
        Self(Box::new(io))
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Shows the certificate and takes those of its peers. `None`: this one is not let in, and that was logged.
async fn let_in(stream: TcpStream, files: tls::Files) -> Option<io::Result<Connection>> {
    let handshake = async {
        stream.set_nodelay(true)?;
        let config = files.server().map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    };
    let why = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => return Some(Ok(Connection::new(stream))),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no handshake within {} s", HANDSHAKE.as_secs()),
    };
    tracing::warn!("a connection over TLS is refused: {why}");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_host_and_port() {
        assert_eq!(At::parse("unix:/run/a.sock"), Ok(At::Unix("/run/a.sock".into())));
        assert_eq!(At::parse("tcp:127.0.0.1:7070"), Ok(At::Tcp("127.0.0.1:7070".to_owned())));
        for wrong in ["", "unix:", "tcp:7070", "/run/a.sock", "http://x"] {
            assert!(At::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(At::parse(&format!("unix:/{}", "a".repeat(107))).is_err());
    }

    #[test]
    fn tls_needs_all_its_files_and_a_port() {
        let parse = |address: &str, given: &[&str]| {
            Listen::parse(address, |name| given.contains(&name).then(|| name.to_lowercase().into()))
        };
        let all = parse("tcp:0.0.0.0:7070", &TLS_VARIABLES).expect("all three").tls.expect("TLS");
        assert_eq!(all.ca, PathBuf::from("longshore_tls_ca_file"));
        assert_eq!(all.certificate, PathBuf::from("longshore_tls_cert_file"));
        assert_eq!(all.key, PathBuf::from("longshore_tls_key_file"));
        assert_eq!(parse("tcp:127.0.0.1:7070", &[]).expect("none").tls, None);
        for (address, given) in [("tcp:127.0.0.1:7070", &TLS_VARIABLES[1..]), ("unix:/s", &TLS_VARIABLES[..])] {
            assert_eq!(parse(address, given).expect_err("not so").code, "sdk.tls");
        }
    }

    #[tokio::test]
    async fn without_tls_nobody_else_can_reach_it() {
        let listen = |address| Listen::parse(address, |_| None).expect("an address");
        assert!(listen("tcp:127.0.0.1:0").bind().await.is_ok());
        let refused = listen("tcp:0.0.0.0:0").bind().await.err().expect("refused");
        assert!(refused.code == "sdk.tls" && !refused.suggestion.is_empty(), "{refused}");
    }
}
