//! The URL grammar, both ways: what a request path asks for, and how a logical
//! path is spelled in a URL.
//!
//! ```text
//! /static/3f9c2a7be01d4c55/css/with%20space.css
//! \_____/ \______________/ \__________________/
//!  mount      version            rest             (bytes compared raw)
//!
//!                           css/with space.css     (logical path: rest decoded once)
//! ```

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use http::uri::{Parts, PathAndQuery, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, ErrorKind};

/// Everything outside of `pchar` (RFC 3986 §3.3), and of `pchar` what would end
/// an unquoted CSS `url(…)` or an HTML attribute: `& ' ( )`.
const PATH_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A query or fragment comes encoded; only what no URL may contain is escaped.
const SUFFIX_ESCAPES: &AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The URL path under which the files live, without a trailing slash: `/static`,
/// or the empty string for the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount(Box<str>);

impl Mount {
    pub(crate) fn parse(input: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            let message = format!("mount {input:?}: {why}");
            Error::new(ErrorKind::InvalidMount, message)
        };
        let path = input.strip_prefix('/').ok_or_else(|| invalid("does not start with `/`"))?;
        if path.is_empty() {
            return Ok(Self("".into()));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        for segment in path.split('/') {
            check_segment(segment).map_err(|why| invalid(&why))?;
        }
        Ok(Self(format!("/{path}").into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text can stand in a URL as one segment and means itself there.
pub(crate) fn check_segment(segment: &str) -> Result<(), String> {
    if segment.is_empty() {
        return Err("has an empty segment".into());
    }
    if is_dot_segment(segment) {
        return Err(format!("`{segment}` is a dot segment"));
    }
    match segment.chars().find(|&c| !is_plain_char(c)) {
        None => Ok(()),
        Some('%') => Err("has a percent-escape".into()),
        Some(c) => Err(format!("has {c:?}, which no URL segment may contain")),
    }
}

/// `pchar` of RFC 3986 §3.3, without its percent-escapes.
fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c)
}

/// What the version in a URL below the mount turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Current,
    /// Right shape, not the current one.
    Stale,
    Unversioned,
}

/// What a request path is, seen from a mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Split<'p> {
    Outside,
    /// Below the mount, but no [plain path](is_plain): left exactly as it came.
    Odd,
    Unversioned {
        rest: &'p str,
    },
    Versioned {
        version: &'p str,
        rest: &'p str,
    },
}

/// Splits a raw request path. `base` is the mount, or empty where an outer
/// router has already stripped it; `current` is a version, and so is what
/// `is_version` says.
pub(crate) fn split<'p>(
    base: &str,
    current: &str,
    path: &'p str,
    is_version: impl FnOnce(&str) -> bool,
) -> Split<'p> {
    match divide(base, current, path, is_version) {
        None => Split::Outside,
        Some((.., rest)) if !is_plain(rest) => Split::Odd,
        Some((Outcome::Unversioned, _, rest)) => Split::Unversioned { rest },
        Some((_, version, rest)) => Split::Versioned { version, rest },
    }
}

/// As [`split`], where it is not known yet whether what follows is plain: what the version
/// is, the version itself (or nothing), and what follows. `None` outside of the mount.
pub(crate) fn divide<'p>(
    base: &str,
    current: &str,
    path: &'p str,
    is_version: impl FnOnce(&str) -> bool,
) -> Option<(Outcome, &'p str, &'p str)> {
    let below = below(base, path)?;
    let (outcome, slash) = match below.strip_prefix(current) {
        Some(rest) if rest.starts_with('/') => (Outcome::Current, current.len()),
        _ => match below.find('/').filter(|&slash| is_version(&below[..slash])) {
            Some(slash) => (Outcome::Stale, slash),
            None => return Some((Outcome::Unversioned, "", below)),
        },
    };
    Some((outcome, &below[..slash], &below[slash + 1..]))
}

/// What follows `base` and a slash. `/staticfoo` is not below `/static`;
/// `/static` itself is, with nothing following. `*` and an authority-form
/// target (RFC 9112 §3.2) are below nothing.
fn below<'p>(base: &str, path: &'p str) -> Option<&'p str> {
    match path.strip_prefix(base)? {
        "" if !base.is_empty() => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Whether every segment names exactly one child of the one before it, whoever
/// reads it: no `.` or `..`, no encoded or backward slash, nothing empty (but
/// the last: a folder's trailing slash), no NUL.
pub(crate) fn is_plain(rest: &str) -> bool {
    let mut starts_segment = true;
    for byte in rest.bytes() {
        match byte {
            b'%' | b'\\' | 0 => return has_plain_segments(rest),
            b'/' | b'.' if starts_segment => return has_plain_segments(rest),
            _ => starts_segment = byte == b'/',
        }
    }
    // As most paths: nothing that would have to be looked at more closely.
    true
}

fn has_plain_segments(rest: &str) -> bool {
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if (segment.is_empty() && !is_last) || is_dot_segment(segment) || hides_separator(segment) {
            return false;
        }
    }
    true
}

/// `.` or `..`, each dot spelled as itself or as `%2e`.
fn is_dot_segment(segment: &str) -> bool {
    let mut dots = 0;
    let mut left = segment.as_bytes();
    while !left.is_empty() {
        left = match left {
            [b'.', tail @ ..] | [b'%', b'2', b'e' | b'E', tail @ ..] => tail,
            _ => return false,
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

/// A backslash, a NUL, or one of `/ \ NUL` behind a percent-escape.
fn hides_separator(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.iter().enumerate().any(|(i, byte)| match byte {
        b'\\' | 0 => true,
        b'%' => matches!(
            bytes.get(i + 1..i + 3),
            Some([b'2', b'f' | b'F'] | [b'5', b'c' | b'C'] | [b'0', b'0'])
        ),
        _ => false,
    })
}

/// The logical path that a plain `rest` spells: decoded once. `None` where an
/// escape is malformed or the bytes are not UTF-8, because no listed file is
/// spelled like that.
pub(crate) fn decode(rest: &str) -> Option<Cow<'_, str>> {
    if !rest.bytes().any(|byte| byte == b'%') {
        return Some(Cow::Borrowed(rest));
    }
    let escapes = rest.split('%').skip(1);
    let well_formed = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.into_iter().all(well_formed) {
        return None;
    }
    percent_decode_str(rest).decode_utf8().ok()
}

/// A logical path, percent-encoded once.
pub(crate) fn encode(path: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(path, PATH_ESCAPES)
}

/// A `?query` and/or `#fragment` that comes encoded.
pub(crate) fn encode_suffix(suffix: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(suffix, SUFFIX_ESCAPES)
}

/// `<base>/<rest>[?query]`, in one allocation.
///
/// `None` cannot happen for a `rest` that was split off a request path (a valid path
/// without one of its segments is valid); callers then leave the request alone.
pub(crate) fn path_and_query(base: &str, rest: &str, query: Option<&str>) -> Option<PathAndQuery> {
    let length = base.len() + 1 + rest.len() + query.map_or(0, |query| 1 + query.len());
    let mut path = String::with_capacity(length);
    path.push_str(base);
    path.push('/');
    path.push_str(rest);
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()
}

/// `uri` with another path and query; scheme and authority stay.
pub(crate) fn with_path(uri: &Uri, path: PathAndQuery) -> Uri {
    let Some(authority) = uri.authority() else { return Uri::from(path) };
    let mut parts = Parts::default();
    parts.scheme = uri.scheme().cloned();
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(path);
    // What one URI has of these, another one can have.
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// `<mount>/<version>/<rest>[?query]`.
pub(crate) fn with_version(mount: &str, version: &str, rest: &str, query: Option<&str>) -> String {
    let mut url = format!("{mount}/{version}/{rest}");
    if let Some(query) = query {
        let _ = write!(url, "?{query}");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_version(segment: &str) -> bool {
        segment.len() == 4 && segment.bytes().all(|b| b.is_ascii_digit())
    }

    #[test]
    fn splits() {
        use Split::*;
        let unversioned = |rest| Unversioned { rest };
        let versioned = |version, rest| Versioned { version, rest };
        for (name, base, path, expected) in [
            ("versioned", "/static", "/static/1234/css/app.css", versioned("1234", "css/app.css")),
            ("bare prefix", "/static", "/static/1234/", versioned("1234", "")),
            ("prefix without slash", "/static", "/static/1234", unversioned("1234")),
            (
                "folder with trailing slash",
                "/static",
                "/static/1234/docs/",
                versioned("1234", "docs/"),
            ),
            (
                "only one version is removed",
                "/static",
                "/static/1234/1234/a",
                versioned("1234", "1234/a"),
            ),
            ("version not first", "/static", "/static/css/1234/a", unversioned("css/1234/a")),
            ("one digit short", "/static", "/static/123/a", unversioned("123/a")),
            ("one digit long", "/static", "/static/12345/a", unversioned("12345/a")),
            ("encoded digit", "/static", "/static/%31234/a", unversioned("%31234/a")),
            ("unversioned", "/static", "/static/css/app.css", unversioned("css/app.css")),
            ("mount itself", "/static", "/static", unversioned("")),
            ("mount with slash", "/static", "/static/", unversioned("")),
            ("looks like the mount", "/static", "/staticfoo", Outside),
            ("looks like the mount, versioned", "/static", "/staticfoo/1234/a", Outside),
            ("case differs", "/static", "/Static/1234/a", Outside),
            ("encoded mount", "/static", "/%73tatic/1234/a", Outside),
            ("slash before the mount", "/static", "//static/1234/a", Outside),
            ("deep mount", "/a/b/static", "/a/b/static/1234/x", versioned("1234", "x")),
            ("deep mount, other", "/a/b/static", "/a/b/1234/x", Outside),
            ("root mount", "", "/1234/a", versioned("1234", "a")),
            ("root mount, unversioned", "", "/a", unversioned("a")),
            ("root mount, root", "", "/", unversioned("")),
            ("asterisk form", "", "*", Outside),
            ("authority form", "", "", Outside),
            ("open redirect", "/static", "/static/1234//evil.example", Odd),
            ("open redirect at the root", "", "/1234//evil.example", Odd),
            ("empty segment", "/static", "/static/1234/css//app.css", Odd),
            ("two trailing slashes", "/static", "/static/1234/css//", Odd),
            ("empty version", "/static", "/static//app.css", Odd),
            ("only slashes", "/static", "/static//", Odd),
            ("dot segment", "/static", "/static/1234/./a", Odd),
            ("parent segment", "/static", "/static/1234/../a", Odd),
            ("parent segment at the end", "/static", "/static/1234/css/..", Odd),
            ("encoded dot", "/static", "/static/1234/%2e/a", Odd),
            ("encoded parent", "/static", "/static/1234/%2e%2E/a", Odd),
            ("half encoded parent", "/static", "/static/1234/.%2e/a", Odd),
            ("encoded slash", "/static", "/static/1234/a%2fb", Odd),
            ("encoded slash, upper case", "/static", "/static/1234/a%2Fb", Odd),
            ("encoded backslash", "/static", "/static/1234/a%5cb", Odd),
            ("backslash", "/static", "/static/1234/a\\b", Odd),
            ("encoded NUL", "/static", "/static/1234/a%00", Odd),
            ("odd without a version", "/static", "/static/../a", Odd),
            ("three dots are a name", "/static", "/static/1234/.../a", versioned("1234", ".../a")),
            ("dot file", "/static", "/static/1234/.a", versioned("1234", ".a")),
            (
                "double encoding is a name",
                "/static",
                "/static/1234/%252e%252e/a",
                versioned("1234", "%252e%252e/a"),
            ),
        ] {
            assert_eq!(split(base, "5678", path, is_version), expected, "{name}");
        }
    }

    #[test]
    fn decodes_once() {
        for (name, rest, expected) in [
            ("nothing to do", "a/b.css", Some("a/b.css")),
            ("space", "with%20space.txt", Some("with space.txt")),
            ("semicolon", "semi;colon.txt", Some("semi;colon.txt")),
            ("plus is a plus", "a+b.txt", Some("a+b.txt")),
            ("percent", "100%25.txt", Some("100%.txt")),
            ("only once", "100%2525.txt", Some("100%25.txt")),
            ("non-ASCII", "f%C3%BCnke.txt", Some("fünke.txt")),
            ("raw non-ASCII", "fünke.txt", Some("fünke.txt")),
            ("bare percent", "100%.txt", None),
            ("percent at the end", "100%", None),
            ("half an escape", "100%2", None),
            ("not hexadecimal", "%zz", None),
            ("sign is no digit", "%+1", None),
            ("not UTF-8", "%ff", None),
            ("overlong slash", "%c0%af", None),
        ] {
            assert_eq!(decode(rest).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn rewrites_only_the_path() {
        for (name, uri, expected) in [
            ("origin form", "/static/1234/a", "/static/a"),
            ("query", "/static/1234/a?b=c&d=/static/1234/", "/static/a?b=c&d=/static/1234/"),
            ("empty query", "/static/1234/a?", "/static/a?"),
            ("absolute form", "http://h:81/static/1234/a?q", "http://h:81/static/a?q"),
            ("as in HTTP/2", "https://h/static/1234/a", "https://h/static/a"),
            ("escapes", "/static/1234/f%C3%bc%20;+", "/static/f%C3%bc%20;+"),
        ] {
            let uri: Uri = uri.parse().expect("each case is a URI");
            let Split::Versioned { rest, .. } = split("/static", "1234", uri.path(), is_version)
            else {
                panic!("{name}: no version");
            };
            let inner = path_and_query("/static", rest, uri.query()).unwrap();
            assert_eq!(with_path(&uri, inner).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn mounts() {
        for (input, expected) in
            [("/", ""), ("/static", "/static"), ("/static/", "/static"), ("/a/b", "/a/b")]
        {
            assert_eq!(Mount::parse(input).unwrap().as_str(), expected, "{input}");
        }
        for (input, why) in [
            ("", "does not start with `/`"),
            ("static", "does not start with `/`"),
            ("//", "has an empty segment"),
            ("//static", "has an empty segment"),
            ("/a//b", "has an empty segment"),
            ("/a//", "has an empty segment"),
            ("/a/..", "`..` is a dot segment"),
            ("/./a", "`.` is a dot segment"),
            ("/a?b", "has '?', which no URL segment may contain"),
            ("/a#b", "has '#', which no URL segment may contain"),
            ("/a b", "has ' ', which no URL segment may contain"),
            ("/a\\b", "has '\\\\', which no URL segment may contain"),
            ("/ü", "has 'ü', which no URL segment may contain"),
            ("/a%20b", "has a percent-escape"),
            ("/%2e%2e", "`%2e%2e` is a dot segment"),
        ] {
            let error = Mount::parse(input).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidMount, "{input}");
            assert_eq!(error.to_string(), format!("mount {input:?}: {why}"));
        }
    }

    fn logical_path() -> impl Strategy<Value = String> {
        let segment = "[^/\\\\\0]{1,12}".prop_filter("no dot segments", |s| s != "." && s != "..");
        proptest::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
    }

    proptest! {
        #[test]
        fn what_was_joined_splits_into_what_went_in(
            mount in "(/[a-z0-9.~_-]{1,8}x){0,3}",
            version in "[0-9]{4}",
            path in logical_path(),
            query in proptest::option::of("[a-z=&/?]{0,8}"),
        ) {
            let rest = encode(&path).collect::<String>();
            let url = with_version(&mount, &version, &rest, query.as_deref());
            let uri: Uri = url.parse().unwrap();
            prop_assert_eq!(uri.query(), query.as_deref());
            prop_assert_eq!(
                split(&mount, "5678", uri.path(), is_version),
                Split::Versioned { version: &version, rest: &rest }
            );
            let decoded = decode(&rest);
            prop_assert_eq!(decoded.as_deref(), Some(path.as_str()));
        }

        #[test]
        fn no_path_panics_and_only_the_version_goes(
            base in "(/static)?",
            path in "(/static)?(/(1234|[%./\\\\a-f0-9?#é]{0,4})){0,6}",
        ) {
            match split(&base, "1234", &path, is_version) {
                Split::Outside | Split::Odd => {}
                Split::Unversioned { rest } => {
                    decode(rest);
                    let joined = format!("{base}/{rest}");
                    prop_assert!(path == base || path == joined);
                }
                Split::Versioned { version, rest } => {
                    decode(rest);
                    prop_assert_eq!(&path, &format!("{base}/{version}/{rest}"));
                    prop_assert!(!rest.starts_with('/') && !rest.contains("//"));
                }
            }
        }

        #[test]
        fn no_bytes_panic(path in ".*") {
            split("", "1234", &path, |_| true);
            decode(&path);
            Mount::parse(&path).ok();
        }
    }
}
