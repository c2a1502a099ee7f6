//! Was a pre-compressed file made of the very file beside it?

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    header::content_coding::SIBLINGS,
    manifest::{Details, FileInfo, fingerprint::nanos, report::Finding},
};

/// The suffix of the coding that says of which content it is.
const GZIP: &str = ".gz";

/// The CRC-32 and the length, modulo 2^32, of some content: of a file, or of what is in a
/// `.gz`, which ends with both (RFC 1952 §2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// It was not needed.
    #[default]
    Unknown,
    Of {
        crc32: u32,
        length: u32,
    },
    /// The file is no gzip.
    Malformed,
}

/// What must be learned about a file while it is read, for the sake of siblings. A `.gz` can
/// have a `.gz` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The checksum of its content: it has a `.gz`.
    pub(super) content: bool,
    /// The checksum at its end: it is a `.gz`.
    pub(super) trailer: bool,
}

impl Wanted {
    pub(super) fn of(path: &str, is_listed: impl Fn(&str) -> bool) -> Self {
        Self {
            content: is_listed(&format!("{path}{GZIP}")),
            trailer: path.strip_suffix(GZIP).is_some_and(&is_listed),
        }
    }
}

/// How a file relates to the one whose pre-compressed sibling it is by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It was made of the file, as far as is known. Or it is no sibling of any.
    #[default]
    Sibling,
    /// It was made of another content.
    Stale,
    /// It is in a root behind that of the file: no service looks for it there.
    Unrelated,
}

/// The start of a SHA-256: enough to tell the contents of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(u64);

impl Source {
    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn to_number(self) -> u64 {
        self.0
    }

    fn of(file: &FileInfo) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = file.sha256;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// Finds the siblings that were not made of their file. `known` returns what was known of a
/// path before.
pub(super) fn compare<'k>(
    files: &mut BTreeMap<Box<str>, FileInfo>,
    known: impl Fn(&str) -> Option<&'k FileInfo>,
    mut report: impl FnMut(Finding),
) {
    let mut found = Vec::new();
    for (path, sibling) in &*files {
        let file = SIBLINGS.iter().find_map(|(suffix, _)| {
            let file = path.strip_suffix(suffix)?;
            Some((file, files.get(file)?))
        });
        let Some((name, file)) = file else { continue };
        if sibling.details().root > file.details().root {
            found.push((path.clone(), Relation::Unrelated, None));
            continue;
        }
        let before = known(path).filter(|known| known.sha256 == sibling.sha256);
        let made_of = before.and_then(|known| known.details().made_of);
        match why_stale(file, sibling, path.ends_with(GZIP), made_of) {
            Some(why) => {
                report(Finding::StaleSibling { sibling: path.clone(), file: name.into(), why });
                found.push((path.clone(), Relation::Stale, made_of));
            }
            None => found.push((path.clone(), Relation::Sibling, Some(Source::of(file)))),
        }
    }
    for info in files.values_mut().filter(|info| info.details.is_some()) {
        let (relation, made_of) = Default::default();
        info.set_details(Details { relation, made_of, ..info.details() });
    }
    for (path, relation, made_of) in found {
        if let Some(info) = files.get_mut(&path) {
            info.set_details(Details { relation, made_of, ..info.details() });
        }
    }
}

/// Returns why a sibling does not count, if it does not. `made_of` is the content of which it
/// was before, with the same bytes.
fn why_stale(
    file: &FileInfo,
    sibling: &FileInfo,
    is_gzip: bool,
    made_of: Option<Source>,
) -> Option<&'static str> {
    if is_gzip {
        return match (file.details().checksum, sibling.details().trailer) {
            (_, Checksum::Malformed) => Some("it is not gzip"),
            (one @ Checksum::Of { .. }, other @ Checksum::Of { .. }) => {
                (one != other).then_some("it is of other content")
            }
            // One of them is being written.
            _ => Some("it is not compared yet"),
        };
    }
    if let Some(made_of) = made_of {
        // Whatever the times are: they may have been set back.
        return (made_of != Source::of(file)).then_some("the file has changed, and it has not");
    }
    let times = sibling.modified.zip(file.modified);
    times.is_some_and(|(sibling, file)| is_older(sibling, file)).then_some("it is older")
}

/// Whether a sibling is older than its file. A tool that gives it the time of the file may have
/// rounded that down, and floating-point numbers are a bit off.
fn is_older(sibling: SystemTime, file: SystemTime) -> bool {
    const ROUNDED: [i128; 3] = [1_000, 1_000_000, 1_000_000_000];
    let (sibling, file) = (nanos(sibling), nanos(file));
    let is_rounded = |&unit: &i128| sibling == file - file.rem_euclid(unit);
    file - sibling > ROUNDED[0] && !ROUNDED.iter().any(is_rounded)
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
        let stale = manifest.iter().filter(|(_, info)| info.relation() == Relation::Stale);
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
    fn a_gzip_of_a_gzip_is_compared_with_it() {
        // Twice `gzip -n`, with a stored block.
        let twice = |content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap();
            let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
            gzip.extend(length.to_le_bytes());
            gzip.extend((!length).to_le_bytes());
            gzip.extend(content);
            gzip.extend(crc32fast::hash(content).to_le_bytes());
            gzip.extend(u32::from(length).to_le_bytes());
            gzip
        };
        let files = |last: &[u8]| stale(&[("a", b"hello\n"), ("a.gz", HELLO), ("a.gz.gz", last)]);
        assert!(files(&twice(HELLO)).is_empty());
        assert_eq!(files(HELLO), ["a.gz.gz"], "a copy is no gzip of it");
    }

    #[test]
    fn any_other_coding_must_not_be_older() {
        let at = |nanos: u64| {
            Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789 + nanos))
        };
        let rounded = |nanos: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
        const SECOND: u64 = 1_000_000_000;
        let manifest = Manifest::from_files([("a", "1")]).unwrap();
        let info = |modified| manifest.get("a").unwrap().clone().with_modified(modified);
        for (name, file, sibling, is_stale) in [
            ("made later", at(1), at(2), false),
            ("made at once", at(1), at(1), false),
            ("older", at(2 * SECOND), at(SECOND), true),
            ("a bit older", at(2_000), at(0), true),
            ("off by a rounding", at(250), at(0), false),
            ("rounded to microseconds", at(0), rounded(1_700_000_000_123_456_000), false),
            ("rounded to milliseconds", at(0), rounded(1_700_000_000_123_000_000), false),
            ("rounded to seconds", at(0), rounded(1_700_000_000_000_000_000), false),
            ("rounded to something else", at(0), rounded(1_700_000_000_120_000_000), true),
            ("no time of the file", None, at(1), false),
            ("no time of its own", at(1), None, false),
        ] {
            let why = why_stale(&info(file), &info(sibling), false, None);
            assert_eq!(why.is_some(), is_stale, "{name}");
        }
    }

    /// Times can be set back; the bytes of a sibling cannot be of two contents.
    #[test]
    fn an_edit_beside_the_same_sibling_makes_it_stale() {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let entry = |content: &str, seconds| {
            let manifest = Manifest::from_files([("a", content)]).unwrap();
            manifest.get("a").unwrap().clone().with_modified(Some(time(seconds)))
        };
        let mut known = BTreeMap::<Box<str>, FileInfo>::new();
        for (name, content, sibling, is_stale) in [
            ("at first", entry("teal", 5), entry("of teal", 6), false),
            ("an edit with an older time", entry("navy", 1), entry("of teal", 6), true),
            ("still", entry("navy", 1), entry("of teal", 9), true),
            ("put back", entry("teal", 9), entry("of teal", 6), false),
            ("compressed again", entry("navy", 10), entry("of navy", 11), false),
            ("older, and compressed again", entry("red", 20), entry("of red", 11), true),
        ] {
            let mut files = BTreeMap::from([("a".into(), content), ("a.br".into(), sibling)]);
            compare(&mut files, |path| known.get(path), |_| {});
            assert_eq!(files["a.br"].relation() == Relation::Stale, is_stale, "{name}");
            known = files;
        }
    }

    /// `ServeDir` looks for a sibling in the root of the file, and in those before.
    #[test]
    fn a_sibling_behind_its_file_is_none() {
        let manifest = Manifest::from_files([("a", "1")]).unwrap();
        let at = |root| {
            let details = Details { root, ..Details::default() };
            manifest.get("a").unwrap().clone().with_details(details)
        };
        for (file, sibling, expected) in [
            (0, 0, Relation::Stale),
            (0, 1, Relation::Unrelated),
            (1, 0, Relation::Stale),
            (1, 2, Relation::Unrelated),
        ] {
            let mut files = BTreeMap::from([("a".into(), at(file)), ("a.gz".into(), at(sibling))]);
            compare(&mut files, |_| None, |_| {});
            assert_eq!(files["a.gz"].relation(), expected, "{file}, {sibling}");
        }
    }

    #[test]
    fn what_is_wanted() {
        let is_listed = |path: &str| ["a", "a.gz", "a.gz.gz", "b", "c.gz"].contains(&path);
        for (path, content, trailer) in [
            ("a", true, false),
            ("a.gz", true, true),
            ("a.gz.gz", false, true),
            ("b", false, false),
            ("c.gz", false, false),
        ] {
            assert_eq!(Wanted::of(path, is_listed), Wanted { content, trailer }, "{path}");
        }
    }
}
