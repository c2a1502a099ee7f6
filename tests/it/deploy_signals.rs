//! How does a page notice a deploy? By a header with the version, and by what has changed since the
//! version that it was made with.

use std::{convert::Infallible, future::ready};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, Request, Response},
    routing::get as on_get,
};
use tower::{Layer as _, ServiceBuilder, service_fn};
use tower_http::services::ServeDir;
use tower_static_url::{
    StaticPrefix, StaticUrlLayer, StaticUrlLayerBuilder, StaticUrlOutcome, VersionSource,
    releases::Releases,
};

use crate::support::{self, Site, ask, get, request, tree};

const NAME: HeaderName = HeaderName::from_static("static-version");

fn telling(builder: StaticUrlLayerBuilder) -> StaticUrlLayerBuilder {
    builder.version_header(NAME)
}

/// Whatever is asked for, this is the answer.
async fn answer(layer: &StaticUrlLayer, asked: Request<Body>, answer: Response<Body>) -> String {
    let answer = std::sync::Mutex::new(Some(answer));
    let inner = service_fn(move |_: Request<Body>| {
        ready(Ok::<_, Infallible>(answer.lock().unwrap().take().unwrap()))
    });
    ask(layer.layer(inner), asked).await.field(NAME.as_str())
}

fn response(status: u16, fields: &[(&str, &str)]) -> Response<Body> {
    let response = Response::builder().status(status);
    let response = fields.iter().fold(response, |it, (name, value)| it.header(*name, *value));
    response.body(Body::empty()).unwrap()
}

const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn which_responses_name_the_version() {
    let site = support::site();
    let layer = |mount| telling(StaticUrlLayer::builder(mount).root(site.path())).build().unwrap();
    let (mounted, whole) = (layer("/static"), layer("/"));
    let nested = mounted.nested();
    for (name, layer, method, path, status, fields, is_told) in [
        ("a page", &mounted, "GET", "/", 200, &[HTML][..], true),
        ("an answer of an API", &mounted, "GET", "/api", 200, &[JSON], true),
        ("without content", &mounted, "DELETE", "/api", 204, &[], true),
        ("a form", &mounted, "POST", "/", 303, &[("location", "/")], true),
        ("the head of a page", &mounted, "HEAD", "/", 200, &[HTML], true),
        ("confirmed", &mounted, "GET", "/", 304, &[("etag", "\"1\"")], true),
        ("no page", &mounted, "GET", "/none", 404, &[HTML], true),
        ("failed", &mounted, "GET", "/", 500, &[HTML], true),
        ("a file", &mounted, "GET", "/static/v/hello.txt", 200, &[], false),
        (
            "a page with a version",
            &mounted,
            "GET",
            "/static/v/docs/index.html",
            200,
            &[HTML],
            false,
        ),
        ("a stale page", &mounted, "GET", "/static/s/docs/index.html", 200, &[HTML], false),
        ("a page without one", &mounted, "GET", "/static/docs/index.html", 200, &[HTML], true),
        ("in capitals", &mounted, "GET", "/static/a", 200, &[("content-type", "Text/HTML")], true),
        ("a file without one", &mounted, "GET", "/static/hello.txt", 200, &[JSON], false),
        ("of no type", &mounted, "GET", "/static/hello.txt", 200, &[], false),
        ("a form below", &mounted, "POST", "/static/a", 200, &[HTML], false),
        ("nested, a page", &nested, "GET", "/docs/index.html", 200, &[HTML], true),
        ("nested, a file", &nested, "GET", "/v/hello.txt", 200, &[], false),
        ("whole site, a page", &whole, "GET", "/about", 200, &[HTML], true),
        ("whole site, like a version", &whole, "GET", "/s/about", 200, &[HTML], true),
        ("whole site, not found", &whole, "GET", "/s/about", 404, &[HTML], true),
        ("whole site, a file", &whole, "GET", "/v/hello.txt", 200, &[], false),
    ] {
        let version = layer.prefix().version().to_owned();
        let path = path.replacen("/v/", &format!("/{version}/"), 1);
        let path = path.replacen("/s/", "/00000000000000aa/", 1);
        let told = answer(layer, request(method, &path, &[]), response(status, fields)).await;
        assert_eq!(told, if is_told { &*version } else { "" }, "{name}");
    }
}

#[tokio::test]
async fn by_default_none_does() {
    let site = Site::new();
    for path in ["/", "/static/docs/index.html"] {
        let asked = site.send(get(path)).await;
        assert!(asked.head.headers().keys().all(|name| *name != NAME), "{asked:?}");
    }
}

#[tokio::test]
async fn what_the_inner_service_says_is_left_alone() {
    let site = Site::with(telling);
    let told = answer(&site.layer, get("/"), response(200, &[("static-version", "v1")])).await;
    assert_eq!(told, "v1");
}

/// The version is that of the links, also if the next one comes while the handler is at work.
#[tokio::test]
async fn the_version_is_that_of_the_prefix_in_the_request() {
    let site = Site::with(telling);
    let (layer, root) = (site.layer.clone(), site.root.path().to_owned());
    let handler = async move |files: StaticPrefix| {
        support::write(&root, "css/app.css", "p { color: navy }");
        assert!(layer.reload().unwrap().has_changed());
        files.version().to_owned()
    };
    let app = site.layer.wrap(Router::new().route("/", on_get(handler)));
    let page = ask(app, get("/")).await;
    assert_eq!(page.field(NAME.as_str()), page.body);
    assert_ne!(site.layer.prefix().version(), page.body);
}

/// A page among the files, as that of an application with one page.
#[tokio::test]
async fn a_listed_page_names_the_version_also_when_it_is_confirmed() {
    let root = tree([("index.html", "<h1>page</h1>")]);
    let builder = StaticUrlLayer::builder("/static").root(root.path());
    let layer = telling(builder).build().unwrap();
    let files = ServiceBuilder::new().layer(layer.nested()).service(ServeDir::new(root.path()));
    let first = ask(files.clone(), get("/index.html")).await;
    let again = request("GET", "/index.html", &[("if-none-match", &first.field("etag"))]);
    let again = ask(files, again).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 304));
    for answer in [first, again] {
        assert_eq!(answer.field(NAME.as_str()), layer.prefix().version());
    }
}

/// The path of a page may begin like the version of a kept release.
#[tokio::test]
async fn a_page_that_might_be_a_kept_file_names_the_version() {
    let (kept, old, new) = (tempfile::tempdir().unwrap(), tree([("a.js", "1")]), support::site());
    let node = |root: &tempfile::TempDir, version| {
        let releases = Releases::folder(kept.path()).unwrap();
        let files = ServeDir::new(releases.files());
        let builder = StaticUrlLayer::builder("/").root(root.path()).releases(releases, files);
        telling(builder.version(VersionSource::literal(version))).build().unwrap()
    };
    node(&old, "release-2026").publish().unwrap();
    let app = node(&new, "v2").wrap(Router::new().route("/{*path}", on_get(async || "page")));
    let page = ask(app.clone(), get("/release-2026/about")).await;
    assert_eq!((&*page.body, &*page.field(NAME.as_str())), (&b"page"[..], "v2"));
    let file = ask(app, get("/release-2026/a.js")).await;
    assert_eq!((&*file.body, &*file.field(NAME.as_str())), (&b"1"[..], ""));
}

#[test]
fn the_script_in_the_docs_is_that_of_the_example() {
    let script = include_str!("../../examples/htmx/files/js/deploys.js");
    let docs = include_str!("../../src/docs/deploy_signals.md");
    assert!(docs.contains(&script[script.find("addEventListener").unwrap()..]));
}

/// Two nodes of one application, where one has the next release already.
#[tokio::test]
async fn what_has_changed_since_the_version_of_a_page() {
    let (kept, old, new) = (
        tempfile::tempdir().unwrap(),
        tree([("css/app.css", "teal"), ("js/app.js", "1"), ("js/old.js", "")]),
        tree([("css/app.css", "teal"), ("js/app.js", "2"), ("js/new.js", "")]),
    );
    let node = |root: &tempfile::TempDir| {
        let releases = Releases::folder(kept.path()).unwrap();
        let files = ServeDir::new(releases.files());
        StaticUrlLayer::builder("/static").root(root.path()).releases(releases, files)
    };
    let (old, new) = (node(&old).build().unwrap(), node(&new).build().unwrap());
    old.publish().unwrap();
    new.publish().unwrap();

    // What an htmx page or an application sends with its requests.
    let handler = async |files: StaticPrefix, request: Request<Body>| {
        let page = request.headers()["page-version"].to_str().unwrap();
        let older = files.kept(page).await;
        older.map_or("unknown".into(), |older| {
            files.changed_since(&older).collect::<Vec<_>>().join(" ")
        })
    };
    let ask = async |layer: &StaticUrlLayer, version: &str| {
        let app = layer.wrap(Router::new().route("/", on_get(handler)));
        let answer = ask(app, request("GET", "/", &[("page-version", version)])).await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let versions = [&old, &new].map(|layer| layer.prefix().version().to_owned());
    let changed = "js/app.js js/new.js js/old.js";
    for (name, layer, version, expected) in [
        ("an old page", &new, &*versions[0], changed),
        ("a new page, on an old node", &old, &versions[1], changed),
        ("a page of today", &new, &versions[1], ""),
        ("the same of the old node", &old, &versions[0], ""),
        ("a version that was never published", &new, "00000000000000aa", "unknown"),
        ("no version", &new, "../../etc/passwd", "unknown"),
        ("nothing", &new, "", "unknown"),
    ] {
        assert_eq!(ask(layer, version).await, expected, "{name}");
    }
    let older = new.prefix().kept(&versions[0]).await.unwrap();
    assert_eq!(older.version(), versions[0]);
    assert_eq!(older.url("js/app.js"), format!("/static/{}/js/app.js", versions[0]));
    assert_eq!(older, old.prefix());

    let without = Site::new().layer.prefix();
    assert_eq!(without.kept(without.version()).await, Some(without.clone()));
    assert_eq!(without.kept(&versions[0]).await, None);
}

/// Stale and kept traffic is seen by whoever serves it.
#[tokio::test]
async fn the_outcome_of_a_kept_version_is_seen_by_the_service_over_the_releases() {
    let (kept, old, new) =
        (tempfile::tempdir().unwrap(), tree([("a.js", "1")]), tree([("a.js", "2")]));
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let node = |root: &std::path::Path| {
        let releases = Releases::folder(kept.path()).unwrap();
        let (files, seen) = (ServeDir::new(releases.files()), seen.clone());
        let files = ServiceBuilder::new()
            .map_request(move |request: Request<tower_static_url::EmptyBody>| {
                let outcome = request.extensions().get::<StaticUrlOutcome>().copied();
                seen.lock().unwrap().push(outcome);
                request
            })
            .service(files);
        StaticUrlLayer::builder("/static").root(root).releases(releases, files).build().unwrap()
    };
    let (old, new) = (node(old.path()), node(new.path()));
    old.publish().unwrap();
    let app = new.wrap(Router::new());
    assert_eq!(ask(app, get(&old.prefix().url("a.js"))).await.body, "1");
    assert_eq!(*seen.lock().unwrap(), [Some(StaticUrlOutcome::Kept)]);
}
