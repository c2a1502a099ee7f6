//! How is a snapshot made, at the start and at each reload?

#[cfg(feature = "watch")]
use crate::manifest::scan::AtRest;
use crate::{
    Error, VersionSource,
    manifest::{Manifest, scan::Scan},
    snapshot::{Settings, Snapshot},
    version_source::Salt,
};

#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) settings: Settings,
    pub(crate) source: VersionSource,
    pub(crate) salt: Salt,
    pub(crate) files: FileSource,
}

/// Where the list of files comes from.
#[derive(Clone, Debug)]
pub(crate) enum FileSource {
    /// There is none: the version is declared.
    Unknown,
    Scanned(Scan),
    Listed(Manifest),
}

impl FileSource {
    /// Returns the directories of the files, if they are scanned.
    #[cfg(feature = "releases")]
    pub(crate) fn roots(&self) -> Vec<std::path::PathBuf> {
        match self {
            Self::Scanned(scan) => scan.roots().to_vec(),
            Self::Unknown | Self::Listed(_) => Vec::new(),
        }
    }

    /// Prepares it for one layer.
    pub(crate) fn for_layer(self, is_development: bool) -> Self {
        match self {
            Self::Scanned(scan) => Self::Scanned(scan.for_layer(is_development)),
            Self::Unknown | Self::Listed(_) => self,
        }
    }
}

impl Recipe {
    /// Makes a snapshot. What is known of unchanged files is taken from `old`, the snapshot
    /// before.
    pub(crate) fn make(&self, old: Option<&Snapshot>) -> Result<Snapshot, Error> {
        let manifest = match &self.files {
            FileSource::Unknown => None,
            FileSource::Scanned(scan) => Some(scan.rescan(|path| old?.info(path))?),
            FileSource::Listed(manifest) => Some(manifest.clone()),
        };
        let tree = manifest.as_ref().map(Manifest::digest);
        let version = self.source.resolve(&self.salt, tree)?;
        Snapshot::new(self.settings.clone(), version, manifest, old)
    }

    /// Returns the scan of the files, if they are scanned.
    #[cfg(any(feature = "releases", feature = "watch"))]
    pub(crate) fn scan(&self) -> Option<&Scan> {
        match &self.files {
            FileSource::Scanned(scan) => Some(scan),
            FileSource::Unknown | FileSource::Listed(_) => None,
        }
    }

    /// Returns the same recipe, but for only those changed files that are at rest.
    #[cfg(feature = "watch")]
    pub(crate) fn of_what_is_at_rest(&self, is_at_rest: AtRest) -> Self {
        let files = match &self.files {
            FileSource::Scanned(scan) => FileSource::Scanned(scan.of_what_is_at_rest(is_at_rest)),
            files => files.clone(),
        };
        Self { files, ..self.clone() }
    }
}
