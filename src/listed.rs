//! The files of a snapshot, as small as a large tree needs them.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock},
};

use crate::{
    Manifest,
    coding::SIBLINGS,
    manifest::FileInfo,
    served::{Representation, ServedFile},
};

/// The files that a manifest lists, by their logical paths.
#[derive(Debug)]
pub(crate) struct Listing(HashSet<ByPath>);

/// A file of the manifest, with its pre-compressed siblings.
#[derive(Debug)]
pub(crate) struct ListedFile {
    path: Box<str>,
    info: FileInfo,
    siblings: Box<[Sibling]>,
    /// Most files of a large tree are never asked for.
    served: OnceLock<Arc<ServedFile>>,
}

#[derive(Debug)]
struct Sibling {
    coding: &'static str,
    file: Arc<ListedFile>,
}

impl Listing {
    /// `old` is a listing of the same tree, of which every file is kept, with all that
    /// is known of it, that is still the same.
    pub(crate) fn new(manifest: Manifest, old: Option<&Self>) -> Self {
        let files = manifest.into_files();
        let mut listing = Self(HashSet::with_capacity(files.len()));
        // Most trees have no file that could be a sibling, and need not be searched.
        let occurs = |suffix: &str| files.keys().any(|path| path.ends_with(suffix));
        let siblings = SIBLINGS.map(|sibling| Some(sibling).filter(|(suffix, _)| occurs(suffix)));
        // Backwards, because a sibling comes after the file whose path it extends.
        for (path, info) in files.into_iter().rev() {
            let siblings = siblings.iter().flatten();
            let siblings = siblings.filter_map(|&(suffix, coding)| {
                let file = Arc::clone(listing.get(&[&*path, suffix].concat())?);
                Some(Sibling { coding, file })
            });
            let file =
                ListedFile { siblings: siblings.collect(), path, info, served: OnceLock::new() };
            let kept = old.and_then(|old| old.get(&file.path)).filter(|old| old.is_still(&file));
            let file = kept.map_or_else(|| Arc::new(file), Arc::clone);
            listing.0.insert(ByPath(file));
        }
        listing
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Arc<ListedFile>> {
        self.0.get(path).map(|ByPath(file)| file)
    }

    /// Every logical path, in no order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|ByPath(file)| &*file.path)
    }
}

impl ListedFile {
    pub(crate) fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Whether this is as `other` is, and has been seen with no other bytes.
    fn is_still(&self, other: &Self) -> bool {
        let siblings = |file: &Self| {
            let siblings = file.siblings.iter();
            siblings.map(|it| (it.coding, it.file.info.clone())).collect::<Vec<_>>()
        };
        !self.served.get().is_some_and(|served| served.has_changed())
            && self.info == other.info
            && siblings(self) == siblings(other)
    }

    /// The same, with what there is to know of a file that is served.
    pub(crate) fn served(&self) -> &Arc<ServedFile> {
        self.served.get_or_init(|| {
            let siblings = self.siblings.iter();
            let siblings = siblings.map(|it| (it.coding, Representation::new(&it.file.info)));
            Arc::new(ServedFile::new(&self.path, &self.info, siblings.collect()))
        })
    }
}

/// A file as a set element that is found by its path, which so is kept only once.
#[derive(Debug)]
struct ByPath(Arc<ListedFile>);

impl Borrow<str> for ByPath {
    fn borrow(&self) -> &str {
        &self.0.path
    }
}

impl Hash for ByPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.path.hash(state);
    }
}

impl PartialEq for ByPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.path == other.0.path
    }
}

impl Eq for ByPath {}
