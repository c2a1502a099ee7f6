//! The example of a single-page application, as somebody would run it.

use std::{fs, path::Path};

use axum::{Router, body::Body, http::Request};
use tower::ServiceBuilder;
use tower_http::services::ServeFile;
use tower_static_url::StaticUrlLayer;

use crate::support::{
    Answer, ServeDir, YEAR, ask,
    demo::{Demo, http_client},
    etag_of, request, tree,
};

/// What Vite has built, as it is committed.
const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/spa/web/dist");

struct Spa(Demo);

impl Spa {
    async fn get(&self, path: &str, lines: &[(&str, &str)]) -> Answer {
        let url = format!("http://{}{path}", self.0.address);
        ask(http_client(), request("GET", &url, lines)).await
    }
}

fn assets() -> Vec<String> {
    let entries = fs::read_dir(Path::new(DIST).join("assets")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_each_path_of_the_example_gets() {
    let spa = Spa(Demo::start_spa(Path::new(DIST)));
    let page = fs::read(Path::new(DIST).join("index.html")).unwrap();
    let tag = etag_of(&page);
    for path in ["/", "/settings/profile", "/about?from=home", "/no/such/page.js"] {
        let answer = spa.get(path, &[]).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &*page), "{path}");
        let fields = ["content-type", "cache-control", "etag"].map(|name| answer.field(name));
        assert_eq!(fields, ["text/html", "no-cache", &*tag], "{path}");
        let answer = spa.get(path, &[("if-none-match", &*tag)]).await;
        assert_eq!((answer.status.as_u16(), answer.cache_control()), (304, "no-cache".into()));
    }

    let assets = assets();
    assert!(assets.len() >= 5, "{assets:?}");
    for name in assets {
        // If one is not: the rule takes 1 in 20 hashes for a word. Another text has another hash.
        let answer = spa.get(&format!("/static/assets/{name}"), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.cache_control()), (200, YEAR.into()), "{name}");
    }

    for (path, status, cache_control) in [
        ("/static/favicon.svg", 200, "no-cache"),
        ("/static/assets/index-Ku0u6HUz.js", 404, "no-store"),
        ("/static/assets/", 404, "no-store"),
        ("/static/", 404, "no-store"),
        ("/api/greeting", 200, ""),
        ("/api/no/such/call", 404, ""),
    ] {
        let answer = spa.get(path, &[]).await;
        let got = (answer.status.as_u16(), answer.cache_control());
        assert_eq!(got, (status, cache_control.into()), "{path}");
        assert_ne!(answer.body, page, "{path}");
    }
}

/// As in an image whose files all have one date. Only the hash in the page is another.
#[tokio::test]
async fn a_page_through_the_layer_is_new_after_a_deploy_whatever_its_length_and_date() {
    let page = |hash: &str| format!("<script src=/static/assets/index-{hash}.js></script>");
    let (old, new) = (page("Bx7a91Zq"), page("Ku0u6HUz"));
    let [before, after] = [&old, &new].map(|page| tree([("index.html", page.as_str())]));
    for (is_through_the_layer, status) in [(true, 200), (false, 304)] {
        let app = |root: &Path| {
            if is_through_the_layer {
                through_the_layer(root)
            } else {
                Router::new().fallback_service(ServeFile::new(root.join("index.html")))
            }
        };
        let tag = ask(app(before.path()), request("GET", "/about", &[])).await.field("etag");
        let again = request("GET", "/about", &[("if-none-match", &*tag)]);
        assert_eq!(ask(app(after.path()), again).await.status, status, "{tag}");
    }
}

fn through_the_layer(root: &Path) -> Router {
    let layer = StaticUrlLayer::new("/static", root).unwrap();
    let files = ServiceBuilder::new().layer(layer.nested()).service(ServeDir::new(root));
    let page = ServiceBuilder::new().map_request(|mut request: Request<Body>| {
        *request.uri_mut() = "/index.html".parse().unwrap();
        request
    });
    Router::new().nest_service("/static", files.clone()).fallback_service(page.service(files))
}
