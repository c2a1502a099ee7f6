//! What is served now? A snapshot: mount, version, listed files and policies that belong
//! together and never change. One request sees one snapshot.

pub(crate) mod current;
#[cfg(feature = "delta")]
pub(crate) mod dictionary;
pub(crate) mod evidence;
pub(crate) mod file;
pub(crate) mod files;
pub(crate) mod fingerprinted;
pub(crate) mod per_thread;
pub(crate) mod recipe;
pub(crate) mod representation;
pub(crate) mod version_field;

#[cfg(feature = "delta")]
use std::ops::Range;
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use http::HeaderName;

#[cfg(feature = "delta")]
use crate::delta::Workshop;
#[cfg(feature = "releases")]
use crate::kept::Kept;
use crate::{
    Error, ErrorKind, Fingerprinted, UnlistedPolicy,
    cdn::CdnFields,
    manifest::{FileIndex, FileInfo, Manifest},
    memory::Memory,
    policy::{Policies, StalePolicy},
    snapshot::{evidence::LengthTrust, file::File, files::Files, version_field::VersionField},
    url::{
        Division, Mount, StaticUrlOutcome, decode, divide, is_plain,
        version::{StaleShape, Version},
    },
};

#[derive(Debug)]
pub(crate) struct Snapshot {
    settings: Settings,
    version: Version,
    /// `<origin><mount>/<version>/`
    prefix: Box<str>,
    files: Option<Files>,
    /// The directories at the top of the tree that have the shape of a version.
    version_shaped: BTreeSet<Box<str>>,
    memory: Option<Arc<Memory>>,
    version_field: VersionField,
}

/// The settings that stay when the version changes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) mount: Mount,
    pub(crate) origin: Box<str>,
    pub(crate) policies: Policies,
    pub(crate) stale: StalePolicy,
    /// What a CDN is told.
    pub(crate) cdn: Option<Arc<CdnFields>>,
    pub(crate) body_digest_limit: u64,
    pub(crate) memory_budget: u64,
    pub(crate) is_development: bool,
    pub(crate) trust: LengthTrust,
    pub(crate) fingerprinted: Option<Fingerprinted>,
    pub(crate) unlisted: UnlistedPolicy,
    /// The shapes of stale versions, in addition to that of the current one.
    pub(crate) stale_shapes: Box<[StaleShape]>,
    /// The name of the header that tells pages the version.
    pub(crate) version_header: Option<HeaderName>,
    /// The releases that are answered for, besides the current one.
    #[cfg(feature = "releases")]
    pub(crate) kept: Option<Arc<Kept>>,
    #[cfg(feature = "delta")]
    pub(crate) deltas: Option<Arc<Workshop>>,
}

impl Settings {
    /// Whether a segment has the shape of this version, or one of the other shapes.
    #[inline]
    fn has_shape(&self, version: &Version, segment: &str) -> bool {
        version.has_shape(segment)
            || (!self.stale_shapes.is_empty() && self.has_stale_shape(segment))
    }

    /// Not inlined, because most layers have no such shapes.
    #[cold]
    fn has_stale_shape(&self, segment: &str) -> bool {
        self.stale_shapes.iter().any(|shape| shape.matches(segment))
    }
}

/// Where a request path leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'s, 'p> {
    /// Not below the mount. Or the mount is `/`, and the path belongs to the rest of the site.
    Outside {
        /// The first segment has the shape of a version: it may be a file of another node.
        is_version_shaped: bool,
    },
    Below(Below<'s, 'p>),
}

/// A path below the mount.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Below<'s, 'p> {
    pub(crate) outcome: StaticUrlOutcome,
    /// The path after the mount and the version, if it is plain.
    pub(crate) rest: Option<&'p str>,
    /// `rest` has no escape: it is the logical path.
    pub(crate) is_literal: bool,
    pub(crate) file: Option<(FileIndex, &'s Arc<File>)>,
}

impl Snapshot {
    /// Makes a snapshot. What is known of unchanged files is taken from `old`, an earlier
    /// snapshot of the same tree.
    pub(crate) fn new(
        settings: Settings,
        version: Version,
        manifest: Option<Manifest>,
        old: Option<&Self>,
    ) -> Result<Self, Error> {
        let has_shape = |segment: &str| settings.has_shape(&version, segment);
        let version_shaped = manifest
            .as_ref()
            .map_or_else(BTreeSet::new, |manifest| version_shaped(manifest, has_shape));
        if version_shaped.contains(version.as_str()) {
            let message = format!("version {:?} is also a directory of the tree", version.as_str());
            return Err(Error::new(ErrorKind::InvalidVersion, message));
        }
        let Settings { origin, mount, .. } = &settings;
        let prefix = format!("{origin}{}/{}/", mount.as_str(), version.as_str()).into();
        let old = old.and_then(|old| old.files.as_ref());
        let rule = settings.fingerprinted.as_ref();
        let files = manifest.map(|manifest| Files::new(manifest, rule, old));
        #[cfg(feature = "delta")]
        let files = files.map(|files| match settings.deltas {
            Some(_) => files.offer(rule, old),
            None => files,
        });
        let memory = Memory::new(settings.memory_budget).map(Arc::new);
        let version_field = VersionField::new(settings.version_header.as_ref(), version.as_str());
        Ok(Self { settings, version, prefix, files, version_shaped, memory, version_field })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn version(&self) -> &str {
        self.version.as_str()
    }

    /// Returns the header that tells pages the version.
    #[inline]
    pub(crate) fn version_field(&self) -> &VersionField {
        &self.version_field
    }

    /// Whether a response that passes gets that header: outside the mount it may be a page.
    #[inline]
    pub(crate) fn tells_version(&self, outcome: StaticUrlOutcome) -> bool {
        outcome == StaticUrlOutcome::Outside && self.version_field.is_set()
    }

    pub(crate) fn mount(&self) -> &str {
        self.settings.mount.as_str()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns a URL that begins with the prefix's origin, without that origin.
    pub(crate) fn without_origin<'u>(&self, url: &'u str) -> &'u str {
        &url[self.settings.origin.len()..]
    }

    pub(crate) fn has_manifest(&self) -> bool {
        self.files.is_some()
    }

    /// Whether both snapshots give the same URLs for the same files.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let tree = |snapshot: &Self| snapshot.files.as_ref().map(|files| *files.tree_digest());
        self.prefix == other.prefix
            && self.mount() == other.mount()
            && tree(self) == tree(other)
            && self
                .files
                .iter()
                .zip(&other.files)
                .all(|(one, other)| one.is_fingerprinted_as(other))
    }

    /// Whether a segment right after the mount is a version, and not a directory of the tree.
    #[inline]
    pub(crate) fn is_version(&self, segment: &str) -> bool {
        segment == self.version()
            || (self.settings.has_shape(&self.version, segment)
                && !self.version_shaped.contains(segment))
    }

    /// Returns what precedes the version in a request path: the mount, or nothing if an outer
    /// router has stripped it.
    pub(crate) fn base(&self, nested: bool) -> &str {
        if nested { "" } else { self.mount() }
    }

    /// [Divides](divide) a request path.
    #[inline]
    pub(crate) fn divide<'p>(&self, nested: bool, path: &'p str) -> Option<Division<'p>> {
        let is_version = |segment: &str| self.is_version(segment);
        divide(self.base(nested), self.version(), path, is_version)
    }

    /// Finds out where a request path leads.
    #[inline(always)]
    pub(crate) fn locate<'p>(&self, nested: bool, path: &'p str) -> Place<'_, 'p> {
        let Some(Division { outcome, rest, .. }) = self.divide(nested, path) else {
            return Place::Outside { is_version_shaped: false };
        };
        let below = self.locate_below(outcome, rest);
        if self.settings.mount.is_root() && self.is_foreign(&below) {
            return Place::Outside { is_version_shaped: self.is_version_shaped(path) };
        }
        Place::Below(below)
    }

    #[inline(always)]
    fn locate_below<'p>(&self, outcome: StaticUrlOutcome, rest: &'p str) -> Below<'_, 'p> {
        // The common case: `rest` is a listed path without an escape. Listed paths are plain.
        let literal = self.look_up(rest).filter(|(_, file)| file.is_literal());
        if literal.is_some() {
            return Below { outcome, rest: Some(rest), is_literal: true, file: literal };
        }
        if !is_plain(rest) {
            // No version is removed from such a path.
            let outcome = StaticUrlOutcome::Unversioned;
            return Below { outcome, rest: None, is_literal: false, file: None };
        }
        // A path without an escape was looked up above.
        let path = decode(rest).filter(|path| matches!(path, Cow::Owned(_)));
        let file = path.and_then(|path| self.look_up(&path));
        Below { outcome, rest: Some(rest), is_literal: false, file }
    }

    #[inline]
    fn look_up(&self, path: &str) -> Option<(FileIndex, &Arc<File>)> {
        let index = self.files.as_ref()?.find(path)?;
        Some((index, self.file(index)?))
    }

    /// Whether a path below a mount of `/` belongs to the rest of the site: it is neither a
    /// listed file nor a directory of one. A compressed form alone lists no file there: the
    /// plain one may be a page of the site.
    fn is_foreign(&self, below: &Below<'_, '_>) -> bool {
        let Some(files) = self.files.as_ref() else { return false };
        if below.file.is_some_and(|(index, _)| !files.is_lone(index)) {
            return false;
        }
        let path = below.rest.and_then(decode);
        !path.is_some_and(|path| files.has_directory(&path))
    }

    /// Whether the inner service can answer for a path that spells no listed file, because
    /// listed files are below it, or have its name with an extension.
    pub(crate) fn may_answer(&self, below: &Below<'_, '_>) -> bool {
        let path = below.rest.and_then(decode);
        self.files.as_ref().is_none_or(|files| path.is_some_and(|path| files.may_answer(&path)))
    }

    /// Whether the name of the file at an index changes with its content, so that a cache may
    /// keep it under its unversioned URL.
    #[inline]
    pub(crate) fn is_fingerprinted(&self, index: FileIndex) -> bool {
        self.files.as_ref().is_some_and(|files| files.is_fingerprinted(index))
    }

    /// Returns the prefix of a file's URL: without the version, if the file is fingerprinted.
    pub(crate) fn prefix_of(&self, path: &str) -> &str {
        let files = self.files.as_ref().filter(|files| files.has_fingerprinted());
        let file = files.and_then(|files| files.find(path).filter(|&i| files.is_fingerprinted(i)));
        let version = file.map_or(0, |_| self.version().len() + "/".len());
        &self.prefix[..self.prefix.len() - version]
    }

    fn is_version_shaped(&self, path: &str) -> bool {
        let first = path.strip_prefix('/').and_then(|path| path.split('/').next());
        first.is_some_and(|segment| self.is_version(segment))
    }

    /// Returns the index of the file at a logical path. Not inlined, so that
    /// [`look_up`](Self::look_up) is.
    #[inline(never)]
    pub(crate) fn find(&self, path: &str) -> Option<FileIndex> {
        self.files.as_ref()?.find(path)
    }

    /// Returns the manifest's entry for a logical path.
    pub(crate) fn info(&self, path: &str) -> Option<&FileInfo> {
        self.files.as_ref()?.info(path)
    }

    /// Returns the file at an index.
    #[inline]
    pub(crate) fn file(&self, index: FileIndex) -> Option<&Arc<File>> {
        self.files.as_ref()?.file(index)
    }

    /// Returns the memory of this snapshot's files, if there is a budget for it.
    pub(crate) fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref()
    }

    /// Returns every logical path, in bytewise order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(Files::paths)
    }

    /// Returns the logical paths that begin with this text, in bytewise order.
    pub(crate) fn paths_from<'s>(&'s self, start: &'s str) -> impl Iterator<Item = &'s str> {
        self.files.iter().flat_map(move |files| files.paths_from(start))
    }
}

#[cfg(feature = "delta")]
impl Snapshot {
    /// Whether the file at an index is offered as a dictionary.
    #[inline]
    pub(crate) fn is_offered(&self, index: FileIndex) -> bool {
        self.files.as_ref().is_some_and(|files| files.is_offered(index))
    }

    /// Returns where in a fingerprinted file's path the hash is.
    pub(crate) fn hash(&self, index: FileIndex) -> Option<Range<usize>> {
        let files = self.files.as_ref().filter(|files| files.is_fingerprinted(index))?;
        self.settings.fingerprinted.as_ref()?.position(files.path(index)?)
    }
}

#[cfg(feature = "releases")]
impl Snapshot {
    pub(crate) fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    #[inline]
    pub(crate) fn has_releases(&self) -> bool {
        self.settings.kept.is_some()
    }
}

fn version_shaped(manifest: &Manifest, has_shape: impl Fn(&str) -> bool) -> BTreeSet<Box<str>> {
    let directories = manifest.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0));
    directories.filter(|directory| has_shape(directory)).map(Box::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StaticUrlLayer, StaticUrlLayerBuilder, VersionSource};

    fn snapshot(builder: StaticUrlLayerBuilder) -> crate::snapshot::current::Handle {
        builder.build().unwrap().current().handle()
    }

    fn listing(mount: &str, version: &str, paths: &[&str]) -> StaticUrlLayerBuilder {
        let manifest = Manifest::from_files(paths.iter().map(|path| (path, ""))).unwrap();
        let version = VersionSource::literal(version);
        StaticUrlLayer::builder(mount).manifest(manifest).version(version)
    }

    #[test]
    fn prefixes() {
        let origin = "https://cdn.example.com";
        let with_origin = snapshot(listing("/static", "v1", &["a"]).origin(origin));
        assert_eq!(with_origin.prefix(), "https://cdn.example.com/static/v1/");
        assert_eq!(with_origin.without_origin(with_origin.prefix()), "/static/v1/");
        assert_eq!(snapshot(listing("/", "v1", &["a"])).prefix(), "/v1/");
    }

    #[test]
    fn the_same_urls_of_the_same_files() {
        let one = snapshot(listing("/static", "v1", &["a"]));
        for (name, other, expected) in [
            ("itself", listing("/static", "v1", &["a"]), true),
            ("another version", listing("/static", "v2", &["a"]), false),
            ("another mount", listing("/files", "v1", &["a"]), false),
            ("another origin", listing("/static", "v1", &["a"]).origin("http://a"), false),
            ("other files", listing("/static", "v1", &["b"]), false),
            (
                "no manifest",
                StaticUrlLayer::builder("/static").version(VersionSource::literal("v1")),
                false,
            ),
        ] {
            assert_eq!(one.is_same(&snapshot(other)), expected, "{name}");
        }
    }

    #[test]
    fn a_directory_of_the_tree_is_no_version() {
        let snapshot = snapshot(listing("/static", "v1", &["v2/a", "b/v3/c", "v4"]));
        for (name, segment, expected) in [
            ("the current one", "v1", true),
            ("another", "v9", true),
            ("a directory", "v2", false),
            ("a deeper directory", "v3", true),
            ("a file", "v4", true),
            ("another shape", "w1x", false),
        ] {
            assert_eq!(snapshot.is_version(segment), expected, "{name}");
        }
        let paths = snapshot.paths().collect::<Vec<_>>();
        assert_eq!(paths, ["b/v3/c", "v2/a", "v4"]);
        let clash = listing("/static", "v2", &["v2/a"]).build().unwrap_err();
        assert_eq!(clash.kind(), ErrorKind::InvalidVersion);
    }

    #[test]
    fn what_is_listed() {
        let listed = snapshot(listing("/static", "v1", &["a"]));
        assert!(listed.has_manifest());
        assert!(listed.info("a").is_some());
        assert!(listed.info("b").is_none());
        let version = VersionSource::literal("v1");
        let declared = snapshot(StaticUrlLayer::builder("/static").version(version));
        assert!(!declared.has_manifest());
        assert!(declared.info("a").is_none());
        assert_eq!(declared.paths().count(), 0);
    }
}
