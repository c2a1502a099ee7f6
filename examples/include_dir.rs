//! A server that is one file: its static files are part of the program, by `include_dir`.
//!
//! ```sh
//! cargo run --example include_dir
//! ```

use std::{env, error::Error};

use axum::{Router, response::Html, routing::get};
use include_dir::{Dir, include_dir};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer, serve_dir::Embedded};

/// The files as they were when the program was compiled, in a debug build too.
static ASSETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/examples/site");

const MOUNT: &str = "/static";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // One source of files, for the layer and for `ServeDir`.
    let embedded = Embedded::from_files(files_in(&ASSETS))?;
    let layer = StaticUrlLayer::builder(MOUNT).manifest(embedded.manifest()?).build()?;

    let files = ServeDir::with_backend("", embedded)
        .redirect_path_prefix(MOUNT)
        // Sends `app.css.gz`, if there is one beside `app.css`.
        .precompressed_gzip();
    let router = Router::new().route("/", get(page)).nest_service(MOUNT, files);

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("serving embedded files at http://{}/", listener.local_addr()?);
    axum::serve(listener, layer.wrap(router).into_make_service()).await?;
    Ok(())
}

/// Lists the files of a directory and of those below it. Paths are relative to `ASSETS`.
fn files_in(directory: &'static Dir<'_>) -> Vec<(&'static str, &'static [u8])> {
    let path = |file: &'static include_dir::File<'_>| file.path().to_str().unwrap_or_default();
    let own = directory.files().map(|file| (path(file), file.contents()));
    own.chain(directory.dirs().flat_map(files_in)).collect()
}

/// Links to the files by `url`, which knows the version.
async fn page(files: StaticPrefix) -> Html<String> {
    let [style, script, stamp] =
        ["css/app.css", "js/app.js", "img/stamp.svg"].map(|path| files.url(path));
    Html(format!(
        r#"<!doctype html><meta charset="utf-8"><title>Embedded by include_dir</title>
        <link rel="stylesheet" href="{style}"><script type="module" src="{script}"></script>
        <main class="postcard"><p data-greeting>Dear reader, …</p><img src="{stamp}" alt=""></main>"#
    ))
}
