//! What the page of each engine links to, and what a typo comes to.
#![allow(dead_code, reason = "the programs' `main`")]

use std::{fs, path::Path};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::ServiceExt as _;
use tower_static_url::StaticUrlLayer;

#[path = "../src/bin/askama.rs"]
mod with_askama;
#[path = "../src/bin/maud.rs"]
mod with_maud;
#[path = "../src/bin/minijinja.rs"]
mod with_minijinja;
#[path = "../src/bin/tera.rs"]
mod with_tera;

const YEAR: &str = "public, max-age=31536000, immutable";

/// A name that must be escaped, in one way in a URL and in another in the text of a page.
const ODD: &str = "notes/a&copy=b \"c\" <d>.txt";

type MakeRouter = fn(&str) -> Router;

const ENGINES: [(&str, MakeRouter); 4] = [
    ("askama", with_askama::router),
    ("maud", with_maud::router),
    ("minijinja", with_minijinja::router),
    ("tera", with_tera::router),
];

#[tokio::test]
async fn every_link_is_of_the_prefix_of_its_request_and_immutable() {
    for (name, router) in ENGINES {
        let site = copy_of_the_site();
        let root = site.path().to_str().unwrap();
        let layer = StaticUrlLayer::new("/static", root).unwrap();
        let app = layer.wrap(router(root));
        let get = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap()
        };

        let before = text(get("/").await).await;
        let prefix = layer.prefix();
        let expected = ["css/app.css", "js/app.js", ODD, "notes/read me.txt"];
        assert_eq!(links(&before), expected.map(|path| prefix.url(path)), "{name}: {before}");
        let digest = prefix.integrity("js/app.js").unwrap();
        assert!(attributes(&before, "integrity").eq([digest]), "{name}: {before}");
        assert!(!before.contains("<d>") && unescape(&before).contains(ODD), "{name}: {before}");
        for link in links(&before) {
            let response = get(&link).await;
            assert_eq!(response.status(), 200, "{name}: {link}");
            assert_eq!(response.headers()["cache-control"], YEAR, "{name}: {link}");
        }

        fs::write(site.path().join("css/app.css"), "p { color: teal }").unwrap();
        let reload = layer.reload().unwrap();
        assert!(reload.has_changed());
        let after = text(get("/").await).await;
        let expected = expected.map(|path| reload.after().url(path));
        assert_eq!(links(&after), expected, "{name}: {after}");
    }
}

#[tokio::test]
async fn a_wrong_path_is_an_error_that_names_the_right_one() {
    for (name, router) in ENGINES {
        let site = copy_of_the_site();
        let root = site.path().to_str().unwrap();
        let app = StaticUrlLayer::new("/static", root).unwrap().wrap(router(root));
        let request = Request::get("/typo").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500, "{name}");
        let text = text(response).await;
        let expected = r#""img/stmp.svg" is not listed; nearest is "img/stamp.svg""#;
        assert!(text.contains(expected), "{name}: {text}");
    }
}

fn copy_of_the_site() -> TempDir {
    let (site, copy) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../site"), TempDir::new());
    let copy = copy.unwrap();
    for path in ["css/app.css", "css/base.css", "img/stamp.svg", "js/app.js", "notes/read me.txt"] {
        let to = copy.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(site.join(path), to).unwrap();
    }
    fs::write(copy.path().join(ODD), "odd").unwrap();
    copy
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The URLs of a page in their order, as a browser reads them.
fn links(page: &str) -> Vec<String> {
    let mut links = attributes(page, "href").chain(attributes(page, "src")).collect::<Vec<_>>();
    links.sort_by_key(|link| link.split_once("/static/").map(|(_, path)| path.to_owned()));
    links
}

fn attributes<'p>(page: &'p str, name: &str) -> impl Iterator<Item = String> + use<'p> {
    let start = format!(" {name}=\"");
    let values = page.match_indices(&start).map(|(at, start)| &page[at + start.len()..]);
    let values = values.map(|rest| rest.split('"').next().unwrap()).collect::<Vec<_>>();
    values.into_iter().map(unescape)
}

fn unescape(value: &str) -> String {
    let numbered = value.replace("&#x", "&#").replace("&#2f;", "/").replace("&#2F;", "/");
    [("&#38;", "&"), ("&amp;", "&"), ("&#34;", "\""), ("&quot;", "\"")]
        .into_iter()
        .chain([("&#60;", "<"), ("&lt;", "<"), ("&#62;", ">"), ("&gt;", ">")])
        .fold(numbered, |value, (entity, character)| value.replace(entity, character))
}
