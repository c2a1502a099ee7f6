//! Import maps: modules find each other by name, also after a deploy, and no other bytes run.

use std::path::Path;

use axum::{
    Router,
    http::header::CONTENT_SECURITY_POLICY,
    response::{Html, IntoResponse},
    routing::get,
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::{Browser, edit, edit_unnoticed, serve, support::tree};

const ENTRY: &str = r#"
    import "app";
    import "lib/odd & 100% [name].js";
    import "<\/script>\u2028";
"#;

fn site() -> TempDir {
    tree([
        ("js/app.js", "import { greet } from './greet (1).js'; ran.push(greet());"),
        ("js/greet (1).js", "export const greet = () => \"greeted\";"),
        ("js/lib/odd & 100% [name].js", "ran.push(\"odd\");"),
        ("<b>\"'%;,.js", "ran.push(\"worse\");"),
    ])
}

/// A page that forbids all inline scripts but its own two or three. What has run and what was
/// refused is in `ran` and `refused`.
fn router(root: &Path, admits_the_map: bool) -> Router {
    let page = async move |files: StaticPrefix| page(&files, admits_the_map);
    let files = ServeDir::new(root).redirect_path_prefix("/static");
    Router::new().route("/", get(page)).nest_service("/static", files)
}

fn page(files: &StaticPrefix, admits_the_map: bool) -> impl IntoResponse + use<> {
    let imports =
        [("app", "js/app.js"), ("lib/", "js/lib/"), ("</script>\u{2028}", "<b>\"'%;,.js")];
    let map = files.import_map(imports).unwrap().with_integrity(["js/"]).unwrap();
    let watch = "window.ran = []; window.refused = [];
        addEventListener('error', ({ message }) => refused.push(message));";
    let own = [watch, ENTRY].map(hash).join(" ");
    let of_map = if admits_the_map { map.csp_hash() } else { String::new() };
    let policy = format!("default-src 'none'; script-src 'self' {own} {of_map}");
    let html = format!(
        "<!doctype html><title>Import map</title><script>{watch}</script>{}\
        <script type=module>{ENTRY}</script>",
        map.to_html()
    );
    ([(CONTENT_SECURITY_POLICY, policy)], Html(html))
}

fn hash(script: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&Sha256::digest(script)))
}

/// A new browser, with nothing in its cache.
fn ran(runtime: &Runtime, page: &str) -> Value {
    let profile = tempdir().unwrap();
    let browser = Browser::start(runtime.handle(), profile.path());
    browser.open(page);
    browser.run("done(ran)")
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn modules_are_imported_by_name_and_follow_a_deploy() {
    let site = site();
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let (runtime, profile) = (Runtime::new().unwrap(), tempdir().unwrap());
    let page = serve(runtime.handle(), layer.wrap(router(site.path(), true)));
    let browser = Browser::start(runtime.handle(), profile.path());
    let loaded = || {
        browser.open(&page);
        let ran = browser.run("done(ran)");
        (ran, browser.loaded_by_the_page())
    };
    // The browser escapes less in a relative URL.
    let loaded_as = |url: String| url.replace("%281%29", "(1)");
    let all_of =
        |prefix: &StaticPrefix| prefix.paths().map(|path| loaded_as(prefix.path(path))).collect();

    let before = layer.prefix();
    assert_eq!(loaded(), (json!(["greeted", "odd", "worse"]), all_of(&before)));
    edit(&site.path().join("js/greet (1).js"), "greeted", "after the deploy");
    assert!(layer.reload().unwrap().has_changed());
    let after = layer.prefix();
    assert_ne!(after, before);
    assert_eq!(loaded(), (json!(["after the deploy", "odd", "worse"]), all_of(&after)));
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn bytes_that_the_map_does_not_vouch_for_do_not_run() {
    let site = site();
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let runtime = Runtime::new().unwrap();
    let page = serve(runtime.handle(), layer.wrap(router(site.path(), true)));
    assert_eq!(ran(&runtime, &page), json!(["greeted", "odd", "worse"]));

    // Imported with a relative URL, and below a directory.
    for (path, from, to) in
        [("js/greet (1).js", "greeted", "refused"), ("js/lib/odd & 100% [name].js", "odd", "bad")]
    {
        edit_unnoticed(&site.path().join(path), from, to);
        assert_eq!(ran(&runtime, &page), json!([]), "{path}");
        edit_unnoticed(&site.path().join(path), to, from);
    }
    assert_eq!(ran(&runtime, &page), json!(["greeted", "odd", "worse"]));
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn the_hash_admits_the_map_and_nothing_else_does() {
    let site = site();
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let runtime = Runtime::new().unwrap();
    let [with, without] = [true, false].map(|admits_the_map| {
        let page = serve(runtime.handle(), layer.clone().wrap(router(site.path(), admits_the_map)));
        ran(&runtime, &page)
    });
    assert_eq!((with, without), (json!(["greeted", "odd", "worse"]), json!([])));
}
