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
    pub(crate) file: FileIndex,
    pub(crate) variant: Variant,
}

/// What distinguishes the stored responses for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub(crate) coding: &'static str,
}

/// A request for which the inner service has selected a coding. It is up to the service which
/// coding it selects for an `Accept-Encoding`, so only exactly the same value counts as the
/// same selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    file: FileIndex,
    accept: Option<Box<[u8]>>,
}

/// A borrowed [`Selection`], for look-ups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectionRef<'r> {
    file: FileIndex,
    accept: Option<&'r [u8]>,
}

impl<'r> SelectionRef<'r> {
    /// Returns `None` if `Accept-Encoding` has several lines or is too long.
    pub(crate) fn of(file: FileIndex, headers: &'r HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        let accept = lines.next().map(HeaderValue::as_bytes);
        let is_long = accept.is_some_and(|accept| accept.len() > LONGEST_ACCEPT);
        (!is_long && lines.next().is_none()).then_some(Self { file, accept })
    }

    pub(crate) fn to_selection(self) -> Selection {
        Selection { file: self.file, accept: self.accept.map(Box::from) }
    }
}

impl Selection {
    pub(crate) fn file(&self) -> FileIndex {
        self.file
    }

    /// Returns the size of the value in bytes.
    pub(super) fn weight(&self) -> usize {
        self.accept.as_ref().map_or(0, |accept| accept.len())
    }

    fn as_ref(&self) -> SelectionRef<'_> {
        SelectionRef { file: self.file, accept: self.accept.as_deref() }
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
        self.file == selection.file && self.accept == selection.accept.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher as _;

    #[test]
    fn a_selection_is_found_by_what_it_was_made_of() {
        let file = FileIndex(7);
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
                let selection = wanted.to_selection();
                let hash = std::hash::RandomState::new();
                assert_eq!(hash.hash_one(wanted), hash.hash_one(&selection), "{name}");
                assert!(wanted.equivalent(&selection), "{name}");
                let other = SelectionRef { file: FileIndex(8), ..wanted };
                assert!(!other.equivalent(&selection), "{name}");
            }
        }
    }
}
