//! Writes tar archives that depend on nothing but what is put into them: entries in the order of their paths, no times, no owners.
//!
//! Only what an image needs: directories, files, symbolic links, in the format that every reader knows (POSIX ustar). Reads nothing.

use std::collections::BTreeMap;

use crate::Problem;

const BLOCK_BYTES: usize = 512;
/// What the two name fields of a header can hold.
const NAME_MAX_BYTES: usize = 100;
const PREFIX_MAX_BYTES: usize = 155;
/// The length field has eleven octal digits.
const FILE_MAX_BYTES: u64 = 0o77_777_777_777;

/// Entries of an archive, by path: relative, no trailing slash.
#[derive(Debug, Default)]
pub(crate) struct Tar(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    mode: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Directory,
    File(Vec<u8>),
    Link(String),
}

impl Tar {
    /// Adds a file, and the directories above it where they are not there yet.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.put(path, Entry { mode, content: Content::File(bytes.into()) })
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, to: &str) -> &mut Self {
        self.put(path, Entry { mode: 0o777, content: Content::Link(to.to_owned()) })
    }

    /// Adds a directory with rights of its own.
    pub(crate) fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.put(path, Entry { mode, content: Content::Directory })
    }

    fn put(&mut self, path: &str, entry: Entry) -> &mut Self {
        for (at, _) in path.match_indices('/') {
            let above = Entry { mode: 0o755, content: Content::Directory };
            self.0.entry(path[..at].to_owned()).or_insert(above);
        }
        self.0.insert(path.to_owned(), entry);
        self
    }

    /// The archive.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Problem> {
        let mut archive = Vec::new();
        for (path, entry) in &self.0 {
            let (kind, name, bytes, link): (u8, _, &[u8], _) = match &entry.content {
                Content::Directory => (b'5', format!("{path}/"), &[], ""),
                Content::File(bytes) => (b'0', path.clone(), bytes, ""),
                Content::Link(to) => (b'2', path.clone(), &[], to.as_str()),
            };
            archive.extend(header(&name, kind, entry.mode, bytes.len() as u64, link)?);
            archive.extend(bytes);
            archive.resize(archive.len().next_multiple_of(BLOCK_BYTES), 0);
        }
        archive.resize(archive.len() + 2 * BLOCK_BYTES, 0);
        Ok(archive)
    }
}

fn header(name: &str, kind: u8, mode: u32, length: u64, link: &str) -> Result<[u8; BLOCK_BYTES], Problem> {
    let does_not_fit = || Problem(format!("{name} does not fit into the header of a tar archive"));
    let (prefix, name) = split(name).ok_or_else(does_not_fit)?;
    if length > FILE_MAX_BYTES || link.len() > NAME_MAX_BYTES {
        return Err(does_not_fit());
    }
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    // Owner and group: nobody in particular.
    put(108, b"0000000\x000000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    // The time: none.
    put(136, b"00000000000\0");
    // The checksum is made with spaces in its own place.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// A path as the prefix and the name of a header.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME_MAX_BYTES {
        return Some(("", path));
    }
    let fits = |at: &usize| *at <= PREFIX_MAX_BYTES && path.len() - at - 1 <= NAME_MAX_BYTES;
    let at = path.trim_end_matches('/').match_indices('/').map(|(at, _)| at).find(fits)?;
    Some((&path[..at], &path[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_does_not_show() {
        let one = Tar::default().file("b", 0o644, "2").file("a/c", 0o755, "1").bytes().unwrap();
        let other = Tar::default().file("a/c", 0o755, "1").file("b", 0o644, "2").bytes().unwrap();
        assert_eq!(one, other);
        assert_eq!(one.len() % BLOCK_BYTES, 0);
    }

    #[test]
    fn what_tar_reads_is_what_was_put_in() {
        let directory = std::env::temp_dir().join(format!("longshore-tar-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (above, below) = ("d".repeat(60), "e".repeat(60));
        let long = format!("{above}/{below}/{}", "f".repeat(90));
        let mut tar = Tar::default();
        tar.file("etc/passwd", 0o644, "x").link("etc/link", "passwd").directory("tmp", 0o1777).file(&long, 0o600, "");
        std::fs::write(directory.join("a.tar"), tar.bytes().unwrap()).unwrap();
        let listed = std::process::Command::new("tar")
            .current_dir(&directory)
            .args(["--numeric-owner", "-tvf", "a.tar"])
            .env("TZ", "UTC")
            .output()
            .unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let words: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        let shown: Vec<(&str, &str)> = words.iter().map(|words| (words[0], words[5])).collect();
        let expected = [
            ("drwxr-xr-x", &*format!("{above}/")),
            ("drwxr-xr-x", &*format!("{above}/{below}/")),
            ("-rw-------", &long),
            ("drwxr-xr-x", "etc/"),
            ("lrwxrwxrwx", "etc/link"),
            ("-rw-r--r--", "etc/passwd"),
            ("drwxrwxrwt", "tmp/"),
        ];
        assert_eq!(shown, expected, "{listed}");
        assert!(words.iter().all(|words| words[1] == "0/0" && words[3] == "1970-01-01"), "{listed}");
    }

    #[test]
    fn a_name_that_does_not_fit_is_told() {
        assert!(Tar::default().file(&"x".repeat(300), 0o644, "").bytes().is_err());
    }
}
