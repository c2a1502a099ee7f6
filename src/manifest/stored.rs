//! Is a file of a release what its listing says? Found out by reading it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use crate::manifest::{
    FileInfo,
    hash::Content,
    report::Findings,
    siblings::{self, Wanted},
};

const BUFFER: usize = 128 * 1024;

/// A file that is not as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) why: String,
    /// The disk has failed. It says nothing of the bytes.
    pub(crate) is_unreadable: bool,
}

/// Reads a listed file and its pre-compressed siblings below `root`. If all of them are as
/// listed, returns their entries with the modification times that they have now, in the same
/// order; else returns which one is wrong, and why. No link is followed.
pub(crate) fn read_listed(
    root: &Path,
    listed: &[(&str, &FileInfo)],
) -> Result<Vec<FileInfo>, Wrong> {
    let mut read = BTreeMap::new();
    for (path, info) in listed {
        let is_listed = |other: &str| listed.iter().any(|(path, _)| *path == other);
        let wanted = Wanted::of(path, is_listed);
        let found = read_one(root, path, info, wanted);
        read.insert(Box::from(*path), found.map_err(|why| why.of(path))?);
    }
    // Only by its content: the times are those of the publisher's copy.
    let times = read.values_mut().map(|info| info.modified.take()).collect::<Vec<_>>();
    let findings = Findings::default();
    let report = findings.report(false);
    siblings::compare(&mut read, |_| None, |finding| report.add(finding));
    read.values_mut().zip(times).for_each(|(info, modified)| info.modified = modified);
    Ok(listed.iter().filter_map(|(path, _)| read.remove(*path)).collect())
}

/// Why a file is not as listed.
#[derive(Debug)]
enum Why {
    Other(String),
    Unreadable(io::Error),
}

impl Why {
    fn of(self, path: &str) -> Wrong {
        let path = path.to_owned();
        match self {
            Self::Other(why) => Wrong { path, why, is_unreadable: false },
            Self::Unreadable(error) => Wrong { path, why: error.to_string(), is_unreadable: true },
        }
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // There are no bytes.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::Other(error.to_string())
            }
            _ => Self::Unreadable(error),
        }
    }
}

impl From<&str> for Why {
    fn from(why: &str) -> Self {
        Self::Other(why.into())
    }
}

fn read_one(root: &Path, path: &str, listed: &FileInfo, wanted: Wanted) -> Result<FileInfo, Why> {
    let file = without_links(root, path)?;
    let read = hash(&file, path, wanted, listed.length())?;
    match read {
        Some(read) if read == *listed => Ok(read),
        Some(_) => Err("it has other bytes".into()),
        None => Err("it has another length, or is being written to".into()),
    }
}

/// Returns the path on the disk, if nothing on the way is a link.
fn without_links(root: &Path, path: &str) -> Result<PathBuf, Why> {
    let mut found = root.to_owned();
    let mut segments = Path::new(path).components().peekable();
    while let Some(segment) = segments.next() {
        let Component::Normal(segment) = segment else { return Err("it is no plain path".into()) };
        found.push(segment);
        let kind = fs::symlink_metadata(&found)?.file_type();
        let is_right = if segments.peek().is_some() { kind.is_dir() } else { kind.is_file() };
        if !is_right {
            let why = format!("{} is not a regular file or directory", found.display());
            return Err(Why::Other(why));
        }
    }
    Ok(found)
}

/// Hashes a file of a length that is known. `None` if it has another one, or has changed
/// meanwhile.
fn hash(path: &Path, logical: &str, wanted: Wanted, length: u64) -> io::Result<Option<FileInfo>> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    if before.len() != length {
        return Ok(None);
    }
    let mut content = Content::new(logical, wanted);
    let (mut buffer, mut left) = (vec![0; BUFFER], length);
    while left > 0 {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                let Some(rest) = left.checked_sub(read as u64) else { return Ok(None) };
                left = rest;
                content.update(&buffer[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let after = file.metadata()?;
    let modified = before.modified().ok();
    let is_same = after.len() == length && after.modified().ok() == modified;
    Ok(is_same.then(|| FileInfo { modified, ..content.finish() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, manifest::siblings::Relation};

    fn read(root: &Path, manifest: &Manifest) -> Result<Vec<FileInfo>, Wrong> {
        read_listed(root, &manifest.iter().collect::<Vec<_>>())
    }

    #[test]
    fn right_files_get_their_times() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("css")).unwrap();
        fs::write(root.path().join("css/a.css"), "p {}").unwrap();
        let manifest = Manifest::from_files([("css/a.css", "p {}")]).unwrap();
        let found = read(root.path(), &manifest).unwrap();
        let modified = fs::metadata(root.path().join("css/a.css")).unwrap().modified().unwrap();
        assert_eq!(found, [manifest.get("css/a.css").unwrap().clone()]);
        assert_eq!(found[0].modified(), Some(modified));
    }

    #[test]
    fn a_sibling_of_another_content_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let files = [("a", "hello"), ("a.gz", "no gzip"), ("a.br", "older, but that says nothing")];
        for (path, content) in files {
            fs::write(root.path().join(path), content).unwrap();
        }
        let past = std::time::SystemTime::UNIX_EPOCH;
        File::options()
            .write(true)
            .open(root.path().join("a.br"))
            .unwrap()
            .set_modified(past)
            .unwrap();
        let manifest = Manifest::from_files(files).unwrap();
        let found = read(root.path(), &manifest).unwrap();
        let stale = found.iter().map(|info| info.relation() == Relation::Stale).collect::<Vec<_>>();
        assert_eq!(stale, [false, false, true], "a, a.br, a.gz");
    }

    #[cfg(unix)]
    #[test]
    fn wrong_files() {
        use std::os::unix::fs::symlink;
        let files = [("d/a", "hello"), ("d/b", "hello")];
        let manifest = Manifest::from_files(files).unwrap();
        for (name, spoil, expected) in [
            (
                "another byte",
                &(|d: &Path| fs::write(d.join("d/b"), "hellO").unwrap()) as &dyn Fn(&Path),
                "other bytes",
            ),
            ("truncated", &|d: &Path| fs::write(d.join("d/b"), "hell").unwrap(), "another length"),
            ("longer", &|d: &Path| fs::write(d.join("d/b"), "hello!").unwrap(), "another length"),
            ("gone", &|d: &Path| fs::remove_file(d.join("d/b")).unwrap(), "No such file"),
            (
                "a link to the same bytes",
                &|d: &Path| {
                    fs::remove_file(d.join("d/b")).unwrap();
                    symlink("a", d.join("d/b")).unwrap();
                },
                "not a regular file",
            ),
            (
                "a link on the way",
                &|d: &Path| {
                    fs::rename(d.join("d"), d.join("e")).unwrap();
                    symlink("e", d.join("d")).unwrap();
                },
                "not a regular file",
            ),
            (
                "a directory",
                &|d: &Path| {
                    fs::remove_file(d.join("d/b")).unwrap();
                    fs::create_dir(d.join("d/b")).unwrap();
                },
                "not a regular file",
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("d")).unwrap();
            for (path, content) in files {
                fs::write(root.path().join(path), content).unwrap();
            }
            read(root.path(), &manifest).unwrap();
            spoil(root.path());
            let Wrong { path, why, .. } = read(root.path(), &manifest).unwrap_err();
            assert!(why.contains(expected), "{name}: {path}: {why}");
        }
    }
}
