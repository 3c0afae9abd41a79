//! What else goes wrong on a day on which processes die: the disk is full for a while, there is little memory, the server of a destination ends its
//! sessions or is started again, or the way to it is cut.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_postgres::testing::Server;

use super::destination::{Destination, database};
use crate::cable::Cable;
use crate::dice::Dice;
use crate::memory_limit::MemoryLimit;
use crate::scene::{Scene, bin_dir, holds_within};
use crate::small_disk::SmallDisk;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Nothing else.
    None,
    /// Under the state directory and the destinations in files.
    DiskFull,
    /// For the runtime and its connectors together.
    LittleMemory,
    /// Of every session with the database, again and again.
    SessionsEnded,
    /// For a while nothing gets through between the connector and the server, and nobody is told.
    NetworkCut,
    /// It has one of its own that day.
    ServerRestarted,
}

const FOR_EVER: Duration = Duration::MAX;
const DISK_BYTES: u64 = 64 << 20;
/// Less than all that a day writes. What is there before its first document needs some 300 kB.
const FREE_BYTES: u64 = 1 << 20;
/// The disk counts as full.
const FULL_BYTES: u64 = 64 << 10;
/// It is full for so long.
const FULL_FOR: Duration = Duration::from_millis(1_500);
/// Enough for debug programs, and less than a leak would need.
const MEMORY_BYTES: u64 = 320 << 20;
/// Between two times that sessions are ended, and before a cut.
const CUT_EVERY: Duration = Duration::from_millis(700);
/// So long nothing gets through.
const CUT_FOR: Duration = Duration::from_secs(3);

impl Trouble {
    /// Half of the days have some.
    pub(super) fn some(destinations: &[Destination], dice: &mut Dice) -> Self {
        let has_server = destinations.contains(&Destination::Postgres);
        match dice.below(10) {
            0 | 1 if destinations != [Destination::Postgres] => Self::DiskFull,
            2 => Self::LittleMemory,
            3 | 4 if has_server => Self::SessionsEnded,
            5 | 6 if has_server => Self::NetworkCut,
            7 if has_server => Self::ServerRestarted,
            _ => Self::None,
        }
    }

    /// The server of that day, if it is none that others use.
    pub(super) fn server(self) -> Option<Server> {
        (self == Self::ServerRestarted).then(|| Server::start(""))
    }

    /// A word for it; none: there is none.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::DiskFull => Some("disk full"),
            Self::LittleMemory => Some("little memory"),
            Self::SessionsEnded => Some("sessions ended"),
            Self::NetworkCut => Some("network cut"),
            Self::ServerRestarted => Some("server restarted"),
        }
    }
}

/// Where a day's processes run and what they write to.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) scene: &'a Scene,
    trouble: Trouble,
    disk: Option<SmallDisk>,
    memory: Option<MemoryLimit>,
    /// The way to the server.
    cable: Option<Cable>,
    /// It was there.
    pub(super) happened: AtomicBool,
}

impl<'a> Place<'a> {
    pub(super) fn new(scene: &'a Scene, server: &Server, trouble: Trouble) -> Self {
        let disk = (trouble == Trouble::DiskFull).then(|| SmallDisk::new(scene, DISK_BYTES, DISK_BYTES - FREE_BYTES));
        let memory = (trouble == Trouble::LittleMemory).then(|| MemoryLimit::new(MEMORY_BYTES));
        let cable = (trouble == Trouble::NetworkCut).then(|| Cable::to(server.port()));
        Self { scene, trouble, happened: AtomicBool::new(memory.is_some()), disk, memory, cable }
    }

    /// Files of the day: relative to the scene, as the catalog names them.
    pub(super) fn directory(&self) -> &'static str {
        if self.disk.is_some() { "./disk" } else { "." }
    }

    /// The day's database, as the catalog names it.
    pub(super) fn url(&self, server: &Server, day: u64) -> String {
        let url = server.url(&database(day));
        let port = |port: u16| format!(":{port}/");
        self.cable.as_ref().map_or(url.clone(), |cable| url.replace(&port(server.port()), &port(cable.port)))
    }

    /// A file of the day as it is seen from here.
    pub(super) fn join(&self, relative: &str) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.scene.join(relative), |disk| disk.join(relative))
    }

    /// The same of a SQLite database, to be read.
    pub(super) fn database(&self, name: &str) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.scene.join(name), |disk| disk.copy_database(name))
    }

    /// `longshore` with these words, and its state.
    pub(super) fn longshore(&self, words: &[&str]) -> Command {
        match (&self.disk, &self.memory) {
            (Some(disk), _) => disk.longshore(&[words, &["--state-dir", "./disk/state"]].concat()),
            (None, Some(memory)) => memory.longshore(words),
            (None, None) => {
                let mut command = Command::new(bin_dir().join("longshore"));
                command.args(words);
                command
            }
        }
    }

    /// Makes the trouble, until the day `is_over`.
    pub(super) fn trouble(&self, server: &Server, own: Option<&mut Server>, day: u64, is_over: &AtomicBool) {
        let over = || is_over.load(Ordering::SeqCst);
        let happens = || self.happened.store(true, Ordering::SeqCst);
        if let Some(disk) = &self.disk {
            if holds_within(FOR_EVER, || over() || disk.free_bytes() < FULL_BYTES) && !over() {
                happens();
                holds_within(FULL_FOR, over);
                disk.make_room();
            }
            return;
        }
        match self.trouble {
            Trouble::SessionsEnded => {
                let database = database(day);
                let cut = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND application_name <> 'psql'"
                );
                while !holds_within(CUT_EVERY, over) {
                    if server.run("postgres", &cut) != "0" {
                        happens();
                    }
                }
            }
            Trouble::NetworkCut | Trouble::ServerRestarted if holds_within(CUT_EVERY, over) => {}
            Trouble::NetworkCut => {
                self.cut(true);
                happens();
                holds_within(CUT_FOR, over);
                self.cut(false);
            }
            Trouble::ServerRestarted => {
                if let Some(server) = own {
                    happens();
                    server.down();
                    server.up();
                }
            }
            Trouble::None | Trouble::DiskFull | Trouble::LittleMemory => {}
        }
    }

    fn cut(&self, is_cut: bool) {
        if let Some(cable) = &self.cable {
            cable.cut(is_cut);
        }
    }

    /// What ended it other than an order; none: nothing that is known of.
    pub(super) fn fault(&self) -> Option<String> {
        let kills = self.memory.as_ref().map_or(0, MemoryLimit::kills);
        (kills > 0)
            .then(|| format!("{kills} processes were killed as they needed more than {} MiB", MEMORY_BYTES >> 20))
    }
}
