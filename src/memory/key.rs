//! By which key is a stored response found?

use std::hash::{Hash, Hasher};

use http::{HeaderMap, HeaderValue, header};
use quick_cache::Equivalent;

use crate::manifest::FileIndex;

/// No browser sends a longer `Accept-Encoding`, in bytes. The response to one is not stored.
const LONGEST_ACCEPT: usize = 128;

/// The key of a stored response: a file in one of its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) file: FileKey,
    pub(crate) variant: Variant,
}

/// A file of the current release, by its index; or one of a kept release, by a digest, so that it
/// is the same in all of them. One number, because a key is moved often: two kept files may have
/// the same, and what is stored for one must not be sent for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileKey(u64);

impl FileKey {
    #[cfg(feature = "releases")]
    pub(crate) fn of_kept(digest: &[u8; 32]) -> Self {
        /// No index is so large.
        const KEPT: u64 = 1 << 63;
        let number = digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
        Self(number | KEPT)
    }
}

impl From<FileIndex> for FileKey {
    fn from(FileIndex(index): FileIndex) -> Self {
        Self(index as u64)
    }
}

/// What distinguishes the stored responses for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub(crate) coding: &'static str,
}

/// The `Accept-Encoding` of a request, if it has one. It is up to the inner service which coding
/// it selects for it, so only exactly the same value counts as the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accept(Option<Box<[u8]>>);

/// A request for which the inner service has selected a coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    file: FileKey,
    accept: Accept,
}

/// A borrowed [`Selection`], for look-ups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectionRef<'r> {
    file: FileKey,
    accept: Option<&'r [u8]>,
}

impl<'r> SelectionRef<'r> {
    /// Returns `None` if `Accept-Encoding` has several lines or is too long.
    #[inline]
    pub(crate) fn of(file: FileKey, headers: &'r HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        let accept = lines.next().map(HeaderValue::as_bytes);
        let is_long = accept.is_some_and(|accept| accept.len() > LONGEST_ACCEPT);
        (!is_long && lines.next().is_none()).then_some(Self { file, accept })
    }

    pub(crate) fn to_accept(self) -> Accept {
        Accept(self.accept.map(Box::from))
    }
}

impl Selection {
    pub(crate) fn new(file: FileKey, accept: &Accept) -> Self {
        Self { file, accept: accept.clone() }
    }

    /// Returns the size of the value in bytes.
    pub(super) fn weight(&self) -> usize {
        self.accept.0.as_ref().map_or(0, |accept| accept.len())
    }

    fn as_ref(&self) -> SelectionRef<'_> {
        SelectionRef { file: self.file, accept: self.accept.0.as_deref() }
    }
}

impl Hash for Selection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Hash for SelectionRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { file, accept } = self;
        (file, accept).hash(state);
    }
}

impl Equivalent<Selection> for SelectionRef<'_> {
    fn equivalent(&self, selection: &Selection) -> bool {
        self.file == selection.file && self.accept == selection.accept.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher as _;

    #[cfg(feature = "releases")]
    #[test]
    fn no_kept_file_has_an_index() {
        let kept = |byte| FileKey::of_kept(&[byte; 32]);
        assert_ne!(kept(0), FileIndex(0).into());
        assert_ne!(kept(0), kept(1));
        assert_eq!(kept(1), kept(1));
    }

    #[test]
    fn a_selection_is_found_by_what_it_was_made_of() {
        let file = FileKey::from(FileIndex(7));
        for (name, lines, is_kept) in [
            ("no field", &[][..], true),
            ("empty", &[""], true),
            ("a browser's", &["gzip, deflate, br, zstd"], true),
            ("two lines", &["gzip", "br"], false),
            ("too long", &[&*"gzip, ".repeat(30)], false),
        ] {
            let lines = lines.iter().map(|line| (header::ACCEPT_ENCODING, line.parse().unwrap()));
            let headers = lines.collect::<HeaderMap>();
            let wanted = SelectionRef::of(file, &headers);
            assert_eq!(wanted.is_some(), is_kept, "{name}");
            if let Some(wanted) = wanted {
                let selection = Selection::new(file, &wanted.to_accept());
                let hash = std::hash::RandomState::new();
                assert_eq!(hash.hash_one(wanted), hash.hash_one(&selection), "{name}");
                assert!(wanted.equivalent(&selection), "{name}");
                let other = SelectionRef { file: FileIndex(8).into(), ..wanted };
                assert!(!other.equivalent(&selection), "{name}");
            }
        }
    }
}
