//! Where a path lies, by the grammar in the crate's documentation, read as plainly as
//! can be: every segment is decoded and looked at.

use percent_encoding::percent_decode_str;
use tower_static_url::StaticUrlOutcome;

use crate::site::{FOLDER, Site};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'p> {
    Outside {
        /// Where the mount is the whole site: the first segment looks like a version.
        may_be_a_file: bool,
    },
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
    pub(crate) fn of(path: &'p str, base: &str, site: &Site) -> Self {
        let place = Self::below(path, base, site);
        if !site.mount.is_empty() || !site.has_manifest() {
            return place;
        }
        match place {
            Self::Outside { .. } => place,
            _ if place.file().is_some_and(|path| is_of_the_site(&path, site)) => place,
            _ => {
                let first = path.strip_prefix('/').and_then(|below| below.split('/').next());
                let may_be_a_file = first.is_some_and(|first| is_version(first, site));
                Self::Outside { may_be_a_file }
            }
        }
    }

    fn below(path: &'p str, base: &str, site: &Site) -> Self {
        if path == base && !base.is_empty() {
            return Self::Unversioned { rest: "" };
        }
        let Some(below) = path.strip_prefix(&format!("{base}/")) else {
            return Self::Outside { may_be_a_file: false };
        };
        match below.split_once('/').filter(|(first, _)| is_version(first, site)) {
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

    pub(crate) fn outcome(&self, site: &Site) -> StaticUrlOutcome {
        match *self {
            Self::Outside { .. } => StaticUrlOutcome::Outside,
            Self::Odd | Self::Unversioned { .. } => StaticUrlOutcome::Unversioned,
            Self::Versioned { version, .. } if version == site.version => StaticUrlOutcome::Current,
            Self::Versioned { .. } => StaticUrlOutcome::Stale,
        }
    }
}

/// Where the mount is the whole site, only what is listed, and its folders, is the layer's;
/// of the root only a page.
fn is_of_the_site(path: &str, site: &Site) -> bool {
    match path.strip_suffix('/').unwrap_or(path) {
        "" => site.listed("index.html").is_some(),
        folder => site.listed(path).is_some() || site.has_folder(folder),
    }
}

/// Without a manifest nobody knows of a folder that looks like a version.
fn is_version(segment: &str, site: &Site) -> bool {
    let is_hexadecimal = segment.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    let is_folder = segment == FOLDER && site.has_manifest();
    segment == site.version || (segment.len() == 16 && is_hexadecimal && !is_folder)
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
