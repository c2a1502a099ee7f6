//! Where a path lies, by the grammar in the crate's documentation, read as plainly as
//! can be: every segment is decoded and looked at.

use percent_encoding::percent_decode_str;

use crate::site::FOLDER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'p> {
    Outside,
    /// Below the mount, but no plain path.
    Odd,
    Unversioned {
        rest: &'p str,
    },
    Versioned {
        version: &'p str,
        rest: &'p str,
    },
}

impl<'p> Place<'p> {
    /// `base` has no slash at the end.
    pub(crate) fn of(path: &'p str, base: &str, current: &str) -> Self {
        if path == base && !base.is_empty() {
            return Self::Unversioned { rest: "" };
        }
        let Some(below) = path.strip_prefix(&format!("{base}/")) else { return Self::Outside };
        match below.split_once('/').filter(|(first, _)| is_version(first, current)) {
            Some((version, rest)) if is_plain(rest) => Self::Versioned { version, rest },
            None if is_plain(below) => Self::Unversioned { rest: below },
            _ => Self::Odd,
        }
    }

    /// The logical path, decoded once.
    pub(crate) fn file(&self) -> Option<String> {
        let (Self::Unversioned { rest } | Self::Versioned { rest, .. }) = self else { return None };
        let escapes = rest.split('%').skip(1);
        let is_escape = |it: &str| {
            let digits = it.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        let is_well_formed = escapes.into_iter().all(is_escape);
        is_well_formed.then(|| String::from_utf8(percent_decode_str(rest).collect()).ok())?
    }
}

fn is_version(segment: &str, current: &str) -> bool {
    let is_hexadecimal = segment.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    segment == current || (segment.len() == 16 && is_hexadecimal && segment != FOLDER)
}

fn is_plain(rest: &str) -> bool {
    let segments = rest.split('/').collect::<Vec<_>>();
    segments.iter().enumerate().all(|(i, segment)| {
        let name = percent_decode_str(segment).collect::<Vec<_>>();
        let is_empty = name.is_empty() && i + 1 < segments.len();
        let is_dots = name == b"." || name == b"..";
        !is_empty && !is_dots && !name.iter().any(|byte| b"/\\\0".contains(byte))
    })
}
