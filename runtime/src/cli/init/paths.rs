//! Paths and names as a catalog has them: relative to where it lies, and of the letters that a name may have.

use std::path::{Component, Path, PathBuf};

/// `path`, which is relative to `here`, as it is written in a catalog that lies in `directory`, which is relative to it too.
pub(super) fn from_catalog(path: &Path, directory: &Path, here: &Path) -> String {
    let to = normal(&here.join(path));
    let from = normal(&here.join(directory));
    let shared = to.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    if path.is_absolute() && shared <= 1 {
        return to.display().to_string();
    }
    let up = from.components().count() - shared;
    let mut written = if up == 0 { PathBuf::from(".") } else { PathBuf::new() };
    written.extend(std::iter::repeat_n("..", up));
    written.extend(to.components().skip(shared));
    written.display().to_string()
}

/// Without `.` and `..`, by the letters alone.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(part),
        }
    }
    normal
}

/// The deepest folder that all files are below.
pub(super) fn above_all(files: &[PathBuf]) -> PathBuf {
    let mut above = files.first().and_then(|file| file.parent()).map(Path::to_path_buf).unwrap_or_default();
    while !files.iter().all(|file| file.starts_with(&above)) {
        above.pop();
    }
    above
}

/// A file's name as a pattern that means it alone.
pub(super) fn escaped(name: &str) -> String {
    let special = |c: char| "*?[]{}".contains(c);
    name.chars().map(|c| if special(c) { format!("[{c}]") } else { c.to_string() }).collect()
}

/// Whether it is a pattern for several files.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// A name of the catalog made of any text, part by part.
pub(super) fn name_of(text: &str) -> Option<String> {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_' | '-' | '/' | '.') => c,
        _ => '-',
    };
    let fitted: String = text.chars().map(fit).collect();
    let parts = fitted.split('/').map(|part| part.trim_matches(['-', '.', '_'])).filter(|part| !part.is_empty());
    let mut name = parts.collect::<Vec<_>>().join("/");
    name.truncate(100);
    (!name.is_empty()).then_some(name)
}

/// A file's name without what tells how it is written.
pub(super) fn stem(name: &str) -> &str {
    let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
    let dot = base.find('.').filter(|&at| at > 0).unwrap_or(base.len());
    &name[..name.len() - base.len() + dot]
}

/// The name, or with a number behind it, so that it is not among those.
pub(super) fn unique(name: String, taken: &mut Vec<String>) -> String {
    let is_taken = |name: &str, taken: &[String]| taken.iter().any(|other| other.eq_ignore_ascii_case(name));
    let mut chosen = name.clone();
    let mut number = 2;
    while is_taken(&chosen, taken) {
        chosen = format!("{name}_{number}");
        number += 1;
    }
    taken.push(chosen.clone());
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_the_catalog_sees_it() {
        let written =
            |path: &str, directory: &str| from_catalog(Path::new(path), Path::new(directory), Path::new("/w"));
        assert_eq!(written("./data", ""), "./data");
        assert_eq!(written("data/", "."), "./data");
        assert_eq!(written(".", ""), ".");
        assert_eq!(written("data", "conf"), "../data");
        assert_eq!(written("../a", ""), "../a");
        assert_eq!(written("/srv/data", ""), "/srv/data");
        assert_eq!(written("/w/data", ""), "./data");
    }

    #[test]
    fn names_have_the_letters_that_they_may() {
        let name = |text| name_of(text).unwrap_or_default();
        assert_eq!(
            ["My Data", "2013/Flights", "../x", "ü", "a.b"].map(name),
            ["my-data", "2013/flights", "x", "", "a.b"]
        );
        assert_eq!(["a.csv.gz", "2013/b.x.csv", ".c"].map(stem), ["a", "2013/b", ".c"]);
        let mut taken = Vec::new();
        assert_eq!(["a", "A", "a"].map(|one| unique(one.to_owned(), &mut taken)), ["a", "A_2", "a_3"]);
        assert_eq!(escaped("a[1]*.csv"), "a[[]1[]][*].csv");
        let files = ["a/b/c.csv", "a/d.csv"].map(PathBuf::from);
        assert_eq!(above_all(&files), Path::new("a"));
        assert_eq!(above_all(&["c.csv", "d/e.csv"].map(PathBuf::from)), Path::new(""));
    }
}
