//! Where does a redirect lead? The inner service made its `Location` for a path without the
//! version, but the client resolves it against the path with the version.

use crate::url::{Split, split, with_version};

/// The URL as the client requested it, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestedUrl<'a> {
    pub(crate) mount: &'a str,
    pub(crate) version: &'a str,
    pub(crate) rest: &'a str,
    /// `host[:port]` of the request, if known.
    pub(crate) authority: Option<&'a str>,
}

/// Returns the `Location` that leads the client to where the inner service meant it to go,
/// with the version if that is below the mount; `is_below` decides for a path that starts with
/// the mount. Returns `None` if `location` does so already.
pub(crate) fn restore_version(
    location: &str,
    requested: RequestedUrl<'_>,
    is_version: impl FnOnce(&str) -> bool,
    is_below: impl FnOnce(&str) -> bool,
) -> Option<String> {
    let (origin, reference) = split_origin(location)?;
    let (path, suffix) = reference.split_at(reference.find(['?', '#']).unwrap_or(reference.len()));
    // Without a path it leads to what was requested, or to the front page of a host.
    if path.is_empty() || (!origin.is_empty() && !is_same_host(origin, requested.authority)) {
        return None;
    }
    let RequestedUrl { mount, version, rest, .. } = requested;
    let inner_target = resolve(&format!("{mount}/{rest}"), path);
    let target = match split(mount, version, &inner_target, is_version) {
        Split::Unversioned { rest } if inner_target != mount && is_below(&inner_target) => {
            with_version(mount, version, rest, None)
        }
        _ => inner_target,
    };
    let client_target = resolve(&format!("{mount}/{version}/{rest}"), path);
    // Without an origin, a path that starts with `//` would name another host.
    let guard = if origin.is_empty() && target.starts_with("//") { "/." } else { "" };
    (client_target != target).then(|| format!("{origin}{guard}{target}{suffix}"))
}

/// Returns the `Location` with the mount, if it is a path that starts with this version, as a
/// service sees it that has the files of each version in a directory.
#[cfg(feature = "releases")]
pub(crate) fn restore_mount(
    location: &str,
    mount: &str,
    version: &str,
    authority: Option<&str>,
) -> Option<String> {
    let (origin, reference) = split_origin(location)?;
    if !origin.is_empty() && !is_same_host(origin, authority) {
        return None;
    }
    let below = reference.strip_prefix('/')?.strip_prefix(version)?;
    (below.starts_with('/') && !mount.is_empty()).then(|| format!("{origin}{mount}{reference}"))
}

/// Splits `scheme://authority` or `//authority` off a URI reference (RFC 3986
/// §4.1). `None` for a scheme that is not HTTP's.
fn split_origin(location: &str) -> Option<(&str, &str)> {
    let scheme_end = location
        .find([':', '/', '?', '#'])
        .filter(|&i| location[i..].starts_with(':'))
        .map_or(0, |i| i + 1);
    let (scheme, after) = location.split_at(scheme_end);
    let is_http = ["", "http:", "https:"].iter().any(|http| scheme.eq_ignore_ascii_case(http));
    let Some(hierarchy) = after.strip_prefix("//").filter(|_| is_http) else {
        return scheme.is_empty().then_some(("", location));
    };
    let authority_end = hierarchy.find(['/', '?', '#']).unwrap_or(hierarchy.len());
    Some(location.split_at(location.len() - hierarchy.len() + authority_end))
}

/// Whether an `http(s)://authority` or `//authority` is that of the request.
fn is_same_host(origin: &str, authority: Option<&str>) -> bool {
    let Some((scheme, host)) = origin.split_once("//") else { return false };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http:" => ":80",
        "https:" => ":443",
        _ => "",
    };
    let bare = |host: &str| {
        let host = host.to_ascii_lowercase();
        host.strip_suffix(default_port).map(str::to_owned).unwrap_or(host)
    };
    authority.is_some_and(|authority| bare(authority) == bare(host))
}

/// Resolves the path of a relative reference against `base` (RFC 3986 §5.2.2). The path is not
/// empty: such a reference is left to the client.
fn resolve(base: &str, path: &str) -> String {
    if path.starts_with('/') {
        return remove_dot_segments(path);
    }
    let directory = &base[..base.rfind('/').map_or(0, |i| i + 1)];
    remove_dot_segments(&format!("{directory}{path}"))
}

/// Removes dot segments (RFC 3986 §5.2.4) from a path that starts with a slash.
fn remove_dot_segments(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_dots = matches!(segment, "." | "..");
        if segment == ".." {
            kept.pop();
        }
        if !is_dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(mount: &str, rest: &str, location: &str) -> String {
        let requested =
            RequestedUrl { mount, version: "1234", rest, authority: Some("Example.com") };
        let is_version = |segment: &str| segment.len() == 4 && segment.parse::<u16>().is_ok();
        let restored = restore_version(location, requested, is_version, |_| true);
        restored.unwrap_or_else(|| location.to_owned())
    }

    #[cfg(feature = "releases")]
    #[test]
    fn locations_below_a_directory_for_each_version() {
        for (name, mount, location, expected) in [
            ("below the version", "/static", "/1234/docs/?a#b", Some("/static/1234/docs/?a#b")),
            (
                "this host",
                "/static",
                "http://example.com/1234/a",
                Some("http://example.com/static/1234/a"),
            ),
            ("another host", "/static", "http://a.example/1234/a", None),
            ("with the mount", "/static", "/static/1234/a", None),
            ("another version", "/static", "/12345/a", None),
            ("the version itself", "/static", "/1234", None),
            ("relative", "/static", "1234/a", None),
            ("another host, without a scheme", "/static", "//a.example/1234/a", None),
            ("a mount of the root", "", "/1234/a", None),
        ] {
            let restored = restore_mount(location, mount, "1234", Some("Example.com"));
            assert_eq!(restored.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn locations() {
        for (name, rest, location, expected) in [
            ("absolute path", "docs", "/static/docs/", "/static/1234/docs/"),
            (
                "query and fragment stay",
                "docs",
                "/static/docs/?a=/static/#b",
                "/static/1234/docs/?a=/static/#b",
            ),
            ("outside the mount", "docs", "/login", "/login"),
            ("looks like the mount", "docs", "/staticfoo/", "/staticfoo/"),
            ("the mount itself", "docs", "/static", "/static"),
            ("the mount with a slash", "docs", "/static/", "/static/1234/"),
            ("already versioned", "docs", "/static/1234/docs/", "/static/1234/docs/"),
            ("another version", "docs", "/static/9999/docs/", "/static/9999/docs/"),
            ("dots are resolved", "docs", "/static/x/../docs/", "/static/1234/docs/"),
            ("relative, same directory", "a/docs", "docs/", "docs/"),
            ("relative, up but below", "a/b/c", "../d", "../d"),
            ("relative, to the mount", "a/b", "../", "../"),
            ("relative, out of the mount", "a/b", "../../login", "/login"),
            ("relative, far out", "a", "../../../login", "../../../login"),
            ("relative with a colon", "a", "b/c:d", "b/c:d"),
            ("only a query", "a", "?b", "?b"),
            ("only a fragment", "a", "#b", "#b"),
            ("empty", "a", "", ""),
            ("empty, below what looks like a version", "1234/a", "", ""),
            ("only a query, below the same", "1234/a", "?b", "?b"),
            (
                "same host",
                "docs",
                "http://example.com/static/docs/",
                "http://example.com/static/1234/docs/",
            ),
            (
                "same host, its port",
                "docs",
                "HTTPS://EXAMPLE.com:443/static/docs/",
                "HTTPS://EXAMPLE.com:443/static/1234/docs/",
            ),
            (
                "same host, no scheme",
                "docs",
                "//example.com/static/docs/",
                "//example.com/static/1234/docs/",
            ),
            ("same host, no path", "docs", "http://example.com", "http://example.com"),
            (
                "same host, outside",
                "docs",
                "http://example.com/login?a",
                "http://example.com/login?a",
            ),
            (
                "other port",
                "docs",
                "http://example.com:81/static/docs/",
                "http://example.com:81/static/docs/",
            ),
            (
                "other host",
                "docs",
                "http://evil.example/static/docs/",
                "http://evil.example/static/docs/",
            ),
            (
                "other host, no scheme",
                "docs",
                "//evil.example/static/docs/",
                "//evil.example/static/docs/",
            ),
            (
                "user in the authority",
                "docs",
                "http://a@example.com/static/docs/",
                "http://a@example.com/static/docs/",
            ),
            ("other scheme", "docs", "mailto:static/docs", "mailto:static/docs"),
            (
                "other scheme with authority",
                "docs",
                "ftp://example.com/static/docs/",
                "ftp://example.com/static/docs/",
            ),
            ("relative, no other host", "a/b", "../..//evil.example/", "/.//evil.example/"),
            ("not plain below the mount", "docs", "/static//evil.example", "/static//evil.example"),
        ] {
            assert_eq!(restored("/static", rest, location), expected, "{name}");
        }
        for (name, location, expected) in [
            ("root mount", "/docs/", "/1234/docs/"),
            ("root mount, root", "/", "/1234/"),
            ("root mount, versioned", "/1234/docs/", "/1234/docs/"),
            ("root mount, other host", "//docs/", "//docs/"),
            ("root mount, dots to no other host", "/a/..//docs/", "/a/..//docs/"),
        ] {
            assert_eq!(restored("", "docs", location), expected, "{name}");
        }
    }

    #[test]
    fn the_rest_of_a_site_gets_no_version() {
        let requested = RequestedUrl { mount: "", version: "1234", rest: "docs", authority: None };
        let restored = |location| {
            restore_version(location, requested, |_| false, |path| path.starts_with("/docs"))
        };
        assert_eq!(restored("/docs/").as_deref(), Some("/1234/docs/"));
        assert_eq!(restored("/login"), None);
        assert_eq!(restored("login").as_deref(), Some("/login"), "the client would stay below");
    }

    #[test]
    fn without_a_known_host_absolute_urls_are_left_alone() {
        let requested =
            RequestedUrl { mount: "/static", version: "1234", rest: "a", authority: None };
        let location = "http://example.com/static/a/";
        assert_eq!(restore_version(location, requested, |_| false, |_| true), None);
    }

    #[test]
    fn the_port_of_a_scheme_is_no_other_host() {
        for (name, authority, origin, expected) in [
            ("http's", "a.example", "http://a.example:80", true),
            ("https's", "a.example", "https://a.example:443", true),
            ("http's, of the request", "a.example:80", "http://a.example", true),
            ("https's at http", "a.example", "http://a.example:443", false),
            ("http's at https", "a.example", "https://a.example:80", false),
            ("no scheme, no port", "a.example", "//a.example", true),
            ("no scheme, a port", "a.example", "//a.example:80", false),
        ] {
            assert_eq!(is_same_host(origin, Some(authority)), expected, "{name}");
        }
    }
}
