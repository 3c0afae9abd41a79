//! The profile of a container as people and programs see it: what `check` prints, `status` tells, and a catalog may limit.
//!
//! What it means in the words of the Engine is in [`super::profile`].

pub(super) const MIB: u64 = 1 << 20;

/// What a container may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Limits {
    /// Memory, its tmpfs included; there is no swap.
    pub memory_bytes: u64,
    /// Processors, in thousandths.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// What can be written to `/tmp`.
    pub tmpfs_bytes: u64,
}

impl Eq for Limits {}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 256 * MIB, cpu_millis: 1000, pids: 128, tmpfs_bytes: 64 * MIB }
    }
}

/// The profile a container runs under, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sandbox {
    /// As the catalog names it.
    pub image: String,
    /// Which one that is.
    pub image_id: String,
    /// uid:gid.
    pub user: String,
    /// What it can reach: `none`, or `relay` for what [`Self::allow`] says.
    pub network: &'static str,
    /// Hosts and ports that relays carry to.
    pub allow: Vec<String>,
    /// What it may do that others may not.
    pub capabilities: &'static str,
    /// Its own file system.
    pub root: &'static str,
    /// What it may use.
    #[serde(flatten)]
    pub limits: Limits,
    /// Where relative paths start.
    pub working_directory: String,
    /// What it sees of the host, beside its socket directory.
    pub mounts: Vec<ShownMount>,
}

/// A mount, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ShownMount {
    /// On the host; absolute.
    pub path: String,
    /// In the container.
    pub at: String,
    /// It cannot be changed.
    pub read_only: bool,
}

impl Sandbox {
    /// What it can reach, for people.
    #[must_use]
    pub fn network(&self) -> String {
        match self.allow.as_slice() {
            [] => self.network.to_owned(),
            allow => format!("{} through a relay and nothing else", allow.join(" ")),
        }
    }

    /// A few lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let Limits { memory_bytes, cpu_millis, pids, tmpfs_bytes } = self.limits;
        let id: String = self.image_id.chars().take(19).collect();
        let mut lines = vec![
            format!("image {} ({id})", self.image),
            format!(
                "runs as {}, network {}, capabilities {}, root {}",
                self.user,
                self.network(),
                self.capabilities,
                self.root
            ),
            format!(
                "memory {} MiB, {} CPU, {pids} processes, /tmp {} MiB",
                memory_bytes / MIB,
                f64::from(cpu_millis) / 1000.0,
                tmpfs_bytes / MIB
            ),
        ];
        lines.extend(self.mounts.iter().map(|mount| {
            let how = if mount.read_only { "read-only" } else { "writable" };
            format!("mounts {} at {}, {how}", mount.path, mount.at)
        }));
        lines
    }
}
