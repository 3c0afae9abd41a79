//! The sandbox of a container: what it gets, stated once. Everything that is not said here, a connector does not have.
//!
//! The rules are those of `base-image/README.md`. Looks at files of the host ([`Given::of_host`]); asks no Engine.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount as ApiMount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
};
use longshore_proto::Error;

use super::network::{self, Seat};
use super::sandbox::{Limits, MIB, Sandbox, ShownMount};
use super::user::{File, User, check};
use super::{Image, Mount, Resolved};

/// Where a container sees its socket directory.
pub(crate) const SOCKETS_IN_CONTAINER: &str = "/run/longshore";
pub(super) const SOCKET_IN_CONTAINER: &str = "/run/longshore/s";
/// Files it may have open.
const OPEN_FILES: i64 = 4096;

/// What the host gives a container.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) user: User,
    /// Absolute on the host.
    mounts: Vec<Mount>,
    /// In the container: an empty directory lies over each.
    masked: Vec<PathBuf>,
    working_directory: PathBuf,
}

impl Given {
    /// Looks at the mounts of the catalog: they must be there, and the container's user must be able to use them.
    pub(super) fn of_host(image: &Image, catalog: &Path, state: Option<&Path>) -> Result<Self, Error> {
        let mut found = Vec::new();
        for mount in &image.mounts {
            let path = catalog.join(&mount.path);
            let seen = path.canonicalize().and_then(|path| Ok((File::of(&path)?, path)));
            let (file, path) = seen.map_err(|error| {
                let written = mount.path.display();
                Error::config("mount.missing", format!("mount {written}: {}: {error}", path.display()))
                    .suggest(format!("mkdir -p {written}"))
            })?;
            found.push((mount, file, path));
        }
        let writable = found.iter().filter(|(mount, ..)| !mount.read_only).map(|(_, file, _)| file.owner);
        let user = User::choose(User::of_this_process(), writable);
        for (mount, file, _) in &found {
            check(user, *file, &mount.path, mount.read_only)?;
        }
        let states = [Some(catalog.join(".longshore")), state.map(Path::to_path_buf)];
        let states: Vec<PathBuf> = states.into_iter().flatten().filter_map(|path| path.canonicalize().ok()).collect();
        let mut masked = Vec::new();
        for (mount, _, path) in &found {
            let inside = states.iter().filter_map(|state| state.strip_prefix(path).ok());
            masked.extend(inside.map(|inside| mount.at.join(inside)));
        }
        masked.sort();
        masked.dedup();
        let working_directory = image.mounts.first().map_or_else(|| "/".into(), working_directory);
        let mounts = found.into_iter().map(|(mount, _, path)| Mount { path, ..mount.clone() }).collect();
        Ok(Self { user, mounts, masked, working_directory })
    }
}

/// The directory from which the mount's path, as it is written, leads to where it is mounted: `./data` at `/data` gives `/`.
fn working_directory(mount: &Mount) -> PathBuf {
    let parts: Vec<Component<'_>> = mount.path.components().filter(|part| *part != Component::CurDir).collect();
    let plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let written: PathBuf = parts.iter().collect();
    if !plain || !mount.at.ends_with(&written) {
        return "/".into();
    }
    mount.at.ancestors().nth(parts.len()).unwrap_or(Path::new("/")).to_path_buf()
}

/// What a container will run under.
pub(super) fn sandbox(given: &Given, image: &Image, resolved: &Resolved) -> Sandbox {
    let shown = |mount: &Mount| ShownMount {
        path: mount.path.display().to_string(),
        at: mount.at.display().to_string(),
        read_only: mount.read_only,
    };
    Sandbox {
        image: resolved.reference.clone(),
        image_id: resolved.id.clone(),
        user: given.user.to_string(),
        network: if image.allow.is_empty() { "none" } else { "relay" },
        allow: image.allow.iter().map(ToString::to_string).collect(),
        capabilities: "none",
        root: "read-only",
        limits: image.limits,
        working_directory: given.working_directory.display().to_string(),
        mounts: given.mounts.iter().map(shown).collect(),
    }
}

/// Everything a connector's container is made of.
pub(super) struct Create<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) given: &'a Given,
    pub(super) image_id: &'a str,
    /// Directories the image wants to write to.
    pub(super) volumes: &'a [String],
    pub(super) socket_directory: &'a Path,
    /// Its place in the network of its task, if it has one.
    pub(super) seat: Option<&'a Seat>,
    pub(super) environment: Vec<String>,
    pub(super) labels: HashMap<String, String>,
}

/// A connector's profile in the words of the Engine.
pub(super) fn create(of: Create<'_>) -> ContainerCreateBody {
    let Create { sandbox, given, image_id, volumes, socket_directory, seat, environment, labels } = of;
    let mut mounts = vec![bind(socket_directory, Path::new(SOCKETS_IN_CONTAINER), false)];
    mounts.extend(given.mounts.iter().map(|mount| bind(&mount.path, &mount.at, mount.read_only)));
    let body = ContainerCreateBody {
        env: Some(environment),
        working_dir: Some(sandbox.working_directory.clone()),
        hostname: Some("connector".into()),
        ..tight(image_id, &sandbox.user, &sandbox.limits, labels)
    };
    let body = with_host(body, |host| HostConfig {
        tmpfs: Some(tmpfs(&sandbox.limits, volumes, given)),
        mounts: Some(mounts),
        ..host
    });
    match seat {
        Some(seat) => network::seated(body, seat),
        None => body,
    }
}

/// A relay: the same sandbox, without anything of the host.
pub(super) fn relay(
    image_id: &str,
    seat: &Seat,
    words: Vec<String>,
    labels: HashMap<String, String>,
) -> ContainerCreateBody {
    // It writes nothing; the name look-ups of its connections run on threads.
    let limits = Limits { memory_bytes: 64 * MIB, pids: 32, tmpfs_bytes: 0, ..Limits::default() };
    let body = ContainerCreateBody {
        cmd: Some(words),
        working_dir: Some("/".into()),
        hostname: Some("relay".into()),
        ..tight(image_id, &User::choose(User::of_this_process(), []).to_string(), &limits, labels)
    };
    let any_port = HashMap::from([("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned())]);
    network::seated(with_host(body, |host| HostConfig { sysctls: Some(any_port), ..host }), seat)
}

/// What every container of ours runs under, whatever is in it: no network, nothing of the host, no rights.
fn tight(image_id: &str, user: &str, limits: &Limits, labels: HashMap<String, String>) -> ContainerCreateBody {
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    ContainerCreateBody {
        image: Some(image_id.to_owned()),
        user: Some(user.to_owned()),
        labels: Some(labels),
        // The lifeline: the Engine closes it when we are gone.
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(false),
        attach_stderr: Some(true),
        tty: Some(false),
        stop_signal: Some("SIGTERM".into()),
        // We ask for health ourselves; nothing else is executed in it.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            readonly_rootfs: Some(true),
            privileged: Some(false),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges:true".into()]),
            network_mode: Some("none".into()),
            ipc_mode: Some("none".into()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            memory: Some(bytes(limits.memory_bytes)),
            // The same number: no swap on top.
            memory_swap: Some(bytes(limits.memory_bytes)),
            nano_cpus: Some(i64::from(limits.cpu_millis) * 1_000_000),
            pids_limit: Some(i64::from(limits.pids)),
            ulimits: Some(vec![ulimit("nofile", OPEN_FILES), ulimit("core", 0)]),
            // Read as they come; a flood must not fill the Engine's disk.
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The same with another part of the host.
pub(super) fn with_host(
    mut body: ContainerCreateBody,
    change: impl FnOnce(HostConfig) -> HostConfig,
) -> ContainerCreateBody {
    body.host_config = body.host_config.map(change);
    body
}

/// Not recursive: what is mounted below it on the host stays there.
fn bind(from: &Path, at: &Path, read_only: bool) -> ApiMount {
    ApiMount {
        typ: Some(MountType::BIND),
        source: Some(from.display().to_string()),
        target: Some(at.display().to_string()),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            non_recursive: Some(true),
            ..MountBindOptions::default()
        }),
        ..ApiMount::default()
    }
}

/// Places in memory: `/tmp`, the image's volumes where the catalog mounts nothing, and empty ones over what must not be seen.
fn tmpfs(limits: &Limits, volumes: &[String], given: &Given) -> HashMap<String, String> {
    let writable = format!("rw,nosuid,nodev,noexec,mode=1777,size={}", limits.tmpfs_bytes);
    let mut places: BTreeMap<String, String> = BTreeMap::from([("/tmp".to_owned(), writable.clone())]);
    places.extend(volumes.iter().map(|volume| (volume.clone(), writable.clone())));
    let nothing = "ro,nosuid,nodev,noexec,mode=0555,size=4k".to_owned();
    places.extend(given.masked.iter().map(|place| (place.display().to_string(), nothing.clone())));
    places.retain(|place, _| given.mounts.iter().all(|mount| mount.at != Path::new(place)));
    places.into_iter().collect()
}

fn ulimit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.into()), soft: Some(most), hard: Some(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(mounts: &[(&str, &str, bool)]) -> Image {
        let mount = |(path, at, read_only): &(&str, &str, bool)| Mount {
            path: path.into(),
            at: at.into(),
            read_only: *read_only,
        };
        Image {
            reference: "a:b".into(),
            mounts: mounts.iter().map(mount).collect(),
            limits: Limits::default(),
            allow: vec![],
        }
    }

    #[test]
    fn a_relative_path_means_in_the_container_what_it_means_beside_the_catalog() {
        let of = |path: &str, at: &str| working_directory(&image(&[(path, at, true)]).mounts[0]).display().to_string();
        assert_eq!(of("./data", "/data"), "/");
        assert_eq!(of("data/in", "/srv/data/in"), "/srv");
        assert_eq!(of(".", "/catalog"), "/catalog");
        assert_eq!(of("./data", "/other"), "/");
        assert_eq!(of("../data", "/data"), "/");
        assert_eq!(of("/data", "/data"), "/");
    }

    fn created(mounts: &[(&str, &str, bool)], volumes: &[&str], seat: Option<&Seat>) -> ContainerCreateBody {
        let directory = tempfile::tempdir().unwrap();
        for (path, ..) in mounts {
            std::fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let image = image(mounts);
        let given = Given {
            user: User { uid: 7, gid: 8 },
            mounts: image.mounts.clone(),
            masked: vec!["/catalog/.longshore".into()],
            working_directory: "/".into(),
        };
        let resolved = Resolved::for_tests("a:b", "sha256:0");
        let sandbox = sandbox(&given, &image, &resolved);
        create(Create {
            sandbox: &sandbox,
            given: &given,
            image_id: "sha256:0",
            volumes: &volumes.iter().map(|&volume| volume.to_owned()).collect::<Vec<_>>(),
            socket_directory: Path::new("/tmp/x/c"),
            seat,
            environment: vec![],
            labels: HashMap::new(),
        })
    }

    #[test]
    fn the_profile_is_written_down() {
        let body = created(&[("data", "/data", true)], &["/var/lib/x", "/data"], None);
        insta::assert_snapshot!("profile", shown(&body));
    }

    /// Nothing is wider but what a network needs.
    #[test]
    fn a_connector_with_a_network_and_its_relay_differ_from_that_in_what_a_network_needs() {
        let seat = Seat {
            network: "n".into(),
            address: [198, 18, 0, 30].into(),
            names: vec![("db.example".into(), [198, 18, 0, 2].into())],
        };
        insta::assert_snapshot!("profile_with_network", shown(&created(&[], &[], Some(&seat))));
        let words = vec!["198.18.0.2".to_owned(), "db.example:5432".to_owned()];
        let seat = Seat { names: vec![], ..seat };
        let relay = relay("sha256:1", &seat, words, HashMap::new());
        // That is who runs this test.
        let relay = ContainerCreateBody { user: Some("somebody".into()), ..relay };
        insta::assert_snapshot!("profile_of_relay", shown(&relay));
    }

    fn shown(body: &ContainerCreateBody) -> String {
        serde_json::to_string_pretty(&sorted(serde_json::to_value(body).unwrap())).unwrap()
    }

    /// Maps of the Engine's have no order.
    fn sorted(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Object(map) => {
                let map: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
                map.into_iter().collect()
            }
            Value::Array(list) => list.into_iter().map(sorted).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        }
    }

    #[test]
    fn a_mount_that_is_not_there_is_told_with_what_makes_it() {
        let directory = tempfile::tempdir().unwrap();
        let error = Given::of_host(&image(&[("./out", "/out", false)]), directory.path(), None).unwrap_err();
        assert_eq!((error.code.as_str(), error.suggestion.as_str()), ("mount.missing", "mkdir -p ./out"));
    }

    #[test]
    fn the_state_directory_is_masked_wherever_a_mount_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join(".longshore")).unwrap();
        std::fs::create_dir_all(directory.path().join("elsewhere/state")).unwrap();
        for path in [".", "elsewhere"] {
            use std::os::unix::fs::PermissionsExt as _;
            let open = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(directory.path().join(path), open).unwrap();
        }
        let image = image(&[(".", "/catalog", false), ("elsewhere", "/e", false)]);
        let state = directory.path().join("elsewhere/state");
        let given = Given::of_host(&image, directory.path(), Some(&state)).unwrap();
        let masked: Vec<_> = given.masked.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(masked, ["/catalog/.longshore", "/catalog/elsewhere/state", "/e/state"]);
    }
}
