//! What a handler sees: the prefix, its URLs, its errors.

use axum::{Router, body::Body, http::Request, routing::get};
use proptest::prelude::*;
use tower::Layer as _;
use tower_static_url::{ErrorKind, Manifest, StaticPrefix, StaticUrlLayer, VersionSource};

use crate::support::{self, Site, ask};

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
    assert_eq!((prefix.to_string(), prefix.as_ref()), ("/static/v1/".to_owned(), "/static/v1/"));
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
    assert_eq!(listed(&["b", "a/b", "a-b", "Z"]).paths(), ["Z", "a-b", "a/b", "b"]);
    assert!(declared().paths().is_empty());
}

#[tokio::test]
async fn every_listed_name_is_found_at_its_url() {
    let site = Site::new();
    let prefix = site.layer.prefix();
    assert_eq!(prefix.paths().len(), 13);
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

#[tokio::test]
async fn axum_extractor() {
    let site = Site::new();
    let router = || {
        let required = |prefix: StaticPrefix| async move { prefix.url("hello.txt") };
        let optional = |prefix: Option<StaticPrefix>| async move { prefix.is_some().to_string() };
        Router::new().route("/", get(required)).route("/maybe", get(optional))
    };
    let answer = ask(site.layer.wrap(router()), support::get("/")).await;
    assert_eq!(answer.body, site.layer.prefix().url("hello.txt"));
    let answer = ask(router(), support::get("/")).await;
    assert_eq!(answer.status.as_u16(), 500);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("`tower_static_url::StaticUrlLayer` is missing"), "{text}");
    assert_eq!(ask(router(), support::get("/maybe")).await.body, "false");
    let with_extension = router().layer(axum::Extension(site.layer.prefix()));
    let answer = ask(with_extension, support::get("/")).await;
    assert_eq!(answer.body, site.layer.prefix().url("hello.txt"));
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
