//! A disk that is soon full: a small tmpfs in a mount namespace of its own, so that an ordinary user may have one too.
//!
//! A process that only waits holds the namespace; what is started by [`SmallDisk::longshore`] joins it, and from outside the disk is seen by way
//! of that process. With this value the disk goes away.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::scene::{Scene, bin_dir};

/// What takes the room that is given back later.
const BALLAST: &str = "ballast";

/// Who is root in there only would look for its sockets where those of root are.
const SOCKETS: &str = "run";

/// See the module.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    directory: PathBuf,
    mounted: PathBuf,
}

impl SmallDisk {
    /// A disk of so many bytes at `disk` in the scene, of which so many are taken until [`SmallDisk::make_room`].
    ///
    /// # Panics
    /// When it cannot be had.
    #[must_use]
    pub fn new(scene: &Scene, bytes: u64, taken_bytes: u64) -> Self {
        let mounted = scene.join("disk");
        std::fs::create_dir(&mounted).expect("make a directory");
        let sockets = scene.join(SOCKETS);
        std::fs::create_dir(&sockets).expect("make a directory");
        std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o700)).expect("make it private");
        // It ends when its standard input does: with this value, or with the test.
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && echo mounted && exec cat >/dev/null";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &bytes.to_string()]);
        let mut holder = command
            .arg(&mounted)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut said = String::new();
        let mut output = holder.stdout.take().expect("a pipe");
        let mut one = [0; 1];
        while !said.ends_with('\n') && output.read(&mut one).is_ok_and(|bytes| bytes == 1) {
            said.push(char::from(one[0]));
        }
        assert_eq!(said, "mounted\n", "{command:?} has no disk: are user namespaces allowed?");
        let disk = Self { holder, directory: scene.path().to_path_buf(), mounted };
        std::fs::write(disk.join(BALLAST), vec![0; usize::try_from(taken_bytes).expect("it fits")])
            .expect("write onto the disk");
        disk
    }

    /// A path on the disk, as it is seen from outside.
    #[must_use]
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        let within = self.mounted.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(within).join(relative)
    }

    /// A copy of a SQLite database, in the scene: SQLite would follow the name of the disk to where it is not mounted.
    ///
    /// # Panics
    /// When there is none.
    pub fn copy_database(&self, name: &str) -> PathBuf {
        for name in [name.to_owned(), format!("{name}-wal")].into_iter().filter(|name| self.join(name).exists()) {
            std::fs::copy(self.join(&name), self.directory.join(&name)).expect("copy the database");
        }
        self.directory.join(name)
    }

    /// What was taken is free.
    pub fn make_room(&self) {
        std::fs::remove_file(self.join(BALLAST)).expect("remove the ballast");
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.join(".")).expect("ask for free space");
        stat.f_bavail * stat.f_frsize
    }

    /// `longshore` with these words, in the scene and where the disk is seen; the process that is started becomes it.
    #[must_use]
    pub fn longshore(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--user", "--mount", "--target", &self.holder.id().to_string()]);
        command.args(["sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh"]).arg(&self.directory);
        command.arg(bin_dir().join("longshore")).args(words).env("XDG_RUNTIME_DIR", self.directory.join(SOCKETS));
        command
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}
