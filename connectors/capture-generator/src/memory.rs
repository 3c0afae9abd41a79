//! What `prune` remembers: how far each stream was acknowledged, in a file or for as long as the process lives.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use longshore_sdk::{Error, Result};

/// Acknowledged transactions by task and stream.
type Forgotten = BTreeMap<String, u64>;

/// The memory of a process; files are read again for each session.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Forgotten>);

impl Memory {
    /// Everything of a stream up to this transaction is forgotten.
    pub(crate) fn forget(&self, file: Option<&Path>, stream: &str, txn: u64) -> Result<()> {
        let mut forgotten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file {
            *forgotten = read(file)?;
        }
        let last = forgotten.entry(stream.to_owned()).or_default();
        *last = txn.max(*last);
        match file {
            Some(file) => write(file, &forgotten),
            None => Ok(()),
        }
    }

    /// Refuses to go on behind a transaction when what follows it is forgotten.
    pub(crate) fn resume(&self, file: Option<&Path>, stream: &str, txn: u64) -> Result<()> {
        let mut forgotten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file {
            *forgotten = read(file)?;
        }
        match forgotten.get(stream) {
            Some(last) if *last > txn => Err(Error::config(
                "state.gone",
                format!("opening stream {stream}: expected to go on behind transaction {last}, which was acknowledged, got {txn}"),
            )
            .suggest("what lies between is gone; put the state back, or start afresh with another memory file")),
            Some(_) | None => Ok(()),
        }
    }
}

pub(crate) fn read(file: &Path) -> Result<Forgotten> {
    match std::fs::read(file) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| broken(file, &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Forgotten::new()),
        Err(error) => Err(broken(file, &error)),
    }
}

/// Written aside and renamed: a reader sees the old or the new one. Aside under a name of this process: a successor may write at the same time.
fn write(file: &Path, forgotten: &Forgotten) -> Result<()> {
    let aside = file.with_extension(format!("aside-{}", std::process::id()));
    let json = serde_json::to_vec(forgotten).map_err(|error| broken(file, &error))?;
    std::fs::write(&aside, json).and_then(|()| std::fs::rename(&aside, file)).map_err(|error| broken(file, &error))
}

fn broken(file: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::config("generator.memory", format!("using the memory file {}: {error}", file.display()))
        .at_pointer("/memory")
}
