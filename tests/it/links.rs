//! What a handler sees: the prefix, its URLs, its errors.

use std::{convert::Infallible, future::ready, sync::Mutex};

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, Response},
    middleware::{Next, from_fn},
    routing::get,
};
use data_encoding::HEXLOWER;
use proptest::prelude::*;
use tempfile::TempDir;
use tower::{Layer as _, Service, service_fn, util::BoxCloneSyncService};
use tower_static_url::{
    ErrorKind, Manifest, StaticPrefix, StaticUrlLayer, StaticUrlOutcome, VersionSource,
    manifest::FileInfo,
};

use crate::support::{self, Site, ask, tree};

fn listed(paths: &[&str]) -> StaticPrefix {
    let manifest = Manifest::from_files(paths.iter().map(|path| (path, path))).unwrap();
    StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap().prefix()
}

fn declared() -> StaticPrefix {
    let version = VersionSource::literal("v1");
    StaticUrlLayer::builder("/static").version(version).build().unwrap().prefix()
}

#[test]
fn urls() {
    for (name, path, expected) in [
        ("plain", "css/app.css", "css/app.css"),
        ("leading slash", "/css/app.css", "css/app.css"),
        ("leading slashes", "//css/app.css", "css/app.css"),
        ("nothing", "", ""),
        ("folder", "docs/", "docs/"),
        ("space", "with space.txt", "with%20space.txt"),
        ("percent", "100%.txt", "100%25.txt"),
        ("encoded once", "with%20space.txt", "with%2520space.txt"),
        ("semicolon", "semi;colon.txt", "semi;colon.txt"),
        ("plus", "plus+plus.txt", "plus+plus.txt"),
        ("non-ASCII", "fünke.txt", "f%C3%BCnke.txt"),
        ("fragment", "img/sprite.svg#cart", "img/sprite.svg#cart"),
        ("query", "app.js?debug=1&x", "app.js?debug=1&x"),
        ("query and fragment", "a?b#c?d", "a?b#c?d"),
        ("space before and in the query", "a b?c d", "a%20b?c%20d"),
        ("an encoded query stays", "a?b=%20", "a?b=%20"),
        ("markup", "a<b>\"&'(c)", "a%3Cb%3E%22%26%27%28c%29"),
        ("backslash", "a\\b", "a%5Cb"),
        ("control", "a\nb", "a%0Ab"),
    ] {
        assert_eq!(declared().url(path), format!("/static/v1/{expected}"), "{name}");
        assert_eq!(declared().try_url(path).unwrap(), declared().url(path), "{name}");
    }
}

#[test]
fn a_listed_name_may_hold_a_mark() {
    let prefix = listed(&["a#b", "a?b", "sprite.svg", "we?ird#.svg", "c#"]);
    for (path, expected) in [
        ("a#b", "a%23b"),
        ("a?b", "a%3Fb"),
        ("sprite.svg#cart", "sprite.svg#cart"),
        ("a#b#c", "a%23b#c"),
        ("a?b?c=d#e", "a%3Fb?c=d#e"),
        ("we?ird#.svg?q#f", "we%3Fird%23.svg?q#f"),
        ("c##f", "c%23#f"),
        ("unlisted#x#y", "unlisted#x#y"),
    ] {
        assert_eq!(prefix.url(path), format!("{prefix}{expected}"));
    }
}

#[test]
fn text() {
    let prefix = declared();
    assert_eq!((prefix.as_str(), prefix.version()), ("/static/v1/", "v1"));
    assert_eq!((prefix.to_string(), prefix.mount()), ("/static/v1/".to_owned(), "/static"));
    assert_eq!(format!("{prefix:?}"), r#"StaticPrefix("/static/v1/")"#);
}

#[test]
fn mounts_and_origins() {
    for (mount, origin, expected) in [
        ("/static", None, "/static/v1/a"),
        ("/static/", None, "/static/v1/a"),
        ("/", None, "/v1/a"),
        ("/a/b/static", None, "/a/b/static/v1/a"),
        ("/static", Some("https://cdn.example.com"), "https://cdn.example.com/static/v1/a"),
        (
            "/static",
            Some("http://cdn.example.com:8080/"),
            "http://cdn.example.com:8080/static/v1/a",
        ),
        ("/", Some("https://cdn.example.com"), "https://cdn.example.com/v1/a"),
    ] {
        let mut builder = StaticUrlLayer::builder(mount).version(VersionSource::literal("v1"));
        if let Some(origin) = origin {
            builder = builder.origin(origin);
        }
        assert_eq!(builder.build().unwrap().prefix().url("a"), expected);
    }
    for bad in [
        "",
        "cdn.example.com",
        "//cdn.example.com",
        "ftp://cdn.example.com",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "https://a b",
        "https://a#b",
        "https://a/#b",
        "https://a:99999",
        "https://a:",
        "https://:80",
    ] {
        let builder = StaticUrlLayer::builder("/static").version(VersionSource::literal("v1"));
        let error = builder.origin(bad).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOrigin, "{bad}");
        assert!(error.to_string().starts_with(&format!("origin {bad:?}: ")), "{error}");
    }
}

/// The same URL with the origin, without it, and without the version.
#[test]
fn kinds_of_urls() {
    let prefix = |mount: &str, origin: Option<&str>| {
        let manifest = Manifest::from_files([("a", ""), ("a#b", ""), ("we?ird#.svg", "")]).unwrap();
        let version = VersionSource::literal("v1");
        let builder = StaticUrlLayer::builder(mount).manifest(manifest).version(version);
        let builder = match origin {
            Some(origin) => builder.origin(origin),
            None => builder,
        };
        builder.build().unwrap().prefix()
    };
    for (name, path, expected) in [
        ("plain", "css/app.css", "css/app.css"),
        ("leading slash", "/css/app.css", "css/app.css"),
        ("leading slashes", "//evil.example/a", "evil.example/a"),
        ("nothing", "", ""),
        ("a slash", "/", ""),
        ("folder", "docs/", "docs/"),
        ("spaces", "with two spaces.txt", "with%20two%20spaces.txt"),
        ("percent", "100%.txt", "100%25.txt"),
        ("non-ASCII", "fünke.txt", "f%C3%BCnke.txt"),
        ("fragment", "img/sprite.svg#cart", "img/sprite.svg#cart"),
        ("query", "worker.js?debug=1&x", "worker.js?debug=1&x"),
        ("query and fragment", "/a b?c d#e?f", "a%20b?c%20d#e?f"),
        ("marks in a listed name", "a#b", "a%23b"),
        ("marks in and behind a listed name", "we?ird#.svg?q#f", "we%3Fird%23.svg?q#f"),
        ("markup", "a<b>\"&'(c)", "a%3Cb%3E%22%26%27%28c%29"),
    ] {
        for (mount, origin, base) in [
            ("/static", None, "/static"),
            ("/static/", Some("https://cdn.example.com"), "/static"),
            ("/a/b/static", Some("http://localhost:8080/"), "/a/b/static"),
            ("/", None, ""),
            ("/", Some("https://cdn.example.com"), ""),
        ] {
            let prefix = prefix(mount, origin);
            let host = origin.unwrap_or_default().trim_end_matches('/');
            let name = format!("{name}, {mount} {host}");
            assert_eq!(prefix.url(path), format!("{host}{base}/v1/{expected}"), "{name}");
            assert_eq!(prefix.display(path).to_string(), prefix.url(path), "{name}");
            assert_eq!(prefix.path(path), format!("{base}/v1/{expected}"), "{name}");
            assert_eq!(prefix.unversioned(path), format!("{base}/{expected}"), "{name}");
            assert_eq!(prefix.mount(), if base.is_empty() { "/" } else { base }, "{name}");
        }
    }
}

/// The URLs of all three kinds are answered with the file.
#[tokio::test]
async fn every_kind_of_url_leads_to_the_file() {
    let site = Site::with(|builder| builder.origin("https://cdn.example.com"));
    let prefix = site.layer.prefix();
    for path in prefix.paths() {
        let url = prefix.url(path);
        let asked = url.strip_prefix("https://cdn.example.com").unwrap();
        for (url, cache_control) in [
            (asked, support::YEAR),
            (&prefix.path(path), support::YEAR),
            (&prefix.unversioned(path), "no-cache"),
        ] {
            let answer = site.send(support::get(url)).await;
            let got = (answer.status.as_u16(), answer.cache_control());
            assert_eq!(got, (200, cache_control.into()), "{url}");
            assert_eq!(answer.body, std::fs::read(site.root.path().join(path)).unwrap(), "{url}");
        }
    }
}

#[test]
fn what_is_known_of_a_file() {
    let prefix = listed(&["css/app.css", "with space", "a#b"]);
    for (path, expected) in [
        ("css/app.css", Some("css/app.css")),
        ("/css/app.css", Some("css/app.css")),
        ("css/app.css?v#x", Some("css/app.css")),
        ("with space", Some("with space")),
        ("a#b", Some("a#b")),
        ("a#b#c", Some("a#b")),
        // A path is not encoded.
        ("with%20space", None),
        ("css", None),
        ("css/", None),
        ("", None),
    ] {
        let info = prefix.get(path);
        // `listed` has their names in the files.
        assert_eq!(info.map(FileInfo::length), expected.map(|it| it.len() as u64), "{path}");
        let tag = info.map(|info| format!("\"{}\"", HEXLOWER.encode(info.sha256())));
        assert_eq!(tag, expected.map(support::etag_of), "{path}");
        assert_eq!(info.and_then(FileInfo::modified), None, "{path}");
    }
    assert!(declared().get("css/app.css").is_none());
    let site = Site::new();
    assert_eq!(site.layer.prefix().get("hello.txt").unwrap().modified(), Some(support::mtime()));
}

/// If they give the same URLs of the same files.
#[test]
fn equality() {
    let build = |mount: &str, origin: &str, files: Option<&str>, version: &str| {
        let builder = StaticUrlLayer::builder(mount).version(VersionSource::literal(version));
        let builder = if origin.is_empty() { builder } else { builder.origin(origin) };
        let manifest = files.map(|content| Manifest::from_files([("a", content)]).unwrap());
        let builder = match manifest {
            Some(manifest) => builder.manifest(manifest),
            None => builder,
        };
        builder.build().unwrap().prefix()
    };
    let one = build("/static", "", Some("1"), "v1");
    for (name, other, is_same) in [
        ("a clone", one.clone(), true),
        ("another layer", build("/static/", "", Some("1"), "v1"), true),
        ("another mount", build("/media", "", Some("1"), "v1"), false),
        ("another origin", build("/static", "https://a", Some("1"), "v1"), false),
        ("another version", build("/static", "", Some("1"), "v2"), false),
        ("other files", build("/static", "", Some("2"), "v1"), false),
        ("no files", build("/static", "", None, "v1"), false),
    ] {
        assert_eq!((one == other, other == one), (is_same, is_same), "{name}");
    }
    assert_eq!(build("/static", "", None, "v1"), build("/static", "", None, "v1"));

    let root = support::tree([("a", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let before = layer.prefix();
    assert_eq!(layer.reload().unwrap().after(), &before, "a reload without a change");
    assert_eq!(layer.nested().prefix(), before, "as where the mount is stripped");
    support::write(root.path(), "a", "another");
    let reload = layer.reload().unwrap();
    assert_eq!((reload.before() == &before, reload.after() == &before), (true, false));
    assert_eq!(layer.prefix(), *reload.after());
}

/// As a template engine takes it in a context.
#[test]
fn serialized() {
    let cdn = StaticUrlLayer::builder("/").version(VersionSource::literal("v1"));
    let cdn = cdn.origin("https://cdn.example.com").build().unwrap().prefix();
    let context = serde_json::json!({ "static": declared(), "all": [cdn] });
    let expected = r#"{"all":["https://cdn.example.com/v1/"],"static":"/static/v1/"}"#;
    assert_eq!(context.to_string(), expected);
    assert_eq!(serde_json::to_string(&declared()).unwrap(), r#""/static/v1/""#);
}

#[test]
fn a_typo_is_told_the_nearest_names() {
    let prefix =
        listed(&["css/app.css", "css/base.css", "img/cart.svg", "js/app.js", "js/app.mjs"]);
    for (path, message) in [
        ("css/ap.css", r#""css/ap.css" is not listed; nearest is "css/app.css""#),
        ("app.css", r#""app.css" is not listed; nearest is "css/app.css""#),
        ("CSS/APP.css", r#""CSS/APP.css" is not listed; nearest is "css/app.css""#),
        ("js/app.cjs", r#""js/app.cjs" is not listed; nearest is "js/app.js", "js/app.mjs""#),
        ("fonts/serif.woff2", r#""fonts/serif.woff2" is not listed"#),
        ("img/crat.svg#x", r#""img/crat.svg" is not listed; nearest is "img/cart.svg""#),
    ] {
        let error = prefix.try_url(path).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotListed, message));
    }
    assert_eq!(prefix.try_url("/js/app.js?x").unwrap(), format!("{prefix}js/app.js?x"));
}

#[test]
fn integrity_is_the_digest_in_base64() {
    let manifest = Manifest::from_files([("a.js", "abc")]).unwrap();
    let prefix = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap().prefix();
    let digest = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    assert_eq!(prefix.integrity("a.js").as_deref(), Some(digest));
    assert_eq!(prefix.integrity("/a.js?v").as_deref(), Some(digest));
    assert_eq!(prefix.integrity("b.js"), None);
    assert_eq!(declared().integrity("a.js"), None);
}

#[test]
fn paths_are_in_bytewise_order() {
    let expected = ["Z", "a-b", "a/b", "b"];
    assert!(listed(&["b", "a/b", "a-b", "Z"]).paths().eq(expected));
    assert_eq!(declared().paths().count(), 0);
}

#[tokio::test]
async fn every_listed_name_is_found_at_its_url() {
    let site = Site::new();
    let prefix = site.layer.prefix();
    assert_eq!(prefix.paths().count(), 13);
    for path in prefix.paths() {
        let answer = site.send(support::get(&prefix.url(path))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.cache_control()),
            (200, support::YEAR.into()),
            "{path}"
        );
        assert_eq!(answer.body, std::fs::read(site.root.path().join(path)).unwrap(), "{path}");
    }
}

#[tokio::test]
async fn every_request_has_the_prefix() {
    let site = Site::new();
    let echo = || {
        async |request: Request<Body>| {
            let prefix = request.extensions().get::<StaticPrefix>().cloned();
            prefix.map_or_else(String::new, |prefix| prefix.to_string())
        }
    };
    let router = Router::new().fallback(echo());
    for uri in [
        "/",
        "/static/x",
        "/staticfoo",
        "*",
        &site.url("v/hello.txt"),
        &site.url("stale/hello.txt"),
    ] {
        let answer = ask(site.layer.layer(router.clone()), support::get(uri)).await;
        assert_eq!(answer.body, site.layer.prefix().to_string(), "{uri}");
    }
}

/// What the version in a URL turned out to be, for handlers and metrics; whatever the method.
#[tokio::test]
async fn every_request_has_its_outcome() {
    use StaticUrlOutcome::{Current, Outside, Stale, Unversioned};
    let (site, page) = (support::site(), tree([("index.html", "")]));
    let new = |mount: &str, root: &TempDir| StaticUrlLayer::new(mount, root.path()).unwrap();
    let version = VersionSource::literal("v1");
    let declared = StaticUrlLayer::builder("/").version(version).build().unwrap();
    let (mounted, whole) = (new("/static", &site), new("/", &site));
    for (name, layer, path, expected) in [
        ("current", &mounted, "/static/v/hello.txt", Current),
        ("escaped", &mounted, "/static/v/hell%6F.txt?a=b", Current),
        ("current, unlisted", &mounted, "/static/v/unlisted", Current),
        ("the version's folder", &mounted, "/static/v/", Current),
        ("the version without its slash", &mounted, "/static/v", Unversioned),
        ("stale", &mounted, "/static/s/hello.txt", Stale),
        ("stale, unlisted", &mounted, "/static/s/unlisted", Stale),
        ("unversioned", &mounted, "/static/hello.txt", Unversioned),
        ("unversioned, unlisted", &mounted, "/static/unlisted", Unversioned),
        ("a folder shaped like a version", &mounted, "/static/0123456789abcdef/x", Unversioned),
        ("upper case", &mounted, "/static/00000000000000AA/hello.txt", Unversioned),
        ("one digit short", &mounted, "/static/00000000000000a/hello.txt", Unversioned),
        ("the mount", &mounted, "/static", Unversioned),
        ("the mount's folder", &mounted, "/static/", Unversioned),
        // Not plain: there is no version that could be taken off.
        ("an empty segment", &mounted, "/static/v//hello.txt", Unversioned),
        ("up", &mounted, "/static/v/../hello.txt", Unversioned),
        ("up, escaped", &mounted, "/static/v/%2e%2E/hello.txt", Unversioned),
        ("an escaped slash", &mounted, "/static/v/css%2fapp.css", Unversioned),
        ("stale, an empty segment", &mounted, "/static/s//hello.txt", Unversioned),
        ("outside", &mounted, "/v/hello.txt", Outside),
        ("a longer name", &mounted, "/staticfoo/v/hello.txt", Outside),
        ("the root", &mounted, "/", Outside),
        ("no path", &mounted, "*", Outside),
        ("absolute", &mounted, "http://h/static/v/hello.txt", Current),
        ("nested, current", &mounted.nested(), "/v/hello.txt", Current),
        ("nested, unlisted", &mounted.nested(), "/v/unlisted", Current),
        ("nested, stale", &mounted.nested(), "/s/unlisted", Stale),
        ("nested, unversioned", &mounted.nested(), "/unlisted", Unversioned),
        ("nested, not plain", &mounted.nested(), "/v//hello.txt", Unversioned),
        ("nested, the mount again", &mounted.nested(), "/static/v/hello.txt", Unversioned),
        ("nested, no path", &mounted.nested(), "*", Outside),
        ("whole site, current", &whole, "/v/hello.txt", Current),
        ("whole site, stale", &whole, "/s/hello.txt", Stale),
        ("whole site, unversioned", &whole, "/hello.txt", Unversioned),
        ("whole site, folder", &whole, "/docs", Unversioned),
        ("whole site, folder with its slash", &whole, "/v/docs/", Current),
        ("whole site, unlisted", &whole, "/v/unlisted", Outside),
        ("whole site, unlisted, stale", &whole, "/s/edit", Outside),
        ("whole site, unlisted, in a folder", &whole, "/docs/unlisted", Outside),
        ("whole site, not plain", &whole, "/v//hello.txt", Outside),
        ("whole site, root without a page", &whole, "/", Outside),
        ("whole site, version without a page", &whole, "/v/", Outside),
        ("whole site, root with a page", &new("/", &page), "/", Unversioned),
        ("whole site, version with a page", &new("/", &page), "/v/", Current),
        ("whole site, nested", &whole.nested(), "/s/edit", Outside),
        ("declared, current", &declared, "/v/anything", Current),
        ("declared, root", &declared, "/v/", Current),
        ("declared, stale", &declared, "/v2/anything", Stale),
        ("declared, unversioned", &declared, "/anything", Unversioned),
        ("declared, not plain", &declared, "/v//anything", Unversioned),
        ("declared, no path", &declared, "*", Outside),
    ] {
        let version = layer.prefix().version().to_owned();
        let path = path.replacen("/v/", &format!("/{version}/"), 1);
        let path = path.replacen("/s/", "/00000000000000aa/", 1);
        let path =
            if path.ends_with("/v") { path.replace("/v", &format!("/{version}")) } else { path };
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
            let seen = Mutex::new(None);
            let inner = service_fn(|request: Request<Body>| {
                let extensions = request.extensions();
                let prefix = extensions.get::<StaticPrefix>().cloned();
                let outcome = extensions.get::<StaticUrlOutcome>().copied();
                *seen.lock().unwrap() = Some((prefix, outcome));
                ready(Ok::<_, Infallible>(Response::new(Body::empty())))
            });
            ask(layer.layer(inner), support::request(method, &path, &[])).await;
            let expected = (Some(layer.prefix()), Some(expected));
            assert_eq!(seen.into_inner().unwrap(), Some(expected), "{name}: {method} {path}");
        }
    }
}

/// Two handlers, with the prefix and with one that may be missing.
fn extracting() -> Router {
    let required = |prefix: StaticPrefix| async move { prefix.url("hello.txt") };
    let optional = |prefix: Option<StaticPrefix>| async move {
        prefix.map_or_else(|| "none".into(), |prefix| prefix.url("hello.txt"))
    };
    Router::new().route("/", get(required)).route("/maybe", get(optional))
}

#[tokio::test]
async fn axum_extractor() {
    let answer = ask(extracting(), support::get("/")).await;
    assert_eq!(answer.status.as_u16(), 500);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("`tower_static_url::StaticUrlLayer` is missing"), "{text}");
    assert_eq!(ask(extracting(), support::get("/maybe")).await.body, "none");

    // Once wrapped, once with an extension; and still so after a reload.
    let (site, other) = (Site::new(), Site::with(|builder| builder.salt("other")));
    let services = [
        ("wrapped", boxed(site.layer.wrap(extracting()))),
        ("the layer", boxed(extracting().layer(Extension(site.layer.clone())))),
        ("the nested layer", boxed(extracting().layer(Extension(site.layer.nested())))),
        ("a prefix", boxed(extracting().layer(Extension(site.layer.prefix())))),
        (
            "a nested layer's prefix",
            boxed(extracting().layer(Extension(site.layer.nested().prefix()))),
        ),
        (
            "wrapped, beside another layer",
            boxed(site.layer.wrap(extracting().layer(Extension(other.layer.clone())))),
        ),
    ];
    for content in ["once", "twice", "three times"] {
        support::write(site.root.path(), "hello.txt", content);
        assert!(site.layer.reload().unwrap().has_changed());
        for (name, service) in &services {
            for path in ["/", "/maybe"] {
                let answer = ask(service.clone(), support::get(path)).await;
                assert_eq!(answer.body, site.layer.prefix().url("hello.txt"), "{name}, {path}");
            }
        }
    }
}

type Boxed = BoxCloneSyncService<Request<Body>, axum::response::Response, Infallible>;

fn boxed<S>(service: S) -> Boxed
where
    S: Service<Request<Body>, Response = axum::response::Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    BoxCloneSyncService::new(service)
}

/// A request sees one version from its beginning to its end, though another is published
/// meanwhile.
#[tokio::test]
async fn the_prefix_of_a_request_stays_what_it_was() {
    let site = Site::new();
    let before = site.layer.prefix();
    let (layer, root) = (site.layer.clone(), site.root.path().to_owned());
    let reloading = from_fn(move |request: Request<Body>, next: Next| {
        support::write(&root, "hello.txt", "another text");
        assert!(layer.reload().unwrap().has_changed());
        next.run(request)
    });
    let answer = ask(site.layer.wrap(extracting().layer(reloading)), support::get("/")).await;
    assert_eq!(answer.body, before.url("hello.txt"));
    assert_ne!(site.layer.prefix(), before);
}

/// Nobody can publish another one then.
#[tokio::test]
async fn a_prefix_outlives_its_layer() {
    let site = Site::new();
    let prefix = site.layer.prefix();
    let router = extracting().layer(Extension(prefix.clone()));
    drop(site);
    assert_eq!(ask(router, support::get("/")).await.body, prefix.url("hello.txt"));
}

proptest! {
    /// Whatever a file is called, its URL leads back to it, and to nothing else.
    #[test]
    fn url_leads_to_the_file(segments in proptest::collection::vec("[^/\\\\\\x00]{1,8}", 1..4)) {
        prop_assume!(segments.iter().all(|segment| segment != "." && segment != ".."));
        let path = segments.join("/");
        let prefix = listed(&[&path]);
        let url = prefix.url(&path);
        let uri: axum::http::Uri = url.parse().unwrap();
        prop_assert_eq!(uri.query(), None);
        let encoded = uri.path().strip_prefix(prefix.as_str()).unwrap();
        let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
        prop_assert_eq!(&*decoded, path.as_str());
        prop_assert_eq!(prefix.try_url(&path).unwrap(), url);
    }

    #[test]
    fn no_path_panics(path in ".*") {
        let prefix = listed(&["a", "b/c"]);
        prefix.url(&path);
        prefix.try_url(&path).ok();
        prefix.integrity(&path);
    }
}
