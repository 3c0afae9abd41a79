//! What a user may set.

use std::path::PathBuf;

use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, place};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{memory, null};

/// More than one a nanosecond is no pace.
const RATE_MAX: u32 = 1_000_000_000;

/// Documents computed from a seed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to generate.
    #[serde(default)]
    pub mode: Mode,
    /// Everything follows from it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Transactions to generate; caught up after them. Without it there is no end.
    #[serde(default)]
    pub count: Option<u64>,
    /// Transactions a second; as fast as possible without it (one a second for `hello`).
    #[serde(default)]
    pub rate: Option<u32>,
    /// Transactions between two checkpoints.
    #[serde(default = "default_one")]
    #[schemars(range(min = 1))]
    pub transactions_per_checkpoint: u32,
    /// Documents of a transaction: at most so many for `accounts` (3 without it), exactly so many for `null` (1 MiB of them without it).
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub documents: Option<u32>,
    /// Number of accounts, that is of different keys.
    #[serde(default = "default_keys")]
    #[schemars(range(min = 1))]
    pub keys: u32,
    /// Sizes of the bodies; each document takes one of them.
    #[serde(default = "default_body_bytes")]
    #[schemars(length(min = 1))]
    pub body_bytes: Vec<u32>,
    /// Forget what is acknowledged, and answer `gone` to a session that opens below it.
    #[serde(default)]
    pub prune: bool,
    /// File in which `prune` keeps what is acknowledged; without it that is forgotten with the process.
    #[serde(default)]
    pub memory: Option<PathBuf>,
}

/// What to generate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Movements between accounts: what a verifier can check.
    #[default]
    Accounts,
    /// A few words, one a second.
    Hello,
    /// One prepared batch over and over, as fast as it is taken.
    Null,
}

/// One stream of documents.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Name of the stream; streams of different names differ.
    pub stream: String,
}

fn default_seed() -> u64 {
    1
}

fn default_one() -> u32 {
    1
}

fn default_keys() -> u32 {
    100
}

fn default_body_bytes() -> Vec<u32> {
    vec![20]
}

impl Config {
    /// Documents a transaction of `accounts` has at most.
    pub(crate) fn documents_max(&self) -> u32 {
        self.documents.unwrap_or(3)
    }

    /// Transactions a second, if they are paced.
    pub(crate) fn paced(&self) -> Option<u32> {
        match self.mode {
            Mode::Hello => Some(self.rate.unwrap_or(1)),
            Mode::Accounts | Mode::Null => self.rate,
        }
    }

    /// What is wrong, or worth knowing, about it.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let zero = [
            ("/transactions_per_checkpoint", self.transactions_per_checkpoint == 0),
            ("/documents", self.documents == Some(0)),
            ("/keys", self.keys == 0),
            ("/body_bytes", self.body_bytes.is_empty()),
            ("/rate", self.rate == Some(0)),
        ];
        let zero = zero.into_iter().filter(|(_, wrong)| *wrong).map(|(pointer, _)| {
            finding::error(Error::config("generator.zero", "expected at least 1, got nothing").at_pointer(pointer))
        });
        let endless = self.count.is_none().then(|| {
            let message = "without a count there is no end, so it never catches up";
            finding::warning(
                Error::config("generator.endless", message)
                    .at_pointer("/count")
                    .suggest("set count if `run --until caught-up` should end"),
            )
        });
        zero.chain(self.too_much().map(finding::error)).chain(endless).collect()
    }

    /// What no batch or clock can take, and a memory that cannot be written.
    fn too_much(&self) -> impl Iterator<Item = Error> {
        let rate = self.rate.filter(|rate| *rate > RATE_MAX).map(|rate| {
            let message = format!("expected at most {RATE_MAX} transactions a second, got {rate}");
            Error::config("generator.rate", message)
                .at_pointer("/rate")
                .suggest("without a rate it is as fast as it can be")
        });
        let empty = self.documents == Some(0) || self.body_bytes.is_empty();
        let batch = (self.mode == Mode::Null && !empty)
            .then(|| null::batch(0, self.documents, self.body_bytes[0]).err())
            .flatten();
        let memory = self.memory.as_deref().filter(|_| self.prune).and_then(|file| {
            let fault = place::fault_of_file(file).map(|fault| {
                let message = format!("expected a file that is there or can be made, got {fault}");
                Error::config("generator.memory", message).at_pointer("/memory")
            });
            fault.or_else(|| memory::read(file).err())
        });
        [rate, batch, memory].into_iter().flatten()
    }

    /// The same for a session, which must not start with what Validate refuses.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.findings().into_iter().find(|finding| finding.severity == finding::Severity::Error) {
            None => Ok(()),
            Some(found) => Err(Error::config(found.code, found.message).at_pointer(found.pointer)),
        }
    }
}
