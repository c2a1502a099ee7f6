//! Which files are listed? The files of a snapshot, by path, in little memory.

use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
#[cfg(feature = "delta")]
use rustc_hash::FxHashSet;

#[cfg(feature = "delta")]
use crate::snapshot::dictionary;
use crate::{
    Fingerprinted,
    header::content_coding::{IDENTITY, SIBLINGS},
    manifest::{FileIndex, FileInfo, Manifest, siblings::Relation},
    snapshot::{file::File, fingerprinted::FingerprintedFiles},
};

/// The files that a manifest lists, by their logical paths, in bytewise order.
///
/// The paths come from the site's owner and nobody else can add to them, so the hash need not
/// withstand attacks.
#[derive(Debug)]
pub(crate) struct Files {
    entries: IndexMap<Box<str>, Entry, FxBuildHasher>,
    tree_digest: [u8; 32],
    fingerprinted: FingerprintedFiles,
    /// Which files are offered as dictionaries, by index.
    #[cfg(feature = "delta")]
    offered: Box<[bool]>,
}

/// A file of the manifest, with its pre-compressed siblings.
#[derive(Debug)]
struct Entry {
    /// `None` if only siblings of the file are listed.
    info: Option<FileInfo>,
    siblings: Box<[Sibling]>,
    /// Made on the first request: most files of a large tree are never requested.
    file: OnceLock<Arc<File>>,
}

#[derive(Debug)]
struct Sibling {
    coding: &'static str,
    index: FileIndex,
}

impl Files {
    /// Makes the files of a manifest. What is known of unchanged files is taken from `old`, an
    /// earlier list of the same tree.
    pub(crate) fn new(
        manifest: Manifest,
        rule: Option<&Fingerprinted>,
        old: Option<&Self>,
    ) -> Self {
        let tree_digest = *manifest.digest();
        let listed = manifest.into_files();
        let mut entries = IndexMap::with_capacity_and_hasher(listed.len(), FxBuildHasher);
        entries.extend(listed.into_iter().map(|(path, info)| (path, Entry::new(Some(info)))));
        let mut files = Self {
            entries,
            tree_digest,
            fingerprinted: FingerprintedFiles::default(),
            #[cfg(feature = "delta")]
            offered: [].into(),
        };
        files.add_lone();
        files.find_siblings();
        if let Some(rule) = rule {
            files.fingerprinted = files.find_fingerprinted(rule, old);
        }
        if let Some(old) = old {
            files.carry_over(old);
        }
        files
    }

    /// Adds the files of which only siblings are listed.
    fn add_lone(&mut self) {
        let plain = |path: &str| {
            let plain = SIBLINGS.iter().find_map(|(suffix, _)| path.strip_suffix(suffix))?;
            let is_new = is_page_or_asset(plain) && !self.entries.contains_key(plain);
            is_new.then(|| Box::from(plain))
        };
        let lone = self.entries.keys().filter_map(|path| plain(path)).collect::<Vec<Box<str>>>();
        if !lone.is_empty() {
            self.entries.extend(lone.into_iter().map(|path| (path, Entry::new(None))));
            self.entries.sort_unstable_keys();
        }
    }

    fn find_siblings(&mut self) {
        for (suffix, coding) in SIBLINGS {
            let of = |path: &str| self.find(path.strip_suffix(suffix)?);
            let paths = self.entries.keys().enumerate();
            let is_related = |FileIndex(i): FileIndex| {
                let info = self.entries[i].info.as_ref();
                info.is_some_and(|info| info.relation() != Relation::Unrelated)
            };
            let found = paths.filter_map(|(i, path)| Some((of(path)?, FileIndex(i))));
            let found = found.filter(|(_, index)| is_related(*index));
            for (FileIndex(file), index) in found.collect::<Vec<_>>() {
                let siblings = &mut self.entries[file].siblings;
                let others = std::mem::take(siblings).into_iter();
                *siblings = others.chain([Sibling { coding, index }]).collect();
            }
        }
    }

    fn find_fingerprinted(&self, rule: &Fingerprinted, old: Option<&Self>) -> FingerprintedFiles {
        let nothing = FingerprintedFiles::default();
        let old_found = old.map_or(&nothing, |old| &old.fingerprinted);
        let gone = old.into_iter().flat_map(Self::infos);
        let gone = gone.filter_map(|(path, info)| Some((path, info?)));
        let gone = gone.filter(|(path, _)| self.info(path).is_none());
        FingerprintedFiles::find(rule, self.infos(), old_found, gone, |path| old?.info(path))
    }

    /// Returns every file, in the order of the indexes, with its entry of the manifest.
    fn infos(&self) -> impl Iterator<Item = (&str, Option<&FileInfo>)> {
        self.entries.iter().map(|(path, entry)| (&**path, entry.info.as_ref()))
    }

    fn carry_over(&self, old: &Self) {
        for (path, entry) in &self.entries {
            let known = old.entries.get(path).filter(|known| self.is_unchanged(entry, old, known));
            if let Some(file) = known.and_then(|known| known.file.get()) {
                entry.file.get_or_init(|| Arc::clone(file));
            }
        }
    }

    /// Whether a file and its siblings are as they were in `old`, and no response has
    /// contradicted that.
    fn is_unchanged(&self, entry: &Entry, old: &Self, known: &Entry) -> bool {
        let has_changed = known.file.get().is_some_and(|file| file.has_changed());
        let (siblings, mut known_siblings) = (self.siblings(entry), old.siblings(known));
        let mut siblings = siblings.peekable();
        !has_changed
            && match (&entry.info, &known.info) {
                (Some(info), Some(known)) => info.is_unchanged_since(known),
                (info, known) => info.is_none() && known.is_none(),
            }
            && siblings.all(|(coding, info)| {
                known_siblings.next().is_some_and(|(known_coding, known)| {
                    coding == known_coding && info.is_unchanged_since(known)
                })
            })
            && known_siblings.next().is_none()
    }

    fn siblings(&self, entry: &Entry) -> impl Iterator<Item = (&'static str, &FileInfo)> {
        let siblings = entry.siblings.iter();
        siblings.filter_map(|&Sibling { coding, index: FileIndex(i) }| {
            Some((coding, self.entries[i].info.as_ref()?))
        })
    }

    pub(crate) fn tree_digest(&self) -> &[u8; 32] {
        &self.tree_digest
    }

    /// Whether only siblings of the file are listed.
    pub(crate) fn is_lone(&self, FileIndex(index): FileIndex) -> bool {
        self.entries.get_index(index).is_some_and(|(_, entry)| entry.info.is_none())
    }

    /// Returns the index of a file that is listed, itself or by a sibling.
    pub(crate) fn find(&self, path: &str) -> Option<FileIndex> {
        self.entries.get_index_of(path).map(FileIndex)
    }

    pub(crate) fn info(&self, path: &str) -> Option<&FileInfo> {
        self.entries.get(path)?.info.as_ref()
    }

    /// Returns the file at an index, with what responses have shown about it.
    #[inline]
    pub(crate) fn file(&self, FileIndex(index): FileIndex) -> Option<&Arc<File>> {
        let (path, entry) = self.entries.get_index(index)?;
        let file = entry.file.get_or_init(|| {
            let representations = entry.info.iter().map(|info| (IDENTITY, info));
            Arc::new(File::new(path, representations.chain(self.siblings(entry))))
        });
        Some(file)
    }

    /// Returns the manifest of which the files were made.
    #[cfg(feature = "releases")]
    pub(crate) fn to_manifest(&self) -> Manifest {
        let listed = self.infos().filter_map(|(path, info)| Some((path.into(), info?.clone())));
        Manifest::from_checked(listed.collect())
    }

    /// Returns the path of the file at an index.
    #[cfg(feature = "releases")]
    pub(crate) fn path(&self, FileIndex(index): FileIndex) -> Option<&str> {
        self.entries.get_index(index).map(|(path, _)| &**path)
    }

    /// Whether the file at an index has been made.
    #[cfg(feature = "releases")]
    pub(crate) fn is_made(&self, FileIndex(index): FileIndex) -> bool {
        self.entries.get_index(index).is_some_and(|(_, entry)| entry.file.get().is_some())
    }

    /// Offers files as dictionaries. Compressed forms of others are none. What is known of a file
    /// from `old` is forgotten if it was offered and is not any more, or the other way round: the
    /// fields of its responses are others now.
    #[cfg(feature = "delta")]
    pub(crate) fn offer(mut self, rule: Option<&Fingerprinted>, old: Option<&Self>) -> Self {
        let siblings = self.entries.values().flat_map(|entry| &entry.siblings);
        let siblings = siblings.map(|sibling| sibling.index.0).collect::<FxHashSet<_>>();
        let plain = self.infos().enumerate().filter(|(index, _)| !siblings.contains(index));
        let plain =
            plain.filter_map(|(i, (path, info))| Some((FileIndex(i), path, info?.length())));
        self.offered = dictionary::offered(plain, self.entries.len(), |index, path| {
            rule.filter(|_| self.is_fingerprinted(index))?.position(path)
        });
        for ((path, entry), is_offered) in self.entries.iter_mut().zip(&self.offered) {
            let was_offered = old.and_then(|old| Some(old.is_offered(old.find(path)?)));
            if was_offered.is_some_and(|was_offered| was_offered != *is_offered) {
                entry.file.take();
            }
        }
        self
    }

    /// Whether the file at an index is offered as a dictionary.
    #[cfg(feature = "delta")]
    #[inline]
    pub(crate) fn is_offered(&self, FileIndex(index): FileIndex) -> bool {
        self.offered.get(index) == Some(&true)
    }

    /// Returns the paths of the files with some content.
    #[cfg(feature = "object-store")]
    pub(crate) fn paths_of<'f>(&'f self, sha256: &'f [u8; 32]) -> impl Iterator<Item = &'f str> {
        let has_content =
            move |entry: &Entry| entry.info.as_ref().is_some_and(|i| i.sha256() == sha256);
        self.entries.iter().filter(move |(_, entry)| has_content(entry)).map(|(path, _)| &**path)
    }

    /// Returns the representations of the file at an index: coding, path and entry of the
    /// manifest.
    #[cfg(feature = "releases")]
    pub(crate) fn parts(
        &self,
        FileIndex(index): FileIndex,
    ) -> Vec<(&'static str, &str, &FileInfo)> {
        let Some((path, entry)) = self.entries.get_index(index) else { return Vec::new() };
        let plain = entry.info.iter().map(|info| (IDENTITY, &**path, info));
        let siblings = entry.siblings.iter().filter_map(|sibling| {
            let (path, entry) = self.entries.get_index(sibling.index.0)?;
            Some((sibling.coding, &**path, entry.info.as_ref()?))
        });
        plain.chain(siblings).collect()
    }

    /// Returns the file at an index as it is listed, whatever lies on the disk.
    #[cfg(feature = "releases")]
    pub(crate) fn listed(&self, index: FileIndex) -> Option<Arc<File>> {
        let parts = self.parts(index);
        let representations = parts.iter().map(|&(coding, _, info)| (coding, info));
        Some(Arc::new(File::of_listing(self.path(index)?, representations)))
    }

    /// Makes the file at an index of other entries than those of the manifest, which have times.
    #[cfg(feature = "releases")]
    pub(crate) fn make<'i>(
        &self,
        FileIndex(index): FileIndex,
        representations: impl Iterator<Item = (&'static str, &'i FileInfo)>,
    ) {
        if let Some((path, entry)) = self.entries.get_index(index) {
            entry.file.get_or_init(|| Arc::new(File::new(path, representations)));
        }
    }

    /// Whether a listed file is below this directory. The root counts only if it has an
    /// `index.html`.
    pub(crate) fn has_directory(&self, path: &str) -> bool {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return self.find("index.html").is_some();
        }
        let is_before = |listed: &str| match listed.strip_prefix(path) {
            Some(rest) => rest.as_bytes().first() < Some(&b'/'),
            None => listed < path,
        };
        let first = self.entries.partition_point(|listed, _| is_before(listed));
        let listed = self.entries.get_index(first).map(|(listed, _)| listed);
        let below = listed.and_then(|listed| listed.strip_prefix(path));
        below.is_some_and(|below| below.starts_with('/'))
    }

    /// Returns the logical paths of the manifest that begin with this text, in bytewise order.
    pub(crate) fn paths_from<'f>(&'f self, start: &'f str) -> impl Iterator<Item = &'f str> {
        let first = self.entries.partition_point(|path, _| &**path < start);
        let listed = self.entries[first..].iter();
        let listed = listed.take_while(move |(path, _)| path.starts_with(start));
        listed.filter(|(_, entry)| entry.info.is_some()).map(|(path, _)| &**path)
    }

    /// Whether the inner service can answer for a path that spells no listed file. The mount
    /// itself, directories of listed files, and names that lack `.html` are such paths.
    pub(crate) fn may_answer(&self, path: &str) -> bool {
        path.is_empty() || self.has_directory(path) || self.find(&format!("{path}.html")).is_some()
    }

    /// Whether any file is fingerprinted.
    pub(crate) fn has_fingerprinted(&self) -> bool {
        !self.fingerprinted.is_empty()
    }

    #[inline]
    pub(crate) fn is_fingerprinted(&self, file: FileIndex) -> bool {
        self.fingerprinted.contains(file)
    }

    /// Whether the same files are fingerprinted as in another list of the same files.
    pub(crate) fn is_fingerprinted_as(&self, other: &Self) -> bool {
        self.fingerprinted.is_same(&other.fingerprinted)
    }

    /// Returns every logical path of the manifest, in bytewise order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let listed = self.entries.iter().filter(|(_, entry)| entry.info.is_some());
        listed.map(|(path, _)| &**path)
    }
}

/// Whether a file of which there is only a compressed form is meant to be sent as such: not an
/// archive, and not a name without an extension.
fn is_page_or_asset(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    extension.is_some_and(|(_, extension)| !extension.is_empty() && extension != "tar")
}

impl Entry {
    fn new(info: Option<FileInfo>) -> Self {
        Self { info, siblings: [].into(), file: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Files {
        let manifest = Manifest::from_files(paths.iter().map(|path| (path, ""))).unwrap();
        Files::new(manifest, None, None)
    }

    #[test]
    fn directories() {
        let files = files(&["a", "docs-old/a", "docs.txt", "docs/deep/b", "docs0", "x/y/z"]);
        for (name, path, expected) in [
            ("a directory", "docs", true),
            ("with a slash", "docs/", true),
            ("inside another", "docs/deep", true),
            ("deep", "x/y", true),
            ("a prefix of a name", "doc", false),
            ("a longer name", "docs1", false),
            ("a file", "a", false),
            ("below a file", "a/b", false),
            ("a file in a directory", "x/y/z", false),
            ("the root without a page", "", false),
            ("after everything", "zz", false),
        ] {
            assert_eq!(files.has_directory(path), expected, "{name}");
        }
        assert!(self::files(&["a", "index.html"]).has_directory(""), "the root with a page");
    }

    #[test]
    fn paths_from_a_start() {
        let files = files(&["a", "js-old/a", "js.txt", "js/a.js", "js/b.js.gz", "js/x/c", "js0"]);
        let all = files.paths().collect::<Vec<_>>();
        for (name, start, expected) in [
            ("everything", "", &all[..]),
            ("a directory", "js/", &["js/a.js", "js/b.js.gz", "js/x/c"]),
            ("a deeper one", "js/x/", &["js/x/c"]),
            ("no directory", "a/", &[]),
            ("before everything", "A/", &[]),
            ("after everything", "zz/", &[]),
        ] {
            assert_eq!(files.paths_from(start).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn siblings_belong_to_their_file() {
        let files = files(&["a.css", "a.css.br", "a.css.gz", "b.css.gz"]);
        let codings = |path: &str| {
            let entry = files.entries.get(path).unwrap();
            files.siblings(entry).map(|(coding, _)| coding).collect::<Vec<_>>()
        };
        assert_eq!(codings("a.css"), ["gzip", "br"]);
        assert!(codings("b.css.gz").is_empty());
        assert_eq!(codings("b.css"), ["gzip"], "listed by its sibling");
    }

    #[test]
    fn a_file_without_a_plain_form_is_found_but_not_listed() {
        let files = files(&["a.css.gz", "b", "b.gz", "d/.gz", "d/x.js.br", "t.tar.gz", "z.br"]);
        for (path, is_found) in [
            ("a.css", true),
            ("a.css.gz", true),
            ("b", true),
            ("d/", false),
            ("d/x.js", true),
            ("t.tar", false),
            ("z", false),
        ] {
            assert_eq!(files.find(path).is_some(), is_found, "{path}");
        }
        assert!(files.info("a.css").is_none());
        assert_eq!(
            files.paths().collect::<Vec<_>>(),
            ["a.css.gz", "b", "b.gz", "d/.gz", "d/x.js.br", "t.tar.gz", "z.br"]
        );
        assert!(files.has_directory("d"), "still in bytewise order");
    }

    /// What responses have shown stays known as long as nothing about the file has changed.
    #[test]
    fn what_is_carried_over() {
        use crate::snapshot::file::Observation;
        use std::time::SystemTime;

        fn list(entries: &[(&str, &str, Option<SystemTime>)], old: Option<&Files>) -> Files {
            let files = entries.iter().map(|&(path, content, _)| (path, content));
            let manifest = Manifest::from_files(files).unwrap();
            let info = |&(path, _, modified): &(&str, &str, _)| {
                let info = manifest.get(path).unwrap().clone();
                (path.into(), info.with_modified(modified))
            };
            Files::new(Manifest::from_checked(entries.iter().map(info).collect()), None, old)
        }

        fn file<'f>(files: &'f Files, path: &str) -> &'f Arc<File> {
            files.file(files.find(path).unwrap()).unwrap()
        }

        let time = Some(SystemTime::UNIX_EPOCH);
        let old = [("a", "1", time), ("b", "1", time), ("b.br", "2", time), ("b.gz", "3", time)];
        let [a, b, br, gz] = old;
        for (name, path, new, expected) in [
            ("the same", "a", &old[..], true),
            ("the same, with siblings", "b", &old, true),
            ("another file has changed", "a", &[a, ("b", "9", time)], true),
            ("a file more", "b", &[("0", "1", time), a, b, br, gz], true),
            ("content", "a", &[("a", "9", time), b, br, gz], false),
            ("time", "a", &[("a", "1", None), b, br, gz], false),
            ("content, with siblings", "b", &[a, ("b", "9", time), br, gz], false),
            ("a sibling's content", "b", &[a, b, br, ("b.gz", "9", time)], false),
            ("a sibling's time", "b", &[a, b, ("b.br", "2", None), gz], false),
            ("a sibling more", "b", &[a, b, br, gz, ("b.zst", "4", time)], false),
            ("a sibling less", "b", &[a, b, gz], false),
            ("the last sibling less", "b", &[a, b, br], false),
            ("no sibling", "b", &[a, b], false),
            ("another coding", "b", &[a, b, br, ("b.zst", "3", time)], false),
            ("a first sibling", "a", &[a, ("a.gz", "1", time), b, br, gz], false),
        ] {
            let old = list(&old, None);
            let known = file(&old, path);
            let new = list(new, Some(&old));
            assert_eq!(Arc::ptr_eq(known, file(&new, path)), expected, "{name}");
        }
        // Whatever contradicts the manifest, a new scan begins anew.
        let old = list(&[a, b], None);
        let known = [file(&old, "a"), file(&old, "b")];
        let (length, last_modified, content_encoding) = (None, None, None);
        known[0].remember(Observation::Mismatch { length, last_modified, content_encoding });
        let new = list(&[a, b], Some(&old));
        let is_same = ["a", "b"].map(|path| Arc::ptr_eq(file(&old, path), file(&new, path)));
        assert_eq!(is_same, [false, true]);
    }
}
