//! How is a manifest written as the listing that the tree digest hashes, and read again?
//!
//! The reader is strict: it accepts exactly what the writer makes, so that a text and a manifest
//! are two forms of the same thing.

use std::{collections::BTreeMap, fmt};

use data_encoding::HEXLOWER;

use crate::manifest::{
    FileInfo, Manifest,
    tree::{check_path, push_line},
};

/// No listing is longer, in bytes: that is enough for half a million files.
pub(crate) const LONGEST: u64 = 64 * 1024 * 1024;

/// Why a text is no listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Empty,
    /// The line of this number, from 1, is not complete.
    Truncated(usize),
    /// The line of this number, from 1, has not the form of a line.
    Line(usize),
    /// The path cannot be listed.
    Path(String),
    /// The path does not come after the one before.
    Order(String),
}

impl Manifest {
    /// Returns the listing: the text whose SHA-256 is the digest.
    pub(crate) fn to_listing(&self) -> String {
        let mut text = String::new();
        for (path, info) in self.iter() {
            push_line(path, info, &mut text);
        }
        text
    }

    /// Returns about how long the listing is, in bytes.
    pub(crate) fn listing_length(&self) -> u64 {
        /// The numbers, the digest and what separates them.
        const REST: usize = 80;
        self.iter().map(|(path, _)| (path.len() + REST) as u64).sum()
    }

    /// Reads a listing. The digest of the manifest is the SHA-256 of exactly this text.
    pub(crate) fn from_listing_text(text: &[u8]) -> Result<Self, Malformed> {
        let mut files = BTreeMap::<Box<str>, FileInfo>::new();
        let mut rest = text;
        while !rest.is_empty() {
            let number = files.len() + 1;
            let (path, info, after) = parse_line(rest).map_err(|why| match why {
                BadLine::Truncated => Malformed::Truncated(number),
                BadLine::Malformed => Malformed::Line(number),
            })?;
            check_path(path).map_err(|_| Malformed::Path(path.into()))?;
            if files.last_key_value().is_some_and(|(last, _)| **last >= *path) {
                return Err(Malformed::Order(path.into()));
            }
            files.insert(path.into(), info);
            rest = after;
        }
        if files.is_empty() {
            return Err(Malformed::Empty);
        }
        Ok(Self::from_checked(files))
    }
}

enum BadLine {
    Truncated,
    Malformed,
}

/// Parses one line, and returns what follows it.
fn parse_line(text: &[u8]) -> Result<(&str, FileInfo, &[u8]), BadLine> {
    let (path_length, rest) = parse_number(text)?;
    let path_length = usize::try_from(path_length).map_err(|_| BadLine::Malformed)?;
    let (path, rest) = rest.split_at_checked(path_length).ok_or(BadLine::Truncated)?;
    let path = str::from_utf8(path).map_err(|_| BadLine::Malformed)?;
    let (length, rest) = parse_number(expect(rest, b' ')?)?;
    let (digest, rest) = rest.split_at_checked(64).ok_or(BadLine::Truncated)?;
    let sha256 = HEXLOWER.decode(digest).ok().and_then(|digest| digest.try_into().ok());
    let sha256 = sha256.ok_or(BadLine::Malformed)?;
    Ok((path, FileInfo::new(sha256, length), expect(rest, b'\n')?))
}

/// Parses a decimal number without leading zeros, and the colon after it.
fn parse_number(text: &[u8]) -> Result<(u64, &[u8]), BadLine> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let has_leading_zero = number.len() > 1 && number[0] == b'0';
    let rest = expect(rest, b':')?;
    let number = str::from_utf8(number).ok().filter(|_| !has_leading_zero);
    let number = number.and_then(|number| number.parse().ok()).ok_or(BadLine::Malformed)?;
    Ok((number, rest))
}

fn expect(text: &[u8], byte: u8) -> Result<&[u8], BadLine> {
    match text.split_first() {
        Some((first, rest)) if *first == byte => Ok(rest),
        Some(_) => Err(BadLine::Malformed),
        None => Err(BadLine::Truncated),
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::Truncated(line) => write!(f, "is cut off in line {line}"),
            Self::Line(line) => write!(f, "has a malformed line {line}"),
            Self::Path(path) => write!(f, "lists the path {path:?}, which no URL spells safely"),
            Self::Order(path) => write!(f, "lists the path {path:?} out of order or twice"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn line(path: &str) -> String {
        format!("{}:{path} 3:{ABC}\n", path.len())
    }

    #[test]
    fn malformed_listings() {
        let order = |path: &str| Malformed::Order(path.into());
        let path = |path: &str| Malformed::Path(path.into());
        let upper = line("a").replace("ba", "BA");
        for (name, text, expected) in [
            ("empty", String::new(), Malformed::Empty),
            ("no line feed", line("a").trim_end().into(), Malformed::Truncated(1)),
            ("half a digest", line("a")[..40].into(), Malformed::Truncated(1)),
            ("half a path", "10:abc".into(), Malformed::Truncated(1)),
            ("half a second line", line("a") + "1:b 3", Malformed::Truncated(2)),
            ("no colon", "a".into(), Malformed::Line(1)),
            ("no number", format!(":a 3:{ABC}\n"), Malformed::Line(1)),
            ("leading zero", format!("01:a 3:{ABC}\n"), Malformed::Line(1)),
            ("sign", format!("+1:a 3:{ABC}\n"), Malformed::Line(1)),
            ("no such number", format!("1:a 99999999999999999999:{ABC}\n"), Malformed::Line(1)),
            ("huge path", format!("18446744073709551615:a 3:{ABC}\n"), Malformed::Truncated(1)),
            ("wrong length of path", format!("2:a 3:{ABC}\n"), Malformed::Line(1)),
            ("upper case", upper, Malformed::Line(1)),
            ("carriage return", line("a").replace('\n', "\r\n"), Malformed::Line(1)),
            ("blank line", line("a") + "\n", Malformed::Line(2)),
            ("twice", line("a") + &line("a"), order("a")),
            ("wrong order", line("b") + &line("a"), order("a")),
            ("order of segments", line("a/b") + &line("a-b"), order("a-b")),
            ("climbing", line("../a"), path("../a")),
            ("climbing later", line("a/../../b"), path("a/../../b")),
            ("absolute", line("/etc/passwd"), path("/etc/passwd")),
            ("empty path", line(""), path("")),
            ("empty segment", line("a//b"), path("a//b")),
            ("backslash", line(r"a\b"), path(r"a\b")),
            ("NUL", line("a\0b"), path("a\0b")),
        ] {
            assert_eq!(Manifest::from_listing_text(text.as_bytes()), Err(expected), "{name}");
        }
        let not_utf8 = [b"1:\xff 3:", ABC.as_bytes(), b"\n"].concat();
        assert_eq!(Manifest::from_listing_text(&not_utf8), Err(Malformed::Line(1)));
    }

    #[test]
    fn every_odd_name_comes_back() {
        let names = ["with space", "1:a 3:b", "line\nfeed", "fünke", "100%.txt", "a\"b", "..a"];
        let manifest = Manifest::from_files(names.map(|name| (name, "abc"))).unwrap();
        let read = Manifest::from_listing_text(manifest.to_listing().as_bytes()).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), manifest.iter().collect::<Vec<_>>());
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop_oneof!["[a-c .:0-9\n%ü-]{1,6}", "[^/\\\\\0]{1,4}"];
        let segment =
            segment.prop_filter("dot segment", |segment| segment != "." && segment != "..");
        proptest::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"))
    }

    proptest! {
        #[test]
        fn there_and_back(files in proptest::collection::btree_map(path(), any::<[u8; 3]>(), 1..8)) {
            let manifest = Manifest::from_files(files).unwrap();
            let text = manifest.to_listing();
            prop_assert_eq!(&<[u8; 32]>::from(Sha256::digest(&text)), manifest.digest());
            let read = Manifest::from_listing_text(text.as_bytes()).unwrap();
            prop_assert_eq!(read.to_listing(), text);
        }

        #[test]
        fn any_text_is_read_exactly_or_refused(
            text in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(b':'), Just(b' '), Just(b'\n'), b'0'..=b'9',
            ], 0..200),
        ) {
            if let Ok(manifest) = Manifest::from_listing_text(&text) {
                prop_assert_eq!(manifest.to_listing().into_bytes(), text);
            }
        }

        #[test]
        fn a_changed_byte_is_read_exactly_or_refused(
            files in proptest::collection::btree_map(path(), any::<[u8; 3]>(), 1..4),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut text = Manifest::from_files(files).unwrap().to_listing().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            if let Ok(manifest) = Manifest::from_listing_text(&text) {
                prop_assert_eq!(manifest.to_listing().into_bytes(), text);
            }
        }
    }
}
