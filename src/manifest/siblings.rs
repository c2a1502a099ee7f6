//! Was a pre-compressed file made of the very file beside it?

use std::collections::BTreeMap;

use crate::{
    header::content_coding::SIBLINGS,
    manifest::{FileInfo, report::Finding},
};

/// The suffix of the coding that says of which content it is.
const GZIP: &str = ".gz";

/// The CRC-32 and the length, modulo 2^32, of some content: of a file, or of what is in a
/// `.gz`, which ends with both (RFC 1952 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// It was not needed.
    Unknown,
    Of {
        crc32: u32,
        length: u32,
    },
    /// The file is no gzip.
    Malformed,
}

/// What must be learned about a file while it is read, for the sake of a sibling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// Its own checksum: it has a `.gz`.
    Content,
    /// The checksum at its end: it is a `.gz`.
    Trailer,
}

impl Wanted {
    pub(super) fn of(path: &str, is_listed: impl Fn(&str) -> bool) -> Self {
        if path.strip_suffix(GZIP).is_some_and(&is_listed) {
            Self::Trailer
        } else if is_listed(&format!("{path}{GZIP}")) {
            Self::Content
        } else {
            Self::Nothing
        }
    }
}

/// Finds the siblings that were not made of their file.
pub(super) fn compare(files: &mut BTreeMap<Box<str>, FileInfo>, mut report: impl FnMut(Finding)) {
    let mut stale = Vec::new();
    for (path, sibling) in &*files {
        let file = SIBLINGS.iter().find_map(|(suffix, _)| {
            let file = path.strip_suffix(suffix)?;
            Some((file, files.get(file)?))
        });
        let Some((name, file)) = file else { continue };
        if let Some(why) = why_stale(file, sibling, path.ends_with(GZIP)) {
            report(Finding::StaleSibling { sibling: path.clone(), file: name.into(), why });
            stale.push(path.clone());
        }
    }
    for (path, info) in files {
        info.is_stale_sibling = stale.binary_search(path).is_ok();
    }
}

/// Returns why a sibling does not count, if it does not.
fn why_stale(file: &FileInfo, sibling: &FileInfo, is_gzip: bool) -> Option<&'static str> {
    if is_gzip {
        return match (file.checksum, sibling.checksum) {
            (Checksum::Of { .. }, Checksum::Malformed) => Some("it is not gzip"),
            (one @ Checksum::Of { .. }, other @ Checksum::Of { .. }) => {
                (one != other).then_some("it is of other content")
            }
            // Of a manifest that came without: the build step has compared them.
            _ => None,
        };
    }
    let is_older =
        sibling.modified.zip(file.modified).is_some_and(|(sibling, file)| sibling < file);
    is_older.then_some("it is older")
}

/// Collects the checksum at the end of a `.gz` while it is read.
#[derive(Debug, Default)]
pub(super) struct GzipEnds {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
}

/// The header has at least 10 bytes, an empty block of content 2, and the trailer 8.
const SHORTEST_GZIP: u64 = 20;
const TRAILER: usize = 8;

impl GzipEnds {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let missing = 2_usize.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend(&bytes[..missing]);
        self.tail.extend(&bytes[bytes.len().saturating_sub(TRAILER)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TRAILER));
        self.length += bytes.len() as u64;
    }

    pub(super) fn checksum(&self) -> Checksum {
        let is_gzip = self.head == [0x1f, 0x8b] && self.length >= SHORTEST_GZIP;
        match *self.tail {
            [a, b, c, d, e, f, g, h] if is_gzip => Checksum::Of {
                crc32: u32::from_le_bytes([a, b, c, d]),
                length: u32::from_le_bytes([e, f, g, h]),
            },
            _ => Checksum::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use std::time::{Duration, SystemTime};

    /// `printf 'hello\n' | gzip -n | xxd -i`
    const HELLO: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 2, 0, 0x20, 0x30,
        0x3a, 0x36, 6, 0, 0, 0,
    ];

    fn stale(files: &[(&str, &[u8])]) -> Vec<String> {
        let manifest = Manifest::from_files(files.iter().copied()).unwrap();
        let stale = manifest.iter().filter(|(_, info)| info.is_stale_sibling);
        stale.map(|(path, _)| path.to_owned()).collect()
    }

    #[test]
    fn a_gzip_tells_of_what_it_is() {
        for (name, file, sibling, is_stale) in [
            ("its own", &b"hello\n"[..], HELLO, false),
            ("another content", b"hullo\n", HELLO, true),
            ("another length", b"hello", HELLO, true),
            ("no gzip", b"hello\n", b"hello\n hello\n hello\n", true),
            ("cut off", b"hello\n", &HELLO[..HELLO.len() - 1], true),
            ("only a header", b"hello\n", &HELLO[..10], true),
            ("empty", b"hello\n", b"", true),
        ] {
            let found = stale(&[("a.css", file), ("a.css.gz", sibling)]);
            let expected: &[&str] = if is_stale { &["a.css.gz"] } else { &[] };
            assert_eq!(found, expected, "{name}");
        }
        assert!(stale(&[("b.gz", b"no gzip"), ("c", b"1")]).is_empty(), "of no listed file");
        assert!(stale(&[("a", b"1"), ("a.br", b"2")]).is_empty(), "no time to compare");
    }

    #[test]
    fn the_ends_of_a_file_do_not_depend_on_how_it_is_read() {
        for size in 1..=HELLO.len() {
            let mut ends = GzipEnds::default();
            HELLO.chunks(size).for_each(|bytes| ends.update(bytes));
            assert_eq!(ends.checksum(), Checksum::Of { crc32: 0x363a_3020, length: 6 }, "{size}");
        }
    }

    #[test]
    fn any_other_coding_must_not_be_older() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let manifest = Manifest::from_files([("a", "1")]).unwrap();
        let info = |modified| manifest.get("a").unwrap().clone().with_modified(modified);
        for (name, file, sibling, is_stale) in [
            ("made later", at(1), at(2), false),
            ("made at once", at(1), at(1), false),
            ("older", at(2), at(1), true),
            ("no time of the file", None, at(1), false),
            ("no time of its own", at(1), None, false),
        ] {
            let why = why_stale(&info(file), &info(sibling), false);
            assert_eq!(why.is_some(), is_stale, "{name}");
        }
    }

    #[test]
    fn what_is_wanted() {
        let is_listed = |path: &str| ["a", "a.gz", "b", "c.gz"].contains(&path);
        for (path, expected) in [
            ("a", Wanted::Content),
            ("a.gz", Wanted::Trailer),
            ("b", Wanted::Nothing),
            ("c.gz", Wanted::Nothing),
        ] {
            assert_eq!(Wanted::of(path, is_listed), expected, "{path}");
        }
    }
}
