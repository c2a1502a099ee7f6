//! What is in a tree of static files: every logical path with the SHA-256 of its
//! content.
//!
//! # The tree digest
//!
//! [`Manifest::digest`] is a SHA-256 over the manifest's listing, and the default
//! source of the version. The listing has one line for each file, in bytewise
//! order of the paths:
//!
//! ```text
//! <length of path>:<path> <length of content>:<SHA-256 of content>\n
//! ```
//!
//! - Lengths are numbers of bytes, in decimal, without leading zeros.
//! - The path is relative to the root, UTF-8, with `/` between its segments, and
//!   not escaped: its length frames it, whatever bytes it has.
//! - The content's SHA-256 is 64 lower-case hexadecimal digits.
//! - The line ends in one line feed (`0x0A`), also the last one.
//!
//! Nothing else goes in: no times, no permissions, not the name of the root. The
//! version is the first 16 hexadecimal digits of the digest, unless the builder
//! has a [salt](crate::StaticUrlLayerBuilder::salt). The algorithm does not change
//! within a major version of the crate, and any other language can have it. In a
//! POSIX shell, with the [default ignore rule](is_ignored_by_default):
//!
//! ```sh
#![doc = include_str!("tree-digest.sh")]
//! ```
//!
//! A tree of one file `a.txt` that holds `abc` has the listing
//! `5:a.txt 3:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n`:
//!
//! ```
//! # use tower_static_url::Manifest;
//! let manifest = Manifest::from_files([("a.txt", "abc")])?;
//! assert_eq!(
//!     manifest.digest_hex(),
//!     "700024b2606081b55419184270babd59581ec70ca64247625a9153ff80648b17"
//! );
//! # Ok::<(), tower_static_url::Error>(())
//! ```

pub(crate) mod fingerprint;
pub(crate) mod scan;

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{Error, ErrorKind};

use crate::manifest::fingerprint::Fingerprint;

pub use crate::manifest::scan::{Scan, is_ignored_by_default};

/// Logical path → digest, length and modification time, for every file of a tree.
///
/// A logical path is relative, has `/` between its segments and is not escaped:
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
/// # JSON
///
/// With the `serde` feature a manifest is `Serialize` and `Deserialize`, so that a
/// build step can make it once:
///
/// ```json
/// { "format": 1, "files": { "css/app.css": { "sha256": "9f86…", "length": 4096 } } }
/// ```
///
/// Modification times stay behind: they belong to the disk that was scanned, and
/// a deploy (a checkout, an image layer) gives the same bytes other times. Without
/// them a response is compared by its length alone, until an `ETag` of the inner
/// service was seen: make the manifest from the very files that are deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "json::Wire", try_from = "json::Wire"))]
pub struct Manifest {
    files: BTreeMap<Box<str>, FileInfo>,
    digest: [u8; 32],
}

/// What a [`Manifest`] knows of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    pub(crate) sha256: [u8; 32],
    pub(crate) length: u64,
    pub(crate) modified: Option<SystemTime>,
    /// By what a later scan knows the file again without reading it.
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Manifest {
    /// Hashes every file below `root`, on all cores. Blocks: call it before the
    /// server starts, or on a thread for blocking work.
    ///
    /// [`Scan`] says which files are listed, and has the settings.
    ///
    /// # Errors
    ///
    /// As [`Scan::run`].
    pub fn scan(root: impl AsRef<Path>) -> Result<Self, Error> {
        Scan::new(root.as_ref()).run()
    }

    /// Lists files whose bytes are in memory, as embedded ones are.
    ///
    /// # Errors
    ///
    /// [`InvalidPath`](ErrorKind::InvalidPath) for a path that is not relative and
    /// plain, or given twice; [`EmptyManifest`](ErrorKind::EmptyManifest) without
    /// any file.
    pub fn from_files<P, B>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self, Error>
    where
        P: AsRef<str>,
        B: AsRef<[u8]>,
    {
        Self::from_listing(files.into_iter().map(|(path, bytes)| {
            let bytes = bytes.as_ref();
            let info = FileInfo {
                sha256: Sha256::digest(bytes).into(),
                length: bytes.len() as u64,
                modified: None,
                fingerprint: None,
            };
            (path.as_ref().into(), info)
        }))
    }

    fn from_listing(
        listing: impl IntoIterator<Item = (Box<str>, FileInfo)>,
    ) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for (path, info) in listing {
            check_path(&path)?;
            if let Some(twice) = files.insert(path.clone(), info).map(|_| path) {
                return Err(invalid_path(&twice, "is listed twice"));
            }
        }
        if files.is_empty() {
            let message = "a manifest without files";
            return Err(Error::new(ErrorKind::EmptyManifest, message));
        }
        Ok(Self::from_checked(files))
    }

    /// From paths that are known to be plain.
    pub(crate) fn from_checked(files: BTreeMap<Box<str>, FileInfo>) -> Self {
        let digest = tree_digest(&files);
        Self { files, digest }
    }

    /// The [tree digest](self#the-tree-digest).
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The [tree digest](self#the-tree-digest) as 64 lower-case hexadecimal digits.
    pub fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.digest)
    }

    /// What is known of the file at a logical path.
    pub fn get(&self, path: &str) -> Option<&FileInfo> {
        self.files.get(path)
    }

    /// Every file, in bytewise order of the paths.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &FileInfo)> {
        self.files.iter().map(|(path, info)| (&**path, info))
    }

    /// How many files are listed; never 0.
    #[allow(clippy::len_without_is_empty, reason = "no manifest is empty")]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn into_files(self) -> BTreeMap<Box<str>, FileInfo> {
        self.files
    }
}

impl FileInfo {
    /// SHA-256 of the content.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Length of the content in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// When the file was last modified, if it came from a disk that says so.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }
}

fn tree_digest(files: &BTreeMap<Box<str>, FileInfo>) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    let mut line = String::new();
    for (path, FileInfo { sha256: content, length, .. }) in files {
        line.clear();
        line.extend([&*path.len().to_string(), ":", path, " ", &*length.to_string(), ":"]);
        HEXLOWER.encode_append(content, &mut line);
        line.push('\n');
        sha256.update(&line);
    }
    sha256.finalize().into()
}

fn check_path(path: &str) -> Result<(), Error> {
    for segment in path.split('/') {
        match segment {
            "" => return Err(invalid_path(path, "has an empty segment")),
            "." | ".." => return Err(invalid_path(path, "has a dot segment")),
            _ => {}
        }
    }
    match is_spellable(path) {
        true => Ok(()),
        false => Err(invalid_path(path, "has a character that no URL spells safely")),
    }
}

/// Whether the URL grammar lets a request spell this path: it refuses backslashes
/// and NULs in every form.
pub(crate) fn is_spellable(path: &str) -> bool {
    !path.contains(['\\', '\0'])
}

pub(crate) fn invalid_path(path: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidPath, format!("path {path:?} {why}"))
}

#[cfg(feature = "serde")]
mod json {
    use super::*;
    use serde::{Deserialize, Serialize};

    const FORMAT: u32 = 1;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Wire {
        format: u32,
        files: BTreeMap<Box<str>, WireFile>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct WireFile {
        sha256: String,
        length: u64,
    }

    impl From<Manifest> for Wire {
        fn from(manifest: Manifest) -> Self {
            let wire = |info: FileInfo| WireFile {
                sha256: HEXLOWER.encode(&info.sha256),
                length: info.length,
            };
            let files = manifest.files.into_iter().map(|(path, info)| (path, wire(info)));
            Self { format: FORMAT, files: files.collect() }
        }
    }

    impl TryFrom<Wire> for Manifest {
        type Error = Error;

        fn try_from(wire: Wire) -> Result<Self, Error> {
            if wire.format != FORMAT {
                let message = format!("manifest format {} is not {FORMAT}", wire.format);
                return Err(Error::new(ErrorKind::InvalidManifest, message));
            }
            let files = wire.files.into_iter().map(|(path, file)| {
                let info = file.parse().ok_or_else(|| {
                    let message = format!("path {path:?} has no SHA-256");
                    Error::new(ErrorKind::InvalidManifest, message)
                })?;
                Ok((path, info))
            });
            Manifest::from_listing(files.collect::<Result<Vec<_>, Error>>()?)
        }
    }

    impl WireFile {
        fn parse(self) -> Option<FileInfo> {
            let sha256 = HEXLOWER.decode(self.sha256.as_bytes()).ok()?.try_into().ok()?;
            Some(FileInfo { sha256, length: self.length, modified: None, fingerprint: None })
        }
    }
}
