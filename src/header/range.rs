//! Which range may the inner service see? `Range` and `Content-Range` (RFC 9110 §14).
//!
//! A forwarded `Range` is spelled in the simplest way, so that every inner service reads it as
//! the RFC does.

use http::{HeaderMap, HeaderValue, header};

use crate::header::number;

/// A single range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    From { first: u64, last: Option<u64> },
    Suffix { length: u64 },
}

/// What to do with a request's `Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeEdit {
    /// There is none.
    Keep,
    Drop,
    Replace(HeaderValue),
}

/// Decides what to do with a `Range`. `lengths` has the length of each representation that the
/// inner service may select, at least one.
///
/// A range that is kept is spelled `bytes=0-4`, `bytes=5-` or `bytes=-5`. A server may always
/// ignore a `Range` (§14.2). This drops it if it is malformed, if it has several ranges or
/// another unit, and if its suffix is longer than some representations but not all. A suffix
/// that is longer than every representation means the whole (§14.1.2).
pub(crate) fn edit(headers: &HeaderMap, lengths: impl Iterator<Item = u64> + Clone) -> RangeEdit {
    let Some(value) = headers.get(header::RANGE) else { return RangeEdit::Keep };
    let is_single_line = headers.get_all(header::RANGE).iter().nth(1).is_none();
    let range = parse(value.as_bytes()).filter(|_| is_single_line);
    let (shortest, longest) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
    match range {
        None => RangeEdit::Drop,
        // No range of an empty representation can be satisfied.
        Some(_) if shortest == 0 => RangeEdit::Drop,
        Some(Range::Suffix { length }) if length >= longest => replace("0-".into()),
        Some(Range::Suffix { length }) if length > shortest => RangeEdit::Drop,
        Some(Range::Suffix { length }) => replace(format!("-{length}")),
        Some(Range::From { first, last: Some(last) }) if last < longest => {
            replace(format!("{first}-{last}"))
        }
        // §14.1.2: a `last` beyond the end means up to the end.
        Some(Range::From { first, .. }) => replace(format!("{first}-")),
    }
}

/// Spells a range in the simplest way. The RFC also allows leading zeros, spaces and `BYTES=`,
/// but not every server understands them.
fn replace(range: String) -> RangeEdit {
    let value = HeaderValue::try_from(format!("bytes={range}"));
    value.map_or(RangeEdit::Drop, RangeEdit::Replace)
}

/// The part of a file that a request wants.
#[cfg(feature = "memory")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// Only the header fields of the whole.
    Head,
    Range(Range),
}

/// The `Range` of the request to the inner service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardedRange {
    None,
    Bytes(Range),
    /// As the client sent it; only for responses that are not compared with a listed file.
    Unparsed,
}

impl Range {
    /// Whether these positions of a representation of `complete` bytes were requested. A server
    /// may send fewer bytes than requested, but no others (RFC 9110 §15.3.7).
    pub(crate) fn covers(self, part: (u64, u64), complete: u64) -> bool {
        match self {
            Self::From { first, last } => first <= part.0 && last.is_none_or(|last| part.1 <= last),
            Self::Suffix { length } => part.0 >= complete.saturating_sub(length),
        }
    }
}

#[cfg(feature = "memory")]
impl Range {
    /// Returns the bytes that the range selects from so many. `None` if it selects none, which
    /// is a 416.
    pub(crate) fn within(self, length: usize) -> Option<std::ops::Range<usize>> {
        let clamp = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(length);
        let range = match self {
            Self::From { first, last } => {
                clamp(first)..last.map_or(length, |last| clamp(last.saturating_add(1)))
            }
            Self::Suffix { length: suffix } => length - clamp(suffix)..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

impl RangeEdit {
    /// Returns the range that the edited request has.
    pub(crate) fn forwarded(&self) -> ForwardedRange {
        match self {
            Self::Keep | Self::Drop => ForwardedRange::None,
            Self::Replace(range) => {
                parse(range.as_bytes()).map_or(ForwardedRange::None, ForwardedRange::Bytes)
            }
        }
    }

    /// Returns the part that the edited request wants. `None` if its range is malformed.
    #[cfg(feature = "memory")]
    pub(crate) fn part(&self) -> Option<Part> {
        match self {
            Self::Keep | Self::Drop => Some(Part::Whole),
            Self::Replace(range) => parse(range.as_bytes()).map(Part::Range),
        }
    }

    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Keep => {}
            Self::Drop => {
                headers.remove(header::RANGE);
            }
            Self::Replace(range) => {
                headers.insert(header::RANGE, range);
            }
        }
    }
}

/// Parses a single range of bytes. `None` for other units, several ranges, and malformed ones.
fn parse(value: &[u8]) -> Option<Range> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let spec = std::str::from_utf8(set).ok()?.trim_matches([' ', '\t']);
    let (first, last) = spec.split_once('-')?;
    match (first, last) {
        ("", length) => Some(Range::Suffix { length: position(length)? }),
        (first, "") => Some(Range::From { first: position(first)?, last: None }),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(Range::From { first, last: Some(last) })
        }
    }
}

/// Parses `1*DIGIT`. A number that does not fit becomes the largest one.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// `Content-Range` (RFC 9110 §14.4): `bytes 0-9/1234`, or `bytes */1234` if the range could not
/// be satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// First and last position.
    pub(crate) part: Option<(u64, u64)>,
    /// The length of the whole.
    pub(crate) complete: u64,
}

impl ContentRange {
    /// Returns `None` if the field is invalid, or the length is unknown (`bytes 0-9/*`).
    pub(crate) fn parse(value: &HeaderValue) -> Option<Self> {
        let (unit, rest) = value.as_bytes().split_at_checked(b"bytes ".len())?;
        let (range, complete) = str::from_utf8(rest).ok()?.split_once('/')?;
        let complete = number(complete.as_bytes())?;
        if !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        if range == "*" {
            return Some(Self { part: None, complete });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first.as_bytes())?, number(last.as_bytes())?);
        let is_inside = first <= last && last < complete;
        is_inside.then_some(Self { part: Some((first, last)), complete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits() {
        let replace = |text| RangeEdit::Replace(HeaderValue::from_static(text));
        for (name, value, lengths, expected) in [
            ("first bytes", "bytes=0-4", &[11][..], replace("bytes=0-4")),
            ("from the middle", "bytes=5-", &[11], replace("bytes=5-")),
            ("unit in capitals", "BYTES=5-", &[11], replace("bytes=5-")),
            ("beyond the end", "bytes=5-999", &[11], replace("bytes=5-")),
            ("far beyond the end", "bytes=5-99999999999999999999", &[11], replace("bytes=5-")),
            ("leading zeros", "bytes=00-04", &[11], replace("bytes=0-4")),
            ("space", "bytes= 0-4 ", &[11], replace("bytes=0-4")),
            ("not satisfiable", "bytes=11-", &[11], replace("bytes=11-")),
            ("suffix", "bytes=-5", &[11], replace("bytes=-5")),
            ("suffix of all", "bytes=-11", &[11], replace("bytes=0-")),
            ("longer suffix", "bytes=-1000", &[11], replace("bytes=0-")),
            ("longer than every coding", "bytes=-1000", &[11, 30], replace("bytes=0-")),
            ("longer than one coding", "bytes=-20", &[11, 30], RangeEdit::Drop),
            ("shorter than every coding", "bytes=-5", &[11, 30], replace("bytes=-5")),
            ("no suffix", "bytes=-0", &[11], replace("bytes=-0")),
            ("empty file", "bytes=0-", &[0], RangeEdit::Drop),
            ("several", "bytes=0-1,3-4", &[11], RangeEdit::Drop),
            ("backwards", "bytes=4-1", &[11], RangeEdit::Drop),
            ("other unit", "lines=0-4", &[11], RangeEdit::Drop),
            ("no unit", "0-4", &[11], RangeEdit::Drop),
            ("no range", "bytes=", &[11], RangeEdit::Drop),
            ("nothing but a dash", "bytes=-", &[11], RangeEdit::Drop),
            ("signs are no digits", "bytes=+1-2", &[11], RangeEdit::Drop),
            ("garbage", "bytes=a-b", &[11], RangeEdit::Drop),
        ] {
            let headers =
                HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(edit(&headers, lengths.iter().copied()), expected, "{name}");
        }
        assert_eq!(edit(&HeaderMap::new(), [11].into_iter()), RangeEdit::Keep);
        let twice =
            ["bytes=0-1", "bytes=0-1"].map(|text| (header::RANGE, HeaderValue::from_static(text)));
        assert_eq!(edit(&HeaderMap::from_iter(twice), [11].into_iter()), RangeEdit::Drop);
    }

    #[test]
    fn covered_parts() {
        let from = |first, last| Range::From { first, last };
        for (name, range, part, expected) in [
            ("exactly", from(2, Some(5)), (2, 5), true),
            ("fewer", from(2, Some(5)), (3, 4), true),
            ("earlier", from(2, Some(5)), (1, 5), false),
            ("later", from(2, Some(5)), (2, 6), false),
            ("to the end", from(2, None), (2, 9), true),
            ("before it", from(2, None), (1, 9), false),
            ("the last", Range::Suffix { length: 3 }, (7, 9), true),
            ("more than the last", Range::Suffix { length: 3 }, (6, 9), false),
            ("a suffix of all", Range::Suffix { length: 99 }, (0, 9), true),
        ] {
            assert_eq!(range.covers(part, 10), expected, "{name}");
        }
    }

    #[test]
    fn content_ranges() {
        let part =
            |first, last, complete| Some(ContentRange { part: Some((first, last)), complete });
        for (name, value, expected) in [
            ("part", "bytes 0-9/1234", part(0, 9, 1234)),
            ("unit in capitals", "BYTES 0-9/1234", part(0, 9, 1234)),
            ("last byte", "bytes 1233-1233/1234", part(1233, 1233, 1234)),
            ("unsatisfied", "bytes */1234", Some(ContentRange { part: None, complete: 1234 })),
            ("unknown length", "bytes 0-9/*", None),
            ("beyond the end", "bytes 0-1234/1234", None),
            ("backwards", "bytes 9-0/1234", None),
            ("other unit", "lines 0-9/1234", None),
            ("no unit", "0-9/1234", None),
            ("no range", "bytes /1234", None),
            ("no length", "bytes 0-9/", None),
            ("signs are no digits", "bytes +0-9/1234", None),
            ("empty", "", None),
        ] {
            assert_eq!(ContentRange::parse(&HeaderValue::from_static(value)), expected, "{name}");
        }
    }

    #[test]
    fn edits_at_the_ends_of_representations() {
        let replace = |text| RangeEdit::Replace(HeaderValue::from_static(text));
        for (name, value, lengths, expected) in [
            ("up to the last byte", "bytes=5-10", &[11][..], replace("bytes=5-10")),
            ("one byte beyond", "bytes=5-11", &[11], replace("bytes=5-")),
            ("beyond one coding", "bytes=5-11", &[11, 30], replace("bytes=5-11")),
            ("a suffix as long as one coding", "bytes=-11", &[11, 30], replace("bytes=-11")),
            ("one byte longer", "bytes=-12", &[11, 30], RangeEdit::Drop),
            ("one byte shorter than the other", "bytes=-29", &[11, 30], RangeEdit::Drop),
            ("as long as the other", "bytes=-30", &[11, 30], replace("bytes=0-")),
            ("one coding is empty", "bytes=0-4", &[0, 11], RangeEdit::Drop),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(header::RANGE, value)]);
            assert_eq!(edit(&headers, lengths.iter().copied()), expected, "{name}");
        }
    }
}
