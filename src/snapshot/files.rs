//! The files of a snapshot, as small as a large tree needs them.

use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::{
    Manifest,
    header::content_coding::SIBLINGS,
    manifest::FileInfo,
    snapshot::file::{Representation, ServedFile},
};

/// The files that a manifest lists, by their logical paths.
///
/// What is hashed comes from the site's owner, and a stranger cannot add to it: no
/// hash is needed that withstands one.
#[derive(Debug)]
pub(crate) struct Listing(IndexMap<Box<str>, ListedFile, FxBuildHasher>);

/// A file of the manifest, with its pre-compressed siblings.
#[derive(Debug)]
pub(crate) struct ListedFile {
    info: FileInfo,
    siblings: Box<[Sibling]>,
    /// Most files of a large tree are never asked for.
    served: OnceLock<Arc<ServedFile>>,
}

/// Where a file stands in its listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIndex(usize);

#[derive(Debug)]
struct Sibling {
    coding: &'static str,
    index: FileIndex,
}

impl Listing {
    /// `old` is a listing of the same tree, of which all is kept that is known of the
    /// files that are still the same.
    pub(crate) fn new(manifest: Manifest, old: Option<&Self>) -> Self {
        let files = manifest.into_files();
        let mut listing = Self(IndexMap::with_capacity_and_hasher(files.len(), FxBuildHasher));
        listing.0.extend(files.into_iter().map(|(path, info)| {
            (path, ListedFile { info, siblings: [].into(), served: OnceLock::new() })
        }));
        listing.find_siblings();
        if let Some(old) = old {
            listing.keep_what_is_known(old);
        }
        listing
    }

    fn find_siblings(&mut self) {
        for (suffix, coding) in SIBLINGS {
            let of = |path: &str| self.find(path.strip_suffix(suffix)?);
            let paths = self.0.keys().enumerate();
            let found = paths.filter_map(|(i, path)| Some((of(path)?, FileIndex(i))));
            for (FileIndex(file), index) in found.collect::<Vec<_>>() {
                let siblings = &mut self.0[file].siblings;
                let others = std::mem::take(siblings).into_iter();
                *siblings = others.chain([Sibling { coding, index }]).collect();
            }
        }
    }

    fn keep_what_is_known(&self, old: &Self) {
        for (path, file) in &self.0 {
            let known = old.0.get(path).filter(|known| self.is_still(file, old, known));
            if let Some(served) = known.and_then(|known| known.served.get()) {
                file.served.get_or_init(|| Arc::clone(served));
            }
        }
    }

    /// Whether a file is as it was in `old`, and has been seen with no other bytes.
    fn is_still(&self, file: &ListedFile, old: &Self, known: &ListedFile) -> bool {
        let has_changed = known.served.get().is_some_and(|served| served.has_changed());
        !has_changed && file.info == known.info && self.siblings(file).eq(old.siblings(known))
    }

    fn siblings(&self, file: &ListedFile) -> impl Iterator<Item = (&'static str, &FileInfo)> {
        let siblings = file.siblings.iter();
        siblings.map(|&Sibling { coding, index: FileIndex(i) }| (coding, &self.0[i].info))
    }

    pub(crate) fn find(&self, path: &str) -> Option<FileIndex> {
        self.0.get_index_of(path).map(FileIndex)
    }

    pub(crate) fn info(&self, path: &str) -> Option<&FileInfo> {
        self.0.get(path).map(|file| &file.info)
    }

    /// The file, with what there is to know of one that is served.
    pub(crate) fn served(&self, FileIndex(index): FileIndex) -> Option<&Arc<ServedFile>> {
        let (path, file) = self.0.get_index(index)?;
        let served = file.served.get_or_init(|| {
            let siblings = self.siblings(file);
            let siblings = siblings.map(|(coding, info)| (coding, Representation::new(info)));
            Arc::new(ServedFile::new(path, &file.info, siblings.collect()))
        });
        Some(served)
    }

    /// Every logical path, in bytewise order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|path| &**path)
    }
}
