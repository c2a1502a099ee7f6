//! Pages with htmx that notice a deploy:
//!
//! ```sh
//! cargo run --release --example htmx
//! cargo run --release --example htmx -- --files DIR --listen ADDR:PORT
//! ```
//!
//! The server tells its version in a header of every page and of every part of one. A page that
//! is open over a deploy goes on with its own scripts and styles: a search is answered by the new
//! server, and what is typed stays. When the user goes to another page, `js/deploys.js` sees that
//! it is one of another version, and lets the browser open it, with new scripts and styles.
//!
//! To see it, open the page, change a file in `examples/htmx/files`, restart the server, search,
//! and then follow a link.
//!
//! `examples/htmx/build.sh` takes htmx itself from npm. It is committed, so that no node is
//! needed to run this.

use std::{env, error::Error, path::PathBuf, process::ExitCode};

use axum::{
    Router,
    extract::Query,
    http::{HeaderName, header},
    response::{Html, IntoResponse},
    routing::get,
    serve::ListenerExt as _,
};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

const USAGE: &str = "\
Usage: htmx [--files DIR] [--listen ADDR:PORT]

  --files DIR          scripts and styles [default: examples/htmx/files]
  --listen ADDR:PORT   where to listen [default: 127.0.0.1:3000]";

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/htmx/files");

const CITIES: [&str; 8] =
    ["Bergen", "Berlin", "Bern", "Bologna", "Bordeaux", "Boston", "Bremen", "Brno"];

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some((files, listen)) = arguments() else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let layer = StaticUrlLayer::builder("/static")
        .root(&files)
        // `js/deploys.js` reads it.
        .version_header(HeaderName::from_static("static-version"))
        .build()?;
    let router = Router::new()
        .route("/", get(search_page))
        .route("/cities", get(cities))
        .route("/about", get(about_page))
        .nest_service("/static", ServeDir::new(&files).redirect_path_prefix("/static"));

    let listener = TcpListener::bind(&listen).await?;
    println!("serving {} at http://{}/", files.display(), listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    axum::serve(listener, layer.wrap(router).into_make_service()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Returns what to serve and where, or `None` if the arguments are not understood.
fn arguments() -> Option<(PathBuf, String)> {
    let (mut files, mut listen) = (FILES.into(), "127.0.0.1:3000".into());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--files", Some(directory)) => files = directory.into(),
            ("--listen", Some(address)) => listen = address,
            _ => return None,
        }
    }
    Some((files, listen))
}

async fn search_page(files: StaticPrefix) -> impl IntoResponse {
    page(
        &files,
        r##"<h1>Cities</h1>
<input type="search" name="start" placeholder="B…" aria-label="How a city's name starts"
    hx-get="/cities" hx-trigger="input" hx-target="#found">
<ul id="found"></ul>"##,
    )
}

async fn about_page(files: StaticPrefix) -> impl IntoResponse {
    page(&files, "<h1>About</h1>\n<p>An example with htmx.</p>")
}

/// A part of the search page.
async fn cities(Query(query): Query<Map<String, Value>>) -> Html<String> {
    let start = query.get("start").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let found = CITIES.iter().filter(|city| city.to_lowercase().starts_with(&start));
    Html(found.map(|city| format!("<li>{city}</li>")).collect())
}

/// The page is `no-store`: it links to the current version, and an old copy would not.
fn page(files: &StaticPrefix, main: &str) -> impl IntoResponse + use<> {
    let html = format!(
        r#"<!doctype html>
<html lang="en" data-version="{version}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Deploys and htmx</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{css}">
<script src="{htmx}" defer></script>
<script src="{deploys}" defer></script>

<nav>
  <a href="/" hx-boost="true">Search</a>
  <a href="/about" hx-boost="true">About</a>
</nav>
<main>
{main}
</main>
"#,
        // A version is a plain URL segment: nothing in it needs an escape.
        version = files.version(),
        css = files.display("css/app.css"),
        htmx = files.display("js/htmx.min.js"),
        deploys = files.display("js/deploys.js"),
    );
    ([(header::CACHE_CONTROL, "no-store")], Html(html))
}
