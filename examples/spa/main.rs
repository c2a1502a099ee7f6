//! A single-page application, built by Vite and served by axum:
//!
//! ```sh
//! cargo run --release --example spa
//! cargo run --release --example spa -- --listen ADDR:PORT
//! ```
//!
//! Vite has put a hash into the name of every chunk, so these need no version. A browser keeps
//! them for a year, and after a deploy it fetches only those that have changed. The page itself,
//! the same for every path, is asked for on each visit.
//!
//! | request | response |
//! |---|---|
//! | `/`, `/settings/profile`, … | `index.html`, `no-cache`, with an `ETag` |
//! | `/static/assets/index-Bx7a91Zq.js` | the chunk, `immutable` |
//! | `/static/favicon.svg` | the file, `no-cache`, with an `ETag` |
//! | `/static/assets/gone-Ku0u6HUz.js` | 404, `no-store`, and not the page |
//!
//! The application is in `examples/spa/web`. Its output is committed, so that no node is needed
//! to run this. `examples/spa/build.sh` makes it anew.
//!
//! While you work on the application, let Vite serve it: run this example, and `npm run dev`
//! in `examples/spa/web`, and open the address that Vite prints. Vite forwards `/api` to the
//! example.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, Uri},
    routing::get,
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::services::ServeDir;
use tower_static_url::{Fingerprinted, StaticUrlLayer, UnlistedPolicy, serve_dir::Disk};

const USAGE: &str = "\
Usage: spa [--dist DIR] [--listen ADDR:PORT]

  --dist DIR           what Vite has built [default: examples/spa/web/dist]
  --listen ADDR:PORT   where to listen [default: 127.0.0.1:3000]";

const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/spa/web/dist");

/// The `base` in `vite.config.js`.
const MOUNT: &str = "/static";

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some((dist, listen)) = arguments() else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let layer = StaticUrlLayer::builder(MOUNT)
        .root(&dist)
        .fingerprinted(Fingerprinted::vite())
        // A chunk that is not in this build is a 404, without a look at the disk.
        .unlisted(UnlistedPolicy::NotFound)
        .build()?;

    let listener = TcpListener::bind(&listen).await?;
    println!("serving {} at http://{}/", dist.display(), listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    axum::serve(listener, router(&layer, &dist)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Returns what to serve and where, or `None` if the arguments are not understood.
fn arguments() -> Option<(PathBuf, String)> {
    let (mut dist, mut listen) = (DIST.into(), "127.0.0.1:3000".into());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--dist", Some(directory)) => dist = directory.into(),
            ("--listen", Some(address)) => listen = address,
            _ => return None,
        }
    }
    Some((dist, listen))
}

fn router(layer: &StaticUrlLayer, dist: &Path) -> Router {
    let files = ServeDir::with_backend(dist, Disk::new()).append_index_html_on_directories(false);
    let files = ServiceBuilder::new().layer(layer.nested()).service(files);
    // `index.html` goes through the layer as well, which gives it the `ETag`.
    let page = ServiceBuilder::new().map_request(to_the_page).service(files.clone());
    Router::new().nest("/api", api()).nest_service(MOUNT, files).fallback_service(page)
}

/// Which page of the application a path stands for is decided in the browser.
fn to_the_page(mut request: Request) -> Request {
    *request.uri_mut() = Uri::from_static("/index.html");
    request
}

fn api() -> Router {
    Router::new()
        .route("/greeting", get(async || "Hello from the server."))
        .fallback(StatusCode::NOT_FOUND)
}
