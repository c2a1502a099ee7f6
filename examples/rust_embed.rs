//! A server that is one file: its static files are part of the program, by `rust-embed`.
//!
//! ```sh
//! cargo run --release --example rust_embed    # with the files of when it was compiled
//! cargo run --example rust_embed              # with the files as they are on the disk now
//! ```

use std::{env, error::Error};

use axum::{Router, response::Html, routing::get};
use rust_embed::Embed;
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer, serve_dir::Embedded};

/// Below this crate's `Cargo.toml`.
#[derive(Embed)]
#[folder = "examples/site"]
struct Assets;

const MOUNT: &str = "/static";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // One source of files, for the layer and for `ServeDir`.
    let embedded = Embedded::from_fn(Assets::iter(), |path| Some(Assets::get(path)?.data))?;
    let layer = StaticUrlLayer::builder(MOUNT)
        .manifest(embedded.manifest()?)
        // In a debug build, `rust-embed` reads a file whenever it is asked for, and you may have
        // changed it since the server started. The layer then lets no browser keep it.
        .development(cfg!(debug_assertions))
        .build()?;

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

/// Links to the files by `url`, which knows the version.
async fn page(files: StaticPrefix) -> Html<String> {
    let [style, script, stamp] =
        ["css/app.css", "js/app.js", "img/stamp.svg"].map(|path| files.url(path));
    Html(format!(
        r#"<!doctype html><meta charset="utf-8"><title>Embedded by rust-embed</title>
        <link rel="stylesheet" href="{style}"><script type="module" src="{script}"></script>
        <main class="postcard"><p data-greeting>Dear reader, …</p><img src="{stamp}" alt=""></main>"#
    ))
}
