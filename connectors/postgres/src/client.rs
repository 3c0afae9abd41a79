//! A connection to a server, and what every session of ours sets on it.

#![allow(clippy::disallowed_methods, reason = "a connection is driven by a task of its own, which ends with it")]

use longshore_sdk::{Error, Result};
use tokio::task::JoinHandle;

use crate::endpoint::Parsed;
use crate::{Endpoint, failed, tls};

/// Dates, intervals, floats and bytes as we read and write them, whatever database and user are set to; and no name is looked for elsewhere. Each
/// connection has them, one for replication too: a value is the same text wherever it comes from.
pub const SETTINGS: &str = "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601'; SET timezone = 'UTC'; SET extra_float_digits = 3; \
                        SET bytea_output = 'hex'; SET search_path = pg_catalog; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
/// Who asks for a lock that somebody holds for so long is told, and tries again later.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '30s'";

/// An open connection, closed when it is dropped. What it can do is [`tokio_postgres::Client`]'s.
#[derive(Debug)]
pub struct Client {
    inner: tokio_postgres::Client,
    connection: JoinHandle<()>,
}

impl Client {
    /// Connects, with the password as it is now.
    ///
    /// # Errors
    /// `config` when the URL, the certificate or the login is wrong, `unavailable` when nobody answers.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let Parsed { config, mode } = endpoint.parse()?;
        let connector = tls::connector(mode, endpoint.sslrootcert.as_deref())?;
        let doing = format!("connecting to {}", endpoint.name());
        let (inner, connection) = config.connect(connector).await.map_err(|error| failed(&doing, &error))?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection ended: {error}");
            }
        });
        let client = Self { inner, connection };
        client.run("preparing the session", &format!("{SETTINGS}; {LOCK_TIMEOUT}")).await?;
        Ok(client)
    }

    /// Runs statements that answer nothing.
    ///
    /// # Errors
    /// As [`failed`] has it.
    pub async fn run(&self, doing: &str, statements: &str) -> Result<()> {
        self.inner.batch_execute(statements).await.map_err(|error| failed(doing, &error))
    }

    /// Number of the server's version, as `server_version_num` has it: 150004 is 15.4.
    ///
    /// # Errors
    /// As [`failed`] has it; `internal` when the server says no number.
    pub async fn version(&self) -> Result<u32> {
        let row = self.inner.query_one("SELECT current_setting('server_version_num')", &[]).await;
        let text: String = row.map_err(|error| failed("asking for the server's version", &error))?.get(0);
        let no_number =
            || Error::internal("postgres.version", format!("the server's version: expected a number, got {text:?}"));
        text.parse().map_err(|_| no_number())
    }
}

impl std::ops::Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.inner
    }
}

impl std::ops::DerefMut for Client {
    fn deref_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.inner
    }
}

/// The server hears of it at once, and rolls back what was open.
impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
