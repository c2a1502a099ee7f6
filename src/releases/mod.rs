//! Every published version of the files, kept in a directory. See [`Releases`].

#[cfg(feature = "object-store")]
mod breaker;
#[cfg(feature = "object-store")]
pub(crate) mod bucket;
#[cfg(feature = "object-store")]
mod budget;
mod copy;
#[cfg(test)]
mod crash;
#[cfg(feature = "object-store")]
pub(crate) mod filled;
mod folder;
mod index;
mod intact;
mod known;
mod publish;
pub(crate) mod record;
mod remove;
mod retention;
#[cfg(feature = "object-store")]
pub(crate) mod source;
mod verify;

use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use data_encoding::HEXLOWER;

#[cfg(feature = "object-store")]
pub use self::bucket::Bucket;
#[cfg(feature = "delta")]
pub(crate) use self::index::DictionaryName;
pub(crate) use self::known::KeptRelease;
use self::{
    folder::Folder,
    index::Searches,
    known::{Known, Sources},
    record::NoRecord,
};
pub use self::{
    publish::{Progress, Published},
    retention::Retention,
    verify::Damage,
};
use crate::{Error, Fingerprinted, Manifest, observe::log};

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
    /// What layers look for besides versions.
    wanted: ArcSwap<Searches>,
    /// The version that was published last through this value or a clone of it.
    published: Mutex<Option<Box<str>>>,
    #[cfg(feature = "object-store")]
    source: Option<source::Source>,
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

/// A release that is kept.
#[derive(Clone, Debug)]
pub struct Release {
    version: Box<str>,
    digest: [u8; 32],
    published: SystemTime,
    superseded: Option<SystemTime>,
    manifest: Arc<Manifest>,
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
        let releases = Self(Arc::new(Shared::new(folder)));
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
        #[cfg(feature = "object-store")]
        self.fetch_listings(u64::MAX);
        Ok(known::list(&self.0.known.load().newest_first))
    }

    /// Returns the versions that were kept when this value last looked, the one that was published
    /// last first. Reads nothing: see [`list`](Self::list).
    ///
    /// ```
    /// # use tower_static_url::releases::Releases;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let releases = Releases::folder(folder.path())?;
    /// assert!(releases.versions().is_empty());
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn versions(&self) -> Vec<String> {
        let known = self.0.known.load();
        known.newest_first.iter().map(|release| release.version().to_owned()).collect()
    }

    /// Returns a known release. Reads nothing.
    pub(crate) fn kept(&self, version: &str) -> Option<Arc<KeptRelease>> {
        if !self.0.lengths.may_have(version) {
            return None;
        }
        self.0.known.load().by_version.get(version).cloned()
    }

    /// Reads what the release of a version lists, if it is kept. Blocks.
    pub(crate) fn read_manifest(&self, version: &str) -> Option<Manifest> {
        // It may have been published since the last look.
        self.refresh().ok()?;
        let release = self.kept(version)?;
        #[cfg(feature = "object-store")]
        self.fetch_missing_listing(&release);
        release.read_manifest().ok()?
    }

    /// Returns the newest known release that lists a logical path, if all that list it have the
    /// same bytes there. Only for paths that a rule of [`find_by`](Self::find_by) calls
    /// fingerprinted. Reads nothing.
    pub(crate) fn newest_with(&self, path: &str) -> Option<Arc<KeptRelease>> {
        self.0.known.load().index.newest_with(path).cloned()
    }

    /// Returns a release that lists some content, and where. Reads nothing.
    #[cfg(feature = "object-store")]
    pub(crate) fn find_content(&self, sha256: &[u8; 32]) -> Option<(Arc<KeptRelease>, Box<str>)> {
        self.0.known.load().index.find_content(sha256).cloned()
    }

    /// Lets [`newest_with`](Self::newest_with) find the files that a rule calls fingerprinted.
    pub(crate) fn find_by(&self, rule: &Fingerprinted) {
        self.want(|wanted| wanted.rules.push(rule.clone()));
    }

    /// Lets [`find_dictionary`](Self::find_dictionary) find the files that have a name under a
    /// rule, or without one; and [`newest_with`](Self::newest_with) those that the rule calls
    /// fingerprinted, as [`find_by`](Self::find_by) does.
    #[cfg(feature = "delta")]
    pub(crate) fn find_dictionaries_by(&self, rule: Option<&Fingerprinted>) {
        self.want(|wanted| {
            wanted.rules.extend(rule.cloned());
            wanted.dictionaries.push(rule.cloned());
        });
    }

    /// Returns a release that lists some content under a name, and its path there: one whose files
    /// are here if there is one, and the newest of these. The name must be made with a rule of
    /// [`find_dictionaries_by`](Self::find_dictionaries_by). Reads nothing.
    #[cfg(feature = "delta")]
    pub(crate) fn find_dictionary(
        &self,
        name: DictionaryName,
        sha256: &[u8; 32],
    ) -> Option<(Arc<KeptRelease>, Box<str>)> {
        self.0.known.load().index.find_dictionary(name, sha256).cloned()
    }

    fn want(&self, add: impl FnOnce(&mut Searches)) {
        let _alone = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = Searches::clone(&self.0.wanted.load());
        add(&mut wanted);
        let by_version = self.0.known.load().by_version.clone();
        self.0.known.store(Arc::new(Known::new(by_version, &wanted, self.is_filled())));
        self.0.wanted.store(Arc::new(wanted));
    }

    /// Reads which releases the directory has now, and the bucket, if the directory is filled from
    /// one. Blocks. Records that are known are not read again. What is not a record is ignored,
    /// with a WARN at the first time.
    pub(crate) fn refresh(&self) -> Result<(), Error> {
        self.read_folder()?;
        #[cfg(feature = "object-store")]
        self.look_at_bucket()?;
        Ok(())
    }

    fn read_folder(&self) -> Result<(), Error> {
        // A set of log lines is whole after each call that changes it.
        let mut logged = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.0.known.load_full();
        let wanted = self.0.wanted.load();
        let sources = Sources {
            folder: &self.0.folder,
            remotes: self.remotes()?,
            wanted: &wanted,
            with_digests: self.is_filled(),
        };
        let (known, ignored) = Known::read(sources, &old)?;
        ignored.into_iter().for_each(|ignored| log_once(&mut logged, ignored));
        if let Some(known) = known {
            self.0.lengths.add(known.by_version.keys());
            self.0.known.store(Arc::new(known));
        }
        Ok(())
    }

    /// Logs something that is no record, at the first time. Waits while the records are read.
    pub(crate) fn log_once(&self, ignored: NoRecord) {
        log_once(&mut self.0.logged.lock().unwrap_or_else(PoisonError::into_inner), ignored);
    }

    /// Whether files come from a bucket.
    pub(crate) fn is_filled(&self) -> bool {
        #[cfg(feature = "object-store")]
        return self.0.source.is_some();
        #[cfg(not(feature = "object-store"))]
        false
    }

    #[cfg(not(feature = "object-store"))]
    #[expect(clippy::unnecessary_wraps, reason = "with a bucket it reads the directory")]
    fn remotes(&self) -> Result<Vec<known::Remote>, Error> {
        Ok(Vec::new())
    }
}

fn log_once(logged: &mut HashSet<NoRecord>, ignored: NoRecord) {
    if !logged.contains(&ignored) {
        log::no_record(&ignored.path, &ignored.why);
        logged.insert(ignored);
    }
}

impl Shared {
    fn new(folder: Folder) -> Self {
        Self {
            folder,
            known: ArcSwap::default(),
            lengths: Lengths::default(),
            logged: Mutex::default(),
            wanted: ArcSwap::default(),
            published: Mutex::default(),
            #[cfg(feature = "object-store")]
            source: None,
        }
    }
}

impl Release {
    /// Returns the version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the [tree digest](crate::manifest#the-tree-digest) as 64 lower-case hexadecimal
    /// digits.
    pub fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.digest)
    }

    /// Returns when it was published last.
    pub fn published(&self) -> SystemTime {
        self.published
    }

    /// Returns when the next release was published. `None` for the one that was published last.
    pub fn superseded(&self) -> Option<SystemTime> {
        self.superseded
    }

    /// Returns what it lists. The files have no times.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the number of its files.
    pub fn file_count(&self) -> usize {
        self.manifest.len()
    }

    /// Returns the length of all its files in bytes. Files that it shares with other releases
    /// count in each of them.
    pub fn total_length(&self) -> u64 {
        self.manifest.iter().map(|(_, info)| info.length()).sum()
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
