//! A Docker Engine for the time of a test run, where none answers: root's own, with its own data, its own socket and no network.
//!
//! It makes no bridge and no firewall rule, so there are none to take back. It ends with us, whatever ends us, and its directory goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::image::engine::{self, Engine};
use crate::{Problem, target_dir};

/// An Engine that does not answer after this long is not coming.
const ANSWERS: Duration = Duration::from_secs(60);
/// How long it may take to end in order.
const ENDS: Duration = Duration::from_secs(20);

/// An Engine of ours, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct PrivateEngine {
    dockerd: Child,
    directory: PathBuf,
}

impl PrivateEngine {
    /// Nothing where an Engine answers already; else one of our own, which everything started from here on is told of.
    pub(crate) fn where_none_answers() -> Result<Option<Self>, Problem> {
        let Err(none) = Engine::connect() else { return Ok(None) };
        if !rustix::process::geteuid().is_root() {
            return Err(Problem(format!("{none} (as root, a private one would be started)")));
        }
        println!("== no Docker Engine answers: starting a private one");
        // Short, for the path of its socket.
        let directory = std::env::temp_dir().join(format!("longshore-engine-{}", std::process::id()));
        let engine = Self::start(&directory)?;
        let begun = Instant::now();
        engine::use_private(format!("unix://{}", engine.socket().display()));
        loop {
            match Engine::connect() {
                Ok(_) => return Ok(Some(engine)),
                Err(problem) if begun.elapsed() > ANSWERS => {
                    return Err(Problem(format!(
                        "the private Engine does not answer: {problem}; see {}",
                        log().display()
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn start(directory: &Path) -> Result<Self, Problem> {
        fs::create_dir_all(directory)
            .map_err(|error| Problem(format!("cannot make {}: {error}", directory.display())))?;
        // This machine's own settings are for its own Engine.
        let config = directory.join("config.json");
        fs::write(&config, "{}").map_err(|error| Problem(format!("cannot write {}: {error}", config.display())))?;
        let log = File::create(log()).map_err(|error| Problem(format!("cannot write {}: {error}", log().display())))?;
        let within = |name: &str| directory.join(name).display().to_string();
        let dockerd = Command::new("setpriv")
            // SIGTERM for it when we are gone, so that it ends its containers.
            .args(["--pdeathsig", "TERM", "dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false"])
            // Where a containerd runs already, ours are apart from what others have in it.
            .args(["--containerd-namespace", "longshore", "--containerd-plugins-namespace", "longshore-plugins"])
            .args(["--config-file", &within("config.json")])
            .args(["--host", &format!("unix://{}", within("s"))])
            .args(["--data-root", &within("data"), "--exec-root", &within("exec"), "--pidfile", &within("pid")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| Problem(format!("cannot start dockerd: {error}: apt-get install -y docker.io")))?;
        Ok(Self { dockerd, directory: directory.to_owned() })
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        // What cannot be ended or removed is told by what is left; the tests have their result by now.
        Command::new("kill").arg(self.dockerd.id().to_string()).status().ok();
        let begun = Instant::now();
        while begun.elapsed() < ENDS && matches!(self.dockerd.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.dockerd.kill().ok();
        self.dockerd.wait().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

fn log() -> PathBuf {
    target_dir().join("private-engine.log")
}
