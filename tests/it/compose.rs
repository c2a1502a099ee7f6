//! Where the layer may stand: each place that the docs name, with what works there.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, Version},
    routing::get,
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};
use tower_static_url::{Manifest, StaticPrefix, StaticUrlLayer, VersionSource};

use crate::support::{
    self, Answer, SHEET, ServeDir, Site, YEAR, ask, etag_of, gzip, is_digest, tree,
};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn client(http2: bool) -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

async fn fetch(client: &Client<HttpConnector, Body>, address: SocketAddr, path: &str) -> Answer {
    ask(client.clone(), support::get(&format!("http://{address}{path}"))).await
}

fn with_encoding(uri: &str, coding: &str) -> Request<Body> {
    support::request("GET", uri, &[("accept-encoding", coding)])
}

#[tokio::test]
async fn around_a_router_that_axum_serves_over_http_1_and_2() {
    let site = Site::new();
    let page = |prefix: StaticPrefix| async move { prefix.url("css/app.css") };
    let router = site.router().route("/", get(page));
    let (listener, address) = listener().await;
    tokio::spawn(axum::serve(listener, site.layer.wrap(router).into_make_service()).into_future());
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let client = client(http2);
        let page = fetch(&client, address, "/").await;
        assert_eq!(page.head.version(), version);
        assert_eq!((page.cache_control(), page.field("etag")), (String::new(), String::new()));
        let css = std::str::from_utf8(&page.body).unwrap();
        let css = fetch(&client, address, css).await;
        assert_eq!((&*css.body, css.cache_control()), (&b"body { color: teal }"[..], YEAR.into()));
        // The whole URI of an HTTP/2 request is absolute, and so is `ServeDir`'s answer.
        let folder = fetch(&client, address, &site.url("v/docs")).await;
        let location = folder.field("location");
        let path = location.strip_prefix(&format!("http://{address}")).unwrap_or(&location);
        assert_eq!(path, site.url("v/docs/"), "{version:?}");
    }
}

/// `Router::layer` runs after routing (axum#1120). A `nest_service` matches with the
/// version still in the path, so what is nested is served; but no route that was
/// written without the version is ever found with it.
#[tokio::test]
async fn what_router_layer_can_and_cannot_do() {
    let site = Site::new();
    let router = site.router().route("/static/route.txt", get(async || "route"));
    let layered = || router.clone().layer(site.layer.clone());
    let answer = ask(layered(), support::get(&site.url("v/hello.txt"))).await;
    assert_eq!((answer.status.as_u16(), answer.cache_control()), (200, YEAR.into()));
    let answer = ask(layered(), support::get(&site.url("v/route.txt"))).await;
    assert_eq!(answer.status.as_u16(), 404, "the route is not found");
    let answer = ask(site.layer.wrap(router.clone()), support::get(&site.url("v/route.txt"))).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"route"[..]));
}

#[tokio::test]
async fn inside_a_nest() {
    let site = Site::new();
    let files = || ServeDir::new(site.root.path()).redirect_path_prefix("/static");
    let service = ServiceBuilder::new().layer(site.layer.nested()).service(files());
    let nested_service = Router::new().nest_service("/static", service);
    let inner = Router::new().fallback_service(files()).layer(site.layer.nested());
    let nested_router = Router::new().nest("/static", inner);
    for (name, router) in [("nest_service", nested_service), ("nest", nested_router)] {
        // The same layer elsewhere, where the mount is still there.
        assert_eq!(site.get("v/hello.txt").await.status.as_u16(), 200);
        for (path, status, cache_control, etag) in [
            ("v/hello.txt", 200, YEAR, Some("hello world")),
            ("v/with%20space.txt", 200, YEAR, Some("space")),
            ("stale/hello.txt", 200, "no-cache", Some("hello world")),
            ("hello.txt", 200, "no-cache", Some("hello world")),
            ("v/missing.txt", 404, "no-store", None),
        ] {
            let answer = ask(router.clone(), support::get(&site.url(path))).await;
            assert_eq!(answer.status.as_u16(), status, "{name} {path}");
            assert_eq!(answer.cache_control(), cache_control, "{name} {path}");
            if let Some(content) = etag {
                assert_eq!(answer.field("etag"), etag_of(content), "{name} {path}");
            }
        }
        let answer = ask(router.clone(), support::get(&site.url("v/docs"))).await;
        assert_eq!(answer.field("location"), site.url("v/docs/"), "{name}");
    }
    assert_eq!(site.layer.nested().prefix().as_str(), site.layer.prefix().as_str());
}

#[tokio::test]
async fn around_serve_dir_alone() {
    let site = support::site();
    let layer = StaticUrlLayer::new("/", site.path()).unwrap();
    let service = ServiceBuilder::new().layer(&layer).service(ServeDir::new(site.path()));
    let answer = ask(service.clone(), support::get(&layer.prefix().url("hello.txt"))).await;
    assert_eq!((&*answer.body, answer.cache_control()), (&b"hello world"[..], YEAR.into()));
    let answer = ask(service.clone(), support::get("/hello.txt")).await;
    assert_eq!((&*answer.body, answer.cache_control()), (&b"hello world"[..], "no-cache".into()));
    let evil = format!("{}/evil.example", layer.prefix());
    let answer = ask(service, support::get(&evil)).await;
    assert_eq!((answer.status.as_u16(), answer.field("location")), (404, String::new()));
}

/// A mount of `/` is the whole site: below it are the listed files and their folders alone.
#[tokio::test]
async fn around_a_whole_site() {
    let site = support::site();
    let layer = StaticUrlLayer::new("/", site.path()).unwrap();
    support::write(site.path(), "late.txt", "made after the scan");
    support::write(site.path(), "docs/late.txt", "made after the scan");
    for (name, path, status, cache_control, is_tagged) in [
        ("current", "/v/hello.txt", 200, YEAR, true),
        ("current, spelled with an escape", "/v/with%20space.txt", 200, YEAR, true),
        ("current, folder", "/v/docs/", 200, "no-cache", false),
        ("current, redirect", "/v/docs", 307, "no-cache", false),
        ("stale", "/s/hello.txt", 200, "no-cache", true),
        ("stale, redirect", "/s/docs", 307, "no-cache", false),
        ("unversioned", "/hello.txt", 200, "no-cache", true),
        ("folder", "/docs/", 200, "no-cache", false),
        ("redirect", "/docs", 307, "no-cache", false),
        ("folder without an index", "/css/", 404, "no-store", false),
        ("a folder is no version", "/0123456789abcdef/real.txt", 200, "no-cache", true),
        // All that follows is the rest of the site.
        ("unlisted", "/late.txt", 200, "", false),
        ("unlisted, in a folder", "/docs/late.txt", 200, "", false),
        ("missing", "/missing.txt", 404, "", false),
        ("missing, in a folder", "/docs/missing.txt", 404, "", false),
        ("not plain", "/docs//index.html", 200, "", false),
        ("the root", "/", 404, "", false),
        // But these may be about a file that another node has.
        ("current, unlisted", "/v/late.txt", 404, "no-store", false),
        ("current, missing", "/v/missing.txt", 404, "no-store", false),
        ("current, not plain", "/v//hello.txt", 404, "no-store", false),
        ("current, version twice", "/v/v/hello.txt", 404, "no-store", false),
        ("current alone", "/v/", 404, "no-store", false),
        ("stale, missing", "/s/docs/missing.txt", 404, "no-store", false),
        ("stale alone", "/s", 404, "no-store", false),
    ] {
        let version = layer.prefix().version().to_owned();
        let path = path.replace("/v/", &format!("/{version}/"));
        let path = path.replace("/s", "/00000000000000aa");
        let files = ServeDir::new(site.path());
        for method in ["GET", "HEAD"] {
            let request = support::request(method, &path, &[]);
            let answer = ask(layer.layer(files.clone()), request).await;
            assert_eq!(answer.status.as_u16(), status, "{name}");
            assert_eq!(answer.cache_control(), cache_control, "{name}");
            assert_eq!(is_digest(&answer.field("etag")), is_tagged, "{name}");
            if status == 307 {
                assert_eq!(answer.field("location"), format!("{path}/"), "{name}");
            }
            if !["", "no-store"].contains(&cache_control) {
                continue;
            }
            // It was asked for what the client has asked for, and has answered like this.
            let bare = ask(files.clone(), support::request(method, &path, &[])).await;
            let mut headers = answer.head.headers().clone();
            headers.remove("cache-control");
            assert_eq!((answer.status, &headers), (bare.status, bare.head.headers()), "{name}");
            assert_eq!(answer.body, bare.body, "{name}");
        }
    }
}

#[tokio::test]
async fn a_whole_site_may_have_a_page_at_its_root() {
    let root = tree([("index.html", "<h1>home</h1>"), ("app.css", "css")]);
    let layer = StaticUrlLayer::new("/", root.path()).unwrap();
    for (url, cache_control) in [
        ("/".to_owned(), "no-cache"),
        ("/index.html".into(), "no-cache"),
        (layer.prefix().to_string(), "no-cache"),
        (layer.prefix().url("index.html"), YEAR),
        ("/00000000000000aa/".into(), "no-cache"),
    ] {
        let answer = ask(layer.layer(ServeDir::new(root.path())), support::get(&url)).await;
        assert_eq!(
            (&*answer.body, answer.cache_control()),
            (&b"<h1>home</h1>"[..], cache_control.into()),
            "{url}"
        );
    }
}

/// Of a site without a manifest everything is below a mount of `/`: it serves nothing but files.
#[tokio::test]
async fn around_a_whole_site_of_a_declared_version() {
    let site = support::site();
    let version = VersionSource::literal("v1");
    let layer = StaticUrlLayer::builder("/").version(version).build().unwrap();
    for (path, status, cache_control) in [
        ("/v1/hello.txt", 200, YEAR),
        ("/v1/docs/", 200, YEAR),
        ("/v1/docs", 307, "no-cache"),
        ("/v2/hello.txt", 200, "no-cache"),
        ("/hello.txt", 200, "no-cache"),
        ("/v1/missing.txt", 404, "no-store"),
        ("/missing.txt", 404, "no-store"),
        ("/", 404, "no-store"),
        ("/v1//hello.txt", 404, "no-store"),
    ] {
        let answer = ask(layer.layer(ServeDir::new(site.path())), support::get(path)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.cache_control()),
            (status, cache_control),
            "{path}"
        );
    }
}

/// An error of the rest of the site may be about a file that another node has, if its path
/// starts like a version: nobody stores it, even if the policy for errors is looser.
#[tokio::test]
async fn an_error_of_a_whole_site_that_may_be_about_a_file_is_not_stored() {
    let root = tree([("app.css", "css")]);
    for (errors, own, expected) in [
        ("no-store", None, "no-store"),
        ("no-store", Some("max-age=9"), "no-store"),
        ("private, no-store", None, "private, no-store"),
        ("max-age=1", None, "no-store"),
        ("max-age=1", Some("max-age=9"), "no-store"),
        ("max-age=1", Some("no-cache"), "no-store"),
        ("max-age=1", Some("no-store, must-understand"), "no-store, must-understand"),
    ] {
        let builder = StaticUrlLayer::builder("/").root(root.path());
        let layer = builder.errors(errors.parse().unwrap()).build().unwrap();
        let inner = service_fn(|_: Request<Body>| async move {
            let mut response = Response::builder().status(404);
            if let Some(own) = own {
                response = response.header("cache-control", own);
            }
            Ok::<_, Infallible>(response.body(Body::empty()).unwrap())
        });
        let missing = format!("{}missing", layer.prefix());
        let answer = ask(layer.layer(inner), support::get(&missing)).await;
        assert_eq!(answer.cache_control(), expected, "{errors} {own:?}");
        let answer = ask(layer.layer(inner), support::get("/missing")).await;
        assert_eq!(answer.cache_control(), own.unwrap_or_default(), "{own:?}");
    }
}

/// A nested layer sees nothing of the site beside its mount: all that arrives is below it.
#[tokio::test]
async fn inside_a_nest_everything_is_below_the_mount() {
    let site = Site::new();
    let nested = || site.layer.nested().layer(ServeDir::new(site.root.path()));
    support::write(site.root.path(), "late.txt", "made after the scan");
    let version = site.layer.prefix().version().to_owned();
    for (path, status, cache_control) in [
        (format!("/{version}/late.txt"), 200, "no-cache"),
        (format!("/{version}/missing.txt"), 404, "no-store"),
        ("/late.txt".into(), 200, "no-cache"),
        ("/missing.txt".into(), 404, "no-store"),
        ("/".into(), 404, "no-store"),
    ] {
        let answer = ask(nested(), support::get(&path)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.cache_control()),
            (status, cache_control),
            "{path}"
        );
    }
}

#[tokio::test]
async fn around_plain_hyper() {
    let site = support::site();
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let echo = service_fn(|request: Request<hyper::body::Incoming>| async move {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(request.uri().to_string())))
    });
    let service = TowerToHyperService::new(layer.layer(echo));
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let stream = TokioIo::new(listener.accept().await.unwrap().0);
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
    });
    let asked = format!("{}?a=b", layer.prefix().url("hello.txt"));
    let answer = fetch(&client(false), address, &asked).await;
    assert_eq!(answer.body, "/static/hello.txt?a=b");
    assert_eq!(answer.cache_control(), "no-cache", "an echo is not the listed bytes");
}

#[tokio::test]
async fn two_layers_with_two_mounts() {
    let (css, media) = (tree([("a.css", "css")]), tree([("a.png", "png")]));
    let css_layer = StaticUrlLayer::new("/static", css.path()).unwrap();
    let media_layer = StaticUrlLayer::new("/media", media.path()).unwrap();
    let router = Router::new()
        .route("/", get(async |prefix: StaticPrefix| prefix.to_string()))
        .nest_service("/static", ServeDir::new(css.path()))
        .nest_service("/media", ServeDir::new(media.path()));
    let service = || css_layer.layer(media_layer.layer(router.clone()));
    for (url, content) in
        [(css_layer.prefix().url("a.css"), "css"), (media_layer.prefix().url("a.png"), "png")]
    {
        let answer = ask(service(), support::get(&url)).await;
        assert_eq!((&*answer.body, answer.cache_control()), (content.as_bytes(), YEAR.into()));
        assert_eq!(answer.field("etag"), etag_of(content));
    }
    // A request has one prefix: the innermost layer's.
    let page = ask(service(), support::get("/")).await;
    assert_eq!(page.body, media_layer.prefix().to_string());
}

#[tokio::test]
async fn over_a_compression_layer() {
    let long = "long enough to be compressed ".repeat(100);
    let root = tree([("a.txt", &*long), ("b.txt", "short")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let files = Router::new().nest_service("/static", ServeDir::new(root.path()));
    let router = files.layer(CompressionLayer::new());
    let gzip = with_encoding(&layer.prefix().url("a.txt"), "gzip");
    let answer = ask(layer.wrap(router.clone()), gzip).await;
    assert_eq!(answer.field("content-encoding"), "gzip");
    assert_eq!(
        (answer.cache_control(), answer.field("vary")),
        (YEAR.into(), "accept-encoding".into())
    );
    let strong = etag_of(&long);
    let weak = format!("W/{}-gzip\"", strong.trim_end_matches('"'));
    assert_eq!(answer.field("etag"), weak);
    let identity = support::get(&layer.prefix().url("a.txt"));
    assert_eq!(ask(layer.wrap(router.clone()), identity).await.field("etag"), strong);

    // What was compressed on the way is checked as well.
    support::write_at(&root.path().join("a.txt"), long.to_uppercase(), support::later(1));
    let gzip = with_encoding(&layer.prefix().url("a.txt"), "gzip");
    assert_eq!(ask(layer.wrap(router), gzip).await.cache_control(), "no-cache");
}

/// Embedded files have no time, and what is compressed on the way has no length: nothing tells
/// whether it is the file. A tag that came with the right length proves nothing either, for it
/// may be that of whatever is as long.
#[tokio::test]
async fn embedded_files_over_a_compression_layer() {
    let long = "long enough to be compressed ".repeat(100);
    let manifest = Manifest::from_files([("a.txt", &*long)]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    let body = long.clone();
    let embedded = get(async move || ([("etag", "\"mine\"")], body.clone()));
    let router = Router::new().route("/static/a.txt", embedded).layer(CompressionLayer::new());
    for _ in 0..2 {
        let gzip = with_encoding(&layer.prefix().url("a.txt"), "gzip");
        let answer = ask(layer.wrap(router.clone()), gzip).await;
        assert_eq!(answer.field("content-encoding"), "gzip");
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, ("no-cache".into(), "W/\"mine\"".into()));

        let identity = support::get(&layer.prefix().url("a.txt"));
        let answer = ask(layer.wrap(router.clone()), identity).await;
        assert_eq!((answer.cache_control(), answer.field("etag")), (YEAR.into(), etag_of(&long)));
    }
}

#[tokio::test]
async fn under_a_compression_layer() {
    let long = "long enough to be compressed ".repeat(100);
    let root = tree([("a.txt", &*long)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let files = Router::new().nest_service("/static", ServeDir::new(root.path()));
    let service = CompressionLayer::new().layer(layer.layer(files));
    let answer = ask(service, with_encoding(&layer.prefix().url("a.txt"), "gzip")).await;
    assert_eq!(answer.field("content-encoding"), "gzip");
    assert_eq!(answer.cache_control(), YEAR);
}

#[tokio::test]
async fn over_a_blanket_cache_control() {
    let site = Site::new();
    let hour = SetResponseHeaderLayer::overriding(
        axum::http::header::CACHE_CONTROL,
        axum::http::HeaderValue::from_static("max-age=3600"),
    );
    let router = site.router().layer(hour);
    support::write(site.root.path(), "2024/year.txt", "changed, other length");
    for (path, cache_control) in [
        ("v/hello.txt", "max-age=3600"),
        ("hello.txt", "max-age=3600"),
        ("stale/hello.txt", "no-cache"),
        ("v/2024/year.txt", "no-cache"),
        ("v/missing.txt", "no-store"),
    ] {
        let answer = ask(site.layer.wrap(router.clone()), support::get(&site.url(path))).await;
        assert_eq!(answer.cache_control(), cache_control, "{path}");
    }
}

#[tokio::test]
async fn pre_compressed_files() {
    let site = Site::new();
    for (coding, expected, content) in
        [("gzip", "gzip", gzip(SHEET)), ("br", "", SHEET.into()), ("identity", "", SHEET.into())]
    {
        let answer = site.send(with_encoding(&site.url("v/css/app.css"), coding)).await;
        assert_eq!(answer.field("content-encoding"), expected, "{coding}");
        assert_eq!((&*answer.body, answer.field("etag")), (&*content, etag_of(&content)));
        assert_eq!(
            (answer.cache_control(), answer.field("vary")),
            (YEAR.into(), "accept-encoding".into())
        );
    }
    // A sibling that was made after the scan is nobody's version.
    support::write(site.root.path(), "hello.txt.gz", "made after the scan");
    let answer = site.send(with_encoding(&site.url("v/hello.txt"), "gzip")).await;
    assert_eq!(answer.field("content-encoding"), "gzip");
    assert_eq!(
        (answer.cache_control(), &*answer.body),
        ("no-cache".into(), &b"made after the scan"[..])
    );
}

#[tokio::test]
async fn axum_handlers_that_read_the_path_see_no_version() {
    let site = Site::new();
    let router = Router::new().route(
        "/static/{*rest}",
        get(async |axum::extract::Path(rest): axum::extract::Path<String>| rest),
    );
    let answer = ask(site.layer.wrap(router), support::get(&site.url("v/a/b"))).await;
    assert_eq!(answer.body, "a/b");
}

#[tokio::test]
async fn a_wrapped_router_is_a_service() {
    let site = Site::new();
    let service = site.layer.wrap(site.router());
    let response: axum::response::Response =
        service.oneshot(support::get(&site.url("v/hello.txt"))).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello world");
}
