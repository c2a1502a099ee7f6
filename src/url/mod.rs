//! What does a request path mean, and how is a logical path spelled in a URL? The grammar of
//! URLs, both ways.
//!
//! ```text
//! /static/3f9c2a7be01d4c55/css/with%20space.css
//! \_____/ \______________/ \__________________/
//!  mount      version            rest             (bytes compared raw)
//!
//!                           css/with space.css     (logical path: rest decoded once)
//! ```

pub(crate) mod version;

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use http::uri::{Parts, PathAndQuery, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, ErrorKind};

/// Everything except `pchar` (RFC 3986 §3.3). Also `& ' ( )`, which are `pchar`, but could end
/// an unquoted CSS `url(…)` or an HTML attribute.
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

/// A query or fragment is encoded already: only characters that no URL may contain are escaped.
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

    /// Whether the mount is `/`: the files share it with the rest of the site.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks that a text can be one segment of a URL without an escape. The error is the reason
/// why not.
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

/// How the layer recognized the version in a request's URL. It is in the extensions of every
/// request, so that a handler or a metric can see stale traffic.
///
/// ```
/// use axum::{Router, extract::Request, routing::get};
/// use tower_static_url::{Manifest, StaticUrlLayer, StaticUrlOutcome};
/// # use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manifest = Manifest::from_files([("app.css", "")])?;
/// let layer = StaticUrlLayer::builder("/static").manifest(manifest).build()?;
/// let show = async |request: Request| {
///     format!("{:?}", request.extensions().get::<StaticUrlOutcome>())
/// };
/// let app = layer.wrap(Router::new().route("/static/app.css", get(show)));
///
/// let request = Request::get("/static/0123456789abcdef/app.css").body(Default::default())?;
/// let response = app.oneshot(request).await?;
/// # use http_body_util::BodyExt as _;
/// let body = response.into_body().collect().await?.to_bytes();
/// assert_eq!(body, "Some(Stale)");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StaticUrlOutcome {
    /// The URL has the current version. A browser may cache the file for a year.
    Current,
    /// The URL has the version of another release, whose files are kept
    /// (`StaticUrlLayerBuilder::releases`). The browser may cache the file for a year.
    Kept,
    /// The URL has a version of the right shape, but an unknown one. The browser has an old
    /// page or, during a rolling deploy, a newer one than this server.
    Stale,
    /// The URL is below the mount and has no version.
    Unversioned,
    /// The URL is not below the mount.
    Outside,
}

impl StaticUrlOutcome {
    /// Returns the name, as it is in logs and metrics: `current`, `kept`, `stale`, `unversioned`
    /// or `outside`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Kept => "kept",
            Self::Stale => "stale",
            Self::Unversioned => "unversioned",
            Self::Outside => "outside",
        }
    }

    /// How many there are.
    pub(crate) const COUNT: usize = Self::Outside as usize + 1;
}

/// A request path, split at the mount and the version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Split<'p> {
    Outside,
    /// Below the mount, but not a [plain path](is_plain). Such a request passes unchanged.
    NotPlain,
    Unversioned {
        rest: &'p str,
    },
    Versioned {
        version: &'p str,
        rest: &'p str,
    },
}

/// Splits a raw request path. `base` is the mount, or empty if an outer router has stripped it.
/// A segment is a version if it is `current`, or if `is_version` returns true for it.
pub(crate) fn split<'p>(
    base: &str,
    current: &str,
    path: &'p str,
    is_version: impl FnOnce(&str) -> bool,
) -> Split<'p> {
    let Some(Division { outcome, version, rest }) = divide(base, current, path, is_version) else {
        return Split::Outside;
    };
    match outcome {
        _ if !is_plain(rest) => Split::NotPlain,
        StaticUrlOutcome::Unversioned => Split::Unversioned { rest },
        _ => Split::Versioned { version, rest },
    }
}

/// A path below the mount. Its `rest` may be plain or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Division<'p> {
    pub(crate) outcome: StaticUrlOutcome,
    /// Empty if the path has none.
    pub(crate) version: &'p str,
    pub(crate) rest: &'p str,
}

/// Splits a path as [`split`] does, without checking that the rest is plain. `None` if the path
/// is not below the mount.
#[inline(always)]
pub(crate) fn divide<'p>(
    base: &str,
    current: &str,
    path: &'p str,
    is_version: impl FnOnce(&str) -> bool,
) -> Option<Division<'p>> {
    let below = below(base, path)?;
    let (outcome, slash) = match below.strip_prefix(current) {
        Some(rest) if rest.starts_with('/') => (StaticUrlOutcome::Current, current.len()),
        _ => match below
            .bytes()
            .position(|byte| byte == b'/')
            .filter(|&slash| is_version(&below[..slash]))
        {
            Some(slash) => (StaticUrlOutcome::Stale, slash),
            None => {
                let outcome = StaticUrlOutcome::Unversioned;
                return Some(Division { outcome, version: "", rest: below });
            }
        },
    };
    Some(Division { outcome, version: &below[..slash], rest: &below[slash + 1..] })
}

/// Returns what follows `base` and a slash. `/static` itself is below `/static`, with an empty
/// rest; `/staticfoo` is not. `*` and an authority-form target (RFC 9112 §3.2) are below no
/// mount.
#[inline]
fn below<'p>(base: &str, path: &'p str) -> Option<&'p str> {
    match path.strip_prefix(base)? {
        "" if !base.is_empty() => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Whether every reader of the path finds the same segments in it, each a child of the one
/// before: no `.` or `..`, no encoded slash, no backslash, no NUL, and no empty segment except
/// for the last (a directory's trailing slash).
pub(crate) fn is_plain(rest: &str) -> bool {
    let mut starts_segment = true;
    for byte in rest.bytes() {
        match byte {
            b'%' | b'\\' | 0 => return has_plain_segments(rest),
            b'/' | b'.' if starts_segment => return has_plain_segments(rest),
            _ => starts_segment = byte == b'/',
        }
    }
    // Most paths end here.
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

/// Whether a segment is `.` or `..`, each dot spelled as itself or as `%2e`.
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

/// Whether a segment has a backslash or a NUL, or a percent-escape of `/`, `\` or NUL.
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

/// Decodes a plain `rest` once, into a logical path. `None` if an escape is malformed or the
/// bytes are not UTF-8: no listed file is spelled like that.
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

/// Percent-encodes a logical path once.
pub(crate) fn encode(path: &str) -> impl Iterator<Item = &str> + Clone {
    utf8_percent_encode(path, PATH_ESCAPES)
}

/// Escapes what no URL may contain in a `?query` and `#fragment` that are encoded already.
pub(crate) fn encode_suffix(suffix: &str) -> impl Iterator<Item = &str> + Clone {
    utf8_percent_encode(suffix, SUFFIX_ESCAPES)
}

/// Returns `<base>/<rest>[?query]`, made in one allocation.
///
/// This cannot fail for a `rest` that comes from a request path: a valid path without one of
/// its segments is valid. Callers leave the request alone if it does.
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

/// Replaces path and query of a URI; scheme and authority stay.
#[inline]
pub(crate) fn with_path(uri: &Uri, path: PathAndQuery) -> Uri {
    let Some(authority) = uri.authority() else { return Uri::from(path) };
    let mut parts = Parts::default();
    parts.scheme = uri.scheme().cloned();
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(path);
    // Cannot fail: scheme and authority come from a valid URI.
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// Returns `<mount>/<version>/<rest>[?query]`.
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
                "directory with trailing slash",
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
            ("open redirect", "/static", "/static/1234//evil.example", NotPlain),
            ("open redirect at the root", "", "/1234//evil.example", NotPlain),
            ("empty segment", "/static", "/static/1234/css//app.css", NotPlain),
            ("two trailing slashes", "/static", "/static/1234/css//", NotPlain),
            ("empty version", "/static", "/static//app.css", NotPlain),
            ("only slashes", "/static", "/static//", NotPlain),
            ("dot segment", "/static", "/static/1234/./a", NotPlain),
            ("parent segment", "/static", "/static/1234/../a", NotPlain),
            ("parent segment at the end", "/static", "/static/1234/css/..", NotPlain),
            ("encoded dot", "/static", "/static/1234/%2e/a", NotPlain),
            ("encoded parent", "/static", "/static/1234/%2e%2E/a", NotPlain),
            ("half encoded parent", "/static", "/static/1234/.%2e/a", NotPlain),
            ("encoded slash", "/static", "/static/1234/a%2fb", NotPlain),
            ("encoded slash, upper case", "/static", "/static/1234/a%2Fb", NotPlain),
            ("encoded backslash", "/static", "/static/1234/a%5cb", NotPlain),
            ("backslash", "/static", "/static/1234/a\\b", NotPlain),
            ("encoded NUL", "/static", "/static/1234/a%00", NotPlain),
            ("odd without a version", "/static", "/static/../a", NotPlain),
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
                Split::Outside | Split::NotPlain => {}
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

    #[test]
    fn nothing_but_percents_is_no_name() {
        for rest in ["%", "%%", "%%%"] {
            assert_eq!(decode(rest), None, "{rest}");
        }
    }

    #[test]
    fn queries_and_fragments_are_encoded_already() {
        for (name, suffix, expected) in [
            ("nothing", "", ""),
            ("a query", "?a=b&c=%20", "?a=b&c=%20"),
            ("a fragment", "#cart", "#cart"),
            ("a quote", "?a=\"'", "?a=%22%27"),
            ("a tag", "?<b>", "?%3Cb%3E"),
            ("a space", "#a b", "#a%20b"),
            ("other characters", "?\\^`{|}", "?%5C%5E%60%7B%7C%7D"),
            ("non-ASCII", "?ü", "?%C3%BC"),
        ] {
            assert_eq!(encode_suffix(suffix).collect::<String>(), expected, "{name}");
        }
    }
}
