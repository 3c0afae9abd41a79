//! What else goes wrong on a day on which processes die: the disk is full for a while, there is little memory, or the server of a destination ends
//! its sessions.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_postgres::testing::Server;

use super::destination::{Destination, database};
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
    CutOff,
}

const DISK_BYTES: u64 = 64 << 20;
/// Less than all that a day writes. What is there before its first document needs some 300 kB.
const FREE_BYTES: u64 = 1 << 20;
/// The disk counts as full.
const FULL_BYTES: u64 = 64 << 10;
/// It is full for so long.
const FULL_FOR: Duration = Duration::from_millis(1_500);
/// Enough for debug programs, and less than a leak would need.
const MEMORY_BYTES: u64 = 320 << 20;
/// Between two cuts.
const CUT_EVERY: Duration = Duration::from_millis(700);

impl Trouble {
    /// Half of the days have some.
    pub(super) fn some(destinations: &[Destination], dice: &mut Dice) -> Self {
        match dice.below(6) {
            0 if destinations != [Destination::Postgres] => Self::DiskFull,
            1 => Self::LittleMemory,
            2 if destinations.contains(&Destination::Postgres) => Self::CutOff,
            _ => Self::None,
        }
    }

    /// A word for it; none: there is none.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::DiskFull => Some("disk full"),
            Self::LittleMemory => Some("little memory"),
            Self::CutOff => Some("sessions ended"),
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
    /// The disk was full, or sessions were ended.
    pub(super) happened: AtomicBool,
}

impl<'a> Place<'a> {
    pub(super) fn new(scene: &'a Scene, trouble: Trouble) -> Self {
        let disk = (trouble == Trouble::DiskFull).then(|| SmallDisk::new(scene, DISK_BYTES, DISK_BYTES - FREE_BYTES));
        let memory = (trouble == Trouble::LittleMemory).then(|| MemoryLimit::new(MEMORY_BYTES));
        Self { scene, trouble, happened: AtomicBool::new(memory.is_some()), disk, memory }
    }

    /// Files of the day: relative to the scene, as the catalog names them.
    pub(super) fn directory(&self) -> &'static str {
        if self.disk.is_some() { "./disk" } else { "." }
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
    pub(super) fn trouble(&self, server: &Server, day: u64, is_over: &AtomicBool) {
        let over = || is_over.load(Ordering::SeqCst);
        let for_ever = Duration::MAX;
        match (self.trouble, &self.disk) {
            (Trouble::DiskFull, Some(disk)) => {
                holds_within(for_ever, || over() || disk.free_bytes() < FULL_BYTES);
                if over() {
                    return;
                }
                self.happened.store(true, Ordering::SeqCst);
                holds_within(FULL_FOR, over);
                disk.make_room();
            }
            (Trouble::CutOff, _) => {
                let database = database(day);
                let cut = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND application_name <> 'psql'"
                );
                while !holds_within(CUT_EVERY, over) {
                    if server.run("postgres", &cut) != "0" {
                        self.happened.store(true, Ordering::SeqCst);
                    }
                }
            }
            (Trouble::None | Trouble::DiskFull | Trouble::LittleMemory, _) => {}
        }
    }

    /// What ended it other than an order; none: nothing that is known of.
    pub(super) fn fault(&self) -> Option<String> {
        let kills = self.memory.as_ref().map_or(0, MemoryLimit::kills);
        (kills > 0)
            .then(|| format!("{kills} processes were killed as they needed more than {} MiB", MEMORY_BYTES >> 20))
    }
}
