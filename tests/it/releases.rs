//! Releases in a directory: published whole or not at all, shared where they are equal, and
//! deleted whole.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tower_static_url::{
    Error, ErrorKind, Manifest,
    releases::{Progress, Published, Releases, Retention},
};

use crate::support::{Warnings, disk::Disk, tree, write};

/// Changes the file or directory at a path.
type Change = fn(&Path);

/// Puts a link to a directory into a store.
type Plant = fn(&Store, &Path);

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
        Self::all_in(&self.path(""))
    }

    fn all_in(root: &Path) -> Vec<String> {
        let entries = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter();
        let paths = entries.map(|entry| entry.unwrap().into_path());
        paths.map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().into()).collect()
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

#[test]
fn progress_counts_every_file_once() {
    let (store, root) = (Store::new(), tree([("a", "1"), ("b", "2"), ("c/d", "3")]));
    let manifest = Manifest::scan(root.path()).unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let progress =
        |progress: Progress| seen.lock().unwrap().push((progress.files(), progress.total()));
    store.releases.publish_with_progress("v1", &manifest, [root.path()], progress).unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn equal_content_is_shared_between_releases_and_never_with_the_tree() {
    let root = tree([("same", "same"), ("moved", "moves"), ("changed", "1"), ("twin", "same")]);
    let store = Store::new();
    let first = store.publish(root.path());
    fs::rename(root.path().join("moved"), root.path().join("elsewhere")).unwrap();
    write(root.path(), "changed", "2");
    let second = store.publish(root.path());
    assert_eq!((second.copied(), second.copied_bytes(), second.linked()), (1, 1, 3));
    let (first, second) = (first.version(), second.version());
    for (old, new, is_shared) in [
        ("same", "same", true),
        ("twin", "twin", true),
        ("moved", "elsewhere", true),
        ("changed", "changed", false),
    ] {
        let (old, new) = (store.file(first, old), store.file(second, new));
        assert_eq!(inode(&old) == inode(&new), is_shared, "{new:?}");
    }
    for (path, links) in [("same", 1), ("elsewhere", 1), ("changed", 1)] {
        assert_eq!(fs::metadata(root.path().join(path)).unwrap().nlink(), links, "{path}");
    }
    assert_eq!(store.versions(), [second, first]);
    // Whoever writes to the tree changes no release.
    fs::write(root.path().join("same"), "other").unwrap();
    store.assert_intact();
}

#[test]
#[ignore = "makes as many links as ext4 allows"]
fn a_file_that_takes_no_more_links_is_copied() {
    const LIMIT: u64 = 65_000;
    let (store, root) = (Store::new(), tree([("a", "abc"), ("b", "1")]));
    store.publish_as("v1", root.path()).unwrap();
    let kept = store.file("v1", "a");
    let links = tempfile::tempdir_in(store.folder.path()).unwrap();
    let is_linked = |i: u64| fs::hard_link(&kept, links.path().join(i.to_string())).is_ok();
    let is_full = !(0..LIMIT).all(is_linked);
    write(root.path(), "b", "2");
    let published = store.publish_as("v2", root.path()).unwrap();
    assert_eq!(published.copied(), if is_full { 2 } else { 1 });
    assert_eq!(fs::read(store.file("v2", "a")).unwrap(), b"abc");
    store.assert_intact();
}

#[test]
fn a_rollback_makes_an_old_release_the_newest() {
    let (store, root) = (Store::new(), tree([("a", "1")]));
    let one = store.publish(root.path());
    write(root.path(), "a", "2");
    let two = store.publish(root.path());
    assert_eq!(store.versions(), [two.version(), one.version()]);
    write(root.path(), "a", "1");
    let again = store.publish(root.path());
    assert!(!again.is_new());
    assert_eq!((again.copied(), again.linked()), (0, 0));
    assert_eq!(store.versions(), [one.version(), two.version()]);
    let releases = store.releases.list().unwrap();
    assert_eq!(releases[0].superseded(), None);
    assert_eq!(releases[1].superseded(), Some(releases[0].published()));
    assert_eq!((releases[0].file_count(), releases[0].total_length()), (1, 1));
    store.assert_intact();
}

#[test]
fn what_is_published_last_is_the_newest_whatever_the_clock_says() {
    let (store, one, two) = (Store::new(), tree([("a", "1")]), tree([("a", "2")]));
    let published = store.publish_as("v1", one.path()).unwrap();
    assert!(published.is_new());
    let digest = Manifest::scan(one.path()).unwrap().digest_hex();
    let record = fs::File::open(store.path(&format!("releases/v1/{digest}"))).unwrap();
    record.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    store.publish_as("v2", two.path()).unwrap();
    assert_eq!(store.versions(), ["v2", "v1"]);
    store.publish_as("v1", one.path()).unwrap();
    assert_eq!(store.versions(), ["v1", "v2"]);
}

/// A clock that was wrong once does not keep old releases for ever.
#[test]
fn a_record_from_the_future_counts_as_one_of_now() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let store = Store::new();
    let trees = ["1", "2", "3"].map(|content| tree([("a", content)]));
    let redate = |version: &str, root: &TempDir| {
        let digest = Manifest::scan(root.path()).unwrap().digest_hex();
        let record = fs::File::open(store.path(&format!("releases/{version}/{digest}"))).unwrap();
        record.set_modified(SystemTime::now() + year).unwrap();
    };
    let is_past = |release: &tower_static_url::releases::Release| {
        // Records of the same moment are a microsecond apart.
        release.published() < SystemTime::now() + Duration::from_secs(1)
    };
    store.publish_as("v1", trees[0].path()).unwrap();
    store.publish_as("v2", trees[1].path()).unwrap();
    redate("v2", &trees[1]);
    let day = Retention::default().age(Duration::from_secs(24 * 3600)).newest(0);
    assert_eq!(store.releases.prune(&day).unwrap().len(), 0);
    assert!(store.releases.list().unwrap().iter().all(is_past), "a deletion knows better");
    redate("v2", &trees[1]);
    let at_once = Retention::default().age(Duration::ZERO).newest(0);
    assert_eq!(store.releases.expired(&at_once).unwrap().len(), 1, "superseded now");
    store.publish_as("v3", trees[2].path()).unwrap();
    assert_eq!(store.versions(), ["v3", "v2", "v1"], "in the order in which they were published");
    assert!(store.releases.list().unwrap().iter().all(is_past), "and so does a publisher");
}

/// A server that publishes whenever it starts supersedes nothing by that.
#[test]
fn to_publish_the_newest_again_changes_no_time() {
    let (store, root) = (Store::new(), tree([("a", "1")]));
    store.publish_as("v1", root.path()).unwrap();
    write(root.path(), "a", "2");
    store.publish_as("v2", root.path()).unwrap();
    let times = || {
        let releases = store.releases.list().unwrap();
        releases.iter().map(|it| (it.published(), it.superseded())).collect::<Vec<_>>()
    };
    let before = times();
    assert!(!store.publish_as("v2", root.path()).unwrap().is_new());
    assert_eq!(times(), before);
    store.assert_intact();
}

#[test]
fn a_version_is_bound_to_its_files() {
    let (store, root) = (Store::new(), tree([("a", "1")]));
    assert!(store.publish_as("v1", root.path()).unwrap().is_new());
    assert!(!store.publish_as("v1", root.path()).unwrap().is_new());
    write(root.path(), "a", "2");
    let error = store.publish_as("v1", root.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionTaken);
    assert!(error.to_string().contains("\"v1\""), "{error}");
    assert_eq!(fs::read(store.file("v1", "a")).unwrap(), b"1");
    store.releases.withdraw("v1").unwrap();
    assert!(store.publish_as("v1", root.path()).unwrap().is_new());
    assert_eq!(fs::read(store.file("v1", "a")).unwrap(), b"2");
    store.assert_intact();
}

#[test]
fn a_tree_that_is_not_as_scanned_is_not_published() {
    let cases: [(&str, Change, &str); 4] = [
        ("other bytes", |root| fs::write(root.join("b"), "3").unwrap(), "b"),
        ("longer", |root| fs::write(root.join("b"), "22").unwrap(), "b"),
        ("shorter", |root| fs::write(root.join("b"), "").unwrap(), "b"),
        ("gone", |root| fs::remove_file(root.join("b")).unwrap(), "b"),
    ];
    for (name, change, path) in cases {
        let (store, root) = (Store::new(), tree([("a", "1"), ("b", "2")]));
        let manifest = Manifest::scan(root.path()).unwrap();
        change(root.path());
        let error = store.releases.publish("v1", &manifest, [root.path()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChangedFile, "{name}: {error}");
        assert!(error.to_string().contains(path), "{name}: {error}");
        assert_eq!(store.versions(), [""; 0], "{name}");
        assert_eq!(fs::read_dir(store.releases.files()).unwrap().count(), 0, "{name}");
        store.assert_intact();
    }
}

#[test]
fn what_cannot_be_published_is_named() {
    let store = Store::new();
    let one = Manifest::from_files([("a", "1")]).unwrap();
    let both = Manifest::from_files([("a", "1"), ("a/b", "2")]).unwrap();
    let long = "x".repeat(300);
    let too_long = Manifest::from_files([(&*long, "1")]).unwrap();
    let root = tree([("a", "1")]);
    for (name, version, manifest, kind, what) in [
        ("no segment", "../v1", &one, ErrorKind::InvalidVersion, "\"../v1\""),
        ("dot segment", "..", &one, ErrorKind::InvalidVersion, "\"..\""),
        ("empty", "", &one, ErrorKind::InvalidVersion, "\"\""),
        ("file and directory", "v1", &both, ErrorKind::InvalidPath, "\"a\""),
        ("long name", "v1", &too_long, ErrorKind::ChangedFile, "xxx"),
    ] {
        let error = store.releases.publish(version, manifest, [root.path()]).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(what), "{name}: {error}");
    }
    let error = store.releases.publish("v1", &one, [""; 0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChangedFile, "{error}");
    assert_eq!(store.versions(), [""; 0]);
    store.assert_intact();
}

#[test]
fn the_first_root_wins_and_links_in_a_tree_are_followed() {
    let (store, first, second) = (Store::new(), tree([("a", "1")]), tree([("a", "2"), ("b", "3")]));
    symlink(second.path().join("b"), first.path().join("link")).unwrap();
    let scan = tower_static_url::manifest::Scan::new(first.path()).fallback(second.path());
    let manifest = scan.run().unwrap();
    store.releases.publish("v1", &manifest, [first.path(), second.path()]).unwrap();
    assert_eq!(fs::read(store.file("v1", "a")).unwrap(), b"1");
    assert_eq!(fs::read(store.file("v1", "b")).unwrap(), b"3");
    assert!(fs::symlink_metadata(store.file("v1", "link")).unwrap().is_file());
    store.assert_intact();
}

#[test]
fn prune_keeps_what_is_new_and_the_current_one() {
    let (store, root) = (Store::new(), tree([("same", "same"), ("a", "0")]));
    for content in ["1", "2", "3"] {
        write(root.path(), "a", content);
        store.publish_as(&format!("v{content}"), root.path()).unwrap();
    }
    let month = Retention::default();
    assert_eq!(store.releases.expired(&month.clone().newest(0)).unwrap().len(), 0);
    let at_once = Retention::default().age(Duration::ZERO);
    assert_eq!(store.releases.prune(&at_once).unwrap().len(), 0, "they are among the ten newest");
    let at_once = at_once.newest(0);
    assert_eq!(store.releases.expired(&at_once).unwrap().len(), 2);
    assert_eq!(store.versions(), ["v3", "v2", "v1"], "nothing is deleted yet");
    let pruned = store.releases.prune(&at_once).unwrap();
    assert_eq!(pruned.iter().map(|it| it.version()).collect::<Vec<_>>(), ["v2", "v1"]);
    assert_eq!(store.versions(), ["v3"]);
    assert!(!store.file("v1", "").exists());
    assert_eq!(fs::metadata(store.file("v3", "same")).unwrap().nlink(), 1);
    store.assert_intact();
}

#[test]
fn withdraw_deletes_one_release() {
    let (store, root) = (Store::new(), tree([("a", "1"), ("same", "same")]));
    store.publish_as("v1", root.path()).unwrap();
    write(root.path(), "a", "2");
    store.publish_as("v2", root.path()).unwrap();
    store.releases.withdraw("v1").unwrap();
    assert_eq!(store.versions(), ["v2"]);
    assert!(!store.file("v1", "").exists());
    for version in ["v1", "..", "", "../releases"] {
        let error = store.releases.withdraw(version).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotKept, "{version:?}");
        assert!(error.to_string().contains(&format!("{version:?}")), "{error}");
    }
    store.assert_intact();
}

#[test]
fn a_directory_that_is_none_of_releases_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("file"), "").unwrap();
    write(&at("other's"), "something", "");
    write(&at("format"), ".static-url", "tower-static-url releases 2\n");
    write(&at("linked"), ".static-url", "tower-static-url releases 1\n");
    symlink(at("other's"), at("linked/files")).unwrap();
    fs::create_dir(at("marked")).unwrap();
    symlink(at("file"), at("marked/.static-url")).unwrap();
    for (name, kind, what) in [
        ("file", ErrorKind::InvalidReleases, "is not a directory"),
        ("other's", ErrorKind::InvalidReleases, "was not made for releases"),
        ("format", ErrorKind::InvalidReleases, "another format"),
        ("linked", ErrorKind::InvalidReleases, "linked/files"),
        ("marked", ErrorKind::InvalidReleases, "marked/.static-url"),
        ("file/below", ErrorKind::Io, "file/below"),
        ("/proc/releases", ErrorKind::Io, "/proc/releases"),
    ] {
        let error = Releases::folder(at(name)).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(what), "{name}: {error}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    assert_eq!(fs::read_dir(at("other's")).unwrap().count(), 1, "nothing was written");
    fs::create_dir_all(at("new disk/lost+found")).unwrap();
    Releases::folder(at("new disk")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    Releases::folder(at("empty")).unwrap();
    Releases::folder(at("empty")).unwrap();
    symlink(at("empty"), at("link")).unwrap();
    Releases::folder(at("link")).unwrap();
}

#[test]
fn links_are_not_followed_out_of_the_directory() {
    let secret = tree([("secret", "abc"), ("deep/secret", "abc")]);
    let root = tree([("a", "abc"), ("deep/a", "1")]);
    let other = tree([("a", "abc"), ("deep/a", "1"), ("b", "2")]);
    let cases: [(&str, Plant); 3] = [
        ("a file", |store, secret| {
            fs::remove_file(store.file("v1", "a")).unwrap();
            symlink(secret.join("secret"), store.file("v1", "a")).unwrap();
        }),
        ("a directory", |store, secret| {
            fs::remove_dir_all(store.file("v1", "deep")).unwrap();
            symlink(secret.join("deep"), store.file("v1", "deep")).unwrap();
        }),
        ("a release", |store, secret| {
            fs::remove_dir_all(store.file("v1", "")).unwrap();
            symlink(secret, store.releases.files().join("v1")).unwrap();
        }),
    ];
    for (name, plant) in cases {
        let store = Store::new();
        store.publish_as("v1", root.path()).unwrap();
        plant(&store, secret.path());
        assert_ne!(store.releases.verify().unwrap(), [], "{name}");
        store.publish_as("v2", other.path()).unwrap();
        for path in ["a", "deep/a", "b"] {
            assert!(fs::symlink_metadata(store.file("v2", path)).unwrap().is_file(), "{name}");
        }
        assert!(!store.publish_as("v1", root.path()).unwrap().is_new(), "{name}");
        store.assert_intact();
        plant(&store, secret.path());
        store.releases.withdraw("v1").unwrap();
        store.assert_intact();
    }
    assert_eq!(fs::read(secret.path().join("deep/secret")).unwrap(), b"abc", "it was not deleted");
    let store = Store::new();
    fs::remove_dir(store.releases.files()).unwrap();
    symlink(secret.path(), store.releases.files()).unwrap();
    let error = store.publish_as("v1", root.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidReleases, "{error}");
    assert_eq!(fs::read_dir(secret.path()).unwrap().count(), 2, "nothing was written");
}

#[test]
fn a_file_that_somebody_has_written_to_is_not_shared() {
    /// Gives it the time of a later moment than that of the record.
    fn touch(path: &Path) {
        let later = SystemTime::now() + Duration::from_secs(1);
        fs::File::open(path).unwrap().set_modified(later).unwrap();
    }
    let cases: [(&str, Change); 5] = [
        ("written", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(path, "xyz").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
            touch(path);
        }),
        ("longer", |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "longer").unwrap();
        }),
        ("writable", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("written, and the directory too", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(path, "xyz").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
            touch(path);
            touch(path.parent().unwrap());
        }),
        ("replaced by an old one", |path| {
            let other = path.with_file_name("other");
            fs::write(&other, "xyz").unwrap();
            let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
            fs::File::open(&other).unwrap().set_modified(past).unwrap();
            fs::set_permissions(&other, fs::Permissions::from_mode(0o444)).unwrap();
            fs::rename(&other, path).unwrap();
            touch(path.parent().unwrap());
        }),
    ];
    for (name, change) in cases {
        let (store, root) = (Store::new(), tree([("a", "abc"), ("b", "1")]));
        store.publish_as("v1", root.path()).unwrap();
        change(&store.file("v1", "a"));
        write(root.path(), "b", "2");
        let published = store.publish_as("v2", root.path()).unwrap();
        assert_eq!((published.copied(), published.linked()), (2, 0), "{name}");
        assert_eq!(fs::read(store.file("v2", "a")).unwrap(), b"abc", "{name}");
        // To publish it again mends it.
        write(root.path(), "b", "1");
        let published = store.publish_as("v1", root.path()).unwrap();
        assert!(!published.is_new(), "{name}");
        store.assert_intact();
    }
}

/// A copy that keeps the times is as good as the directory itself.
#[test]
fn a_copy_of_the_directory_shares_its_files() {
    let (store, root) = (Store::new(), tree([("a", "abc"), ("d/b", "1")]));
    store.publish_as("v1", root.path()).unwrap();
    let copy = store.folder.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-a").args([&store.path(""), &copy]).status();
    assert!(copied.unwrap().success());
    let releases = Releases::folder(&copy).unwrap();
    let manifest = Manifest::scan(root.path()).unwrap();
    let again = releases.publish("v1", &manifest, [root.path()]).unwrap();
    assert_eq!((again.copied(), again.linked()), (0, 0));
    let published = releases.publish("v2", &manifest, [root.path()]).unwrap();
    assert_eq!((published.copied(), published.linked()), (0, 2));
}

#[test]
fn verify_names_what_is_wrong() {
    let (store, root) = (Store::new(), tree([("a", "abc"), ("b", "1"), ("c", "2")]));
    store.publish_as("v1", root.path()).unwrap();
    let replace = |path: &str, content: &str| {
        fs::remove_file(store.file("v1", path)).unwrap();
        fs::write(store.file("v1", path), content).unwrap();
    };
    replace("a", "xyz");
    replace("b", "longer");
    fs::remove_file(store.file("v1", "c")).unwrap();
    fs::write(store.file("v1", "d"), "").unwrap();
    let damages = store.releases.verify().unwrap();
    let damages = damages.iter().map(|damage| {
        let path = damage.path().strip_prefix(store.releases.files()).unwrap();
        format!("{} {}", path.display(), damage.why())
    });
    assert_eq!(
        damages.collect::<Vec<_>>(),
        [
            "v1/a has other content than was published",
            "v1/b has 6 bytes instead of 1",
            "v1/c is missing, or is a link",
            "v1/d is not listed by its release",
        ]
    );
}

#[test]
fn a_record_that_is_none_is_ignored_with_one_warning() {
    let (store, root) = (Store::new(), tree([("a", "abc"), ("b", "1")]));
    store.publish_as("good", root.path()).unwrap();
    let sha256 = |text: &[u8]| {
        use sha2::Digest as _;
        data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(text))
    };
    let line = |path: &str| format!("{}:{path} 0:{}\n", path.len(), sha256(b""));
    let cut = line("a")[..30].to_owned();
    let twice = line("a") + &line("a");
    let climbs = line("../../etc/passwd");
    for (name, record, content, why) in [
        ("cut", sha256(cut.as_bytes()), cut, "is cut off in line 1"),
        ("twice", sha256(twice.as_bytes()), twice, "out of order or twice"),
        ("climbs", sha256(climbs.as_bytes()), climbs, "which no URL spells safely"),
        ("empty", sha256(b""), String::new(), "is empty"),
        ("not-its-own", sha256(b"other"), line("a"), "is not the text whose SHA-256 is its name"),
        ("no-digest", "README".into(), line("a"), "has not the name of a SHA-256"),
        ("upper-case", sha256(line("a").as_bytes()).to_uppercase(), line("a"), "has not the name"),
        ("with space", sha256(line("a").as_bytes()), line("a"), "is no version"),
    ] {
        write(&store.path("releases"), &format!("{name}/{record}"), content);
        let warnings = Warnings::capture();
        assert_eq!(store.releases.list().unwrap().len(), 1, "{name}");
        let logged = warnings.lines();
        assert_eq!(logged.len(), 1, "{name}: {logged:?}");
        assert!(logged[0].contains(why), "{name}: {logged:?}");
        assert!(logged[0].contains(name), "{name}: {logged:?}");
        assert_eq!(store.releases.list().unwrap().len(), 1, "{name}");
        assert_eq!(warnings.lines().len(), 1, "{name}: logged once");
        let damages = store.releases.verify().unwrap();
        assert!(damages.iter().any(|it| it.to_string().contains(why)), "{name}: {damages:?}");
    }
    let huge = "0".repeat(64);
    let huge_path = store.path(&format!("releases/huge/{huge}"));
    write(&store.path("releases"), &format!("huge/{huge}"), "");
    // It has no blocks: nothing this long is written, or read.
    fs::File::options().write(true).open(&huge_path).unwrap().set_len(1 << 40).unwrap();
    let warnings = Warnings::capture();
    assert_eq!(store.releases.list().unwrap().len(), 1);
    assert!(
        warnings.lines()[0].contains("is longer than 67108864 bytes"),
        "{:?}",
        warnings.lines()
    );
    // A version whose only record is none can be published.
    let taken = store.publish_as("twice", root.path()).unwrap();
    assert!(taken.is_new());
    for version in ["cut", "twice", "climbs", "huge", "no-digest"] {
        store.releases.withdraw(version).unwrap();
    }
}

#[test]
fn a_second_record_of_a_version_is_ignored() {
    let (store, one, two) = (Store::new(), tree([("a", "1")]), tree([("a", "2")]));
    store.publish_as("v1", one.path()).unwrap();
    store.publish_as("v2", two.path()).unwrap();
    let digest = Manifest::scan(two.path()).unwrap().digest_hex();
    let copy = store.path(&format!("releases/v1/{digest}"));
    fs::copy(store.path(&format!("releases/v2/{digest}")), copy).unwrap();
    let warnings = Warnings::capture();
    let releases = store.releases.list().unwrap();
    let v1 = releases.iter().find(|release| release.version() == "v1").unwrap();
    assert_eq!(v1.digest_hex(), Manifest::scan(one.path()).unwrap().digest_hex());
    assert!(warnings.lines()[0].contains("second record"), "{:?}", warnings.lines());
}

#[test]
fn concurrent_publishers_of_one_version() {
    let (store, root) = (Store::new(), tree([("a", "1"), ("b", "2"), ("c/d", "3")]));
    thread::scope(|scope| {
        let publishers = (0..4).map(|_| {
            scope.spawn(|| {
                // As another process does it, with nothing in common but the directory.
                publish(&Releases::folder(store.path("")).unwrap(), root.path()).unwrap()
            })
        });
        for publisher in publishers.collect::<Vec<_>>() {
            publisher.join().unwrap();
        }
    });
    assert_eq!(store.versions().len(), 1);
    store.assert_intact();
}

#[test]
fn concurrent_publishers_of_other_files_under_one_version() {
    let (store, trees) = (Store::new(), ["1", "2", "3"].map(|content| tree([("a", content)])));
    let results = thread::scope(|scope| {
        let publish = |root: &TempDir| {
            let releases = Releases::folder(store.path("")).unwrap();
            let manifest = Manifest::scan(root.path()).unwrap();
            releases.publish("v1", &manifest, [root.path()])
        };
        let publishers = trees.iter().map(|root| scope.spawn(move || publish(root)));
        let publishers = publishers.collect::<Vec<_>>().into_iter();
        publishers.map(|publisher| publisher.join().unwrap()).collect::<Vec<_>>()
    });
    let kinds = results.iter().filter_map(|result| Some(result.as_ref().err()?.kind()));
    assert_eq!(kinds.collect::<Vec<_>>(), [ErrorKind::VersionTaken; 2]);
    assert_eq!(store.versions(), ["v1"]);
    store.assert_intact();
}

#[test]
fn publishers_and_deletions_at_once() {
    let store = Store::new();
    let trees = (0..4).map(|i| tree([("same", "same"), ("own", &*i.to_string())]));
    let trees = trees.collect::<Vec<_>>();
    let at_once = Retention::default().age(Duration::ZERO).newest(1);
    thread::scope(|scope| {
        for root in &trees {
            scope.spawn(|| {
                let releases = Releases::folder(store.path("")).unwrap();
                for _ in 0..8 {
                    publish(&releases, root.path()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let releases = Releases::folder(store.path("")).unwrap();
            for _ in 0..16 {
                releases.prune(&at_once).unwrap();
                assert_eq!(releases.verify().unwrap(), []);
            }
        });
    });
    store.releases.prune(&at_once).unwrap();
    assert_eq!(store.versions().len(), 1);
    store.assert_intact();
}

/// A disk without room for one more release, or for its record: nothing is left behind, and after
/// there is room again everything is well.
#[test]
#[ignore = "only root can mount a small file system"]
fn a_full_disk() {
    let disk = Disk::mount();
    let path = disk.path().join("releases");
    let releases = Releases::folder(&path).unwrap();
    let root = tree([("a", &*"x".repeat(100_000))]);
    publish(&releases, root.path()).unwrap();
    let before = Store::all_in(&path);
    // Many names take more in the listing than in files: the record is what does not fit.
    let names = (0..2_000).map(|i| format!("{i:0200}")).collect::<Vec<_>>();
    let many = tree(names.iter().map(|name| (&**name, "")));
    let large = [("large", tree([("b", &*"y".repeat(1 << 20))])), ("many", many)];
    for (name, tree) in &large {
        let filler = disk.fill(if *name == "many" { 16 << 10 } else { 0 });
        let error = publish(&releases, tree.path()).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("No space left on device"), "{name}: {text}");
        assert_eq!(Store::all_in(&path), before, "{name}");
        assert_eq!(releases.verify().unwrap(), [], "{name}");
        fs::remove_file(filler).unwrap();
    }
    disk.grow();
    for (name, tree) in &large {
        assert!(publish(&releases, tree.path()).unwrap().is_new(), "{name}");
        assert_eq!(releases.verify().unwrap(), [], "{name}");
    }
    assert_eq!(releases.list().unwrap().len(), 3);
}

/// A crash while the files of a release are replaced loses none of them.
#[test]
fn files_that_were_being_replaced_are_put_back() {
    let (root, folder) = (tree([("a", "1")]), tempfile::tempdir().unwrap());
    let releases = Releases::folder(folder.path().join("r")).unwrap();
    let manifest = Manifest::scan(root.path()).unwrap();
    releases.publish("v1", &manifest, [root.path()]).unwrap();
    let trash = folder.path().join("r/.trash-1-2-3-of-v1");
    fs::rename(releases.files().join("v1"), &trash).unwrap();
    let other = tree([("a", "2")]);
    releases.publish("v2", &Manifest::scan(other.path()).unwrap(), [other.path()]).unwrap();
    assert_eq!(fs::read(releases.files().join("v1/a")).unwrap(), b"1");
    assert!(!trash.exists());
    // What was deleted stays deleted.
    releases.withdraw("v1").unwrap();
    fs::create_dir(&trash).unwrap();
    releases.publish("v2", &Manifest::scan(other.path()).unwrap(), [other.path()]).unwrap();
    assert!(!releases.files().join("v1").exists() && !trash.exists());
}

#[cfg(unix)]
#[test]
fn no_record_is_written_through_a_link() {
    let (root, folder) = (tree([("a", "1")]), tempfile::tempdir().unwrap());
    let (path, elsewhere) = (folder.path().join("r"), folder.path().join("elsewhere"));
    let releases = Releases::folder(&path).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, path.join("releases/v1")).unwrap();
    let manifest = Manifest::scan(root.path()).unwrap();
    let error = releases.publish("v1", &manifest, [root.path()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidReleases, "{error}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(!releases.files().join("v1").exists());
}

#[test]
fn a_version_is_no_directory_of_its_own_tree() {
    let (root, folder) = (tree([("css/a", "1")]), tempfile::tempdir().unwrap());
    let releases = Releases::folder(folder.path().join("r")).unwrap();
    let manifest = Manifest::scan(root.path()).unwrap();
    let error = releases.publish("css", &manifest, [root.path()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidVersion, "{error}");
    assert!(error.to_string().contains("\"css\""), "{error}");
}
