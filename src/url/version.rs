//! Which segments look like a version? A version, and the shape that it shares with others.

use data_encoding::HEXLOWER;

use crate::{Error, ErrorKind, url::check_segment};

/// The length of a hashed version, in lower-case hexadecimal digits.
const HASHED_LEN: usize = 16;

/// A version, and the shape that tells other versions from directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    text: Box<str>,
    shape: Shape,
}

/// The shape of versions that a site had earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StaleShape(Version);

impl Version {
    /// Makes a version of the first digits of a digest.
    pub(crate) fn hashed(digest: &[u8; 32]) -> Self {
        let text = HEXLOWER.encode(&digest[..HASHED_LEN / 2]).into();
        Self { text, shape: Shape::HEX }
    }

    /// Makes a version of a text as it is.
    pub(crate) fn literal(text: &str) -> Result<Self, Error> {
        check_segment(text).map_err(|why| {
            let message = format!("literal version {text:?}: {why}");
            Error::new(ErrorKind::InvalidVersion, message)
        })?;
        Ok(Self { text: text.into(), shape: Shape::of(text) })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a segment has exactly the shape of this version.
    pub(crate) fn has_shape(&self, segment: &str) -> bool {
        segment.len() == self.text.len() && self.shape.spells(segment)
    }
}

impl StaleShape {
    /// Makes the shape of an example. It needs a digit: most directories have a name without.
    pub(crate) fn of(example: &str) -> Result<Self, Error> {
        let has_digit = example.bytes().any(|byte| byte.is_ascii_digit());
        let is_segment = check_segment(example);
        let why = "has no digit, and directories have such names";
        let checked = is_segment.and_then(|()| has_digit.then_some(()).ok_or(why.into()));
        checked.map_err(|why| {
            let message = format!("example of a stale version {example:?}: {why}");
            Error::new(ErrorKind::InvalidVersion, message)
        })?;
        Ok(Self(Version { text: example.into(), shape: Shape::of(example) }))
    }

    pub(crate) fn matches(&self, segment: &str) -> bool {
        self.0.has_shape(segment)
    }
}

/// The characters of versions of one shape, as bit sets over ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    allowed: u128,
    /// A version has at least one character of each set. An empty set requires nothing.
    required: [u128; 3],
}

const DIGITS: u128 = range(b'0', b'9');
const LOWER: u128 = range(b'a', b'z');
const UPPER: u128 = range(b'A', b'Z');
const HEX: u128 = DIGITS | range(b'a', b'f');

const fn range(first: u8, last: u8) -> u128 {
    (u128::MAX >> (127 - last)) & (u128::MAX << first)
}

impl Shape {
    /// The shape of a hash, which may have no letter or no digit.
    const HEX: Self = Self { allowed: HEX, required: [HEX; 3] };

    /// Returns the shape of a literal: the kinds of characters that it has, and exactly its
    /// punctuation.
    fn of(text: &str) -> Self {
        let used = used_by(text);
        let kinds = [DIGITS, LOWER, UPPER].map(|kind| if used & kind == 0 { 0 } else { kind });
        let narrowed = if used & !HEX == 0 { HEX } else { u128::MAX };
        let allowed = kinds.iter().fold(0, |all, kind| all | kind) & narrowed;
        Self { allowed: allowed | punctuation(used), required: kinds }
    }

    fn spells(self, text: &str) -> bool {
        let used = used_by(text);
        let has_kinds = self.required.iter().all(|&kind| kind == 0 || used & kind != 0);
        let is_punctuated = punctuation(used) == punctuation(self.allowed);
        text.is_ascii() && used & !self.allowed == 0 && has_kinds && is_punctuated
    }
}

fn used_by(text: &str) -> u128 {
    text.bytes().fold(0, |used, byte| used | 1 << (byte & 127))
}

fn punctuation(used: u128) -> u128 {
    used & !(DIGITS | LOWER | UPPER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        // What FIPS 180-4 gives for "abc".
        let hashed = Version::hashed(
            &[0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea].repeat(4)[..].try_into().unwrap(),
        );
        let literal = |text: &str| Version::literal(text).unwrap();
        for (name, version, segment, expected) in [
            ("itself", &hashed, "ba7816bf8f01cfea", true),
            ("another", &hashed, "0123456789abcdef", true),
            ("digits only", &hashed, "0000000000000000", true),
            ("letters only", &hashed, "deadbeefdeadbeef", true),
            ("upper case", &hashed, "BA7816BF8F01CFEA", false),
            ("short", &hashed, "ba7816bf8f01cfe", false),
            ("long", &hashed, "ba7816bf8f01cfeaa", false),
            ("not hexadecimal", &hashed, "ba7816bf8f01cfeg", false),
            ("non-ASCII of the same length", &hashed, "ba7816bf8f01cfé", false),
            ("a year", &hashed, "2024", false),
            ("a word", &hashed, "fade", false),
            ("empty", &hashed, "", false),
            ("next release", &literal("v1.2.3"), "v1.2.4", true),
            ("other punctuation", &literal("v1.2.3"), "v1-2-3", false),
            ("directory as long", &literal("v1.2.3"), "jquery", false),
            ("longer release", &literal("v1.2.3"), "v1.2.10", false),
            ("year", &literal("2024"), "2025", true),
            ("word beside a year", &literal("2024"), "fade", false),
            ("short hash", &literal("abc1234"), "00ff00f", true),
            ("mixed case", &literal("aB3"), "Zz9", true),
            ("letters only", &literal("v1"), "js", false),
            ("other letters than of a hash", &literal("abc1234"), "style00", false),
        ] {
            assert_eq!(version.has_shape(segment), expected, "{name}");
        }
    }
}
