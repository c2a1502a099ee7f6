//! Every published version of the files, kept in a directory. See [`Releases`].

mod copy;
#[cfg(test)]
mod crash;
mod folder;
mod intact;
mod publish;
mod record;
mod remove;
mod retention;
mod verify;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use data_encoding::HEXLOWER;

use self::{
    folder::Folder,
    record::{NoRecord, Record},
};
pub use self::{
    publish::{Progress, Published},
    retention::Retention,
    verify::Damage,
};
use crate::{Error, Manifest, observe::log};

/// A directory that keeps the files of every published version.
///
/// ```text
/// files/<version>/<logical path>    the files, as ServeDir, nginx or rsync serve them
/// releases/<version>/<digest>       the record: the listing that the tree digest hashes
/// ```
///
/// ```
/// use tower_static_url::{Manifest, releases::Releases};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # std::fs::create_dir(folder.path().join("dist")).unwrap();
/// # std::fs::write(folder.path().join("dist/app.css"), "p { color: teal }").unwrap();
/// # let (dist, folder) = (folder.path().join("dist"), folder.path().join("releases"));
/// let releases = Releases::folder(folder)?;
/// let manifest = Manifest::scan(&dist)?;
/// let version = &manifest.digest_hex()[..16];
/// let published = releases.publish(version, &manifest, [&dist])?;
/// assert!(published.is_new());
/// assert!(releases.files().join(version).join("app.css").exists());
/// assert_eq!(releases.list()?[0].version(), version);
/// # Ok::<(), tower_static_url::Error>(())
/// ```
///
/// # What is kept, and how
///
/// - A file is copied when a version with its content is first published, and hashed: content
///   that differs from the manifest is an error. Content that a kept release has already is
///   hard-linked from that release, so a deploy takes only the space of what has changed. The
///   directory never shares a file with your build directory.
/// - Files are read-only (`0444`). Whoever changes one in spite of that changes it for all
///   releases that share it; [`verify`](Self::verify) finds it.
/// - A release gets its name only when it is complete, and its record last. A publisher that
///   is killed leaves nothing that is served, and the next one deletes what it left.
/// - Several processes of one machine may publish at the same time. A directory on NFS that
///   several machines write to is not supported.
/// - Links in the directory are never followed out of it.
///
/// # When a release is superseded
///
/// The release that was published last is the current one, and the others are superseded: each
/// since the one after it was published. That time is the modification time of the record, so
/// copy the directory with its times (`rsync -a`, `cp -a`). A rollback is to publish an old
/// version again: its files are there, so that only the time of its record changes. To publish
/// the current version again changes nothing. A time in the future, from a clock that was wrong,
/// counts as now.
///
/// Clones are cheap and share all state.
#[derive(Clone)]
pub struct Releases(Arc<Shared>);

struct Shared {
    folder: Folder,
    known: ArcSwap<Known>,
    lengths: Lengths,
    /// What was logged. Locked while the records are read.
    logged: Mutex<HashSet<NoRecord>>,
}

/// The lengths that versions have ever had, one bit each. With a mount of `/` most requests are for
/// the rest of the site, and this tells that their first segment is no version.
#[derive(Debug, Default)]
struct Lengths(AtomicU64);

impl Lengths {
    fn bit(version: &str) -> u64 {
        1 << (version.len() % 64)
    }

    fn add<'v>(&self, versions: impl Iterator<Item = &'v Box<str>>) {
        let bits = versions.fold(0, |bits, version| bits | Self::bit(version));
        self.0.fetch_or(bits, Relaxed);
    }

    fn may_have(&self, version: &str) -> bool {
        self.0.load(Relaxed) & Self::bit(version) != 0
    }
}

/// The known releases. It never changes: a refresh makes another one.
#[derive(Debug, Default)]
struct Known {
    by_version: HashMap<Box<str>, Arc<KeptRelease>>,
    /// The newest release that lists each path. `None` if others list other bytes there.
    by_path: HashMap<Box<str>, Option<Arc<KeptRelease>>>,
    newest_first: Vec<Arc<KeptRelease>>,
}

/// A release whose files are kept.
#[derive(Clone, Debug)]
pub(crate) struct KeptRelease {
    record: Record,
    /// Made of the record, so it has no times, and does not know which siblings are stale.
    manifest: Arc<Manifest>,
    directory: PathBuf,
}

/// A release that is kept.
#[derive(Clone, Debug)]
pub struct Release {
    kept: Arc<KeptRelease>,
    superseded: Option<SystemTime>,
}

impl Releases {
    /// Opens a directory of releases, or creates it. One that is there is only read, so that a
    /// server needs no right to write to it: publishing and deleting do.
    ///
    /// # Errors
    ///
    /// - [`InvalidReleases`](crate::ErrorKind::InvalidReleases): the path is a file, or a
    ///   directory that has something else in it.
    /// - [`Io`](crate::ErrorKind::Io): the directory cannot be created or read.
    pub fn folder(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::new(Folder::create(&path.into())?)
    }

    /// Opens a directory of releases that is there already, and creates none.
    ///
    /// # Errors
    ///
    /// - [`InvalidReleases`](crate::ErrorKind::InvalidReleases): the path is not a directory of
    ///   releases.
    /// - [`Io`](crate::ErrorKind::Io): the directory cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::new(Folder::open(&path.into())?)
    }

    fn new(folder: Folder) -> Result<Self, Error> {
        let (known, lengths, logged) = Default::default();
        let releases = Self(Arc::new(Shared { folder, known, lengths, logged }));
        releases.refresh()?;
        Ok(releases)
    }

    /// Returns the directory with the files of all releases, one directory for each version:
    /// `ServeDir::new(releases.files())`.
    pub fn files(&self) -> PathBuf {
        self.0.folder.files()
    }

    /// Returns the kept releases, the one that was published last first. Reads the directory.
    ///
    /// # Errors
    ///
    /// - [`InvalidReleases`](crate::ErrorKind::InvalidReleases): somebody has put a link or a
    ///   file in place of a directory.
    /// - [`Io`](crate::ErrorKind::Io): the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Release>, Error> {
        self.refresh()?;
        Ok(self.0.known.load().list())
    }

    /// Returns a known release. Reads nothing.
    pub(crate) fn kept(&self, version: &str) -> Option<Arc<KeptRelease>> {
        if !self.0.lengths.may_have(version) {
            return None;
        }
        self.0.known.load().by_version.get(version).cloned()
    }

    /// Returns the newest known release that lists a logical path, if all that list it have the
    /// same bytes there. Reads nothing.
    pub(crate) fn newest_with(&self, path: &str) -> Option<Arc<KeptRelease>> {
        self.0.known.load().by_path.get(path).cloned().flatten()
    }

    /// Reads which releases the directory has now. Blocks. Listings that are known are not read
    /// again. What is not a record is ignored, with a WARN at the first time.
    pub(crate) fn refresh(&self) -> Result<(), Error> {
        // A set of log lines is whole after each call that changes it.
        let mut logged = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.0.known.load_full();
        let (known, ignored) = Known::read(&self.0.folder, &old)?;
        for ignored in ignored {
            if !logged.contains(&ignored) {
                log::no_record(&ignored.path, &ignored.why);
                logged.insert(ignored);
            }
        }
        if let Some(known) = known {
            self.0.lengths.add(known.by_version.keys());
            self.0.known.store(Arc::new(known));
        }
        Ok(())
    }
}

impl Known {
    /// Reads the records of a folder. Returns `None` if it has what the `old` ones say, and
    /// what was ignored.
    fn read(folder: &Folder, old: &Self) -> Result<(Option<Self>, Vec<NoRecord>), Error> {
        let mut found = folder.find_records()?;
        // The first digest of a version wins, so the oldest record comes first.
        found.records.sort_by_key(|record| (record.published, record.digest));
        let mut by_version = HashMap::<Box<str>, Arc<KeptRelease>>::new();
        for record in found.records {
            let Entry::Vacant(entry) = by_version.entry(record.version.clone()) else {
                let why = "is a second record of its version".into();
                found.ignored.push(NoRecord { path: record.path, why });
                continue;
            };
            match KeptRelease::read(folder, record, old) {
                Ok(Some(release)) => drop(entry.insert(release)),
                Ok(None) => {}
                Err(ignored) => found.ignored.push(ignored),
            }
        }
        let is_known = |release: &Arc<KeptRelease>| {
            old.by_version.get(release.version()).is_some_and(|old| Arc::ptr_eq(old, release))
        };
        let is_unchanged =
            by_version.len() == old.by_version.len() && by_version.values().all(is_known);
        Ok(((!is_unchanged).then(|| Self::new(by_version)), found.ignored))
    }

    fn new(by_version: HashMap<Box<str>, Arc<KeptRelease>>) -> Self {
        let mut newest_first = by_version.values().cloned().collect::<Vec<_>>();
        newest_first.sort_by(|a, b| b.record.order().cmp(&a.record.order()));
        let mut by_path = HashMap::<Box<str>, Option<Arc<KeptRelease>>>::new();
        for release in &newest_first {
            for (path, info) in release.manifest.iter() {
                let Some(newest) = by_path.get_mut(path) else {
                    by_path.insert(path.into(), Some(Arc::clone(release)));
                    continue;
                };
                newest.take_if(|newest| newest.manifest.get(path) != Some(info));
            }
        }
        Self { by_version, by_path, newest_first }
    }

    fn list(&self) -> Vec<Release> {
        let published = self.newest_first.iter().map(|release| release.record.published);
        let published = published.collect::<Vec<_>>();
        let superseded = retention::superseded(&published);
        let releases = self.newest_first.iter().cloned().zip(superseded);
        releases.map(|(kept, superseded)| Release { kept, superseded }).collect()
    }
}

impl Record {
    /// The order of releases. Two of the same time are in some order, but always the same.
    fn order(&self) -> (SystemTime, &str) {
        (self.published, &self.version)
    }
}

impl KeptRelease {
    /// Reads the listing of a record, unless it is known. `None` if it was deleted meanwhile.
    fn read(folder: &Folder, record: Record, old: &Known) -> Result<Option<Arc<Self>>, NoRecord> {
        let old = old.by_version.get(&record.version);
        let old = old.filter(|old| old.record.digest == record.digest);
        if let Some(old) = old.filter(|old| old.record == record) {
            return Ok(Some(Arc::clone(old)));
        }
        let manifest = match old {
            Some(old) => Some(Arc::clone(&old.manifest)),
            None => record.read()?.map(Arc::new),
        };
        let directory = folder.files().join(&*record.version);
        Ok(manifest.map(|manifest| Arc::new(Self { record, manifest, directory })))
    }

    pub(crate) fn version(&self) -> &str {
        &self.record.version
    }

    /// Returns what the release lists.
    pub(crate) fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Returns the directory of its files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns where a file of the release lies, with its metadata. `None` if it is not there,
    /// is no regular file, or if somebody has put a link on the way to it.
    pub(crate) fn file(&self, path: &str) -> Option<(PathBuf, std::fs::Metadata)> {
        folder::regular_file(&self.directory, path)
    }
}

impl Release {
    /// Returns the version.
    pub fn version(&self) -> &str {
        self.kept.version()
    }

    /// Returns the [tree digest](crate::manifest#the-tree-digest) as 64 lower-case hexadecimal
    /// digits.
    pub fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.kept.record.digest)
    }

    /// Returns when it was published last.
    pub fn published(&self) -> SystemTime {
        self.kept.record.published
    }

    /// Returns when the next release was published. `None` for the one that was published last.
    pub fn superseded(&self) -> Option<SystemTime> {
        self.superseded
    }

    /// Returns what it lists. The files have no times.
    pub fn manifest(&self) -> &Manifest {
        &self.kept.manifest
    }

    /// Returns the number of its files.
    pub fn file_count(&self) -> usize {
        self.kept.manifest.len()
    }

    /// Returns the length of all its files in bytes. Files that it shares with other releases
    /// count in each of them.
    pub fn total_length(&self) -> u64 {
        self.kept.manifest.iter().map(|(_, info)| info.length()).sum()
    }
}

impl fmt::Debug for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.known.load();
        let versions = known.newest_first.iter().map(|release| release.version());
        f.debug_struct("Releases")
            .field("folder", &self.0.folder.path())
            .field("versions", &versions.collect::<Vec<_>>())
            .finish()
    }
}
