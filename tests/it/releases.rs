//! Releases in a directory: published whole or not at all, shared where they are equal, and
//! deleted whole.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tower_static_url::{
    Error, ErrorKind, Manifest,
    releases::{Published, Releases, Retention},
};

use crate::support::{Warnings, tree, write};

/// A directory of releases, beside nothing else.
struct Store {
    folder: TempDir,
    releases: Releases,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let releases = Releases::folder(folder.path().join("releases")).unwrap();
        Self { folder, releases }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("releases").join(path)
    }

    fn file(&self, version: &str, path: &str) -> PathBuf {
        self.releases.files().join(version).join(path)
    }

    fn publish(&self, root: &Path) -> Published {
        publish(&self.releases, root).unwrap()
    }

    fn publish_as(&self, version: &str, root: &Path) -> Result<Published, Error> {
        self.releases.publish(version, &Manifest::scan(root).unwrap(), [root])
    }

    /// The kept versions, the newest first, as another process sees them.
    fn versions(&self) -> Vec<String> {
        let releases = Releases::folder(self.path("")).unwrap().list().unwrap();
        releases.iter().map(|release| release.version().to_owned()).collect()
    }

    /// Every path in the directory, relative to it.
    fn all(&self) -> Vec<String> {
        let root = self.path("");
        let entries = walkdir::WalkDir::new(&root).min_depth(1).sort_by_file_name().into_iter();
        let paths = entries.map(|entry| entry.unwrap().into_path());
        paths.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().into()).collect()
    }

    fn assert_intact(&self) {
        assert_eq!(self.releases.verify().unwrap(), []);
        let leftovers = self
            .all()
            .into_iter()
            .filter(|path| path.starts_with(".new") || path.starts_with(".trash"));
        assert_eq!(leftovers.collect::<Vec<_>>(), [""; 0]);
    }
}

fn publish(releases: &Releases, root: &Path) -> Result<Published, Error> {
    let manifest = Manifest::scan(root).unwrap();
    releases.publish(&manifest.digest_hex()[..16], &manifest, [root])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn what_is_published_lies_there_as_specified() {
    let (store, root) =
        (Store::new(), tree([("a.txt", "abc"), ("b/c d.txt", "abc"), ("b/ü%", "")]));
    let published = store.publish(root.path());
    let version = published.version();
    assert!(published.is_new());
    assert_eq!((published.copied(), published.copied_bytes(), published.linked()), (3, 6, 0));
    let digest = Manifest::scan(root.path()).unwrap().digest_hex();
    assert_eq!(
        store.all(),
        [
            ".static-url".into(),
            ".static-url-commit".into(),
            "files".into(),
            format!("files/{version}"),
            format!("files/{version}/a.txt"),
            format!("files/{version}/b"),
            format!("files/{version}/b/c d.txt"),
            format!("files/{version}/b/ü%"),
            "releases".into(),
            format!("releases/{version}"),
            format!("releases/{version}/{digest}"),
        ]
    );
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let listing = format!("5:a.txt 3:{abc}\n9:b/c d.txt 3:{abc}\n5:b/ü% 0:{none}\n");
    let record = store.path(&format!("releases/{version}/{digest}"));
    assert_eq!(fs::read_to_string(&record).unwrap(), listing);
    for (path, expected) in [("", 0o755), ("b", 0o755), ("a.txt", 0o444), ("b/c d.txt", 0o444)] {
        assert_eq!(mode(&store.file(version, path)), expected, "{path:?}");
    }
    assert_eq!(mode(&record), 0o444);
    assert_eq!(fs::read(store.file(version, "b/c d.txt")).unwrap(), b"abc");
    store.assert_intact();
}
