//! Which files does a tree have, and what is its digest?

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{
    Error, ErrorKind,
    manifest::{
        FileInfo, Scan,
        hash::Content,
        report::Findings,
        siblings::{self, Wanted},
    },
};

/// The files of a tree: logical path → digest, length and modification time.
///
/// A logical path is relative to the root, has `/` between its segments and is not escaped:
/// `css/with space.css`.
///
/// ```
/// use tower_static_url::Manifest;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # std::fs::write(folder.path().join("app.css"), "p { color: teal }").unwrap();
/// # let assets = folder.path();
/// let on_disk = Manifest::scan(assets)?;
/// let embedded = Manifest::from_files([("app.css", "p { color: teal }")])?;
/// assert_eq!(on_disk.digest(), embedded.digest());
/// # Ok::<(), tower_static_url::Error>(())
/// ```
///
/// Two manifests are equal if they list the same content under the same paths. The files' times
/// do not matter.
///
/// # JSON
///
/// With the `serde` feature, a build step can make the manifest once and write it as JSON, and
/// the server reads it (`to_json`, `from_json`, `Serialize` and `Deserialize`):
///
/// ```json
/// {
///   "format": 1,
///   "digest": "3f9c2a7be01d4c55…",
///   "files": { "css/app.css": { "sha256": "9f86d081884c7d65…", "length": 4096 } }
/// }
/// ```
///
/// Modification times are not written: a deploy (a checkout, an image layer) gives the same
/// bytes other times. Without them a response is compared by its length only, and a browser
/// may cache a changed file of the same length for a year: make the manifest from exactly the
/// files that you deploy.
#[derive(Clone, Debug)]
pub struct Manifest {
    files: BTreeMap<Box<str>, FileInfo>,
    digest: [u8; 32],
}

/// Compares the tree digests.
impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Manifest {}

impl Manifest {
    /// Hashes every file below the directory `root`, on all cores. Blocks: call it before the
    /// server starts, or on a thread for blocking work.
    ///
    /// See [`Scan`] for which files are listed, and for the settings.
    ///
    /// # Errors
    ///
    /// The same as [`Scan::run`].
    pub fn scan(root: impl AsRef<Path>) -> Result<Self, Error> {
        Scan::new(root.as_ref()).run()
    }

    /// Makes a manifest of files in memory, such as embedded ones: pairs of a logical path and
    /// the content. [Pre-compressed files](Scan#pre-compressed-files) are compared with their
    /// originals as by a scan, if they are `.gz`.
    ///
    /// # Errors
    ///
    /// - [`InvalidPath`](ErrorKind::InvalidPath): a path is not relative and plain, or is
    ///   listed twice.
    /// - [`EmptyManifest`](ErrorKind::EmptyManifest): there is no file.
    pub fn from_files<P, B>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self, Error>
    where
        P: AsRef<str>,
        B: AsRef<[u8]>,
    {
        let files = files.into_iter().collect::<Vec<_>>();
        let paths = files.iter().map(|(path, _)| path.as_ref()).collect::<HashSet<&str>>();
        let listing = files.iter().map(|(path, bytes)| {
            let path = path.as_ref();
            let mut content = Content::new(path, Wanted::of(path, |path| paths.contains(path)));
            content.update(bytes.as_ref());
            (path.into(), content.finish())
        });
        let mut manifest = Self::from_listing(listing)?;
        let findings = Findings::default();
        let report = findings.report(false);
        siblings::compare(&mut manifest.files, |_| None, |finding| report.add(finding));
        Ok(manifest)
    }

    pub(super) fn from_listing(
        listing: impl IntoIterator<Item = (Box<str>, FileInfo)>,
    ) -> Result<Self, Error> {
        let mut files = listing.into_iter().collect::<Vec<_>>();
        files.iter().try_for_each(|(path, _)| check_path(path))?;
        files.sort_by(|(path, _), (other, _)| path.cmp(other));
        if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(invalid_path(&pair[0].0, "is listed twice"));
        }
        // At once: a map that grows file by file takes twice the memory.
        let files = files.into_iter().collect::<BTreeMap<_, _>>();
        if files.is_empty() {
            let message = "a manifest without files";
            return Err(Error::new(ErrorKind::EmptyManifest, message));
        }
        Ok(Self::from_checked(files))
    }

    /// Makes a manifest of paths that are known to be plain.
    pub(crate) fn from_checked(files: BTreeMap<Box<str>, FileInfo>) -> Self {
        let digest = tree_digest(&files);
        Self { files, digest }
    }

    /// Returns the [tree digest](crate::manifest#the-tree-digest).
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the [tree digest](crate::manifest#the-tree-digest) as 64 lower-case hexadecimal
    /// digits.
    pub fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.digest)
    }

    /// Returns the entry for a logical path, if it is listed.
    pub fn get(&self, path: &str) -> Option<&FileInfo> {
        self.files.get(path)
    }

    /// Returns every file, in bytewise order of the paths.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &FileInfo)> {
        self.files.iter().map(|(path, info)| (&**path, info))
    }

    /// Returns the number of listed files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file is listed. Only a layer in
    /// [development](crate::StaticUrlLayerBuilder::development) starts with such a manifest.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(crate) fn into_files(self) -> BTreeMap<Box<str>, FileInfo> {
        self.files
    }
}

fn tree_digest(files: &BTreeMap<Box<str>, FileInfo>) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    let mut line = String::new();
    for (path, info) in files {
        line.clear();
        push_line(path, info, &mut line);
        sha256.update(&line);
    }
    sha256.finalize().into()
}

/// Appends `<length of path>:<path> <length of content>:<SHA-256 of content>\n`.
pub(super) fn push_line(path: &str, info: &FileInfo, text: &mut String) {
    let (path_length, length) = (path.len().to_string(), info.length.to_string());
    text.extend([&*path_length, ":", path, " ", &*length, ":"]);
    HEXLOWER.encode_append(&info.sha256, text);
    text.push('\n');
}

pub(crate) fn check_path(path: &str) -> Result<(), Error> {
    for segment in path.split('/') {
        match segment {
            "" => return Err(invalid_path(path, "has an empty segment")),
            "." | ".." => return Err(invalid_path(path, "has a dot segment")),
            _ => {}
        }
    }
    if !is_spellable(path) {
        return Err(invalid_path(path, "has a character that no URL spells safely"));
    }
    Ok(())
}

/// Whether a request can spell this path: the URL grammar refuses backslashes and NULs in
/// every form.
pub(crate) fn is_spellable(path: &str) -> bool {
    !path.contains(['\\', '\0'])
}

pub(crate) fn invalid_path(path: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidPath, format!("path {path:?} {why}"))
}
