//! Whom a container runs as, and whether that user can use what is mounted.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use longshore_proto::Error;

/// Where nobody says otherwise.
const NOBODY: User = User { uid: 65532, gid: 65532 };

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    pub(super) fn of_this_process() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// Who runs the runtime; where that is root, the owner of the first writable mount that is not root's; else nobody. Never root.
    pub(super) fn choose(runtime: Self, owners_of_writable: impl IntoIterator<Item = Self>) -> Self {
        if runtime.uid != 0 {
            return runtime;
        }
        match owners_of_writable.into_iter().find(|owner| owner.uid != 0) {
            Some(owner) if owner.gid == 0 => Self { gid: NOBODY.gid, ..owner },
            Some(owner) => owner,
            None => NOBODY,
        }
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// What the rights of a file depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) owner: User,
    mode: u32,
    is_directory: bool,
}

impl File {
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let meta = path.metadata()?;
        let owner = User { uid: meta.uid(), gid: meta.gid() };
        Ok(Self { owner, mode: meta.mode(), is_directory: meta.is_dir() })
    }

    /// Whether a user without any other group may read it, or read and write it; directories are searched too.
    fn allows(self, user: User, write: bool) -> bool {
        let shift = match () {
            () if self.owner.uid == user.uid => 6,
            () if self.owner.gid == user.gid => 3,
            () => 0,
        };
        let wanted = 0o4 | if write { 0o2 } else { 0 } | if self.is_directory { 0o1 } else { 0 };
        (self.mode >> shift) & wanted == wanted
    }
}

/// Refuses a mount that the container's user cannot use, with the command that mends it. `written` is how the catalog names it.
pub(super) fn check(user: User, file: File, written: &Path, read_only: bool) -> Result<(), Error> {
    if file.allows(user, !read_only) {
        return Ok(());
    }
    let (path, mode) = (written.display(), file.mode & 0o7777);
    let (what, code, mend) = if read_only {
        ("read", "mount.unreadable", format!("chmod -R a+rX {path}"))
    } else {
        ("write", "mount.unwritable", format!("chown -R {user} {path}"))
    };
    let message = format!(
        "mount {path}: the connector will run as {user}, which cannot {what} it (it is {}'s, mode {mode:o})",
        file.owner
    );
    Err(Error::config(code, message).suggest(mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: User = User { uid: 0, gid: 0 };
    const ANNA: User = User { uid: 1000, gid: 100 };

    #[test]
    fn a_connector_never_runs_as_root() {
        assert_eq!(User::choose(ANNA, [ROOT]), ANNA, "who runs the runtime");
        assert_eq!(User::choose(ROOT, [ROOT, ANNA]), ANNA, "the owner of what is written to");
        assert_eq!(User::choose(ROOT, [ROOT]), NOBODY);
        assert_eq!(User::choose(ROOT, []), NOBODY);
        assert_eq!(User::choose(ROOT, [User { uid: 7, gid: 0 }]), User { uid: 7, gid: NOBODY.gid });
    }

    #[test]
    fn a_mount_that_cannot_be_used_is_refused_with_what_mends_it() {
        let directory = |owner, mode| File { owner, mode, is_directory: true };
        let written = Path::new("./out");
        check(ANNA, directory(ANNA, 0o40700), written, false).unwrap();
        check(ANNA, directory(ROOT, 0o40755), written, true).unwrap();
        check(ANNA, File { is_directory: false, ..directory(ROOT, 0o100_644) }, written, true).unwrap();
        check(ANNA, directory(User { uid: 5, gid: 100 }, 0o40770), written, false).unwrap();
        let error = check(NOBODY, directory(ROOT, 0o40755), written, false).unwrap_err();
        assert_eq!(error.suggestion, "chown -R 65532:65532 ./out");
        let error = check(NOBODY, directory(ROOT, 0o40750), written, true).unwrap_err();
        assert_eq!(error.suggestion, "chmod -R a+rX ./out");
        check(ANNA, directory(ANNA, 0o40070), written, true).unwrap_err();
    }
}
