//! What a tree of static files contains: every logical path, with the SHA-256 of its content.
//!
//! # The tree digest
//!
//! [`Manifest::digest`] is the SHA-256 of the manifest's listing, and the default source of the
//! version. The listing has one line for each file, in bytewise order of the paths:
//!
//! ```text
//! <length of path>:<path> <length of content>:<SHA-256 of content>\n
//! ```
//!
//! - Lengths are numbers of bytes, in decimal, without leading zeros.
//! - The path is relative to the root, UTF-8, with `/` between its segments, and not escaped:
//!   its length marks its end, whatever bytes it contains.
//! - The content's SHA-256 is 64 lower-case hexadecimal digits.
//! - Every line ends in one line feed (`0x0A`), including the last.
//!
//! Nothing else is part of it: no times, no permissions, no name of the root. The version is
//! the first 16 hexadecimal digits of the digest, unless the builder has a
//! [salt](crate::StaticUrlLayerBuilder::salt). The algorithm does not change within a major
//! version of the crate, and you can implement it in any language. In a POSIX shell, with the
//! [default ignore rule](is_ignored_by_default):
//!
//! ```sh
#![doc = include_str!("tree-digest.sh")]
//! ```
//!
//! A tree of one file `a.txt` with the content `abc` has the listing
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

mod css;
pub(crate) mod diff;
pub(crate) mod fingerprint;
mod hash;
#[cfg(feature = "serde")]
mod json;
#[cfg(feature = "releases")]
pub(crate) mod listing;
mod remembered;
mod report;
pub(crate) mod scan;
pub(crate) mod siblings;
#[cfg(feature = "releases")]
pub(crate) mod stored;
pub(crate) mod tree;
mod verify;
mod walk;

use std::time::SystemTime;

pub(crate) use self::tree::Manifest;
pub use self::{
    diff::Difference,
    scan::{Scan, is_ignored_by_default},
    verify::Verify,
};
use self::{
    fingerprint::Fingerprint,
    siblings::{Checksum, Relation, Source},
};

/// A [`Manifest`]'s entry for one file.
#[derive(Clone, Debug)]
pub struct FileInfo {
    sha256: [u8; 32],
    length: u64,
    modified: Option<SystemTime>,
    /// Whether a later scan need not read the file again.
    fingerprint: Option<Fingerprint>,
    /// Boxed, because most files have none, and there may be many.
    details: Option<Box<Details>>,
}

/// What is known of few files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Details {
    /// The checksum of the content.
    checksum: Checksum,
    /// The checksum at the end of a `.gz`, which is that of what is in it.
    trailer: Checksum,
    /// Of which content it was when it first counted as a pre-compressed sibling.
    made_of: Option<Source>,
    /// Whether it belongs to the file whose pre-compressed sibling it is by its name.
    relation: Relation,
    /// The index of the root that has the file.
    root: usize,
    /// It is a style sheet with a link that leaves the tree.
    has_climbing_link: bool,
}

/// The index of a file in its manifest, in bytewise order of the paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIndex(pub(crate) usize);

impl FileInfo {
    /// Makes the entry of a file that is nowhere on a disk.
    fn new(sha256: [u8; 32], length: u64) -> Self {
        Self { sha256, length, modified: None, fingerprint: None, details: None }
    }

    /// Returns the SHA-256 of the content.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns the length of the content in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns when the file was last modified. `None` if the manifest was not scanned from a
    /// disk, or if the file system has no such times.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Returns the same with another modification time.
    #[cfg(feature = "object-store")]
    pub(crate) fn at(&self, modified: SystemTime) -> Self {
        Self { modified: Some(modified), ..self.clone() }
    }

    fn details(&self) -> Details {
        self.details.as_deref().copied().unwrap_or_default()
    }

    fn with_details(mut self, details: Details) -> Self {
        self.set_details(details);
        self
    }

    fn set_details(&mut self, details: Details) {
        self.details = (details != Details::default()).then(|| Box::new(details));
    }

    /// Returns how it relates to the file whose pre-compressed sibling it is by its name.
    pub(crate) fn relation(&self) -> Relation {
        self.details().relation
    }

    #[cfg(test)]
    pub(crate) fn with_modified(self, modified: Option<SystemTime>) -> Self {
        Self { modified, ..self }
    }

    /// Whether a scan has found no change of the file since `other`.
    pub(crate) fn is_unchanged_since(&self, other: &Self) -> bool {
        let stamp = |info: &Self| info.fingerprint.map(Fingerprint::stamp);
        self == other && self.modified == other.modified && stamp(self) == stamp(other)
    }
}

/// Compares the content: digest and length, not times.
impl PartialEq for FileInfo {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 && self.length == other.length
    }
}

impl Eq for FileInfo {}
