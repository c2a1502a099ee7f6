//! The immutable state that one request sees: mount, version, listed files and
//! policies, agreeing with each other.

pub(crate) mod current;
pub(crate) mod file;
pub(crate) mod files;
pub(crate) mod per_thread;
pub(crate) mod published;

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use crate::{
    Error, ErrorKind, Manifest, StalePolicy,
    manifest::FileInfo,
    memory::Memory,
    policy::Policies,
    snapshot::file::ServedFile,
    snapshot::files::{FileIndex, Listing},
    url::{Mount, Outcome, decode, divide, is_plain},
    version_source::Version,
};

#[derive(Debug)]
pub(crate) struct Snapshot {
    settings: Settings,
    version: Version,
    /// `<origin><mount>/<version>/`
    prefix: Box<str>,
    files: Option<Listing>,
    /// Folders at the top of the tree that have the shape of a version.
    version_shaped_folders: BTreeSet<Box<str>>,
    memory: Option<Arc<Memory>>,
}

/// What a plain path below the mount names.
#[derive(Debug)]
pub(crate) struct Located<'s> {
    pub(crate) file: Option<(FileIndex, &'s Arc<ServedFile>)>,
    /// The path of the file is spelled as it is, without an escape.
    pub(crate) is_literal: bool,
}

/// What stays when the version changes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) mount: Mount,
    pub(crate) origin: Box<str>,
    pub(crate) policies: Policies,
    pub(crate) stale: StalePolicy,
    pub(crate) body_digest_limit: u64,
    pub(crate) memory_budget: u64,
    pub(crate) development: bool,
}

impl Snapshot {
    /// `old` is a snapshot of the same tree, of which everything is kept that is
    /// still so.
    pub(crate) fn new(
        settings: Settings,
        version: Version,
        manifest: Option<Manifest>,
        old: Option<&Self>,
    ) -> Result<Self, Error> {
        let version_shaped_folders = manifest
            .as_ref()
            .map_or_else(BTreeSet::new, |manifest| version_shaped(manifest, &version));
        if version_shaped_folders.contains(version.as_str()) {
            let message = format!("version {:?} is also a folder of the tree", version.as_str());
            return Err(Error::new(ErrorKind::InvalidVersion, message));
        }
        let Settings { origin, mount, .. } = &settings;
        let prefix = format!("{origin}{}/{}/", mount.as_str(), version.as_str()).into();
        let old = old.and_then(|old| old.files.as_ref());
        let files = manifest.map(|manifest| Listing::new(manifest, old));
        let memory = Memory::new(settings.memory_budget).map(Arc::new);
        Ok(Self { settings, version, prefix, files, version_shaped_folders, memory })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn version(&self) -> &str {
        self.version.as_str()
    }

    pub(crate) fn mount(&self) -> &str {
        self.settings.mount.as_str()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn has_manifest(&self) -> bool {
        self.files.is_some()
    }

    /// Whether a segment right after the mount is a version, and no folder.
    pub(crate) fn is_version(&self, segment: &str) -> bool {
        segment == self.version()
            || (self.version.has_shape(segment) && !self.version_shaped_folders.contains(segment))
    }

    /// What stands before the version in the paths that arrive: the mount, or
    /// nothing where an outer router has stripped it.
    pub(crate) fn base(&self, nested: bool) -> &str {
        if nested { "" } else { self.mount() }
    }

    /// [Divides](divide) a path that arrives.
    pub(crate) fn divide<'p>(
        &self,
        nested: bool,
        path: &'p str,
    ) -> Option<(Outcome, &'p str, &'p str)> {
        let is_version = |segment: &str| self.is_version(segment);
        divide(self.base(nested), self.version(), path, is_version)
    }

    /// The file that a raw path below the mount and the version names; `None` where the
    /// path is not plain.
    pub(crate) fn locate(&self, rest: &str) -> Option<Located<'_>> {
        let file = |path: &str| {
            let index = self.find(path)?;
            Some((index, self.served(index)?))
        };
        // Listed paths are plain. This one names itself, if there is no escape in it.
        if let Some(literal) = file(rest).filter(|(_, file)| file.is_literal()) {
            return Some(Located { file: Some(literal), is_literal: true });
        }
        is_plain(rest).then(|| {
            // What decodes to itself has just been looked for.
            let path = decode(rest).filter(|path| matches!(path, Cow::Owned(_)));
            Located { file: path.and_then(|path| file(&path)), is_literal: false }
        })
    }

    /// The file at a logical path.
    pub(crate) fn find(&self, path: &str) -> Option<FileIndex> {
        self.files.as_ref()?.find(path)
    }

    /// What the manifest knows of the file at a logical path.
    pub(crate) fn info(&self, path: &str) -> Option<&FileInfo> {
        self.files.as_ref()?.info(path)
    }

    /// The file that was found there.
    pub(crate) fn served(&self, index: FileIndex) -> Option<&Arc<ServedFile>> {
        self.files.as_ref()?.served(index)
    }

    /// What is kept of its files, if anything shall be.
    pub(crate) fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref()
    }

    /// Every logical path, in bytewise order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(Listing::paths)
    }
}

fn version_shaped(manifest: &Manifest, version: &Version) -> BTreeSet<Box<str>> {
    let folders = manifest.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0));
    folders.filter(|folder| version.has_shape(folder)).map(Box::from).collect()
}
