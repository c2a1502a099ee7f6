//! How does a file get into a new release? As a link to one that a kept release has, else as a
//! copy.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustc_hash::FxHashMap;

use crate::{
    Error, ErrorKind, Manifest,
    manifest::FileInfo,
    releases::{
        KeptRelease,
        folder::{below, create_file, set_read_only, unspellable},
        intact::Intact,
        verify::sha256,
    },
};

/// How many bytes one thread reads at a time.
const BUFFER: usize = 128 * 1024;

/// How many bytes of listings are read.
const LISTINGS: u64 = 64 << 20;

/// Where the files of a new release come from, and where they go.
pub(super) struct Copier<'c> {
    directory: &'c Path,
    roots: &'c [PathBuf],
    /// The newest first.
    releases: &'c [Source],
    /// Made when the first file is not where it was.
    by_digest: OnceLock<ByDigest<'c>>,
}

/// A kept release, with what it lists.
pub(super) struct Source {
    release: Arc<KeptRelease>,
    manifest: Manifest,
}

impl Source {
    /// Reads listings, those of the newest releases first. What only others have is copied.
    pub(super) fn read<'r>(newest_first: impl Iterator<Item = &'r Arc<KeptRelease>>) -> Vec<Self> {
        let (mut sources, mut left) = (Vec::new(), LISTINGS);
        for release in newest_first {
            let Ok(Some(manifest)) = release.read_manifest() else { continue };
            left = left.saturating_sub(manifest.listing_length());
            sources.push(Self { release: Arc::clone(release), manifest });
            if left == 0 {
                break;
            }
        }
        sources
    }
}

/// Where each content is: the index of a release, and the path there.
type ByDigest<'c> = FxHashMap<&'c [u8; 32], (usize, &'c str)>;

/// One of the threads that put files into a new release.
pub(super) struct Worker<'w, 'c> {
    copier: &'w Copier<'c>,
    /// What is known of the files of each kept release.
    intact: Vec<Intact>,
    buffer: Vec<u8>,
}

/// How a file was put into a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Linked,
    Copied,
}

impl<'c> Copier<'c> {
    pub(super) fn new(directory: &'c Path, roots: &'c [PathBuf], releases: &'c [Source]) -> Self {
        Self { directory, roots, releases, by_digest: OnceLock::new() }
    }

    pub(super) fn worker(&self) -> Worker<'_, 'c> {
        let intact = self.releases.iter().map(|Source { release, .. }| {
            Intact::new(release.directory().to_owned(), release.recorded())
        });
        Worker { copier: self, intact: intact.collect(), buffer: vec![0; BUFFER] }
    }

    fn by_digest(&self) -> &ByDigest<'c> {
        self.by_digest.get_or_init(|| {
            let mut by_digest = ByDigest::default();
            for (index, release) in self.releases.iter().enumerate() {
                for (path, info) in release.manifest.iter() {
                    by_digest.entry(info.sha256()).or_insert((index, path));
                }
            }
            by_digest
        })
    }
}

/// Returns the file of the first root that has one.
pub(super) fn source(roots: &[PathBuf], path: &str) -> Result<PathBuf, Error> {
    let mut files = roots.iter().filter_map(|root| below(root, path));
    let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    files.find(is_file).ok_or_else(|| {
        let roots = roots.iter().map(|root| format!("{root:?}")).collect::<Vec<_>>();
        let message = match &*roots {
            [] => format!("no kept release has the content of {path:?}, and no root is given"),
            roots => format!("the file {path:?} is not in {} any more", roots.join(" or ")),
        };
        Error::new(ErrorKind::ChangedFile, message)
    })
}

impl Worker<'_, '_> {
    pub(super) fn put(&mut self, path: &str, info: &FileInfo) -> Result<Put, Error> {
        let to = below(self.copier.directory, path).ok_or_else(|| unspellable(path))?;
        // A link can fail for many reasons: too many of them, a file system that has none. A
        // copy is as good, and tells what is wrong if it fails too.
        if self.kept(path, info).is_some_and(|kept| fs::hard_link(kept, &to).is_ok()) {
            return Ok(Put::Linked);
        }
        self.copy(path, info, &to)?;
        Ok(Put::Copied)
    }

    /// Returns where a kept release has the content, usually at the same path.
    fn kept(&mut self, path: &str, info: &FileInfo) -> Option<PathBuf> {
        let newest = self.copier.releases.first()?;
        if newest.manifest.get(path) == Some(info)
            && let Some(file) = self.intact[0].file(path, info)
        {
            return Some(file);
        }
        let &(release, path) = self.copier.by_digest().get(info.sha256())?;
        self.intact[release].file(path, info)
    }

    /// Copies a file, and hashes what has arrived. It keeps the time of the copy: another content
    /// that is published under the same name has another time then, whatever the build sets.
    fn copy(&mut self, path: &str, info: &FileInfo, to: &Path) -> Result<(), Error> {
        let from = source(self.copier.roots, path)?;
        let source = File::open(&from).map_err(|error| Error::io("read", &from, error))?;
        let mut target = create_file(to)?;
        // A byte more than it should have is enough to see that it has changed. The system
        // copies within the kernel, and shares the blocks where the file system can.
        let copied = io::copy(&mut source.take(info.length().saturating_add(1)), &mut target);
        let length = copied.map_err(|error| Error::io("copy", &from, error))?;
        let write_error = |error| Error::io("write", to, error);
        let digest = target.rewind().and_then(|()| sha256(&mut target, &mut self.buffer));
        if length != info.length() || digest.map_err(write_error)? != *info.sha256() {
            return Err(changed(&from, path));
        }
        set_read_only(&target).and_then(|()| target.sync_all()).map_err(write_error)
    }
}

pub(super) fn changed(from: &Path, path: &str) -> Error {
    let message = format!(
        "{from:?} is not the file that the manifest lists as {path:?}: it has changed since the scan"
    );
    Error::new(ErrorKind::ChangedFile, message)
}
