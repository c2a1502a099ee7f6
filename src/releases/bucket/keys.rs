//! Under which keys do the blobs and records of a bucket lie? The reader is strict: it accepts
//! exactly what the writer makes.

use data_encoding::HEXLOWER;
use object_store::path::{Path, PathPart};

use crate::url::check_segment;

/// The keys below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Path,
}

/// The key of a record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordKey {
    pub(super) shelf: u64,
    pub(super) version: Box<str>,
    pub(super) digest: [u8; 32],
}

impl Keys {
    /// Returns why the prefix cannot be one.
    pub(super) fn new(prefix: &str) -> Result<Self, String> {
        let prefix = Path::parse(prefix).map_err(|error| format!("is no prefix: {error}"))?;
        Ok(Self { prefix })
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    pub(super) fn shelf(&self, shelf: u64) -> Path {
        self.prefix.clone().join(shelf.to_string())
    }

    /// Returns the key that is written to ask the store for its time. It lies on the shelf, because
    /// some stores list no directory that has nothing but directories in it.
    pub(super) fn clock(&self, shelf: u64) -> Path {
        self.shelf(shelf).join("clock")
    }

    pub(super) fn blobs(&self, shelf: u64) -> Path {
        self.shelf(shelf).join("blobs")
    }

    pub(super) fn blob(&self, shelf: u64, sha256: &[u8; 32]) -> Path {
        self.blobs(shelf).join(HEXLOWER.encode(sha256))
    }

    pub(super) fn records(&self, shelf: u64) -> Path {
        self.shelf(shelf).join("releases")
    }

    /// Returns the prefix of the records of one version.
    pub(super) fn records_of(&self, shelf: u64, version: &str) -> Path {
        // As it is, and not escaped: a version is one plain segment.
        let part = PathPart::parse(version).unwrap_or_else(|_| PathPart::from(version));
        self.records(shelf).join(part)
    }

    pub(super) fn record(&self, shelf: u64, version: &str, digest: &[u8; 32]) -> Path {
        self.records_of(shelf, version).join(HEXLOWER.encode(digest))
    }

    /// Parses the key of a record. The error is what is wrong with it.
    pub(super) fn parse_record(&self, key: &Path) -> Result<RecordKey, String> {
        let segments = self.segments(key)?;
        let [shelf, "releases", version, digest] = segments[..] else {
            return Err("is not `<shelf>/releases/<version>/<digest>`".into());
        };
        check_segment(version).map_err(|why| format!("has no version: {why}"))?;
        let (shelf, digest) = (parse_shelf(shelf)?, parse_sha256(digest)?);
        Ok(RecordKey { shelf, version: version.into(), digest })
    }

    /// Parses the key of a blob.
    pub(super) fn parse_blob(&self, key: &Path) -> Result<(u64, [u8; 32]), String> {
        let segments = self.segments(key)?;
        let [shelf, "blobs", sha256] = segments[..] else {
            return Err("is not `<shelf>/blobs/<sha256>`".into());
        };
        Ok((parse_shelf(shelf)?, parse_sha256(sha256)?))
    }

    /// Parses the prefix of a shelf.
    pub(super) fn parse_shelf(&self, key: &Path) -> Result<u64, String> {
        match self.segments(key)?[..] {
            [shelf] => parse_shelf(shelf),
            _ => Err("is not `<shelf>/`".into()),
        }
    }

    /// Returns the segments after the prefix.
    fn segments<'k>(&self, key: &'k Path) -> Result<Vec<&'k str>, String> {
        let prefix = self.prefix.as_ref();
        let rest = key.as_ref().strip_prefix(prefix);
        let rest = if prefix.is_empty() { rest } else { rest.and_then(|r| r.strip_prefix('/')) };
        Ok(rest.ok_or_else(|| format!("is not below {prefix:?}"))?.split('/').collect())
    }
}

/// Parses a decimal number as it is written: without a sign and leading zeros.
fn parse_shelf(text: &str) -> Result<u64, String> {
    let shelf = text.parse::<u64>().ok().filter(|shelf| shelf.to_string() == text);
    shelf.ok_or_else(|| "has no number of a week".into())
}

/// Parses 64 lower-case hexadecimal digits.
fn parse_sha256(text: &str) -> Result<[u8; 32], String> {
    let digest = HEXLOWER.decode(text.as_bytes()).ok().and_then(|digest| digest.try_into().ok());
    digest.ok_or_else(|| "has no SHA-256".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn keys_of_records() {
        let keys = Keys::new("a/site").unwrap();
        let digest = parse_sha256(ABC).unwrap();
        let key = format!("a/site/2900/releases/v1.2~*/{ABC}");
        assert_eq!(keys.record(2900, "v1.2~*", &digest).as_ref(), key);
        let expected = RecordKey { shelf: 2900, version: "v1.2~*".into(), digest };
        assert_eq!(keys.parse_record(&path(&key)), Ok(expected));
        let upper = ABC.to_uppercase();
        for (name, key, why) in [
            ("outside", format!("a/2900/releases/v1/{ABC}"), "below"),
            ("longer prefix", format!("a/sites/2900/releases/v1/{ABC}"), "below"),
            ("the prefix", "a/site".into(), "below"),
            ("no shelf", format!("a/site/releases/v1/{ABC}"), "<shelf>"),
            ("named shelf", format!("a/site/new/releases/v1/{ABC}"), "week"),
            ("leading zero", format!("a/site/02900/releases/v1/{ABC}"), "week"),
            ("sign", format!("a/site/+2900/releases/v1/{ABC}"), "week"),
            ("huge shelf", format!("a/site/18446744073709551616/releases/v1/{ABC}"), "week"),
            ("deeper", format!("a/site/2900/releases/v1/x/{ABC}"), "<shelf>"),
            ("no version", format!("a/site/2900/releases/{ABC}"), "<shelf>"),
            ("escaped version", format!("a/site/2900/releases/%2e%2e/{ABC}"), "version"),
            ("backslash", format!("a/site/2900/releases/a\\b/{ABC}"), "version"),
            ("space", format!("a/site/2900/releases/a b/{ABC}"), "version"),
            ("short digest", format!("a/site/2900/releases/v1/{}", &ABC[1..]), "SHA-256"),
            ("long digest", format!("a/site/2900/releases/v1/{ABC}0"), "SHA-256"),
            ("upper case", format!("a/site/2900/releases/v1/{upper}"), "SHA-256"),
            ("marker of a directory", "a/site/2900/releases/v1".into(), "<shelf>"),
            ("a blob", format!("a/site/2900/blobs/{ABC}"), "<shelf>"),
        ] {
            let error = keys.parse_record(&path(&key)).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn keys_of_blobs_and_shelves() {
        let digest = parse_sha256(ABC).unwrap();
        for (prefix, below) in [("", ""), ("site", "site/"), ("/a/b/", "a/b/")] {
            let keys = Keys::new(prefix).unwrap();
            let key = format!("{below}7/blobs/{ABC}");
            assert_eq!(keys.blob(7, &digest).as_ref(), key);
            assert_eq!(keys.parse_blob(&path(&key)), Ok((7, digest)));
            assert_eq!(keys.parse_shelf(&path(&format!("{below}7"))), Ok(7));
            assert!(keys.parse_shelf(&path(&format!("{below}7/8"))).is_err());
            assert!(keys.parse_shelf(&path(&format!("{below}clock"))).is_err());
            assert!(keys.parse_blob(&path(&format!("{below}7/blobs/{ABC}/x"))).is_err());
            assert!(keys.parse_blob(&path(&format!("{below}7/blobs/abc"))).is_err());
        }
    }

    #[test]
    fn prefixes() {
        for bad in ["a//b", "..", "a/../b", "a/./b", "a\nb"] {
            assert!(Keys::new(bad).is_err(), "{bad:?}");
        }
    }

    fn version() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9._~!$&'()*+,;=:@-]{1,20}".prop_filter("dot segment", |v| v != "." && v != "..")
    }

    proptest! {
        #[test]
        fn there_and_back(shelf: u64, version in version(), digest: [u8; 32], prefix in "[a-z]{0,3}") {
            let keys = Keys::new(&prefix).unwrap();
            let record = RecordKey { shelf, version: version.as_str().into(), digest };
            prop_assert_eq!(keys.parse_record(&keys.record(shelf, &version, &digest)), Ok(record));
            prop_assert_eq!(keys.parse_blob(&keys.blob(shelf, &digest)), Ok((shelf, digest)));
        }

        #[test]
        fn what_is_accepted_is_what_is_written(key in "[0-9]{1,2}/(releases|blobs)/([a-z~%.]{1,2}/)?[0-9a-fA-F]{63,65}") {
            let keys = Keys::new("").unwrap();
            let Ok(key) = Path::parse(key) else { return Ok(()) };
            if let Ok(RecordKey { shelf, version, digest }) = keys.parse_record(&key) {
                prop_assert_eq!(&keys.record(shelf, &version, &digest), &key);
            }
            if let Ok((shelf, digest)) = keys.parse_blob(&key) {
                prop_assert_eq!(&keys.blob(shelf, &digest), &key);
            }
        }
    }
}
