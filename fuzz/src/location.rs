//! Redirects: a `Location` must lead the client, from the URL that it knows, to where
//! the inner service has meant it to go from the one that it was asked for.

use http::{Method, header};
use percent_encoding::{CONTROLS, percent_encode};

use crate::{
    exchange::{Inner, Seen, exchange},
    inner::respond,
    place::Place,
    script::{Answer, Exchange, Script},
    site::{Site, fill},
};

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Says how many redirects it has followed.
pub fn location(data: &[u8]) -> usize {
    let script = Script::parse(data, fill);
    let site = Site::new(&script.site);
    let mut count = 0;
    for Exchange { request, answer } in script.exchanges {
        // To other methods the answer is left alone.
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        let is_redirect = answer.status().is_some_and(|status| REDIRECTS.contains(&status));
        if is_read && is_redirect && answer.lines.get_all("location").iter().count() == 1 {
            let seen =
                exchange(&site.layer, request, |request| respond(request, site.base, &answer));
            leads_where_it_was_meant_to(&site, &seen, &answer);
            count += 1;
        }
    }
    count
}

fn leads_where_it_was_meant_to(site: &Site, seen: &Seen, answer: &Answer) {
    let said = answer.lines["location"].as_bytes();
    // No URI reference starts with a colon.
    let inner = seen.inner.as_ref().filter(|_| !said.starts_with(b":"));
    let Some(Inner { request: inner, .. }) = inner else { return };
    let all = seen.answer.headers().get_all(header::LOCATION).iter().collect::<Vec<_>>();
    assert_eq!(all.len(), 1, "one line: {seen:?}");
    // Without a path it leads to what was asked for, whatever that is called inside.
    if said.is_empty() || said.starts_with(b"?") || said.starts_with(b"#") {
        return assert_eq!(all[0].as_bytes(), said, "from where it leads: {seen:?}");
    }
    let host = host(seen);
    let url = |path: &str, query| Url::of_request(&host, &format!("{}{path}", site.outer()), query);
    let asked = seen.asked.uri();
    let meant = url(inner.uri().path(), inner.uri().query()).join(said);
    let read = url(asked.path(), asked.query()).join(all[0].as_bytes());
    let meant_without = meant.without_version(site, &host);
    assert_eq!(read.without_version(site, &host), meant_without, "elsewhere: {seen:?}");
    let of_request = Place::of(asked.path(), site.base, site);
    let Place::Versioned { version, .. } = of_request else {
        return assert_eq!(all[0].as_bytes(), said, "it had no version: {seen:?}");
    };
    let path = meant.path_text();
    let is_folder = path == site.mount;
    if let Place::Unversioned { rest } = Place::of(&path, site.mount, site)
        && meant.is_at(&host)
        && !is_folder
    {
        let expected = format!("{}/{version}/{rest}", site.mount);
        assert_eq!(read.path_text(), expected, "the version is lost: {seen:?}");
    }
}

impl Site {
    /// What an outer router has stripped.
    fn outer(&self) -> &str {
        self.mount.strip_suffix(self.base).unwrap_or_default()
    }
}

/// RFC 9110 §7.1; where nobody says it, one that no `Location` names.
fn host(seen: &Seen) -> String {
    let target = seen.asked.uri().authority().map(|it| it.as_str().to_owned());
    let first = seen.asked.headers().get("host").and_then(|it| it.to_str().ok());
    target.or_else(|| first.map(str::to_owned)).unwrap_or_else(|| "unsaid".into())
}

/// RFC 3986 §3, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Url {
    scheme: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    fragment: Option<Vec<u8>>,
}

impl Url {
    fn of_request(host: &str, path: &str, query: Option<&str>) -> Self {
        Self {
            scheme: Some(b"http".into()),
            authority: Some(host.into()),
            path: path.into(),
            query: query.map(Into::into),
            fragment: None,
        }
    }

    /// The regular expression of RFC 3986, appendix B.
    fn parse(reference: &[u8]) -> Self {
        let until = |text: &[u8], ends: &[u8]| {
            let end = text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len());
            (text[..end].to_vec(), text[end..].to_vec())
        };
        let mut url = Self::default();
        let mut left = reference.to_vec();
        let (scheme, after) = until(&left, b":/?#");
        if !scheme.is_empty() && after.starts_with(b":") {
            (url.scheme, left) = (Some(scheme), after[1..].to_vec());
        }
        if left.starts_with(b"//") {
            let (authority, after) = until(&left[2..], b"/?#");
            (url.authority, left) = (Some(authority), after);
        }
        (url.path, left) = until(&left, b"?#");
        if left.starts_with(b"?") {
            let (query, after) = until(&left[1..], b"#");
            (url.query, left) = (Some(query), after);
        }
        if left.starts_with(b"#") {
            url.fragment = Some(left[1..].to_vec());
        }
        url
    }

    /// RFC 3986 §5.2.2, line by line.
    fn join(&self, reference: &[u8]) -> Self {
        let mut target = Self::parse(reference);
        if target.scheme.is_some() {
            target.path = remove_dot_segments(target.path);
            return target;
        }
        target.scheme.clone_from(&self.scheme);
        if target.authority.is_some() {
            target.path = remove_dot_segments(target.path);
            return target;
        }
        target.authority.clone_from(&self.authority);
        if target.path.is_empty() {
            target.path.clone_from(&self.path);
            target.query = target.query.or_else(|| self.query.clone());
        } else if target.path.starts_with(b"/") {
            target.path = remove_dot_segments(target.path);
        } else {
            let folder = self.path.iter().rposition(|&byte| byte == b'/').map_or(0, |it| it + 1);
            target.path = remove_dot_segments([&self.path[..folder], &target.path].concat());
        }
        target
    }

    /// Whether it leads to the host that was asked.
    fn is_at(&self, host: &str) -> bool {
        let scheme = self.scheme.as_deref().unwrap_or_default().to_ascii_lowercase();
        let port = match &*scheme {
            b"http" => ":80",
            b"https" => ":443",
            _ => return false,
        };
        let own = self.authority.as_deref().map(|it| String::from_utf8_lossy(it).to_lowercase());
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_owned();
        own.is_some_and(|own| bare(&own) == bare(&host.to_lowercase()))
    }

    fn path_text(&self) -> String {
        text(&self.path)
    }

    fn without_version(&self, site: &Site, host: &str) -> Self {
        let path = self.path_text();
        let path = match Place::of(&path, site.mount, site) {
            Place::Versioned { rest, .. } if self.is_at(host) => format!("{}/{rest}", site.mount),
            _ => path,
        };
        let escaped = |part: &Option<Vec<u8>>| part.as_deref().map(|it| text(it).into());
        Self {
            path: path.into(),
            query: escaped(&self.query),
            fragment: escaped(&self.fragment),
            ..self.clone()
        }
    }
}

/// With what is not ASCII in percent-escapes.
fn text(part: &[u8]) -> String {
    percent_encode(part, CONTROLS).to_string()
}

/// RFC 3986 §5.2.4, with its two buffers.
fn remove_dot_segments(path: Vec<u8>) -> Vec<u8> {
    let mut input = &path[..];
    let mut output = Vec::new();
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix(b"../").or_else(|| input.strip_prefix(b"./")) {
            input = rest;
        } else if input.starts_with(b"/./") {
            input = &input[2..];
        } else if input == b"/." {
            input = b"/";
        } else if input.starts_with(b"/../") || input == b"/.." {
            input = if input == b"/.." { b"/" } else { &input[3..] };
            output.truncate(output.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
        } else if input == b"." || input == b".." {
            input = b"";
        } else {
            let end =
                input[1..].iter().position(|&byte| byte == b'/').map_or(input.len(), |it| it + 1);
            output.extend_from_slice(&input[..end]);
            input = &input[end..];
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of RFC 3986 §5.4.
    #[test]
    fn references() {
        let base = Url::of_request("a", "/b/c/d;p", Some("q"));
        for (reference, authority, path, query) in [
            ("g", "a", "/b/c/g", None),
            ("./g/", "a", "/b/c/g/", None),
            ("/g", "a", "/g", None),
            ("//g", "g", "", None),
            ("?y", "a", "/b/c/d;p", Some("y")),
            ("", "a", "/b/c/d;p", Some("q")),
            (".", "a", "/b/c/", None),
            ("..", "a", "/b/", None),
            ("../../../g", "a", "/g", None),
            ("g;x=1/../y", "a", "/b/c/y", None),
            ("http://h/../x", "h", "/x", None),
        ] {
            let url = base.join(reference.as_bytes());
            assert_eq!(url, Url::of_request(authority, path, query), "{reference:?}");
        }
    }
}
