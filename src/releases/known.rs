//! Which releases are known, and which of them is the newest? Their listings are not kept in
//! memory: there can be thousands.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crate::{
    Error, Fingerprinted, Manifest,
    releases::{
        Release,
        folder::{self, Folder},
        index::Index,
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
    directory: PathBuf,
}

impl Known {
    /// Reads the records of a folder. Returns `None` if it has what the `old` ones say, and
    /// what was ignored.
    pub(super) fn read(
        folder: &Folder,
        old: &Self,
        rules: &[Fingerprinted],
    ) -> Result<(Option<Self>, Vec<NoRecord>), Error> {
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
        Ok(((!is_unchanged).then(|| Self::new(by_version, rules)), found.ignored))
    }

    pub(super) fn new(
        by_version: HashMap<Box<str>, Arc<KeptRelease>>,
        rules: &[Fingerprinted],
    ) -> Self {
        let mut newest_first = by_version.values().cloned().collect::<Vec<_>>();
        newest_first.sort_by(|a, b| b.record.order().cmp(&a.record.order()));
        let index = Index::new(&newest_first, rules);
        Self { by_version, newest_first, index }
    }

    /// Reads the listings of the releases.
    pub(super) fn list(&self) -> Result<Vec<Release>, Error> {
        let published = self.newest_first.iter().map(|release| release.record.published);
        let published = published.collect::<Vec<_>>();
        let superseded = retention::superseded(&published);
        let mut releases = Vec::new();
        for (kept, superseded) in self.newest_first.iter().zip(superseded) {
            // One that was deleted meanwhile, or spoilt, is none.
            let Ok(Some(manifest)) = kept.read_manifest() else { continue };
            let Record { version, digest, published, .. } = kept.record.clone();
            let manifest = Arc::new(manifest);
            releases.push(Release { version, digest, published, superseded, manifest });
        }
        Ok(releases)
    }
}

impl Record {
    /// The order of releases. Two of the same time are in some order, but always the same.
    fn order(&self) -> (SystemTime, &str) {
        (self.published, &self.version)
    }
}

impl KeptRelease {
    /// Checks the listing of a record, unless it is known. `None` if it was deleted meanwhile.
    fn read(folder: &Folder, record: Record, old: &Known) -> Result<Option<Arc<Self>>, NoRecord> {
        let old = old.by_version.get(&record.version);
        let old = old.filter(|old| old.record.digest == record.digest);
        if let Some(old) = old.filter(|old| old.record == record) {
            return Ok(Some(Arc::clone(old)));
        }
        if old.is_none() && record.read()?.is_none() {
            return Ok(None);
        }
        let directory = folder.files().join(&*record.version);
        Ok(Some(Arc::new(Self { record, directory })))
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
