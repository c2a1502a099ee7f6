//! What the manifest does not list: answered 404 without the inner service, if the builder says
//! so.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{Method, Request, Response},
};
use tower::{Layer as _, service_fn};
use tower_static_url::{
    CachePolicy, ErrorKind, Manifest, StalePolicy, StaticUrlLayer, StaticUrlLayerBuilder,
    UnlistedPolicy, VersionSource,
};

use crate::support::{Answer, ask, get, request};

fn builder(mount: &str) -> StaticUrlLayerBuilder {
    let paths = ["about.html", "css/app.css", "docs/deep/index.html", "with space.txt", "100%.txt"];
    let manifest = Manifest::from_files(paths.map(|path| (path, ""))).unwrap();
    let version = VersionSource::literal("v1.2.3");
    let builder = StaticUrlLayer::builder(mount).manifest(manifest).version(version);
    builder.unlisted(UnlistedPolicy::NotFound)
}

/// Asks a service that has an answer to everything. Returns the answer, and whether the service
/// was asked.
async fn send(layer: &StaticUrlLayer, request: Request<Body>) -> (Answer, bool) {
    let asked = Arc::new(AtomicUsize::new(0));
    let shell = service_fn(async |request: Request<Body>| {
        asked.fetch_add(1, Ordering::Relaxed);
        let response = Response::builder().header("x-asked", request.uri().path());
        Ok::<_, Infallible>(response.body(Body::from("<main>")).unwrap())
    });
    let answer = ask(layer.layer(shell), request).await;
    (answer, asked.load(Ordering::Relaxed) > 0)
}

#[tokio::test]
async fn what_no_listed_file_can_answer_is_not_asked_for() {
    let layer = builder("/static").build().unwrap();
    for (name, path, is_asked) in [
        ("a file", "css/app.css", true),
        ("escaped", "with%20space.txt", true),
        ("a percent sign", "100%25.txt", true),
        ("the mount", "", true),
        ("a directory", "css", true),
        ("a directory with a slash", "css/", true),
        ("a directory of directories", "docs/", true),
        ("a deep directory", "docs/deep", true),
        ("a page without its extension", "about", true),
        ("the same, escaped", "%61bout", true),
        ("with a query", "about?a=b", true),
        ("a script that is gone", "gone.js", false),
        ("in a directory", "css/gone.css", false),
        ("below a file", "css/app.css/x", false),
        ("a directory that is not there", "img/", false),
        ("part of a name", "cs", false),
        ("a page without its extension, and with a slash", "about/", false),
        ("another case", "CSS/app.css", false),
        ("another version", "v1.2.4/css/app.css", false),
        ("beside the files", ".git/config", false),
        ("above the files", "../secret", false),
        ("above the files, escaped", "%2e%2e/secret", false),
        ("an empty segment", "css//app.css", false),
        ("an encoded slash", "css%2fapp.css", false),
        ("a backslash", "css\\app.css", false),
        ("not UTF-8", "%ff.css", false),
        ("no escape", "%zz", false),
    ] {
        let prefixes = ["/static/", "/static/v1.2.3/", "/static/v9.9.9/"];
        // With a version in front, one that is there already is a directory that is not listed.
        for prefix in prefixes {
            for method in [Method::GET, Method::HEAD] {
                let is_stale = name == "another version" && prefix == "/static/";
                let url = format!("{prefix}{path}");
                let (answer, asked) = send(&layer, request(method.clone(), &url, &[])).await;
                assert_eq!(asked, is_asked || is_stale, "{method} {url}: {name}");
                if asked {
                    continue;
                }
                let got = (answer.status.as_u16(), answer.cache_control(), &*answer.body);
                assert_eq!(got, (404, "no-store".into(), &b""[..]), "{method} {url}: {name}");
            }
            for method in ["OPTIONS", "POST", "PROPFIND"] {
                let url = format!("{prefix}{path}");
                let (answer, asked) = send(&layer, request(method, &url, &[])).await;
                assert!(asked && answer.status.is_success(), "{method} {url}: {name}");
            }
        }
    }
    for outside in ["/", "/staticfoo", "/v1.2.3/gone.js", "/other/gone.js"] {
        let (answer, asked) = send(&layer, get(outside)).await;
        assert!(asked && answer.cache_control().is_empty(), "{outside}");
    }
    assert!(send(&layer, get("/static")).await.1, "the mount without a slash");
}

#[tokio::test]
async fn nested_and_around_a_whole_site() {
    let nested = builder("/static").build().unwrap().nested();
    for (url, is_asked) in [
        ("/css/app.css", true),
        ("/v1.2.3/css/app.css", true),
        ("/", true),
        ("/v1.2.3/", true),
        ("/gone.js", false),
        ("/v1.2.3/gone.js", false),
        ("/v9.9.9/gone.js", false),
    ] {
        assert_eq!(send(&nested, get(url)).await.1, is_asked, "{url}");
    }
    // Of a whole site, the files are a part: the rest is left alone.
    let site = builder("/").build().unwrap();
    for url in ["/", "/gone.js", "/api/items", "/v1.2.3/gone.js", "/css/", "/css/app.css"] {
        let (answer, asked) = send(&site, get(url)).await;
        assert!(asked && answer.status.is_success(), "{url}");
    }
}

#[tokio::test]
async fn the_404_has_the_policy_for_errors() {
    for (errors, authorized, expected) in [
        ("no-store", false, "no-store"),
        ("public, max-age=5", false, "public, max-age=5"),
        ("public, max-age=5", true, "private, max-age=5"),
    ] {
        for stale in [StalePolicy::Serve, StalePolicy::Redirect, StalePolicy::NotFound] {
            let layer = builder("/static").errors(errors.parse().unwrap()).stale(stale);
            let layer = layer.build().unwrap();
            let lines = if authorized { &[("authorization", "x")][..] } else { &[] };
            for url in ["/static/gone.js", "/static/v1.2.3/gone.js", "/static/v9.9.9/gone.js"] {
                let (answer, _) = send(&layer, request("GET", url, lines)).await;
                let got = (answer.status.as_u16(), answer.cache_control());
                assert_eq!(got, (404, expected.into()), "{url} {errors}");
            }
        }
    }
}

#[tokio::test]
async fn by_default_the_inner_service_is_asked() {
    let layer = builder("/static").unlisted(UnlistedPolicy::default()).build().unwrap();
    for url in ["/static/gone.js", "/static/v1.2.3/gone.js", "/static//x"] {
        let (answer, asked) = send(&layer, get(url)).await;
        assert!(asked && answer.status.is_success(), "{url}");
    }
}

#[test]
fn a_list_of_the_files_is_needed() {
    let builder = StaticUrlLayer::builder("/static").version(VersionSource::build_id("1"));
    let builder = builder.errors(CachePolicy::no_store()).unlisted(UnlistedPolicy::NotFound);
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ManifestRequired);
    let expected = "`unlisted(NotFound)` needs a root or a manifest, and there is none";
    assert_eq!(error.to_string(), expected);
}
