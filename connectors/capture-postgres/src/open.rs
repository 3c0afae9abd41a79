//! Opening a session: whether server, slot and tables are those that the state remembers, and where the stream begins.
//!
//! Each doubt is a stop that names both sides. None is passed over, because a stream that begins too late says nothing about what it left out.

use std::time::Duration;

use longshore_postgres::{Client, Endpoint};
use longshore_sdk::capture::PullOpen;
use longshore_sdk::{Error, Result};

use crate::Pace;
use crate::apply::{lost, missing};
use crate::backlog::Backlog;
use crate::config::{Config, Resource, Settings};
use crate::faults;
use crate::lsn::Lsn;
use crate::server::{self, Publication, Slot};
use crate::source::{Identity, Source, Waiting};
use crate::state::{Part, TaskState, Within};
use crate::types::Types;
use crate::watched::{self, Watched};
use crate::writers::Writers;

/// A session before ours may still hold the slot for a moment.
const SLOT_WAIT: Duration = Duration::from_secs(10);
const SLOT_LOOK: Duration = Duration::from_millis(20);

/// All that was found in order.
pub(crate) struct Opened {
    pub(crate) settings: Settings,
    pub(crate) task: String,
    pub(crate) client: Client,
    pub(crate) source: Source,
    pub(crate) identity: Identity,
    pub(crate) types: Types,
    pub(crate) watched: Vec<Watched>,
    /// All up to here is durable elsewhere.
    pub(crate) position: Lsn,
    pub(crate) within: Option<Within>,
    /// The end of the log at this moment.
    pub(crate) target: Lsn,
}

/// The ordinary connection. What little it commits nobody has to wait for, and no standby to answer.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Client> {
    let client = Client::connect(endpoint).await?;
    client.run("preparing the session", "SET jit = off; SET row_security = off; SET synchronous_commit = off").await?;
    Ok(client)
}

/// Looks at everything and begins to read the log.
pub(crate) async fn open(open: &PullOpen<Config, Resource>, pace: Pace) -> Result<Opened> {
    let task = open.owner.task.clone();
    let settings = Settings::new(&open.config, &task)?;
    let client = connect(&settings.endpoint).await?;
    let mut types = Types::default();
    let mut watched = Vec::with_capacity(open.bindings.len());
    let mut has_begun = false;
    for index in 0..open.bindings.len() {
        has_begun |= open.binding_state::<Part>(index)?.is_some();
        let looked = Watched::look(&client, &mut types, open, index).await;
        watched.push(looked.map_err(|error| error.at_binding(index))?);
    }
    watched::check_apart(watched.iter().map(|watched| &watched.table))?;
    check_publication(&client, &settings, &watched).await?;
    // Where no table was begun, there is nothing that could have been lost.
    let remembered = if has_begun { open.task_state::<TaskState>()? } else { None };
    let confirmed = check_slot(&client, &settings, &task, remembered.as_ref()).await?;
    let (position, within) = remembered.as_ref().map_or((confirmed, None), |state| (state.position, state.within));
    let (waiting, identity) = Waiting::connect(&settings).await?;
    if let Some(remembered) = &remembered {
        check_identity(&task, remembered, &identity)?;
    }
    wait_for_slot(&client, &settings).await?;
    // While tables are walked, positions of the log are waited for, one by one.
    let is_backlog = watched.iter().all(|watched| watched.part.walked)
        && server::inserted(&client).await?.0.saturating_sub(position.0) >= pace.backlog_bytes;
    let backlog = match is_backlog {
        true => Backlog::begin(&settings, &identity, position, pace.slice_changes).await?,
        false => None,
    };
    let source = match backlog {
        Some(backlog) => Source::Backlog(backlog),
        None => Source::Stream(waiting.start(&settings, position, position).await?),
    };
    for watched in watched.iter_mut().filter(|watched| !watched.part.walked) {
        watched.writers = Some(Writers::of(&client, watched.table.oid).await?);
    }
    let target = server::inserted(&client).await?;
    Ok(Opened { settings, task, client, source, identity, types, watched, position, within, target })
}

async fn check_publication(client: &Client, settings: &Settings, watched: &[Watched]) -> Result<()> {
    let name = &settings.publication;
    let publication = Publication::find(client, name).await?;
    for (index, watched) in watched.iter().enumerate() {
        if publication.as_ref().is_some_and(|publication| publication.has(&watched.table)) {
            continue;
        }
        let table = &watched.table;
        let message = format!(
            "capture-postgres looks at publication {name}: expected it to send all changes of {}.{}, by its root, without a filter; got one \
             that does not, or none",
            table.schema, table.name
        );
        // Somebody took the table out while its changes were counted on.
        let suggestion = if watched.part.rows > 0 || watched.part.walked {
            "changes may have been missed: capture the table again with `longshore run --fresh`, which puts the publication right"
        } else {
            "apply the task again: that puts the publication right"
        };
        return Err(Error::config("postgres.publication", message).at_binding(index).suggest(suggestion));
    }
    Ok(())
}

/// Says what the slot has let go of.
async fn check_slot(client: &Client, settings: &Settings, task: &str, remembered: Option<&TaskState>) -> Result<Lsn> {
    let name = &settings.slot;
    if let Some(state) = remembered.filter(|state| state.slot != *name) {
        let (expected, got) = (format!("replication slot {}", state.slot), format!("{name} in the config"));
        return Err(faults::gone(task, "postgres.slot.renamed", &expected, &got));
    }
    let slot = Slot::find(client, name).await?.ok_or_else(|| missing(task, name))?;
    slot.check_ours(name)?;
    if slot.wal_status == "lost" {
        return Err(lost(task, name));
    }
    if let Some(state) = remembered.filter(|state| slot.confirmed > state.position) {
        let expected = format!("replication slot {name} to keep the log from {} on", state.position);
        let got = format!("one that keeps it from {} on", slot.confirmed);
        return Err(faults::gone(task, "postgres.slot.ahead", &expected, &got));
    }
    Ok(slot.confirmed)
}

fn check_identity(task: &str, remembered: &TaskState, identity: &Identity) -> Result<()> {
    if remembered.system != identity.system {
        let (expected, got) = (format!("server {}", remembered.system), format!("server {}", identity.system));
        return Err(faults::gone(task, "postgres.system.other", &expected, &got));
    }
    if remembered.timeline != identity.timeline {
        let expected = format!("timeline {} of server {}", remembered.timeline, remembered.system);
        let got = format!("timeline {}: it was restored, or a standby took over", identity.timeline);
        return Err(faults::gone(task, "postgres.timeline.other", &expected, &got));
    }
    Ok(())
}

pub(crate) async fn wait_for_slot(client: &Client, settings: &Settings) -> Result<()> {
    let name = &settings.slot;
    let free = async {
        loop {
            match Slot::find(client, name).await?.and_then(|slot| slot.reader) {
                None => return Ok(None),
                Some(_) => tokio::time::sleep(SLOT_LOOK).await,
            }
        }
    };
    match tokio::time::timeout(SLOT_WAIT, free).await {
        Ok(free) => free.map(|_: Option<()>| ()),
        Err(_) => {
            let message = format!(
                "capture-postgres opens replication slot {name}: expected it to be free, got one that somebody reads from"
            );
            Err(Error::unavailable("postgres.slot.busy", message)
                .suggest("end the other reader: `SELECT active_pid FROM pg_replication_slots`"))
        }
    }
}
