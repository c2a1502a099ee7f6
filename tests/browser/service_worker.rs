//! A service worker at its unversioned URL, before and after a deploy.

use std::path::Path;

use axum::{
    Router,
    http::{HeaderName, HeaderValue},
    response::Html,
    routing::get,
};
use serde_json::json;
use tempfile::tempdir;
use tokio::runtime::Runtime;
use tower::ServiceBuilder;
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::{Browser, edit, serve, support::tree};

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_service_worker_is_updated_where_it_was_registered() {
    let site = tree([("sw.js", SERVICE_WORKER)]);
    let layer = StaticUrlLayer::new("/static", site.path()).unwrap();
    let (runtime, profile) = (Runtime::new().unwrap(), tempdir().unwrap());
    let page = serve(runtime.handle(), layer.wrap(router(site.path())));
    let browser = Browser::start(runtime.handle(), profile.path());
    browser.open(&page);
    assert_eq!(browser.run(&workers_of_edition(1)), json!(["/static/sw.js"]));

    edit(&site.path().join("sw.js"), "EDITION = 1", "EDITION = 2");
    assert!(layer.reload().unwrap().has_changed());
    browser.open(&page);
    assert_eq!(browser.run(&workers_of_edition(2)), json!(["/static/sw.js"]));
}

/// The worker is to control the whole site, not only what is below `/static`.
fn router(root: &Path) -> Router {
    let name = HeaderName::from_static("service-worker-allowed");
    let allow = SetResponseHeaderLayer::overriding(name, HeaderValue::from_static("/"));
    let files = ServiceBuilder::new().layer(allow).service(ServeDir::new(root));
    let page = async |files: StaticPrefix| {
        Html(format!(
            "<!doctype html><title>Service worker</title><script>
            navigator.serviceWorker.register({:?}, {{ scope: '/' }});
            </script>",
            files.unversioned("sw.js")
        ))
    };
    Router::new().route("/", get(page)).nest_service("/static", files)
}

const SERVICE_WORKER: &str = "
    const EDITION = 1;
    addEventListener('install', () => skipWaiting());
    addEventListener('activate', (event) => event.waitUntil(clients.claim()));
    addEventListener('fetch', (event) => {
        const { pathname } = new URL(event.request.url);
        if (pathname === '/edition') event.respondWith(new Response(EDITION));
    });
";

/// The paths of all registered workers, once one of this edition controls the page.
fn workers_of_edition(edition: u32) -> String {
    format!(
        "const {{ serviceWorker }} = navigator;
        const look = async () => {{
            const response = await fetch('/edition');
            if (await response.text() !== '{edition}') return;
            const registrations = await serviceWorker.getRegistrations();
            done(registrations.map(({{ active }}) => new URL(active.scriptURL).pathname));
        }};
        serviceWorker.addEventListener('controllerchange', look);
        look();"
    )
}
