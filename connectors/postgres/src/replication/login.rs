//! Who we are, and the proof of it, as the server asks for it; and what it says when it refuses.

use longshore_sdk::{Error, Result};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio_postgres::Config;
use tokio_postgres::fallible_iterator::FallibleIterator as _;

use super::unexpected;
use super::wire::Wire;
use crate::faults::{failed_by_state, no_password};

/// Logs in; the server is ready for a query then.
pub(super) async fn log_in(wire: &mut Wire, doing: &str, config: &Config, application: &str) -> Result<()> {
    let user = config.get_user().unwrap_or_default();
    let parameters = [
        ("client_encoding", "UTF8"),
        ("user", user),
        ("database", config.get_dbname().unwrap_or_default()),
        ("application_name", config.get_application_name().unwrap_or(application)),
        ("replication", "database"),
    ];
    wire.send(doing, |out| frontend::startup_message(parameters, out).map_err(|error| fault(doing, &error))).await?;
    let password = || config.get_password().ok_or_else(|| no_password(format!("{doing}: password missing")));
    match next(wire, doing).await? {
        Message::AuthenticationOk => return ready(wire, doing).await,
        Message::AuthenticationCleartextPassword => say_password(wire, doing, password()?).await?,
        Message::AuthenticationMd5Password(body) => {
            let hash = md5_hash(user.as_bytes(), password()?, body.salt());
            say_password(wire, doing, hash.as_bytes()).await?;
        }
        Message::AuthenticationSasl(body) => scram(wire, doing, password()?, &body).await?,
        _ => return Err(no_login(doing, "the server wants a way to log in that is not spoken here")),
    }
    match next(wire, doing).await? {
        Message::AuthenticationOk => ready(wire, doing).await,
        _ => Err(unexpected(doing, "the login's end")),
    }
}

async fn say_password(wire: &mut Wire, doing: &str, password: &[u8]) -> Result<()> {
    wire.send(doing, |out| frontend::password_message(password, out).map_err(|error| fault(doing, &error))).await
}

/// With TLS the login is bound to the server's certificate, so that nobody in between can use it.
async fn scram(wire: &mut Wire, doing: &str, password: &[u8], body: &AuthenticationSaslBody) -> Result<()> {
    let mut offered = body.mechanisms();
    let (mut is_offered, mut is_bound_offered) = (false, false);
    while let Some(mechanism) = offered.next().map_err(|error| fault(doing, &error))? {
        is_offered |= mechanism == SCRAM_SHA_256;
        is_bound_offered |= mechanism == SCRAM_SHA_256_PLUS;
    }
    let (binding, mechanism) = match (wire.end_point(), is_bound_offered, is_offered) {
        (Some(end_point), true, _) => (ChannelBinding::tls_server_end_point(end_point), SCRAM_SHA_256_PLUS),
        // It could have been bound: a server that would have offered it sees that somebody took the offer away.
        (Some(_), false, true) => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        (None, _, true) => (ChannelBinding::unsupported(), SCRAM_SHA_256),
        (_, _, false) => return Err(no_login(doing, "the server offers no SCRAM-SHA-256")),
    };
    let mut scram = ScramSha256::new(password, binding);
    let first = |out: &mut _| frontend::sasl_initial_response(mechanism, scram.message(), out);
    wire.send(doing, |out| first(out).map_err(|error| fault(doing, &error))).await?;
    let Message::AuthenticationSaslContinue(body) = next(wire, doing).await? else {
        return Err(unexpected(doing, "the login to go on"));
    };
    scram.update(body.data()).map_err(|error| no_login(doing, &error.to_string()))?;
    let second = |out: &mut _| frontend::sasl_response(scram.message(), out);
    wire.send(doing, |out| second(out).map_err(|error| fault(doing, &error))).await?;
    let Message::AuthenticationSaslFinal(body) = next(wire, doing).await? else {
        return Err(unexpected(doing, "the server's proof"));
    };
    scram.finish(body.data()).map_err(|error| no_login(doing, &error.to_string()))
}

async fn ready(wire: &mut Wire, doing: &str) -> Result<()> {
    loop {
        match next(wire, doing).await? {
            Message::ReadyForQuery(_) => return Ok(()),
            Message::BackendKeyData(_) | Message::ParameterStatus(_) => {}
            _ => return Err(unexpected(doing, "the server to be ready")),
        }
    }
}

async fn next(wire: &mut Wire, doing: &str) -> Result<Message> {
    loop {
        match wire.message(doing).await? {
            Message::NoticeResponse(_) => {}
            Message::ErrorResponse(body) => return Err(refused(doing, &body)),
            message => return Ok(message),
        }
    }
}

/// What the server said, as an error of ours.
pub(super) fn refused(doing: &str, body: &ErrorResponseBody) -> Error {
    let mut said = [const { String::new() }; 4];
    let mut fields = body.fields();
    // What is cut short keeps what was said before.
    while let Ok(Some(field)) = fields.next() {
        let place = match field.type_() {
            b'C' => 0,
            b'M' => 1,
            b'D' => 2,
            b'H' => 3,
            _ => continue,
        };
        said[place] = String::from_utf8_lossy(field.value_bytes()).into_owned();
    }
    let [state, message, detail, hint] = &said;
    let message = if message.is_empty() { "the server refused and does not say why" } else { message };
    let more = [detail, hint].map(|text| Some(text.as_str()).filter(|text| !text.is_empty()));
    failed_by_state(doing, state, message, more)
}

/// 28000 is the server's own word for it.
fn no_login(doing: &str, message: &str) -> Error {
    failed_by_state(doing, "28000", message, [None, None])
}

fn fault(doing: &str, error: &std::io::Error) -> Error {
    Error::internal("postgres.protocol", format!("{doing}: {error}"))
}
