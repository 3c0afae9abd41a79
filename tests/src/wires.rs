//! Hosts that tests let connectors reach, or not: listeners on this machine and in containers, in networks that the test made.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::docker::{docker, docker_did};
use crate::hostile::HostileImage;
use crate::scene::holds_within;

/// Where clouds serve credentials. In tests a container has it, in a network that leads nowhere.
pub const METADATA: &str = "169.254.169.254";
const SOON: Duration = Duration::from_secs(60);

/// A network of the test, gone when dropped.
#[derive(Debug)]
pub struct DockerNetwork {
    /// Its name, of this process alone.
    pub name: String,
    /// The address of this host in it.
    pub gateway: String,
}

impl DockerNetwork {
    /// Makes one; `options` as for `docker network create`.
    #[must_use]
    pub fn make(name: &str, options: &[&str]) -> Self {
        let name = format!("longshore-test-{name}-{}", std::process::id());
        // One that leads nowhere gives this host no address in it either.
        let inhibit =
            options.contains(&"--internal").then_some(["--opt", "com.docker.network.bridge.inhibit_ipv4=true"]);
        let words = ["network", "create"].into_iter().chain(options.iter().copied());
        docker(words.chain(inhibit.into_iter().flatten()).chain([name.as_str()]));
        let gateway = docker(["network", "inspect", "--format", "{{range .IPAM.Config}}{{.Gateway}}{{end}}", &name]);
        Self { name, gateway }
    }
}

impl Drop for DockerNetwork {
    fn drop(&mut self) {
        docker_did(["network", "rm", &self.name]);
    }
}

/// A container that listens, known in its network by a name.
#[derive(Debug)]
pub struct Machine(String);

impl Machine {
    /// Starts it and waits until it listens; `options` as for `docker run`.
    #[must_use]
    pub fn start(image: &HostileImage, network: &DockerNetwork, options: &[&str]) -> Self {
        let words = ["run", "--detach", "--network", &network.name].into_iter().chain(options.iter().copied());
        let id = docker(words.chain([image.tag.as_str()]));
        assert!(holds_within(SOON, || docker(["logs", &id]).contains("listening")), "it listens");
        Self(id)
    }

    /// How many connections came.
    #[must_use]
    pub fn reached(&self) -> usize {
        docker(["logs", &self.0]).lines().filter(|line| *line == "reached").count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        docker_did(["rm", "--force", &self.0]);
    }
}

/// A listener of this test that greets whoever comes.
#[derive(Debug)]
pub struct Listener {
    /// Where.
    pub port: u16,
    came: Arc<AtomicUsize>,
}

impl Listener {
    /// Listens on a free port of this address.
    #[must_use]
    pub fn on(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let came = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&came);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let mut said = String::new();
                drop(stream.read_to_string(&mut said));
                drop(stream.write_all(format!("welcome, {said}").as_bytes()));
            }
        });
        Self { port, came }
    }

    /// How many connections came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}
