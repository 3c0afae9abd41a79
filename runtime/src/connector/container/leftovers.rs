//! What runtimes that were killed left behind: containers and networks, known by their labels.
//!
//! One belongs to an installation, whose state directory one runtime holds: that one may remove them all. One that was started for a question
//! (`check`, `preview`) belongs to nobody's state; it may go when the process that started it is gone.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder};
use longshore_proto::Error;

use super::engine::Engine;
use super::network;

/// A run that needs no Engine does not wait longer for one that is stuck.
const SWEEP: Duration = Duration::from_secs(20);
const TASK: &str = "dev.longshore.task";
const INSTALLATION: &str = "dev.longshore.installation";
const RUNTIME: &str = "dev.longshore.runtime";
/// `connector` or `relay`.
const PART: &str = "dev.longshore.part";

/// What a container says about whom it belongs to.
#[derive(Debug)]
pub(super) struct Labels(HashMap<String, String>);

impl Labels {
    pub(super) fn new(task: &str, installation: Option<&str>) -> Self {
        let mut labels = HashMap::from([
            (TASK.to_owned(), task.to_owned()),
            (RUNTIME.to_owned(), Process::this().map(|one| one.label()).unwrap_or_default()),
        ]);
        labels.extend(installation.map(|id| (INSTALLATION.to_owned(), id.to_owned())));
        Self(labels)
    }

    /// For what belongs to the task.
    pub(super) fn map(&self) -> HashMap<String, String> {
        self.0.clone()
    }

    pub(super) fn of_connector(&self) -> HashMap<String, String> {
        self.of_part("connector")
    }

    pub(super) fn of_relay(&self) -> HashMap<String, String> {
        self.of_part("relay")
    }

    fn of_part(&self, part: &str) -> HashMap<String, String> {
        let mut labels = self.map();
        labels.insert(PART.to_owned(), part.to_owned());
        labels
    }
}

/// Removes the containers that are left of this installation, whose state directory the caller holds, and of processes that are gone. Where
/// there is no Engine there is nothing to do; one that does not answer is told and is no reason to stop: whoever needs it will say so.
pub async fn sweep(installation: Option<&str>) {
    if !Engine::may_be_there() {
        return;
    }
    match tokio::time::timeout(SWEEP, try_sweep(installation)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "longshore", "cannot look for containers left behind: {error}"),
        Err(_) => {
            tracing::warn!(target: "longshore", "the Docker Engine does not say within {} s what is left behind", SWEEP.as_secs())
        }
    }
}

async fn try_sweep(installation: Option<&str>) -> Result<(), Error> {
    let engine = Engine::connect().await?;
    let is_left = |labels: &HashMap<String, String>| {
        let label = |name| labels.get(name).map(String::as_str);
        let of_ours = installation.is_some() && label(INSTALLATION) == installation;
        let of_nobody = label(INSTALLATION).is_none() && label(RUNTIME).is_some_and(is_gone);
        of_ours || of_nobody
    };
    remove_where(&engine, RUNTIME.to_owned(), is_left).await
}

/// Removes whatever is left of a task's earlier sessions, so that nobody else serves it.
pub(super) async fn remove_of(engine: &Engine, installation: &str, task: &str) -> Result<(), Error> {
    let is_left = |labels: &HashMap<String, String>| labels.get(TASK).map(String::as_str) == Some(task);
    remove_where(engine, format!("{INSTALLATION}={installation}"), is_left).await
}

/// Containers first: a network that somebody is in cannot be removed.
async fn remove_where(
    engine: &Engine,
    label: String,
    is_left: impl Fn(&HashMap<String, String>) -> bool,
) -> Result<(), Error> {
    let filters = HashMap::from([("label".to_owned(), vec![label])]);
    let looking = |error| engine.refused("looking for what is left behind", error);
    let is_left = |labels: &Option<HashMap<String, String>>| labels.as_ref().is_some_and(&is_left);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = engine.api().list_containers(Some(options)).await.map_err(looking)?;
    for one in containers.iter().filter(|one| is_left(&one.labels)) {
        remove(engine, one).await;
    }
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = engine.api().list_networks(Some(options)).await.map_err(looking)?;
    for one in networks.iter().filter(|one| is_left(&one.labels)) {
        let Some(id) = one.id.as_deref() else { continue };
        tracing::info!(target: "longshore", network = one.name.as_deref(), "removing a network left behind");
        network::remove(engine, id).await;
    }
    Ok(())
}

async fn remove(engine: &Engine, one: &ContainerSummary) {
    let Some(id) = one.id.as_deref() else { return };
    let name = one.names.iter().flatten().next().map_or(id, |name| name.trim_start_matches('/'));
    tracing::info!(target: "longshore", container = name, "removing a container left behind");
    engine.end(id).await;
    engine.remove(id).await;
}

/// A process, so that nobody else is ever taken for it: a number is used again, but not with the same start on the same boot.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    boot: String,
    pid_namespace: String,
    pid: String,
    started: String,
}

impl Process {
    fn this() -> Option<Self> {
        Self::of(&std::process::id().to_string())
    }

    /// `None`: there is no such process.
    fn of(pid: &str) -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything, the twentieth is the start.
        let started = stat.rsplit_once(") ")?.1.split(' ').nth(19)?;
        Some(Self {
            boot: boot.trim().to_owned(),
            pid_namespace: namespace.to_string_lossy().into_owned(),
            pid: pid.to_owned(),
            started: started.to_owned(),
        })
    }

    fn label(&self) -> String {
        [&self.boot, &self.pid_namespace, &self.pid, &self.started].map(String::as_str).join("/")
    }
}

/// Only what could be seen from here is known to be gone; a boot that is over took its processes along.
fn is_gone(label: &str) -> bool {
    let parts: Vec<&str> = label.split('/').collect();
    let ([boot, namespace, pid, _], Some(this)) = (parts.as_slice(), Process::this()) else { return false };
    if *boot != this.boot {
        return true;
    }
    *namespace == this.pid_namespace && Process::of(pid).is_none_or(|process| process.label() != label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_it_is_and_not_before() {
        let this = Process::this().unwrap();
        assert!(!is_gone(&this.label()));
        assert!(
            is_gone(&Process { started: "1".into(), ..Process::this().unwrap() }.label()),
            "its number is another's"
        );
        assert!(is_gone(&Process { boot: "other".into(), ..Process::this().unwrap() }.label()));
        let elsewhere = Process { pid_namespace: "pid:[1]".into(), pid: "999999999".into(), ..this };
        assert!(!is_gone(&elsewhere.label()), "who lives in another namespace cannot be seen from here");
        assert!(!is_gone("nonsense"));
    }
}
