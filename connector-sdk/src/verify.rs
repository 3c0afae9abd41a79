//! Verify: a connector tells what is there of a binding, so that a source and a destination can be compared. The author reads each row once,
//! as one moment shows them all, and hands it to the [`Tally`]; hashing and sums are done here.

#![allow(clippy::disallowed_methods, reason = "what is told is made in a task of its own, which ends with its reader")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longshore_proto::document::check_object;
use longshore_proto::pb::common::v1 as pb;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Owner, Progress, ProgressPart};
use longshore_proto::verify::{self, Checksums, Hasher, RANGES, Told};
use serde::de::DeserializeOwned;

use crate::binding::{self, Bound};
use crate::outgoing::{Outgoing, OutgoingStream, outgoing};
use crate::serve::Drain;
use crate::{Error, Result, config, panics};

/// Rows are told in messages of about so many bytes.
const PAGE_BYTES: usize = 1 << 20;
/// How often it says that it lives, and how far it is.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(3);

/// Asks what is there of a binding.
#[derive(Debug)]
pub struct Verify<C, R> {
    /// On whose behalf.
    pub owner: Owner,
    /// The task's config.
    pub config: C,
    /// As it was applied last.
    pub binding: Bound<R>,
}

/// Takes the rows that are there, in any order: hands out their checksums, or those of them that were asked for.
///
/// Where [`Tally::has_much`] says so, [`Tally::tell`] what there is before going on: it waits for the runtime to read it.
#[derive(Debug)]
pub struct Tally {
    hasher: Hasher,
    /// Rows of these ranges are told; none: checksums of all.
    ranges: Option<BTreeSet<usize>>,
    checksums: Checksums,
    page: Vec<Bytes>,
    page_bytes: usize,
    /// For each part of the key and each value that is compared: places of the fields that hold it.
    places: Vec<Vec<usize>>,
    rows: Arc<AtomicU64>,
    out: Outgoing<pb::VerifyResponse>,
}

impl Tally {
    /// A row as a document of the collection. More of it may be told than is compared.
    ///
    /// # Errors
    /// `data`: it is no JSON object, or has no key.
    pub fn document(&mut self, document: &[u8]) -> Result<()> {
        check_object(document)?;
        let text = std::str::from_utf8(document).map_err(|error| Error::internal("sdk.verify", error.to_string()))?;
        let mut row = Vec::new();
        self.hasher.of_document(text, &mut row)?;
        self.row(&row)
    }

    /// A row by the fields of a materialization's binding, in their order, each as JSON; none: null.
    ///
    /// # Errors
    /// `data`: it has no key, or a value is no JSON.
    pub fn fields(&mut self, fields: &[Option<&str>]) -> Result<()> {
        let of_place = |places: &Vec<usize>| places.iter().find_map(|place| fields.get(*place).copied().flatten());
        let row: Vec<Option<&str>> = self.places.iter().map(of_place).collect();
        self.row(&row)
    }

    fn row(&mut self, row: &[Option<&str>]) -> Result<()> {
        let hash = self.hasher.hash(row)?;
        self.rows.fetch_add(1, Ordering::Relaxed);
        match &self.ranges {
            None => self.checksums.add(hash),
            Some(ranges) if ranges.contains(&hash.range) => {
                let told = self.hasher.told(row)?;
                self.page_bytes += told.len();
                self.page.push(told);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// There is enough to be told.
    pub fn has_much(&self) -> bool {
        self.page_bytes >= PAGE_BYTES
    }

    /// Tells what there is; waits while the runtime does not read.
    ///
    /// # Errors
    /// The runtime is gone.
    pub async fn tell(&mut self) -> Result<()> {
        let (page, bytes) = (std::mem::take(&mut self.page), std::mem::take(&mut self.page_bytes));
        if page.is_empty() { Ok(()) } else { self.out.send(Told::Rows(page).into(), bytes).await }
    }

    async fn end(mut self) -> Result<()> {
        self.tell().await?;
        if self.ranges.is_none() {
            let bytes = RANGES * size_of::<(u64, u128)>();
            self.out.send(Told::Checksums(std::mem::take(&mut self.checksums)).into(), bytes).await?;
        }
        Ok(())
    }
}

/// A question, typed, and what takes the answer.
pub(crate) struct Begun<C, R> {
    pub(crate) verify: Verify<C, R>,
    pub(crate) tally: Tally,
    stream: OutgoingStream<pb::VerifyResponse>,
}

pub(crate) fn begin<C: DeserializeOwned, R: DeserializeOwned>(asked: verify::Verify) -> Result<Begun<C, R>> {
    let verify::Verify { owner, config_json, binding, values, ranges } = asked;
    let hasher = Hasher::new(&binding.collection.key, &values)?;
    let pointers = binding.collection.key.iter().chain(values.iter().map(|value| &value.pointer));
    let places = pointers.map(|pointer| places(&binding.selection, pointer)).collect();
    let (out, stream) = outgoing();
    let ranges = ranges.into_iter().map(|range| range as usize).collect::<BTreeSet<_>>();
    let tally = Tally {
        hasher,
        ranges: (!ranges.is_empty()).then_some(ranges),
        checksums: Checksums::default(),
        page: Vec::new(),
        page_bytes: 0,
        places,
        rows: Arc::default(),
        out,
    };
    let config = config::parse(&config_json)?;
    let mut bound = binding::bound(vec![binding])?;
    let binding = bound.pop().ok_or_else(|| Error::internal("sdk.verify", "a binding that was there is gone"))?;
    Ok(Begun { verify: Verify { owner, config, binding }, tally, stream })
}

fn places(selection: &Selection, pointer: &str) -> Vec<usize> {
    let fields = selection.fields.iter().enumerate();
    fields.filter(|(_, field)| field.pointer == *pointer).map(|(place, _)| place).collect()
}

impl<C, R> Begun<C, R> {
    /// Lets the author answer, until the process has to leave or nobody reads the answer any more.
    pub(crate) fn answered<F>(
        self,
        drain: Drain,
        author: impl FnOnce(Verify<C, R>, Tally) -> F,
    ) -> OutgoingStream<pb::VerifyResponse>
    where
        F: Future<Output = (Tally, Result<()>)> + Send + 'static,
    {
        let Self { verify, tally, stream } = self;
        let (out, rows) = (tally.out.clone(), Arc::clone(&tally.rows));
        let answer = author(verify, tally);
        tokio::spawn(async move {
            let answered = async {
                let (tally, read) = panics::caught("verify", async { Ok(answer.await) }).await?;
                read?;
                tally.end().await
            };
            tokio::select! {
                ended = answered => match ended {
                    Ok(()) => out.finish().await,
                    Err(error) => out.fail(error).await,
                },
                () = lives(&out, &rows) => {}
                () = out.peer_left() => {}
                () = drain.cancelled() => {
                    out.fail(Error::unavailable("connector.stopping", "verify: the connector was told to end")).await;
                }
            }
        });
        stream
    }
}

/// Says how far it is, again and again.
async fn lives(out: &Outgoing<pb::VerifyResponse>, rows: &AtomicU64) {
    loop {
        tokio::time::sleep(SIGN_OF_LIFE_INTERVAL).await;
        let part = ProgressPart { binding: 0, rows: rows.load(Ordering::Relaxed), ..ProgressPart::default() };
        let progress = Progress { parts: vec![part], doing: "reading rows".to_owned(), lag: None };
        if out.send(Told::Progress(progress).into(), 1).await.is_err() {
            return;
        }
    }
}

/// What a connector says that cannot verify.
pub(crate) fn verifies_nothing() -> Error {
    Error::protocol("X-18", "the runtime sent Verify: expected none, as this connector does not say that it verifies")
}
