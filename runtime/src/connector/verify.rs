//! Asks a connector of either protocol what is there of a binding, and hears the answer to its end.

use std::time::Duration;

use bytes::Bytes;
use longshore_proto::pb::common::v1 as pb;
use longshore_proto::session::Progress;
use longshore_proto::verify::{Checksums, Told, Verify};
use longshore_proto::{Error, rules};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::dial::Connection;

const DOING: &str = "Verify";
/// It says that it lives much more often.
const SILENCE: Duration = Duration::from_secs(120);

/// What a connector told.
#[derive(Debug)]
pub enum Verified {
    /// No ranges were asked for.
    Checksums(Box<Checksums>),
    /// The rows of the ranges that were asked for, as [`Told::Rows`] has them.
    Rows(Vec<Bytes>),
}

pub(super) async fn verify<F>(
    connection: &Connection,
    asked: Verify,
    call: impl FnOnce(Channel, Request<pb::VerifyRequest>) -> F,
    mut told: impl FnMut(&Progress) + Send,
) -> Result<Verified, Error>
where
    F: Future<Output = Result<Response<Streaming<pb::VerifyResponse>>, Status>>,
{
    let wants_rows = !asked.ranges.is_empty();
    let mut answers = connection.ask(DOING, SILENCE, asked.into(), call).await?;
    let (mut checksums, mut rows) = (None, Vec::new());
    loop {
        let answer = match tokio::time::timeout(SILENCE, answers.message()).await {
            Ok(Ok(Some(answer))) => Told::try_from(answer).map_err(|error| connection.named(DOING, error))?,
            Ok(Ok(None)) => break,
            Ok(Err(status)) => return Err(connection.explain(DOING, status).await),
            Err(_) => {
                let message = format!("{} said nothing during {DOING} for {} s", connection.name(), SILENCE.as_secs());
                return Err(Error::unavailable("connector.time_out", message).suggest("see its log lines"));
            }
        };
        match answer {
            Told::Progress(progress) => told(&progress),
            Told::Checksums(all) if !wants_rows && checksums.is_none() => checksums = Some(Box::new(all)),
            Told::Rows(more) if wants_rows => rows.extend(more),
            Told::Checksums(_) | Told::Rows(_) => return Err(connection.named(DOING, not_asked())),
        }
    }
    match checksums {
        _ if wants_rows => Ok(Verified::Rows(rows)),
        Some(checksums) => Ok(Verified::Checksums(checksums)),
        None => Err(connection.named(DOING, not_asked())),
    }
}

fn not_asked() -> Error {
    let expected = "the connector answered Verify: expected rows of the ranges asked for, or else checksums once, got something else";
    Error::protocol(rules::VERIFY, expected)
        .suggest("report this to the authors of the connector: it breaks rule X-18 of PROTOCOL.md")
}
