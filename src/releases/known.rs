//! Which releases are known, and which of them is the newest? Their listings are not kept in
//! memory: there can be thousands.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crate::{
    Error, Manifest,
    releases::{
        Release,
        folder::{self, Folder},
        index::{Index, Searches},
        record::{NoRecord, Record},
        retention,
    },
};

/// The known releases. It never changes: a refresh makes another one.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) by_version: HashMap<Box<str>, Arc<KeptRelease>>,
    pub(super) newest_first: Vec<Arc<KeptRelease>>,
    pub(super) index: Index,
}

/// A release whose files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptRelease {
    pub(super) record: Record,
    /// When it was published last. The store's clock counts for all nodes.
    pub(super) published: SystemTime,
    /// It was published to the directory, so all its files are there.
    is_own: bool,
    /// The shelves of the bucket that have it.
    shelves: Vec<u64>,
    directory: PathBuf,
}

/// A release that a bucket has.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// Where the listing is or will be, and whose it is.
    pub(super) record: Record,
    pub(super) shelves: Vec<u64>,
}

/// What there is to know about.
pub(super) struct Sources<'s> {
    pub(super) folder: &'s Folder,
    pub(super) remotes: Vec<Remote>,
    pub(super) wanted: &'s Searches,
    /// To find content by its digest.
    pub(super) with_digests: bool,
}

impl Known {
    /// Reads the records of a folder. Returns `None` if it has what the `old` ones say, and
    /// what was ignored.
    pub(super) fn read(
        sources: Sources<'_>,
        old: &Self,
    ) -> Result<(Option<Self>, Vec<NoRecord>), Error> {
        let Sources { folder, remotes, wanted, with_digests } = sources;
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
        for remote in remotes {
            found.ignored.extend(add_remote(folder, remote, &mut by_version));
        }
        by_version.values_mut().for_each(|release| release.reuse(old));
        let is_known = |release: &Arc<KeptRelease>| {
            old.by_version.get(release.version()).is_some_and(|old| Arc::ptr_eq(old, release))
        };
        let is_unchanged =
            by_version.len() == old.by_version.len() && by_version.values().all(is_known);
        let new = || Self::new(by_version, wanted, with_digests);
        Ok(((!is_unchanged).then(new), found.ignored))
    }

    pub(super) fn new(
        by_version: HashMap<Box<str>, Arc<KeptRelease>>,
        wanted: &Searches,
        with_digests: bool,
    ) -> Self {
        let mut newest_first = by_version.values().cloned().collect::<Vec<_>>();
        newest_first.sort_by(|a, b| b.order().cmp(&a.order()));
        let index = Index::new(&newest_first, wanted, with_digests);
        Self { by_version, newest_first, index }
    }

    /// Returns the releases that were published to the directory, the newest first.
    pub(super) fn own(&self) -> impl Iterator<Item = &Arc<KeptRelease>> {
        self.newest_first.iter().filter(|release| release.is_own)
    }
}

/// Reads the listings of releases, which are the newest first.
pub(super) fn list(kept: &[Arc<KeptRelease>]) -> Vec<Release> {
    let published = kept.iter().map(|release| release.published).collect::<Vec<_>>();
    let mut releases = Vec::new();
    for (kept, superseded) in kept.iter().zip(retention::superseded(&published)) {
        // One that was deleted meanwhile, or spoilt, is none.
        let Ok(Some(manifest)) = kept.read_manifest() else { continue };
        let (published, Record { version, digest, .. }) = (kept.published, kept.record.clone());
        let manifest = Arc::new(manifest);
        releases.push(Release { version, digest, published, superseded, manifest });
    }
    releases
}

/// Adds a release of a bucket. What was published to the directory under the same version counts
/// more.
fn add_remote(
    folder: &Folder,
    remote: Remote,
    by_version: &mut HashMap<Box<str>, Arc<KeptRelease>>,
) -> Option<NoRecord> {
    let Remote { record, shelves } = remote;
    match by_version.entry(record.version.clone()) {
        Entry::Vacant(entry) => {
            let directory = folder.files().join(&*record.version);
            let published = record.published;
            let release = KeptRelease { record, published, is_own: false, shelves, directory };
            entry.insert(Arc::new(release));
        }
        Entry::Occupied(own) if own.get().record.digest != record.digest => {
            let path = own.get().record.path.clone();
            let why = "has another digest than the bucket has for this version".into();
            return Some(NoRecord { path, why });
        }
        Entry::Occupied(mut own) => {
            let mut release = KeptRelease::clone(own.get());
            release.published = record.published;
            release.shelves = shelves;
            own.insert(Arc::new(release));
        }
    }
    None
}

impl KeptRelease {
    /// The order of releases. Two of the same time are in some order, but always the same.
    fn order(&self) -> (SystemTime, &str) {
        (self.published, self.version())
    }

    /// Returns when the record was written, by the clock of this machine.
    pub(super) fn recorded(&self) -> SystemTime {
        self.record.published
    }

    /// Checks the listing of a record of the directory, unless it is known. `None` if it was
    /// deleted meanwhile.
    fn read(folder: &Folder, record: Record, old: &Known) -> Result<Option<Arc<Self>>, NoRecord> {
        let old = old.by_version.get(&record.version);
        let is_checked = old.is_some_and(|old| old.is_own && old.record.digest == record.digest);
        if !is_checked && record.read()?.is_none() {
            return Ok(None);
        }
        let directory = folder.files().join(&*record.version);
        let (published, shelves) = (record.published, Vec::new());
        Ok(Some(Arc::new(Self { record, published, is_own: true, shelves, directory })))
    }

    /// Takes the one that is known, if it is the same.
    fn reuse(self: &mut Arc<Self>, old: &Known) {
        if let Some(old) = old.by_version.get(self.version()).filter(|old| *old == self) {
            *self = Arc::clone(old);
        }
    }

    #[cfg(all(test, feature = "delta"))]
    pub(super) fn new(record: Record, is_own: bool) -> Self {
        let (published, directory) = (record.published, PathBuf::new());
        Self { record, published, is_own, shelves: Vec::new(), directory }
    }

    pub(crate) fn version(&self) -> &str {
        &self.record.version
    }

    /// Whether two records are of the same files under the same version.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.record.version == other.record.version && self.record.digest == other.record.digest
    }

    /// Reads what the release lists: files without times, of which it is not known which siblings
    /// are stale. `None` if the record was deleted meanwhile.
    pub(crate) fn read_manifest(&self) -> Result<Option<Manifest>, NoRecord> {
        self.record.read()
    }

    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Returns the shelves of the bucket that have it, the newest first.
    #[cfg(feature = "object-store")]
    pub(crate) fn shelves(&self) -> &[u64] {
        &self.shelves
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
