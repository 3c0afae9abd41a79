//! The way to a server: its hosts in turn, Unix sockets, encryption, and whole frames over all of that.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use longshore_sdk::{Error, ErrorKind, Result};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_rustls::TlsConnector;

use super::{frames, login};
use crate::faults::failed_on_the_way;
use crate::{SslMode, tls};

/// Read at once at most, if no message is larger.
const READ_BYTES: usize = 256 << 10;
/// With less room than this, new is made.
const ROOM_BYTES_MIN: usize = 64 << 10;

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// An open connection.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    /// Read and not taken yet.
    buffer: BytesMut,
    end_point: Option<Vec<u8>>,
}

/// What all ways to a server have in common.
struct Way<'a> {
    doing: &'a str,
    config: &'a Config,
    mode: SslMode,
    tls: Arc<ClientConfig>,
    application: &'a str,
}

/// Connects and logs in. Hosts and their addresses are tried in turn; what answers and refuses ends that.
pub(super) async fn connect(
    doing: &str,
    config: &Config,
    mode: SslMode,
    tls: ClientConfig,
    application: &str,
) -> Result<Wire> {
    let way = Way { doing, config, mode, tls: Arc::new(tls), application };
    let mut failure = unreachable(doing, io::ErrorKind::AddrNotAvailable, "no address is known");
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
        match way.to_host(host, port).await {
            Err(error) if error.kind == ErrorKind::Unavailable => failure = error,
            result => return result,
        }
    }
    Err(failure)
}

impl Way<'_> {
    async fn to_host(&self, host: &Host, port: u16) -> Result<Wire> {
        let name = match host {
            Host::Tcp(name) => name,
            Host::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                return self.in_time(self.over_unix(&path)).await;
            }
        };
        let look_up =
            async { tokio::net::lookup_host((name.as_str(), port)).await.map_err(|error| self.failed(&error)) };
        let mut failure = unreachable(self.doing, io::ErrorKind::AddrNotAvailable, "its name has no address");
        for address in self.in_time(look_up).await? {
            match self.in_time(self.over_tcp(name, address)).await {
                Err(error) if error.kind == ErrorKind::Unavailable => failure = error,
                result => return result,
            }
        }
        Err(failure)
    }

    async fn over_unix(&self, path: &Path) -> Result<Wire> {
        let socket = UnixStream::connect(path).await.map_err(|error| self.failed(&error))?;
        match self.mode {
            SslMode::Disable | SslMode::Prefer => self.log_in(Box::new(socket), None).await,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Err(self.no_tls()),
        }
    }

    async fn over_tcp(&self, name: &str, address: SocketAddr) -> Result<Wire> {
        let mut socket = TcpStream::connect(address).await.map_err(|error| self.failed(&error))?;
        socket.set_nodelay(true).map_err(|error| self.failed(&error))?;
        if self.mode == SslMode::Disable || !self.offers_tls(&mut socket).await? {
            return self.log_in(Box::new(socket), None).await;
        }
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| self.failed(&io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let socket = connector.connect(name, socket).await.map_err(|error| self.failed(&error))?;
        let certificates = socket.get_ref().1.peer_certificates().unwrap_or_default();
        let end_point = certificates.first().and_then(tls::end_point);
        self.log_in(Box::new(socket), end_point).await
    }

    /// Of what comes before the encryption, one byte is read and no more: nobody in between can slip something in.
    async fn offers_tls(&self, socket: &mut TcpStream) -> Result<bool> {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        socket.write_all(&request).await.map_err(|error| self.failed(&error))?;
        match (socket.read_u8().await.map_err(|error| self.failed(&error))?, self.mode) {
            (b'S', _) => Ok(true),
            (b'N', SslMode::Disable | SslMode::Prefer) => Ok(false),
            (b'N', SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => Err(self.no_tls()),
            (_, _) => Err(unreachable(self.doing, io::ErrorKind::InvalidData, "it does not say whether it offers TLS")),
        }
    }

    async fn log_in(&self, socket: Box<dyn Socket>, end_point: Option<Vec<u8>>) -> Result<Wire> {
        let mut wire = Wire { socket, buffer: BytesMut::new(), end_point };
        login::log_in(&mut wire, self.doing, self.config, self.application).await?;
        Ok(wire)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(time) = self.config.get_connect_timeout() else { return work.await };
        let late = |_| unreachable(self.doing, io::ErrorKind::TimedOut, "it does not answer in time");
        tokio::time::timeout(*time, work).await.map_err(late)?
    }

    fn failed(&self, error: &io::Error) -> Error {
        failed_on_the_way(self.doing, error)
    }

    fn no_tls(&self) -> Error {
        unreachable(self.doing, io::ErrorKind::Unsupported, "the server does not offer TLS there")
    }
}

impl Wire {
    /// What binds a login to the server's certificate.
    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        self.end_point.clone()
    }

    /// Sends what `fill` writes.
    pub(super) async fn send(&mut self, doing: &str, fill: impl FnOnce(&mut BytesMut) -> Result<()>) -> Result<()> {
        let mut out = BytesMut::new();
        fill(&mut out)?;
        self.write(&out).await.map_err(|error| failed_on_the_way(doing, &error))
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// The next message of the protocol's ordinary part.
    pub(super) async fn message(&mut self, doing: &str) -> Result<Message> {
        frames::message(doing, self.frame(doing).await?)
    }

    /// The next frame, as it is.
    pub(super) async fn frame(&mut self, doing: &str) -> Result<BytesMut> {
        loop {
            match frames::length(doing, &self.buffer)? {
                Some(length) if length <= self.buffer.len() => return Ok(self.buffer.split_to(length)),
                Some(_) | None => self.read(doing).await?,
            }
        }
    }

    /// Waits for more, and takes all that is at hand then, up to a bound. Dropped while it waits, it has taken nothing.
    pub(super) async fn read(&mut self, doing: &str) -> Result<()> {
        self.make_room();
        let mut read =
            self.socket.read_buf(&mut self.buffer).await.map_err(|error| failed_on_the_way(doing, &error))?;
        if read == 0 {
            return Err(unreachable(doing, io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        // TLS comes in small records. An end or an error comes again at the next time.
        while read > 0 && self.buffer.len() < self.buffer.capacity() {
            read = self.socket.read_buf(&mut self.buffer).now_or_never().and_then(Result::ok).unwrap_or(0);
        }
        Ok(())
    }

    /// Room grows with what came, never with what is only announced.
    fn make_room(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < ROOM_BYTES_MIN {
            self.buffer.reserve(READ_BYTES.max(self.buffer.len()));
        }
    }

    /// All whole frames that were read, and whether the server wants to hear from us.
    pub(super) fn take(&mut self, doing: &str) -> Result<(Bytes, bool)> {
        let look = frames::look(doing, &self.buffer)?;
        Ok((self.buffer.split_to(look.whole).freeze(), look.wants_status))
    }

    /// Waits until the server closes, whatever it still says.
    pub(super) async fn drain(&mut self) {
        loop {
            self.buffer.clear();
            if self.read("waiting for the server to close").await.is_err() {
                return;
            }
        }
    }
}

fn unreachable(doing: &str, kind: io::ErrorKind, says: &str) -> Error {
    failed_on_the_way(doing, &io::Error::new(kind, says))
}
