//! What holds a connector that is a process: limits and `no_new_privs` always, bubblewrap where the system has it or the catalog asks for it.
//!
//! What a process may write to is known to its author alone, and a private place would lose what it stores there. So without a word from the
//! catalog its files stay where they are, and only what is nobody's but ours is hidden: the state directory and the other connectors'
//! sockets. `sandbox: required` closes the rest, and fails closed. Which part means what is said in `base-image/README.md`; how a process is
//! started and ended in [`super::process`].

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use longshore_proto::Error;
use rustix::fs::{Access, Mode, OFlags};
use rustix::process::{Resource, Rlimit};

use super::runs::Part;

const BWRAP: &str = "bwrap";
/// The one command that gets it.
const INSTALL: &str = "apt-get install -y bubblewrap";
/// More files than this are open in no connector; fewer, where the system says so.
const OPEN_FILES: u64 = 65_536;
/// When memory runs out, the kernel ends a connector before the runtime.
const DIES_FIRST: &[u8] = b"500";
/// The connector's own `/tmp`, in bytes.
const TMP_BYTES: &str = "67108864";

/// What the catalog says of a process's sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hold {
    /// All of it, or no start.
    pub required: bool,
    /// No network but loopback, or no start.
    pub no_network: bool,
}

/// How far a process is shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walls {
    /// What is ours is hidden.
    Hidden,
    /// And the rest is read-only, private or gone.
    Closed,
}

/// Where a process is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) task: &'a str,
    /// What is executed: see [`find`].
    pub(super) program: &'a Path,
    pub(super) catalog_directory: &'a Path,
    pub(super) state_directory: Option<&'a Path>,
    /// Its own; the others' are beside it.
    pub(super) socket_directory: &'a Path,
    /// One of ours, which comes with the runtime.
    pub(super) bundled: bool,
}

/// A command that is held, and by what.
#[derive(Debug)]
pub(super) struct Confined {
    pub(super) command: Command,
    /// It runs inside bubblewrap, which is the process that is started.
    pub(super) wrapped: bool,
    pub(super) parts: Vec<Part>,
}

/// Holds a command as the catalog wants it and the system allows.
pub(super) async fn confine(command: Command, hold: Hold, places: Places<'_>) -> Result<Confined, Error> {
    let walls = match (hold.required, hold.no_network, places.bundled) {
        (true, _, _) => Some(Walls::Closed),
        (false, true, _) | (false, false, false) => Some(Walls::Hidden),
        (false, false, true) => None,
    };
    let Some(walls) = walls else {
        let why = "it comes with longshore; `sandbox: required` shuts it in";
        return Ok(Confined { command, wrapped: false, parts: parts(None, hold, why) });
    };
    match bubblewrap(walls, hold.no_network).await {
        Ok(bwrap) => {
            let command = wrap(&bwrap, &command, walls, hold.no_network, places);
            Ok(Confined { command, wrapped: true, parts: parts(Some(walls), hold, "") })
        }
        Err(why) if hold == Hold::default() => {
            Ok(Confined { command, wrapped: false, parts: parts(None, hold, &format!("{why}: {INSTALL}")) })
        }
        Err(why) => {
            let asked = if hold.required { "`sandbox: required`" } else { "`network: { allow: [] }`" };
            let message = format!("task {}: {asked} needs bubblewrap to hold a process, and {why}", places.task);
            Err(Error::config("sandbox.missing", message).suggest(INSTALL))
        }
    }
}

/// Limits and rights of a process that is about to become a connector, or what holds one. Called between fork and exec: system calls only.
pub(super) fn restrain(open_files: Rlimit) -> std::io::Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::setrlimit(Resource::Nofile, open_files)?;
    rustix::thread::set_no_new_privs(true)?;
    // Where there is no /proc it dies when it dies.
    let score = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    if let Ok(score) = score {
        rustix::io::write(score, DIES_FIRST).ok();
    }
    Ok(())
}

/// How many files it may open: what the system allows, and no more than a connector ever needs.
pub(super) fn open_files() -> Rlimit {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let most = now.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    Rlimit { current: Some(now.current.map_or(most, |current| current.min(most))), maximum: Some(most) }
}

/// The connector that runs inside: what was started is bubblewrap, and perhaps its own first process.
pub(super) fn inside(started: u32) -> u32 {
    let mut process = started;
    while std::fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == BWRAP) {
        let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        let first = children.ok().and_then(|list| list.split_whitespace().next()?.parse().ok());
        let Some(first) = first else { break };
        process = first;
    }
    process
}

/// Where a program is that can be executed. Inside bubblewrap nobody could tell its absence from its own failure.
pub(super) fn find(program: &OsStr, directory: &Path) -> std::io::Result<PathBuf> {
    let can_run = |path: &Path| match path.metadata()?.is_file() {
        true => rustix::fs::access(path, Access::EXEC_OK).map_err(std::io::Error::from),
        false => Err(std::io::ErrorKind::PermissionDenied.into()),
    };
    if program.as_encoded_bytes().contains(&b'/') {
        let path = directory.join(program);
        return can_run(&path).map(|()| path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|place| place.join(program)).find(|path| can_run(path).is_ok());
    found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// Where bubblewrap is, if it can do this here; else why not. Tried once for each.
async fn bubblewrap(walls: Walls, no_network: bool) -> Result<PathBuf, String> {
    type Tried = Vec<((Walls, bool), Result<PathBuf, String>)>;
    static TRIED: LazyLock<Mutex<Tried>> = LazyLock::new(Mutex::default);
    let known = |tried: &Tried| tried.iter().find(|(of, _)| *of == (walls, no_network)).map(|(_, found)| found.clone());
    if let Some(found) = known(&TRIED.lock().unwrap_or_else(PoisonError::into_inner)) {
        return found;
    }
    let found = tokio::task::spawn_blocking(move || attempt(walls, no_network)).await;
    let found = found.unwrap_or_else(|error| Err(error.to_string()));
    TRIED.lock().unwrap_or_else(PoisonError::into_inner).push(((walls, no_network), found.clone()));
    found
}

fn attempt(walls: Walls, no_network: bool) -> Result<PathBuf, String> {
    let bwrap = find(OsStr::new(BWRAP), Path::new("/")).map_err(|_| "it is not installed")?;
    let mut command = Command::new(&bwrap);
    command.args(walls.arguments(no_network)).args(["--", "true"]).stdin(Stdio::null());
    // As a connector will be: where bubblewrap is setuid, it cannot work either.
    let tried = command.output().map_err(|error| format!("it cannot be started: {error}"))?;
    if tried.status.success() {
        return Ok(bwrap);
    }
    let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    Err(format!("it does not work here ({said}); it needs user namespaces and its version 0.8 or newer"))
}

impl Walls {
    /// What does not depend on the connector.
    fn arguments(self, no_network: bool) -> Vec<&'static str> {
        let mut arguments = vec!["--die-with-parent", "--unshare-ipc", "--unshare-uts"];
        if no_network {
            arguments.push("--unshare-net");
        }
        match self {
            Self::Hidden => arguments.extend(["--dev-bind", "/", "/"]),
            // The kernel's settings are root's, whatever rights root has left.
            Self::Closed => arguments.extend([
                "--unshare-pid",
                "--unshare-cgroup-try",
                "--unshare-user",
                "--disable-userns",
                "--cap-drop",
                "ALL",
                "--ro-bind",
                "/",
                "/",
                "--dev",
                "/dev",
                "--proc",
                "/proc",
                "--ro-bind",
                "/proc/sys",
                "/proc/sys",
                "--ro-bind-try",
                "/proc/sysrq-trigger",
                "/proc/sysrq-trigger",
                "--perms",
                "1777",
                "--size",
                TMP_BYTES,
                "--tmpfs",
                "/tmp",
                "--tmpfs",
                "/run",
            ]),
        }
        arguments
    }
}

/// The command inside bubblewrap. What is named later lies over what was named before.
fn wrap(bwrap: &Path, inner: &Command, walls: Walls, no_network: bool, places: Places<'_>) -> Command {
    let mut command = Command::new(bwrap);
    command.args(walls.arguments(no_network));
    let catalog = real(places.catalog_directory);
    if walls == Walls::Closed {
        // What a home holds is its owner's: keys, histories, other projects.
        let home = std::env::var_os("HOME").map(PathBuf::from);
        if let Some(home) = home.filter(|home| home.is_dir() && home != Path::new("/")) {
            command.arg("--tmpfs").arg(real(&home));
        }
        // Where names are looked up is written there on many systems.
        command.args(["--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"]);
        // Where it lies, and where it is called: a link on the way may lead into what is hidden, or lie there itself.
        for place in [real(places.program), named(places.program)] {
            command.arg("--ro-bind").args([real(places.program), place]);
        }
        bind(&mut command, "--bind", &catalog);
        command.args(["--setenv", "TMPDIR", "/tmp"]);
    }
    let states = [Some(places.catalog_directory.join(".longshore")), places.state_directory.map(Path::to_path_buf)];
    let mut hidden: Vec<PathBuf> = states.into_iter().flatten().filter_map(|path| path.canonicalize().ok()).collect();
    hidden.extend(places.socket_directory.parent().map(real));
    hidden.sort();
    hidden.dedup();
    for place in hidden {
        command.arg("--tmpfs").arg(&place);
    }
    bind(&mut command, "--bind", &real(places.socket_directory));
    command.arg("--chdir").arg(&catalog).arg("--").arg(named(places.program)).args(inner.get_args());
    command
}

fn bind(command: &mut Command, how: &str, path: &Path) {
    command.arg(how).args([OsString::from(path), OsString::from(path)]);
}

/// bubblewrap mounts on what a path leads to.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// Under the name it is called by, which some programs look at, in the directory that this leads to.
fn named(program: &Path) -> PathBuf {
    match (program.parent().map(Path::canonicalize), program.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => program.to_path_buf(),
    }
}

/// For `check` and the status.
fn parts(walls: Option<Walls>, hold: Hold, why_not: &str) -> Vec<Part> {
    let most = open_files().maximum.unwrap_or(OPEN_FILES);
    let mut parts = vec![
        Part::applied("environment", "it sees the few variables of the launch contract"),
        Part::applied("ends with the runtime", "it leads a process group that is killed with us"),
        Part::applied("no new privileges", "no setuid program gives it any"),
        Part::applied(
            "limits",
            format!("no core files, {most} open files; it dies before the runtime when memory runs out"),
        ),
    ];
    parts.push(match walls {
        Some(_) => Part::applied("state and sockets", "it does not see those of longshore and of other connectors"),
        None => Part::missing("state and sockets", why_not),
    });
    if walls == Some(Walls::Closed) {
        parts.extend([
            Part::applied(
                "filesystem",
                "read-only but for the catalog's directory; its own /tmp of 64 MiB; nothing of a home but its program, nothing of /run",
            ),
            Part::applied("processes", "it sees its own"),
            Part::applied("capabilities", "none, and no namespaces of its own"),
        ]);
    } else {
        let open = "it reads and writes what the user who runs longshore may; `sandbox: required` closes that";
        parts.push(Part::missing("filesystem", open));
    }
    parts.push(match hold.no_network {
        true => Part::applied("network", "none"),
        false => Part::missing("network", "it reaches what this host reaches; `network: { allow: [] }` cuts it off"),
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(walls: Walls) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let places = Places {
            task: "t",
            program: Path::new("/usr/bin/env"),
            catalog_directory: &directory.path().join("catalog"),
            state_directory: Some(&directory.path().join("state")),
            socket_directory: &directory.path().join("sockets/12345678"),
            bundled: false,
        };
        for path in [places.catalog_directory, places.state_directory.unwrap(), places.socket_directory] {
            std::fs::create_dir_all(path).unwrap();
        }
        let command = wrap(Path::new("/usr/bin/bwrap"), &Command::new("sh"), walls, true, places);
        let root = real(directory.path()).display().to_string();
        command.get_args().map(|word| word.to_string_lossy().replace(&root, "")).collect()
    }

    #[test]
    fn what_is_ours_is_hidden_and_a_closed_one_writes_beside_the_catalog_alone() {
        let hidden = wrapped(Walls::Hidden).join(" ");
        assert!(hidden.contains("--die-with-parent"), "{hidden}");
        let places = "--tmpfs /sockets --tmpfs /state --bind /sockets/12345678 /sockets/12345678 --chdir /catalog";
        assert!(hidden.ends_with(&format!("--dev-bind / / {places} -- /usr/bin/env")), "{hidden}");
        let closed = wrapped(Walls::Closed);
        let writable = closed.windows(2).filter(|pair| pair[0] == "--bind").map(|pair| pair[1].clone());
        assert_eq!(Vec::from_iter(writable), ["/catalog", "/sockets/12345678"]);
        assert!(!closed.contains(&"--dev-bind".to_owned()));
    }
}
