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

/// Of rows that are asked for at once there are some thousands, and none has long values.
const ROWS_MAX_BYTES: usize = 256 << 20;

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
    let (mut checksums, mut rows) = (None, Rows::default());
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
            Told::Rows(more) if wants_rows => rows.take(more).map_err(|error| connection.named(DOING, error))?,
            Told::Checksums(_) | Told::Rows(_) => return Err(connection.named(DOING, not_asked())),
        }
    }
    match checksums {
        _ if wants_rows => Ok(Verified::Rows(rows.all)),
        Some(checksums) => Ok(Verified::Checksums(checksums)),
        None => Err(connection.named(DOING, not_asked())),
    }
}

/// Rows that were told so far.
#[derive(Debug, Default)]
struct Rows {
    all: Vec<Bytes>,
    bytes: usize,
}

impl Rows {
    fn take(&mut self, more: Vec<Bytes>) -> Result<(), Error> {
        // An empty row is none, and would be as many as one likes.
        self.bytes += more.iter().map(|row| row.len() + size_of::<Bytes>()).sum::<usize>();
        if self.bytes > ROWS_MAX_BYTES {
            let expected =
                format!("rows of at most {} MiB where some ranges were asked for, got more", ROWS_MAX_BYTES >> 20);
            return Err(Error::protocol(rules::VERIFY, format!("the connector answered Verify: expected {expected}")));
        }
        self.all.extend(more);
        Ok(())
    }
}

fn not_asked() -> Error {
    let expected = "the connector answered Verify: expected rows of the ranges asked for, or else checksums once, got something else";
    Error::protocol(rules::VERIFY, expected)
        .suggest("report this to the authors of the connector: it breaks rule X-18 of PROTOCOL.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_that_tells_rows_without_end_does_not_grow_the_runtime() {
        let mut rows = Rows::default();
        let many = vec![Bytes::new(); 1 << 20];
        let refused = (0..100).find_map(|_| rows.take(many.clone()).err()).expect("an end");
        assert_eq!(refused.code, "X-18");
        assert!(rows.all.len() * size_of::<Bytes>() <= ROWS_MAX_BYTES);
    }
}
