//! A weakness that is put in on purpose: a wire between the runtime and the Docker Engine that changes what containers are made of.
//!
//! The runtime has no such door, so nobody can leave it open. What is replaced has the length of what replaces it: no HTTP is read here.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What can be weakened: its name, what the runtime says, and what the Engine hears.
const PLANTS: [(&str, &str, &str); 3] = [
    ("writable-root", "\"ReadonlyRootfs\":true", "\"ReadonlyRootfs\":null"),
    ("all-capabilities", "\"CapDrop\":[\"ALL\"]", "\"CapAdd\": [\"ALL\"]"),
    ("no-process-limit", "\"PidsLimit\":128", "\"PidsLimit\":  0"),
];

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Plant {
    said: &'static str,
    heard: &'static str,
}

impl Plant {
    /// By its name, or the names there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = PLANTS.iter().find(|(known, ..)| *known == name);
        let names: Vec<&str> = PLANTS.iter().map(|(name, ..)| *name).collect();
        let (_, said, heard) =
            found.ok_or_else(|| format!("no such weakness: {name}; there are {}", names.join(", ")))?;
        Ok(Self { said, heard })
    }

    /// Listens at a path; what comes there goes on to the Engine, weakened. For as long as this process lives.
    pub fn lay(self, at: &Path) {
        assert_eq!(self.said.len(), self.heard.len(), "nothing else may move");
        let listener = UnixListener::bind(at).expect("a socket");
        std::thread::spawn(move || {
            for runtime in listener.incoming().flatten() {
                let engine = UnixStream::connect(engine()).expect("the Docker Engine");
                let (from, to) = (runtime.try_clone().expect("a socket"), engine.try_clone().expect("a socket"));
                std::thread::spawn(move || self.carry(from, to));
                std::thread::spawn(move || carry(engine, runtime, |_| {}));
            }
        });
    }

    fn carry(self, from: UnixStream, to: UnixStream) {
        let (said, heard) = (self.said.as_bytes(), self.heard.as_bytes());
        carry(from, to, |bytes| {
            let places: Vec<usize> =
                bytes.windows(said.len()).enumerate().filter(|(_, window)| *window == said).map(|(at, _)| at).collect();
            for at in places {
                bytes[at..at + heard.len()].copy_from_slice(heard);
            }
        });
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, change: impl Fn(&mut [u8])) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // It may be closed already.
    to.shutdown(Shutdown::Write).ok();
}

fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    host.trim_start_matches("unix://").into()
}
