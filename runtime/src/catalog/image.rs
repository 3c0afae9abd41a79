//! `image` with its `mounts`, `limits` and `network`: a connector in a container. Whether the image and the mounts are there is found out when it is
//! started ([`crate::connector::container`]).

use std::path::{Component, Path, PathBuf};

use longshore_relay::Pair;

use super::Endpoint;
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::endpoint::Reader;
use super::fields::{Fields, Keys, boolean, fields, list, text};
use super::node::Node;
use crate::connector::container::{HOSTS_MAX, Image, Limits, Mount, Reference, SOCKETS_IN_CONTAINER};

/// Keys that only a container has.
pub(super) const WITH_IMAGE: [&str; 2] = ["mounts", "limits"];
pub(super) const MOUNT: Keys =
    Keys { known: &["path", "at", "read_only"], example: "`{ path: ./data, at: /data, read_only: true }`" };
pub(super) const LIMITS: Keys = Keys {
    known: &["memory", "cpus", "pids", "tmpfs"],
    example: "`{ memory: 256MiB, cpus: 1, pids: 128, tmpfs: 64MiB }`",
};
pub(super) const NETWORK: Keys = Keys { known: &["allow"], example: "`{ allow: [\"db.example:5432\"] }`" };
const KIB: u64 = 1 << 10;
/// Less memory than this no Engine gives.
const MEMORY_MIN_BYTES: u64 = 6 << 20;
/// Parts of a container's file system that are the system's.
const RESERVED: [&str; 5] = ["/proc", "/sys", "/dev", "/tmp", SOCKETS_IN_CONTAINER];

impl Reader<'_> {
    pub(super) fn image(&self, node: &Node, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Endpoint> {
        let who = format!("`image` of {}", fields.who);
        let reference = self.filled(node, &who, "image: ghcr.io/acme/capture-shop:1.2", findings)?;
        match Reference::parse(&reference) {
            Err(why) => {
                // As written: what a variable stands for is not shown.
                let written = self.source.slice(node.span);
                let message = format!("{who}: `{written}` is not the name of an image");
                findings.push(Diagnostic::error(Code::Image, node.span, message, why));
                return None;
            }
            Ok(parsed) if self.production && !parsed.is_pinned => {
                let message =
                    format!("{who} is a tag, which may mean another image tomorrow; `production: true` refuses that");
                let help = "name it by its digest, `name@sha256:…`: `longshore lock` writes it down";
                findings.push(Diagnostic::error(Code::ImageTag, node.span, message, help));
            }
            Ok(_) => {}
        }
        let mounts = fields.optional("mounts").map(|node| self.mounts(node, fields.who, findings));
        let limits = fields.optional("limits").map(|node| self.limits(node, fields.who, findings));
        let allow = fields.optional("network").map(|node| self.network(node, fields.who, findings));
        Some(Endpoint::Image(Image {
            reference,
            mounts: mounts.flatten().unwrap_or_default(),
            limits: limits.flatten().unwrap_or_default(),
            allow: allow.flatten().unwrap_or_default(),
        }))
    }

    /// What the connector may reach, each pair once.
    pub(super) fn network(&self, node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Option<Vec<Pair>> {
        const EXAMPLE: &str = "allow: [\"db.example:5432\"]";
        let who = format!("`network` of {who}");
        let fields = fields(node, &who, NETWORK, findings)?;
        let list_node = fields.required("allow", EXAMPLE, findings)?;
        let who = format!("`allow` of {who}");
        let mut allow: Vec<Pair> = Vec::new();
        for node in list(list_node, &who, EXAMPLE, findings)? {
            let Some(text) = self.filled(node, &who, "\"db.example:5432\"", findings) else { continue };
            // As written: what a variable stands for is not shown.
            let written = self.source.slice(node.span).trim_matches(['"', '\'']);
            let mut wrong = |why: String, help: String| {
                findings.push(Diagnostic::error(Code::Network, node.span, format!("{who}: `{written}`: {why}"), help));
            };
            match Pair::parse(text.trim()) {
                Err(_) if text != written => {
                    wrong(
                        "what it stands for is no host and port".into(),
                        "let it stand for one, such as `db.example:5432`".into(),
                    );
                }
                Err(refused) => wrong(refused.why, refused.help),
                Ok(pair) if allow.iter().any(|other| same_place(other, &pair)) => {
                    wrong("it is there already".into(), "remove one of the two".into());
                }
                Ok(pair)
                    if allow.iter().any(|other| other.name() == pair.name() && other.address() != pair.address()) =>
                {
                    wrong("the name has another address already".into(), "give each host a name of its own".into());
                }
                Ok(pair) => allow.push(pair),
            }
        }
        let mut hosts: Vec<&str> = allow.iter().map(Pair::name).collect();
        hosts.sort_unstable();
        hosts.dedup();
        if hosts.len() > HOSTS_MAX {
            let message = format!("{who}: {} hosts are more than a task may have, which is {HOSTS_MAX}", hosts.len());
            let help = "let the connector reach them through one, such as a proxy of your own";
            findings.push(Diagnostic::error(Code::Network, list_node.span, message, help));
        }
        Some(allow)
    }

    fn mounts(&self, node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Option<Vec<Mount>> {
        const EXAMPLE: &str = "mounts: [{ path: ./data, at: /data, read_only: true }]";
        let mut mounts: Vec<Mount> = Vec::new();
        for (number, node) in list(node, &format!("`mounts` of {who}"), EXAMPLE, findings)?.iter().enumerate() {
            let who = format!("mount {} of {who}", number + 1);
            let Some(mount) = self.mount(node, &who, findings) else { continue };
            if mounts.iter().any(|other| other.at == mount.at) {
                let message = format!("{who}: there is a mount at {} already", mount.at.display());
                findings.push(Diagnostic::error(Code::Mount, node.span, message, "give one of the two another `at`"));
            }
            mounts.push(mount);
        }
        Some(mounts)
    }

    fn mount(&self, node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Option<Mount> {
        let fields = fields(node, who, MOUNT, findings)?;
        let path = fields.required("path", "path: ./data", findings);
        let at = fields.required("at", "at: /data", findings);
        let path = self.filled(path?, &format!("`path` of {who}"), "path: ./data", findings)?;
        let (at, at_span) = (text(at?, &format!("`at` of {who}"), "at: /data", findings)?, at?.span);
        let at = Path::new(at);
        let plain = at.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !at.is_absolute() || !plain || at.parent().is_none() {
            let message = format!("`at` of {who}: expected an absolute path in the container below `/`, without `..`");
            findings.push(Diagnostic::error(Code::Mount, at_span, message, "write `at: /data`"));
            return None;
        }
        if let Some(reserved) =
            RESERVED.iter().find(|reserved| at.starts_with(reserved) || Path::new(reserved).starts_with(at))
        {
            let message = format!("`at` of {who}: {reserved} is the container's own");
            findings.push(Diagnostic::error(Code::Mount, at_span, message, "mount it elsewhere, such as `at: /data`"));
            return None;
        }
        let read_only = fields.optional("read_only").map(|node| boolean(node, "read_only", who, findings));
        // Without the dots and doubled slashes of what was written.
        let at: PathBuf = at.components().collect();
        Some(Mount { path: path.into(), at, read_only: read_only.flatten().unwrap_or_default() })
    }

    fn limits(&self, node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Option<Limits> {
        let who = format!("`limits` of {who}");
        let fields = fields(node, &who, LIMITS, findings)?;
        let mut limits = Limits::default();
        let mut one = |key: &str, what: &str, example: &str, take: &mut dyn FnMut(&str) -> Option<()>| {
            let Some(node) = fields.optional(key) else { return };
            let name = format!("`{key}` of {who}");
            let Some(written) = text(node, &name, example, findings) else { return };
            if take(written.trim()).is_none() {
                let message = format!("{name}: expected {what}, got `{written}`");
                findings.push(Diagnostic::error(Code::Limit, node.span, message, format!("write `{example}`")));
            }
        };
        one("memory", "a size of at least 6MiB, with its unit", "memory: 256MiB", &mut |text| {
            limits.memory_bytes = size(text).filter(|bytes| *bytes >= MEMORY_MIN_BYTES)?;
            Some(())
        });
        one("cpus", "a number of processors, 0.01 or more", "cpus: 1", &mut |text| {
            let cpus: f64 = text.parse().ok().filter(|cpus| (0.01..=1024.0).contains(cpus))?;
            limits.cpu_millis = (cpus * 1000.0).round() as u32;
            Some(())
        });
        one("pids", "a number of processes, 4 or more", "pids: 128", &mut |text| {
            limits.pids = text.parse().ok().filter(|pids| (4..=1 << 22).contains(pids))?;
            Some(())
        });
        one("tmpfs", "a size of at least 4KiB, with its unit", "tmpfs: 64MiB", &mut |text| {
            limits.tmpfs_bytes = size(text).filter(|bytes| *bytes >= 4 * KIB)?;
            Some(())
        });
        Some(limits)
    }
}

fn same_place(one: &Pair, other: &Pair) -> bool {
    one.name() == other.name() && one.port() == other.port()
}

/// Keys of a container beside a connector that is none.
pub(super) fn refuse_without_image(way: &str, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) {
    for key in WITH_IMAGE {
        if fields.optional(key).is_some() {
            let message = format!("`{key}` of {} goes with `image` only", fields.who);
            let help = format!("remove it: with `{way}` the connector is no container");
            findings.push(Diagnostic::error(Code::Endpoint, fields.key_span(key), message, help));
        }
    }
}

/// `256MiB` in bytes.
fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("KiB", KIB),
        ("MiB", KIB * KIB),
        ("GiB", KIB * KIB * KIB),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    let (number, unit) = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(*unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_a_unit() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("1 GB"), Some(1_000_000_000));
        for wrong in ["64", "64M", "MiB", "-1MiB", "1.5GiB", "99999999999999GiB", ""] {
            assert_eq!(size(wrong), None, "{wrong:?}");
        }
    }
}
