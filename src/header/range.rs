//! `Range` (RFC 9110 §14.2), made to mean to the inner service what it means to
//! the RFC.

use http::{HeaderMap, HeaderValue, header};

/// A range specifier that is a single range of bytes.
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

/// `lengths` are those of the representations that the answer may be of; at least
/// one.
///
/// What stays is spelled `bytes=0-4`, `bytes=5-` or `bytes=-5`. Ignoring a `Range` is always allowed, and right for what is not understood, for
/// several ranges at once, and where it depends on the representation chosen
/// whether a suffix is longer than the whole. A suffix that is longer than every
/// one means the whole (§14.1.2).
pub(crate) fn edit(headers: &HeaderMap, lengths: impl Iterator<Item = u64> + Clone) -> RangeEdit {
    let Some(value) = headers.get(header::RANGE) else { return RangeEdit::Keep };
    let is_single_line = headers.get_all(header::RANGE).iter().nth(1).is_none();
    let range = parse(value.as_bytes()).filter(|_| is_single_line);
    let (shortest, longest) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
    match range {
        None => RangeEdit::Drop,
        // Nothing can be said of the bytes of an empty representation.
        Some(_) if shortest == 0 => RangeEdit::Drop,
        Some(Range::Suffix { length }) if length >= longest => replace("0-".into()),
        Some(Range::Suffix { length }) if length > shortest => RangeEdit::Drop,
        Some(Range::Suffix { length }) => replace(format!("-{length}")),
        Some(Range::From { first, last: Some(last) }) if last < longest => {
            replace(format!("{first}-{last}"))
        }
        // `last` counts as far as there are bytes.
        Some(Range::From { first, .. }) => replace(format!("{first}-")),
    }
}

/// In the one spelling that everybody understands: leading zeros, spaces and
/// `BYTES=` are allowed, too.
fn replace(range: String) -> RangeEdit {
    let value = HeaderValue::try_from(format!("bytes={range}"));
    value.map_or(RangeEdit::Drop, RangeEdit::Replace)
}

/// What a request asks for of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// The fields of the whole alone.
    Head,
    Range(Range),
}

impl Range {
    /// The bytes that it selects of so many; `None` where there are none (a 416).
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
    /// What is asked for once the request is edited; `None` for a range that is none.
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

/// `None` for other units, several ranges, and what is no range.
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

/// `1*DIGIT`; what is larger than any file is as large as numbers get.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
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
}
