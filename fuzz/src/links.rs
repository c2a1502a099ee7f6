//! Links to files of any name: each is asked for again as the browser would.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, Uri};
use tower_static_url::{
    Manifest, StaticPrefix, StaticUrlLayer,
    StaticUrlOutcome::{self, Current, Unversioned},
};

use crate::{
    exchange::{Seen, exchange},
    inner::Content,
    site::{asked_for, etag_of},
};

const MOST_LINES: usize = 16;
const LONGEST_LINE: usize = 512;

/// First line: the mount. Then names of files, one a line. After an empty line: what is
/// linked to besides. Says how many files it has found.
pub fn links(data: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(data) else { return 0 };
    let mut lines = text.split('\n').filter(|line| line.len() <= LONGEST_LINE).take(MOST_LINES);
    let mount = lines.next().unwrap_or_default();
    let files = lines.by_ref().take_while(|line| !line.is_empty());
    let files = files.filter(|name| Manifest::from_files([(name, "")]).is_ok());
    let files =
        files.map(|name| (name, format!("the content of {name}"))).collect::<BTreeMap<_, _>>();
    let Some(layer) = layer(mount, &files) else { return 0 };
    let site = Site { mount: mount.trim_end_matches('/'), prefix: layer.prefix(), layer, files };
    site.files.keys().for_each(|name| site.is_found(name));
    lines.for_each(|link| site.is_a_url(link));
    site.lists_its_files();
    site.tells_what_is_new();
    site.files.len()
}

fn layer(mount: &str, files: &BTreeMap<&str, String>) -> Option<StaticUrlLayer> {
    let manifest = Manifest::from_files(files).ok()?;
    StaticUrlLayer::builder(mount).manifest(manifest).build().ok()
}

struct Site<'d> {
    layer: StaticUrlLayer,
    prefix: StaticPrefix,
    mount: &'d str,
    files: BTreeMap<&'d str, String>,
}

impl Site<'_> {
    fn ask(&self, url: &str) -> Seen {
        let url = url.parse::<Uri>().unwrap_or_else(|error| panic!("{url:?}: {error}"));
        let request = Request::get(url).body(()).expect("it is valid");
        exchange(&self.layer, request, |request| {
            let path = asked_for(request.uri().path(), self.mount);
            let file = path.and_then(|path| self.files.get(&*path));
            let content = file.map(|content| Bytes::from(content.clone()));
            let mut response =
                Response::new(Content::new(content.clone().unwrap_or_default(), true));
            if content.is_none() {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            response
        })
    }

    fn is_found(&self, name: &str) {
        let url = self.prefix.url(name);
        assert_eq!(self.prefix.try_url(name).ok().as_ref(), Some(&url), "{name:?}");
        assert!(self.prefix.integrity(name).is_some(), "{name:?}");
        self.is_sent(name, &url, Current);
        let suffix = if name.contains('?') { "" } else { "?a=/../b" };
        self.is_sent(name, &format!("{url}{suffix}"), Current);
        let rest = url.strip_prefix(self.prefix.as_str()).expect("it starts with the prefix");
        let unversioned = format!("{}/{rest}", self.mount);
        assert_eq!(self.prefix.unversioned(name), unversioned, "{name:?}");
        self.is_sent(name, &unversioned, Unversioned);
    }

    fn is_sent(&self, name: &str, url: &str, outcome: StaticUrlOutcome) {
        let seen = self.ask(url);
        let cache_control = match outcome {
            Current => "public, max-age=31536000, immutable",
            _ => "no-cache",
        };
        let content = &self.files[name];
        assert_eq!(seen.answer.body(), content, "{name:?} is not found at {url:?}: {seen:?}");
        assert_eq!(seen.field("cache-control"), cache_control, "{name:?} at {url:?}");
        assert_eq!(seen.field("etag"), etag_of(content), "{name:?} at {url:?}");
        let inner = seen.inner.expect("it is asked the first time");
        assert_eq!(inner.outcome(), Some(outcome), "{name:?} at {url:?}");
        let path = inner.request.uri().path();
        assert!(!path.contains("//") && !path.contains("/../"), "{name:?}: {path:?}");
    }

    fn lists_its_files(&self) {
        let expected = self.files.keys().copied().collect::<Vec<_>>();
        assert_eq!(self.prefix.paths().collect::<Vec<_>>(), expected);
    }

    /// Since a release without the first of the files, and with another second one.
    fn tells_what_is_new(&self) {
        let mut older = self.files.clone();
        let first = older.pop_first().map(|(name, _)| name);
        let second = older.first_entry().map(|mut entry| {
            entry.get_mut().push_str(", before");
            *entry.key()
        });
        let Some(older) = layer(&format!("{}/", self.mount), &older) else { return };
        let (prefix, older) = (&self.prefix, older.prefix());
        let expected = first.into_iter().chain(second).collect::<Vec<_>>();
        assert_eq!(prefix.changed_since(&older).collect::<Vec<_>>(), expected);
        assert_eq!(older.changed_since(prefix).collect::<Vec<_>>(), expected);
        assert_eq!(prefix.changed_since(prefix).next(), None);
    }

    fn is_a_url(&self, link: &str) {
        let url = self.prefix.url(link);
        let rest =
            url.strip_prefix(self.prefix.as_str()).unwrap_or_else(|| panic!("{link:?}: {url:?}"));
        let is_visible = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\`{}|^".contains(&byte);
        assert!(rest.bytes().all(is_visible), "{link:?}: {url:?}");
        assert!(!rest.starts_with('/'), "{link:?}: {url:?}");
        assert!(url.parse::<Uri>().is_ok(), "{link:?}: {url:?}");
        if let Err(error) = self.prefix.try_url(link) {
            assert!(!self.files.contains_key(link), "{link:?}: {error}");
        }
        self.ask(&url);
    }
}
