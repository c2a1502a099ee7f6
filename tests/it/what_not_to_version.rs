//! What the page of that name in the documentation says of links and pages.

use axum::{Extension, Router, body::Body, http::Request, routing::get};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::support::{self, ServeDir, YEAR, ask, etag_of, tree};

/// The path to which a relative link leads (RFC 3986 §5.2.3, §5.2.4).
fn resolve(link: &str, page: &str) -> String {
    let mut segments = page.split('/').collect::<Vec<_>>();
    segments.pop();
    for segment in link.split('/') {
        match segment {
            // The first is the empty one before the slash at the start.
            ".." => segments.truncate((segments.len() - 1).max(1)),
            _ => segments.push(segment),
        }
    }
    segments.join("/")
}

#[tokio::test]
async fn a_link_that_climbs_out_of_the_tree_is_one_segment_off() {
    let root = tree([("css/app.css", ""), ("img/x.png", "in the tree")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let router = Router::new()
        .route("/media/x.png", get(async || "beside the tree"))
        .nest_service("/static", ServeDir::new(root.path()));
    let (prefix, site) = (layer.prefix(), layer.wrap(router));
    for (link, page, status, body) in [
        ("../img/x.png", prefix.unversioned("css/app.css"), 200, "in the tree"),
        ("../img/x.png", prefix.url("css/app.css"), 200, "in the tree"),
        ("../../media/x.png", prefix.unversioned("css/app.css"), 200, "beside the tree"),
        ("../../media/x.png", prefix.url("css/app.css"), 404, ""),
    ] {
        let answer = ask(site.clone(), support::get(&resolve(link, &page))).await;
        let found = (answer.status.as_u16(), &*answer.body);
        assert_eq!(found, (status, body.as_bytes()), "{link} in {page}");
    }
    assert_eq!(resolve("../../media/x.png", &prefix.url("css/app.css")), "/static/media/x.png");
}

/// No file is called `about`, or `docs/`: the inner service finds one, and tells its own tag.
#[tokio::test]
async fn pages_without_html_are_revalidated_with_the_inner_services_tag() {
    let root = tree([("about.html", "about"), ("docs/index.html", "docs")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let files = || ServeDir::new(root.path()).html_as_default_extension(true);
    let router = Router::new().nest_service("/static", files());
    let (prefix, site) = (layer.prefix(), layer.wrap(router));
    for (name, body) in [("about", "about"), ("docs/", "docs")] {
        let inner = ask(files(), support::get(&format!("/{name}"))).await.field("etag");
        assert_ne!(inner, "");
        for url in [prefix.unversioned(name), format!("{prefix}{name}")] {
            let answer = ask(site.clone(), support::get(&url)).await;
            let said = (&*answer.body, answer.cache_control(), answer.field("etag"));
            assert_eq!(said, (body.as_bytes(), "no-cache".into(), inner.clone()), "{url}");
            let request = support::request("GET", &url, &[("if-none-match", &*inner)]);
            assert_eq!(ask(site.clone(), request).await.status, 304, "{url}");
        }
    }
    let spelled = ask(site, support::get(&prefix.url("about.html"))).await;
    assert_eq!((spelled.cache_control(), spelled.field("etag")), (YEAR.into(), etag_of("about")));
}

/// A proxy in front that serves the application below `/app`, and strips that.
#[tokio::test]
async fn behind_a_proxy_that_strips_a_path_prefix() {
    let root = tree([("app.css", "css"), ("docs/index.html", "docs")]);
    let layer = StaticUrlLayer::new("/app/static", root.path()).unwrap();
    let files = ServeDir::new(root.path()).redirect_path_prefix("/app/static");
    let files = ServiceBuilder::new().layer(layer.nested()).service(files);
    let router = Router::new()
        .route("/", get(async |files: StaticPrefix| files.url("app.css")))
        .nest_service("/static", files)
        .layer(Extension(layer.clone()));
    let proxy = router.map_request(|mut request: Request<Body>| {
        let path = request.uri().path().strip_prefix("/app").expect("below the proxy's prefix");
        *request.uri_mut() = path.parse().unwrap();
        request
    });

    let page = ask(proxy.clone(), support::get("/app/")).await;
    let link = std::str::from_utf8(&page.body).unwrap();
    assert_eq!(link, layer.prefix().url("app.css"));
    let css = ask(proxy.clone(), support::get(link)).await;
    assert_eq!((&*css.body, css.cache_control()), (&b"css"[..], YEAR.into()));

    let directory = format!("{}docs", layer.prefix());
    let redirect = ask(proxy.clone(), support::get(&directory)).await;
    assert_eq!(redirect.field("location"), format!("{directory}/"));
    let docs = ask(proxy, support::get(&redirect.field("location"))).await;
    assert_eq!(&*docs.body, b"docs");
}
