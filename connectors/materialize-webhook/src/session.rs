//! A session: cuts each binding's documents into batches and sends them, one after the other, before the transaction commits.

use std::ops::Range;

use bytes::Bytes;
use longshore_sdk::materialize::{
    AtLeastOnceSession, Bound, Exists, Next, OpenRequest, Owner, Row, StoreBatch, Stored, Stores,
};
use longshore_sdk::{Error, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::batch::{Batch, Limits};
use crate::config::{Config, Resource};
use crate::name::Naming;
use crate::send::{Outcome, Post, Sender};
use crate::settings::Settings;
use crate::shape::{Envelope, Shape, body};

/// When the open batches of all bindings hold so many bytes together, all are sent: 32 MiB. Counted by documents, so the cut is the same in a replay.
const OPEN_MAX_BYTES: usize = 32 << 20;

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    sender: Sender,
    limits: Limits,
    /// One for each binding.
    outlets: Vec<Outlet>,
}

/// Where the documents of one binding go.
#[derive(Debug)]
struct Outlet {
    binding: usize,
    /// For people: server and the binding's path.
    place: String,
    path_and_query: String,
    naming: Naming,
    shape: Shape,
    envelope: Envelope,
    batch: Batch,
    /// Batches of this transaction that were sent.
    sent: u64,
    /// Documents in them.
    sent_documents: u64,
}

/// Part of a batch.
struct Part {
    of: Range<usize>,
    /// Such as `3`, or `3.0` for its first half.
    name: String,
}

impl Session {
    pub(crate) fn new(open: OpenRequest<Config, Resource>) -> Result<Self> {
        let settings = Settings::new(&open.config).map_err(|faults| first(faults, "reading the config"))?;
        let outlet = |(index, bound): (usize, &Bound<Resource>)| {
            bound.resource.fault().map_or(Ok(()), |fault| Err(fault.at_binding(index)))?;
            Ok(Outlet::new(index, bound, &open.owner, &settings))
        };
        let outlets = open.bindings.iter().enumerate().map(outlet).collect::<Result<_>>()?;
        let limits = Limits { documents: settings.batch_documents, bytes: settings.batch_bytes };
        Ok(Self { sender: Sender::new(settings)?, limits, outlets })
    }

    /// Takes documents in, and sends what is full.
    async fn take(&mut self, batch: &StoreBatch, stores: &mut Stores<'_>) -> Result<()> {
        let index = batch.binding();
        for row in batch.rows() {
            let outlet = &mut self.outlets[index];
            if let Err(error) = outlet.shape.check(row.document) {
                return stores.reject(index, &row, error);
            }
            if !outlet.batch.takes(row.document.len(), self.limits) {
                outlet.send(&mut self.sender, stores).await?;
            }
            outlet.batch.push(row.document);
            if outlet.batch.is_full(self.limits) {
                outlet.send(&mut self.sender, stores).await?;
            }
            let open_bytes: usize = self.outlets.iter().map(|outlet| outlet.batch.byte_len()).sum();
            if open_bytes >= OPEN_MAX_BYTES {
                self.send_all(stores).await?;
            }
            if stores.rejects() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn send_all(&mut self, stores: &mut Stores<'_>) -> Result<()> {
        for outlet in &mut self.outlets {
            outlet.send(&mut self.sender, stores).await?;
        }
        Ok(())
    }
}

impl AtLeastOnceSession for Session {
    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        self.outlets.iter_mut().for_each(Outlet::begin);
        loop {
            match stores.next().await? {
                Next::Batch(batch) => self.take(&batch, stores).await?,
                Next::End(stored) => {
                    self.send_all(stores).await?;
                    if !stores.rejects() {
                        return Ok(stored);
                    }
                }
            }
        }
    }

    /// Every request has had its 2xx before `store` returned: what is refused can only be told there.
    async fn flush(&mut self, stored: Stored) -> Result<()> {
        let (requests, documents) = self
            .outlets
            .iter()
            .fold((0, 0), |(requests, documents), one| (requests + one.sent, documents + one.sent_documents));
        tracing::debug!(transaction = stored.transaction(), requests, documents, "everything has arrived");
        Ok(())
    }
}

impl Outlet {
    fn new(binding: usize, bound: &Bound<Resource>, owner: &Owner, settings: &Settings) -> Self {
        let of_task = || {
            format!("/longshore/{}/{}", owner.installation.as_str(), utf8_percent_encode(&owner.task, NON_ALPHANUMERIC))
        };
        let source = settings.event_source.clone().unwrap_or_else(of_task);
        Self {
            binding,
            place: format!("{} for {}", settings.target.origin(), bound.resource.path),
            path_and_query: settings.target.path_and_query(&bound.resource),
            naming: Naming::new(owner, &bound.state_key),
            shape: Shape::of(&bound.selection),
            envelope: Envelope::new(&source, &settings.event_type, &bound.collection.name),
            batch: Batch::default(),
            sent: 0,
            sent_documents: 0,
        }
    }

    /// Of a transaction.
    fn begin(&mut self) {
        self.batch = Batch::default();
        (self.sent, self.sent_documents) = (0, 0);
    }

    /// Sends the batch under way, if it holds anything; in halves where the server wants less at once.
    async fn send(&mut self, sender: &mut Sender, stores: &mut Stores<'_>) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        // Behind one that was rejected nothing is sent: it would be there before what comes again.
        if batch.is_empty() || stores.rejects() {
            return Ok(());
        }
        let mut parts = vec![Part { of: 0..batch.len(), name: self.sent.to_string() }];
        while let Some(part) = parts.pop() {
            let post = self.post(sender.settings(), stores.transaction(), &batch, &part)?;
            match sender.send(&post).await? {
                Outcome::Arrived => {}
                Outcome::TooLarge(_) if part.of.len() > 1 => {
                    let [first, second] = part.halves();
                    parts.extend([second, first]);
                }
                Outcome::TooLarge(error) | Outcome::Refused(error) if part.of.len() == 1 => {
                    return stores.reject(self.binding, &row_of(batch.document(part.of.start)), error);
                }
                Outcome::TooLarge(error) | Outcome::Refused(error) => {
                    let way = "the server does not say which document it means: with `batch_documents: 1` it is found, and can be set aside";
                    return Err(error.at_binding(self.binding).suggest(way));
                }
            }
        }
        self.sent += 1;
        self.sent_documents += batch.len() as u64;
        Ok(())
    }

    fn post(&self, settings: &Settings, transaction: u64, batch: &Batch, part: &Part) -> Result<Post<'_>> {
        let first = self.sent_documents + part.of.start as u64;
        let id = |at: usize, document: &[u8]| self.naming.event(transaction, first + at as u64, document);
        let body = body(settings.format, &self.shape, &self.envelope, batch.documents(part.of.clone()), id)?;
        let documents = part.of.len();
        Ok(Post {
            path_and_query: &self.path_and_query,
            key: self.naming.request(transaction, &part.name, &body),
            body: Bytes::from(body),
            what: format!(
                "sending batch {} of transaction {transaction} ({documents} document{}) to {}",
                part.name,
                if documents == 1 { "" } else { "s" },
                self.place
            ),
        })
    }
}

impl Part {
    fn halves(&self) -> [Self; 2] {
        let middle = self.of.start + self.of.len().div_ceil(2);
        let half = |number: u8, of| Self { of, name: format!("{}.{number}", self.name) };
        [half(0, self.of.start..middle), half(1, middle..self.of.end)]
    }
}

/// A document that is gone from its batch, as it is rejected.
fn row_of(document: &[u8]) -> Row<'_> {
    Row { document, key: None, exists: Exists::Unknown, delete: false, replace: false, partial_update: false }
}

/// The first of them; there is one.
fn first(faults: Vec<Error>, doing: &str) -> Error {
    faults
        .into_iter()
        .next()
        .unwrap_or_else(|| Error::internal("webhook.config", format!("{doing}: expected a reason, got none")))
}
