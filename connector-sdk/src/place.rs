//! Whether a path that the user wrote can be written to, found out by looking and changing nothing: for Validate, so that a run does not
//! find it out later. And one name for one place, however it is spelled, for what only one task may write.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};

/// What file systems take, less what is put behind a name for a file beside it (`.lock`, `-journal`).
const NAME_MAX_BYTES: usize = 255 - 15;

/// What stands in the way of a file that is there or will be made, in a directory that is there; `None`: nothing that can be seen.
pub fn fault_of_file(path: impl AsRef<Path>) -> Option<String> {
    let path = path.as_ref();
    if let Some(fault) = fault_of_text(path) {
        return Some(fault);
    }
    if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
        return Some(format!("{}, a directory", path.display()));
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Some(format!("{}, a directory", path.display())),
        Ok(there) if !there.is_file() => return Some(format!("{}, which is no plain file", path.display())),
        Ok(_) if access(path, Access::WRITE_OK).is_err() => {
            return Some(format!("{}, which may not be written", path.display()));
        }
        Err(error) if error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::NotADirectory => {
            return Some(format!("{}: {error}", path.display()));
        }
        Ok(_) | Err(_) => {}
    }
    fault_of_existing(above(path))
}

/// The same of a directory that is there or will be made, with those above it.
pub fn fault_of_directory(path: impl AsRef<Path>) -> Option<String> {
    let path = path.as_ref();
    if let Some(fault) = fault_of_text(path) {
        return Some(fault);
    }
    let mut at = path;
    loop {
        match fs::metadata(at) {
            Ok(_) => return fault_of_existing(at),
            Err(error) if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => return Some(format!("{}: {error}", at.display())),
        }
        let next = above(at);
        if next == at {
            return Some(format!("no directory {}", at.display()));
        }
        at = next;
    }
}

/// One name for one place: two spellings of a path give the same, also of what is not there yet.
#[must_use]
pub fn one_name(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let path = if path.is_absolute() { path.to_path_buf() } else { Path::new(".").join(path) };
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(there), path.strip_prefix(there)) {
            return real.join(rest).components().collect::<PathBuf>().to_string_lossy().into_owned();
        }
    }
    path.to_string_lossy().into_owned()
}

fn fault_of_text(path: &Path) -> Option<String> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Some("an empty path".to_owned());
    }
    if bytes.contains(&0) {
        return Some(format!("{:?}, which holds a NUL character", path.display().to_string()));
    }
    let long = path.components().any(|part| part.as_os_str().as_bytes().len() > NAME_MAX_BYTES);
    long.then(|| format!("a name of more than {NAME_MAX_BYTES} bytes"))
}

fn fault_of_existing(directory: &Path) -> Option<String> {
    match fs::metadata(directory) {
        Ok(there) if !there.is_dir() => Some(format!("the file {}", directory.display())),
        Ok(_) if access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() => {
            Some(format!("the directory {}, which may not be written", directory.display()))
        }
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!("no directory {}", directory.display())),
        Err(error) => Some(format!("{}: {error}", directory.display())),
    }
}

fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above != Path::new("") => above,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_seen_before_it_is_tried() {
        let scene = tempfile::tempdir().expect("a directory");
        let at = |path: &str| scene.path().join(path);
        fs::write(at("file"), "").expect("a file");
        fs::create_dir(at("directory")).expect("a directory");
        for good in ["file", "new", "directory/new"] {
            assert_eq!(fault_of_file(at(good)), None, "{good}");
        }
        let long = "n".repeat(300);
        for bad in ["directory", "directory/..", "none/new", "file/new", "a\0b", long.as_str()] {
            assert!(fault_of_file(at(bad)).is_some(), "{bad}");
        }
        assert!(fault_of_file("").is_some() && fault_of_file("/dev/null").is_some());
        for good in ["directory", "new", "new/er"] {
            assert_eq!(fault_of_directory(at(good)), None, "{good}");
        }
        for bad in ["file", "file/new", "a\0b", long.as_str()] {
            assert!(fault_of_directory(at(bad)).is_some(), "{bad}");
        }
        assert_eq!(fault_of_directory("not-here"), None, "beside the catalog");
    }

    #[test]
    fn one_place_has_one_name() {
        let scene = tempfile::tempdir().expect("a directory");
        let at = |path: &str| one_name(scene.path().join(path));
        assert_eq!(at("a/b"), at("./a//b"));
        fs::create_dir(scene.path().join("a")).expect("a directory");
        assert_eq!(at("out.db"), at("a/../out.db"));
        assert_ne!(at("a/b"), at("b"));
    }
}
